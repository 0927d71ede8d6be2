import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpaxis.cortisol.check import check_plate
from hpaxis.cortisol.curve import fit_curve, respond
from hpaxis.cortisol.inputs import check_layout, compare, load_inputs, read_plate
from hpaxis.cortisol.kits import split_plates
from hpaxis.cortisol.plate import limit_of_detection, quantify_plate
from hpaxis.cortisol.quality import check_quality, rerun_table, verdict
from hpaxis.cortisol.readers.cells import PlateRead
from hpaxis.problems import InputError
from hpaxis.simulation.plates import PlateDesign, simulate_plates

_spec = importlib.util.spec_from_file_location("cortisol_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
hair_samples, plate_row, write_plate = _conftest.hair_samples, _conftest.plate_row, _conftest.write_plate

TRUTH = (100.0, 1.1, 300.0, 0.0)


def make(contents, kit, seed=1, noise=0.01, b0=1.6, nsb=0.07):
    """A plate from (role, sample, dilution, nominal, concentration in the well), each in duplicate."""
    rng = np.random.default_rng(seed)
    rows, values = [], []
    wells = iter(f"{r}{c}" for c in range(1, 13) for r in "ABCDEFGH")
    for role, sample, dilution, nominal, concentration in contents:
        for _ in range(2):
            well = next(wells)
            bound = 0.0 if role == "nsb" else respond(np.array([concentration]), TRUTH)[0] / 100
            signal = (nsb + (b0 - nsb) * bound) * (1 + noise * rng.normal())
            rows.append((well, role, sample, dilution, nominal))
            values.append((well, signal, "ok"))
    layout = pd.DataFrame(rows, columns=["well", "role", "sample", "dilution", "nominal"])
    wells = pd.DataFrame(values, columns=["well", "value", "status"])
    return layout, PlateRead("test", (), "450", wells)


def basics(kit):
    rows = [("nsb", None, np.nan, np.nan, 0), ("b0", None, np.nan, np.nan, 0)]
    rows += [("standard", f"S{i}", np.nan, x, x) for i, x in enumerate(kit.standards, 1)]
    return [*rows, ("control", "low", np.nan, 120.0, 120.0), ("control", "high", np.nan, 650.0, 650.0)]


def test_a_plate_of_the_simulator_end_to_end(simulated, hair, kit, settings, tmp_path):
    row = write_plate(tmp_path, simulated[0])
    assert check_plate(row, hair, settings) == []
    found_kit, read, layout = load_inputs(row, hair, settings)
    result = quantify_plate(row.plate_id, read, layout, found_kit)
    truth = simulated[0].truth.set_index("well")
    summary = result.summary.iloc[0]
    assert (summary["reader"], summary["reading"], summary["n_standards"], summary["n_wells"]) == ("Gen5", "450", 8, 16)
    # The design's c is 300 and slope 1.1; errors are the plate's own.
    assert abs(summary["c"] - 300) < 4 * summary["c_se"]
    assert abs(summary["b"] - 1.1) < 4 * summary["b_se"]
    bad = truth.loc[truth["bad"] == "yes", "sample"].iloc[0]
    estimates = result.estimates[result.estimates["role"] == "sample"].set_index("sample")
    assert "discordant" in estimates.loc[bad, "flags"]
    rerun = rerun_table(result, settings, "pass")
    assert bad in rerun["sample"].tolist()
    assert rerun.set_index("sample").loc[bad, "action"] == "repeat in duplicate"
    true = truth.drop_duplicates("sample").set_index("sample")["concentration"]
    known = estimates[(estimates["censored"] == "none")]
    off = np.abs(np.log(known["concentration"] / true[known.index])).drop(bad)
    assert off.max() < 0.35 and off.median() < 0.06


def test_intervals_cover_in_the_pipeline_from_reader_file_to_concentration(kit, tmp_path):
    """93-97 % at 20-80 % bound, with wells' error, a gradient over the plate, and the plate's own duplicates."""
    hair = hair_samples(300, seed=3)
    hits = []
    for plate in simulate_plates(hair, kit, 5, PlateDesign(bad_wells=0)):
        row = write_plate(tmp_path, plate)
        estimates = quantify_plate(plate.plate_id, *read_plate(row, hair, kit), kit).estimates
        inside = estimates[(estimates["role"] == "sample") & estimates["response"].between(20, 80)]
        true = inside["sample"].map(plate.truth.drop_duplicates("sample").set_index("sample")["concentration"])
        hits += list(true.between(inside["low"], inside["high"]))
    # 280 samples have a standard error of 1.3 points around 95 %.
    assert len(hits) > 250
    assert 0.925 <= np.mean(hits) <= 0.98


def test_unweighted_percent_bound_is_the_curve_over_all_standard_wells(kit):
    layout, read = make([*basics(kit), ("sample", "H1", np.nan, np.nan, 400.0)], kit)
    result = quantify_plate("P01", read, layout, kit)
    values = dict(zip(read.wells["well"], read.wells["value"]))
    mean = {role: np.mean([values[w] for w in layout.loc[layout["role"] == role, "well"]]) for role in ("b0", "nsb")}
    standards = layout[layout["role"] == "standard"]
    bound = [100 * (values[w] - mean["nsb"]) / (mean["b0"] - mean["nsb"]) for w in standards["well"]]
    curve = fit_curve(standards["nominal"], bound)
    np.testing.assert_allclose(result.curve.theta, curve.theta, rtol=1e-9)
    sample = [values[w] for w in layout.loc[layout["role"] == "sample", "well"]]
    expected = curve.invert(100 * (np.mean(sample) - mean["nsb"]) / (mean["b0"] - mean["nsb"]))
    assert result.estimates.set_index("sample").loc["H1", "concentration"] == pytest.approx(float(expected), rel=1e-9)
    assert result.summary["nsb_percent_of_b0"].iloc[0] == pytest.approx(100 * mean["nsb"] / mean["b0"])


def test_a_kit_may_fit_b0_as_zero_the_raw_signal_and_a_5pl(kit):
    layout, read = make(basics(kit), kit)
    base = quantify_plate("P01", read, layout, kit)
    zero = quantify_plate("P01", read, layout, dataclasses.replace(kit, zero_in_fit=True))
    assert (base.summary["n_wells"].iloc[0], zero.summary["n_wells"].iloc[0]) == (16, 18)
    assert abs(zero.curve.theta[0] - 100) < abs(base.curve.theta[0] - 100)
    raw = quantify_plate("P01", read, layout, dataclasses.replace(kit, signal="raw"))
    np.testing.assert_allclose(raw.estimates["concentration"], base.estimates["concentration"], rtol=1e-6)
    assert raw.summary["a"].iloc[0] < 2
    five = quantify_plate("P01", read, layout, dataclasses.replace(kit, model="5PL", weights="variance"))
    assert five.summary["model"].iloc[0] == "5PL" and five.summary["g"].notna().all()


def test_a_zero_standard_serves_as_b0_and_a_blank_is_subtracted(kit):
    rows = basics(kit)
    rows[1] = ("standard", None, np.nan, 0.0, 0.0)
    layout, read = make(rows, kit)
    base = quantify_plate("P01", read, layout, kit)
    assert base.summary["n_wells"].iloc[0] == 16  # the kit keeps zero out of the fit
    assert base.summary["b0_signal"].iloc[0] == pytest.approx(1.6, rel=0.03)
    shifted = read.wells.assign(value=read.wells["value"] + 0.04)
    blank = pd.DataFrame({"well": ["H12"], "value": [0.04], "status": ["ok"]})
    with_blank = pd.concat([layout, pd.DataFrame({"well": ["H12"], "role": ["blank"]})], ignore_index=True)
    again = quantify_plate("P01", PlateRead("test", (), "450", pd.concat([shifted, blank])), with_blank, kit)
    np.testing.assert_allclose(again.estimates["concentration"], base.estimates["concentration"], rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t[t["role"] != "b0"], "there is no B0 well with a value"),
        (lambda t: t.assign(role=t["role"].replace({"b0": "nsb", "nsb": "b0"})), "B0 .* is not above NSB"),
        (lambda t: t[(t["role"] != "standard") | (t["nominal"] > 900)], "cannot carry 4 parameters"),
    ],
)
def test_a_plate_without_a_curve_fails_with_its_reason_and_has_no_numbers(kit, settings, change, said):
    layout, read = make([*basics(kit), ("sample", "H1", np.nan, np.nan, 400.0)], kit)
    result = quantify_plate("P01", read, change(layout).reset_index(drop=True), kit)
    assert result.curve is None
    state, reasons = verdict(check_quality(result, settings))
    assert state == "fail"
    assert pd.Series([reasons]).str.contains(said).all()
    assert result.estimates["concentration"].isna().all()
    assert result.wells["concentration"].isna().all()
    assert (rerun_table(result, settings)["action"] == "repeat the whole plate").all()


