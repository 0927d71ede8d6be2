import math

import numpy as np
import pandas as pd
import pytest

from hpaxis.cohort import build_cohort
from hpaxis.problems import InputError
from hpaxis.schemas import load, with_defaults

ARMS = ["control", "treatment"]
SETTINGS = with_defaults({"timepoint": "t1", "columns": {"competence": "number"}}, load("config/cohort"))


def participants():
    rows = [
        ("0011", "001", "child", "control", 12.0),
        ("0012", "001", "parent", "control", np.nan),
        ("0021", "002", "child", "treatment", 15.0),
        ("0022", "002", "parent", "treatment", np.nan),
        ("0031", "003", "child", "treatment", 9.0),
    ]
    table = pd.DataFrame(rows, columns=["participant_id", "dyad_id", "role", "arm", "competence"])
    return table.assign(row=range(2, 7), missing=None)


def inputs():
    """Five people: 0022 has no saliva, 0031 a failed library and no hair, 0021 hair below the limit."""
    libraries = pd.DataFrame(
        [
            (2, "L1", "0011", "t1", "study"),
            (3, "L2", "0012", "t1", "study"),
            (4, "L3", "0021", "t1", "study"),
            (5, "L4", "0031", "t1", "study"),
            (6, "L5", "0011", "t0", "study"),
            (7, "C0", None, None, "control_0"),
        ],
        columns=["row", "library_id", "participant_id", "timepoint", "kind"],
    )
    quality = pd.DataFrame(
        {
            "library_id": ["L1", "L2", "L3", "L4", "L5", "C0"],
            "verdict": ["pass", "warn", "pass", "fail", "pass", "pass"],
            "reasons": [None, "conversion 98.7 %", None, "depth 40 < 100", None, None],
        }
    )
    indices = pd.DataFrame(
        {
            "participant_id": ["0011", "0012", "0021", "0031", "0011"],
            "timepoint": ["t1", "t1", "t1", "t1", "t0"],
            "mean_beta": [0.02, 0.03, 0.025, np.nan, 0.01],
            "depth": [1000, 900, 1500, 40, 800],
            "verdict": ["pass", "warn", "pass", "fail", "pass"],
            "reasons": [None, "conversion 98.7 %", None, "depth 40 < 100", None],
        }
    )
    hair = pd.DataFrame(
        [
            (2, "H1", "0011", "t1", 0.0),
            (3, "H1b", "0011", "t1", 0.0),
            (4, "H1c", "0011", "t1", 3.0),
            (5, "H2", "0012", "t1", 0.0),
            (6, "H3", "0021", "t1", 0.0),
            (7, "H4", "0022", "t1", 0.0),
        ],
        columns=["row", "hair_id", "participant_id", "timepoint", "segment_from_cm"],
    )
    samples = pd.DataFrame(
        [
            ("H1", "0011", "t1", 4.0, 3.0, 5.0, "none", np.nan, "NA"),
            ("H1b", "0011", "t1", 9.0, 8.0, 10.0, "none", np.nan, "NA"),
            ("H1c", "0011", "t1", 50.0, 40.0, 60.0, "none", np.nan, "NA"),
            ("H2", "0012", "t1", 6.0, 5.0, 7.0, "none", np.nan, "NA"),
            ("H3", "0021", "t1", np.nan, np.nan, np.nan, "below", 0.8, "below_curve"),
            ("H4", "0022", "t1", np.nan, np.nan, np.nan, "none", np.nan, "plate_failed"),
        ],
        columns=["hair_id", "participant_id", "timepoint", "cortisol_pg_per_mg", "cortisol_low", "cortisol_high",
                 "censored", "limit_pg_per_mg", "flags"],
    ).assign(platform="elisa")  # fmt: skip
    plates = pd.DataFrame({"row": [2], "plate_id": ["P1"]})
    return {
        "participants": participants(),
        "libraries": libraries,
        "hair": hair,
        "plates": plates,
        "quality": quality,
        "indices": indices,
        "samples": samples,
        "settings": SETTINGS,
        "arms": ARMS,
    }


@pytest.fixture
def cohort():
    return build_cohort(**inputs())


def test_every_participant_keeps_a_row_and_its_own_values(cohort):
    table = cohort.analysis.set_index("participant_id")
    assert table.index.tolist() == ["0011", "0012", "0021", "0022", "0031"]
    assert table.loc["0011", "mean_beta"] == 0.02
    assert math.isnan(table.loc["0022", "mean_beta"])
    assert table.loc["0031", "methylation_verdict"] == "fail"
    assert set(table["timepoint"]) == {"t1"}


def test_the_proximal_segment_counts_and_repeats_are_averaged_on_the_log_scale(cohort):
    row = cohort.analysis.set_index("participant_id").loc["0011"]
    assert row["cortisol_pg_per_mg"] == pytest.approx(6.0)  # the geometric mean of 4 and 9
    assert row["log_cortisol"] == pytest.approx(math.log(6))
    assert row["cortisol_samples"] == 2


