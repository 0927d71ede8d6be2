import importlib.util
import re
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from hpaxis.cortisol.check import check_plate
from hpaxis.cortisol.finished import bridge, convert, read_finished
from hpaxis.cortisol.inputs import read_plate
from hpaxis.cortisol.kits import read_kits
from hpaxis.cortisol.plate import quantify_plate
from hpaxis.cortisol.quality import aliased, control_table, inter_assay
from hpaxis.cortisol.samples import DOUBTFUL, MEASUREMENT_COLUMNS, bridge_platforms, collect, no_plates, sample_table
from hpaxis.problems import InputError
from hpaxis.schemas import load
from hpaxis.tables import read_table, write_table

_spec = importlib.util.spec_from_file_location("cortisol_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
plate_row, plate_tables, write_plate = _conftest.plate_row, _conftest.plate_tables, _conftest.write_plate

ARMS = ["control", "treatment"]
NOTHING = pd.DataFrame(columns=list(MEASUREMENT_COLUMNS))


@pytest.fixture(scope="module")
def plates(simulated, hair, kit, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plates")
    results = []
    for plate in simulated:
        row = write_plate(folder, plate)
        results.append(quantify_plate(plate.plate_id, *read_plate(row, hair, kit), kit))
    return plate_tables(results, settings)


@pytest.fixture(scope="module")
def tables(plates, hair, settings):
    settings = settings | {"failed_plates": "use"}  # one control of P01 reads 78 %
    return collect(plates, NOTHING, hair, hair[["participant_id", "arm"]], ARMS, settings)


def estimate_row(**changes):
    row = {
        "plate_id": "P1", "kit": "k", "unit": "pg/mL", "role": "sample", "sample": "H1", "dilution": np.nan,
        "nominal": np.nan,
        "wells": "A1;A2", "n_wells": 2, "response": 50.0, "concentration": 100.0, "low": 90.0, "high": 111.0, "se": 5.0,
        "cv_percent": 3.0, "censored": "none", "flags": "",
    }  # fmt: skip
    return row | changes


def one_plate(*rows, **summary):
    estimates = pd.DataFrame([estimate_row(**row) for row in rows])
    base = {"plate_id": "P1", "kit": "k", "unit": "pg/mL", "lloq": 10.0, "lod": 5.0}
    made = no_plates()
    made["estimates"] = estimates
    made["summary"] = pd.DataFrame([base | summary | {"plate_id": p} for p in estimates["plate_id"].unique()])
    return made


def sheet(**changes):
    row = {
        "hair_id": "H1", "participant_id": "00001", "timepoint": "m", "mass_mg": 10.0,
        "segment_from_cm": 0.0, "segment_to_cm": 3.0,
        "methanol_added_ml": 1.5, "methanol_recovered_ml": 1.0, "reconstitution_ml": 0.2, "dilution": 1.0,
        "spike_pg": 0.0, "recovery": 1.0,
    }  # fmt: skip
    return pd.DataFrame([row | changes])


def collected(plates, hair, settings, **changes):
    people = pd.DataFrame({"participant_id": hair["participant_id"].unique(), "arm": "control"})
    return collect(plates, NOTHING, hair, people, ARMS, settings | changes)


def test_recovered_cortisol(tables, hair):
    samples = tables.samples.merge(hair[["hair_id", "cortisol_pg_per_mg"]], on="hair_id", suffixes=("", "_true"))
    assert len(samples) == len(hair)
    known = samples[(samples["censored"] == "none") & ~samples["flags"].str.contains("discordant")]
    off = np.abs(np.log(known["cortisol_pg_per_mg"] / known["cortisol_pg_per_mg_true"]))
    assert off.median() < 0.08
    inside = known["cortisol_pg_per_mg_true"].between(known["cortisol_low"], known["cortisol_high"])
    # 38 samples: below 33 hits the binomial probability is under 1 %.
    assert inside.sum() >= len(known) - 5


def test_every_table_is_as_its_schema_says(tables, tmp_path):
    for name in tables.__dataclass_fields__:
        table, schema = getattr(tables, name), load(f"cortisol_{name}.schema")
        assert list(table.columns) == list(schema["properties"]), name
        write_table(table, tmp_path / f"{name}.tsv")
        again = read_table(tmp_path / f"{name}.tsv")
        validator = jsonschema.Draft202012Validator(schema)
        for row in again.astype(object).where(again.notna(), None).to_dict("records"):
            validator.validate(row)


def test_meyer_and_novak_through_the_whole_stage(settings):
    # .12 ug/dL in the well, 10 mg, 1.5 of 1.0 mL, .2 mL: 36 pg/mg.
    plates = one_plate(
        {"unit": "ug/dL", "concentration": 0.12, "low": 0.11, "high": 0.13, "se": 0.005},
        unit="ug/dL",
        lloq=0.01,
        lod=0.005,
    )
    row = collected(plates, sheet(), settings).samples.iloc[0]
    assert row["cortisol_pg_per_mg"] == pytest.approx(36.0, abs=1e-9)
    assert row["segment"] == "0-3cm" and row["participant_id"] == "00001"


def test_the_interval_carries_curve_volumes_and_mass(settings):
    row = collected(one_plate({}), sheet(), settings).samples.iloc[0]
    expected = np.sqrt(0.05**2 + 3 * 0.01**2 + 0.01**2)
    assert row["log_se"] == pytest.approx(expected)
    assert row["cortisol_low"] == pytest.approx(
        3.0 * np.exp(-np.sqrt(np.log(100 / 90) ** 2 + (1.959964 * 0.02) ** 2)), rel=1e-5
    )
    bare = collected(one_plate({}), sheet(), settings, volume_cv_percent=0, mass_sd_mg=0).samples.iloc[0]
    assert (bare["cortisol_low"], bare["cortisol_high"]) == (pytest.approx(2.7), pytest.approx(3.33))


def test_a_spike_is_subtracted_and_its_error_stays(settings):
    plain = collected(one_plate({}), sheet(), settings).samples.iloc[0]
    spiked = collected(one_plate({}), sheet(spike_pg=20.0), settings).samples.iloc[0]
    assert spiked["cortisol_pg_per_mg"] == pytest.approx(1.0)
    assert spiked["log_se"] > 2 * plain["log_se"]
    assert spiked["cortisol_high"] == pytest.approx(plain["cortisol_high"] - 2.0, rel=0.01)
    drowned = collected(one_plate({}), sheet(spike_pg=40.0), settings).samples.iloc[0]
    assert np.isnan(drowned["cortisol_pg_per_mg"])
    assert (drowned["censored"], drowned["limit_pg_per_mg"]) == ("below", 0.0)
    assert "spike_exceeds_total" in drowned["flags"]


@pytest.mark.parametrize(
    ("side", "low", "high", "expected"), [("below", 0.0, 31.25, 0.9375), ("above", 4000.0, np.inf, 120.0)]
)
def test_a_censored_sample_keeps_its_limit_in_pg_per_mg(side, low, high, expected, settings):
    plates = one_plate({"concentration": np.nan, "low": low, "high": high, "se": np.nan, "censored": side})
    row = collected(plates, sheet(), settings).samples.iloc[0]
    assert np.isnan(row["cortisol_pg_per_mg"])
    assert row[["censored", "limit_pg_per_mg"]].tolist() == [side, pytest.approx(expected)]
    assert f"censored_{side}" in row["flags"]


def test_dilutions_of_one_sample_are_combined_within_the_standards(settings):
    rows = [
        {"dilution": 1.0, "concentration": np.nan, "low": 4000.0, "high": np.inf, "se": np.nan, "censored": "above"},
        {"dilution": 4.0, "concentration": 1000.0, "low": 900, "high": 1111, "se": 50.0},
        {"dilution": 16.0, "concentration": 260.0, "low": 230, "high": 290, "se": 26.0},
    ]
    row = collected(one_plate(*rows), sheet(), settings, volume_cv_percent=0, mass_sd_mg=0).samples.iloc[0]
    # Weights 1/.05^2 and 1/.1^2 on ln 4000 and ln 4160.
    expected = np.exp((4 * np.log(4000) + np.log(4160)) / 5)
    assert row["cortisol_pg_per_mg"] == pytest.approx(expected * 0.03)
    assert row["log_se"] == pytest.approx((400 + 100) ** -0.5)
    beyond = [{**rows[0]}, {**rows[0], "dilution": 4.0}]
    assert collected(one_plate(*beyond), sheet(), settings).samples["limit_pg_per_mg"].iloc[0] == pytest.approx(480.0)
    both = [rows[0], {**rows[0], "dilution": 4.0, "low": 0.0, "high": 31.25, "censored": "below"}]
    assert "contradictory_dilutions" in collected(one_plate(*both), sheet(), settings).samples["flags"].iloc[0]


def test_a_sheet_dilution_counts_where_the_layout_has_none(settings):
    assert collected(one_plate({}), sheet(dilution=4.0), settings).samples["cortisol_pg_per_mg"].iloc[
        0
    ] == pytest.approx(12.0)
    plates = one_plate({"dilution": 4.0})
    assert collected(plates, sheet(dilution=4.0), settings).samples["cortisol_pg_per_mg"].iloc[0] == pytest.approx(12.0)


def test_flags_of_a_sample(settings):
    def flags(row, **summary):
        return set(collected(one_plate(row, **summary), sheet(), settings).samples["flags"].iloc[0].split(";"))

    assert flags({}) == {""}
    assert flags({"cv_percent": 12.0}) == {"cv_warn"}
    assert flags({"cv_percent": 25.0, "flags": "discordant"}) == {"cv_rerun", "discordant"}
    assert flags({}, lloq=150.0, lod=120.0) == {"below_lloq", "below_lod"}
    assert flags({"concentration": 20.0, "low": 19.0, "high": 21.0}) == {"unusual"}
    failed = one_plate({})
    failed["quality"] = pd.DataFrame({"plate_id": ["P1"], "check": ["control_recovery"], "verdict": ["fail"]})
    assert collected(failed, sheet(), settings).samples["flags"].iloc[0] == "plate_failed"
    lost = {"concentration": np.nan, "low": np.nan, "high": np.nan, "se": np.nan, "flags": "no_curve"}
    assert flags(lost) == {"no_curve"}


def test_repeats_are_combined_and_doubtful_ones_left_out(settings):
    rows = [{}, {"plate_id": "P2", "concentration": 121.0, "low": 110, "high": 133, "se": 6.05}]
    table = collected(one_plate(*rows), sheet(), settings).samples
    assert table.loc[0, ["plate_id", "measurements", "flags"]].tolist() == ["P1;P2", 2, "repeats"]
    assert table.loc[0, "cortisol_pg_per_mg"] == pytest.approx(3.3)
    # The hair was weighed and extracted once: that error does not average out.
    single = collected(one_plate({}), sheet(), settings).samples.iloc[0]
    once = single["log_se_extract"]
    assert once == pytest.approx(
        np.sqrt(3 * (settings["volume_cv_percent"] / 100) ** 2 + (settings["mass_sd_mg"] / 10) ** 2)
    )
    assert table.loc[0, "log_se_within_run"] == pytest.approx(np.sqrt((single["log_se"] ** 2 - once**2) / 2 + once**2))
    # ln(121/100) between the two runs is all that is known of runs: the SD of their mean is half of it.
    assert table.loc[0, "log_se"] == pytest.approx(np.hypot(np.log(1.21) / 2, once), rel=1e-6)
    rows[1] = rows[1] | {"cv_percent": 40.0}
    table = collected(one_plate(*rows), sheet(), settings).samples
    assert table.loc[0, ["plate_id", "measurements"]].tolist() == ["P1", 2]
    assert table.loc[0, "cortisol_pg_per_mg"] == pytest.approx(3.0)
    censored = {"plate_id": "P2", "concentration": np.nan, "low": 0.0, "high": 31.25, "se": np.nan, "censored": "below"}
    assert collected(one_plate({}, censored), sheet(), settings).samples["censored"].tolist() == ["none"]
    both = collected(one_plate({**censored, "plate_id": "P1", "high": 60.0}, censored), sheet(), settings).samples.iloc[
        0
    ]
    assert (both["censored"], both["limit_pg_per_mg"]) == ("below", pytest.approx(0.9375))


def test_a_sample_on_no_plate_is_named(tables, plates, hair, settings):
    more = pd.concat([hair, hair.iloc[:1].assign(hair_id="H9999")], ignore_index=True)
    found = collect(plates, NOTHING, more, hair[["participant_id", "arm"]], ARMS, settings).quality
    row = found[found["check"] == "sample_on_no_plate"].iloc[0]
    assert row[["subject", "verdict", "remedy"]].tolist() == [
        "H9999",
        "warn",
        "add it to a layout, or take it out of hair.tsv",
    ]
    assert (tables.quality["check"] != "sample_on_no_plate").all()


def test_arms_aliased_with_plates_are_an_error(plates, hair, settings):
    where = plates["estimates"].query("role == 'sample'").set_index("sample")["plate_id"]
    arm = hair["hair_id"].map(where).map({"P01": "control", "P02": "treatment"})
    people = pd.DataFrame({"participant_id": hair["participant_id"], "arm": arm})
    with pytest.raises(InputError, match=r"arms cannot be distinguished from plates .P01: 20 control, 0 treatment"):
        collect(plates, NOTHING, hair, people, ARMS, settings)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"a": [5, 0], "b": [0, 5]}, True),
        ({"a": [5, 1], "b": [0, 5]}, False),
        ({"a": [5, 5], "b": [0, 0]}, False),
        ({"a": [5, 5, 0], "b": [0, 5, 5], "c": [0, 0, 5]}, False),
        ({"a": [5, 5, 0], "b": [5, 5, 0], "c": [0, 0, 5]}, True),
    ],
)
def test_aliasing_is_whether_plates_link_the_arms(counts, expected):
    rows = [(f"P{i}", arm, n) for arm, numbers in counts.items() for i, n in enumerate(numbers)]
    table = pd.DataFrame(rows, columns=["plate_id", "arm", "samples"])
    assert aliased(table) is expected


