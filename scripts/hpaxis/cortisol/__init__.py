"""Hair cortisol: from a plate reader's file to pg/mg with its interval.

>>> from hpaxis.cortisol import fit_curve
>>> curve = fit_curve([0, 1, 2, 4, 8, 16], [100, 90, 75, 50, 25, 11])
>>> curve.concentration([60, 40])[["estimate", "low", "high", "censored"]]  # doctest: +SKIP
"""

from hpaxis.cortisol.curve import Curve, CurveError, Variance, fit_curve

__all__ = ["Curve", "CurveError", "Variance", "fit_curve"]
