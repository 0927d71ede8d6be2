"""Measurement error of the predictor: reliability by arm, and slopes corrected for it.

Regression calibration and SIMEX: Carroll, Ruppert, Stefanski & Crainiceanu (2006); SIMEX variance: Stefanski &
Cook (1995). A reliability that differs by arm makes slopes differ where none do: it fakes moderation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hpaxis.moderation.batches import many_designs, weighted_coefficients, weighted_fits
from hpaxis.moderation.linear import STATISTICS, least_squares, t_table
from hpaxis.moderation.resample import bootstrap_counts
from hpaxis.moderation.slopes import quantities
from hpaxis.moderation.units import units

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from hpaxis.moderation.design import Design
    from hpaxis.moderation.linear import LinearFit

# Error added, in units of the error there is; the fit in these is carried to -1 (no error).
SIMEX_STEPS = np.array([0.5, 1.0, 1.5, 2.0])
LOWEST_RELIABILITY = 0.1
# A parabola through these steps recovers a slope to 3 % at this reliability, to 10 % at .7 and 20 % at .55.
SIMEX_RELIABILITY = 0.8
SIMEX_GAP = 0.1
MEASURED = "measurement error of the predictor"


def reliability_table(design: Design, error: NDArray[np.float64]) -> pd.DataFrame:
    """Return the reliability of the predictor in all rows and in each arm.

    ``error`` (n,): standard error of each predictor value, in the predictor's own unit before standardising
    (from read counts and conversion, or replicates). Reliability = 1 - mean error variance / variance. Columns:
    arm, n, variance, error_variance, reliability.
    """
    scaled = error / predictor_sd(design)
    groups = {"all": np.ones(design.n, dtype=bool)}
    if design.moderator.levels is not None:
        groups |= {str(a): design.arm == a for a in design.moderator.levels}
    rows = [
        (name, int(g.sum()), design.x[g].var(ddof=1), (scaled[g] ** 2).mean(), _reliability(design.x[g], scaled[g]))
        for name, g in groups.items()
    ]
    return pd.DataFrame(rows, columns=["arm", "n", "variance", "error_variance", "reliability"])


def reliability_from_replicates(values: ArrayLike, participant: ArrayLike) -> tuple[float, float]:
    """Return ``(reliability, error SE)`` of one measurement from replicates: one-way ANOVA, ICC(1,1).

    ``values`` (m,) measured on ``participant`` (m,); participants with one value are left out. Shrout & Fleiss
    (1979).
    """
    table = pd.DataFrame({"value": values, "participant": participant}).dropna()
    table = table[table.groupby("participant")["value"].transform("size") > 1]
    groups = table.groupby("participant")["value"]
    counts, n, N = groups.size(), groups.ngroups, len(table)
    within = ((table["value"] - groups.transform("mean")) ** 2).sum() / (N - n)
    between = (counts * (groups.mean() - table["value"].mean()) ** 2).sum() / (n - 1)
    k = (N - (counts**2).sum() / N) / (n - 1)
    return float((between - within) / (between + (k - 1) * within)), float(np.sqrt(within))


def predictor_sd(design: Design) -> float:
    """Return what the predictor was divided by: its SD where it is standardised, else 1."""
    scale = design.scales.loc[design.spec.predictor]
    return scale["sd"] if scale["standardised"] else 1.0


def _reliability(x: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    return 1 - (error**2).mean() / x.var(ddof=1)


def corrected_table(
    fit: LinearFit,
    error: NDArray[np.float64],
    draws: int,
    rng: np.random.Generator,
    at: str | Sequence[float] = "mean_sd",
) -> pd.DataFrame:
    """Return naive and corrected slopes and product terms beside each other.

    ``error`` (n,) as in `reliability_table`; ``draws`` of the bootstrap for regression calibration, and of each
    SIMEX step. Columns: method, quantity, estimate, se, t, df, p, low, high, note. Regression calibration is left out
    where the error leaves less than a tenth of the predictor's variance in an arm. SIMEX extrapolates a curve that is
    no parabola: it is withheld where an arm's reliability is below SIMEX_RELIABILITY or the arms' differ by more than
    SIMEX_GAP, since it is then biased and its interval too short; the note says so.
    """
    design = fit.design
    scaled = error / predictor_sd(design)
    names, C = quantities(design, at)
    tables = [fit.contrasts(C).assign(method="naive", note="")]
    if calibrate(design, scaled) is not None:
        table, failed = regression_calibration(fit, scaled, C, draws, rng)
        lost = f"; {failed} of {draws} draws could not carry it" if failed else ""
        tables.append(table.assign(method="regression calibration", note=f"{MEASURED}{lost}"))
        if (reason := simex_withheld(design, scaled)) is None:
            tables.append(simex(fit, scaled, C, draws, rng).assign(method="SIMEX", note=MEASURED))
        else:
            empty = pd.DataFrame(np.nan, index=range(len(names)), columns=STATISTICS)
            tables.append(empty.assign(method="SIMEX", note=f"withheld: {reason}"))
    for table in tables:
        table.insert(0, "quantity", names)
    return pd.concat(tables, ignore_index=True)[["method", "quantity", *STATISTICS, "note"]]


def simex_withheld(design: Design, error: NDArray[np.float64]) -> str | None:
    """Return why SIMEX is not shown for a predictor with errors (n,) on the model's scale, or None."""
    groups = [design.arm == a for a in design.moderator.levels] if design.moderator.levels is not None else []
    values = [_reliability(design.x[g], error[g]) for g in groups or [np.ones(design.n, dtype=bool)]]
    if np.ptp(values) > SIMEX_GAP:
        return f"the reliability differs by arm ({min(values):.2f} to {max(values):.2f})"
    if min(values) < SIMEX_RELIABILITY:
        return f"the reliability is {min(values):.2f}, below {SIMEX_RELIABILITY:g}"
    return None


