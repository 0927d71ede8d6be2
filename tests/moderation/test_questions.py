"""Further questions: mediation, dose, compliers, multiverse, power, the lock, printed statistics, warnings."""

import json

import numpy as np
import pandas as pd
import pytest

from hpaxis.moderation import fit
from hpaxis.moderation.compliance import complier_table, dose_table
from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.diagnostics import warning_table
from hpaxis.moderation.entries import measured_after
from hpaxis.moderation.influence import influence_table
from hpaxis.moderation.lock import (
    log_path,
    masked_table,
    plan_table,
    read_lock,
    record_run,
    recorded_runs,
    shuffle_arms,
    write_lock,
)
from hpaxis.moderation.mediation import mediation_table, process_model
from hpaxis.moderation.multiverse import multiverse, versions, without_outliers
from hpaxis.moderation.power import design_power, detectable_f2, detectable_table, exact_power, power_table
from hpaxis.moderation.run import run_model
from hpaxis.moderation.statistics_check import check_statistics
from hpaxis.moderation.units import restricted_residuals
from hpaxis.problems import InputError
from hpaxis.schemas import load, with_defaults

ARMS = ["control", "treatment"]


def entry(**changes):
    required = {"outcome": "competence", "predictor": "region_mean_beta"}
    return with_defaults({**required, **changes}, load("config/model"))


def settings(**changes):
    return with_defaults(
        {"draws": 199, "power_draws": 200, "error_draws": 100, "multiverse": {"draws": 199}, **changes},
        load("config/moderation"),
    )


# Mediation and treatment received


def test_paths_of_a_mediation_agree_with_r(cars):
    data = cars.assign(h=cars["hp"] / 100, arm=np.where(cars["cyl"] == 4, "four", "more"))
    design = build_design(data, Spec("mpg", "h", "arm"))
    table = mediation_table(design, data["wt"].to_numpy(), 7, 199, np.random.default_rng(1))
    found = table.drop_duplicates("quantity").set_index("quantity")["estimate"]
    # PROCESS 7: lm(wt ~ four * h), lm(mpg ~ wt + four), four = 1 where cyl is not 4.
    assert found["more on mediator"] == pytest.approx(0.9077181673516121, rel=1e-9)
    assert found["more:h on mediator"] == pytest.approx(0.04838235, rel=1e-6)
    X = np.column_stack([np.ones(32), data["wt"], data["arm"] == "more"]).astype(float)
    b = np.linalg.solve(X.T @ X, X.T @ data["mpg"])
    assert found["mediator on outcome"] == pytest.approx(b[1])
    assert found["direct[more]"] == pytest.approx(b[2])
    assert found["index of moderated mediation[more]"] == pytest.approx(0.04838235 * b[1], rel=1e-6)
    h = data["h"].mean()
    assert found["indirect[more] at mean"] == pytest.approx((0.9077181674 + 0.04838235 * h) * b[1], rel=1e-6)


def test_the_default_mediation_is_process_8_of_the_case_by_hand():
    # One data set by hand: with T x W in the outcome's equation .0953, without W and T x W (PROCESS 7) .0672.
    rng = np.random.default_rng(1)
    treated, w = np.tile([0.0, 1.0], 22), rng.normal(size=44)
    mediator = 0.8 * treated * w + rng.normal(0, 1, 44)
    y = -0.4 * w + 0.8 * treated * w + rng.normal(0, 0.9, 44)
    data = pd.DataFrame({"y": y, "x": w, "arm": np.where(treated == 1, "treatment", "control")})
    design = build_design(data, Spec("y", "x", "arm", reference="control"))
    index = {}
    for model in ("first", 8, 7):
        table = mediation_table(design, mediator, model, 199, np.random.default_rng(1)).set_index("quantity")
        index[model] = table["estimate"]["index of moderated mediation[treatment]"].iloc[0]
    assert round(index["first"], 4) == round(index[8], 4) == 0.0953
    assert round(index[7], 4) == 0.0672
    assert process_model("first", True) == 8


