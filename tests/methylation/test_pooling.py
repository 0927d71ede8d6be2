"""e drawn towards the panel's: exact cases, and against the failures that CpGs really had."""

from types import SimpleNamespace

import numpy as np
import pytest

from hpaxis.methylation.levels.estimate import MoleculeCounts, Rate
from hpaxis.methylation.levels.families import template_families
from hpaxis.methylation.levels.pooling import _drawn, draw_conversion

SITES, READS = 90, 1700


def library(e, templates, rng, cpgs=47):
    """What a library of this e shows outside CpGs, and the failures that its CpGs had (mean)."""
    failed = rng.random((templates, SITES + cpgs)) < e
    copies = rng.multinomial(READS, np.full(templates, 1 / templates)) / READS
    own = failed[:, :SITES].mean(axis=1)
    value = float(copies @ own)
    factor = 1 + READS / templates
    variance = factor * float(copies @ (own - value) ** 2) / READS
    rate = Rate(value, variance, value * (1 - value) / variance, np.inf, READS * SITES)
    parts = [SimpleNamespace(total=READS)]
    return SimpleNamespace(conversion=rate, error=0.0, parts=parts, templates=templates, placed=1.0), float(
        copies @ failed[:, SITES:].mean(axis=1)
    )


def errors(spread, studies=25, templates=100):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(studies):
        made = [library(0.01 * np.exp(rng.normal(0, spread)), templates, rng) for _ in range(16)]
        drawn = _drawn([sample for sample, _ in made])
        found += [
            (sample.conversion.value - true, d.rate.value - true, d.kept) for (sample, true), d in zip(made, drawn)
        ]
    return np.transpose(found)


def test_libraries_alike_lend_each_other_strength():
    own, drawn, kept = errors(0.0)
    assert np.sqrt((drawn**2).mean()) < 0.88 * np.sqrt((own**2).mean())
    assert abs(drawn.mean()) < 3 * drawn.std() / np.sqrt(drawn.size) and kept.mean() < 0.5


def test_libraries_that_differ_keep_their_own():
    own, drawn, kept = errors(0.6)
    assert np.sqrt((drawn**2).mean()) < 1.03 * np.sqrt((own**2).mean()) and kept.mean() > 0.85


def test_one_library_apart_moves_by_one_standard_error_at_most():
    rng = np.random.default_rng(2)
    samples = [library(0.01, 100, rng)[0] for _ in range(40)] + [library(0.02, 100, rng)[0]]
    drawn = _drawn(samples)
    for sample, d in zip(samples, drawn):
        # By the dispersion of all: a binomial's within a fifth.
        chance = np.sqrt(0.01 * 18 / (READS * SITES))
        assert abs(d.rate.value - sample.conversion.value) < 1.2 * chance
    assert drawn[-1].rate.variance == pytest.approx(samples[-1].conversion.variance)


def test_three_libraries_are_left_as_they_are():
    rng = np.random.default_rng(3)
    samples = [library(0.01, 100, rng)[0] for _ in range(3)]
    for sample in samples:
        sample.row, sample.row_chemistry = SimpleNamespace(panel="p", kind="study"), "bisulfite"
    assert draw_conversion(samples) == samples


def read(states, rng, errors=3e-4, size=READS):
    chosen = rng.integers(len(states), size=size)
    shown = states[chosen] ^ (rng.random((size, states.shape[1])) < errors)
    patterns, count = np.unique(shown, axis=0, return_counts=True)
    nothing = np.zeros(len(count))
    return MoleculeCounts(patterns.astype(float), np.ones(patterns.shape), nothing, nothing, count.astype(float))


def test_templates_that_are_methylated_differently_are_distinguished():
    rng = np.random.default_rng(4)
    states = rng.random((80, 47)) < 0.6
    found = template_families(read(states, rng), 1 + READS / 80)
    assert sorted(map(tuple, found.methylated > 0)) == sorted(map(tuple, states)) and set(found.count) == {1.0}


@pytest.mark.parametrize(("level", "templates", "cpgs"), [(0.03, 80, 47), (0.6, 80, 6), (0.6, 5000, 47)])
def test_templates_alike_or_many_are_not(level, templates, cpgs):
    rng = np.random.default_rng(5)
    states = rng.random((templates, cpgs)) < level
    assert template_families(read(states, rng), 1 + READS / templates) is None
