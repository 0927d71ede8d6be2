"""Multiple imputation within arm, and Rubin's rules carried into coefficients, slopes and region.

Chained Bayesian linear regressions, as the method norm of R's mice draws them. Pooling: Rubin (1987), degrees
of freedom Barnard & Rubin (1999). The product term enters as just another variable (von Hippel, 2009): imputing
each arm on its own lets every relation differ by arm. Censored values are drawn from their fitted distribution
beyond their limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special, stats

from hpaxis.moderation.design import build_design, is_factor, prepared
from hpaxis.moderation.linear import LinearFit, fit_linear

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.moderation.design import Spec

ITERATIONS = 20
DONORS = 5


@dataclass(frozen=True)
class PooledCovariance:
    """Rubin's total covariance: ``within`` (k, k) and ``between`` (k, k) over ``m`` imputations.

    Offers what `Covariance` does, so that slopes and regions are computed by the same functions.
    """

    kind: str
    within: np.ndarray
    between: np.ndarray
    m: int
    df_residual: int
    clusters: int | None = None
    each: tuple = ()
    df_is_constant: bool = False

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Total covariance, within + (1 + 1/m) between."""
        return self.within + (1 + 1 / self.m) * self.between

    def variance(self, C: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance of each contrast in ``C`` (m, k)."""
        return np.einsum("ij,jk,ik->i", C, self.matrix, C)

    def df(self, C: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Barnard and Rubin's degrees of freedom of each contrast."""
        between = (1 + 1 / self.m) * np.einsum("ij,jk,ik->i", C, self.between, C)
        share = between / self.variance(C)
        # Under CR2 each contrast has Satterthwaite's df in every imputation: their mean stands for complete data.
        complete = np.mean([c.df(C) for c in self.each], axis=0) if self.each else self.df_residual
        observed = (complete + 1) / (complete + 3) * complete * (1 - share)
        with np.errstate(divide="ignore"):
            old = (self.m - 1) / share**2
        return np.where(share > 0, 1 / (1 / np.maximum(old, 1e-300) + 1 / observed), observed)

    def critical(self, C: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
        """Return the two-sided critical t of each contrast."""
        return stats.t.isf(alpha / 2, self.df(C))


@dataclass(frozen=True)
class Imputations:
    """Completed data sets and how they came about.

    ``sets``: data frames with no missing value in the model's columns. ``diagnostics``: one row per column and
    arm: n, missing, censored, mean and SD observed and imputed. ``trace``: mean of imputed values by iteration
    and imputation.
    """

    sets: list
    diagnostics: pd.DataFrame
    trace: pd.DataFrame


def impute(
    data: pd.DataFrame,
    columns: Sequence[str],
    strata: np.ndarray,
    m: int,
    rng: np.random.Generator,
    limits: Mapping[str, pd.DataFrame] | None = None,
) -> Imputations:
    """Return `Imputations` of ``columns`` by chained Bayesian regressions within each stratum.

    ``strata`` (n,) are the arms (one value for all where the moderator is continuous). ``limits`` maps a column
    to a frame (low, high) with the bounds of each row's censored value, NaN where there is none. Rows missing
    every column stay missing and are dropped.
    """
    limits = limits or {}
    holes = [c for c in columns if data[c].isna().any()]
    sets, traces = [], []
    for i in range(m):
        filled = data.copy()
        for stratum in pd.unique(strata):
            rows = strata == stratum
            completed, trace = _chain(data[rows], columns, holes, {c: f[rows] for c, f in limits.items()}, rng)
            for c, values in completed.items():
                filled.loc[rows, c] = values
            traces += [(i + 1, stratum, it + 1, c, v) for it, c, v in trace]
        sets.append(filled)
    trace = pd.DataFrame(traces, columns=["imputation", "arm", "iteration", "column", "mean_imputed"])
    return Imputations(sets, _diagnostics(data, sets, holes, strata, limits), trace)


def _chain(
    data: pd.DataFrame,
    columns: Sequence[str],
    holes: Sequence[str],
    limits: Mapping[str, pd.DataFrame],
    rng: np.random.Generator,
) -> tuple[dict[str, np.ndarray], list[tuple[int, str, float]]]:
    """One run of chained regressions on one stratum; returns the completed holes and the trace."""
    factors = {c: sorted(data[c].dropna().unique(), key=str) for c in columns if is_factor(data[c])}
    missing = {c: data[c].isna().to_numpy() for c in holes}
    bounds = {c: (f["low"].fillna(-np.inf).to_numpy(), f["high"].fillna(np.inf).to_numpy()) for c, f in limits.items()}
    values = {c: data[c].to_numpy(object if c in factors else float).copy() for c in columns}
    for c in holes:
        values[c][missing[c]] = rng.choice(values[c][~missing[c]], missing[c].sum())
        if c in bounds:
            values[c] = np.clip(values[c], *bounds[c])
    blocks = {c: _block(values[c], factors.get(c)) for c in columns}
    one, trace = np.ones((len(data), 1)), []
    for iteration in range(ITERATIONS):
        for c in holes:
            if not missing[c].any():
                continue
            X = np.column_stack([one, *(blocks[o] for o in columns if o != c)])
            X = X[:, np.r_[True, np.ptp(X[:, 1:], axis=0) > 0]]
            if c in factors:
                values[c][missing[c]] = _draw_factor(values[c], missing[c], X, factors[c], rng)
            else:
                drawn = _draw_number(values[c], missing[c], X, bounds.get(c), rng)
                values[c][missing[c]] = drawn
                trace.append((iteration, c, float(drawn.mean())))
            blocks[c] = _block(values[c], factors.get(c))
    return {c: values[c] for c in holes}, trace


def _block(values: np.ndarray, levels: Sequence[Any] | None) -> np.ndarray:
    """A column as regressors (n, .): itself, or indicators against its first level."""
    return values[:, None] if levels is None else (values[:, None] == np.array(levels[1:], dtype=object)).astype(float)


def _draw_number(
    y: NDArray[np.float64],
    missing: NDArray[np.bool_],
    X: NDArray[np.float64],
    bounds: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw missing values from the posterior predictive of a Bayesian linear regression.

    Rows with a censored value stand in the regression with their current draw (data augmentation).
    """
    low, high = bounds if bounds is not None else (np.full(len(y), -np.inf), np.full(len(y), np.inf))
    known = ~missing | np.isfinite(low) | np.isfinite(high)
    n, k = known.sum(), X.shape[1]
    scale = np.sqrt((X[known] ** 2).mean(axis=0))
    Z = X / scale
    # A trace of ridge keeps the draw defined when an arm has few rows (as in mice).
    A = Z[known].T @ Z[known]
    A += np.diag(np.diag(A)) * 1e-5
    inverse = np.linalg.inv(A)
    b = inverse @ (Z[known].T @ y[known])
    rss = ((y[known] - Z[known] @ b) ** 2).sum()
    sigma = np.sqrt(rss / rng.chisquare(max(n - k, 1)))
    b = b + sigma * np.linalg.cholesky(inverse) @ rng.standard_normal(k)
    mean = Z[missing] @ b
    u = rng.random(missing.sum())
    from_, to = (special.ndtr((end[missing] - mean) / sigma) for end in (low, high))
    return mean + sigma * special.ndtri(np.clip(from_ + u * (to - from_), 1e-12, 1 - 1e-12))


def _draw_factor(
    values: np.ndarray,
    missing: NDArray[np.bool_],
    X: NDArray[np.float64],
    levels: Sequence[Any],
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw missing levels from donors whose predicted indicators are nearest (predictive mean matching)."""
    Y = (values[:, None] == np.array(levels, dtype=object)).astype(float)
    fitted = X @ np.linalg.lstsq(X[~missing], Y[~missing], rcond=None)[0]
    distance = ((fitted[missing][:, None] - fitted[~missing][None]) ** 2).sum(axis=2)
    donors = distance.argsort(axis=1, kind="stable")[:, :DONORS]
    chosen = donors[np.arange(len(donors)), rng.integers(0, donors.shape[1], len(donors))]
    return values[~missing][chosen]


def _diagnostics(
    data: pd.DataFrame,
    sets: Sequence[pd.DataFrame],
    holes: Sequence[str],
    strata: np.ndarray,
    limits: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    rows = []
    for c in holes:
        if is_factor(data[c]):
            continue
        censored = limits[c].notna().any(axis=1).to_numpy() if c in limits else np.zeros(len(data), dtype=bool)
        for stratum in pd.unique(strata):
            here = strata == stratum
            gone = here & data[c].isna().to_numpy()
            if not gone.any():
                continue
            seen = data.loc[here & ~gone, c].astype(float)
            drawn = np.concatenate([s.loc[gone, c].to_numpy(float) for s in sets])
            rows.append((c, stratum, int(here.sum()), int((gone & ~censored).sum()), int((gone & censored).sum()),
                         seen.mean(), seen.std(ddof=1), drawn.mean(), drawn.std(ddof=1)))  # fmt: skip
    names = ["column", "arm", "n", "missing", "censored", "mean_observed", "sd_observed", "mean_imputed", "sd_imputed"]
    return pd.DataFrame(rows, columns=names)


PRODUCT = "(product)"


def fit_imputed(
    data: pd.DataFrame,
    spec: Spec,
    kind: str,
    m: int,
    rng: np.random.Generator,
    auxiliary: Sequence[str] = (),
    limits: Mapping[str, pd.DataFrame] | None = None,
) -> tuple[LinearFit, Imputations]:
    """Fit a model on ``m`` imputations and pool it. Returns ``(LinearFit, Imputations)``.

    Rows without a moderator arm or a weight are left out; all others count, people without a cluster as their own.
    Standardised columns take the scale of the complete cases, so that estimates stand beside theirs. With a continuous
    moderator the product is imputed as a column of its own. ``limits`` as in `impute`, on the data's scale.
    """
    scales = build_design(data, spec).scales
    data = prepared(data, spec)
    arms = is_factor(data[spec.moderator]) or data[spec.moderator].nunique() == 2
    fixed = ([spec.moderator] if arms else []) + [c for c in (spec.cluster, spec.weights) if c]
    rows = data[data[fixed].notna().all(axis=1)] if fixed else data
    rows, limits = _rescaled(rows, limits or {}, scales)
    columns = [c for c in dict.fromkeys([*spec.columns, *auxiliary]) if c not in fixed]
    if not arms:
        rows = rows.assign(**{PRODUCT: rows[spec.predictor] * rows[spec.moderator]})
        columns.append(PRODUCT)
    strata = rows[spec.moderator].astype(object).to_numpy() if arms else np.zeros(len(rows), dtype=int)
    imputations = impute(rows, columns, strata, m, rng, limits)
    plain = replace(spec, standardise=())
    fits = []
    for one in imputations.sets:
        design = build_design(one, plain)
        if not arms:
            X = design.X.copy()
            X[:, design.interactions[0]] = one[PRODUCT].to_numpy(float)
            design = replace(design, X=X)
        fits.append(fit_linear(replace(design, spec=spec, scales=scales), kind))
    return pool(fits), imputations


def _rescaled(
    rows: pd.DataFrame, limits: Mapping[str, pd.DataFrame], scales: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Put standardised columns, and the limits of censored ones, on the model's scale."""
    for name in scales.index[scales["standardised"]]:
        mean, sd = scales.loc[name, ["mean", "sd"]]
        rows = rows.assign(**{name: (rows[name] - mean) / sd})
        if name in limits:
            limits = {**limits, name: (limits[name] - mean) / sd}
    return rows, {c: f.loc[rows.index] for c, f in limits.items()}


def pool(fits: Sequence[LinearFit]) -> LinearFit:
    """Return one `LinearFit` from fits of the same model on each imputation, by Rubin's rules.

    Its design holds the averages over imputations, for observed ranges only.
    """
    betas = np.array([f.beta for f in fits])
    within = np.mean([f.cov.matrix for f in fits], axis=0)
    between = np.atleast_2d(np.cov(betas, rowvar=False))
    first = fits[0]
    cov = PooledCovariance(
        first.cov.kind,
        within,
        between,
        len(fits),
        first.cov.df_residual,
        first.cov.clusters,
        tuple(f.cov for f in fits),
    )
    data = first.design.data.copy()
    for name in first.design.scales.index:
        data[name] = np.mean([f.design.data[name].to_numpy(float) for f in fits], axis=0)
    X, y = np.mean([f.design.X for f in fits], axis=0), np.mean([f.design.y for f in fits], axis=0)
    beta = betas.mean(axis=0)
    return LinearFit(replace(first.design, X=X, y=y, data=data), beta, y - X @ beta, first.hat, cov)