@pytest.mark.parametrize(("stage", "direct", "number"), [
    ("none", False, 4), ("none", True, 5), ("first", False, 7), ("first", True, 8), ("second", False, 14),
    ("second", True, 15), ("both", False, 58), ("both", True, 59),
])  # fmt: skip
def test_conditional_effects_are_those_of_regressions_by_hand(dyads, stage, direct, number):
    """Every PROCESS model against two regressions written out with their own columns."""
    children = dyads[(dyads["role"] == "child") & dyads["competence"].notna()].reset_index(drop=True)
    design = build_design(children, Spec("competence", "age_months", "arm", reference="control"))
    m, w = children["log_cortisol"].to_numpy(float), children["age_months"].to_numpy(float)
    T, y, one = (
        (children["arm"] == "treatment").to_numpy(float),
        children["competence"].to_numpy(float),
        np.ones(len(m)),
    )
    first, second = stage in ("first", "both"), stage in ("second", "both")
    a_columns = {"1": one, "T": T} | ({"W": w, "TW": T * w} if first else {})
    b_columns = {"1": one, "M": m, "T": T}
    b_columns |= {"W": w} if second or direct or not first else {}
    b_columns |= ({"TW": T * w} if direct else {}) | ({"MW": m * w} if second else {})
    a = dict(zip(a_columns, np.linalg.lstsq(np.column_stack(list(a_columns.values())), m, rcond=None)[0], strict=True))
    b = dict(zip(b_columns, np.linalg.lstsq(np.column_stack(list(b_columns.values())), y, rcond=None)[0], strict=True))
    table = mediation_table(design, m, number, 199, np.random.default_rng(1))
    found = table.drop_duplicates("quantity").set_index("quantity")["estimate"]
    at = w.mean()
    indirect = (a["T"] + a.get("TW", 0) * at) * (b["M"] + b.get("MW", 0) * at)
    assert found["indirect[treatment]" + (" at mean" if first or second else "")] == pytest.approx(indirect, rel=1e-6)
    effect = b["T"] + b.get("TW", 0) * at
    assert found["direct[treatment]" + (" at mean" if direct else "")] == pytest.approx(effect, rel=1e-6)
    assert ("index of moderated mediation[treatment]" in found) == (stage in ("first", "second"))


def test_the_mechanism_is_the_indirect_effect_in_each_arm_by_itself(dyads):
    children = dyads[(dyads["role"] == "child") & dyads["competence"].notna()].reset_index(drop=True)
    design = build_design(children, Spec("competence", "region_mean_beta", "arm", reference="control"))
    cortisol = children["log_cortisol"].to_numpy(float)
    table = mediation_table(design, cortisol, "both", 199, np.random.default_rng(1), cause="predictor")
    found = table.drop_duplicates("quantity").set_index("quantity")["estimate"]
    for arm in ARMS:
        own = children["arm"] == arm
        x, m, y = (children.loc[own, c].to_numpy(float) for c in ("region_mean_beta", "log_cortisol", "competence"))
        a = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), m, rcond=None)[0][1]
        b = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x, m]), y, rcond=None)[0]
        assert found[f"indirect[region_mean_beta] at {arm}"] == pytest.approx(a * b[2], rel=1e-6)
        assert found[f"direct[region_mean_beta] at {arm}"] == pytest.approx(b[1], rel=1e-6)


@pytest.mark.parametrize(
    ("mediator", "said"),
    [
        ("four", "is constant"),
        ("in_treatment", "follows from the arm"),
        ("percent", "follows from the arm"),
        ("doubled", "determines the outcome competence"),
        ("ranked", "determines the outcome competence"),
        ("region_mean_m", "orders the rows exactly as the predictor"),
        ("treated_only", "has a value for none of the model's rows in arm control"),
        # Not how many: the warning is shared, and so few people are not counted there.
        ("few_treated", "has a value for fewer than 5 of the model's rows in arm treatment"),
    ],
)
def test_a_mediator_that_cannot_mediate_is_refused_and_the_model_stands(dyads, mediator, said):
    few = dyads.index[(dyads["arm"] == "treatment") & (dyads["role"] == "child")][:3]
    data = dyads.assign(
        four=4.0, in_treatment=(dyads["arm"] == "treatment") * 1.0, percent=100 * dyads["region_mean_beta"] + 3,
        doubled=2 * dyads["competence"] + 1, ranked=np.exp(dyads["competence"] / 10),
        treated_only=dyads["age_months"].where(dyads["arm"] == "treatment"),
        few_treated=dyads["age_months"].where((dyads["arm"] == "control") | dyads.index.isin(few)),
    )  # fmt: skip
    tables = run_model("m", data, entry(mediator=mediator, mechanism=mediator), settings(), ARMS, 1)
    assert len(tables["coefficients"]) == 8
    assert tables["mediation"].empty
    refused = tables["warnings"].query("code == 'part_refused'")["what"]
    assert refused.str.contains(f"{mediator}: {said}").sum() == 2


def test_confounding_that_undoes_the_mediator_makes_its_effect_zero(dyads):
    """A confounder built from both equations' errors, with the stated correlation, takes the mediator's effect away."""
    rng = np.random.default_rng(3)
    treated, m = np.tile([0.0, 1.0], 60), rng.normal(size=120)
    y = 0.5 * m + rng.normal(size=120)
    data = pd.DataFrame({"y": y, "x": rng.normal(size=120), "arm": np.where(treated == 1, "treatment", "control")})
    design = build_design(data, Spec("y", "x", "arm", reference="control"))
    rows = mediation_table(design, m, 4, 199, rng).set_index("quantity")["estimate"]
    r = rows["error correlation that undoes mediator on outcome"]
    # Partial correlation of mediator and outcome given arm and predictor (Imai, Keele & Yamamoto, 2010).
    Z = np.column_stack([np.ones(120), treated, data["x"]])
    e = [v - Z @ np.linalg.lstsq(Z, v, rcond=None)[0] for v in (m, y)]
    assert r == pytest.approx(np.corrcoef(*e)[0, 1])
    # Cinelli and Hazlett (2020): a cause that explains RV of both leaves nothing: RV^2 / (1 - RV) = f^2.
    rv, f2 = rows["robustness value of mediator on outcome"], r**2 / (1 - r**2)
    assert rv**2 / (1 - rv) == pytest.approx(f2)