def test_samples_beyond_the_standards_are_censored_and_listed(kit, settings):
    samples = [("sample", "H1", np.nan, np.nan, 20000.0), ("sample", "H2", np.nan, np.nan, 0.5)]
    result = quantify_plate("P01", *make([*basics(kit), *samples], kit)[::-1], kit)
    found = result.estimates.set_index("sample")
    assert found.loc["H1", ["censored", "low"]].tolist() == ["above", 4000.0]
    assert found.loc["H2", ["censored", "high"]].tolist() == ["below", 31.25]
    assert found.loc[["H1", "H2"], "concentration"].isna().all()
    wells = result.wells[result.wells["sample"].isin(["H1", "H2"])]
    assert wells["concentration"].isna().all()
    assert set(wells["flags"]) == {"above_standards", "below_standards"}
    rerun = rerun_table(result, settings).set_index("sample")
    assert rerun.loc["H1", "action"] == "dilute the extract further and repeat in duplicate"
    assert "H2" not in rerun.index


def test_the_limit_of_detection_is_not_wrecked_by_one_bad_b0_well(kit):
    layout, read = make([*basics(kit), *(("sample", f"H{i}", np.nan, np.nan, 30.0 * 2**i) for i in range(6))], kit)
    curve = quantify_plate("P01", read, layout, kit).curve
    good = limit_of_detection(curve, np.array([99.0, 100.0, 101.0, 100.5]))
    spoilt = limit_of_detection(curve, np.array([99.0, 100.0, 101.0, 78.0]))
    assert good > 0
    assert spoilt == pytest.approx(good, rel=0.5)
    ordinary = float(curve.invert(np.mean([99, 100, 101, 78]) - 3 * np.std([99, 100, 101, 78], ddof=1)))
    assert ordinary > 3 * spoilt
    assert np.isnan(limit_of_detection(curve, np.array([])))


