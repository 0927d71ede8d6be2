"""Levels from readings of which some are only known to lie below a floor: Tobit likelihoods.

A reading y of CpG c in library L is N(m a + m d, s²): m is the library's mean, a how the CpG compares with it in this
study (its profile, mean 1), d ~ N(0, w²) what this library's CpG deviates by (the same in all its wells), s the
instrument's error. A censored reading contributes the probability to lie below its limit (Tobin, 1958). d is integrated
out by Gauss-Hermite quadrature. Everything is a fraction.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import log_ndtr, logsumexp

from hpaxis.quantiles import student_quantile

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
LOG_WEIGHTS = np.log(WEIGHTS / WEIGHTS.sum())
# A mean needs this many readings above the floor, and this share of them.
FEWEST_ABOVE, LEAST_SHARE = 3, 0.2


@dataclass(frozen=True)
class Profile:
    """``profile``: cpg_id → level over the mean; ``spread``: SD of a library's CpGs about it; ``sd``: of a reading."""

    profile: dict
    spread: float
    sd: float


@dataclass(frozen=True)
class Mean:
    """A mean level, its standard error and the ends of its likelihood interval; NaN where too few readings tell it."""

    level: float
    se: float
    low: float
    high: float


UNKNOWN = Mean(np.nan, np.nan, np.nan, np.nan)


def fit_profile(rows, replicated):
    """`Profile` of a study's readings (columns library_id, cpg_id, level, censored) by maximum likelihood.

    ``replicated``: libraries in several wells, whose readings tell s apart from w; without any, w is taken as 0.
    """
    libraries, at = np.unique(rows["library_id"].to_numpy(), return_inverse=True)
    cpgs, place = np.unique(rows["cpg_id"].to_numpy(), return_inverse=True)
    cells, cell = np.unique(at * len(cpgs) + place, return_inverse=True)
    of_library, of_cpg = cells // len(cpgs), cells % len(cpgs)
    y, below = rows["level"].to_numpy(float), rows["censored"].to_numpy(bool)
    scale = max(float(np.std(y[~below])) if (~below).sum() > 1 else 0.01, 1e-4)
    y = y / scale
    n, k, tell = len(libraries), len(cpgs), bool(len(replicated))

    def unpack(v):
        return v[:n], v[n : n + k], np.exp(v[n + k]), np.exp(v[n + k + 1]) if tell else 0.0

    def cost(v):
        m, a, s, w = unpack(v)
        mean, ratio = m[of_library][cell], a[of_cpg][cell]
        z = (y[:, None] - mean[:, None] * (ratio[:, None] + w * NODES)) / s
        each = np.where(below[:, None], log_ndtr(z), -0.5 * z**2 - np.log(s))
        score = np.where(below[:, None], -np.exp(-0.5 * z**2 - 0.9189385332046727 - log_ndtr(z)), z) / s
        curve = np.where(below[:, None], z * score, (z**2 - 1) / s)  # d log f / d s
        total = np.zeros((len(cells), len(NODES)))
        np.add.at(total, cell, each)
        total += LOG_WEIGHTS
        log_cell = logsumexp(total, axis=1)
        share = np.exp(total - log_cell[:, None])[cell]
        weighted = share * score
        gradient = np.zeros_like(v)
        gradient[:n] = np.bincount(at, (weighted * (ratio[:, None] + w * NODES)).sum(axis=1), n)
        gradient[n : n + k] = np.bincount(place, mean * weighted.sum(axis=1), k)
        gradient[n + k] = s * (share * curve).sum()
        if tell:
            gradient[n + k + 1] = w * (mean * (weighted @ NODES)).sum()
        return -log_cell.sum(), -gradient

    means = np.bincount(at, y, n) / np.bincount(at, minlength=n)
    start = np.concatenate([means, np.ones(k), [0.0], [-1.0] * tell])
    bounds = [(None, None)] * (n + k) + [(-4, 3)] + [(-5, 0)] * tell
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    _, a, s, w = unpack(found.x)
    # Of N readings, N - (libraries + CpGs) are left to tell both variances, as in an analysis of variance.
    left = max(len(y) - (n + k - 1), 1) / len(y)
    # A profile is known only up to a factor, which the means of libraries hold.
    spread = float(w / a.mean()) if w > np.exp(-4.9) else 0.0
    return Profile(dict(zip(cpgs, a / a.mean())), spread, float(s * scale / np.sqrt(left)))