def test_one_plate_read_twice_under_two_names_is_an_error(plates, hair, settings):
    copy = {name: table.copy() for name, table in plates.items()}
    one = copy["wells"]["plate_id"] == "P01"
    twin = copy["wells"][one].assign(plate_id="P02")
    copy["wells"] = pd.concat([copy["wells"][one], twin], ignore_index=True)
    with pytest.raises(InputError, match="'P02' has the same optical densities as plate P01, well for well"):
        collect(copy, NOTHING, hair, hair[["participant_id", "arm"]], ARMS, settings)


def controls(values, nominal=100.0):
    return pd.DataFrame([
        estimate_row(plate_id=f"P{i}", role="control", sample="low", nominal=nominal, concentration=v)
        for i, v in enumerate(values)
    ])  # fmt: skip


def test_a_control_is_followed_over_the_plates(settings):
    values = [100.0, 102, 98, 101, 99, 100, 118]
    table = control_table(controls(values), settings)
    assert table["recovery_percent"].tolist() == values
    assert table["mean"].iloc[0] == pytest.approx(np.mean(values)) and table["sd"].iloc[0] == pytest.approx(
        np.std(values, ddof=1)
    )
    others = values[:-1]
    expected = (118 - np.mean(others)) / (np.std(others, ddof=1) * np.sqrt(1 + 1 / 6))
    assert table["z"].iloc[-1] == pytest.approx(expected)
    assert table["verdict"].tolist() == ["pass"] * 6 + ["fail"]
    assert table["reason"].iloc[-1] == "control low lies beyond 3 SD of the other plates"
    assert control_table(controls(values[:3]), settings)["z"].isna().all()