# Checks of quality: each damage, and the check that must name it.


def judged(layout, read, kit, settings, check):
    quality = check_quality(quantify_plate("P01", read, layout, kit), settings)
    return quality[(quality["check"] == check) & (quality["verdict"] != "pass")]


def spoil(read, change):
    """Multiply the signal of some wells."""
    wells = read.wells.copy()
    for well, factor in change.items():
        wells.loc[wells["well"] == well, "value"] *= factor
    return dataclasses.replace(read, wells=wells)


def well_of(layout, role, nominal=None, sample=None, k=0):
    rows = layout[layout["role"] == role]
    rows = rows if nominal is None else rows[rows["nominal"] == nominal]
    rows = rows if sample is None else rows[rows["sample"] == sample]
    return rows["well"].iloc[k]


@pytest.fixture
def plate(kit):
    samples = [("sample", f"H{i}", np.nan, np.nan, 60.0 * 1.5**i) for i in range(10)]
    return make([*basics(kit), *samples], kit)


def test_a_good_plate_passes_every_check(plate, kit, settings):
    quality = check_quality(quantify_plate("P01", plate[1], plate[0], kit), settings)
    assert set(quality["verdict"]) == {"pass"}
    assert verdict(quality) == ("pass", None)
    assert {"standard_recovery", "standard_order", "curve_identified", "b0_wells", "nsb_wells", "nsb_share"} <= set(
        quality["check"]
    )