@pytest.mark.parametrize(("stage", "index"), [("first", 0.3 * 0.5), ("second", 0.5 * 0.4), ("none", None)])
def test_mediation_recovers_its_truth_within_its_intervals(stage, index):
    rng = np.random.default_rng(6)
    n = 2000
    T, x = np.resize([0, 1], n), rng.normal(size=n)
    mediator = 0.5 * T + 0.2 * x + (0.3 * T * x if stage == "first" else 0) + rng.normal(size=n)
    y = 0.5 * mediator + 0.1 * T + (0.4 * mediator * x if stage == "second" else 0) + rng.normal(size=n)
    data = pd.DataFrame({"y": y, "x": x, "arm": np.where(T, "treatment", "control")})
    table = mediation_table(build_design(data, Spec("y", "x", "arm")), mediator, stage, 999, rng)
    table = table.set_index(["method", "quantity"])
    name = "indirect[treatment]" if index is None else "index of moderated mediation[treatment]"
    for method in ("percentile bootstrap", "BCa bootstrap"):
        row = table.loc[(method, name)]
        assert row["low"] < (0.25 if index is None else index) < row["high"]
        assert row["high"] - row["low"] < 0.3
        assert table.loc[(method, "direct[treatment] at mean"), "estimate"] == pytest.approx(0.1, abs=0.12)


def test_complier_effect_agrees_with_ivreg(cars):
    data = cars.assign(arm=np.where(cars["cyl"] == 4, "four", "more"))
    design = build_design(data, Spec("mpg", "hp", "arm"))
    received = cars["am"].to_numpy(float)
    # AER::ivreg(mpg ~ hp + am + hp:am | hp + arm + hp:arm); sandwich::vcovHC(type = "HC1")
    table = complier_table(design, received, "OLS").set_index("term")
    assert table.loc["hp:received", "estimate"] == pytest.approx(-0.166336947610324, rel=1e-9)
    assert table.loc["hp:received", "se"] == pytest.approx(0.354903418590713, rel=1e-9)
    assert complier_table(design, received, "HC1")["se"].tolist() == pytest.approx(
        [39.4994836931034, 0.245517837593128, 58.4848017771719, 0.394554570595428], rel=1e-9
    )
    assert table.loc["received", "first_stage_f"] < 10


def test_complier_effect_under_full_compliance_is_the_intention_to_treat_effect(dyads):
    children = dyads[dyads["role"] == "child"]
    one = fit(children, outcome="competence", predictor="region_mean_beta", moderator="arm")
    received = (one.design.arm == "treatment").astype(float)
    table = complier_table(one.design, received, "HC3").set_index("term")
    expected = one.coefficients.set_index("term")
    assert table.loc["received", "estimate"] == pytest.approx(expected.loc["arm[treatment]", "estimate"])
    assert table.loc["region_mean_beta:received", "se"] == pytest.approx(expected["se"].iloc[-1])
    assert np.isinf(table.loc["received", "first_stage_f"])


def test_treatment_received_that_is_coded_the_wrong_way_round_is_refused(dyads):
    data = dyads.assign(received=(dyads["arm"] == "control").astype(int))
    tables = run_model("m", data, entry(received="received"), settings(), ARMS, 1)
    assert tables["complier"].empty and len(tables["coefficients"]) == 8
    assert tables["warnings"]["what"].str.contains("received: is more common in the reference arm control").any()


def test_dose_is_read_where_it_varies_and_marked_as_not_randomised(dyads):
    children = dyads[dyads["role"] == "child"].copy()
    dose = np.random.default_rng(1).integers(1, 13, len(children))
    children["sessions"] = np.where(children["arm"] == "treatment", dose, 0)
    table = dose_table(children, Spec("competence", "region_mean_beta", "arm"), "sessions")
    assert table["arms"].unique().tolist() == ["treatment"]
    assert not table["randomised"].any()
    assert "region_mean_beta:sessions" in set(table["term"])
    assert table["n"].iloc[0] == children[children["arm"] == "treatment"]["competence"].notna().sum()


# Multiverse


def grid(**changes):
    schema = load("config/moderation")["properties"]["multiverse"]
    return with_defaults({"draws": 199, **changes}, schema)