def test_inter_assay_cv(settings):
    steady, wild = (
        inter_assay(control_table(controls(v), settings), settings) for v in ([98, 100, 102.0], [80.0, 100, 120])
    )
    assert steady[["value", "verdict"]].iloc[0].tolist() == [pytest.approx(2.0), "pass"]
    assert wild["verdict"].tolist() == ["warn"] and "CV of 20.0 % over 3 plates" in wild["reason"].iloc[0]


# Finished concentrations and bridges.


def finished_file(path, text):
    path.write_text("hair_id\tcortisol_pg_per_mg\tcv_percent\tlloq_pg_per_mg\tuloq_pg_per_mg\n" + text)
    return path


def test_finished_concentrations(tmp_path, hair, settings):
    path = finished_file(
        tmp_path / "lc.tsv",
        "H0000\t5.0\t10\t0.5\t80\nH0001\t<0.4\tNA\tNA\tNA\nH0002\t0.3\t10\t0.5\t80\nH0003\t>80\tNA\tNA\tNA\nH0004\t90\t10\t0.5\t80\nH0005\t4\tNA\tNA\tNA\n",
    )
    table = read_finished(path, read_kits()["lc_ms_ms"], "LC1").set_index("hair_id")
    assert list(table.reset_index()) != [] and set(table["platform"]) == {"lc_ms_ms"}
    assert table["censored"].tolist() == ["none", "below", "below", "above", "above", "none"]
    assert table["limit_pg_per_mg"].tolist()[1:5] == [0.4, 0.5, 80.0, 80.0]
    assert table["cortisol_pg_per_mg"].notna().tolist() == [True, False, False, False, False, True]
    assert table.loc["H0000", "log_se"] == pytest.approx(np.sqrt(np.log(1.01)))
    assert table.loc["H0000", "cortisol_high"] / 5.0 == pytest.approx(5.0 / table.loc["H0000", "cortisol_low"])
    assert table.loc["H0005", "flags"] == "no_interval"
    assert check_plate(plate_row("LC1", path, None, kit="lc_ms_ms"), hair, settings) == []
    stranger = finished_file(tmp_path / "x.tsv", "H7777\t5.0\t10\t0.5\t80\n")
    assert "'H7777' is not in hair.tsv" in str(
        check_plate(plate_row("LC1", stranger, None, kit="lc_ms_ms"), hair, settings)[0]
    )


