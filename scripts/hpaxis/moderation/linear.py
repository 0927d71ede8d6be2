"""Least squares with one covariance, and every statistic of the fit recomputed from its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from hpaxis.moderation.covariance import Covariance, covariance, hat_values
from hpaxis.moderation.design import Design
from hpaxis.problems import InputError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Residuals below this share of the outcome's range are those of arithmetic.
EXACT = 1e-12
STATISTICS = ["estimate", "se", "t", "df", "p", "low", "high"]


@dataclass(frozen=True)
class LinearFit:
    """Coefficients ``beta`` (k,), ``residuals`` (n,), leverage ``hat`` (n,) and the covariance ``cov``."""

    design: Design
    beta: np.ndarray
    residuals: np.ndarray
    hat: np.ndarray
    cov: Covariance

    def contrasts(self, C: NDArray[np.float64], alpha: float | None = None) -> pd.DataFrame:
        """Return a table (estimate, se, t, df, p, low, high) with one row for each contrast in ``C`` (m, k)."""
        return contrast_table(self.beta, self.cov, np.atleast_2d(C), alpha or self.design.spec.alpha)


def fit_linear(design: Design, kind: str = "HC3", source: str = "data") -> LinearFit:
    """Fit ``design`` by least squares with covariance ``kind``, rows weighted where its spec names weights.

    Weighted errors are those of sandwich for a weighted lm: rows times the root of their weight. Raises `InputError`
    where the model fits an arm exactly, so that there is no error to estimate.
    """
    X, y = design.weighted
    beta, residuals = least_squares(X, y)
    arms = [design.arm == a for a in design.moderator.levels] if design.moderator.levels is not None else []
    if any(np.abs(residuals[arm]).max() < EXACT * np.ptp(y) for arm in arms):
        what = "follows the model exactly in an arm: there is no error to estimate"
        remedy = "look for a column that it was computed from"
        raise InputError(Problem(source, what, remedy, column=design.spec.outcome))
    clusters = design.data[design.spec.cluster].to_numpy() if design.spec.cluster else None
    labels = design.data.index.to_numpy()
    cov = covariance(kind, X, residuals, clusters, labels, source)
    return LinearFit(design, beta, residuals / design.root, hat_values(X), cov)


def least_squares(X: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coefficients (k,) and residuals (n,)."""
    Q, R = np.linalg.qr(X)
    beta = np.linalg.solve(R, Q.T @ y)
    return beta, y - X @ beta


def contrast_table(beta: NDArray[np.float64], cov: Covariance, C: NDArray[np.float64], alpha: float) -> pd.DataFrame:
    """Return estimate, se, t, df, two-sided p and the interval of each contrast in ``C`` (m, k)."""
    estimate = C @ beta
    se = np.sqrt(cov.variance(C))
    return t_table(estimate, se, cov.df(C), alpha)


def t_table(
    estimate: NDArray[np.float64], se: NDArray[np.float64], df: NDArray[np.float64], alpha: float
) -> pd.DataFrame:
    """Return the table of estimates with Student's t on ``df`` degrees of freedom."""
    t = estimate / se
    half = stats.t.isf(alpha / 2, df) * se
    values = [estimate, se, t, df, 2 * stats.t.sf(np.abs(t), df), estimate - half, estimate + half]
    return pd.DataFrame(dict(zip(STATISTICS, values, strict=True)))


def coefficient_table(fit: LinearFit) -> pd.DataFrame:
    """Return the coefficients: term, estimate, se, t, df, p, low, high, covariance, sided."""
    table = fit.contrasts(np.eye(len(fit.beta)))
    table.insert(0, "term", list(fit.design.terms))
    return table.assign(covariance=fit.cov.kind, sided="two")


