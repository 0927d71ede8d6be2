"""CpGs of which an allele is lost, by the CpGs around: a heterozygous C>T halves what its neighbours lead to expect.

Of n templates whose neighbours are methylated alike (a bin), k are methylated at the CpG. The panel's other libraries
show how often that is, p; on the logit the library lies off them by what its CpGs have in common, and each of its CpGs
by a further amount of its own, normal with a standard deviation that all other pairs of library and CpG tell. Where an
allele is lost, p / 2 are methylated (give or take what PCR does to the shares of the alleles), where both are, hardly
any. The gain is the log of how much likelier the counts then are; the chance is that
of counts so low without a loss, from the weighted sum of methylated templates by the saddlepoint approximation of
Lugannani and Rice (1980).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, logsumexp, ndtr
from scipy.stats import norm

# Others' templates without which a bin says nothing, and their share methylated below which halves are not seen; more
# templates of a pair than these say nothing more.
FEWEST_BESIDE, LEAST_SHARE, MOST_TEMPLATES = 15, 0.15, 400
# Amounts by which a CpG may be off (logit), and the standard deviations that are thought of.
AMOUNTS = np.concatenate([np.arange(-8, -3, 0.25), np.arange(-3, 3.01, 0.1), np.arange(3.25, 8.01, 0.25)])
SCALES = np.geomspace(0.1, 2.0, 8)
# What PCR makes of an allele's share of a half (SD).
ALLELES = 0.08
HALF = 0.5 + ALLELES * np.arange(-2, 2.1), np.array([0.054, 0.244, 0.404, 0.244, 0.054])
# What failures of conversion leave of a CpG that both alleles lack.
NOTHING = 0.02
# A share that neither this nor half leads to expect has another cause, a tenth as likely beforehand.
OTHER_CAUSE = np.log(0.1)
ANY = np.linspace(0.025, 0.975, 20), np.full(20, 0.05)
# How many pairs may have lost an allele.
COMMON = 0.005
STEPS = 20
# Pairs of library and CpG at once, for the sake of memory.
BLOCK = 2000


@dataclass(frozen=True)
class LostAlleles:
    """Libraries × CpGs: ``gain``, see above, minus infinity where another cause is likelier or nothing is low.

    ``chance``: of so few methylated templates without a loss; ``templates`` judged, those ``methylated`` and those
    ``expected`` to be.
    """

    gain: np.ndarray
    chance: np.ndarray
    templates: np.ndarray
    methylated: np.ndarray
    expected: np.ndarray


def lost_alleles(around: np.ndarray, low: float) -> LostAlleles:
    """`LostAlleles` of the libraries of one amplicon.

    ``around``: libraries × 2 × CpGs × bins: templates, and those of them methylated at the CpG, by how their neighbours
    are methylated; ``low``: pairs with more than this part of what is expected are not looked at.
    """
    others = around.sum(axis=0) - around
    used = (others[:, 0] >= FEWEST_BESIDE) & (others[:, 1] >= LEAST_SHARE * others[:, 0])
    n, k = (np.where(used, around[:, i], 0.0) for i in (0, 1))
    base = logit((others[:, 1] + 0.5) / (others[:, 0] + 1))
    base += _offsets(base, n, k)[:, None, None]
    expected = (n * expit(base)).sum(axis=2)
    nothing = np.full(expected.shape, -np.inf), np.ones(expected.shape)
    found = LostAlleles(*nothing, n.sum(axis=2), k.sum(axis=2), expected)
    at = np.nonzero(found.templates > 0)
    if not at[0].size:
        return found
    # As many templates as tell as much where p is not known for certain.
    weight = others[:, 0][at] / np.maximum(n[at] + others[:, 0][at], 1e-9)
    weight *= np.minimum(1.0, MOST_TEMPLATES / np.maximum((n[at] * weight).sum(axis=1), 1e-9))[:, None]
    n, k, base = n[at] * weight, k[at] * weight, base[at]
    none = np.concatenate([_marginal(n[i : i + BLOCK], k[i : i + BLOCK], base[i : i + BLOCK], 1.0)
                           for i in range(0, len(n), BLOCK)])  # fmt: skip
    rows = np.flatnonzero(found.methylated[at] <= low * expected[at])
    # Where an allele is lost nothing is said of how much libraries differ.
    seen = none.copy()
    one = _over(n[rows], k[rows], base[rows], *HALF)
    seen[rows] = np.logaddexp(none[rows] + np.log1p(-COMMON), one + np.log(COMMON))
    unlike = seen.sum(axis=0) - seen
    unlike = np.exp(unlike - logsumexp(unlike, axis=1, keepdims=True))
    places = tuple(index[rows] for index in at)
    n, k, base, none, unlike = (values[rows] for values in (n, k, base, none, unlike))
    found.gain[places] = _gains(n, k, base, none, one, unlike)
    found.chance[places] = _chances(n, k, base, unlike)
    return found


def _offsets(base, n, k):
    """How each library lies off the others over all its CpGs, on the logit."""
    offset = np.zeros(len(base))
    for _ in range(STEPS):
        mean = expit(base + offset[:, None, None])
        slope = (n * mean * (1 - mean)).sum(axis=(1, 2)) + 1.0
        offset += np.clip(((k - n * mean).sum(axis=(1, 2)) - offset) / slope, -1, 1)
    return offset


def _unlike_weights():
    """Chance of each amount for each scale: amounts × scales."""
    weights = [norm.pdf(AMOUNTS, 0, scale) * np.gradient(AMOUNTS) for scale in SCALES]
    return np.array([w / w.sum() for w in weights]).T


WEIGHTS = _unlike_weights()


def _marginal(n, k, base, share):
    """Log likelihood of pairs (pairs × bins) where ``share`` of alleles have the CpG: pairs × `WEIGHTS`' columns."""
    level = np.clip(share * expit(base[:, None, :] + AMOUNTS[:, None]), 1e-6, 1 - 1e-6)
    log = (k[:, None] * np.log(level) + (n - k)[:, None] * np.log1p(-level)).sum(axis=2)
    most = log.max(axis=1, keepdims=True)
    return most + np.log(np.exp(log - most) @ WEIGHTS + 1e-300)


