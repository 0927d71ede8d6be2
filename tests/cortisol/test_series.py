"""Series of saliva cortisol: areas and awakening response against values by hand, SciPy and simulated truth."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import integrate

from hpaxis.cortisol.check import check_sheets
from hpaxis.cortisol.inputs import check_layout, extracts, read_plate
from hpaxis.cortisol.kits import pg_per_ml
from hpaxis.cortisol.plate import quantify_plate
from hpaxis.cortisol.runs import RunVariance
from hpaxis.cortisol.samples import no_plates
from hpaxis.cortisol.series import MEASURES, coefficients, collect_series, series_tables, trapezoid
from hpaxis.schemas import config_schema, load, with_defaults
from hpaxis.sheets import read_sheet, sheet_schema
from hpaxis.simulation.plates import PlateDesign, simulate_plates
from hpaxis.tables import write_table

_spec = importlib.util.spec_from_file_location("series_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
plate_tables, write_plate = _conftest.plate_tables, _conftest.write_plate


def sheet(rows, **more):
    """Tubes as saliva_cortisol.tsv has them: (minutes, value or None), by default one day of participant 001."""
    table = pd.DataFrame(rows, columns=["minutes", "cortisol_nmol_per_l"]).astype({"minutes": float})
    table["cortisol_nmol_per_l"] = (
        table["cortisol_nmol_per_l"].astype("str").where(table["cortisol_nmol_per_l"].notna(), None)
    )
    table.insert(0, "saliva_id", [f"T{i}" for i in range(len(table))])
    return table.assign(**{
        "participant_id": "001", "timepoint": "m", "day": 1.0, "dilution": 1.0, "cv_percent": 10.0,
        "row": range(2, len(table) + 2), **more,
    })  # fmt: skip


def collected(tubes, settings, **changes):
    people = pd.DataFrame({"participant_id": tubes["participant_id"].unique(), "arm": "control"})
    return collect_series(no_plates(), tubes, people, ["control"], settings | changes)


DAY = [(0, 10), (30, 16), (45, 14), (60, 12)]


@pytest.mark.parametrize(
    ("minutes", "auc_g", "auc_i"), [((0, 60, 120, 180, 240), 34.75, 20.75), ((0, 10, 15, 30, 45), 390 / 60, 232.5 / 60)]
)
def test_areas_of_the_example_in_pruessner_2003(settings, minutes, auc_g, auc_i):
    """Psychoneuroendocrinology 28:916-931, at equal and at unequal times; there in minutes in the second case."""
    series = collected(sheet(list(zip(minutes, (3.5, 7, 14, 7, 10), strict=True))), settings)["saliva_series"].iloc[0]
    assert series["auc_g"] == pytest.approx(auc_g) and series["auc_i"] == pytest.approx(auc_i)


def test_tubes_of_a_plate_share_its_curve_s_error(settings):
    """Errors that are all the curve's move a day as a whole: those of tubes on two plates partly cancel."""
    tubes = pd.DataFrame({
        "saliva_id": ["A", "B"], "participant_id": "1", "timepoint": "m", "day": 1.0, "minutes": [0.0, 60.0],
        "platform": "k", "plate_id": ["P1", "P1"], "measurements": 1, "runs": 1, "nmol_per_l": 10.0, "log_se": 0.1,
        "log_se_within_run": 0.1, "censored": "none", "limit_nmol_per_l": np.nan, "flags": "",
    })  # fmt: skip
    parts = {"curve_a": 0.06, "curve_b": 0.08, "curve_c": 0.0, "curve_d": 0.0, "curve_g": 0.0}
    for plates, area, rise in ((["P1", "P1"], 1.0, 0.0), (["P1", "P2"], np.sqrt(0.5), 1.0)):
        placed = tubes.assign(plate_id=plates)
        measured = pd.DataFrame({"hair_id": ["A", "B"], "plate_id": plates, **parts})
        found = series_tables(placed, {}, {}, settings, measured)[1].iloc[0]
        assert found["auc_g_se"] == pytest.approx(area) and found["auc_g"] == pytest.approx(10)
        assert found["auc_i_se"] == pytest.approx(rise / np.sqrt(2), abs=1e-6)
    alone = series_tables(tubes, {}, {}, settings)[1].iloc[0]
    assert alone["auc_g_se"] == pytest.approx(np.sqrt(0.5))