def test_faults_of_a_finished_table(tmp_path):
    path = finished_file(tmp_path / "lc.tsv", "H0\t5,0\t10\tNA\tNA\nH1\t0\t10\tNA\tNA\nH1\t2\t10\tNA\tNA\n")
    with pytest.raises(InputError) as caught:
        read_finished(path, read_kits()["lc_ms_ms"], "LC1")
    said = str(caught.value)
    assert (
        "row 2, cortisol_pg_per_mg: '5,0' has a form that is not allowed; give a number in pg/mg with a decimal point"
        in said
    )
    assert "row 3" in said and "is not above zero" in said
    assert "row 4, hair_id: 'H1' duplicates row 3" in said


def pairs(n=40, slope=0.9, intercept=0.3, seed=6, noise=0.08):
    rng = np.random.default_rng(seed)
    truth = rng.normal(1.8, 0.6, n)
    return np.exp(truth + rng.normal(0, noise, n)), np.exp(intercept + slope * truth + rng.normal(0, noise, n))


def test_a_bridge_recovers_the_line_that_regression_on_x_would_flatten():
    source, target = pairs(400, noise=0.3)
    line = bridge(source, target)
    assert line["slope"] == pytest.approx(0.9, abs=3 * line["slope_se"])
    assert line["intercept"] == pytest.approx(0.3, abs=3 * line["intercept_se"])
    # Ordinary regression loses the share of the source's error, .3^2 / (.6^2 + .3^2) = 20 %.
    assert np.polyfit(np.log(source), np.log(target), 1)[0] < 0.8 < line["slope"]


