"""The interaction without normal theory: bootstrap, wild bootstrap, permutation, max-T.

BCa: Efron (1987), with the several-sample acceleration of Davison & Hinkley (1997). Restricted wild bootstrap:
Davidson & Flachaire (2008), Rademacher weights. Permutation of reduced-model residuals: Freedman & Lane (1983),
studentised as DiCiccio & Romano (2017) ask under unequal variances. Max-T: Westfall & Young (1993). p = (k + 1)
/ (N + 1): Phipson & Smyth (2010).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from hpaxis.moderation.batches import studentiser, t_and_f, weighted_coefficients
from hpaxis.moderation.seeds import generator
from hpaxis.moderation.slopes import quantities
from hpaxis.moderation.units import restricted, restricted_residuals, units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.moderation.linear import LinearFit

COLUMNS = ["method", "quantity", "estimate", "statistic", "p", "se", "low", "high", "draws", "failed"]
# A redrawn statistic equal to the observed one counts as reaching it, whatever the order of summation.
TIE = 1e-9


def resampling_table(
    fit: LinearFit, draws: int, seed: int, name: str = "", at: str | Sequence[float] = "mean_sd"
) -> pd.DataFrame:
    """Return every resampling result of one model, one row per method and quantity.

    Quantities are the product terms, "interaction" (all of them, where there are several) and, for the
    bootstrap, the slopes. Columns: COLUMNS; p is two-sided. ``draws`` per method; the same ``seed`` and
    ``name`` give the same numbers on any number of cores.
    """
    return pd.concat(
        [
            null_table(fit, wild_outcomes(fit, draws, generator(seed, name, "wild")), "restricted wild bootstrap"),
            null_table(fit, permuted_outcomes(fit, draws, generator(seed, name, "permutation")), "Freedman-Lane"),
            bootstrap_table(fit, draws, generator(seed, name, "bootstrap"), at),
        ],
        ignore_index=True,
    )


def wild_outcomes(fit: LinearFit, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return outcomes (draws, n) with no interaction: restricted residuals, signs drawn at random.

    Residuals are divided by 1 - h of the restricted model, as HC3 does. A cluster shares its sign, and its residuals
    are those of the cluster left out.
    """
    design = fit.design
    fitted, _ = restricted(design)
    residuals = restricted_residuals(design, np.eye(design.X.shape[1])[design.interactions], 1.0)
    group, _ = units(design)
    signs = rng.integers(0, 2, (draws, group.max() + 1)) * 2 - 1
    return fitted + signs[:, group] * residuals


