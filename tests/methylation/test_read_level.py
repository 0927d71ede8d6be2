"""Arrangement of methylation on molecules, by hand."""

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml

from hpaxis.methylation.counting.calls import LibraryCalls, count_library
from hpaxis.methylation.levels.estimate import MoleculeCounts
from hpaxis.methylation.levels.read_level import many_methylated, read_level_table, window_measures


def molecules(rows, counts):
    """Rows as text: 1, 0, or . for a CpG that was not read."""
    letters = np.array([list(row) for row in rows])
    zero = np.zeros(len(rows))
    return MoleculeCounts(
        (letters == "1").astype(float), (letters != ".").astype(float), zero, zero, np.array(counts, float)
    )


def test_alike_molecules_have_no_disorder_and_no_diversity():
    found = window_measures(molecules(["0000"], [50]), 10)
    assert found.pop("n_windows") == 1 and found.pop("depth") == 50
    assert set(found.values()) == {0} and len(found) == 8
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


@pytest.fixture(scope="module")
def population():
    """Distinct molecules of seven CpGs, neighbours alike, and their shares."""
    rng = np.random.default_rng(3)
    states = np.repeat(rng.random((4000, 1)) < 0.4, 7, axis=1) ^ (rng.random((4000, 7)) < 0.15)
    rows, count = np.unique(states, axis=0, return_counts=True)
    return ["".join("01"[int(s)] for s in row) for row in rows], count / count.sum()


def subsamples(population, n, times):
    rows, p = population
    draws = np.random.default_rng(4).multinomial(n, p, size=times)
    return pd.DataFrame([window_measures(molecules(rows, d), 10) for d in draws])


@pytest.mark.parametrize("n", [15, 60, 1000])
def test_measures_do_not_depend_on_depth(population, n):
    """Subsamples of 15, 60 and 1,000 molecules have the population's measures on average: the first three within four
    standard errors of the mean over 300 draws; entropy, whose correction is of first order, within .02 (.1 at 15)."""
    rows, p = population
    truth = window_measures(molecules(rows, p * 1e9), 10)
    found = subsamples(population, n, 300)
    for measure in ("pdr", "epipolymorphism", "mhl"):
        assert found[measure].mean() == pytest.approx(truth[measure], abs=4 * found[measure].sem()), measure
    tolerance = 4 * found["entropy"].sem() + (0.1 if n == 15 else 0.02)
    assert found["entropy"].mean() == pytest.approx(truth["entropy"], abs=tolerance)


@pytest.mark.parametrize("n", [100, 1000])
def test_standard_errors_are_the_spread_of_subsamples(population, n):
    """Within 15 %: a standard deviation of 400 draws is itself known to 3.5 %."""
    found = subsamples(population, n, 400)
    for measure in ("pdr", "epipolymorphism", "entropy", "mhl"):
        assert found[f"{measure}_se"].mean() == pytest.approx(found[measure].std(), rel=0.15), measure


def test_copies_of_few_templates_widen_the_errors():
    one, four = (window_measures(molecules(["0000", "1000", "1111"], [50, 20, 30]), 10, c) for c in (1, 4))
    assert four["pdr_se"] == pytest.approx(2 * one["pdr_se"]) and one["pdr_se"] == pytest.approx(
        (0.2 * 0.8 / 100) ** 0.5
    )
    one, four = (many_methylated(molecules(["0000", "1111"], [70, 30]), 0.0, c) for c in (1, 4))
    assert four["share_many_se"] == pytest.approx(2 * (0.3 * 0.7 / 100) ** 0.5)


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
    libraries = pd.DataFrame({"library_id": ["A", "B"], "panel": "toy", "non_conversion": [0.0, np.nan],
                              "median_depth": [30.0, 0.0], "effective_depth": [20.0, 0.0]})  # fmt: skip
    table = read_level_table({"A": calls, "B": empty}, {"toy": panel}, libraries, 10).set_index("library_id")
    assert table.loc["A", "n_windows"] == 4 and table.loc["A", "depth"] == 30
    assert table.loc["A", "share_many"] == 0.5 and table.loc["A", "share_many_by_chance"] == 0
    # Windows 0-3 to 3-6 hold 4, 3, 2 and 1 methylated CpGs of half the molecules.
    assert table.loc["A", "pdr"] == pytest.approx((0 + 0.5 + 0.5 + 0.5) / 4)
    assert table.loc["B", "n_windows"] == 0 and np.isnan(table.loc["B", "share_many"])


def test_the_table_is_as_its_schema_says(bench, root):
    schema = yaml.safe_load((root / "workflow" / "schemas" / "methylation_read_level.schema.yaml").read_text())
    panel = bench.panel()
    calls = count_library(bench.write([bench.pair(bench.molecule())] * 12), panel, "A")
    libraries = pd.DataFrame([{"library_id": "A", "panel": "toy", "non_conversion": 0.0, "median_depth": 12.0,
                               "effective_depth": 12.0}])  # fmt: skip
    for depth in (10, 100):
        table = read_level_table({"A": calls}, {"toy": panel}, libraries, depth)
        assert list(table.columns) == list(schema["properties"]) == schema["required"]
        row = table.astype(object).where(table.notna(), None).to_dict("records")[0]
        jsonschema.validate({k: v.item() if hasattr(v, "item") else v for k, v in row.items()}, schema)