def test_a_bridge_is_orthogonal_regression_when_errors_are_equal():
    source, target = pairs()
    line = bridge(source, target)
    x, y = np.log(source), np.log(target)
    # The first principal axis.
    direction = np.linalg.svd(np.stack([x - x.mean(), y - y.mean()]))[0][:, 0]
    assert line["slope"] == pytest.approx(direction[1] / direction[0])
    reverse = bridge(target, source)
    assert reverse["slope"] == pytest.approx(1 / line["slope"])
    assert line["n"] == 40 and line["error_ratio"] == 1.0
    assert bridge(source, target, np.full(40, 0.1), np.full(40, 0.2))["error_ratio"] == pytest.approx(4.0)


def test_too_few_or_flat_pairs_build_no_bridge():
    with pytest.raises(ValueError, match="7 hair samples were measured on both platforms, and a bridge needs 8"):
        bridge(np.arange(1, 8), np.arange(1, 8))
    with pytest.raises(ValueError, match="same value"):
        bridge(np.ones(9), np.arange(1, 10))


def both_platforms(n=30):
    source, target = pairs(n)
    rows = []
    for i in range(n):
        for platform, value in (("elisa", source[i]), ("lcms", target[i])):
            rows.append((f"{platform}-1", f"H{i}", platform, value, value * 0.8, value * 1.2, 0.1, "none", np.nan, ""))
    rows += [
        ("elisa-1", "N1", "elisa", 6.0, 5.0, 7.0, 0.1, "none", np.nan, ""),
        ("elisa-1", "N2", "elisa", 900.0, 800.0, 999.0, 0.1, "none", np.nan, ""),
        ("elisa-1", "N3", "elisa", np.nan, 0.0, 3.0, np.nan, "below", 3.0, "censored_below"),
        ("elisa-1", "N4", "elisa", np.nan, 500.0, np.inf, np.nan, "above", 500.0, "censored_above"),
    ]
    names = ["plate_id", "hair_id", "platform", "cortisol_pg_per_mg", "cortisol_low", "cortisol_high", "log_se",
             "censored",              "limit_pg_per_mg", "flags"]  # fmt: skip
    table = pd.DataFrame(rows, columns=names)
    more = {"participant_id": table["hair_id"], "timepoint": "m", "segment": "0-3cm", "segment_from_cm": 0.0,
            "segment_to_cm": 3.0, "n_wells": 2.0, "cv_percent": 5.0}  # fmt: skip
    return table.assign(**more)