def test_areas_and_awakening_response_by_hand(settings):
    series = collected(sheet(DAY), settings)["saliva_series"].iloc[0]
    # .5 h × 13 + .25 h × 15 + .25 h × 13 = 13.5; less 10 × 1 h; mean of 16, 14, 12 less 10.
    assert series["auc_g"] == pytest.approx(13.5)
    assert series["auc_i"] == pytest.approx(3.5) and series["awakening"] == pytest.approx(3.5)
    assert series["rise"] == pytest.approx(4.0)
    sd = np.sqrt(np.log1p(0.01))
    assert series["rise_se"] == pytest.approx(sd * np.sqrt((16**2 + 14**2 + 12**2) / 9 + 10**2))
    weights = np.array([0.25, 0.375, 0.25, 0.125])
    assert series["auc_g_se"] == pytest.approx(sd * np.sqrt(np.sum((weights * [10, 16, 14, 12]) ** 2)))
    assert series["log_auc_g_se"] == pytest.approx(series["auc_g_se"] / 13.5)


def test_areas_are_scipys_trapezoids():
    rng = np.random.default_rng(3)
    for _ in range(50):
        minutes = np.sort(rng.choice(900, rng.integers(3, 9), replace=False)).astype(float)
        minutes[0] = 0
        value = rng.lognormal(2, 0.5, len(minutes))
        found = coefficients(minutes, np.ones(len(minutes)))
        area = integrate.trapezoid(value, minutes / 60)
        assert found["auc_g"] @ value == pytest.approx(area, rel=1e-12)
        assert found["auc_i"] @ value == pytest.approx(integrate.trapezoid(value - value[0], minutes / 60), abs=1e-9)
        early = minutes <= 60
        if early.sum() > 1:
            rise = integrate.trapezoid(value[early] - value[0], minutes[early] / 60)
            assert found["awakening"] @ value == pytest.approx(rise, abs=1e-9)
    assert trapezoid([0, 60]) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("rows", "flag", "none"),
    [
        ([(0, 10), (30, 16), (45, None), (60, None)], "ends_missing;awakening_incomplete", set(MEASURES)),
        ([(0, 10), (30, None), (60, 12), (600, 3)], "gap;awakening_incomplete", {"awakening", "rise"}),
        ([(20, 10), (35, 16), (600, 3)], "late_first_tube", {"awakening", "rise"}),
        ([(0, 10)], "one_tube;awakening_incomplete", set(MEASURES)),
        ([(0, 10), (30, ">80"), (60, 12)], "gap;awakening_incomplete", {"awakening", "rise"}),
    ],
)
def test_what_a_day_lacks_is_flagged_and_left_out(rows, flag, none, settings):
    tables = collected(sheet(rows), settings)
    day = tables["saliva_days"].iloc[0]
    assert day["flags"] == flag
    assert {name for name in MEASURES if np.isnan(day[name])} == none
    lost = tables["saliva_tubes"].query("used == 'no'")
    assert len(lost) == sum(value in (None, ">80") for _, value in rows) and lost["reason"].ne("").all()


def test_a_day_of_another_length_has_no_area(settings):
    tubes = pd.concat(
        [
            sheet(DAY, participant_id=f"{p:03d}").assign(saliva_id=lambda t, p=p: f"P{p}" + t["saliva_id"])
            for p in (1, 2)
        ]
        + [sheet(DAY[:3], participant_id="003").assign(saliva_id=lambda t: "P3" + t["saliva_id"])]
    )
    series = collected(tubes, settings)["saliva_series"].set_index("participant_id")
    assert np.isnan(series.loc["003", "auc_g"]) and series.loc["003", "flags"] == "span"
    assert series.loc["003", "awakening"] == pytest.approx(0.5 * 13 + 0.25 * 15 - 7.5)
    assert series.loc["001", "auc_g"] == pytest.approx(13.5)


