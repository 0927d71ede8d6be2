"""CpGs of which an allele is lost, by the CpGs around: a heterozygous C>T halves what its neighbours lead to expect.

Of n templates whose neighbours are methylated alike (a bin), k are methylated at the CpG. The panel's other libraries
show how often that is, p; on the logit the library lies off them by what its own CpGs have in common, and each of its
CpGs by a further amount of its own, of Student's t with four degrees of freedom and scale u: libraries differ, and
tails are long. Where an allele is lost, templates are methylated with p / 2 (give or take what PCR does to the shares
of the alleles), where both are, with hardly any. The gain is the log of how much likelier the counts then are, all
bins together, averaged over the CpG's own amount and over what all other pairs of library and CpG say of u.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, logsumexp
from scipy.stats import norm, t

# Others' templates without which a bin says nothing.
FEWEST_BESIDE = 15
# Scales u that are thought of, equally likely on the logarithmic scale; nodes of the t and of an allele's share.
SCALES = np.geomspace(0.05, 2.0, 10)
NODES = np.arange(-8, 8.01, 0.5)
ALLELES = 0.08
SHARES = 0.5 + ALLELES * np.arange(-2, 2.1)
# What failures of conversion leave of a CpG that both alleles lack.
NOTHING = 0.02
# A share that neither this nor half leads to expect has another cause, a tenth as likely beforehand.
OTHER_CAUSE = np.log(0.1)
ANY_SHARE = np.linspace(0.025, 0.975, 20)
STEPS = 20


@dataclass(frozen=True)
class LostAlleles:
    """Libraries × CpGs: ``gain``, see above, minus infinity where another cause is likelier; ``templates`` judged,
    those ``methylated`` and those ``expected`` to be."""

    gain: np.ndarray
    templates: np.ndarray
    methylated: np.ndarray
    expected: np.ndarray


def lost_alleles(around: np.ndarray, judged: float) -> LostAlleles:
    """`LostAlleles` of the libraries of one amplicon.

    ``around``: libraries × 2 × CpGs × bins: templates, and those of them methylated at the CpG, by how their neighbours
    are methylated; ``judged``: pairs with more than this part of what is expected are not looked at.
    """
    others = around.sum(axis=0) - around
    used = others[:, 0] >= FEWEST_BESIDE
    n, k = (np.where(used, around[:, i], 0.0) for i in (0, 1))
    share = (others[:, 1] + 0.5) / (others[:, 0] + 1)
    base = logit(share)
    base += _offsets(base, n, k)[:, None, None]
    expected = (n * expit(base)).sum(axis=2)
    # What others' own numbers leave open.
    information = np.where(used & (n > 0), others[:, 0] * share * (1 - share), 0).sum(axis=2)
    pairs = np.argwhere(n.sum(axis=2) > 0)
    gain = np.full(expected.shape, -np.inf)
    if len(pairs):
        at = tuple(pairs.T)
        n_of, k_of, base_of, open_of = n[at], k[at], base[at], 1 / information[at]
        none = np.array([_marginal(n_of, k_of, base_of, open_of, u, [1.0])[0] for u in SCALES])
        scale = none.sum(axis=1, keepdims=True) - none
        scale -= logsumexp(scale, axis=0)
        low = k_of.sum(axis=1) <= judged * expected[at]
        gain[tuple(pairs[low].T)] = _gains(n_of[low], k_of[low], base_of[low], open_of[low], scale[:, low], none[:, low])
    return LostAlleles(gain, n.sum(axis=2), k.sum(axis=2), expected)


def _offsets(base, n, k):
    """How each library lies off the others over all its CpGs, on the logit."""
    offset = np.zeros(len(base))
    for _ in range(STEPS):
        mean = expit(base + offset[:, None, None])
        slope = (n * mean * (1 - mean)).sum(axis=(1, 2)) + 1.0
        offset += np.clip(((k - n * mean).sum(axis=(1, 2)) - offset) / slope, -1, 1)
    return offset


def _marginal(n, k, base, others, scale, shares):
    """Log likelihood of pairs (pairs × bins) for each share of alleles that have the CpG: shares × pairs."""
    weight = t.logpdf(NODES, 4)
    weight -= logsumexp(weight)
    off = np.sqrt(scale**2 + others)[:, None] * NODES
    level = expit(base[:, None, :] + off[:, :, None])
    found = np.empty((len(shares), len(n)))
    for i, share in enumerate(shares):
        part = np.clip(share * level, 1e-6, 1 - 1e-6)
        log = (k[:, None] * np.log(part) + (n - k)[:, None] * np.log1p(-part)).sum(axis=2)
        found[i] = logsumexp(log + weight, axis=1)
    return found


def _gains(n, k, base, others, scale, none):
    """Gain of each pair; ``scale``: log chance of each u, scales × pairs; ``none``: log likelihood without a loss."""
    half = norm.logpdf(SHARES, 0.5, ALLELES)
    half -= logsumexp(half)
    lost, any_share = [], []
    for u in SCALES:
        lost.append(logsumexp(_marginal(n, k, base, others, u, SHARES) + half[:, None], axis=0))
        any_share.append(logsumexp(_marginal(n, k, base, others, u, ANY_SHARE), axis=0) - np.log(len(ANY_SHARE)))
    without, one, other = (logsumexp(scale + np.array(x), axis=0) for x in (none, lost, any_share))
    both = (k * np.log(NOTHING) + (n - k) * np.log1p(-NOTHING)).sum(axis=1)
    best = np.maximum(one, both)
    return np.where(best - other > OTHER_CAUSE, best - without, -np.inf)
