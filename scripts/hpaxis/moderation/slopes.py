"""Simple slopes, their differences, and the lines and effects that figures draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from hpaxis.moderation.simultaneous import critical_over

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.moderation.design import Design
    from hpaxis.moderation.linear import LinearFit

PERCENTILES = (16, 50, 84)
GRID = 101
AS_ASKED = "as asked"
MAX_T_DRAWS = 200_000
MAX_T_SEED = 1


def moderator_values(design: Design, at: str | Sequence[float] = "mean_sd") -> tuple[list[Any], list[str]]:
    """Return ``(values, labels)`` at which slopes are taken: every arm, or points on a continuous moderator.

    ``at``: "mean_sd" (mean and one SD on either side), "percentiles" (16th, 50th, 84th) or a list of numbers.
    """
    if design.moderator.levels is not None:
        return list(design.moderator.levels), [str(v) for v in design.moderator.levels]
    z = design.arm.astype(float)
    if isinstance(at, str) and at == "mean_sd":
        m, s = z.mean(), z.std(ddof=1)
        return [m - s, m, m + s], ["mean - 1 SD", "mean", "mean + 1 SD"]
    if isinstance(at, str) and at == "percentiles":
        return list(np.percentile(z, PERCENTILES)), [f"{p}th percentile" for p in PERCENTILES]
    return [float(v) for v in at], [AS_ASKED] * len(at)


def slope_table(fit: LinearFit, at: str | Sequence[float] = "mean_sd") -> pd.DataFrame:
    """Return the predictor's slope in each arm, or at each moderator value.

    Columns: moderator (arm or value), estimate, se, t, df, p, low, high, n (in the arm), at, covariance, sided.
    The error takes the covariance of both coefficients into account (Aiken & West, 1991).
    """
    design = fit.design
    values, labels = moderator_values(design, at)
    table = fit.contrasts(np.array([design.slope_contrast(v) for v in values]))
    table.insert(0, "moderator", values)
    arms = design.moderator.levels is not None
    counts = [int((design.arm == v).sum()) if arms else design.n for v in values]
    return table.assign(n=counts, at=labels, covariance=fit.cov.kind, sided="two")


def quantities(design: Design, at: str | Sequence[float] = "mean_sd") -> tuple[list[str], NDArray[np.float64]]:
    """Return ``(names, C)`` of what other methods estimate too: the product terms, then the slopes, (m, k)."""
    values, labels = moderator_values(design, at)
    places = [f"{v:.6g}" if label == AS_ASKED else label for v, label in zip(values, labels, strict=True)]
    products = np.eye(design.X.shape[1])[design.interactions]
    names = [*design.interaction_terms, *(f"slope[{p}]" for p in places)]
    return names, np.vstack([products, [design.slope_contrast(v) for v in values]])


def slope_difference_table(fit: LinearFit) -> pd.DataFrame:
    """Return the differences between slopes: one row per pair of arms, or b3 per unit of a continuous moderator.

    Columns: contrast, estimate, se, t, df, p, low, high, p_holm (Holm over the pairs), p_simultaneous,
    low_simultaneous, high_simultaneous (max-t over the pairs with their own correlation: Hothorn, Bretz & Westfall,
    2008), covariance, sided.
    """
    names, C = slope_differences(fit.design)
    table = fit.contrasts(C)
    table.insert(0, "contrast", names)
    holm = multipletests(table["p"], method="holm")[1]
    alpha = fit.design.spec.alpha
    p, critical = simultaneous(C @ fit.cov.matrix @ C.T, table["t"].to_numpy(), table["df"].min(), alpha)
    half = critical * table["se"]
    return table.assign(
        p_holm=holm, p_simultaneous=p, low_simultaneous=table["estimate"] - half,
        high_simultaneous=table["estimate"] + half, covariance=fit.cov.kind, sided="two",
    )  # fmt: skip


def simultaneous(V: np.ndarray, t: np.ndarray, df: float, alpha: float) -> tuple[np.ndarray, float]:
    """Return max-t adjusted p values of ``t`` (m,) and the critical value, for contrasts with covariance ``V`` (m, m).

    One contrast has Student's own p. Of several the multivariate t on ``df`` is drawn MAX_T_DRAWS times from a fixed
    seed: p is good to .001 at .05, and the same on every machine.
    """
    if len(t) == 1:
        return 2 * stats.t.sf(np.abs(t), df), float(stats.t.isf(alpha / 2, df))
    scale = np.sqrt(np.diag(V))
    values, vectors = np.linalg.eigh(V / np.outer(scale, scale))
    root = vectors * np.sqrt(np.clip(values, 0, None))
    rng = np.random.default_rng(MAX_T_SEED)
    z = rng.standard_normal((MAX_T_DRAWS, len(t))) @ root.T
    largest = np.sort(np.abs(z / np.sqrt(rng.chisquare(df, (MAX_T_DRAWS, 1)) / df)).max(axis=1))
    beyond = MAX_T_DRAWS - np.searchsorted(largest, np.abs(t))
    return np.maximum(beyond / MAX_T_DRAWS, 2 * stats.t.sf(np.abs(t), df)), float(np.quantile(largest, 1 - alpha))


def slope_differences(design: Design) -> tuple[list[str], NDArray[np.float64]]:
    """Return ``(names, C)``: the difference of slopes of each pair of arms, or per unit of a moderator, C (m, k)."""
    if design.moderator.levels is None:
        c = design.slope_contrast(1.0) - design.slope_contrast(0.0)
        return [f"per unit of {design.spec.moderator}"], c[None]
    pairs = design.moderator.pairs
    C = np.array([design.slope_contrast(a) - design.slope_contrast(b) for a, b in pairs])
    return [f"{a} - {b}" for a, b in pairs], C


def line_table(fit: LinearFit, at: str | Sequence[float] = "mean_sd") -> pd.DataFrame:
    """Return expected outcomes for the figure of slopes: moderator, predictor, estimate, low ... band_high, at.

    Each arm's line runs over the predictor's observed range in that arm, a continuous moderator's over the
    whole range; covariates at their means. low and high are pointwise intervals from the fit's covariance, band_low and
    band_high hold over the whole line at once (normal theory).
    """
    design = fit.design
    values, labels = moderator_values(design, at)
    parts = []
    for value, label in zip(values, labels, strict=True):
        own = design.x[design.arm == value] if design.moderator.levels is not None else design.x
        grid = np.linspace(own.min(), own.max(), GRID)
        C = np.array([design.mean_contrast(value, x) for x in grid])
        rows = fit.contrasts(C)
        half = critical_over(fit.cov, C[0], C[-1], design.spec.alpha) * rows["se"]
        rows = rows[["estimate", "low", "high"]].assign(
            band_low=rows["estimate"] - half, band_high=rows["estimate"] + half
        )
        rows.insert(0, "predictor", grid)
        rows.insert(0, "moderator", value)
        parts.append(rows.assign(at=label))
    return pd.concat(parts, ignore_index=True)


def point_table(fit: LinearFit) -> pd.DataFrame:
    """Return the complete cases for figures: row label, moderator, predictor, outcome, outcome_adjusted.

    The adjusted outcome has the covariates moved to their means, so that points and lines belong together.
    """
    design = fit.design
    own = {0, 1, *design.moderator_columns, *design.interactions}
    covariates = [j for j in range(design.X.shape[1]) if j not in own]
    centred = design.X[:, covariates] - design.X[:, covariates].mean(axis=0)
    label = design.data.index.name or "row"
    return pd.DataFrame({
        label: design.data.index,
        "moderator": design.arm,
        "predictor": design.x,
        "outcome": design.y,
        "outcome_adjusted": design.y - centred @ fit.beta[covariates],
    })  # fmt: skip


def effect_table(fit: LinearFit, critical: pd.Series | None = None) -> pd.DataFrame:
    """Return the effect that the region is about, over the observed range, for the floodlight figure.

    Continuous moderator: the predictor's slope at each value. Arms: the difference between a pair of arms
    at each predictor value. Columns: contrast, value, estimate, se, t, df, p, low, high, band_low, band_high: the band
    that holds over the whole range, of ``critical`` (contrast to constant; normal theory where it is not given).
    """
    design = fit.design
    parts = []
    for name, contrast, observed in effects(design):
        grid = np.linspace(observed.min(), observed.max(), 2 * GRID - 1)
        C = np.array([contrast(v) for v in grid])
        rows = fit.contrasts(C)
        constant = critical_over(fit.cov, C[0], C[-1], design.spec.alpha) if critical is None else critical[name]
        half = constant * rows["se"]
        rows = rows.assign(band_low=rows["estimate"] - half, band_high=rows["estimate"] + half)
        rows.insert(0, "value", grid)
        rows.insert(0, "contrast", name)
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def effects(design: Design) -> list[tuple[str, Callable[[float], NDArray[np.float64]], NDArray[np.float64]]]:
    """Return ``[(name, contrast of a value, observed values)]`` that Johnson and Neyman's question is asked of."""
    if design.moderator.levels is None:
        return [(f"slope of {design.spec.predictor}", design.slope_contrast, design.arm.astype(float))]
    return [
        (f"{a} - {b}", lambda x, a=a, b=b: design.arm_contrast(a, b, x), design.x[np.isin(design.arm, [a, b])])
        for a, b in design.moderator.pairs
    ]