def test_a_bad_b0_well_is_named(plate, kit, settings):
    layout, read = plate
    more = layout.copy()
    extra = pd.DataFrame({"well": ["H11", "H12"], "role": "b0"})
    wells = pd.concat([read.wells, pd.DataFrame({"well": ["H11", "H12"], "value": [1.6, 1.2], "status": "ok"})])
    found = judged(
        pd.concat([more, extra], ignore_index=True), dataclasses.replace(read, wells=wells), kit, settings, "b0_wells"
    )
    assert found["wells"].tolist() == ["H12"]
    assert found["reason"].iloc[0] == "B0 wells H12 lie apart from the others"
    assert found["remedy"].notna().all()


def test_high_or_missing_nsb_is_flagged(plate, kit, settings):
    layout, read = plate
    high = spoil(read, dict.fromkeys(layout.loc[layout["role"] == "nsb", "well"], 4.0))
    assert "of B0" in judged(layout, high, kit, settings, "nsb_share")["reason"].iloc[0]
    without = layout[layout["role"] != "nsb"].reset_index(drop=True)
    assert judged(without, read, kit, settings, "nsb_wells")["reason"].tolist() == ["there is no NSB well with a value"]


def test_swapped_standards_fail(plate, kit, settings):
    layout, read = plate
    one = [well_of(layout, "standard", 500.0, k=k) for k in (0, 1)]
    two = [well_of(layout, "standard", 1000.0, k=k) for k in (0, 1)]
    swapped = layout.copy()
    swapped.loc[swapped["well"].isin(one), "nominal"] = 1000.0
    swapped.loc[swapped["well"].isin(two), "nominal"] = 500.0
    found = judged(swapped, read, kit, settings, "standard_order")
    assert found["verdict"].tolist() == ["fail"]
    assert "standards 500 and 1000 are out of order" in found["reason"].iloc[0]
    assert set(found["wells"].iloc[0].split(";")) == {*one, *two}


def test_a_wrong_standard_shows_in_recovery_and_in_its_replicates(plate, kit, settings):
    layout, read = plate
    both = spoil(read, {well_of(layout, "standard", 250.0, k=k): 0.75 for k in (0, 1)})
    assert "250 (" in judged(layout, both, kit, settings, "standard_recovery")["reason"].iloc[0]
    one = spoil(read, {well_of(layout, "standard", 250.0): 0.75})
    found = judged(layout, one, kit, settings, "standard_replicates")
    assert well_of(layout, "standard", 250.0) in found["wells"].iloc[0].split(";")


def test_controls_out_of_their_range_fail_the_plate(plate, kit, settings):
    layout, read = plate
    off = spoil(read, {well_of(layout, "control", sample="low", k=k): 0.8 for k in (0, 1)})
    found = judged(layout, off, kit, settings, "control_recovery")
    assert found["verdict"].tolist() == ["fail"] and found["subject"].tolist() == ["low"]
    gone = spoil(read, {well_of(layout, "control", sample="low", k=k): 0.01 for k in (0, 1)})
    assert (
        "no concentration within the standards"
        in judged(layout, gone, kit, settings, "control_recovery")["reason"].iloc[0]
    )
    none = layout[layout["role"] != "control"].reset_index(drop=True)
    assert judged(none, read, kit, settings, "control_recovery")["reason"].tolist() == [
        "the plate has no control wells"
    ]