def mean_level(values, below, sd, weights, ratios, spread, cells, drop=None):
    """`Mean` of readings by likelihood: ``values`` (limits where ``below``), each with its ``sd`` and ``weights``.

    ``ratios``: level of each reading's CpG over the mean, by the study's profile; ``spread``: SD of CpGs about that;
    ``cells``: which CpG each reading is of; ``drop``: how far the log likelihood falls to the interval's ends (1.92 for
    95 %), None for no interval. The likelihood tells a mean m, which serves to expect each censored reading; the level
    is the weighted mean of readings, so that the profile matters only for what was not read. The error is that of the
    same mean without a floor, times what censoring costs in information.
    """
    values, below, weights = np.asarray(values, float), np.asarray(below, bool), np.asarray(weights, float)
    sd, ratios = np.broadcast_to(sd, values.shape), np.broadcast_to(ratios, values.shape)
    _, cell = np.unique(np.asarray(cells), return_inverse=True)
    above, n_cells = int((~below).sum()), cell.max() + 1
    if above < (1 if n_cells == 1 else FEWEST_ABOVE) or above < LEAST_SHARE * len(values):
        return UNKNOWN
    spread = 0.0 if n_cells == 1 else spread
    unit, nodes = float(np.mean(sd)), ratios[:, None] + spread * NODES

    def parts(m):
        z = (values[:, None] - m * nodes) / sd[:, None]
        total = np.zeros((n_cells, len(NODES)))
        np.add.at(total, cell, np.where(below[:, None], log_ndtr(z), -0.5 * z**2))
        return total + LOG_WEIGHTS, z

    def log_likelihood(m):
        return logsumexp(parts(m)[0], axis=1).sum()

    start = float(weights @ values)
    reach = 8 * unit + abs(start)
    best = minimize_scalar(lambda m: -log_likelihood(m), bounds=(start - reach, start + reach), method="bounded",
                           options={"xatol": 1e-4 * unit})  # fmt: skip
    m, top = float(best.x), -float(best.fun)
    step = 0.05 * unit
    bend = (log_likelihood(m + step) - 2 * top + log_likelihood(m - step)) / step**2
    if not bend < 0:
        return UNKNOWN
    total, z = parts(m)
    share = np.exp(total - logsumexp(total, axis=1)[:, None])[cell]
    expected = (share * (m * nodes - sd[:, None] * np.exp(-0.5 * z**2 - 0.9189385332046727 - log_ndtr(z)))).sum(axis=1)
    level = float(weights @ np.where(below, expected, values))
    ratio = np.bincount(cell, ratios) / np.bincount(cell)
    precision = np.bincount(cell, 1 / sd**2)
    whole = np.sum(ratio**2 / ((m * spread) ** 2 + 1 / precision))
    scale = np.sqrt(np.sum((weights * sd) ** 2) * whole)
    se = float(scale / np.sqrt(-bend))
    if drop is None:
        return Mean(level, se, np.nan, np.nan)
    ends = []
    for sign in (-1, 1):
        far = 1.0
        while top - log_likelihood(m + sign * far * unit) < drop and far < 50:
            far *= 1.6
        if far >= 50:
            return UNKNOWN
        end = brentq(lambda u, sign=sign: top - log_likelihood(m + sign * u) - drop, 0, far * unit, xtol=1e-4 * unit)
        ends.append(scale * end)
    return Mean(level, se, level - ends[0], level + ends[1])


def shrunken_rates(libraries, values, below, variances):
    """Empirical-Bayes levels of one control position: ``(library → (mean, variance), study's mean, SD between them)``.

    Levels of libraries are N(mean, spread²); one reading's error is larger than what they differ by, so a library's
    value is drawn towards the study's mean by as much as its reading is noise (Efron and Morris, 1973).
    """
    names, at = np.unique(np.asarray(libraries), return_inverse=True)
    values, below = np.asarray(values, float), np.asarray(below, bool)
    sd = np.sqrt(np.asarray(variances, float))
    unit = float(sd.mean())

    def parts(mean, spread):
        z = (values[:, None] - mean - spread * NODES) / sd[:, None]
        each = np.where(below[:, None], log_ndtr(z), -0.5 * z**2)
        total = np.zeros((len(names), len(NODES)))
        np.add.at(total, at, each)
        return total + LOG_WEIGHTS

    def cost(v):
        return -logsumexp(parts(v[0] * unit, np.exp(v[1]) * unit), axis=1).sum()

    start = [float(values.mean()) / unit, -1.0]
    spread, mean = 0.0, 0.0
    if len(names) > 1:
        found = minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-6, "maxiter": 2000})
        spread = float(np.exp(found.x[1]) * unit) if found.x[1] > -6 else 0.0
        mean = float(found.x[0] * unit)
    else:
        mean = float(minimize(lambda v: cost([v[0], -20]), start[:1], method="Nelder-Mead").x[0] * unit)
    step = 0.02 * unit
    top = [logsumexp(parts(mean + d, spread), axis=1).sum() for d in (-step, 0.0, step)]
    bend = (top[0] - 2 * top[1] + top[2]) / step**2
    mean_variance = -1 / bend if bend < 0 else unit**2
    total = parts(mean, spread)
    share = np.exp(total - logsumexp(total, axis=1)[:, None])
    levels = mean + spread * share @ NODES
    variance = spread**2 * (share @ NODES**2 - (share @ NODES) ** 2)
    kept = 1 - variance / spread**2 if spread > 0 else np.zeros(len(names))
    variance = variance + (1 - kept) ** 2 * mean_variance
    return dict(zip(names, zip(np.maximum(levels, 0.0), variance))), mean, spread


def drop_for(confidence, df=np.inf):
    """How far a log likelihood falls to the ends of an interval: half the squared quantile of Student's t."""
    return float(student_quantile(0.5 + confidence / 2, df)) ** 2 / 2