def calibrate(
    design: Design, error: NDArray[np.float64], counts: NDArray[np.float64] | None = None
) -> NDArray[np.float64] | None:
    """Return the predictor's expected true value given what was measured, covariates and moderator, by draw.

    Within each arm E(X | W, Z) = m(Z) + r_i (W - m(Z)), r_i = s2 / (s2 + error_i^2). s2 is the residual variance of W
    on Z less the mean error variance e2, plus e2 (2 + 2 e2 / s2) / df: the reciprocal of an estimated reliability is
    too large on average, by as much to the first order, and has no mean (Fuller, 1987, section 2.5). ``error`` (n,);
    ``counts`` (N, n) weigh the rows of N bootstrap draws (one draw of all rows without them). Returns (N, n), NaN in
    draws where an arm's rows cannot carry Z; without counts (n,), or None where the error leaves less than a tenth of
    the residual variance in an arm.
    """
    whole = counts is None
    counts = (np.ones((1, design.n)) if whole else counts) * design.root**2
    x, result = design.x, np.full(counts.shape, np.nan)
    error = np.asarray(error).reshape(-1)
    other = [j for j in range(design.X.shape[1]) if j not in (1, *design.interactions, *design.moderator_columns)]
    arms = design.moderator.levels is not None
    Z = design.X[:, other] if arms else np.column_stack([design.X[:, other], design.X[:, design.moderator_columns]])
    enough = np.ones(len(counts), dtype=bool)
    for g in [design.arm == a for a in design.moderator.levels] if arms else [np.ones(design.n, dtype=bool)]:
        # A covariate that does not vary in an arm says nothing about the predictor there.
        own = Z[g][:, np.r_[True, np.ptp(Z[g][:, 1:], axis=0) > 0]]
        w, e2 = counts[:, g], error[g] ** 2
        mean = weighted_coefficients(own, x[g], w) @ own.T
        df = np.maximum(w.sum(axis=1) - own.shape[1], 1)
        total = (w * (x[g] - mean) ** 2).sum(axis=1) / df
        mean_e2 = w @ e2 / np.maximum(w.sum(axis=1), 1)
        enough &= total - mean_e2 >= LOWEST_RELIABILITY * total
        true = np.maximum(total - mean_e2, LOWEST_RELIABILITY * total)
        with np.errstate(divide="ignore", invalid="ignore"):
            true += mean_e2 * (2 + 2 * mean_e2 / true) / df
            result[:, g] = mean + (true[:, None] / (true[:, None] + e2)) * (x[g] - mean)
    if not whole:
        return result
    return result[0] if enough[0] and np.isfinite(result).all() else None