def test_versions_are_the_whole_grid():
    found = versions(entry(), grid(covariates=[[], ["age_months"]], rows={"girls": {"sex": ["f"]}}))
    assert len(found) == 1 * 2 * 2 * 2 * 3 * 2
    assert len({tuple(c.values()) for c, _ in found}) == len(found)


def test_every_version_is_shown_and_one_is_the_configs_own(dyads):
    curve, joint = multiverse(
        dyads, entry(), grid(covariates=[[], ["competence"]], rows={"girls": {"sex": ["f"]}}), ARMS, settings(), 199, 1
    )
    assert len(curve) == 48
    assert curve["contrast"].dropna().unique().tolist() == ["treatment - control"]
    failed = curve[curve["covariates"] == "competence"]
    assert failed["problem"].notna().all()
    assert failed["estimate"].isna().all()
    own = curve[curve["own"].eq(True)]
    z = fit(
        dyads[dyads["role"] == "child"], outcome="competence", predictor="region_mean_beta", moderator="arm",
        standardise=["outcome", "predictor"],
    ).coefficients.iloc[-1]  # fmt: skip
    assert len(own) == 1
    assert own["estimate"].iloc[0] == pytest.approx(z["estimate"])
    assert own["p"].iloc[0] == pytest.approx(z["p"])
    assert joint["statistic"].tolist() == ["median estimate", "share significant", "mean t"]
    assert joint["versions"].unique().tolist() == [24]
    assert joint["p"].between(1 / 200, 1).all()


def test_joint_p_of_one_version_is_that_of_its_own_wild_bootstrap(dyads):
    one = grid(scales=["beta"], covariances=["HC3"], outliers=["none"])
    curve, joint = multiverse(dyads, entry(), one, ARMS, settings(), 4999, 1)
    assert len(curve) == 1
    # Both hold their level under unequal variances; the simulation error of p is .003.
    for p in joint["p"]:
        assert p == pytest.approx(curve.loc[0, "p"], abs=0.03)


def test_the_multiverse_is_crossed_with_the_models_own_covariates_and_holds_the_model_itself(dyads):
    own = entry(covariates=["log_cortisol"], scale="m_value")
    sets = grid(covariates=[[], ["age_months"], ["age_months", "sex"]], predictors=["region_mean_beta"])
    curve, _ = multiverse(dyads, own, sets, ARMS, settings(), 199, 1)
    assert curve["covariates"].str.contains("log_cortisol").all()
    assert curve["covariates"].unique().tolist() == [
        "log_cortisol", "log_cortisol, age_months", "log_cortisol, age_months, sex",
    ]  # fmt: skip
    ringed = curve[curve["own"].eq(True)]
    z = fit(
        dyads[dyads["role"] == "child"], outcome="competence", predictor="region_mean_m", moderator="arm",
        covariates=["log_cortisol"], standardise=["outcome", "predictor"],
    ).coefficients.iloc[-1]  # fmt: skip
    assert len(ringed) == 1
    assert ringed["p"].iloc[0] == pytest.approx(z["p"])
    assert set(curve["covariance"]) == {"HC3", "HC4"}


def test_a_clustered_model_keeps_its_clusters_in_every_version(dyads):
    children = dyads.assign(family=[f"f{i // 4}" for i in range(len(dyads))])
    curve, joint = multiverse(children, entry(covariance="CR2", cluster="family"), grid(), ARMS, settings(), 499, 1)
    assert set(curve["covariance"]) == {"CR2"}
    assert curve["own"].eq(True).sum() == 1
    row = joint.set_index("statistic").loc["mean t"]
    assert row["p"] == pytest.approx(curve["p"].iloc[0], abs=0.15)


def test_with_clusters_one_version_has_the_p_of_its_own_satterthwaite_test(dyads):
    # Nine families in an arm and people on their own in the other: a wild bootstrap alone rejects too often there.
    children = dyads[dyads["role"] == "child"]
    family = np.where(children["arm"] == "treatment", [f"f{i // 5}" for i in range(len(children))], None)
    one = grid(scales=["beta"], outliers=["none"])
    curve, joint = multiverse(
        children.assign(family=family), entry(covariance="CR2", cluster="family"), one, ARMS, settings(), 4999, 1
    )
    assert len(curve) == 1
    # Ranks of 4,999 draws: two simulation errors of a p of .5 are .014.
    assert joint["p"].to_list() == pytest.approx([curve.loc[0, "p"]] * 3, abs=0.015)