def test_platforms_stay_apart_unless_they_are_bridged(settings):
    table = both_platforms()
    same, bridging = bridge_platforms(table, None)
    assert same is table
    assert bridging.loc[0, ["source", "target", "n"]].tolist() == ["elisa", "lcms", 30]
    samples = sample_table(same, settings)
    assert samples[samples["hair_id"] == "H0"]["platform"].tolist() == ["elisa", "lcms"]


def test_bridged_values_their_intervals_and_what_lies_beyond(settings):
    table = both_platforms()
    moved, bridging = bridge_platforms(table, "lcms")
    assert set(moved["platform"]) == {"lcms"}
    found = sample_table(moved, settings).set_index("hair_id")
    # Samples measured on the target keep that value.
    own = table[(table["platform"] == "lcms")].set_index("hair_id")["cortisol_pg_per_mg"]
    assert found.loc["H0", "cortisol_pg_per_mg"] == own["H0"]
    line = bridging.iloc[0]
    assert found.loc["N1", "cortisol_pg_per_mg"] == pytest.approx(
        np.exp(line["intercept"] + line["slope"] * np.log(6.0))
    )
    assert "bridged_from_elisa" in found.loc["N1", "flags"]
    width = np.log(found.loc["N1", "cortisol_high"] / found.loc["N1", "cortisol_low"])
    assert width > 2 * 1.96 * line["residual_sd"]
    assert np.isnan(found.loc["N2", "cortisol_pg_per_mg"]) and "beyond_bridge" in found.loc["N2", "flags"]
    assert (
        found.loc["N3", "censored"] == "below"
        and found.loc["N3", "cortisol_high"] == found.loc["N3", "limit_pg_per_mg"]
    )
    assert found.loc["N4", "censored"] == "none" and "beyond_bridge" in found.loc["N4", "flags"]


def test_a_value_with_more_error_than_the_bridges_samples_keeps_it():
    table = both_platforms()
    table.loc[table["hair_id"] == "N1", "log_se"] = 0.5
    found = bridge_platforms(table, "lcms")[0].set_index("hair_id")
    assert found.loc["N1", "log_se"] > 0.9 * np.sqrt(0.5**2 - 0.1**2)


