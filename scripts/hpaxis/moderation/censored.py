"""An outcome known only to lie beyond a limit: Tobit regression (Tobin, 1958), in Olsen's (1978) parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from hpaxis.moderation.covariance import Covariance
from hpaxis.moderation.linear import LinearFit
from hpaxis.moderation.resample import left_out_counts
from hpaxis.moderation.units import units
from hpaxis.problems import InputError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.moderation.design import Design


def fit_tobit(design: Design, side: NDArray[np.int64], kind: str = "HC3") -> LinearFit:
    """Return the `LinearFit` of a censored regression.

    ``design.y`` holds the value, or the limit where ``side`` (n,) is -1 (below) or 1 (above); 0 is a value. The
    covariance is that of the observed information for kind OLS, else the delete-one jackknife's, of which HC3
    is the least-squares approximation (clusters are left out whole). t has n - k degrees of freedom.
    """
    w = design.root**2
    theta, information = _maximum(design.X, design.y, side, w)
    k = design.X.shape[1]
    beta, sigma = theta[:k] / theta[k], 1 / theta[k]
    if kind == "OLS":
        J = np.zeros((k, k + 1))
        J[:, :k] = np.eye(k) * sigma
        J[:, k] = -beta * sigma
        V, name = J @ np.linalg.inv(information) @ J.T, "Tobit information"
    else:
        unit, stratum = units(design)
        drawn = []
        for counts in left_out_counts(unit, stratum):
            other, _ = _maximum(design.X, design.y, side, counts * w, theta)
            drawn.append(other[:k] / other[k])
        centred = np.array(drawn) - np.mean(drawn, axis=0)
        V, name = (len(drawn) - 1) / len(drawn) * centred.T @ centred, "Tobit jackknife"
    cov = Covariance(name, V, design.n - k)
    return LinearFit(design, beta, design.y - design.X @ beta, np.zeros(design.n), cov)


def _maximum(
    X: NDArray[np.float64],
    y: NDArray[np.float64],
    side: NDArray[np.int64],
    counts: NDArray[np.float64],
    start: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``(theta, information)`` at the maximum, theta = (beta / sigma, 1 / sigma), by Newton's method."""
    k = X.shape[1]
    if start is None:
        b, *_ = np.linalg.lstsq(X, y, rcond=None)
        s = np.sqrt(((y - X @ b) ** 2).mean())
        start = np.r_[b / s, 1 / s]
    theta = start.copy()
    W = np.column_stack([X, -y])
    value = _log_likelihood(W, side, counts, theta)[0]
    for _ in range(100):
        _, gradient, information = _log_likelihood(W, side, counts, theta)
        step = np.linalg.solve(information, gradient)
        size = 1.0
        while True:
            new = theta + size * step
            if new[k] > 0 and (reached := _log_likelihood(W, side, counts, new)[0]) >= value - 1e-12 * abs(value):
                break
            size /= 2
            if size < 1e-10:
                raise InputError(Problem("data", "the censored regression does not converge", "use fewer covariates"))
        theta, moved, value = new, abs(size * step).max(), reached
        if moved < 1e-10 * max(1, abs(theta).max()):
            break
    return theta, _log_likelihood(W, side, counts, theta)[2]


def _log_likelihood(
    W: NDArray[np.float64], side: NDArray[np.int64], counts: NDArray[np.float64], theta: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Log likelihood, gradient and information in Olsen's parameters; W = (X, -y), W theta = -residual."""
    r = W @ theta
    exact, g = side == 0, theta[-1]
    # A value below its limit has probability Phi(-r); one above Phi(r).
    z = np.where(side == -1, -r, r)
    with np.errstate(divide="ignore"):
        log_p = stats.norm.logcdf(z)
    mills = np.exp(stats.norm.logpdf(z) - log_p)
    sign = np.where(side == -1, -1.0, 1.0)
    value = counts @ np.where(exact, np.log(g) - r**2 / 2, log_p)
    first = counts * np.where(exact, -r, sign * mills)
    second = counts * np.where(exact, 1.0, mills * (z + mills))
    gradient = W.T @ first
    gradient[-1] += counts[exact].sum() / g
    information = (W * second[:, None]).T @ W
    information[-1, -1] += counts[exact].sum() / g**2
    return value, gradient, information
