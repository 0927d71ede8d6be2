"""Quantiles and tails of the common distributions, from SciPy's special functions.

`scipy.stats` gives the same numbers, and takes longer to import than most jobs take to work.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


def normal_quantile(p: ArrayLike) -> np.ndarray:
    """Quantile of the standard normal distribution: 1.96 at .975."""
    return special.ndtri(p)


def student_quantile(p: ArrayLike, df: ArrayLike) -> np.ndarray:
    """Quantile of Student's t; with infinite degrees of freedom the normal's; NaN without any."""
    df = np.asarray(df, dtype=float)
    known = np.where(np.isfinite(df) & (df > 0), df, 1)
    found = np.where(np.isinf(df), special.ndtri(p), special.stdtrit(known, p))
    return np.where(df > 0, found, np.nan)[()]


def chi2_quantile(p: ArrayLike, df: ArrayLike) -> np.ndarray:
    """Quantile of the χ² distribution."""
    return 2 * special.gammaincinv(np.asarray(df, dtype=float) / 2, p)


def poisson_tail(k: ArrayLike, mean: ArrayLike) -> np.ndarray:
    """Probability of more than k events; 1 for a negative k."""
    k = np.floor(k)
    return np.where(k < 0, 1.0, special.pdtrc(np.maximum(k, 0), mean))[()]


def binomial_tail(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Probability of more than k successes in n trials; 1 for a negative k, 0 from n on."""
    k, n = np.floor(k), np.asarray(n, dtype=float)
    inside = (k >= 0) & (k < n)
    # P(X > k) is the regularised incomplete beta function I_p(k + 1, n - k).
    found = special.betainc(np.where(inside, k + 1, 1), np.where(inside, n - k, 1), p)
    return np.where(inside, found, np.where(k < 0, 1.0, 0.0))[()]
