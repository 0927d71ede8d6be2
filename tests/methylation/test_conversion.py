"""Failed molecules told from others: by hand where they are plain, in simulations where they are not."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from hpaxis.methylation.counting.calls import LibraryCalls, conversion_table, patterns_table
from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.conversion import fit_mixture
from hpaxis.methylation.levels.counted import read_sample
from hpaxis.methylation.levels.measured import level
from hpaxis.schemas import load, with_defaults

SETTINGS = with_defaults({}, load("config/methylation"))
NO_LOSS = estimate.Rate(0.0, 0.0, np.inf)
CPGS = 20
LEVEL = 0.02


def test_kinds_that_lie_apart_are_counted():
    """At 100 sites 990 molecules have 1 unconverted and 10 have 80: e = .01, 1 % failed."""
    found = fit_mixture([1, 80], [100, 100], [990, 10])
    assert found.e == pytest.approx(0.01, rel=1e-4)
    assert found.failed == pytest.approx(0.01, rel=0.08)  # the broad component holds a few of those with one as well
    assert found.weight([1, 80], [100, 100]) == pytest.approx([1, 0], abs=2e-3)
    assert 900 < found.trials < 1000


def test_without_failed_molecules_e_is_the_plain_share():
    found = fit_mixture([0, 1], [50, 50], [800, 200])
    assert found.e == pytest.approx(200 / 1000 / 50, rel=1e-6) and found.failed == 0 and found.dispersion == 0


@pytest.mark.parametrize(("sites", "count"), [(100, 40), (4, 5000), (0, 5000)])
def test_too_little_to_tell_gives_no_mixture(sites, count):
    assert fit_mixture([0], [sites], [count]) is None


def test_ordinary_molecules_that_differ_among_themselves_are_not_taken_for_failed():
    """Beta(1, 49) of e over molecules: mean .02, correlation 1/51."""
    rng = np.random.default_rng(3)
    unconverted = rng.binomial(99, rng.beta(1, 49, 20_000))
    cells, count = np.unique(unconverted, return_counts=True)
    found = fit_mixture(cells, np.full(cells.size, 99), count)
    assert found.e == pytest.approx(0.02, abs=0.0006)
    assert found.dispersion == pytest.approx(1 / 51, rel=0.1) and found.failed < 0.001


# As much of a panel as one amplicon's estimate needs.
PANEL = SimpleNamespace(references={"a": ""}, cpg_offsets=lambda name: range(CPGS))


def library(rng, n, sites, e, failed):
    """Molecules at `LEVEL`, some failed with a share between .3 and 1, as the caller would give them."""
    has_failed = rng.random(n) < failed
    stays = np.where(has_failed, rng.uniform(0.3, 1, n), e)
    unconverted = rng.binomial(sites, stays)
    states = (rng.random((n, CPGS)) < LEVEL) | (rng.random((n, CPGS)) < stays[:, None])
    passed = unconverted <= SETTINGS["max_unconverted"] * sites
    letters = [row.tobytes().decode() for row in (states[passed] + ord("0")).astype(np.uint8)]
    rows = [("a", letter, u, sites, 1) for letter, u in zip(letters, unconverted[passed])]
    counts = pd.DataFrame({"depth": np.full(CPGS, passed.sum())})
    conversion = conversion_table([("a", u, sites, 1) for u in unconverted], ["a"])
    reads = pd.DataFrame([{"passed": passed.sum()}])
    return LibraryCalls(counts, patterns_table(rows, ["a"]), reads, conversion), has_failed.mean()


@pytest.mark.long
@pytest.mark.parametrize("sites", [10, 99])
def test_levels_are_unbiased_with_few_sites_where_a_hard_count_is_not(sites, monkeypatch):
    """70 libraries of 2,000 molecules, 10 % failed: tolerances are standard errors over the libraries."""
    monkeypatch.setattr(
        "hpaxis.methylation.levels.counted.masked_cpgs", lambda panel, frequency: np.zeros(CPGS, dtype=bool)
    )
    monkeypatch.setattr("hpaxis.methylation.levels.counted.mask_notes", lambda panel, settings: [])
    rng = np.random.default_rng(sites)
    rows = []
    for _ in range(70):
        tables, failed = library(rng, 2000, sites, 0.01, 0.1)
        sample = read_sample(SimpleNamespace(input_ng=np.nan), PANEL, tables, SETTINGS)
        found = level(sample, np.ones(CPGS, dtype=bool), NO_LOSS, SETTINGS)
        low, high = sample.failed.limits(0.95)
        hard = estimate.read_molecules(tables.patterns, "a", CPGS)
        e = estimate.non_conversion([hard], np.nan)
        p = hard.count @ hard.methylated.mean(axis=1) / hard.count.sum()
        rows.append({
            "beta": found.beta[0] - LEVEL, "hard": (p - e.value) / (1 - e.value) - LEVEL, "se": found.se[0],
            "covered": found.low[0] <= LEVEL <= found.high[0], "share": sample.failed.value - failed,
            "e": sample.conversion.value - 0.01, "failed_covered": low <= 0.1 <= high,
        })  # fmt: skip
    table = pd.DataFrame(rows)
    error = table["beta"].sem()
    assert abs(table["beta"].mean()) < 3 * error
    assert (abs(table["hard"].mean()) > 5 * table["hard"].sem()) == (sites == 10)
    assert table["covered"].sum() >= binom.ppf(0.001, 70, 0.95)
    assert np.sqrt((table["se"] ** 2).mean()) == pytest.approx(table["beta"].std(), rel=0.3)
    # With ten sites the shape of the failed component, hardly known, decides on a few of its molecules.
    assert abs(table["share"].mean()) < (0.01 if sites == 10 else 0.001)
    assert abs(table["e"].mean()) < (1e-3 if sites == 10 else 1e-4)
    assert table["failed_covered"].mean() > 0.8