def test_duplicates_that_disagree_are_the_samples_matter_and_not_the_plates(plate, kit, settings):
    layout, read = plate
    off = spoil(read, {well_of(layout, "sample", sample="H4"): 0.7})
    result = quantify_plate("P01", off, layout, kit)
    quality = check_quality(result, settings)
    found = quality[quality["check"] == "duplicate_cv"]
    assert found["subject"].tolist() == ["H4"] and found["remedy"].tolist() == ["repeat in duplicate"]
    assert verdict(quality)[0] == "pass"
    slight = spoil(read, {well_of(layout, "sample", sample="H4"): 0.92})
    found = check_quality(quantify_plate("P01", slight, layout, kit), settings)
    assert found.loc[found["check"] == "duplicate_cv", "remedy"].str.startswith("keep").all()


def test_lost_wells_reach_the_rerun_table(plate, kit, settings):
    layout, read = plate
    wells = read.wells.copy()
    lost = [well_of(layout, "sample", sample="H1"), *(well_of(layout, "sample", sample="H2", k=k) for k in (0, 1))]
    wells.loc[wells["well"].isin(lost), ["value", "status"]] = [np.nan, "overflow"]
    result = quantify_plate("P01", dataclasses.replace(read, wells=wells), layout, kit)
    estimates = result.estimates.set_index("sample")
    assert estimates.loc["H1", ["n_wells", "flags"]].tolist() == [1, "overflow;single_well"]
    assert estimates.loc["H2", ["n_wells", "flags"]].tolist() == [0, "overflow;no_value"]
    rerun = rerun_table(result, settings).set_index("sample")["reason"]
    assert rerun["H1"] == "only one well has a value" and rerun["H2"] == "no well has a value"


@pytest.mark.long
def test_an_edge_effect_and_a_drift_are_seen(kit, settings):
    samples = [("sample", f"H{i}", np.nan, np.nan, 100.0 * 1.05**i) for i in range(34)]
    layout, read = make([*basics(kit), *samples], kit)
    assert judged(layout, read, kit, settings, "position").empty
    # Duplicates stand one above the other: rows A and H are edges, and every pair spans a row.
    edge = {w: 0.85 for w in layout["well"] if w[0] in "AH" or w[1:] in ("1", "12")}
    assert "edge" in judged(layout, spoil(read, edge), kit, settings, "position")["subject"].tolist()
    drift = {w: 1 + 0.04 * "ABCDEFGH".index(w[0]) for w in layout["well"]}
    found = judged(layout, spoil(read, drift), kit, settings, "position").set_index("subject")
    assert found.loc["rows", "value"] > 15


def test_a_dilution_series_must_be_parallel(kit, settings):
    parallel = [("sample", "H1", float(d), np.nan, 1600.0 / d) for d in (1, 2, 4, 8)]
    layout, read = make([*basics(kit), *parallel], kit)
    assert judged(layout, read, kit, settings, "parallelism").empty
    matrix = [("sample", "H1", float(d), np.nan, 1600.0 / d**0.7) for d in (1, 2, 4, 8)]
    layout, read = make([*basics(kit), *matrix], kit)
    found = judged(layout, read, kit, settings, "parallelism")
    assert found["subject"].tolist() == ["H1"]
    # d^.3 more at each doubling: 2^.3 - 1 = 23 %.
    assert "+2" in found["reason"].iloc[0] and "for each doubling" in found["reason"].iloc[0]


def test_spike_recovery(kit, settings):
    def plate_with(found):
        rows = [("sample", "H1", np.nan, np.nan, 200.0), ("spiked", "H1", np.nan, 300.0, 200.0 + found)]
        return make([*basics(kit), *rows], kit, noise=0.002)

    assert judged(*plate_with(300.0), kit, settings, "spike_recovery").empty
    found = judged(*plate_with(150.0), kit, settings, "spike_recovery")
    assert found["value"].iloc[0] == pytest.approx(50, abs=4)
    lonely = make([*basics(kit), ("spiked", "H1", np.nan, 300.0, 300.0)], kit)
    assert "cannot be judged" in judged(*lonely, kit, settings, "spike_recovery")["reason"].iloc[0]