def test_a_tube_below_its_limit_is_half_of_it_with_the_error_to_match(settings):
    tables = collected(sheet([(0, 10), (30, 16), (60, "<2")]), settings)
    series = tables["saliva_series"].iloc[0]
    assert series["auc_g"] == pytest.approx(0.25 * 10 + 0.5 * 16 + 0.25 * 1)
    sd = np.sqrt(np.log1p(0.01))
    expected = np.sqrt((0.25 * 10 * sd) ** 2 + (0.5 * 16 * sd) ** 2 + 0.25**2 * 4 / 12)
    assert series["auc_g_se"] == pytest.approx(expected)
    assert tables["saliva_tubes"]["reason"].iloc[2].startswith("below its limit")


def test_days_are_averaged_and_their_agreement_is_told(settings):
    rng = np.random.default_rng(8)
    parts = []
    for person in range(40):
        level = rng.normal(0, 0.5)
        for day in (1, 2):
            scale = np.exp(level + rng.normal(0, 0.2))
            rows = [(m, f"{v * scale:.4f}") for m, v in DAY]
            part = sheet(rows, participant_id=f"{person:03d}", day=float(day))
            parts.append(part.assign(saliva_id=[f"T{person}_{day}_{i}" for i in range(4)]))
    tables = collected(pd.concat(parts, ignore_index=True), settings)
    days, series = tables["saliva_days"], tables["saliva_series"]
    mean = days.groupby("participant_id")["auc_g"].mean()
    assert series.set_index("participant_id")["auc_g"].to_numpy() == pytest.approx(mean.to_numpy())
    assert (series["auc_g_days"] == 2).all() and series["auc_g_day_sd"].notna().all()
    found = tables["saliva_reliability"].set_index("measure").loc["auc_g"]
    # Between .25, within .04 on the log scale: an ICC of .86 there, near that of the areas themselves.
    assert found["icc_low"] < 0.86 < found["icc_high"] and found["subjects"] == 40


