"""Bands that hold over a whole range at once, and the regions that follow from them.

A line over a range is a two-dimensional problem: seen from the covariance, the range is an arc of directions. The
critical constant for a restricted range is that of Liu, Jamshidian, Zhang, Bretz & Han (2007): under normal theory one
integral, and with a robust covariance, whose t is not Student's at n = 44, by simulation: a restricted wild bootstrap
of the largest |t| over the range. With clusters it is the integral again, on Satterthwaite's degrees of freedom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, stats

from hpaxis.moderation.batches import studentiser
from hpaxis.moderation.covariance import KINDS
from hpaxis.moderation.seeds import generator
from hpaxis.moderation.units import restricted_residuals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.moderation.covariance import Covariance
    from hpaxis.moderation.linear import LinearFit

DRAWS = 4999
BEYOND = 1e9  # a band of so many standard errors says nothing, and its root is not found in floating point
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)


def arc(correlation: float) -> float:
    """Return the angle (0 to pi) that a line's direction sweeps over a range, from the correlation of its two ends."""
    return float(np.arccos(np.clip(correlation, -1.0, 1.0)))


def coverage(critical: float, angle: float, df: float) -> float:
    """Return the chance that a line stays within ``critical`` standard errors of the truth over the whole arc.

    With R^2 / 2 over the error variance F(2, df) and the direction uniform, the largest |t| is R where the direction
    lies within the arc (or opposite), and R cos(d) where it lies d beyond its nearer end.
    """
    inside = angle / np.pi
    half = (np.pi - angle) / 2
    d = half * (NODES + 1) / 2
    beyond = (WEIGHTS * _within(critical / np.cos(d), df)).sum() / 2
    return float(inside * _within(critical, df) + (1 - inside) * beyond)


def _within(radius: float | NDArray[np.float64], df: float) -> float | NDArray[np.float64]:
    """P(R <= radius): F(2, df) has the closed form 1 - (1 + r^2 / df)^(-df / 2)."""
    return 1 - (1 + np.square(radius) / df) ** (-df / 2)


def simultaneous_critical(correlation: float, df: float, alpha: float) -> float:
    """Return the constant c: a band of c standard errors holds over the range with probability 1 - alpha.

    ``correlation`` of the estimates at the two ends of the range: 1 gives the pointwise t, -1 Scheffe's constant. So
    few degrees of freedom that either is beyond `BEYOND` give Scheffe's, which is never too short.
    """
    low, high = stats.t.isf(alpha / 2, df), np.sqrt(2 * stats.f.isf(alpha, 2, df))
    angle = arc(correlation)
    if angle == 0:
        return float(low)
    if not high < BEYOND:
        return float(high)
    return float(optimize.brentq(lambda c: coverage(c, angle, df) - (1 - alpha), low * 0.999, high * 1.001))


def critical_over(cov: Covariance, start: np.ndarray, end: np.ndarray, alpha: float) -> float:
    """Return the constant for the line between two contrasts ``start`` and ``end`` (k,) of a `Covariance`.

    Where degrees of freedom depend on the contrast (CR2, imputations), the smallest along the line are taken.
    """
    share = np.linspace(0, 1, 21)[:, None]
    C = (1 - share) * start + share * end
    ends = C[[0, -1]]
    V = ends @ cov.matrix @ ends.T
    return simultaneous_critical(V[0, 1] / np.sqrt(V[0, 0] * V[1, 1]), float(np.min(cov.df(C))), alpha)


def simulated_critical(
    fit: LinearFit, start: np.ndarray, end: np.ndarray, alpha: float, seed: int = 0, name: str = ""
) -> float:
    """Return the constant for the line between two contrasts (k,) of a least-squares fit, by simulation.

    Outcomes are redrawn with the whole line at zero: signs at random on the residuals of that fit over sqrt(1 - h); the
    constant is the 1 - alpha quantile of the largest |t| over the range, the line's own covariance refitted in each of
    DRAWS draws. Classical errors, CR2 (few clusters have few sign patterns, and their constant is too small) and fits
    that are no least squares take `critical_over`. The same ``seed`` and ``name`` give the same constant.
    """
    if fit.cov.kind not in KINDS or fit.cov.kind in ("OLS", "CR2"):
        return critical_over(fit.cov, start, end, alpha)
    design, C = fit.design, np.array([start, end])
    residuals = restricted_residuals(design, C, 0.5)
    signs = generator(seed, name, "band").integers(0, 2, (DRAWS, design.n)) * 2.0 - 1
    b, V = studentiser(design, fit.cov.kind, C=C)(signs * residuals)
    return float(np.quantile(np.sqrt(largest_square(b, V)), 1 - alpha, method="higher"))


def largest_square(b: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Return the largest t squared between two contrasts, (N,), from their estimates (N, 2) and covariance (N, 2, 2).

    Over all mixtures of the two it is b' V^-1 b; where the mixture that reaches it has weights of one sign it lies
    between them, else the larger end counts.
    """
    ends = (b**2 / np.einsum("Nii->Ni", V)).max(axis=1)
    determinant = V[:, 0, 0] * V[:, 1, 1] - V[:, 0, 1] ** 2
    first = (V[:, 1, 1] * b[:, 0] - V[:, 0, 1] * b[:, 1]) / determinant
    second = (V[:, 0, 0] * b[:, 1] - V[:, 0, 1] * b[:, 0]) / determinant
    return np.where(first * second > 0, b[:, 0] * first + b[:, 1] * second, ends)