def _over(n, k, base, shares, weights):
    """Log likelihood, averaged over the share of alleles that have the CpG: pairs × `WEIGHTS`' columns."""
    return logsumexp([_marginal(n, k, base, s) + np.log(w) for s, w in zip(shares, weights)], axis=0)


def _gains(n, k, base, none, one, unlike):
    """Gain of each pair; ``none``, ``one``: log likelihood without a loss and with that of one allele."""
    without, half, other = (
        logsumexp(part + np.log(unlike + 1e-300), axis=1) for part in (none, one, _over(n, k, base, *ANY))
    )
    both = (k * np.log(NOTHING) + (n - k) * np.log1p(-NOTHING)).sum(axis=1)
    best = np.maximum(half, both)
    return np.where(best - other > OTHER_CAUSE, best - without, -np.inf)


def _chances(n, k, base, unlike):
    """Chance of a weighted sum of methylated templates so low without a loss; bins weigh as they tell of one."""
    level = expit(base[:, None, :] + AMOUNTS[:, None])
    middle = expit(base)
    weight = np.log(2) - np.log1p(-middle) + np.log1p(-middle / 2)
    n, weight = n[:, None], weight[:, None]
    shown = (weight[:, 0] * k).sum(axis=1)[:, None]
    # The saddlepoint, by Newton's method; beyond ±30 every template is or is not methylated.
    point = np.zeros((len(k), len(AMOUNTS)))
    for _ in range(STEPS):
        tilted = expit(np.clip(logit(np.clip(level, 1e-12, 1 - 1e-12)) + weight * point[..., None], -500, 500))
        mean, spread = (n * weight * tilted).sum(axis=2), (n * weight**2 * tilted * (1 - tilted)).sum(axis=2)
        point = np.clip(point + np.clip((shown - mean) / np.maximum(spread, 1e-9), -1, 1), -30, 30)
    cumulant = (n * np.log1p(level * np.expm1(weight * point[..., None]))).sum(axis=2)
    root = np.sign(point) * np.sqrt(np.maximum(2 * (point * shown - cumulant), 0))
    scaled = point * np.sqrt(np.maximum(spread, 1e-12))
    near = (np.abs(root) < 1e-3) | (np.abs(scaled) < 1e-3)
    root, scaled = (np.where(near, 1.0, values) for values in (root, scaled))
    tail = np.where(near, 0.5, np.clip(ndtr(root) + norm.pdf(root) * (1 / root - 1 / scaled), 0, 1))
    return ((tail @ WEIGHTS) * unlike).sum(axis=1)
