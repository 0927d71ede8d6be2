"""Molecules whose conversion failed as a whole, told from the others as a mixture of two kinds.

Of a molecule's s cytosines outside CpGs u stay unconverted. On most molecules u is binomial with one rate e for the
library (beta-binomial where molecules differ more than that); on failed ones it is beta-binomial with a broad share.
A short molecule with two of ten unconverted may be either: it counts with the probability that it is an ordinary one,
and what the failed ones among those that count add to e is known.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, gammaln

# Fewer molecules, or cytosines on each, cannot tell two kinds apart.
LEAST_MOLECULES, LEAST_SITES = 50, 5
SMALLEST = 1e-9
# What is believed of the failed molecules' share before any is seen: mean about .5 (on the logit scale 0 ± 1) and as
# broad as a uniform (log of a + b: log 2 ± .5). It weighs like a few molecules.
PRIOR = ((0.0, 1.0), (np.log(2), 0.5))
BOUNDS = ((-0.85, 2.5), (0.0, 3.0))
DISPERSION = (-9.0, -3.0)
E_BOUNDS, SHARE_BOUNDS = (np.log(1e-9), -0.1), (-18.0, 6.0)
SPREAD = 1.05
STEPS, COARSE, TOLERANCE = 2000, 1e-6, 1e-10


@dataclass(frozen=True)
class Mixture:
    """Two kinds of molecules in one library.

    ``e``: non-conversion of ordinary molecules; ``failed``: share of failed ones, which is known as from ``trials``
    independent molecules of known kind; ``shape``: (a, b) of the failed molecules' beta distribution; ``dispersion``:
    correlation of cytosines of an ordinary molecule (0: binomial).
    """

    e: float
    failed: float
    trials: float
    shape: tuple
    dispersion: float

    def weight(self, unconverted, sites):
        """Probability that a molecule is an ordinary one."""
        ordinary, failed = _log_parts(self, np.asarray(unconverted, float), np.asarray(sites, float))
        return np.exp(ordinary - np.logaddexp(ordinary, failed))

    def excess(self, unconverted, sites):
        """Expected non-conversion of a molecule beyond e: the chance that it failed, times what failing adds."""
        a, b = self.shape
        stays = (a + np.asarray(unconverted, float)) / (a + b + np.asarray(sites, float))
        return (1 - self.weight(unconverted, sites)) * (stays - self.e)


def fit_mixture(unconverted, sites, count):
    """Fit the mixture by EM to the numbers of molecules with each (unconverted, sites).

    The shape of the failed component, which few molecules tell, comes from a penalised likelihood, climbed from where
    EM with a uniform shape ends; EM with that shape then settles e and the share. Ordinary molecules get a dispersion
    only where BIC asks for one. Returns `Mixture`, or None where there are too few
    molecules or cytosines to tell two kinds apart.
    """
    unconverted, sites, count = (np.asarray(x, dtype=float) for x in (unconverted, sites, count))
    keep = sites > 0
    unconverted, sites, count = unconverted[keep], sites[keep], count[keep]
    if count[sites >= LEAST_SITES].sum() < LEAST_MOLECULES:
        return None
    plain, score = _fit(unconverted, sites, count, False)
    best = plain
    if _spread(plain, unconverted, sites, count) > SPREAD:
        wide, wide_score = _fit(unconverted, sites, count, True)
        best = wide if wide_score - score > 0.5 * np.log(count.sum()) else plain
    trials = count.sum() * _told_apart(best, sites, count)
    share = 0.0 if best.failed <= 1 / (1000 * trials) else best.failed
    return Mixture(best.e, share, float(trials), best.shape, best.dispersion)


def _spread(mixture, unconverted, sites, count):
    """Variance of the ordinary molecules' unconverted cytosines over that of a binomial (Pearson)."""
    weight = count * mixture.weight(unconverted, sites)
    squares = (unconverted - mixture.e * sites) ** 2 / (mixture.e * (1 - mixture.e) * sites)
    return (weight @ squares) / max(weight.sum(), SMALLEST)