def test_shared_errors_of_a_converted_value_follow_the_line():
    source, target = pairs(60)
    line = bridge(source, target)
    table = both_platforms().assign(log_se_extract=0.06, curve_a=0.05)
    table.loc[table["hair_id"] == "N1", "log_se_extract"] = 5.0
    found = convert(table, line, "lcms").set_index("hair_id")
    inside = found["cortisol_pg_per_mg"].notna()
    assert inside.any() and found.loc[inside, "curve_a"].to_numpy() == pytest.approx(0.05 * line["slope"])
    usual = inside & (found.index != "N1")
    assert found.loc[usual, "log_se_extract"].to_numpy() == pytest.approx(0.06 * line["slope"])
    assert found.loc["N1", "log_se_extract"] == found.loc["N1", "log_se"]  # a part is not more than the whole
    assert found.loc[~inside, ["log_se_extract", "curve_a"]].isna().all(axis=None)


def test_a_converted_interval_covers():
    line_source, line_target = pairs(60, seed=1)
    line = bridge(line_source, line_target)
    source, target = pairs(1000, seed=2)
    table = pd.DataFrame({
        "platform": "a", "cortisol_pg_per_mg": source, "limit_pg_per_mg": np.nan, "censored": "none", "flags": "",
        "cortisol_low": np.nan, "cortisol_high": np.nan, "log_se": 0.08,
    })  # fmt: skip
    moved = convert(table, line, "b")
    inside = moved["cortisol_pg_per_mg"].notna()
    assert inside.mean() > 0.9
    hits = pd.Series(target)[inside].between(moved["cortisol_low"][inside], moved["cortisol_high"][inside])
    # One line of 60 pairs: its own error shifts coverage by a point or two.
    assert 0.92 <= hits.mean() <= 0.98


def test_a_bridge_that_cannot_be_built_is_an_error_only_when_asked_for():
    few = both_platforms(5)
    _, bridging = bridge_platforms(few, None)
    assert "a bridge needs 8" in bridging["note"].iloc[0]
    with pytest.raises(InputError, match=r"cortisol.bridge_to: 'lcms' elisa: 5 hair samples were measured on both"):
        bridge_platforms(few, "lcms")
    with pytest.raises(InputError, match="'rocket' is no platform of this study; use one of elisa, lcms, or null"):
        bridge_platforms(few, "rocket")


def test_a_study_of_finished_concentrations_only(tmp_path, settings, hair):
    path = finished_file(
        tmp_path / "lc.tsv", "".join(f"{h}\t{3 + i % 7}\t8\t0.5\t80\n" for i, h in enumerate(hair["hair_id"]))
    )
    finished = read_finished(path, read_kits()["lc_ms_ms"], "LC1")
    found = collect(no_plates(), finished, hair, hair[["participant_id", "arm"]], ARMS, settings)
    assert len(found.samples) == len(hair) and set(found.samples["platform"]) == {"lc_ms_ms"}
    assert found.curves.empty and found.rerun.empty and found.controls.empty
    stranger = finished.assign(hair_id="H7777")
    with pytest.raises(InputError, match=r"'H7777' is not in hair.tsv"):
        collect(no_plates(), stranger, hair, hair[["participant_id", "arm"]], ARMS, settings)


def test_every_flag_and_check_is_explained(root):
    text = (root / "docs" / "cortisol.md").read_text(encoding="utf-8")
    folder = root / "scripts" / "hpaxis" / "cortisol"
    code = {
        name: (folder / f"{name}.py").read_text(encoding="utf-8")
        for name in ("plate", "quality", "samples", "finished")
    }
    checks = set(re.findall(r'_row\(\s*"(\w+)"', code["quality"]))
    flags = set(re.findall(r'flags(?:\.| \+ \[)append?\(?"?(\w+)"', code["plate"] + code["samples"]))
    flags |= {"unusual", "repeats", "no_interval", "beyond_bridge", "no_curve", "no_value", "discordant", "overflow"}
    flags |= {"spike_exceeds_total", "censored_below", "censored_above", *DOUBTFUL}
    assert len(checks) >= 12 and {"below_lloq", "cv_warn", "single_well"} <= flags
    assert [name for name in sorted(checks | flags) if f"`{name}`" not in text] == []
