"""The arithmetic of a hair cortisol assay: percent bound, picograms per milligram, and their error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpaxis.cortisol.kits import PG_PER_ML
from hpaxis.quantiles import normal_quantile

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

# What a value's error shares with others that were read from the same curve, by part (`Curve.shared_error`).
CURVE_COLUMNS = ("curve_a", "curve_b", "curve_c", "curve_d", "curve_g")


def percent_bound(signal: pd.Series, b0: float, nsb: float = 0.0) -> NDArray[np.float64]:
    """Return (signal - NSB) / (B0 - NSB) × 100 for optical densities; ``b0`` and ``nsb`` are plate means."""
    return 100.0 * (np.asarray(signal, dtype=float) - nsb) / (b0 - nsb)


def to_pg_per_ml(concentration: ArrayLike, unit: str) -> NDArray[np.float64]:
    """Convert a concentration in pg/mL, ng/mL, ug/dL or nmol/L to pg/mL (1 ug/dL = 27.59 nmol/L of cortisol)."""
    return np.asarray(concentration, dtype=float) * PG_PER_ML[unit]


def hair_cortisol(
    concentration_pg_per_ml: ArrayLike,
    mass_mg: ArrayLike,
    methanol_added_ml: ArrayLike,
    methanol_recovered_ml: ArrayLike,
    reconstitution_ml: ArrayLike,
    dilution: ArrayLike = 1.0,
    spike_pg: ArrayLike = 0.0,
    recovery: ArrayLike = 1.0,
) -> NDArray[np.float64]:
    """Return hair cortisol in pg/mg from the concentration in the well.

    ``(concentration × dilution × reconstitution × added / recovered - spike) / (mass × recovery)``, which for
    ``spike_pg`` 0, dilution and recovery 1 is Meyer and Novak's (A/B)·(C/D)·E·10,000 with A in ug/dL. A known
    spike, in pg of the whole extract, is subtracted before dividing by mass. Arrays broadcast.
    """
    amount_pg = concentration_pg_per_ml * dilution * reconstitution_ml * (methanol_added_ml / methanol_recovered_ml)
    return (amount_pg - spike_pg) / (mass_mg * recovery)


def volume_cv(volume_cv_percent: float, diluted: ArrayLike, volumes: float = 3) -> NDArray[np.float64]:
    """Return the coefficient of variation (a fraction) that pipetting adds to the amount of an extract.

    Three ``volumes`` (methanol added, methanol recovered, reconstitution; none for saliva) and, where ``diluted``, one
    dilution: independent, each with ``volume_cv_percent``, to first order.
    """
    return np.sqrt(volumes + np.asarray(diluted, dtype=float)) * volume_cv_percent / 100


def widen(estimate: float, low: float, high: float, cv: float, level: float = 0.95) -> tuple[float, float]:
    """Widen an interval around a positive estimate by an independent relative error, on the log scale.

    The distances ln(estimate/low) and ln(high/estimate) are each combined in quadrature with z × ``cv``. An
    end at 0 or infinity stays. Returns ``(low, high)``.
    """
    estimate, low, high = (np.asarray(v, dtype=float) for v in (estimate, low, high))
    extra = normal_quantile((1 + level) / 2) * np.asarray(cv, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        down = np.hypot(np.log(estimate / low), extra)
        up = np.hypot(np.log(high / estimate), extra)
    return estimate * np.exp(-down), estimate * np.exp(up)


def cv_percent(values: NDArray[np.float64] | pd.Series) -> float:
    """Return 100 × SD / mean (n - 1 in the SD), NaN for fewer than two finite values."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if values.size < 2:
        return np.nan
    return float(100 * np.std(values, ddof=1) / np.mean(values))


def disagreement(
    logs: NDArray[np.float64], log_se: NDArray[np.float64], shared: NDArray[np.float64] | None = None
) -> tuple[float, float, NDArray[np.float64]]:
    """Return how far values of one thing lie apart: ``(q, trace, covariance)``.

    ``logs``: (n,) natural logs; ``log_se``: (n,) their standard errors; ``shared``: (n, p), what the errors have in
    common, as `Curve.shared_error` has it, or None for independent errors. ``q``, the generalised sum of squares about
    the best mean, is chi-square with n - 1 degrees of freedom where the values agree; a variance v between them adds
    v × ``trace`` to its mean.
    """
    logs, variance = np.asarray(logs, dtype=float), np.asarray(log_se, dtype=float) ** 2
    shared = np.zeros((len(logs), 1)) if shared is None else np.nan_to_num(np.asarray(shared, dtype=float))
    wells = np.maximum(variance - np.sum(shared**2, axis=1), 1e-3 * variance)
    covariance = np.diag(wells) + shared @ shared.T
    inverse = np.linalg.inv(covariance)
    columns = inverse.sum(axis=1)
    projector = inverse - np.outer(columns, columns) / columns.sum()
    return float(logs @ projector @ logs), float(np.trace(projector)), covariance