def wald_f(fit: LinearFit, columns: Sequence[int]) -> tuple[float, int, float, float]:
    """Return (F, df1, df2, p) that the coefficients in ``columns`` are all zero, with the fit's covariance.

    F, df2 and p are NaN where CR2 has too few clusters for as many coefficients.
    """
    F, q, df2 = fit.cov.joint_test(np.eye(len(fit.beta))[columns], fit.beta[columns])
    return F, q, df2, stats.f.sf(F, q, df2)


def r_squared(X: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the share of the outcome's variance that the columns of X (the intercept first) explain."""
    _, residuals = least_squares(X, y)
    _, total = least_squares(X[:, :1], y)
    return 1 - residuals @ residuals / (total @ total)


def f_from_r2(delta: float, r2: float, df1: int, df2: int) -> tuple[float, float]:
    """Return (F, p) of a rise ``delta`` in R2 up to ``r2``: F = (delta / df1) / ((1 - r2) / df2)."""
    F = (delta / df1) / ((1 - r2) / df2)
    return F, stats.f.sf(F, df1, df2)


def fit_table(fit: LinearFit) -> pd.DataFrame:
    """Return the statistics of the whole model, one a row: statistic, value, df1, df2, p, covariance, formula.

    F values come twice: from R2 (classical) and as Wald tests with the fit's covariance.
    """
    design = fit.design
    n, k = design.X.shape
    q, df = len(design.interactions), n - k
    X, y = design.weighted
    r2 = r_squared(X, y)
    without = r_squared(np.delete(X, design.interactions, axis=1), y)
    e = fit.residuals * design.root
    delta = r2 - without
    omnibus, p_omnibus = f_from_r2(r2, r2, k - 1, df)
    interaction, p_interaction = f_from_r2(delta, r2, q, df)
    rows = [("n", n, None, None, None, "", "complete cases")]
    if design.moderator.levels is not None:
        rows += [
            (f"n[{a}]", int((design.arm == a).sum()), None, None, None, "", f"complete cases in {a}")
            for a in design.moderator.levels
        ]
    if fit.cov.clusters is not None:
        rows.append(("clusters", fit.cov.clusters, None, None, None, "", f"values of {design.spec.cluster}"))
    rows += [
        ("terms", k, None, None, None, "", "columns of the design, with the intercept"),
        ("df_residual", df, None, None, None, "", "n - terms"),
        ("sigma", np.sqrt(e @ e / df), None, None, None, "", "sqrt(RSS / df_residual)"),
        ("r2", r2, None, None, None, "", "1 - RSS / TSS"),
        ("r2_adjusted", 1 - (1 - r2) * (n - 1) / df, None, None, None, "", "1 - (1 - r2)(n - 1) / df_residual"),
        ("r2_without_interaction", without, None, None, None, "", "r2 without the product terms"),
        ("delta_r2", delta, None, None, None, "", "r2 - r2_without_interaction"),
        ("f2", delta / (1 - r2), None, None, None, "", "delta_r2 / (1 - r2)"),
        ("f2_model", r2 / (1 - r2), None, None, None, "", "r2 / (1 - r2)"),
        ("f_omnibus", omnibus, k - 1, df, p_omnibus, "OLS", "(r2 / df1) / ((1 - r2) / df2)"),
        ("f_interaction", interaction, q, df, p_interaction, "OLS", "(delta_r2 / df1) / ((1 - r2) / df2)"),
        ("wald_omnibus", *wald_f(fit, list(range(1, k))), fit.cov.kind, "b' V^-1 b / df1"),
        ("wald_interaction", *wald_f(fit, design.interactions), fit.cov.kind, "b3' V33^-1 b3 / df1"),
        ("max_leverage", fit.hat.max(), None, None, None, "", "largest hat value"),
    ]
    for name, scale in design.scales.iterrows():
        rows.append((f"mean[{name}]", scale["mean"], None, None, None, "", "before standardising"))
        rows.append((f"sd[{name}]", scale["sd"], None, None, None, "", "before standardising, n - 1"))
    return pd.DataFrame(rows, columns=["statistic", "value", "df1", "df2", "p", "covariance", "formula"])
