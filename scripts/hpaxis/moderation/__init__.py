"""Does the moderator change what the predictor does? One covariance carried through every number.

Each name is imported from its module on first use: figures and tables need neither models nor statsmodels.

>>> import hpaxis.moderation as moderation
>>> result = moderation.fit(data, outcome="y", predictor="x", moderator="arm", covariance="HC3")
>>> result.coefficients, result.slopes, result.region
"""

from importlib import import_module
from typing import Any

WHERE = {"KINDS": "covariance", "Moderation": "model", "Spec": "design", "fit": "model", "fit_spec": "model"}

__all__ = sorted(WHERE)


def __getattr__(name: str) -> Any:
    if name in WHERE:
        return getattr(import_module(f"hpaxis.moderation.{WHERE[name]}"), name)
    raise AttributeError(f"module 'hpaxis.moderation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *WHERE})
