"""The validation of an assay: precision by level against R and simulated truth, and the tables of a set of plates."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpaxis.config import check_config
from hpaxis.cortisol.inputs import check_layout, read_plate
from hpaxis.cortisol.plate import quantify_plate
from hpaxis.cortisol.validation import recovery_table, standard_table, validate, variance_components
from hpaxis.report.validation import _trueness

_spec = importlib.util.spec_from_file_location("validation_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)


def test_components_are_those_of_r():
    """R 4.2, lme4: lmer(y ~ 1 + (1 | run/plate)); for equal numbers and positive components REML is the ANOVA."""
    y = [98, 101, 104, 107, 92, 95, 90, 93.5, 110, 108, 113, 111]
    run, plate = pd.Series(np.repeat([1, 2, 3], 4)), pd.Series(np.repeat(range(6), 2))
    found, degrees, notes = variance_components(y, run, plate)
    assert found["well"] == pytest.approx(3.9375, rel=1e-5)
    assert found["plate"] == pytest.approx(6.04166893, rel=1e-5)
    assert found["run"] == pytest.approx(76.1667364, rel=1e-5)
    assert degrees["well"] == 6 and 1 < degrees["between"] < 5 and notes == []


def test_unequal_numbers_give_the_truth_on_average():
    rng = np.random.default_rng(4)
    sizes = [(0, 0, 3), (0, 1, 2), (1, 2, 2), (2, 3, 4), (2, 4, 1), (3, 5, 2), (3, 6, 2), (4, 7, 3)]
    run = pd.Series(np.repeat([r for r, _, _ in sizes], [n for *_, n in sizes]))
    plate = pd.Series(np.repeat([p for _, p, _ in sizes], [n for *_, n in sizes]))
    sums = np.zeros(3)
    for _ in range(400):
        y = 100 + rng.normal(0, 5, 5)[run] + rng.normal(0, 2, 8)[plate] + rng.gamma(4, 1.0, len(run))
        found, _, _ = variance_components(y, run, plate)
        sums += [found["run"], found["plate"], found["well"]]
    run_mean, plate_mean, well_mean = sums / 400
    # Truth 25, 4 and 4 (gamma, shape 4); negative estimates are 0, so that the middle one is a little high.
    assert well_mean == pytest.approx(4, rel=0.12)
    assert run_mean == pytest.approx(25, rel=0.2) and 3 < plate_mean < 7


def test_a_level_that_was_not_repeated_is_not_told():
    found, degrees, notes = variance_components([10.0, 11.0, 9.0], pd.Series([1, 1, 1]), pd.Series([1, 1, 1]))
    assert found == {"well": pytest.approx(1.0)} and "between" not in degrees
    assert notes == ["measured on one plate: nothing is known between assays"]
    found, _, notes = variance_components([10.0, 11.0, 9.0], pd.Series([1, 2, 3]), pd.Series([1, 2, 3]))
    assert set(found) == {"plate"} and found["plate"] == pytest.approx(1.0) and "one well on each plate" in notes[0]


def test_standards_by_hand():
    wells = pd.DataFrame({
        "plate_id": ["A", "A", "B", "B"], "role": "standard", "nominal": 100.0, "concentration": [90.0, 110, 105, 125],
    })  # fmt: skip
    kits = pd.DataFrame({"kit": "k", "unit": "pg/mL", "run": ["A", "B"]}, index=pd.Index(["A", "B"], name="plate_id"))
    row = standard_table(wells, kits).iloc[0]
    assert (row["recovery_percent"], row["recovery_min_percent"]) == (pytest.approx(107.5), pytest.approx(100))
    cvs = np.array([100 * np.sqrt(200) / 100, 100 * np.sqrt(200) / 115])
    assert row["intra_cv_percent"] == pytest.approx(np.sqrt(np.mean(cvs**2)))
    assert row["inter_cv_percent"] == pytest.approx(100 * np.sqrt(112.5) / 107.5)


def test_plates_alone_give_every_table(simulated, kit, settings, tmp_path):
    results = []
    for plate in simulated:
        row = _conftest.write_plate(tmp_path, plate)
        results.append(quantify_plate(plate.plate_id, *read_plate(row, None, kit), kit, settings))
    found = validate(_conftest.plate_tables(results, settings), settings)
    assert set(found) == {
        "curves", "standards", "limits", "precision", "parallelism", "recovery", "controls", "position", "quality",
        "rerun",
    }  # fmt: skip
    controls = found["precision"].query("role == 'control'")
    assert set(controls["sample"]) == {"low", "high"} and (controls["n_plates"] == len(results)).all()
    assert found["precision"].query("role == 'sample'")["intra_cv_percent"].between(1, 30).all()
    assert set(found["limits"]["limit"]) == {"lod", "lloq", "uloq"}
    assert set(found["recovery"]["what"]) == {"control"}


def test_recovery_has_the_concentration_of_extraction_blanks():
    checks = pd.DataFrame({
        "plate_id": "A", "check": ["control_recovery", "extraction_blank", "extraction_blank", "lod"],
        "subject": ["low", "E1", "E2", "x"], "value": [96.0, 12.5, np.nan, 1.0], "verdict": "pass", "reason": None,
    })  # fmt: skip
    kits = pd.DataFrame({"kit": "k", "unit": "pg/mL"}, index=pd.Index(["A"], name="plate_id"))
    table = recovery_table(checks, kits).set_index("sample")
    assert table.loc["low", "recovery_percent"] == 96 and table.loc[["E1", "E2"], "recovery_percent"].isna().all()
    assert table["concentration"].to_dict() == pytest.approx({"E1": 12.5, "E2": np.nan, "low": np.nan}, nan_ok=True)
    assert table.loc["E1", "unit"] == "pg/mL" and pd.isna(table.loc["low", "unit"])
    cells = list(_trueness({"parallelism": table.iloc[:0], "recovery": table.reset_index()}))[-1]
    assert [row[4] for row in cells.rows] == ["–" if s != "E1" else "12.5 pg/mL" for s in table.index]


def test_a_validation_has_plates_alone_and_a_study_everything(tmp_path):
    assert check_config({"sheets": {"plates": "plates.tsv"}}) == []
    said = "\n".join(map(str, check_config({"sheets": {"plates": "p.tsv", "hair": "h.tsv"}})))
    assert "sheets.participants" in said and "leave sheets.hair out" in said
    assert "sheets.participants" in "\n".join(map(str, check_config({"sheets": {}})))
    study = {"sheets": {"participants": "p.tsv"}}
    assert "arms" in "\n".join(map(str, check_config(study)))
    layout = pd.DataFrame({"well": ["A1"], "role": ["standard"], "sample": ["S1"], "dilution": [np.nan]})
    assert check_layout(layout, None, "layout.tsv") == []
    assert "has no standard wells" in str(check_layout(layout.assign(role="sample"), None, "layout.tsv")[0])
