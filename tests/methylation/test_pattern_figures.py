"""Figures of molecules: pooled with equal weight, drawn evenly, the same bytes each time."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hpaxis.figures import save
from hpaxis.methylation.figures.patterns import (
    METHYLATED,
    MISSING,
    group_libraries,
    plot_heat_map,
    plot_lollipops,
    pool_patterns,
    sample_molecules,
)


def table(counts, amplicon="a"):
    return pd.DataFrame({"amplicon": amplicon, "pattern": list(counts), "count": list(counts.values())})


@pytest.fixture
def pools():
    tables = {"L1": table({"0000": 90, "1100": 10}), "L2": table({"0000": 5, "111.": 5})}
    return pool_patterns(tables, {"Children, control": ["L1", "L2"], "Children, other": ["L2"]})


def test_every_library_has_equal_weight_however_deep(pools):
    pool, molecules, libraries = pools["Children, control"]
    assert pool.set_index("pattern")["weight"].to_dict() == pytest.approx({"0000": 0.7, "1100": 0.05, "111.": 0.25})
    assert (molecules, libraries) == (110, 2)


def test_the_deepest_amplicon_is_drawn_and_molecules_without_cpgs_are_not():
    one = pd.concat([table({"00": 5, "..": 900}), table({"11": 30}, "b")])
    pools = pool_patterns({"L1": one}, {"x": ["L1"]})
    assert pools["x"][0]["pattern"].tolist() == ["11"]
    assert pool_patterns({"L1": table({"..": 5})}, {"x": ["L1"]}) == {} == pool_patterns({}, {})


def test_molecules_are_drawn_as_often_as_they_weigh_most_methylated_first(pools):
    states = sample_molecules(pools["Children, control"][0], 100)
    hits = (states == METHYLATED).sum(axis=1)
    assert np.bincount(hits).tolist() == [70, 0, 5, 25]
    assert (np.diff(hits) <= 0).all()
    assert (states[0] == [METHYLATED] * 3 + [MISSING]).all()
    some = sample_molecules(pools["Children, control"][0], 12, 1)
    assert np.bincount((some == METHYLATED).sum(axis=1)).tolist() == [0, 0, 2, 10]
    assert len(sample_molecules(pools["Children, control"][0], 12, 4)) == 0


def test_groups_are_of_people_enough_and_of_libraries_that_did_not_fail():
    libraries = pd.DataFrame({
        "library_id": [f"L{i}" for i in range(8)], "participant_id": ["p1", "p1", "p2", "p3", "p4", "p5", "p6", None],
        "kind": ["study"] * 7 + ["control_0"], "verdict": ["pass"] * 5 + ["fail", "warn", "pass"],
    })  # fmt: skip
    people = pd.DataFrame({"participant_id": [f"p{i}" for i in range(1, 7)], "role": ["child"] * 3 + ["parent"] * 3,
                           "arm": ["a", "a", "a", "b", "b", "b"]})  # fmt: skip
    assert group_libraries(libraries, people, ["a", "b"], 3) == {"Children, a": ["L0", "L1", "L2", "L3"]}
    assert "Parents, b" in group_libraries(libraries, people, ["a", "b"], 0)
    # p1's two libraries are one person; a group of one person is never drawn.
    alone = people.assign(arm=["a", "b", "b", "b", "b", "b"])
    assert "Children, a" not in group_libraries(libraries, alone, ["a", "b"], 0)


@pytest.mark.parametrize("plot", [plot_heat_map, plot_lollipops])
def test_figures_say_how_many_and_are_the_same_bytes(pools, plot, tmp_path):
    plt.close("all")
    for name in ("a.svg", "b.svg"):
        figure = plot(pools)
        titles = [axis.get_title(loc="left") for axis in figure.axes if axis.get_title(loc="left")]
        save(figure, tmp_path / name)
    assert titles[0] == "Children, control: 2 libraries, 110 molecules\n70 % with none methylated, 25 % with 3 or more"
    text = (tmp_path / "a.svg").read_bytes()
    assert text == (tmp_path / "b.svg").read_bytes() and b"<image" not in text
    save(plot({}), tmp_path / "none.svg")
    assert not plt.get_fignums()