@pytest.mark.parametrize("shared_cv", [0.0, 0.12])
def test_intervals_hold_the_truth_where_tubes_share_a_run(shared_cv, settings):
    """Errors are gamma, not normal, and belong to tubes and to plates of three people."""
    rng, people = np.random.default_rng(5), 600
    minutes = np.array([0.0, 30, 45, 600])
    true = np.array([8.0, 12, 11, 3]) * np.exp(rng.normal(0, 0.5, (people, 1)))

    def gamma(cv, shape):
        return rng.gamma(1 / cv**2, cv**2, shape) if cv else np.ones(shape)

    run = np.repeat(gamma(shared_cv, people // 3), 3)[:, None]
    seen = true * gamma(0.06, true.shape) * run
    shared = float(np.log1p(shared_cv**2))
    own = np.log1p(0.06**2)
    tubes = pd.DataFrame({
        "saliva_id": [f"T{i}" for i in range(seen.size)],
        "participant_id": np.repeat([f"{i:04d}" for i in range(people)], 4),
        "timepoint": "m", "day": 1.0, "minutes": np.tile(minutes, people), "platform": "elisa",
        "plate_id": np.repeat([f"P{i // 3}" for i in range(people)], 4), "measurements": 1, "runs": 1,
        "nmol_per_l": seen.ravel(), "log_se": np.sqrt(own + shared), "log_se_within_run": np.sqrt(own),
        "censored": "none", "limit_nmol_per_l": np.nan, "flags": "",
    })  # fmt: skip
    between = {"elisa": RunVariance(shared, 1, 0.0, 0.0, 0, (), "setting")}
    _, series = series_tables(tubes, between, {}, settings)
    series = series.sort_values("participant_id")
    for name, part in coefficients(minutes, np.ones(4)).items():
        truth = true @ part
        inside = series[f"{name}_low"].to_numpy() <= truth
        inside &= truth <= series[f"{name}_high"].to_numpy()
        # Plates of three people share their error: 200 of them give 2 standard errors of about .025.
        assert 0.92 < inside.mean() < 0.98, (name, inside.mean())
        error = (series[name].to_numpy() - truth) / series[f"{name}_se"].to_numpy()
        assert 0.93 < np.std(error) < 1.07, (name, np.std(error))


def test_from_plates_to_series(tmp_path, kit, settings):
    """Four tubes of each of eight children on one plate, diluted four times: nmol/L within 5 % of the truth."""
    rng = np.random.default_rng(2)
    tubes = pd.concat([
        sheet([(m, None) for m, _ in DAY], participant_id=f"{p:03d}", dilution=4.0, cv_percent=np.nan).assign(
            saliva_id=[f"T{p}{i}" for i in range(4)], true=[v * s for _, v in DAY]
        )
        for p, s in enumerate(rng.lognormal(-0.3, 0.3, 8))
    ], ignore_index=True)  # fmt: skip
    chemistry = dict.fromkeys(("mass_mg", "methanol_added_ml", "methanol_recovered_ml", "reconstitution_ml"), 1.0)
    design = PlateDesign(volume_cv_percent=0, mass_sd_mg=0, bad_wells=0, samples_per_plate=32)
    made = tubes.rename(columns={"saliva_id": "hair_id"}).assign(
        cortisol_pg_per_mg=tubes["true"] * pg_per_ml("nmol/L"), **chemistry
    )
    known = extracts(pd.DataFrame(columns=["hair_id", "dilution"]), tubes)
    results = []
    for plate in simulate_plates(made, kit, 4, design):
        row = write_plate(tmp_path, plate)
        results.append(quantify_plate(plate.plate_id, *read_plate(row, known, kit), kit, settings))
    people = pd.DataFrame({"participant_id": tubes["participant_id"].unique(), "arm": "control"})
    tables = collect_series(plate_tables(results, settings), tubes, people, ["control"], settings)
    found = tables["saliva_tubes"].merge(tubes[["saliva_id", "true"]], on="saliva_id")
    assert np.abs(np.log(found["nmol_per_l"] / found["true"])).median() < 0.05
    # One curve's error is common to all of them.
    assert found["true"].between(found["low"], found["high"]).mean() > 0.75
    assert tables["saliva_series"]["auc_g"].notna().all()
    for name, table in tables.items():
        write_table(table, tmp_path / f"{name}.tsv", f"cortisol_{name}")
        assert list(table.columns) == list(load(f"cortisol_{name}.schema")["properties"])


def test_faults_of_the_sheet_are_told_when_planning(tmp_path):
    path = tmp_path / "saliva_cortisol.tsv"
    path.write_text(
        "saliva_id\tparticipant_id\ttimepoint\tday\tminutes\tcortisol_nmol_per_l\n"
        "T1\t001\tm\t1\t0\t10\nT2\t001\tm\t1\t0\t12\nT3\t009\tm\t1\t30\t12000\nH1\t001\tm\t1.5\t45\t0\n"
    )
    table, problems = read_sheet(path, sheet_schema("saliva_cortisol"))
    assert not problems
    hair = pd.DataFrame({"hair_id": ["H1"]})
    study = SimpleNamespace(
        config=with_defaults({"sheets": {"saliva_cortisol": str(path)}}, config_schema()),
        participants=pd.DataFrame({"participant_id": ["001"]}), saliva_cortisol=table,
        hair=hair.iloc[:0].reindex(columns=["hair_id", "participant_id"]), plates=pd.DataFrame(),
    )  # fmt: skip
    study.hair = pd.DataFrame({"hair_id": ["H1"]}).assign(
        participant_id="001",
        row=2,
        methanol_recovered_ml=1.0,
        methanol_added_ml=1.0,
        segment_to_cm=3,
        segment_from_cm=0,
    )
    text = "\n".join(str(p) for p in check_sheets(study))
    for part in (
        "row 3", "is the time of row 2 already", "'009' is not in participants.tsv", "is no concentration of saliva",
        "is a hair sample's id too", "is not above zero", "is no whole number",
    ):  # fmt: skip
        assert part in text, text
    layout = pd.DataFrame({"well": ["A1"], "role": ["sample"], "sample": ["T1"], "dilution": [np.nan]})
    known = extracts(pd.DataFrame(columns=["hair_id", "dilution"]), table)
    said = "\n".join(str(p) for p in check_layout(layout, known, "layout.tsv"))
    assert "has its concentration in saliva_cortisol.tsv, and stands on a plate" in said
