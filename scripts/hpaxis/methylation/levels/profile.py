"""How failure of conversion changes along an amplicon: one shape for the study, one scale for each library.

Of n molecules x keep the cytosine at site j, outside CpGs, where n (s + c f_j) are expected: s, what the sequencer
adds; c, the library's failure; f_j, the site's, 1 on average. log f is a smooth function of position, shrunk to flat as
far as the counts allow: a P-spline (Eilers and Marx, 1996) with penalties on first and on second differences, averaged
over both penalties by their marginal likelihood. Sites lie about it with variance tau squared. Copies of a template
share their failures, so a library's counts scatter more than binomially; but libraries do not share templates, so what
sites have in common over libraries is theirs. CpGs take the smooth part, relative to the mean over the sites that the
library shows: reads that end early show other sites than the study's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline

KNOTS_APART, DEGREE = 30, 3
# Standard deviations of first and of second differences of log f between knots, and the pairs that are averaged.
FIRST, SECOND = np.geomspace(1e-3, 1.0, 7), np.geomspace(1e-3, 0.5, 6)
# Fewer failures than this say nothing of where they are.
FEWEST_FAILURES = 30
STEPS = 12


@dataclass(frozen=True)
class SiteCounts:
    """Counts of one library at the sites of one amplicon: ``unconverted`` of ``known``; ``error``: s, see above."""

    unconverted: np.ndarray
    known: np.ndarray
    error: float

    @property
    def failures(self) -> np.ndarray:
        """Expected failures of conversion among the unconverted, what the sequencer adds taken off; may be below 0."""
        return self.unconverted - self.error * self.known


@dataclass(frozen=True)
class Profile:
    """Shape of one amplicon's failures: ``smooth`` at its sites, and ``site``, how far each lies off it, as factors.

    ``cpgs``: the smooth part at the CpGs, ``covariance`` that of these factors (CpGs × CpGs), ``between``: tau squared.
    ``weights``: of the sites, for the mean that is 1. ``bases``: of log f at the sites and at the CpGs, and
    ``coefficients`` the covariance of their coefficients; None where the profile is flat.
    """

    smooth: np.ndarray
    cpgs: np.ndarray
    covariance: np.ndarray
    between: float
    weights: np.ndarray
    bases: tuple[np.ndarray, np.ndarray] | None = None
    coefficients: np.ndarray | None = None

    def seen_by(self, known: np.ndarray, factors: np.ndarray, variances: np.ndarray) -> Seen:
        """The profile as a library sees it whose molecules show the sites ``known`` times.

        ``factors``, ``variances``: of the sites, as from `site_factors`.
        """
        if self.bases is None or self.coefficients is None or not known.sum() > 0:
            return Seen(self.cpgs, self.covariance)
        own = known / known.sum()
        mean = float(own @ factors / (self.weights @ factors))
        base, at_cpgs = self.bases
        at = self.cpgs / mean
        gradient = at_cpgs - (own * self.smooth) @ base / (own @ self.smooth)
        covariance = at[:, None] * (gradient @ self.coefficients @ gradient.T) * at + np.diag(self.between * at**2)
        of_sites = float(((own - self.weights) ** 2 * factors**2) @ variances)
        return Seen(at, covariance + of_sites * np.outer(at, at), mean)


@dataclass(frozen=True)
class Seen:
    """Factors of the CpGs and their covariance relative to the mean over a library's own sites, and that mean.

    ``mean``: relative to the study's, 1 where the library shows the sites as the others do.
    """

    cpgs: np.ndarray
    covariance: np.ndarray
    mean: float = 1.0


def flat_profile(sites: int, cpgs: int) -> Profile:
    """The profile of an amplicon of which too little is known."""
    return Profile(np.ones(sites), np.ones(cpgs), np.zeros((cpgs, cpgs)), 0.0, np.full(sites, 1 / max(sites, 1)))


def scale(counts: SiteCounts, factors: np.ndarray) -> float:
    """A library's c where sites have these factors; never below 0."""
    exposure = counts.known @ factors
    return max(float(counts.failures.sum() / exposure), 0.0) if exposure > 0 else 0.0


def fit_profile(libraries: list[SiteCounts], sites: np.ndarray, cpgs: np.ndarray, length: int) -> Profile:
    """`Profile` of an amplicon from the counts of its libraries.

    ``sites``, ``cpgs``: offsets; ``length``: of the amplicon.
    """
    known = sum((c.known for c in libraries), np.zeros(len(sites)))
    failures = sum((c.failures for c in libraries), np.zeros(len(sites)))
    if len(sites) < 2 * DEGREE or failures.sum() < FEWEST_FAILURES or (known > 0).sum() < 2 * DEGREE:
        return flat_profile(len(sites), len(cpgs))
    weights = known / known.sum()
    total, exposure, variance = _pool(libraries, np.ones(len(sites)))
    base, at_cpgs = (_basis(places, length) for places in (sites, cpgs))
    between, smooth = 0.0, np.ones(len(sites))
    for _ in range(3):
        beta, cov = _smooth(base, total, exposure, variance, between)
        smooth = np.exp(base @ beta)
        between = _between(libraries, smooth)
        total, exposure, variance = _pool(libraries, smooth)
    beta, cov = _smooth(base, total, exposure, variance, between)
    smooth, at = np.exp(base @ beta), np.exp(at_cpgs @ beta)
    mean = weights @ smooth
    # The factors are relative to the mean over the sites, which has the same error: log at - log mean.
    gradient = at_cpgs - (weights * smooth) @ base / mean
    covariance = (at / mean)[:, None] * (gradient @ cov @ gradient.T) * (at / mean)
    covariance += np.diag(between * (at / mean) ** 2)
    return Profile(smooth / mean, at / mean, covariance, between, weights, (base, at_cpgs), cov)