def _told_apart(mixture, sites, count):
    """Share of the failed molecules that can be recognised: for small shares, the information that a molecule gives."""
    total = 0.0
    for s in np.unique(sites):
        u = np.arange(s + 1)
        chance = np.exp(gammaln(s + 1) - gammaln(u + 1) - gammaln(s - u + 1) + _log_failed(mixture, u, s))
        total += count[sites == s].sum() * (chance * (1 - mixture.weight(u, s))).sum()
    return total / count.sum()


def _fit(unconverted, sites, count, dispersed):
    likely = unconverted <= 0.25 * sites
    e = (count * unconverted)[likely].sum() / max((count * sites)[likely].sum(), 1)
    share = (count[~likely].sum() + 0.5) / (count.sum() + 1)
    shape = [m for m, _ in PRIOR] + [-6.0] * dispersed
    first = _climb(_mixture(e, share, shape), unconverted, sites, count, COARSE)

    def cost(values):
        return _penalty(values[2:]) - _log_likelihood(_unpack(values), unconverted, sites, count)

    start = [np.log(first.e), np.log(first.failed / (1 - first.failed)), *shape]
    bounds = (E_BOUNDS, SHARE_BOUNDS, *BOUNDS) + (DISPERSION,) * dispersed
    found = minimize(cost, np.clip(start, *np.transpose(bounds)), method="L-BFGS-B", bounds=bounds)
    return _climb(_unpack(found.x), unconverted, sites, count, TOLERANCE), -found.fun


def _unpack(values):
    return _mixture(np.exp(values[0]), 1 / (1 + np.exp(-values[1])), values[2:])


def _climb(mixture, unconverted, sites, count, tolerance):
    """EM in the two shares and e, the shapes held; e from the ordinary molecules' expected cytosines."""
    e, share = mixture.e, mixture.failed
    failed = _log_failed(mixture, unconverted, sites)
    for _ in range(STEPS):
        ordinary = _log_ordinary(e, mixture.dispersion, unconverted, sites)
        counted = count / (1 + share / (1 - share) * np.exp(np.minimum(failed - ordinary, 600)))
        new_e = max((counted @ unconverted) / max(counted @ sites, SMALLEST), SMALLEST)
        new_share = min(max(1 - counted.sum() / count.sum(), SMALLEST), 1 - SMALLEST)
        done = abs(new_e - e) < tolerance and abs(new_share - share) < tolerance
        e, share = new_e, new_share
        if done:
            break
    return Mixture(e, share, np.nan, mixture.shape, mixture.dispersion)


def _mixture(e, share, values):
    mean, size = 1 / (1 + np.exp(-values[0])), np.exp(values[1])
    dispersion = float(np.exp(values[2])) if len(values) > 2 else 0.0
    return Mixture(
        max(e, SMALLEST),
        min(max(share, SMALLEST), 1 - SMALLEST),
        np.nan,
        (float(mean * size), float((1 - mean) * size)),
        dispersion,
    )


def _penalty(values):
    return sum(0.5 * ((v - mean) / sd) ** 2 for v, (mean, sd) in zip(values, PRIOR))


def _log_likelihood(mixture, unconverted, sites, count):
    return float(count @ np.logaddexp(*_log_parts(mixture, unconverted, sites)))


def _log_parts(mixture, unconverted, sites):
    """Log of share × probability of both kinds, without the binomial coefficient that they have in common."""
    failed = max(mixture.failed, SMALLEST)
    ordinary = np.log1p(-failed) + _log_ordinary(mixture.e, mixture.dispersion, unconverted, sites)
    return np.array([ordinary, np.log(failed) + _log_failed(mixture, unconverted, sites)])


def _log_ordinary(e, dispersion, unconverted, sites):
    if dispersion > 0:
        size = 1 / dispersion - 1
        return _log_beta_binomial(unconverted, sites, e * size, (1 - e) * size)
    return unconverted * np.log(e) + (sites - unconverted) * np.log1p(-e)


def _log_failed(mixture, unconverted, sites):
    return _log_beta_binomial(unconverted, sites, *mixture.shape)


def _log_beta_binomial(unconverted, sites, a, b):
    return betaln(a + unconverted, b + sites - unconverted) - betaln(a, b)
