"""Hair cortisol: from a plate reader's file to pg/mg with its interval.

`fit_curve` works on arrays; `quantify_plate` on one plate; `collect` brings a study's plates together. Each name is
imported from its module on first use: planning a study, which every job does, needs neither curves nor SciPy.

>>> from hpaxis.cortisol import fit_curve
>>> curve = fit_curve([0, 1, 2, 4, 8, 16], [100, 90, 75, 50, 25, 11])
>>> curve.concentration([60, 40]).round(2)["estimate"].tolist()
[3.09, 5.15]
"""

from importlib import import_module
from typing import Any

MODULES = {
    "assay": ("hair_cortisol", "percent_bound"),
    "check": ("check_plate",),
    "curve": ("Curve", "CurveError", "Variance", "compare_models", "fit_curve"),
    "kits": ("Kit", "read_kits"),
    "layout": ("read_layout",),
    "plate": ("quantify_plate",),
    "readers": ("read_reader_file",),
    "reliability": ("icc",),
    "samples": ("collect",),
}
WHERE = {name: module for module, names in MODULES.items() for name in names}

__all__ = sorted(WHERE)


def __getattr__(name: str) -> Any:
    if name in WHERE:
        return getattr(import_module(f"hpaxis.cortisol.{WHERE[name]}"), name)
    raise AttributeError(f"module 'hpaxis.cortisol' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *WHERE})