def test_a_clusters_residuals_are_those_of_the_fit_without_it(dyads):
    children = dyads[dyads["role"] == "child"].dropna(subset=["competence"])
    family = np.array([f"f{i // 4}" for i in range(len(children))])
    data = children.assign(family=family)
    design = build_design(data, Spec("competence", "region_mean_beta", "arm", reference="control", cluster="family"))
    product = np.eye(4)[design.interactions]
    found = restricted_residuals(design, product, 1.0)
    X = np.delete(design.X, design.interactions, axis=1)
    for name in np.unique(family):
        inside = family == name
        beta = np.linalg.lstsq(X[~inside], design.y[~inside], rcond=None)[0]
        np.testing.assert_allclose(found[inside], design.y[inside] - X[inside] @ beta, rtol=1e-9)


def test_every_pair_of_arms_has_its_own_joint_test(dyads):
    three = dyads.assign(arm=np.resize(["a", "b", "c"], len(dyads)))
    curve, joint = multiverse(three, entry(), grid(scales=["beta"]), ["a", "b", "c"], settings(), 199, 1)
    assert joint["contrast"].unique().tolist() == ["b - a", "c - a", "c - b"]
    assert curve["contrast"].unique().tolist() == ["b - a", "c - a", "c - b"]


def test_outliers_are_dropped_or_pulled_in():
    data = pd.DataFrame({"y": [*np.zeros(20), 1.0, 50.0]})
    limit = data["y"].mean() + 3 * data["y"].std(ddof=1)
    assert without_outliers(data, ["y"], "winsorise")["y"].max() == pytest.approx(limit)
    assert without_outliers(data, ["y"], "drop_3sd")["y"].isna().sum() == 1
    assert without_outliers(data, ["y"], "none") is data


# Power


def test_exact_power_at_n_44_is_that_of_the_noncentral_f():
    # The design's figures (lambda = f2 n, F(1, 40)): f2 .05, .10, .15 and the effect that 80 % need.
    assert [round(exact_power(f2, 44, 4), 2) for f2 in (0.05, 0.10, 0.15)] == [0.30, 0.53, 0.71]
    assert round(detectable_f2(44, 4), 3) == 0.187


def test_simulated_power_agrees_with_exact_power_where_theory_holds():
    table = design_power([22, 22], 4000, seed=1, kind="OLS")
    # Three simulation errors, and a random predictor in place of a fixed one.
    assert (np.abs(table["power"] - table["exact"]) < 3 * table["se"] + 0.015).all()
    worse = design_power([22, 22], 1000, seed=1, kind="HC3", reliability=0.6, skewed=True)
    assert (worse["power"] < table["power"]).all()
    three = design_power([20, 20, 20], 500, seed=1, covariates=2)
    assert three["n"].unique().tolist() == [60]


def test_power_of_the_data_at_hand_falls_with_reliability(dyads):
    one = fit(
        dyads[dyads["role"] == "child"], outcome="competence", predictor="region_mean_beta", moderator="arm"
    ).linear
    full, poor = power_table(one, 1000, 1), power_table(one, 1000, 1, reliability=0.5)
    assert poor["power"].mean() < full["power"].mean() - 0.1
    assert full.equals(power_table(one, 1000, 1))
    found = detectable_table(full, 42, 4, 1, 0.05).loc[0]
    assert found["f2_exact"] == pytest.approx(detectable_f2(42, 4))
    assert found["f2_simulated"] > found["f2_exact"]


# The lock


def test_what_was_locked_is_confirmatory_and_anything_else_is_not(tmp_path):
    path = tmp_path / "plan.lock.json"
    locked_settings = settings(lock=str(path))
    before = plan_table("m", entry(), locked_settings, ARMS, read_lock(path)).loc[0]
    assert (before["status"], before["masked"]) == ("masked", True)
    write_lock(path, {"m": entry()}, locked_settings, ARMS)
    locked = read_lock(path)
    status = {
        name: plan_table(model, changed, locked_settings, arms, locked).loc[0, "status"]
        for name, model, changed, arms in [
            ("same", "m", entry(), ARMS),
            ("retitled", "m", entry(title="Competence"), ARMS),
            ("other covariance", "m", entry(covariance="OLS"), ARMS),
            ("other reference", "m", entry(), ARMS[::-1]),
            ("new model", "n", entry(), ARMS),
        ]
    }
    assert status == {
        "same": "confirmatory", "retitled": "confirmatory", "other covariance": "exploratory",
        "other reference": "exploratory", "new model": "exploratory",
    }  # fmt: skip
    assert plan_table("m", entry(), settings(), ARMS, None).loc[0, "status"] == "exploratory"
    with pytest.raises(InputError, match="exists already"):
        write_lock(path, {"m": entry()}, locked_settings, ARMS)