def test_check_plate_collects_the_problems_of_both_files(simulated, hair, settings, tmp_path):
    row = write_plate(tmp_path, simulated[0])
    Path(row.reader_file).write_text("nothing")
    layout = Path(row.layout_file)
    layout.write_text(layout.read_text().replace("\tb0\t", "\tbo\t"))
    problems = check_plate(row, hair, settings)
    assert len(problems) == 3
    assert {p.file for p in problems} == {row.reader_file, row.layout_file}
    unknown = plate_row("P01", row.reader_file, row.layout_file, kit="nosuch")
    assert "'nosuch' is not a known kit" in str(check_plate(unknown, hair, settings)[0])
    bare = plate_row("P01", row.reader_file, None)
    assert any("layout_file: is missing" in str(p) for p in check_plate(bare, hair, settings))
    gone = plate_row("P01", tmp_path / "gone.txt", row.layout_file)
    assert "cannot be read" in str(check_plate(gone, hair, settings)[0])


def test_a_turned_full_plate_is_refused(simulated, hair, kit, tmp_path):
    wells = [f"{r}{c}" for r in "ABCDEFGH" for c in range(1, 13)]
    values = {w: 1.0 + 0.001 * i for i, w in enumerate(wells)}
    lines = ["," + ",".join(map(str, range(1, 13)))]
    lines += [",".join([r, *(f"{values[f'{r}{c}']:.3f}" for c in range(1, 13))]) for r in "ABCDEFGH"]
    row = write_plate(tmp_path, simulated[0])
    Path(row.reader_file).write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"does not fall over the standards|has B0 .* not above NSB"):
        read_plate(row, hair, kit)


def test_plates_and_finished_tables_are_told_apart():
    plates = pd.DataFrame(
        {"plate_id": ["P2", "P1", "L1", "X"], "kit": ["generic_competitive_elisa"] * 2 + ["lc_ms_ms", "nosuch"]}
    )
    assert split_plates(plates) == (["P1", "P2", "X"], ["L1"])


def test_what_a_layout_and_a_file_cannot_both_be(plate, kit, hair):
    layout, read = plate
    (missing,) = [p for p in check_layout(layout[layout["role"] != "standard"], hair, "layout") if p.column != "sample"]
    assert "has no standard wells" in str(missing)
    swapped = layout.assign(role=layout["role"].replace({"b0": "nsb", "nsb": "b0"}))
    assert "has B0 (0.07" in str(compare(read, swapped, "file", "layout", kit)[0])
    # Every other well is lost: no row or column as a whole, but more than half.
    wells = read.wells.copy()
    lost = [i for i, w in enumerate(wells["well"]) if ("ABCDEFGH".index(w[0]) + int(w[1:])) % 3]
    wells.loc[lost, ["value", "status"]] = [np.nan, "blank"]
    said = compare(dataclasses.replace(read, wells=wells), layout, "file", "layout", kit)
    assert "has no value in" in str(said[0]) and "wells that the layout uses" in str(said[0])
    assert compare(read, layout, "file", "layout", kit) == []


def test_readers_standards_may_be_in_another_unit_but_not_in_another_order(plate, kit):
    layout, read = plate
    standards = layout[layout["role"] == "standard"]
    declared = pd.DataFrame({"well": standards["well"], "name": "STD", "concentration": standards["nominal"] / 1000})
    assert compare(dataclasses.replace(read, declared=declared), layout, "file", "layout", kit) == []
    wrong = declared.assign(concentration=declared["concentration"].to_numpy()[::-1])
    said = compare(dataclasses.replace(read, declared=wrong), layout, "file", "layout", kit)
    assert "disagrees with the layout inside file" in str(said[0]) and "more" in str(said[0])
    blank = declared.assign(name="BLK").iloc[:1]
    said = compare(dataclasses.replace(read, declared=blank), layout, "file", "layout", kit)
    assert "is BLK there and standard here" in str(said[0])
    nsb = pd.DataFrame({"well": layout.loc[layout["role"] == "nsb", "well"], "name": "BLK", "concentration": np.nan})
    assert compare(dataclasses.replace(read, declared=nsb), layout, "file", "layout", kit) == []
