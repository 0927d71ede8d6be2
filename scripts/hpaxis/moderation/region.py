"""Johnson and Neyman's region of significance, in closed form, from the covariance of the coefficient table.

Johnson & Neyman (1936); Bauer & Curran (2005) for the continuous moderator; Esarey & Sumner (2017) for the
critical value that holds the false discovery rate over the range; Liu et al. (2007) for the one that holds over the
range at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from hpaxis.moderation.simultaneous import simulated_critical
from hpaxis.moderation.slopes import effects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.moderation.design import Design
    from hpaxis.moderation.linear import LinearFit

# Esarey and Sumner's procedure looks at this many equal steps of the observed range.
STEPS = 1000
COLUMNS = [
    "contrast", "across", "low", "high", "kind", "critical_t", "df", "observed_low", "observed_high", "observed_kind",
    "minimum", "maximum", "n_below", "n_between", "n_above", "n_significant", "n", "adjustment", "covariance", "alpha",
    "own_observed_low", "own_observed_high", "own_minimum", "own_maximum", "low_from", "low_to", "high_from", "high_to",
    "own_low_from", "own_low_to", "own_high_from", "own_high_to",
]  # fmt: skip
# Places that are also given in the column's own unit.
PLACES = ("observed_low", "observed_high", "minimum", "maximum", "low_from", "low_to", "high_from", "high_to")


def region_table(fit: LinearFit, adjustment: str = "none", seed: int = 0, name: str = "") -> pd.DataFrame:
    """Return the region of significance, one row per contrast (a pair of arms, or the slope of the predictor).

    ``low`` and ``high`` are the two values at which the effect's interval touches zero, on the moderator where
    it is continuous, on the predictor where it is an arm; ``kind`` says where on the whole line the effect
    is significant: "inside" (between them), "outside", "none" or "all" (no such values: NaN).
    ``observed_low``, ``observed_high`` and ``observed_kind`` say the same clipped to the observed range
    (minimum, maximum): an outside region may turn into "below", "above", "all" or "none" there; ``own_*`` give
    these values in the column's own unit, before standardising. ``n_below``, ``n_between``, ``n_above`` count rows on
    each side of the two values, ``n_significant`` rows in the region. ``adjustment``: "none" (pointwise), "fdr" for
    Esarey and Sumner's critical t, or "simultaneous" for the constant of a band over the observed range (its simulation
    drawn with ``seed`` and ``name``). ``low_from`` to ``high_to``: see `end_intervals`; NaN where an end is the data's.
    """
    design, alpha = fit.design, fit.design.spec.alpha
    across = design.spec.moderator if design.moderator.levels is None else design.spec.predictor
    rows = []
    for contrast_name, contrast, observed in effects(design):
        base, step = contrast(0.0), contrast(1.0) - contrast(0.0)
        df = fit.cov.df(np.array([step]))[0]
        if adjustment == "fdr":
            t = fdr_critical_t(fit, contrast, observed, alpha)
        elif adjustment == "simultaneous":
            t = simulated_critical(fit, contrast(observed.min()), contrast(observed.max()), alpha, seed, name)
        else:
            t = stats.t.isf(alpha / 2, df)
        if not fit.cov.df_is_constant and adjustment == "none":
            low, high, kind = _searched(fit, contrast, observed, alpha)
        else:
            low, high, kind = _closed_form(fit, base, step, t)
        seen = observed_region(low, high, kind, observed)
        seen |= end_intervals(fit, contrast, seen, alpha)
        rows.append({
            "contrast": contrast_name, "across": across, "low": low, "high": high, "kind": kind, "critical_t": t,
            "df": df, **seen, **{f"own_{end}": own_unit(design, across, seen[end]) for end in PLACES if end in seen},
            "adjustment": adjustment, "covariance": fit.cov.kind, "alpha": alpha,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def own_unit(design: Design, column: str, value: float) -> float:
    """Return a value of a column on the model's scale in the column's own unit, before standardising."""
    if column not in design.scales.index or not design.scales.loc[column, "standardised"]:
        return value
    return design.scales.loc[column, "mean"] + value * design.scales.loc[column, "sd"]


def end_intervals(
    fit: LinearFit, contrast: Callable[[float], NDArray[np.float64]], seen: Mapping[str, Any], alpha: float
) -> dict[str, float]:
    """Return the interval of each end that lies within the observed range: low_from, low_to, high_from, high_to.

    At an end the true effect lies as many true standard errors from zero as the critical value: its t is noncentral t
    about that value, on the end's own degrees of freedom (Satterthwaite's with clusters). The interval holds the
    places whose t lies between the alpha / 2 and 1 - alpha / 2 quantiles: between the ends of the regions at these two
    critical values. It is infinite where one of them has no such end. ``contrast``: of a value, (k,); ``seen``: the
    observed region, as `observed_region` gives it.
    """
    C = np.array([contrast(0.0), contrast(1.0) - contrast(0.0)])
    b, V = C @ fit.beta, C @ fit.cov.matrix @ C.T
    found = {}
    for end, anchor in _anchors(seen).items():
        place = contrast(seen[f"observed_{end}"])[None]
        mean, df = np.abs(place @ fit.beta) / np.sqrt(fit.cov.variance(place)), fit.cov.df(place)
        t = np.maximum(stats.nct.ppf([alpha / 2, 1 - alpha / 2], df, mean), 0)
        start, stop, there = stretch(np.array([b, b]), np.array([V, V]), t, anchor)
        beyond = np.inf if end == ("high" if seen["observed_kind"] == "outside" else "low") else -np.inf
        found[f"{end}_from"], found[f"{end}_to"] = np.sort(np.where(there, start if beyond > 0 else stop, beyond))
    return found


def _anchors(row: Mapping[str, Any]) -> dict[str, float]:
    """Which ends of an observed region are not the data's, and where the stretch that each one stops begins."""
    middle = (row["observed_low"] + row["observed_high"]) / 2
    return {
        "outside": {"low": row["minimum"], "high": row["maximum"]},
        "below": {"high": row["minimum"]},
        "above": {"low": row["maximum"]},
        "inside": {
            end: middle
            for end, edge in (("low", row["minimum"]), ("high", row["maximum"]))
            if row[f"observed_{end}"] != edge
        },
    }.get(row["observed_kind"], {})


