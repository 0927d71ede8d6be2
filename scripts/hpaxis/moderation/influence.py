"""What each row does to the interaction: leverage, Cook's distance, DFBETAS, leaving one out, and the region."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from hpaxis.moderation.covariance import LEVERAGE_LIMIT, covariance, cross_inverse
from hpaxis.moderation.linear import LinearFit, least_squares
from hpaxis.moderation.region import region_table


def influence_table(fit: LinearFit) -> pd.DataFrame:
    """Return one row per case and product term, with what the case does to that term.

    Columns: row label, term, leverage, studentised (externally studentised residual), cooks_d (Cook & Weisberg,
    1982; always from the classical covariance), dfbetas (change of the estimate in its own SE),
    estimate_without, se_without, p_without (the case left out, same covariance; NaN where that is refused), sign_flips,
    flags. Deletion formulas: Belsley, Kuh & Welsch (1980). Flags: leverage over 3k/n, Cook's D over 4/n,
    |DFBETAS| over 2/sqrt(n), sign.
    """
    design = fit.design
    X, _ = design.weighted
    e = fit.residuals * design.root
    h = np.minimum(fit.hat, 1 - 1e-12)
    n, k = X.shape
    bread = cross_inverse(X)
    s2 = e @ e / (n - k)
    s2_without = (e @ e - e**2 / (1 - h)) / (n - k - 1)
    cook = e**2 * h / (k * s2 * (1 - h) ** 2)
    change = (X @ bread) * (e / (1 - h))[:, None]
    without = [_without(fit, i) for i in range(n)]
    label = design.data.index.name or "row"
    parts = []
    for term, j in zip(design.interaction_terms, design.interactions, strict=True):
        dfbetas = change[:, j] / np.sqrt(s2_without * bread[j, j])
        estimate = fit.beta[j] - change[:, j]
        flips = np.sign(estimate) != np.sign(fit.beta[j])
        marks = {
            "leverage": fit.hat > 3 * k / n,
            "cook": cook > 4 / n,
            "dfbetas": np.abs(dfbetas) > 2 / np.sqrt(n),
            "sign": flips,
        }
        parts.append(pd.DataFrame({
            label: design.data.index,
            "term": term,
            "leverage": fit.hat,
            "studentised": e / np.sqrt(s2_without * (1 - h)),
            "cooks_d": cook,
            "dfbetas": dfbetas,
            "estimate_without": estimate,
            "se_without": [np.nan if w is None else np.sqrt(w.cov.matrix[j, j]) for w in without],
            "p_without": [np.nan if w is None else w.contrasts(np.eye(k)[[j]])["p"].iloc[0] for w in without],
            "sign_flips": flips,
            "flags": [";".join(name for name, mark in marks.items() if mark[i]) for i in range(n)],
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def region_without_table(fit: LinearFit) -> pd.DataFrame:
    """Return the region of significance with each case left out.

    Columns: row label, contrast, low, high, kind, observed_kind, n_significant.
    """
    design = fit.design
    label = design.data.index.name or "row"
    parts = []
    for i in range(design.n):
        one = _without(fit, i)
        if one is None:
            continue
        table = region_table(one)[["contrast", "low", "high", "kind", "observed_kind", "n_significant"]]
        table.insert(0, label, design.data.index[i])
        parts.append(table)
    columns = [label, "contrast", "low", "high", "kind", "observed_kind", "n_significant"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _without(fit: LinearFit, i: int) -> LinearFit | None:
    """Refit without row i, on the scale of the whole sample; None where the rest cannot carry the model."""
    design = fit.design
    keep = np.arange(design.n) != i
    smaller = replace(design, y=design.y[keep], X=design.X[keep], data=design.data[keep])
    X, y = smaller.weighted
    if fit.hat[i] > LEVERAGE_LIMIT or np.linalg.matrix_rank(X) < X.shape[1]:
        return None
    beta, residuals = least_squares(X, y)
    clusters = design.data[design.spec.cluster].to_numpy()[keep] if design.spec.cluster else None
    Q, _ = np.linalg.qr(X)
    hat = np.einsum("ij,ij->i", Q, Q)
    if fit.cov.kind in ("HC2", "HC3", "HC4") and hat.max() > LEVERAGE_LIMIT:
        return None
    cov = covariance(fit.cov.kind, X, residuals, clusters)
    return LinearFit(smaller, beta, residuals / smaller.root, hat, cov)
