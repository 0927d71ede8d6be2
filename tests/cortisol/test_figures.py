import numpy as np
import pandas as pd
import pytest

from hpaxis.cortisol import figures
from hpaxis.figures import save


@pytest.fixture
def wells():
    rows = [("A1", "standard", "S1", 100.0, 20.0, 100.0, ""), ("A2", "standard", "S1", 100.0, 30.0, 100.0, ""),
            ("B1", "sample", "H1", np.nan, 50.0, 40.0, ""), ("B2", "sample", "H1", np.nan, 50.0, 40.0, ""),
            ("C1", "sample", "H2", np.nan, 99.0, np.nan, "below_standards"),
            ("C2", "nsb", None, np.nan, 0.0, np.nan, ""),
            ("D1", "control", "low", 50.0, 45.0, 50.0, "")]  # fmt: skip
    table = pd.DataFrame(rows, columns=["well", "role", "sample", "nominal", "response", "concentration", "flags"])
    return table.assign(plate_id="P01", dilution=np.nan)


CURVES = pd.DataFrame({
    "plate_id": ["P01", "P02"], "verdict": ["pass", "fail"], "unit": "pg/mL", "signal": "percent_bound",
    "lowest_standard": 10.0, "highest_standard": 100.0,
})  # fmt: skip
BAND = pd.DataFrame(
    {
        "plate_id": "P01",
        "concentration": [10.0, 100.0],
        "response": [80.0, 25.0],
        "low": [78.0, 23.0],
        "high": [82.0, 27.0],
    }
)


def test_curves_show_standards_samples_and_censored_ones_at_the_edge(wells):
    first, second = figures.plot_curves(CURVES, BAND, wells).axes[:2]
    lines = {line.get_label(): line for line in first.get_lines()}
    assert lines["standards"].get_ydata().tolist() == [20.0, 30.0]
    assert lines["samples"].get_xdata().tolist() == [40.0, 40.0]
    assert (lines["beyond the standards"].get_xdata().tolist(), lines["beyond the standards"].get_ydata().tolist()) == (
        [10.0],
        [99.0],
    )
    assert first.get_xlabel() == "cortisol (pg/mL)" and first.get_title(loc="left") == "P01 (pass)"
    assert second.texts[0].get_text() == "no curve"


def test_plates_show_deviations_from_replicates_in_their_place(wells):
    axis = figures.plot_plates(wells).axes[0]
    grid = np.ma.filled(axis.images[0].get_array().astype(float), np.nan)
    assert grid.shape == (8, 12)
    np.testing.assert_allclose(grid[0, :2], [-20, 20])
    np.testing.assert_allclose(grid[1, :2], [0, 0])
    assert np.isnan(grid[2, 0]) and np.isnan(grid[2, 1]) and np.isnan(grid[7, 11])
    assert [t.get_text() for t in axis.texts] == ["S", "S", "", "", "", "N", "C"]


def test_a_384_well_plate_has_its_own_grid(wells):
    wells.loc[0, "well"] = "P24"
    axis = figures.plot_plates(wells).axes[0]
    assert axis.images[0].get_array().shape == (16, 24)


def test_controls_have_their_lines():
    table = pd.DataFrame({
        "plate_id": ["P1", "P2", "P3"], "kit": "k", "control": "low", "nominal": 100.0,
        "concentration": [98.0, 100.0, 105.0],
        "mean": 101.0, "sd": 3.0, "verdict": ["pass", "pass", "fail"], "lower_limit": [80.0, 80.0, 91.0],
        "upper_limit": [120.0, 120.0, 111.0], "limits_from": ["recovery", "recovery", "other plates"],
    })  # fmt: skip
    axis = figures.plot_controls(table).axes[0]
    drawn = {line.get_label(): line.get_ydata() for line in axis.get_lines()}
    assert set(drawn["mean"]) == {101.0} and set(drawn["nominal"]) == {100.0}
    # No SD of so few plates: the limits that judged each plate, where they hold.
    assert drawn["limits: recovery"][:2].tolist() == [120.0, 120.0] and np.isnan(drawn["limits: recovery"][2])
    assert drawn["limits: other plates"][2] == 111.0
    assert not any("SD" in label for label in drawn)
    fail = next(line for line in axis.get_lines() if line.get_label() == "fail")
    assert (fail.get_xdata().tolist(), fail.get_ydata().tolist()) == ([2], [105.0])


def test_censored_samples_are_open_triangles_at_their_limit():
    samples = pd.DataFrame({
        "hair_id": list("abcd"), "arm": ["x", "x", "x", "y"], "cortisol_pg_per_mg": [4.0, 6.0, np.nan, np.nan],
        "censored": ["none", "none", "below", "above"], "limit_pg_per_mg": [np.nan, np.nan, 1.5, 80.0],
    })  # fmt: skip
    axis = figures.plot_distribution(samples, ["x", "y"]).axes[0]
    drawn = {(line.get_marker(), tuple(line.get_ydata())) for line in axis.get_lines()}
    assert ("v", (1.5,)) in drawn and ("^", (80.0,)) in drawn
    # Median of below, 4 and 6.
    assert ("None", (4.0, 4.0)) in drawn
    assert [t.get_text() for t in axis.get_xticklabels()] == ["x\nn = 3", "y\nn = 1"]


def test_the_same_data_give_the_same_bytes(wells, tmp_path):
    for name in ("one", "two"):
        save(figures.plot_plates(wells), tmp_path / f"{name}.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    save(figures.plot_controls(pd.DataFrame(columns=["kit", "control"])), tmp_path / "none.svg")
    assert (tmp_path / "none.svg").stat().st_size > 0
