"""Signs of variants in reads alone: found where they were put, and not at the levels of a study."""

import numpy as np
import pandas as pd
import pytest

from hpaxis.methylation.levels.dropout import COLUMNS, suspected_variants, two_groups
from hpaxis.methylation.levels.estimate import MoleculeCounts
from hpaxis.methylation.panels.panel import panel_folder, read_panel
from hpaxis.simulation.reads import panel_amplicon, simulate_methylation

AMPLICON = panel_amplicon(read_panel(panel_folder("nr3c1_exon1f")))
SIZE = AMPLICON.offsets.size
IDS = [list(AMPLICON.cpg_ids)]


def molecules(states):
    rows, count = np.unique(states, axis=0, return_counts=True)
    none = np.zeros(len(rows))
    return MoleculeCounts(rows.astype(float), np.ones(rows.shape), none, none, count.astype(float))


def drawn(level, n, rng, correlation=8.0):
    levels = np.broadcast_to(np.asarray(level, float), (n, SIZE))
    return simulate_methylation(levels, AMPLICON.offsets, correlation, rng)


def with_non_conversion(states, rng, e=0.006):
    return states | (rng.random(states.shape) < e)


def test_no_groups_at_the_levels_of_a_study_at_any_depth():
    rng = np.random.default_rng(0)
    for level in (0, 0.005, 0.02, 0.04, 0.08):
        for n in (120, 1000, 5000):
            for _ in range(5):
                profile = np.clip(level * np.exp(rng.normal(0, 0.5, SIZE)), 0, 1)
                assert two_groups([molecules(with_non_conversion(drawn(profile, n, rng), rng))]) is None


@pytest.mark.parametrize("level", [0.2, 0.5, 0.8, 1.0])
def test_one_overdispersed_group_is_one_group(level):
    rng = np.random.default_rng(1)
    for correlation in (8, 30):
        assert two_groups([molecules(drawn(min(level, 0.999), 2000, rng, correlation))]) is None


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_two_alleles_that_differ_are_two_groups(share):
    rng = np.random.default_rng(2)
    n = 1500
    states = np.concatenate([drawn(0.85, round(n * share), rng), drawn(0.05, n - round(n * share), rng)])
    upper, high, low = two_groups([molecules(with_non_conversion(states, rng))])
    assert upper == pytest.approx(share, abs=0.03)
    assert high == pytest.approx(0.85, abs=0.02) and low == pytest.approx(0.055, abs=0.02)


def test_too_few_molecules_say_nothing():
    rng = np.random.default_rng(3)
    assert two_groups([molecules(np.concatenate([drawn(0.9, 30, rng), drawn(0.05, 30, rng)]))]) is None
    assert two_groups([MoleculeCounts(*(np.zeros((0, SIZE)),) * 2, *(np.zeros(0),) * 3)]) is None


def study(states, copies=1.0):
    parts = {name: molecules(s) for name, s in states.items()}
    return suspected_variants({
        name: ("p", IDS, [m], [np.zeros(m.known.shape, dtype=bool)], copies) for name, m in parts.items()
    })  # fmt: skip


def test_a_cpg_that_half_the_molecules_lack_is_suspected_and_no_other():
    """Six libraries at 60 %; one is heterozygous for a C>T at CpG 11, one homozygous at CpG 31."""
    rng = np.random.default_rng(4)
    states = {f"L{i}": drawn(0.6, 1500, rng) for i in range(6)}
    states["L2"][rng.random(1500) < 0.5, 10] = False
    states["L4"][:, 30] = False
    found = study(states)
    assert found[["library_id", "cpg_id"]].values.tolist() == [["L2", IDS[0][10]], ["L4", IDS[0][30]]]
    assert found["share"].iloc[0] == pytest.approx(0.5 * found["share_elsewhere"].iloc[0], abs=0.06)
    assert found["share"].iloc[1] == 0 and list(found.columns) == list(COLUMNS)


def test_nothing_is_suspected_at_the_levels_of_a_study():
    rng = np.random.default_rng(5)
    states = {}
    for i in range(60):
        level = np.clip(rng.uniform(0, 0.08) * np.exp(rng.normal(0, 0.3, SIZE)), 0, 1)
        states[f"L{i:02d}"] = with_non_conversion(drawn(level, int(rng.integers(200, 5000)), rng), rng)
    assert study(states).empty


def test_a_library_alone_and_one_without_reads_are_no_harm():
    rng = np.random.default_rng(6)
    assert study({"L1": drawn(0.6, 500, rng)}).empty
    assert study({"L1": drawn(0.6, 500, rng), "L2": np.zeros((0, SIZE), bool)}).empty
    assert isinstance(study({}), pd.DataFrame)