FACTS = {"study": "Mine", "settings": {"seed": "1", "methylation": "m"}, "inputs": {"participants": "p"}, "code": "1.0"}


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({}, "confirmatory", "as they were locked"),
        ({"inputs": {"participants": "edited"}}, "data changed after the lock", "participants"),
        ({"settings": {"seed": "2", "methylation": "m"}}, "exploratory", "settings differ from what was locked: seed"),
        ({"settings": {"seed": "1", "methylation": "x"}}, "exploratory", "methylation"),
        ({"study": "Yours"}, "exploratory", "the lock is of another study, Mine"),
        ({"code": "2.0"}, "exploratory", "hpaxis 2.0 ran, 1.0 was locked"),
    ],
)
def test_a_lock_binds_sheets_settings_study_and_version(tmp_path, changed, status, said):
    path = tmp_path / "plan.lock.json"
    asked = settings(lock=str(path))
    write_lock(path, {"m": entry()}, asked, ARMS, FACTS)
    row = plan_table("m", entry(), asked, ARMS, read_lock(path), FACTS | changed).loc[0]
    assert row["status"] == status
    assert said in row["reason"]


def test_a_change_of_the_model_is_named_and_a_new_key_at_its_default_is_none(tmp_path):
    path = tmp_path / "plan.lock.json"
    asked = settings(lock=str(path))
    write_lock(path, {"m": entry()}, asked, ARMS, FACTS)
    row = plan_table("m", entry(covariates=["age_months"]), asked, ARMS, read_lock(path), FACTS).loc[0]
    assert row["reason"] == "the model differs from what was locked: covariates"
    less = {k: v for k, v in entry().items() if k != "mechanism"}
    assert plan_table("m", less, asked, ARMS, read_lock(path), FACTS).loc[0, "status"] == "confirmatory"


def test_a_plan_locked_after_an_unmasked_run_is_not_confirmatory(tmp_path):
    path = tmp_path / "plan.lock.json"
    asked = settings(lock=str(path))
    for _ in range(2):
        record_run(path, "m", "exploratory", "hash", "Mine")
    write_lock(path, {"m": entry()}, asked, ARMS, FACTS, recorded_runs(path))
    row = plan_table("m", entry(), asked, ARMS, read_lock(path), FACTS).loc[0]
    assert row["status"] == "locked after results existed"
    assert row["reason"].startswith("2 unmasked runs")
    plan = path.with_suffix(".md").read_text(encoding="utf-8")
    assert "# Plan of analysis: Mine" in plan and "nothing here is confirmatory" in plan
    assert "- outcome: competence" in plan