def stretch(
    b: NDArray[np.float64], V: NDArray[np.float64], t: NDArray[np.float64], anchor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return ``(start, stop, there)``, each (N,): the stretch of significant values around ``anchor``, if it is one.

    ``b`` (N, 2), ``V`` (N, 2, 2) and ``t`` (N,) as in `johnson_neyman`.
    """
    A = b[:, 1] ** 2 - t**2 * V[:, 1, 1]
    B = 2 * (b[:, 0] * b[:, 1] - t**2 * V[:, 0, 1])
    C = b[:, 0] ** 2 - t**2 * V[:, 0, 0]
    there = A * anchor**2 + B * anchor + C > 0
    discriminant = B**2 - 4 * A * C
    q = -(B + np.copysign(np.sqrt(np.maximum(discriminant, 0)), B)) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = np.sort([q / A, C / q], axis=0)
    crossing = discriminant > 0
    below = [crossing & (root <= anchor) for root in roots]
    above = [crossing & (root >= anchor) for root in roots]
    start = np.select([below[1], below[0]], [roots[1], roots[0]], -np.inf)
    stop = np.select([above[0], above[1]], [roots[0], roots[1]], np.inf)
    return start, stop, there


def _closed_form(
    fit: LinearFit, base: NDArray[np.float64], step: NDArray[np.float64], t: float
) -> tuple[float, float, str]:
    b = np.array([base @ fit.beta, step @ fit.beta])
    C = np.array([base, step])
    return johnson_neyman(b, C @ fit.cov.matrix @ C.T, t)


def johnson_neyman(b: NDArray[np.float64], V: NDArray[np.float64], t: float) -> tuple[float, float, str]:
    """Return ``(low, high, kind)`` where |b0 + b1 z| exceeds t times its standard error.

    ``b`` (2,) holds b0 and b1, ``V`` (2, 2) their covariance. The condition is A z2 + B z + C > 0.
    """
    A = b[1] ** 2 - t**2 * V[1, 1]
    B = 2 * (b[0] * b[1] - t**2 * V[0, 1])
    C = b[0] ** 2 - t**2 * V[0, 0]
    discriminant = B**2 - 4 * A * C
    if A == 0 and B != 0:
        root = -C / B
        return (root, math.inf, "inside") if B > 0 else (-math.inf, root, "inside")
    if discriminant <= 0 or A == 0:
        return math.nan, math.nan, "all" if (A or C) > 0 else "none"
    # The form that does not cancel: q has the sign of B.
    q = -(B + math.copysign(math.sqrt(discriminant), B)) / 2
    roots = sorted((q / A, C / q if q else 0.0))
    return roots[0], roots[1], "outside" if A > 0 else "inside"


def _searched(
    fit: LinearFit, contrast: Callable[[float], NDArray[np.float64]], observed: NDArray[np.float64], alpha: float
) -> tuple[float, float, str]:
    """As `johnson_neyman`, where the degrees of freedom change along the line: roots by bisection.

    The line is mapped to angles so that all of it is searched.
    """

    base, step = contrast(0.0), contrast(1.0) - contrast(0.0)

    def excess(angle: NDArray[np.float64]) -> NDArray[np.float64]:
        # The contrast times cos(angle): the same t, finite at both ends of the line.
        C = np.cos(angle)[:, None] * base + np.sin(angle)[:, None] * step
        return np.abs(C @ fit.beta) - fit.cov.critical(C, alpha) * np.sqrt(fit.cov.variance(C))

    z = observed.mean() + np.ptp(observed) * np.tan(np.linspace(-math.pi / 2, math.pi / 2, 2001)[1:-1])
    angles = np.concatenate([[-math.pi / 2], np.arctan(z), [math.pi / 2]])
    values = excess(angles)
    crossings = np.flatnonzero(np.sign(values[:-1]) != np.sign(values[1:]))
    roots = [
        math.tan(optimize.brentq(lambda a: excess(np.array([a]))[0], angles[i], angles[i + 1], xtol=1e-14))
        for i in crossings
    ]
    if not roots:
        return math.nan, math.nan, "all" if values[0] > 0 else "none"
    return min(roots), max(roots), "outside" if values[0] > 0 else "inside"


def observed_region(low: float, high: float, kind: str, observed: NDArray[np.float64]) -> dict[str, Any]:
    """Return the region clipped to the observed values (n,): its ends, its kind there, and n on each side."""
    minimum, maximum = float(observed.min()), float(observed.max())
    if math.isnan(low):
        ends = (minimum, maximum) if kind == "all" else (math.nan, math.nan)
        counts = {"n_below": 0, "n_between": len(observed), "n_above": 0}
        significant = len(observed) if kind == "all" else 0
        seen = kind
    else:
        below, above = observed < low, observed > high
        counts = {
            "n_below": int(below.sum()), "n_between": int((~below & ~above).sum()), "n_above": int(above.sum()),
        }  # fmt: skip
        significant = counts["n_between"] if kind == "inside" else counts["n_below"] + counts["n_above"]
        seen, ends = _clipped(low, high, kind, minimum, maximum)
    return {
        "observed_low": ends[0], "observed_high": ends[1], "observed_kind": seen, "minimum": minimum,
        "maximum": maximum, **counts, "n_significant": significant, "n": len(observed),
    }  # fmt: skip


def _clipped(low: float, high: float, kind: str, minimum: float, maximum: float) -> tuple[str, tuple[float, float]]:
    """Kind and ends within the observed range: ends are those of the significant part.

    For "outside" with both parts in sight they are the two inner ends, as on the whole line.
    """
    none = math.nan, math.nan
    if kind == "inside":
        if high < minimum or low > maximum:
            return "none", none
        if low <= minimum and high >= maximum:
            return "all", (minimum, maximum)
        return "inside", (max(low, minimum), min(high, maximum))
    left, right = low > minimum, high < maximum
    if low >= maximum or high <= minimum:
        return "all", (minimum, maximum)
    if left and right:
        return "outside", (low, high)
    if left:
        return "below", (minimum, low)
    if right:
        return "above", (high, maximum)
    return "none", none


def fdr_critical_t(
    fit: LinearFit, contrast: Callable[[float], NDArray[np.float64]], observed: NDArray[np.float64], alpha: float
) -> float:
    """Return the critical t that holds the false discovery rate over the observed range.

    Benjamini and Hochberg's step-up rule on the two-sided p at equal steps of the range, every p from the fit's
    own covariance. Where nothing passes it is the value that the smallest p would have needed.
    """
    grid = np.linspace(observed.min(), observed.max(), STEPS + 1)[:, None]
    C = contrast(0.0) + grid * (contrast(1.0) - contrast(0.0))
    df = fit.cov.df(C)
    p = np.sort(2 * stats.t.sf(np.abs(C @ fit.beta) / np.sqrt(fit.cov.variance(C)), df))
    share = np.arange(1, len(p) + 1) / len(p)
    passed = np.flatnonzero(p <= share * alpha)
    level = share[passed[-1] if len(passed) else 0] * alpha
    return float(stats.t.isf(level / 2, df.min()))