def permuted_outcomes(fit: LinearFit, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return outcomes (draws, n) with no interaction: restricted residuals in a random order."""
    fitted, residuals = restricted(fit.design)
    return fitted + residuals[rng.random((draws, len(residuals))).argsort(axis=1)]


def null_table(fit: LinearFit, outcomes: NDArray[np.float64], method: str) -> pd.DataFrame:
    """Return p of each product term, and of all together, from outcomes drawn without interaction."""
    design = fit.design
    student = studentiser(design, fit.cov.kind, design.interactions)
    t, F = t_and_f(*student(design.y[None]))
    t_null, F_null = t_and_f(*student(outcomes))
    rows = [
        (method, term, fit.beta[j], t[0, i], share_reaching(np.abs(t_null[:, i]), abs(t[0, i])), np.nan, len(outcomes))
        for i, (term, j) in enumerate(zip(design.interaction_terms, design.interactions, strict=True))
    ]
    if len(rows) > 1:
        rows.append((method, "interaction", np.nan, F[0], share_reaching(F_null, F[0]), np.nan, len(outcomes)))
    table = pd.DataFrame(rows, columns=["method", "quantity", "estimate", "statistic", "p", "se", "draws"])
    return table.assign(failed=0).reindex(columns=COLUMNS)


def share_reaching(drawn: NDArray[np.float64], observed: float) -> float:
    """Return p = (k + 1) / (N + 1), k the draws that reach the observed value."""
    return (int((drawn >= observed * (1 - TIE)).sum()) + 1) / (len(drawn) + 1)


def bootstrap_counts(
    unit: NDArray[np.int64], stratum: NDArray[np.int64], draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return how often each row is drawn, (draws, n): units drawn with replacement within their stratum."""
    counts = np.zeros((draws, len(stratum)))
    for s in np.unique(stratum):
        members = np.flatnonzero(stratum == s)
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    return counts[:, unit]


def left_out_counts(unit: NDArray[np.int64], stratum: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return row counts (units, n) with one unit left out in each row."""
    return (1 - np.eye(len(stratum)))[:, unit]


def bootstrap_table(
    fit: LinearFit, draws: int, rng: np.random.Generator, at: str | Sequence[float] = "mean_sd"
) -> pd.DataFrame:
    """Return percentile and BCa intervals of products and slopes, rows or clusters drawn within arm.

    Standardised columns keep the sample's scale in every draw. ``failed`` counts draws that could not carry the
    model.
    """
    design = fit.design
    unit, stratum = units(design)
    names, C = quantities(design, at)
    X, y = design.weighted
    drawn = weighted_coefficients(X, y, bootstrap_counts(unit, stratum, draws, rng)) @ C.T
    left_out = weighted_coefficients(X, y, left_out_counts(unit, stratum)) @ C.T
    return interval_rows(names, C @ fit.beta, drawn, left_out, stratum, design.spec.alpha)


def interval_rows(
    names: Sequence[str],
    estimates: NDArray[np.float64],
    drawn: NDArray[np.float64],
    left_out: NDArray[np.float64],
    stratum: NDArray[np.int64],
    alpha: float,
) -> pd.DataFrame:
    """Return percentile and BCa rows from bootstrap draws (N, m) and leave-one-out values (units, m)."""
    kept = drawn[np.isfinite(drawn).all(axis=1)]
    rows = []
    for i, name in enumerate(names):
        a = acceleration(left_out[:, i], stratum)
        for method, ends in (
            ("percentile bootstrap", np.quantile(kept[:, i], [alpha / 2, 1 - alpha / 2])),
            ("BCa bootstrap", bca_interval(estimates[i], kept[:, i], a, alpha)),
        ):
            se, failed = kept[:, i].std(ddof=1), len(drawn) - len(kept)
            rows.append((method, name, estimates[i], np.nan, np.nan, se, *ends, len(drawn), failed))
    return pd.DataFrame(rows, columns=COLUMNS)


def acceleration(left_out: NDArray[np.float64], stratum: NDArray[np.int64]) -> float:
    """Return BCa's acceleration from leave-one-out values (units,) in samples ``stratum`` (units,)."""
    third = second = 0.0
    for s in np.unique(stratum):
        values = left_out[(stratum == s) & np.isfinite(left_out)]
        influence = (len(values) - 1) * (values.mean() - values) / len(values)
        third += (influence**3).sum()
        second += (influence**2).sum()
    return third / (6 * second**1.5) if second > 0 else 0.0


def bca_interval(estimate: float, drawn: NDArray[np.float64], a: float, alpha: float) -> NDArray[np.float64]:
    """Return the ends of the bias-corrected and accelerated interval (Efron, 1987)."""
    below = (np.sum(drawn < estimate) + 0.5 * np.sum(drawn == estimate)) / len(drawn)
    z0 = stats.norm.ppf(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn)))
    z = stats.norm.ppf([alpha / 2, 1 - alpha / 2])
    return np.quantile(drawn, stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))))


def family_table(fits: Mapping[str, LinearFit], draws: int, seed: int, name: str = "") -> pd.DataFrame:
    """Return the interaction of every predictor of a family, with all corrections, one row per product term.

    ``fits`` maps each predictor to its `LinearFit`; all on the same rows. Columns: predictor, term, estimate,
    se, t, df, p, low, high, p_holm, p_bh, p_effective (Li & Ji, 2005: 1 - (1 - p)^effective_tests),
    effective_tests, p_max_t (Freedman-Lane, the same permutation of rows for every predictor), draws, n,
    covariance.
    """
    rows, drawn = [], []
    order = generator(seed, name, "family").random((draws, next(iter(fits.values())).design.n)).argsort(axis=1)
    for predictor, fit in fits.items():
        design = fit.design
        student = studentiser(design, fit.cov.kind, design.interactions)
        fitted, residuals = restricted(design)
        drawn.append(np.abs(t_and_f(*student(fitted + residuals[order]))[0]))
        table = fit.contrasts(np.eye(len(fit.beta))[design.interactions])
        table.insert(0, "term", design.interaction_terms)
        table.insert(0, "predictor", predictor)
        rows.append(table)
    table = pd.concat(rows, ignore_index=True)
    most = np.concatenate(drawn, axis=1).max(axis=1)
    tests = effective_tests(np.column_stack([f.design.x for f in fits.values()])) * len(table) / len(fits)
    return table.assign(
        p_holm=multipletests(table["p"], method="holm")[1],
        p_bh=multipletests(table["p"], method="fdr_bh")[1],
        p_effective=1 - (1 - table["p"]) ** tests,
        effective_tests=tests,
        p_max_t=[share_reaching(most, abs(t)) for t in table["t"]],
        draws=draws,
        n=next(iter(fits.values())).design.n,
        covariance=next(iter(fits.values())).cov.kind,
    )


def effective_tests(columns: NDArray[np.float64]) -> float:
    """Return the effective number of independent tests of correlated columns (n, m), after Li & Ji (2005)."""
    if columns.shape[1] == 1:
        return 1.0
    values = np.abs(np.linalg.eigvalsh(np.corrcoef(columns, rowvar=False)))
    values = np.round(values, 10)
    return float(((values >= 1) + (values - np.floor(values))).sum())
