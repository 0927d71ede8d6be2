"""Molecules of few templates grouped by their methylation: one row per template, where it distinguishes templates.

At levels well inside 0-100 % on an amplicon of many CpGs no two templates are methylated alike, so molecules that are,
but for a sequencing error, are copies of one. A test that counts templates then has as many as there are, where
molecules divided by a mean number of copies have fewer: PCR copies unequally.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hpaxis.methylation.levels.estimate import MoleculeCounts

# Molecules that differ at this many CpGs or fewer are copies of one template.
ERRORS = 2
# With fewer copies than this many templates are read once, as errors and chimeras are; with more templates than this
# (of even copies), or more distinct patterns, molecules are counted instead.
LEAST_COPIES, MOST_TEMPLATES, MOST_PATTERNS = 3.0, 300, 5000
# Templates can be distinguished where a smaller share of them than this has another almost alike.
CLOSE_SHARE = 0.1


def template_families(molecules: MoleculeCounts, copies: float) -> MoleculeCounts | None:
    """A row for each template that two molecules or more show, counted once; None where templates look alike.

    ``copies``: molecules that are worth one template (`estimate.duplication`).
    """
    total = float(molecules.count.sum())
    if copies < LEAST_COPIES or total / copies > MOST_TEMPLATES:
        return None
    states = np.where(molecules.known > 0, molecules.methylated > 0, 2).astype(np.uint8)
    patterns, place = np.unique(states, axis=0, return_inverse=True)
    if len(patterns) > MOST_PATTERNS:
        return None
    count = np.bincount(place.ravel(), molecules.count, len(patterns))
    known = (patterns != 2).sum(axis=1)
    # The commonest first, of equals the one that shows most; the rest by their letters, as `unique` has them.
    order = np.lexsort((np.arange(len(patterns)), -known, -count))
    heads, sizes = np.empty_like(patterns), np.zeros(len(patterns))
    number = 0
    for i in order:
        if number:
            near = np.flatnonzero(_distance(patterns[i], heads[:number]) <= ERRORS)
            if near.size:
                sizes[near[0]] += count[i]
                continue
        heads[number], sizes[number] = patterns[i], count[i]
        number += 1
    heads = heads[:number][sizes[:number] > 1]
    if len(heads) < 2 or _share_close(heads) > CLOSE_SHARE:
        return None
    seen = heads != 2
    once, nothing = np.ones(len(heads)), np.zeros(len(heads))
    return replace(molecules, methylated=(heads == 1).astype(float), known=seen.astype(float), unconverted=nothing,
                   sites=nothing, count=once, weight=1.0, excess=0.0)  # fmt: skip


def _distance(pattern: np.ndarray, others: np.ndarray) -> np.ndarray:
    """CpGs at which one pattern differs from others, of those that both know."""
    return ((pattern != others) & (pattern != 2) & (others != 2)).sum(axis=1)


def _share_close(heads: np.ndarray) -> float:
    """Share of families that have another within twice what errors make, and one: so near ones may have been merged."""
    one, zero = ((heads == v).astype(np.float32) for v in (1, 0))
    distance = one @ zero.T + zero @ one.T
    np.fill_diagonal(distance, np.inf)
    return float((distance.min(axis=1) <= 2 * ERRORS + 1).mean())