def test_an_interval_that_reaches_zero_keeps_its_zero():
    data = inputs()
    data["samples"].loc[0, "cortisol_low"] = 0.0
    row = build_cohort(**data).analysis.set_index("participant_id").loc["0011"]
    assert (row["cortisol_low"], row["cortisol_pg_per_mg"]) == (0.0, pytest.approx(6.0))


def test_a_censored_value_is_never_a_number(cohort):
    row = cohort.analysis.set_index("participant_id").loc["0021"]
    assert math.isnan(row["cortisol_pg_per_mg"])
    assert math.isnan(row["log_cortisol"])
    assert (row["cortisol_censored"], row["cortisol_limit_pg_per_mg"]) == ("below", 0.8)
    assert row["log_cortisol_limit"] == pytest.approx(math.log(0.8))


def test_partners_lend_their_columns_both_ways(cohort):
    table = cohort.analysis.set_index("participant_id")
    assert table.loc["0012", "child_competence"] == 12.0
    assert table.loc["0011", "parent_mean_beta"] == 0.03
    assert math.isnan(table.loc["0011", "child_competence"])
    assert math.isnan(table.loc["0031", "parent_mean_beta"])


def test_attrition_by_arm(cohort):
    table = cohort.attrition.set_index(["population", "step", "arm"])
    counts = {key: (row["n_before"], row["n_after"]) for key, row in table.iterrows()}
    assert counts[("child", "enrolled", "treatment")] == (2, 2)
    assert counts[("child", "methylation", "treatment")] == (2, 1)
    assert counts[("child", "hair", "treatment")] == (2, 1)
    assert counts[("child", "cortisol", "treatment")] == (1, 1)
    assert counts[("parent", "saliva", "treatment")] == (1, 0)
    assert counts[("parent", "cortisol", "treatment")] == (1, 0)
    assert counts[("child", "methylation", "control")] == (1, 1)


def test_every_row_of_every_sheet_is_accounted_for(cohort):
    data = inputs()
    audit = cohort.join_audit
    for sheet, key in (("participants", "participant_id"), ("libraries", "library_id"), ("hair", "hair_id"),
                       ("plates", "plate_id")):  # fmt: skip
        part = audit[audit["sheet"] == sheet]
        assert sorted(part["key"]) == sorted(data[sheet][key])
        assert part["row"].is_unique
    left = audit[audit["status"] == "left out"].set_index("key")["reason"]
    assert left["L4"] == "failed quality: depth 40 < 100"
    assert left["L5"] == "timepoint t0 is not the analysis timepoint t1"
    assert left["H1c"] == "a segment nearer the scalp is used"
    assert left["H4"] == "plate of the sample failed quality (cortisol.failed_plates is leave_out)"
    assert audit.set_index("key").loc["C0", "status"] == "control"


def test_row_order_does_not_matter(cohort):
    data = inputs()
    for name in ("libraries", "hair", "quality", "indices", "samples"):
        data[name] = data[name].iloc[::-1].reset_index(drop=True)
    again = build_cohort(**data)
    pd.testing.assert_frame_equal(again.analysis, cohort.analysis)
    pd.testing.assert_frame_equal(again.attrition, cohort.attrition)


def test_a_key_that_matches_nobody_is_an_error():
    data = inputs()
    data["indices"].loc[0, "participant_id"] = "9999"
    with pytest.raises(InputError, match="'9999' is not in participants"):
        build_cohort(**data)


def test_platforms_are_never_pooled_in_silence():
    data = inputs()
    data["samples"].loc[0, "platform"] = "lcms"
    with pytest.raises(InputError, match="'elisa, lcms' would pool platforms"):
        build_cohort(**data)
    data["settings"] = SETTINGS | {"platform": "elisa"}
    cohort = build_cohort(**data)
    assert cohort.analysis.set_index("participant_id").loc["0011", "cortisol_pg_per_mg"] == 9.0
    reasons = cohort.join_audit.set_index("key")["reason"]
    assert reasons["H1"] == "platform lcms is not the one the config asks for"


def test_a_study_without_hair():
    data = inputs()
    data.update(samples=None, hair=data["hair"].iloc[:0], plates=data["plates"].iloc[:0])
    cohort = build_cohort(**data)
    assert cohort.analysis["log_cortisol"].isna().all()
    assert set(cohort.attrition["chain"]) == {"enrolment", "methylation"}
    assert set(cohort.join_audit["sheet"]) == {"participants", "libraries"}


def test_the_only_timepoint_is_taken_when_the_config_names_none():
    data = inputs()
    data["libraries"] = data["libraries"][data["libraries"]["timepoint"] != "t0"]
    data["settings"] = SETTINGS | {"timepoint": "NA"}
    assert set(build_cohort(**data).analysis["timepoint"]) == {"t1"}