def with_predictor(design: Design, x: NDArray[np.float64]) -> Design:
    """Return the design with its predictor, and the products, replaced by ``x`` (n,)."""
    X = design.X.copy()
    X[:, 1] = x
    X[:, design.interactions] = x[:, None] * X[:, design.moderator_columns]
    return replace(design, X=X)


def regression_calibration(
    fit: LinearFit, error: NDArray[np.float64], C: NDArray[np.float64], draws: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, int]:
    """Return ``(table, failed)``: contrasts ``C`` (q, k) on the calibrated predictor, and the draws that were lost.

    Errors come from a bootstrap that calibrates anew in every draw; ``error`` (n,) is on the model's scale.
    """
    design = fit.design
    beta, _ = least_squares(*with_predictor(design, calibrate(design, error)).weighted)
    unit, stratum = units(design)
    counts = bootstrap_counts(unit, stratum, draws, rng)
    x = calibrate(design, error, counts)
    good = np.isfinite(x).all(axis=1)
    X = np.repeat(design.X[None], good.sum(), axis=0)
    X[:, :, 1] = x[good]
    X[:, :, design.interactions] = X[:, :, [1]] * design.X[:, design.moderator_columns]
    drawn = weighted_fits(X, design.y, counts[good] * design.root**2) @ C.T
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    se = drawn.std(axis=0, ddof=1) if len(drawn) > draws / 2 else np.full(len(C), np.nan)
    return t_table(C @ beta, se, fit.cov.df(C), design.spec.alpha), draws - len(drawn)


def simex(
    fit: LinearFit, error: NDArray[np.float64], C: NDArray[np.float64], draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Return contrasts ``C`` (q, k) by SIMEX: estimates and variances extrapolated to no error by a parabola."""
    design = fit.design
    kind = "HC3" if fit.cov.kind == "CR2" else fit.cov.kind
    steps, estimates, variances = [0.0], [C @ fit.beta], [fit.cov.variance(C)]
    noise = rng.standard_normal((draws, design.n)) * error
    for step in SIMEX_STEPS:
        X = np.repeat(design.X[None], draws, axis=0)
        X[:, :, 1] = design.x + np.sqrt(step) * noise
        X[:, :, design.interactions] = X[:, :, [1]] * design.X[:, design.moderator_columns]
        b, V = many_designs(X * design.root[:, None], design.y * design.root, kind)
        b = b @ C.T
        steps.append(step)
        estimates.append(b.mean(axis=0))
        variances.append(np.einsum("ij,Njk,ik->Ni", C, V, C).mean(axis=0) - b.var(axis=0, ddof=1))
    at_none = np.array([1.0, -1.0, 1.0])
    basis = np.vander(steps, 3, increasing=True)
    estimate = at_none @ np.linalg.lstsq(basis, np.array(estimates), rcond=None)[0]
    variance = at_none @ np.linalg.lstsq(basis, np.array(variances), rcond=None)[0]
    se = np.sqrt(np.where(variance > 0, variance, np.nan))
    return t_table(estimate, se, fit.cov.df(C), design.spec.alpha)
