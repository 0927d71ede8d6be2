"""Is the predictor itself an effect of the moderator? Asked before any moderation is read (T to M)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from hpaxis.moderation.covariance import covariance
from hpaxis.moderation.linear import STATISTICS, contrast_table, least_squares

if TYPE_CHECKING:
    from hpaxis.moderation.design import Design

COLUMNS = ["comparison", "n", "mean", "sd", *STATISTICS, "test", "covariance", "sided"]


def predictor_table(design: Design, kind: str = "HC3") -> pd.DataFrame:
    """Return the test of the predictor on the moderator: T to M.

    With arms: a row each arm (n, mean, sd), a row each pair (difference of means with covariance ``kind``), a
    Wald F over all arms where there are more than two, and Brown and Forsythe's test of equal spread. With a
    continuous moderator: the slope of the predictor on it. Columns: COLUMNS.
    """
    x, alpha, moderator = design.x, design.spec.alpha, design.moderator
    codes = np.array([moderator.code(v) for v in design.arm])
    X = np.column_stack([np.ones(design.n), codes]) * design.root[:, None]
    beta, residuals = least_squares(X, x * design.root)
    clusters = design.data[design.spec.cluster].to_numpy() if design.spec.cluster else None
    cov = covariance(kind, X, residuals, clusters, design.data.index.to_numpy())
    if moderator.levels is None:
        table = contrast_table(beta, cov, np.array([[0.0, 1.0]]), alpha)
        table.insert(0, "comparison", f"slope on {moderator.name}")
        return table.assign(n=design.n, test="t", covariance=cov.kind, sided="two").reindex(columns=COLUMNS)
    groups = {a: x[design.arm == a] for a in moderator.levels}
    arms = pd.DataFrame({
        "comparison": [str(a) for a in groups],
        "n": [len(g) for g in groups.values()],
        "mean": [g.mean() for g in groups.values()],
        "sd": [g.std(ddof=1) for g in groups.values()],
    })  # fmt: skip
    C = np.array([np.r_[0.0, moderator.code(a) - moderator.code(b)] for a, b in moderator.pairs])
    pairs = contrast_table(beta, cov, C, alpha)
    pairs.insert(0, "comparison", [f"{a} - {b}" for a, b in moderator.pairs])
    pairs = pairs.assign(n=design.n, test="t", covariance=cov.kind, sided="two")
    spread = stats.levene(*groups.values(), center="median")
    q, df = len(groups) - 1, design.n - len(groups)
    tests = [("equal spread", spread.statistic, df, spread.pvalue, "Brown-Forsythe F", "OLS")]
    if len(groups) > 2:
        V = cov.matrix[1:, 1:]
        F = beta[1:] @ np.linalg.solve(V, beta[1:]) / q
        tests.insert(0, ("all arms", F, df, stats.f.sf(F, q, df), "Wald F", cov.kind))
    joint = pd.DataFrame(tests, columns=["comparison", "t", "df", "p", "test", "covariance"]).assign(n=design.n)
    return pd.concat([t.reindex(columns=COLUMNS).astype(object) for t in (arms, pairs, joint)], ignore_index=True)
