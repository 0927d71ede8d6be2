"""Shares of cell types from made-up markers: truth in its interval, bounds kept, misfit told, tables checked."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from hpaxis.methylation.levels.cell_mix import estimate_cell_mix
from hpaxis.methylation.panels.cell_types import read_cell_types
from hpaxis.problems import InputError
from hpaxis.tables import write_table

LEVELS = {"epithelial": [0.9, 0.1, 0.8, 0.3, 0.7], "leukocyte": [0.1, 0.8, 0.3, 0.9, 0.2]}
THREE = LEVELS | {"other": [0.5, 0.5, 0.1, 0.1, 0.9]}


def markers_of(levels):
    rows = [(f"c{i}", kind, v, "made up") for kind, values in levels.items() for i, v in enumerate(values)]
    return pd.DataFrame(rows, columns=["cpg_id", "cell_type", "level", "source"])


def people(shares, levels, se, rng, bias=0.0):
    """A library a person whose true shares are rows of ``shares``."""
    names = [f"p{i:03d}" for i in range(len(shares))]
    libraries = pd.DataFrame({"library_id": names, "participant_id": names, "timepoint": "t", "kind": "study"})
    true = shares @ np.array(list(levels.values()))
    calls = {
        name: pd.DataFrame({
            "cpg_id": [f"c{i}" for i in range(true.shape[1])],
            "beta_unclipped": row + rng.normal(0, se, len(row)) + bias * rng.choice([-1, 1], len(row)), "beta_se": se,
        }) for name, row in zip(names, true)
    }  # fmt: skip
    return libraries.assign(verdict="pass"), calls


@pytest.mark.parametrize("levels", [LEVELS, THREE], ids=["two types", "three"])
def test_true_shares_lie_in_their_intervals_as_often_as_they_say(levels):
    rng = np.random.default_rng(3)
    shares = rng.dirichlet([4] * len(levels), 400)
    libraries, calls = people(shares, levels, 0.03, rng)
    found = estimate_cell_mix(libraries, calls, markers_of(levels), 0.95)
    sums = found.groupby("participant_id")["fraction"].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(400)) and found["fraction"].between(0, 1).all()
    for k, kind in enumerate(levels):
        mine = found[found["cell_type"] == kind]
        inside = ((mine["fraction_low"] <= shares[:, k]) & (shares[:, k] <= mine["fraction_high"])).sum()
        # Widening for misfit only adds, so more than 95 % is no fault.
        assert inside >= binom.ppf(0.001, 400, 0.95)
        assert (mine["fraction"] - shares[:, k]).mean() == pytest.approx(0, abs=0.01)
        assert mine["fraction_se"].median() > 0.8 * (mine["fraction"] - shares[:, k]).std()
    assert (found["misfit_p"] < 0.05).mean() == pytest.approx(0.05, abs=0.04)


def test_by_hand_two_types_two_cpgs():
    """c0: .9 against .1, c1: .1 against .9; a mix of .5 and .5 reads .5 at both, and one of .7 to .3 .66 and .34."""
    markers = markers_of({"a": [0.9, 0.1], "b": [0.1, 0.9]})
    libraries, calls = people(
        np.array([[0.7, 0.3]]), {"a": [0.9, 0.1], "b": [0.1, 0.9]}, 1e-12, np.random.default_rng(1)
    )
    calls["p000"]["beta_se"] = 0.08
    row = estimate_cell_mix(libraries, calls, markers, 0.95).set_index("cell_type").loc["a"]
    assert row["fraction"] == pytest.approx(0.7)
    # Each CpG tells the share with error .08 / .8 = .1; two of them with .1 / √2.
    assert row["fraction_se"] == pytest.approx(0.1 / 2**0.5)


def test_shares_stay_between_0_and_1_and_a_bad_fit_is_told():
    rng = np.random.default_rng(5)
    libraries, calls = people(np.array([[1.0, 0.0]] * 50), LEVELS, 0.03, rng)
    found = estimate_cell_mix(libraries, calls, markers_of(LEVELS), 0.95)
    assert found["fraction"].between(0, 1).all() and (found["fraction"] == 1).any()
    libraries, calls = people(np.array([[0.5, 0.5]] * 50), LEVELS, 0.01, rng, bias=0.1)
    found = estimate_cell_mix(libraries, calls, markers_of(LEVELS), 0.95)
    assert (found["misfit_p"] < 0.001).mean() > 0.8 and found["fraction_se"].median() > 0.03
    inside = ((found["fraction_low"] <= 0.5) & (found["fraction_high"] >= 0.5)).sum()
    assert inside >= binom.ppf(0.001, len(found), 0.93)


def test_failed_libraries_and_too_few_markers_give_no_share():
    rng = np.random.default_rng(6)
    libraries, calls = people(np.array([[0.5, 0.5]] * 2), LEVELS, 0.03, rng)
    libraries["verdict"] = ["fail", "pass"]
    calls["p001"].loc[1:, "beta_unclipped"] = np.nan
    found = estimate_cell_mix(libraries, calls, markers_of(LEVELS), 0.95)
    assert found["fraction"].isna().all() and found["n_cpgs"].tolist() == [0, 0, 1, 1]


def test_a_marker_table_at_fault_is_refused_with_every_reason(tmp_path):
    folder = tmp_path / "panel"
    table = markers_of(LEVELS)
    known = {str(folder): {f"c{i}" for i in range(5)}}
    write_table(table, folder / "cell_types.tsv")
    assert len(read_cell_types(known)) == 10
    table = table.astype({"level": "object"})
    table.loc[0, "level"], table.loc[1, "cpg_id"], table.loc[2, "cell_type"] = "1.4", "nowhere", "Mixed Cells"
    table.loc[3, "source"] = None
    write_table(table, folder / "cell_types.tsv")
    with pytest.raises(InputError) as error:
        read_cell_types(known)
    places = {(p.row, p.column) for p in error.value.problems}
    assert places == {(2, "level"), (3, "cpg_id"), (4, "cell_type"), (5, "source")}
    write_table(markers_of({"a": [0.5, 0.2], "b": [0.5, 0.2]}), folder / "cell_types.tsv")
    with pytest.raises(InputError, match="do not tell its cell types apart"):
        read_cell_types(known)
