"""Levels of variance, failed plates, the one bad well, and what layouts and kits say of standards."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hpaxis.cortisol import quality, samples
from hpaxis.cortisol.assay import CURVE_COLUMNS, disagreement
from hpaxis.cortisol.curve import fit_curve, respond, slope
from hpaxis.cortisol.finished import read_finished, read_other_analytes
from hpaxis.cortisol.kits import Kit, pg_per_ml, ranges_of, read_kits, read_ranges
from hpaxis.cortisol.layout import read_layout
from hpaxis.cortisol.plate import quantify_plate
from hpaxis.cortisol.quality import check_quality, rerun_table, verdict
from hpaxis.cortisol.readers.cells import PlateRead
from hpaxis.cortisol.runs import ITEM_COLUMNS, run_quantile, run_variance
from hpaxis.cortisol.samples import analyte_table, hair_measurements, no_plates, rerun_list, sample_table
from hpaxis.problems import InputError

_spec = importlib.util.spec_from_file_location("levels_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)

LEVELS = (3200.0, 1600.0, 800.0, 400.0, 200.0, 100.0, 50.0)
KIT = Kit("k", "competitive_elisa", "pg/mL", LEVELS, "percent_bound", "4PL", "none", False)
TRUTH = (100.0, 1.1, 300.0, 0.0)


def plate(samples, seed=1, noise=0.01, kit=KIT, **bad):
    """A plate with standards, B0, NSB, a control and samples (name, dilution, pg/mL in the well).

    ``bad``: well -> its signal.
    """
    rng = np.random.default_rng(seed)
    contents = [("nsb", None, np.nan, np.nan, np.inf), ("b0", None, np.nan, np.nan, 0.0)]
    contents += [("standard", f"S{i}", np.nan, x, x) for i, x in enumerate(LEVELS, 1)]
    contents += [("control", "C1", np.nan, 600.0, 600.0)]
    contents += [("sample", name, dilution, np.nan, x) for name, dilution, x in samples]
    wells = [f"{r}{c}" for c in range(1, 13, 2) for r in "ABCDEFGH"]
    rows, values = [], []
    for (role, name, dilution, nominal, x), well in zip(contents, wells):
        for at in (well, f"{well[0]}{int(well[1:]) + 1}"):
            bound = 0.0 if np.isinf(x) else respond(np.array([x]), TRUTH)[0] / 100
            values.append((at, bad.get(at, (0.07 + 1.5 * bound) * (1 + noise * rng.normal())), "ok"))
            rows.append((at, role, name, dilution, nominal))
    layout = pd.DataFrame(rows, columns=["well", "role", "sample", "dilution", "nominal"])
    return layout, PlateRead("test", (), "450", pd.DataFrame(values, columns=["well", "value", "status"]))


def hair(names):
    return pd.DataFrame({
        "hair_id": names, "participant_id": names, "timepoint": "m", "mass_mg": 10.0, "segment_from_cm": 0.0,
        "segment_to_cm": 3.0, "segment": "0-3cm", "methanol_added_ml": 1.5, "methanol_recovered_ml": 1.0,
        "reconstitution_ml": 0.2, "dilution": 1.0, "spike_pg": 0.0, "recovery": 1.0,
    })  # fmt: skip


def measured(plate_id, samples, settings, names, **more):
    layout, read = plate(samples, **more)
    result = quantify_plate(plate_id, read, layout, KIT, settings)
    quality = check_quality(result, settings)
    state, _ = verdict(quality)
    found = hair_measurements(result.estimates, result.summary.assign(verdict=state), quality, hair(names), settings)
    return result, quality, state, found.merge(hair(names)[["hair_id", "participant_id", "timepoint", "segment"]])


def layout_of(tmp_path, text, kit=KIT):
    (tmp_path / "l.tsv").write_text("well\trole\tsample\tnominal\n" + text, encoding="utf-8")
    return read_layout(tmp_path / "l.tsv", kit=kit)


@pytest.mark.long
def test_the_one_bad_well_is_named_and_masking_it_mends_the_plate(settings):
    samples = [("H1", np.nan, 100.0), ("H2", np.nan, 900.0)]
    layout, read = plate(samples, F1=0.15)
    result = quantify_plate("P1", read, layout, KIT, settings)
    quality = check_quality(result, settings)
    assert verdict(quality)[0] == "fail"
    row = quality[quality["check"] == "one_bad_well"].iloc[0]
    assert row["subject"] == "F1" and "standard 400" in row["reason"] and "samples change by" in row["reason"]
    masked = layout.assign(mask=np.where(layout["well"] == row["subject"], "bubble", None))
    again = quantify_plate("P1", read, masked, KIT, settings)
    checks = check_quality(again, settings)
    assert verdict(checks)[0] == "warn"
    assert "is masked by hand: bubble" in checks.loc[checks["check"] == "masked_well", "reason"].iloc[0]
    well = again.wells.set_index("well").loc[row["subject"]]
    assert (
        well["mask"] == "bubble" and well["signal"] == 0.15 and np.isnan(well["response"]) and well["flags"] == "masked"
    )
    found = again.estimates.set_index("sample")["concentration"]
    assert found["H1"] == pytest.approx(100, rel=0.1) and found["H2"] == pytest.approx(900, rel=0.1)


def test_no_well_is_blamed_for_what_it_did_not_do(settings):
    layout, read = plate([("H1", np.nan, 100.0)])
    layout.loc[layout["role"] == "control", "nominal"] = 900.0
    quality = check_quality(quantify_plate("P1", read, layout, KIT, settings), settings)
    assert verdict(quality)[0] == "fail"
    assert "no single standard" in quality.loc[quality["check"] == "one_bad_well", "reason"].iloc[0]


@pytest.mark.long
def test_failed_plates_are_left_out_unless_the_config_says_so(settings):
    _, _, state, found = measured("P1", [("H1", np.nan, 100.0)], settings, ["H1"], F1=0.15)
    assert state == "fail"
    left = sample_table(found, settings).iloc[0]
    assert np.isnan(left["cortisol_pg_per_mg"]) and left["censored"] == "none" and "plate_failed" in left["flags"]
    used = sample_table(found, settings | {"failed_plates": "use"}).iloc[0]
    assert used["cortisol_pg_per_mg"] > 0 and "plate_failed" in used["flags"]
    good = measured("P2", [("H1", np.nan, 100.0)], settings, ["H1"], seed=2)[3]
    both = sample_table(pd.concat([found, good], ignore_index=True), settings).iloc[0]
    assert both["plate_id"] == "P2" and both["cortisol_pg_per_mg"] == pytest.approx(3.0, rel=0.1)


@pytest.mark.long
def test_every_sample_of_a_failed_plate_is_run_again_and_none_that_another_plate_settled(settings):
    result, _, state, bad = measured(
        "P1", [("H1", np.nan, 100.0), ("H2", np.nan, 300.0)], settings, ["H1", "H2"], F1=0.15
    )
    rerun = rerun_table(result, settings, state)
    assert rerun["sample"].tolist() == ["H1", "H2"] and rerun["reason"].str.contains("its plate failed").all()
    good = measured("P2", [("H1", np.nan, 100.0)], settings, ["H1", "H2"], seed=2)[3]
    whole = pd.concat([bad, good], ignore_index=True)
    assert rerun_list(rerun, sample_table(whole, settings), whole)["sample"].tolist() == ["H2"]


def test_dilutions_that_are_not_parallel_are_flagged_and_their_interval_holds_them(settings):
    series = [("H1", 1.0, 600.0), ("H1", 2.0, 450.0), ("H1", 4.0, 350.0), ("H1", 8.0, 280.0)]
    result, _, state, found = measured("P1", series, settings, ["H1"])
    row = found.iloc[0]
    neat = np.array([600.0, 900.0, 1400.0, 2240.0]) * 0.03
    assert (
        "not_parallel" in row["flags"]
        and row["cortisol_low"] < neat[0] * 1.05
        and row["cortisol_high"] > neat[-1] * 0.95
    )
    assert (rerun_table(result, settings, state)["reason"].str.contains("not parallel")).sum() == 4
    flat = measured("P1", [("H1", d, 800.0 / d) for d in (1.0, 2.0, 4.0)], settings, ["H1"])[3].iloc[0]
    assert "not_parallel" not in flat["flags"] and flat["cortisol_pg_per_mg"] == pytest.approx(24.0, rel=0.05)
    assert flat["cortisol_high"] / flat["cortisol_low"] < 1.3


def test_a_dilution_that_another_settles_is_not_run_again(settings):
    result = measured("P1", [("H1", 1.0, 9000.0), ("H1", 10.0, 900.0)], settings, ["H1"])[0]
    assert result.estimates.set_index("dilution").loc[1.0, "censored"] in ("above", "none")
    assert rerun_table(result, settings, "pass").empty
    alone = measured("P1", [("H1", 1.0, 9000.0)], settings, ["H1"])[0]
    assert alone.estimates.query("role == 'sample'")["censored"].tolist() == ["above"]
    assert "above the highest standard" in rerun_table(alone, settings, "pass")["reason"].iloc[0]


def test_repeats_that_disagree_widen_the_interval_and_are_flagged(settings):
    names = ["H1", "H2", "H3"]
    one = [("H1", np.nan, 200.0), ("H2", np.nan, 300.0), ("H3", np.nan, 600.0)]
    two = [("H1", np.nan, 800.0), ("H2", np.nan, 310.0), ("H3", np.nan, 590.0)]
    parts = [measured(p, s, settings, names, seed=k)[3] for k, (p, s) in enumerate((("P1", one), ("P2", two)))]
    whole = pd.concat(parts, ignore_index=True)
    table = sample_table(whole, settings).set_index("hair_id")
    row = table.loc["H1"]
    assert "repeats_disagree" in row["flags"] and row["cortisol_low"] < 6.0 and row["cortisol_high"] > 24.0
    assert not table.loc[["H2", "H3"], "flags"].str.contains("disagree").any()
    listed = rerun_list(no_plates()["rerun"], table.reset_index(), whole)
    assert listed["sample"].tolist() == ["H1"] and listed["plate_id"].tolist() == ["P1;P2"]


def items(runs, rng, shared=0.1, own=0.03, se=0.04, n=4):
    effect = rng.normal(0, shared, runs)
    rows = [
        (f"i{i}", f"r{r}", i + effect[r] + rng.normal(0, own) + rng.normal(0, se), se**2)
        for i in range(n)
        for r in range(runs)
    ]
    return pd.DataFrame(rows, columns=list(ITEM_COLUMNS))


def test_variance_components_are_found_on_average():
    rng = np.random.default_rng(5)
    found = [run_variance(items(6, rng)) for _ in range(150)]
    assert np.mean([f.shared for f in found]) == pytest.approx(0.01, rel=0.25)
    assert np.mean([f.own for f in found]) == pytest.approx(0.0009, rel=0.5)
    assert {(f.runs, f.items, f.source) for f in found} == {(6, 4, "runs")}
    # Runs that differ by nothing lend their degrees of freedom to what samples differ by.
    assert {f.own_df for f in found if f.shared > 0} == {15.0}


def nested(rng, runs=4, plates=3, n=4, shared=0.1, plate_sd=0.06, own=0.03, curve_sd=0.02):
    """Items on plates of runs, whose curves have errors of their own that all items of a plate share by 5 parts."""
    rows = []
    for r in range(runs):
        of_run = rng.normal(0, shared)
        for p in range(plates):
            of_plate, errors = rng.normal(0, plate_sd), rng.normal(size=5)
            for i in range(n):
                parts, se = rng.normal(0, curve_sd, 5), rng.uniform(0.03, 0.06)
                value = i + of_run + of_plate + parts @ errors + rng.normal(0, np.hypot(own, se))
                rows.append((f"i{i}", f"r{r}", value, se**2 + parts @ parts, f"p{r}{p}", *parts))
    return pd.DataFrame(rows, columns=[*ITEM_COLUMNS, "plate", *CURVE_COLUMNS])


def restricted(table, shared, plate_variance, own):
    """Minus the restricted log-likelihood, by the textbook: dense matrices and no absorption."""
    x, of_run, of_plate = (pd.get_dummies(table[c]).to_numpy(float) for c in ("item", "run", "plate"))
    parts, y = table[list(CURVE_COLUMNS)].to_numpy(), table["value"].to_numpy()
    same = of_plate @ of_plate.T
    known = np.diag(table["variance"] - np.sum(parts**2, axis=1)) + same * (parts @ parts.T)
    v = known + shared * of_run @ of_run.T + plate_variance * same + own * np.eye(len(y))
    inverse = np.linalg.inv(v)
    normal = x.T @ inverse @ x
    r = y - x @ np.linalg.solve(normal, x.T @ inverse @ y)
    return 0.5 * (np.linalg.slogdet(v)[1] + np.linalg.slogdet(normal)[1] + r @ inverse @ r)


@pytest.mark.parametrize("sizes", [(0.1, 0.06, 0.03), (0.0, 0.06, 0.0), (0.1, 0.0, 0.05)])
def test_variances_are_the_likeliest_ones_and_plates_of_a_run_are_a_level(sizes):
    rng = np.random.default_rng(8)
    for _ in range(3):
        table = nested(rng, shared=sizes[0], plate_sd=sizes[1], own=sizes[2])
        found = run_variance(table)
        best = restricted(table, found.shared, found.plate, found.own)
        assert found.left_out == () and (found.runs, found.plates) == (4, 12)
        for at in np.ndindex(3, 3, 3):  # 20 % of each, and of what a variance of 0 could be
            trial = [
                max(v * (1 + 0.2 * (i - 1)), 2e-4 * i * (v == 0))
                for v, i in zip((found.shared, found.plate, found.own), at)
            ]
            assert restricted(table, *trial) >= best - 1e-9


def test_the_curve_s_error_is_counted_once():
    """Curves that err by 10 % are no difference between runs: without the parts they would be taken for one."""
    rng = np.random.default_rng(4)
    tables = [nested(rng, runs=6, plates=1, shared=0.0, plate_sd=0.0, own=0.0, curve_sd=0.045) for _ in range(60)]
    once = np.array([run_variance(t).shared for t in tables])
    twice = np.array([run_variance(t.drop(columns=list(CURVE_COLUMNS))).shared for t in tables])
    # Variances cannot be negative, so their mean is above 0; 5 × .045² = .010 is the curve's variance.
    assert once.mean() < 0.0015 and once.mean() < twice.mean() / 2


def test_values_from_one_curve_share_its_error(settings):
    """The reported covariance is that of curves fitted to new standards of the same kind."""
    rng, x = np.random.default_rng(1), np.array([100.0, 300.0, 900.0])
    nominal = np.repeat(LEVELS, 2)
    mean = respond(nominal, TRUTH)
    curves = [fit_curve(nominal, mean * (1 + 0.03 * rng.normal(size=14)), "4PL", "1/y2") for _ in range(300)]
    seen = np.cov(np.log([curve.invert(respond(x, TRUTH)) for curve in curves]).T)
    reported = np.mean([p @ p.T for p in (curve.shared_error(x) for curve in curves)], axis=0)
    np.testing.assert_allclose(reported, seen, rtol=0.35, atol=0.05 * seen.max())  # 300 draws; linear in the parameters
    parts = curves[0].shared_error(x)
    alone = curves[0]._curve_variance(x) / (slope(x, curves[0].theta) * x) ** 2
    np.testing.assert_allclose(np.sum(parts**2, axis=1), alone)


def test_two_values_of_one_curve_differ_by_what_is_not_shared():
    """By hand: d = .1, errors of .1 each; independent, var(d) = .02; with .09 of each shared, .02 - 2 x .0081."""
    logs, se = np.array([1.0, 1.1]), np.array([0.1, 0.1])
    for shared, variance in ((None, 0.02), (np.full((2, 1), 0.09), 0.0038), (np.array([[0.09], [-0.09]]), 0.0362)):
        q, trace, covariance = disagreement(logs, se, shared)
        assert q == pytest.approx(0.01 / variance) and trace == pytest.approx(2 / variance)
        assert np.diag(covariance) == pytest.approx([0.01, 0.01])
        assert covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1] == pytest.approx(variance)


def test_a_second_plate_of_a_run_widens_by_what_plates_differ():
    found = run_variance(nested(np.random.default_rng(11), runs=6, plates=4))
    assert found.plate > 0 and found.plate_df == 18
    one, two = (found.half_width(1, n, known=0.001, plates=n) for n in (1, 2))
    assert one > two > np.sqrt(found.shared) * 1.96
    assert found.variance(1, 2, 2) == pytest.approx(found.shared + found.plate / 2 + found.own / 2)


def test_one_run_tells_nothing_and_a_setting_stands_in():
    one = items(1, np.random.default_rng(1))
    assert run_variance(one).source == "none" and run_variance(one).total == 0
    given = run_variance(one, 8.0)
    assert given.source == "setting" and np.sqrt(np.expm1(given.total)) == pytest.approx(0.08)
    assert given.half_width(1, 1) == pytest.approx(1.959964 * np.sqrt(given.total), rel=1e-5)


def test_run_quantiles_hold_their_level_by_simulation():
    rng = np.random.default_rng(2)
    for runs, measured_in in ((2, 1), (2, 2), (3, 1), (5, 2), (10, 1)):
        effects = rng.normal(size=(40000, runs))
        ratio = effects[:, :measured_in].mean(1) * np.sqrt(measured_in) / effects.std(axis=1, ddof=1)
        share = np.mean(np.abs(ratio) < run_quantile(runs, measured_in))
        assert share == pytest.approx(0.95, abs=0.005)  # 4.5 standard errors of 40,000 draws


def test_lloq_is_precise_and_never_below_the_lod(settings):
    layout, read = plate([("H1", np.nan, 100.0)], noise=0.08, seed=3)
    summary = quantify_plate("P1", read, layout, KIT, settings).summary.iloc[0]
    assert summary["lod"] > 50 and summary["lloq"] >= summary["lod"]
    strict = quantify_plate("P1", read, layout, KIT, settings | {"lloq_cv_max_percent": 1.0})
    assert np.isnan(strict.summary["lloq"].iloc[0])
    checks = check_quality(strict, settings).set_index("check")
    assert checks.loc["lloq", "verdict"] == "warn"


def test_percent_bound_may_be_limited(settings):
    layout, read = plate([("H1", np.nan, 60.0), ("H1b", np.nan, 300.0)])
    narrow = settings | {"binding_low_percent": 20, "binding_high_percent": 80}
    flags = quantify_plate("P1", read, layout, KIT, narrow).estimates.set_index("sample")["flags"]
    assert "outside_binding" in flags["H1"] and "outside_binding" not in flags["H1b"]


def test_standards_numbered_from_zero(tmp_path):
    zero = replace(KIT, unit="ng/mL", standards=(0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0))
    rows = "".join(f"{r}1\tstandard\tStd{i}\t{'0' if i == 0 else ''}\n" for i, r in enumerate("ABCDEFG"))
    table = layout_of(tmp_path, rows, zero)
    assert table["role"].tolist() == ["b0"] + ["standard"] * 6
    assert table["nominal"].tolist()[1:] == [2.0, 5.0, 10.0, 20.0, 40.0, 80.0]
    table = layout_of(tmp_path, "".join(f"{r}1\tstandard\tS{i}\t\n" for i, r in enumerate("ABCDEFGH")))
    assert table["role"].iloc[0] == "b0" and table["nominal"].tolist()[1:] == list(LEVELS)
    with pytest.raises(InputError, match="can be numbered in two ways"):
        layout_of(tmp_path, "".join(f"{r}1\tstandard\tS{i}\t\n" for i, r in enumerate("ABCDEF", 1)), zero)
    with pytest.raises(InputError, match=r"nominal of another standard of the kit \(S1 is 3200"):
        layout_of(tmp_path, "A1\tstandard\tS1\t1600\nB1\tstandard\tS2\t\n")


def test_standards_named_by_the_kit_and_nominals_in_other_units(tmp_path):
    named = replace(KIT, standard_names=tuple("ABCDEFG"))
    assert layout_of(tmp_path, "A1\tstandard\tC\t\n", named)["nominal"].tolist() == [800.0]
    rows = "".join(f"{r}1\tstandard\tS{i}\t{x / 1000}\n" for i, (r, x) in enumerate(zip("ABCDEFG", LEVELS), 1))
    with pytest.raises(InputError, match=r"the kit's own standards in ng/mL .* multiply them by 1000"):
        layout_of(tmp_path, rows)
    (tmp_path / "l.tsv").write_text("well\trole\tsample\tnominal\tunit\nA1\tstandard\tS1\t3.2\tng/mL\n")
    assert read_layout(tmp_path / "l.tsv", kit=KIT)["nominal"].tolist() == [3200.0]


def test_layouts_in_shorthand(tmp_path):
    table = layout_of(tmp_path, "columns 1-2\tstandard\tS1..S8\t7\nA3:H6\tsample\tH001..H016\t\nA7;B7\tb0\t\t\n")
    at = table.set_index("well")["sample"]
    assert (at["A1"], at["A2"], at["H1"], at["A3"], at["A4"], at["A5"], at["H6"]) == (
        "S1", "S1", "S8", "H001", "H001", "H009", "H016"
    )  # fmt: skip
    assert len(table) == 16 + 32 + 2


def test_a_sandwich_assay_rises(settings):
    layout, read = plate([("H1", np.nan, 300.0)])
    rising = read.wells.assign(value=1.7 - read.wells["value"])
    kit = replace(KIT, method="sandwich_elisa", signal="raw")
    result = quantify_plate("P1", PlateRead("test", (), "450", rising), layout, kit, settings)
    assert result.curve.theta[0] < result.curve.theta[3]
    assert result.estimates.set_index("sample").loc["H1", "concentration"] == pytest.approx(300, rel=0.06)


def test_control_ranges_of_a_lot_come_first(tmp_path, settings):
    (tmp_path / "r.tsv").write_text("kit\tlot\tcontrol\tlow\thigh\nk\tL1\tC1\t700\t900\nk\tNA\tC1\t500\t700\n")
    ranges = read_ranges(str(tmp_path / "r.tsv"))
    layout, read = plate([("H1", np.nan, 300.0)])
    result = quantify_plate("P1", read, layout, KIT, settings)
    for lot, state in (("L1", "fail"), ("L2", "pass")):
        mine = ranges_of(type("Row", (), {"kit": "k", "lot": lot}), ranges)
        checks = check_quality(result, settings, mine, explain=False).set_index("check")
        assert checks.loc["control_recovery", "verdict"] == state
        row = quality.control_table(quality.with_ranges(result.estimates, mine), settings).iloc[0]
        assert row["verdict"] == state and row["limits_from"] == "lot"
        assert [row["lower_limit"], row["upper_limit"]] == ([700, 900] if lot == "L1" else [500, 700])
    plain = quality.control_table(result.estimates, settings).iloc[0]
    assert plain["limits_from"] == "recovery" and plain["verdict"] == "pass"


def test_finished_values_of_an_extract_words_and_other_analytes(tmp_path, settings):
    (tmp_path / "f.tsv").write_text("hair_id\tconcentration\tcv_percent\nH1\t100\t5\nH2\t<20\tNA\n")
    kit = Kit("f", "finished", "pg/mL", (), "", "", "", False)
    found = read_finished(tmp_path / "f.tsv", kit, "F1", hair(["H1", "H2"]), settings).set_index("hair_id")
    assert found.loc["H1", "cortisol_pg_per_mg"] == pytest.approx(100 * 0.2 * 1.5 / 10)
    assert found.loc["H1", "log_se"] > np.sqrt(np.log1p(0.05**2))
    assert found.loc["H2", ["censored", "limit_pg_per_mg"]].tolist() == ["below", pytest.approx(0.6)]
    kit = read_kits()["lc_ms_ms"]
    text = (
        "hair_id\tcortisol_ng_per_g\tlloq_pg_per_mg\tcortisone_pg_per_mg\nH1\t4\t1\t8\nH2\tND\t1\tNA\nH3\tNA\tNA\tNA\n"
    )
    (tmp_path / "f.tsv").write_text(text)
    found = read_finished(tmp_path / "f.tsv", kit, "F1").set_index("hair_id")
    assert found["censored"].tolist() == ["none", "below", "none"] and found.loc["H3", "flags"] == "no_value"
    others = read_other_analytes(tmp_path / "f.tsv", kit, "F1").dropna(subset=["cortisol_pg_per_mg"])
    people = hair(["H1"])[["hair_id", "participant_id", "timepoint", "segment"]]
    samples = sample_table(found.reset_index().merge(people), settings)
    table = analyte_table(samples, others.merge(people), no_plates(), settings).set_index("analyte")
    assert table.loc["cortisone", "pg_per_mg"] == 8 and table.loc["cortisol/cortisone", "pg_per_mg"] == 0.5


def test_units_follow_the_analyte():
    assert pg_per_ml("nmol/L") == pytest.approx(362.45, abs=0.01)  # 1 ug/dL = 27.59 nmol/L
    assert pg_per_ml("nmol/L", "cortisone") == pytest.approx(360.44, abs=0.02)
    assert pg_per_ml("ug/dL", "DHEA") == 1e4


def test_little_hair_is_flagged_and_kept(settings):
    layout, read = plate([("H1", np.nan, 300.0)])
    result = quantify_plate("P1", read, layout, KIT, settings)
    quality = check_quality(result, settings)
    found = hair_measurements(result.estimates, result.summary, quality, hair(["H1"]).assign(mass_mg=0.6), settings)
    assert "low_mass" in found["flags"].iloc[0] and found["cortisol_pg_per_mg"].iloc[0] > 0


def test_what_the_report_shows_names_no_hair_sample(settings):
    layout, read = plate([("H1", np.nan, 300.0)])
    at = layout.loc[layout["role"] == "sample", "well"].iloc[0]
    result = quantify_plate(
        "P1", read, layout.assign(mask=np.where(layout["well"] == at, "spilt", None)), KIT, settings
    )
    checks = check_quality(result, settings)
    reason = checks.loc[checks["check"] == "masked_well", "reason"].iloc[0]
    assert "spilt" in reason and "H1" not in reason


def test_a_plate_run_after_its_lot_expired_is_told():
    for day, state in (("2026-03-01", "pass"), ("2026-03-31", "pass"), ("2026-04-02", "warn")):
        plate = SimpleNamespace(date=day, expiry="2026-03-31", lot="L7")
        (row,) = quality._expiry(plate)
        assert row[4] == state
    assert "lot L7 expired on 2026-03-31, 2 days before the plate was run" in row[5]
    assert quality._expiry(SimpleNamespace(date="2026-03-01", expiry=float("nan"))) == [] == quality._expiry(None)


def test_extraction_blanks_are_subtracted_with_their_error():
    estimates = pd.DataFrame({
        "plate_id": "P", "role": "extraction_blank", "sample": ["E1", "E2", "E3"], "dilution": [np.nan, 2.0, np.nan],
        "concentration": [30.0, 20.0, 5.0], "se": [3.0, 2.0, 1.0], "censored": "none",
    })  # fmt: skip
    plates = pd.DataFrame({"unit": ["pg/mL"], "lod": [10.0]}, index=["P"])
    mean, error = samples.extraction_blanks(estimates, plates)["P"]
    # 30 and 2 × 20; the third lies below the LOD and counts as nothing.
    assert mean == pytest.approx(70 / 3) and error == pytest.approx(np.std([30, 40, 0], ddof=1) / np.sqrt(3))
    found = {"estimate": 100.0, "low": 90.0, "high": 112.0, "log_se": 0.05, "flags": [], "censored": "none", "limit": 0}
    net = samples.less_blank(found, 20.0, 3.0)
    assert net["estimate"] == 80.0 and net["log_se"] == pytest.approx(np.hypot(5, 3) / 80)
    assert net["low"] == pytest.approx(80 - np.hypot(10, 1.96 * 3), abs=0.01)
    gone = samples.less_blank(found, 120.0, 3.0)
    assert gone["censored"] == "below" and np.isnan(gone["estimate"]) and gone["flags"] == ["blank_subtracted"]
    assert gone["limit"] == 0.0


def test_an_extraction_blank_above_the_standards_is_not_subtracted_as_nothing(settings):
    plates = pd.DataFrame({"unit": ["pg/mL"], "lod": [10.0]}, index=["P"])

    def blank(**columns):
        rows = pd.DataFrame({"plate_id": "P", "role": "extraction_blank", "se": 2.0, **columns})
        return samples.extraction_blanks(rows, plates).get("P")

    two = {"sample": ["E1", "E2"], "dilution": 1.0}
    assert np.isnan(blank(**two, concentration=[np.nan, 20.0], censored=["above", "none"])).all()
    assert np.isnan(blank(**two, concentration=np.nan, censored="none")).all()
    # Another dilution of it settles a blank; one without a value is no zero.
    again = {"sample": "E1", "dilution": [1.0, 4.0], "concentration": [np.nan, 20.0]}
    assert blank(**again, censored=["above", "none"])[0] == pytest.approx(80)
    assert blank(**two, concentration=[np.nan, 20.0], censored="none")[0] == pytest.approx(20)

    layout, read = plate([("H1", np.nan, 300.0), ("E1", np.nan, 30_000.0)])
    layout.loc[layout["sample"] == "E1", "role"] = "extraction_blank"
    result = quantify_plate("P1", read, layout, KIT, settings)
    checks = check_quality(result, settings)
    row = checks[checks["check"] == "extraction_blank"].iloc[0]
    assert row["verdict"] == "warn" and "above the highest standard: it cannot be subtracted" in row["reason"]
    found = {}
    for what in ("warn", "subtract"):
        given = settings | {"extraction_blank": what}
        found[what] = hair_measurements(result.estimates, result.summary, checks, hair(["H1"]), given).iloc[0]
    assert found["subtract"]["cortisol_pg_per_mg"] == found["warn"]["cortisol_pg_per_mg"] > 0
    assert "blank_not_subtracted" in found["subtract"]["flags"] and "blank" not in found["warn"]["flags"]


def test_what_one_extract_shares_cancels_in_a_ratio(settings):
    """Both of 10 % error, 8 % of it from weighing: the ratio has sqrt(2) × 6 %."""
    row = {
        "hair_id": "H1", "participant_id": "H1", "timepoint": "m", "segment": "0-3cm", "platform": "k",
        "cortisol_pg_per_mg": 4.0, "cortisol_low": 4.0 * np.exp(-0.196), "cortisol_high": 4.0 * np.exp(0.196),
        "log_se": 0.1, "log_se_extract": 0.08, "flags": "", "censored": "none",
    }  # fmt: skip
    ours = pd.DataFrame([row])
    other = pd.DataFrame([row | {"platform": "l"}]).rename(
        columns={"cortisol_pg_per_mg": "pg_per_mg", "cortisol_low": "low", "cortisol_high": "high"}
    )
    ratio = samples._ratio(ours, other, "cortisone").iloc[0]
    assert ratio["pg_per_mg"] == 1.0 and ratio["log_se"] == pytest.approx(0.06 * np.sqrt(2))
    assert np.log(ratio["high"]) == pytest.approx(1.96 * 0.06 * np.sqrt(2), rel=1e-3)
    assert ratio["low"] == pytest.approx(1 / ratio["high"])
    apart = samples._ratio(ours, other.assign(log_se_extract=np.nan), "cortisone").iloc[0]
    assert apart["log_se"] == pytest.approx(0.1 * np.sqrt(2))


def test_a_tube_of_saliva_that_another_well_settled_is_not_run_again():
    rerun = pd.DataFrame(
        {"plate_id": ["P1", "P1"], "role": "sample", "sample": ["T1", "T2"], "reason": "only one well"}
    )
    row = dict.fromkeys(samples.SAMPLE_COLUMNS, None) | {"censored": "none", "flags": "", "cortisol_pg_per_mg": 5.0}
    nothing = pd.DataFrame(columns=list(samples.SAMPLE_COLUMNS))
    tubes = pd.DataFrame([row | {"hair_id": "T1"}, row | {"hair_id": "T2", "flags": "single_well"}])
    measured = pd.DataFrame(columns=["plate_id", "hair_id", "cortisol_pg_per_mg"])
    assert rerun_list(rerun, nothing, measured, tubes)["sample"].tolist() == ["T2"]
    assert rerun_list(rerun, nothing, measured)["sample"].tolist() == ["T1", "T2"]
