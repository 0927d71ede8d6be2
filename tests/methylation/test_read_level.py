"""Arrangement of methylation on molecules, by hand."""

import numpy as np
import pandas as pd
import pytest

from hpaxis.methylation.calls import LibraryCalls, count_library
from hpaxis.methylation.estimate import Molecules
from hpaxis.methylation.read_level import many_methylated, read_level_table, window_measures


def molecules(rows, counts):
    """Rows as text: 1, 0, or . for a CpG that was not read."""
    letters = np.array([list(row) for row in rows])
    zero = np.zeros(len(rows))
    return Molecules(
        (letters == "1").astype(float), (letters != ".").astype(float), zero, zero, np.array(counts, float)
    )


def test_alike_molecules_have_no_disorder_and_no_diversity():
    found = window_measures(molecules(["0000"], [50]), 10)
    assert found == {"n_windows": 1, "depth": 50, "pdr": 0, "epipolymorphism": 0, "entropy": 0, "mhl": 0}
    assert window_measures(molecules(["1111"], [50]), 10)["mhl"] == pytest.approx(1)


def test_half_and_half_by_hand():
    """10 of 0000 and 10 of 1111: no discordant molecule; two draws differ in 1 - 2 * 90 / 380; one bit over 4 CpGs."""
    found = window_measures(molecules(["0000", "1111"], [10, 10]), 10)
    assert found["pdr"] == 0
    assert found["epipolymorphism"] == pytest.approx(1 - 2 * 90 / 380)
    assert found["entropy"] == pytest.approx((1 + 1 / 40 / np.log(2)) / 4)
    assert found["mhl"] == pytest.approx(0.5)


def test_haplotype_load_weights_long_runs():
    """1100 alone: single CpGs half methylated, one run of two of three, none longer: (1 * 1/2 + 2 * 1/3) / 10."""
    assert window_measures(molecules(["1100"], [20]), 10)["mhl"] == pytest.approx((0.5 + 2 / 3) / 10)


def test_windows_are_fixed_and_only_whole_ones_count():
    """Five CpGs make two windows; a molecule that misses the last CpG counts in the first alone."""
    found = window_measures(molecules(["00000", "1000."], [20, 20]), 10)
    assert found["n_windows"] == 2 and found["depth"] == 30
    assert found["pdr"] == pytest.approx((0.5 + 0) / 2)
    assert np.isnan(window_measures(molecules(["00000"], [5]), 10)["pdr"])


def test_measures_do_not_depend_on_depth():
    rng = np.random.default_rng(3)
    p = np.array([0.7, 0.1, 0.1, 0.1])
    rows = ["0000", "1000", "0110", "1111"]
    exact = 1 - (p**2).sum()
    means = {}
    for n in (20, 2000):
        draws = rng.multinomial(n, p, size=400 if n == 20 else 20)
        means[n] = np.mean([window_measures(molecules(rows, d), 10)["epipolymorphism"] for d in draws])
        assert means[n] == pytest.approx(exact, abs=0.02)


def test_many_methylated_against_chance():
    """47 CpGs at e = .5 %: three or more by chance on .17 % of molecules (binomial)."""
    found = many_methylated(molecules(["0" * 47, "111" + "0" * 44], [90, 10]), 0.005)
    assert found["share_many"] == pytest.approx(0.1)
    assert found["share_many_by_chance"] == pytest.approx(0.0017, abs=5e-5)


def test_the_table_has_a_row_a_library_and_amplicon(bench):
    panel = bench.panel()
    pairs = [bench.pair(bench.molecule())] * 15 + [bench.pair(bench.molecule((0, 1, 2, 3)))] * 15
    calls = count_library(bench.write(pairs), panel, "A")
    empty = LibraryCalls(calls.counts, calls.patterns.iloc[:0], calls.reads, calls.conversion)
    libraries = pd.DataFrame({"library_id": ["A", "B"], "panel": "toy", "non_conversion": [0.0, np.nan]})
    table = read_level_table({"A": calls, "B": empty}, {"toy": panel}, libraries, 10).set_index("library_id")
    assert table.loc["A", "n_windows"] == 4 and table.loc["A", "depth"] == 30
    assert table.loc["A", "share_many"] == 0.5 and table.loc["A", "share_many_by_chance"] == 0
    # Windows 0-3 to 3-6 hold 4, 3, 2 and 1 methylated CpGs of half the molecules.
    assert table.loc["A", "pdr"] == pytest.approx((0 + 0.5 + 0.5 + 0.5) / 4)
    assert table.loc["B", "n_windows"] == 0 and np.isnan(table.loc["B", "share_many"])
