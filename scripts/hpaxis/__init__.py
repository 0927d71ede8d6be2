"""From saliva bisulfite reads and hair-cortisol plates to one moderation analysis.

Each stage is a subpackage with the stage's own name: ``methylation``, ``cortisol``, ``cohort``,
``moderation``, ``report`` and ``simulation``. They are imported on first use, so that
``import hpaxis`` stays quick and ``hpaxis.moderation.fit`` works as written.
"""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"
__released__ = "2026-11-22"
STAGES = ("methylation", "cortisol", "cohort", "moderation", "report", "simulation")


def __getattr__(name: str) -> ModuleType:
    if name in STAGES:
        return import_module(f"hpaxis.{name}")
    raise AttributeError(f"module 'hpaxis' has no attribute {name!r}")