def test_the_log_of_runs_only_grows(tmp_path):
    path = tmp_path / "plan.lock.json"
    for model in ("a", "b", "c"):
        record_run(path, model, "confirmatory", "hash", "Mine")
    log = log_path(path)
    lines = log.read_text(encoding="utf-8").splitlines()
    assert recorded_runs(path) == 3
    log.write_text("\n".join([lines[0], lines[2]]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="only grows"):
        recorded_runs(path)


def test_plans_that_decide_nothing_are_refused(tmp_path):
    with pytest.raises(InputError, match="no model"):
        write_lock(tmp_path / "a.json", {}, settings(lock="a"), ARMS)
    two = {"a": entry(), "b": entry(outcome="log_cortisol")}
    with pytest.raises(InputError, match="none of them primary"):
        write_lock(tmp_path / "a.json", two, settings(lock="a"), ARMS)


def test_a_mask_takes_along_what_tells_the_arm(dyads):
    rng = np.random.default_rng(1)
    treated = dyads["arm"] == "treatment"
    by_dyad = dict(zip(dyads["dyad_id"].unique(), rng.normal(size=dyads["dyad_id"].nunique()), strict=True))
    table = dyads.assign(
        sessions=np.where(treated, 8, 0),
        clinic=np.where(treated, "north", "south"),
        trait=dyads["dyad_id"].map(by_dyad),
    )
    asked = entry(moderator="trait", dose="sessions", covariates=["clinic", "age_months"])
    masked = shuffle_arms(table, 3, asked)
    for column in ("arm", "sessions", "clinic", "trait"):
        assert not masked[column].equals(table[column]), column
    assert masked["age_months"].equals(table["age_months"])
    # What told the arm tells the shuffled one: nobody's own arm can be read from the masked table.
    assert ((masked["sessions"] > 0) == (masked["arm"] == "treatment")).all()
    assert ((masked["clinic"] == "north") == (masked["arm"] == "treatment")).all()


def test_a_damaged_lock_is_refused(tmp_path):
    path = tmp_path / "plan.lock.json"
    path.write_text(json.dumps(["m"]), encoding="utf-8")
    with pytest.raises(InputError, match="is not a plan lock"):
        read_lock(path)
    assert read_lock(None) is None


def test_masking_shuffles_arms_between_dyads_and_keeps_numbers(dyads):
    shuffled = shuffle_arms(dyads, seed=3)
    assert not shuffled["arm"].equals(dyads["arm"])
    assert (shuffled.groupby("dyad_id")["arm"].nunique() == 1).all()
    assert shuffled["arm"].value_counts().to_dict() == dyads["arm"].value_counts().to_dict()
    assert shuffled.drop(columns="arm").equals(dyads.drop(columns="arm"))
    assert shuffled.equals(shuffle_arms(dyads, seed=3))


def test_a_masked_studys_table_does_not_tell_who_is_in_which_arm(dyads):
    rng = np.random.default_rng(4)
    treated = (dyads["arm"] == "treatment").to_numpy()
    table = dyads.assign(
        sessions=np.where(treated, rng.integers(3, 12, len(dyads)), 0), therapist=np.where(treated, "Ann", None),
        mood=rng.normal(size=len(dyads)),
    )  # fmt: skip
    # Two equal values in one arm are chance: that column stays with its people.
    table.loc[table.index[treated][[0, 4]], "mood"] = 0.5
    masked = masked_table(table, 7)
    moved = (masked["arm"] != table["arm"]).mean()
    assert 0.25 < moved < 0.75
    assert masked["arm"].value_counts().to_dict() == table["arm"].value_counts().to_dict()
    # The columns that tell the arm tell the shuffled one.
    assert ((masked["sessions"] > 0) == (masked["arm"] == "treatment")).all()
    assert (masked["therapist"].notna() == (masked["arm"] == "treatment")).all()
    own = ["participant_id", "dyad_id", "role", "mood", "competence", "region_mean_beta"]
    assert masked[own].equals(table[own])


def test_a_masked_run_says_so_and_does_not_show_the_real_slopes(dyads, tmp_path):
    real = run_model("m", dyads, entry(), settings(), ARMS, 1)
    masked = run_model("m", dyads, entry(), settings(lock=str(tmp_path / "none.json")), ARMS, 1, locked=None)
    assert masked["plan"].loc[0, "status"] == "masked"
    assert masked["slopes"]["estimate"].tolist() != pytest.approx(real["slopes"]["estimate"].tolist())


def test_everything_that_an_entry_can_ask_has_its_table(dyads):
    rng = np.random.default_rng(2)
    data = dyads.assign(
        sessions=np.where(dyads["arm"] == "treatment", rng.integers(1, 13, len(dyads)), 0),
        received=(dyads["arm"] == "treatment") & (rng.random(len(dyads)) < 0.7),
        sensitivity=rng.normal(size=len(dyads)),
        region_mean_beta_se=0.003,
    )
    asked = entry(
        family=["region_mean_beta", "region_mean_m"], mediator="sensitivity", dose="sessions", received="received",
        impute=True,
    )  # fmt: skip
    tables = run_model("m", data, asked, settings(), ARMS, 1)
    for name, table in tables.items():
        assert list(table.columns) == list(load(f"moderation_{name}.schema")["properties"]), name
    for name in ("family", "mediation", "dose", "complier", "reliability", "imputations"):
        assert len(tables[name]), name
    assert tables["mediation"]["n"].unique().tolist() == [42]


# Printed statistics


PUBLISHED = [
    {"name": "omnibus", "F": "5.94", "df1": "3", "df2": "40", "p": ".05", "R2": ".17"},
    {"name": "interaction", "F": "6.77", "df1": "1", "df2": "40", "p": ".013", "dR2": ".14", "R2": ".17", "b": ".70",
     "difference_of": "treatment, control"},
    {"name": "control", "b": "-.37", "df": "40", "p": ".03"},
    {"name": "treatment", "b": ".33", "df": "40", "p": "> .1"},
]  # fmt: skip


def test_published_omnibus_f_contradicts_its_own_r2_and_p():
    table = check_statistics(PUBLISHED)
    omnibus = table[table["claim"] == "omnibus"].set_index(["statistic", "from"])
    from_r2 = omnibus.loc[("F", "R2, df1, df2")]
    assert (round(from_r2["recomputed"], 2), from_r2["verdict"]) == (2.73, "contradicts")
    p = omnibus.loc[("p", "R2, df1, df2")]
    assert (round(p["recomputed"], 3), p["verdict"]) == (0.056, "agrees")
    assert omnibus.loc[("p", "F, df1, df2"), "verdict"] == "contradicts"
    assert omnibus.loc[("R2", "F, df1, df2"), "verdict"] == "contradicts"


def test_published_interaction_agrees_with_itself_and_implies_its_errors():
    table = check_statistics(PUBLISHED)
    interaction = table[table["claim"] == "interaction"]
    assert set(interaction["verdict"]) == {"agrees", "implied"}
    implied = table[(table["statistic"] == "SE")].drop_duplicates("claim").set_index("claim")["recomputed"]
    assert implied.round(3).to_dict() == {"interaction": 0.269, "control": 0.164, "treatment": 0.213}


def test_a_one_sided_p_is_called_one():
    # Printed one-tailed p = .04; the two-sided one is .089 (t of 1.741 on 40 df, say).
    row = check_statistics([{"name": "language", "t": "1.74", "df": "40", "p": ".04"}]).iloc[0]
    assert row["verdict"] == "contradicts: agrees as a one-sided p"
    assert row["recomputed"] == pytest.approx(0.0896, abs=1e-3)


def test_intervals_and_rounding_are_checked():
    table = check_statistics([{"b": "0.50", "SE": "0.10", "df": "40", "low": "0.30", "high": "0.80", "p": "< .001"}])
    verdicts = table.set_index("statistic")["verdict"]
    assert verdicts["low"] == "agrees"
    assert verdicts["high"] == "contradicts"
    assert verdicts["p"] == "agrees"
    assert table.set_index("statistic").loc["high", "recomputed"] == pytest.approx(0.5 + 2.021075 * 0.1, abs=1e-5)


def test_cells_that_are_no_numbers_are_all_named():
    with pytest.raises(InputError) as caught:
        check_statistics(
            pd.DataFrame([{"F": "about 5", "df1": "1", "df2": "40"}, {"F": "n.s.", "df1": "1", "df2": "40"}])
        )
    assert [p.row for p in caught.value.problems] == [1, 2]


# Warnings


def codes(data, **changes):
    one = fit(data, **{"outcome": "y", "predictor": "x", "moderator": "arm", **changes})
    return set(warning_table(one, influence_table(one.linear))["code"])


def quiet(n=80, seed=2):
    rng = np.random.default_rng(seed)
    arm = np.resize(["control", "treatment"], n)
    x = rng.permutation(np.linspace(-1.5, 1.5, n))
    return pd.DataFrame({"x": x, "arm": arm, "y": x * (arm == "treatment") + 0.3 * rng.normal(size=n)})


def test_sound_data_warn_only_of_what_cannot_be_tested():
    assert codes(quiet()) == {"predictor_after_randomisation"}


def test_slopes_where_nobody_is_get_a_warning(dyads):
    skewed = dyads[dyads["role"] == "child"].assign(w=lambda d: np.exp(np.linspace(0, 6, len(d))))
    asked = {"outcome": "competence", "predictor": "region_mean_beta", "moderator": "w"}
    assert "slopes_outside" in set(warning_table(fit(skewed, **asked))["code"])  # the mean less one SD is below 0
    assert "slopes_outside" not in set(warning_table(fit(skewed, **asked, at="percentiles"))["code"])


def test_only_what_the_pipeline_measured_is_said_to_be_measured_after_the_arms_were_drawn():
    columns = [
        "y",
        "y_m",
        "y_se",
        "income_fraction",
        "region_mean_beta",
        "region_mean_m",
        "region_mean_beta_se",
        "log_cortisol",
    ]
    after = {c for c in columns if measured_after(c, settings() | {"after_randomisation": ["stress"]}, columns)}
    assert after == {"region_mean_beta", "region_mean_m", "region_mean_beta_se", "log_cortisol"}
    assert measured_after("stress", settings() | {"after_randomisation": ["stress"]}, columns)
    mixed = [
        "epithelial_fraction",
        "epithelial_fraction_se",
        "saliva_log_auc_g",
        "parent_saliva_awakening",
        "saliva_rise",
    ]
    assert all(measured_after(c, settings(), mixed) for c in mixed)
    assert not any(measured_after(c, settings(), mixed) for c in ("saliva_days", "saliva_flow", "income_fraction"))


def test_each_trouble_has_its_warning():
    data = quiet()
    assert "predictor_depends_on_moderator" in codes(data.assign(x=data["x"] + (data["arm"] == "control")))
    assert "skewed_predictor" in codes(data.assign(x=np.exp(2 * data["x"])))
    assert "rows_left_out" in codes(data.assign(y=data["y"].where(data.index > 3)))
    uneven = data.assign(y=data["y"] * np.exp(data["x"]))
    assert "unequal_variance" in codes(uneven, covariance="OLS")
    one = warning_table(fit(uneven, outcome="y", predictor="x", moderator="arm")).set_index("code")
    assert "compare HC4" in one.loc["unequal_variance", "remedy"]
    far = data.copy()
    far.loc[0, "x"] = 40.0
    assert "high_leverage" in codes(far)
    one = fit(data, outcome="y", predictor="x", moderator="arm")
    by_arm = pd.DataFrame({"arm": ["all", "control", "treatment"], "reliability": [0.7, 0.9, 0.5]})
    assert "reliability_by_arm" in set(warning_table(one, reliability=by_arm)["code"])
    # Two mirrored arms have no interaction; a shift of one row makes a tiny one that a neighbour can turn.
    mirrored = quiet(40).assign(y=np.random.default_rng(15).normal(size=40), x=np.repeat(np.linspace(-1, 1, 20), 2))
    mirrored.loc[1::2, "y"] = mirrored.loc[::2, "y"].to_numpy()
    mirrored.loc[0, "y"] += 0.1
    assert "sign_flips" in codes(mirrored)