def test_a_baseline_adds_both_ends_the_change_and_their_errors():
    given = inputs()
    given["libraries"] = given["libraries"].assign(plate=["B", "B", "B", "B", "A", "A"])
    given["indices"] = given["indices"].assign(mean_beta_se=[0.003, 0.002, 0.002, np.nan, 0.004])
    given["settings"] = SETTINGS | {"baseline": "t0"}
    cohort = build_cohort(**given)
    row = cohort.analysis.set_index("participant_id").loc["0011"]
    assert row["mean_beta_baseline"] == 0.01
    assert row["mean_beta_change"] == pytest.approx(0.01)
    # Errors of two libraries are independent: .003 and .004 make .005.
    assert row["mean_beta_change_se"] == pytest.approx(0.005)
    assert row["methylation_plates"] == "different"
    others = cohort.analysis.set_index("participant_id").drop("0011")
    assert others["mean_beta_change"].isna().all()
    audit = cohort.join_audit.set_index("key")
    assert audit.loc["L5", ["status", "reason"]].tolist() == ["used", "baseline"]
    assert audit.loc["L1", "reason"] == "NA"


def test_without_a_baseline_no_column_speaks_of_one():
    columns = build_cohort(**inputs()).analysis.columns
    assert not [c for c in columns if "baseline" in c or c.endswith(("_change", "_change_se"))]


def series_inputs():
    """Saliva cortisol of three children, one of them incomplete, beside everything else."""
    sheet = pd.DataFrame({"saliva_id": ["T1", "T2", "T3", "T4"], "row": [2, 3, 4, 5]})
    tubes = sheet[["saliva_id"]].assign(
        participant_id=["0011", "0011", "0021", "0031"], timepoint=["t1", "t0", "t1", "t1"], platform="elisa",
        used=["yes", "yes", "no", "yes"], reason=["", "", "no concentration", ""],
    )  # fmt: skip
    columns = [f"{n}{p}" for n in ("auc_g", "log_auc_g", "auc_i", "awakening", "rise") for p in ("", "_se")]
    series = pd.DataFrame({
        "participant_id": ["0011", "0011", "0021", "0031"], "timepoint": ["t1", "t0", "t1", "t1"], "platform": "elisa",
        "days": 1, **{c: [4.0 if c == "auc_g" else 1.0, 3.0 if c == "auc_g" else 0.5, np.nan, 2.0] for c in columns},
    })  # fmt: skip
    return {"saliva_cortisol": sheet, "tubes": tubes, "series": series}


def test_saliva_series_become_columns_and_every_tube_is_accounted_for():
    found = build_cohort(**inputs(), **series_inputs())
    table = found.analysis.set_index("participant_id")
    assert table.loc["0011", "saliva_auc_g"] == 4.0 and table.loc["0031", "saliva_auc_g_se"] == 2.0
    assert table.loc["0012", "child_saliva_auc_g"] == 4.0 and math.isnan(table.loc["0021", "saliva_auc_g"])
    audit = found.join_audit[found.join_audit["sheet"] == "saliva_cortisol"].set_index("key")
    assert audit["status"].to_dict() == {"T1": "used", "T2": "left out", "T3": "left out", "T4": "used"}
    assert audit.loc["T3", "reason"] == "no concentration"
    steps = found.attrition[found.attrition["chain"] == "series"]
    children = steps[(steps["population"] == "child") & (steps["arm"] == "treatment")].set_index("step")
    assert children.loc["tubes", "n_after"] == 2 and children.loc["series", "n_after"] == 1


def test_saliva_series_have_a_baseline_and_a_change():
    data = inputs()
    data["settings"] = SETTINGS | {"baseline": "t0"}
    data["libraries"]["plate"] = None
    table = build_cohort(**data, **series_inputs()).analysis.set_index("participant_id")
    assert table.loc["0011", "saliva_auc_g_change"] == 1.0
    assert table.loc["0011", "saliva_rise_change_se"] == pytest.approx(math.hypot(1.0, 0.5))


def test_saliva_of_two_platforms_is_not_pooled():
    more = series_inputs()
    more["series"].loc[3, "platform"] = "finished"
    with pytest.raises(InputError, match="would pool platforms"):
        build_cohort(**inputs(), **more)


def test_hair_in_segments_gives_a_slope_of_log_cortisol():
    data = inputs()
    slopes = pd.DataFrame({
        "participant_id": ["0011"], "timepoint": ["t1"], "platform": ["elisa"], "slope": [0.1], "slope_se": [0.02],
    })  # fmt: skip
    data["hair"]["segment_to_cm"] = data["hair"]["segment_from_cm"] + 3
    table = build_cohort(**data, trajectories=slopes).analysis.set_index("participant_id")
    assert table.loc["0011", "log_cortisol_slope"] == 0.1 and math.isnan(table.loc["0021", "log_cortisol_slope"])
    data["hair"]["segment_to_cm"] = 3.0
    assert "log_cortisol_slope" not in build_cohort(**data, trajectories=slopes).analysis


def test_the_flow_says_that_a_plate_failed(cohort):
    parent = cohort.attrition.query("population == 'parent' and chain == 'cortisol' and step == 'cortisol'")
    assert parent.set_index("arm")["reason"].to_dict() == {"control": "NA", "treatment": "hair plate failed quality"}