def site_factors(profile: Profile, libraries: list[SiteCounts], left_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Each site's factor and its relative variance, from all libraries but one: what that one does not tell of itself.

    The smooth part and the other libraries' counts are joined by their errors (empirical Bayes).
    """
    smooth = profile.smooth
    if profile.between == 0:
        return smooth, np.zeros(len(smooth))
    rest = [c for i, c in enumerate(libraries) if i != left_out]
    if not rest:
        return smooth, np.full(len(smooth), profile.between)
    total, exposure, variance = _pool(rest, smooth)
    prior = profile.between * smooth**2
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(exposure > 0, total / exposure, smooth)
        error = np.where(exposure > 0, variance / exposure**2, np.inf)
    kept = prior / (prior + error)
    factor = np.maximum(smooth + kept * (own - smooth), 0.05 * smooth)
    return factor, (1 - kept) * prior / factor**2


def _pool(libraries, factors):
    """Sums over libraries, each weighted by how much it scatters: failures, what is expected at factor 1, variance."""
    total, exposure, variance = (np.zeros(len(factors)) for _ in range(3))
    for counts in libraries:
        c = scale(counts, factors)
        expected = counts.known * (counts.error + c * factors)
        used = expected > 0
        if c == 0 or not used.any():
            continue
        spread = max(float(((counts.unconverted - expected)[used] ** 2).sum() / expected[used].sum()), 1.0)
        weight = 1 / spread
        total += weight * counts.failures
        exposure += weight * counts.known * c
        variance += weight**2 * spread * expected
    return total, exposure, variance


def _between(libraries, smooth):
    """tau squared: covariance of the sites' residuals between libraries, which share sites but no templates.

    0 unless it lies two standard errors above 0: what copies of templates add to one library looks alike.
    """
    residual, own, square, products = (np.zeros(len(smooth)) for _ in range(4))
    for counts in libraries:
        expected = counts.known * scale(counts, smooth) * smooth
        if not expected.any():
            continue
        difference = counts.failures - expected
        spread = max(float((difference**2).sum() / expected.sum()), 1.0)
        residual += difference / spread
        own += (difference / spread) ** 2
        square += expected / spread
        products += (expected / spread) ** 2
    pairs, each = (square**2 - products).sum(), residual**2 - own
    if pairs <= 0:
        return 0.0
    return max(float(each.sum() / pairs), 0.0) if each.sum() > 2 * np.sqrt((each**2).sum()) else 0.0


def _basis(places, length):
    """Cubic B-splines at equal knots about every `KNOTS_APART` bases: places × functions."""
    pieces = max(round(length / KNOTS_APART), 2)
    step = length / pieces
    knots = step * np.arange(-DEGREE, pieces + DEGREE + 1)
    return BSpline.design_matrix(np.asarray(places, dtype=float), knots, DEGREE).toarray()


def _smooth(base, total, exposure, variance, between):
    """Coefficients of log f and their covariance, over all pairs of penalties by their marginal likelihood."""
    used = exposure > 0
    base, total, exposure, variance = base[used], total[used], exposure[used], variance[used]
    size = base.shape[1]
    one, two = (np.diff(np.eye(size), order, axis=0) for order in (1, 2))
    flat = max(float(total.sum() / exposure.sum()), 1e-6)
    fits = []
    for first in FIRST:
        for second in SECOND:
            penalty = one.T @ one / first**2 + two.T @ two / second**2
            fits.append(_penalised(base, total, exposure, variance, between, flat, penalty))
    score = np.array([f[2] for f in fits])
    weight = np.exp(score - score.max())
    weight /= weight.sum()
    beta = sum(w * f[0] for w, f in zip(weight, fits))
    cov = sum(w * (f[1] + np.outer(f[0] - beta, f[0] - beta)) for w, f in zip(weight, fits))
    return beta, cov


def _penalised(base, total, exposure, variance, between, flat, penalty):
    """Coefficients, covariance and log marginal likelihood for one penalty, by iterated weighted least squares."""
    beta = np.full(base.shape[1], np.log(flat))
    for _ in range(STEPS):
        mu = np.exp(base @ beta)
        # Failures are about exposure × factor; their variance that of the counts, and of sites about the curve.
        v = np.maximum(variance * mu / flat + between * (exposure * mu) ** 2, 1e-12)
        w = (exposure * mu) ** 2 / v
        working = base @ beta + (total - exposure * mu) / (exposure * mu)
        left = base.T @ (w[:, None] * base) + penalty
        new = np.linalg.solve(left, base.T @ (w * working))
        new = beta + np.clip(new - beta, -1, 1)
        done = np.abs(new - beta).max() < 1e-5
        beta = new
        if done:
            break
    mu = np.exp(base @ beta)
    v = np.maximum(variance * mu / flat + between * (exposure * mu) ** 2, 1e-12)
    score = -0.5 * float(((total - exposure * mu) ** 2 / v).sum() + np.log(v).sum()) - 0.5 * beta @ penalty @ beta
    # The level of log f is free: the penalty's null space has one dimension.
    score += 0.5 * np.log(np.linalg.eigvalsh(penalty)[1:]).sum() - 0.5 * np.linalg.slogdet(left)[1]
    return beta, np.linalg.inv(left), float(score)
