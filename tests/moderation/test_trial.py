"""Change from baseline, groups, other outcomes and priors: against R, closed forms and known truth."""

import numpy as np
import pandas as pd
import pytest

from hpaxis.moderation import Spec, fit
from hpaxis.moderation.change import change_table
from hpaxis.moderation.compliance import dose_table
from hpaxis.moderation.design import build_design
from hpaxis.moderation.diagnostics import warning_table
from hpaxis.moderation.generalised import fit_generalised, generalised_effects, generalised_table
from hpaxis.moderation.mixed import mixed_table
from hpaxis.moderation.prior import prior_table
from hpaxis.moderation.reliability import corrected_table
from hpaxis.moderation.resample import resampling_table
from hpaxis.moderation.slopes import simultaneous
from hpaxis.moderation.trial import arms_table
from hpaxis.problems import InputError


@pytest.fixture(scope="module")
def trial():
    """200 people, six therapists in the treatment arm only, outcomes of every kind; written out for R as it is."""
    rng = np.random.default_rng(1)
    n = 200
    x = rng.normal(size=n)
    arm = np.where(rng.random(n) < 0.5, "treatment", "control")
    age = rng.normal(size=n)
    t = (arm == "treatment") * 1.0
    eta = -0.3 - 0.8 * x + 0.2 * t + 0.8 * x * t + 0.2 * age
    table = pd.DataFrame({"x": x, "arm": pd.Categorical(arm, ["control", "treatment"]), "age": age})
    table["binary"] = (rng.random(n) < 1 / (1 + np.exp(-eta))) * 1.0
    table["count"] = rng.poisson(np.exp(eta * 0.5 + 1)) * 1.0
    table["ordered"] = np.digitize(eta + rng.logistic(size=n), [-1.5, 0, 1.2]) + 1.0
    table["w"] = rng.uniform(0.5, 2, n)
    seen = rng.integers(0, 6, n)
    table["therapist"] = np.where(arm == "treatment", [f"t{k}" for k in seen], None)
    effect = rng.normal(size=6) * 0.6
    table["score"] = eta + (arm == "treatment") * effect[seen] + rng.normal(size=n)
    return table


def design_of(table, outcome, weights=None):
    return build_design(table, Spec(outcome, "x", "arm", ("age",), weights=weights))


# R 4.2.2: glm with prior weights w / mean(w), sandwich 3.0-2 vcovHC(type = "HC3"); MASS polr with sandwich() times
# sqrt(n / (n - k)). Terms: (Intercept), x, arm[treatment], age, x:arm[treatment]. To 1e-6: convergence of both sides.
R_GLM = {
    ("binary", "weighted"): (
        [-0.276941477066, -0.794567373233, -0.009919761794, 0.478763797098, 0.620165728857],
        [0.2466532821, 0.3417336290, 0.3334900341, 0.1603504817, 0.4223052815],
    ),
    ("count", "weighted"): (
        [0.92315131944, -0.48366902468, -0.01403266055, 0.09369910020, 0.43388721543],
        [0.07965576130, 0.08903252160, 0.11056451525, 0.05071348415, 0.11509570995],
    ),
    # With weights: polr, and the sandwich of each row's weighted likelihood by hand.
    ("ordered", "weighted"): (
        [-0.48715940, 0.88850534, 0.29145669, 0.30042843],
        [0.23694748, 0.29832849, 0.13584431, 0.27586561],
    ),
    ("ordered", "plain"): (
        [-0.4262231484, 0.8530501232, 0.2760757838, 0.2820712131],
        [0.2204789238, 0.2840082726, 0.1308769022, 0.2641118215],
    ),
}


@pytest.mark.parametrize(("kind", "how"), R_GLM)
def test_generalised_models_equal_r(trial, kind, how):
    found = fit_generalised(design_of(trial, kind, "w" if how == "weighted" else None), kind, "HC3")
    estimates, errors = (np.array(v) for v in R_GLM[kind, how])
    k = len(estimates)
    tolerance = 1e-6 if kind != "ordered" else 2e-6
    np.testing.assert_allclose(found.beta[:k], estimates, atol=tolerance)
    np.testing.assert_allclose(np.sqrt(np.diag(found.cov.matrix))[:k], errors, atol=tolerance)


def test_marginal_slopes_of_a_linear_outcome_are_its_coefficients(trial):
    """Identity link: the scale people read and the link are one, and the pairs' difference is the product term."""
    table = generalised_table(fit_generalised(design_of(trial, "score"), "continuous", "HC3"))
    rows = table.set_index(["scale", "quantity"])
    b3 = rows.loc[("identity", "x:arm[treatment]")]
    difference = rows.loc[("outcome", "slope[treatment] - slope[control]")]
    for column in ("estimate", "se", "low", "high"):
        assert difference[column] == pytest.approx(b3[column], rel=1e-6)
    # Unweighted, it is the model that every study fits.
    plain = fit(trial, outcome="score", predictor="x", moderator="arm", covariates=["age"], covariance="HC3")
    own = plain.coefficients.set_index("term").loc["x:arm[treatment]"]
    assert b3["se"] == pytest.approx(own["se"], rel=1e-9)


def test_marginal_slope_of_a_probability_is_the_mean_derivative(trial):
    """b p (1 - p), averaged by hand over all rows moved to each arm."""
    found = fit_generalised(design_of(trial, "binary"), "binary", "HC0")
    rows = generalised_table(found).set_index(["scale", "quantity"])["estimate"]
    b = found.beta
    for arm, t in (("control", 0.0), ("treatment", 1.0)):
        p = 1 / (1 + np.exp(-(b[0] + b[1] * trial["x"] + b[2] * t + b[3] * trial["age"] + b[4] * trial["x"] * t)))
        by_hand = ((b[1] + b[4] * t) * p * (1 - p)).mean()
        assert rows[("probability", f"slope[{arm}]")] == pytest.approx(by_hand, rel=1e-6)
    effects = generalised_effects(found)
    assert effects["value"].is_monotonic_increasing
    assert effects["estimate"].between(-1, 1).all()


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("binary", [0, 1, 2], "is not 0 or 1 everywhere"),
        ("count", [0.5, 1, 2], "is not a count"),
        ("ordered", [1, 1, 2], "has 2 values"),
    ],
)
def test_an_outcome_of_another_kind_is_refused(trial, kind, values, said):
    data = trial.assign(y=np.resize(np.array(values, float), len(trial)))
    with pytest.raises(InputError, match=said):
        fit_generalised(design_of(data, "y"), kind)


def test_separation_is_refused(trial):
    data = trial.assign(y=(trial["x"] > 0) * 1.0)
    with pytest.raises(InputError, match="separated"), np.errstate(all="ignore"):
        fit_generalised(design_of(data, "y"), "binary")


def test_partially_nested_mixed_model_equals_lme4(trial):
    """lme4 1.1-31: lmer(score ~ x * arm + age + (0 + treated | group)), controls each a group of their own.

    Variances and standard errors to 1e-5. lmerTest's degrees of freedom come from the observed information, ours from
    the expected one: 7.32 there, 7.19 here.
    """
    table = mixed_table(design_of(trial, "score"), trial["therapist"]).set_index("quantity")
    assert table["nested_in"].unique().tolist() == ["treatment"]
    assert table["group_variance"].iloc[0] == pytest.approx(0.2662844173, abs=1e-5)
    assert table["residual_variance"].iloc[0] == pytest.approx(0.9357374563, abs=1e-5)
    expected = {"x:arm[treatment]": (0.51237022, 0.15283700), "arm[treatment]": (0.05577275, 0.25394275)}
    for term, (estimate, se) in expected.items():
        assert table.loc[term, "estimate"] == pytest.approx(estimate, abs=1e-5)
        assert table.loc[term, "se"] == pytest.approx(se, abs=1e-5)
    assert table.loc["arm[treatment]", "df"] == pytest.approx(7.31588613, rel=0.05)
    assert "6 groups" in table["note"].iloc[0]


def test_groups_that_differ_by_chance_have_no_variance(trial):
    rng = np.random.default_rng(5)
    group = pd.Series(rng.permutation(np.repeat(np.arange(20), 10)).astype(str), index=trial.index, name="family")
    table = mixed_table(design_of(trial.assign(score=rng.normal(size=200)), "score"), group)
    assert table["icc"].iloc[0] < 0.1
    assert table["icc_low"].iloc[0] < 0 < table["icc_high"].iloc[0]
    assert set(table["nested_in"]) == {"all rows"}


@pytest.mark.parametrize(("group", "said"), [("same", "has 1 groups"), ("own", "a group of its own for each row")])
def test_a_column_that_groups_nobody_has_no_mixed_model(trial, group, said):
    columns = pd.DataFrame({"same": "t1", "own": [f"t{i}" for i in range(len(trial))]}, index=trial.index)
    with pytest.raises(InputError, match=said):
        mixed_table(design_of(trial, "score"), columns[group])


def test_change_by_hand():
    """Four children an arm: means, ANCOVA and reliabilities from their definitions."""
    base = np.array([1.0, 2.0, 3.0, 4.0, 1.5, 2.5, 3.5, 4.5])
    follow = np.array([1.2, 2.1, 3.3, 3.9, 2.5, 3.3, 4.4, 5.8])
    arm = np.repeat(["control", "treatment"], 4)
    table = pd.DataFrame({
        "m": follow, "m_se": 0.3, "m_baseline": base, "m_baseline_se": 0.4, "m_change": follow - base,
        "m_change_se": 0.5,
        "arm": pd.Categorical(arm, ["control", "treatment"]),
    })  # fmt: skip
    rows = change_table(table, "m", kind="OLS").set_index(["quantity", "arm"])
    assert rows.loc[("mean change", "treatment"), "estimate"] == pytest.approx(1.0)
    variance = np.var((follow - base)[4:], ddof=1)
    assert rows.loc[("mean change", "treatment"), "reliability"] == pytest.approx(1 - 0.25 / variance)
    assert rows.loc[("mean at baseline", "control"), "reliability"] == pytest.approx(
        1 - 0.16 / np.var(base[:4], ddof=1)
    )
    X = np.column_stack([np.ones(8), arm == "treatment", base]).astype(float)
    ancova = np.linalg.lstsq(X, follow, rcond=None)[0][1]
    title = "difference at follow-up, adjusted for baseline"
    assert rows.loc[(title, "treatment - control"), "estimate"] == pytest.approx(ancova)


def test_priors_in_closed_form():
    """b .70, se .269 (a published interaction) under N(0, .269): half the precision each, so half the estimate."""
    slopes = pd.DataFrame({"contrast": ["treatment - control"], "estimate": [0.70], "se": [0.269]})
    table = prior_table(slopes, {"sceptical": {"mean": 0.0, "sd": 0.269, "source": "as wide as the data"}})
    rows = table.set_index("prior")
    assert rows.loc["sceptical", "estimate"] == pytest.approx(0.35)
    assert rows.loc["sceptical", "se"] == pytest.approx(0.269 / np.sqrt(2))
    assert rows.loc["sceptical", "share_of_prior"] == pytest.approx(0.5)
    critical = rows.loc["critical sceptical"]
    assert critical["low"] == pytest.approx(0, abs=1e-12)
    assert critical["overturns"]
    # Matthews (2001): the critical prior's 95 % limit is (U - L)^2 / (4 sqrt(U L)) for an interval [L, U].
    low, high = 0.70 - 1.959964 * 0.269, 0.70 + 1.959964 * 0.269
    assert 1.959964 * critical["prior_sd"] == pytest.approx((high - low) ** 2 / (4 * np.sqrt(high * low)), rel=1e-5)


def test_max_t_over_three_equal_arms_is_tukey():
    """Three arms, equal n, equal variance: max-t over the pairs is the studentised range (R: ptukey(3.5, 3, 60))."""
    V = np.array([[2.0, 1, -1], [1, 2, 1], [-1, 1, 2]])
    p, critical = simultaneous(V, np.array([3.5 / np.sqrt(2)] * 3), 60, 0.05)
    assert p == pytest.approx(
        0.042, abs=0.0015
    )  # 1 - ptukey(3.5, 3, 60) = .0420; standard error of 200,000 draws .0005
    assert critical == pytest.approx(3.399 / np.sqrt(2), abs=0.01)  # qtukey(.95, 3, 60) = 3.399


def three_arms():
    rng = np.random.default_rng(9)
    n = 120
    arm, x = np.arange(n) % 3, rng.normal(1, 1, n)
    y = np.array([0.0, 0.5, 1.0])[arm] + np.array([-1.0, -0.5, 0.4])[arm] * x + rng.normal(size=n)
    sessions = np.where(arm == 0, 0, rng.integers(1, 12, n))
    data = pd.DataFrame({"x": x, "y": y, "sessions": sessions, "site": np.where(np.arange(n) % 2, "north", "south")})
    return data.assign(arm=pd.Categorical(np.array(["wait", "group", "home"])[arm], ["wait", "group", "home"]))


# R 4.2.2: emmeans 1.8.4-1 on lm(y ~ x * arm + south) with sandwich 3.0-2 HC3: emmeans, emtrends, their pairs, and p of
# the pairs of slopes with adjust = "mvt" (good to about .0005 on both sides).
R_EMMEANS = {
    ("level", "wait"): (-1.27863218, 0.16202386), ("level", "group"): (0.07026455, 0.14939187),
    ("level", "home"): (1.55538671, 0.13694638), ("difference of levels", "group - wait"): (1.34889672, 0.22051107),
    ("difference of levels", "home - wait"): (2.83401889, 0.21218346), ("slope", "wait"): (-1.20458493, 0.17002254),
    ("difference of levels", "home - group"): (1.48512217, 0.20259003), ("slope", "group"): (-0.66557338, 0.12545468),
    ("slope", "home"): (0.07285443, 0.15935796),
}  # fmt: skip
R_MVT = {"group - wait": 0.03262486, "home - wait": 0.00000052, "home - group": 0.00127024}


def test_three_arms_stand_beside_each_other_as_in_emmeans():
    one = fit(three_arms(), outcome="y", predictor="x", moderator="arm", covariates=["site"])
    table = arms_table(one).set_index(["quantity", "arm"])
    for arm in ("wait", "group", "home"):
        own = one.slopes.set_index("moderator").loc[arm]
        assert table.loc[("slope", arm), "estimate"] == pytest.approx(own["estimate"])
        assert table.loc[("slope", arm), "n"] == 40
    pairs = one.slope_differences.set_index("contrast")
    for name, row in pairs.iterrows():
        found = table.loc[("difference of slopes", name)]
        for column in ("estimate", "se", "p", "p_simultaneous", "low_simultaneous", "high_simultaneous"):
            assert found[column] == pytest.approx(row[column], abs=1e-12)
    for (quantity, arm), (estimate, se) in R_EMMEANS.items():
        assert table.loc[(quantity, arm), "estimate"] == pytest.approx(estimate, abs=1e-6)
        assert table.loc[(quantity, arm), "se"] == pytest.approx(se, abs=1e-6)
    for arm, p in R_MVT.items():
        assert table.loc[("difference of slopes", arm), "p_simultaneous"] == pytest.approx(p, abs=0.0015)


def test_dose_is_read_within_each_arm():
    """Two programmes with doses: each its own model, as on its rows alone; over both, dose would stand for the arm."""
    data = three_arms()
    table = dose_table(data, Spec("y", "x", "arm"), "sessions")
    assert table["arms"].unique().tolist() == ["group", "home"]
    for arm in ("group", "home"):
        alone = fit(data[data["arm"] == arm], outcome="y", predictor="x", moderator="sessions").coefficients
        own = table[table["arms"] == arm]
        np.testing.assert_allclose(own["estimate"], alone["estimate"], rtol=1e-12)
        assert set(own["n"]) == {40}


def test_changes_across_plates_are_held_against_changes_on_one_plate():
    """A shift of the second plate is found where some were measured on one plate; where nobody was, there is no row."""
    rng = np.random.default_rng(12)
    n = 200
    arm = pd.Categorical(np.where(np.arange(n) % 2, "treatment", "control"), ["control", "treatment"])
    across = np.arange(n) % 5 == 0
    base = rng.normal(size=n)
    follow = base + 0.8 * across + 0.3 * (arm == "treatment") + rng.normal(0, 0.5, n)
    table = pd.DataFrame({"m": follow, "m_baseline": base, "m_change": follow - base, "arm": arm,
                          "methylation_plates": np.where(across, "different", "same")})  # fmt: skip
    row = change_table(table, "m").set_index("quantity").loc["difference in change"]
    row = row[row["arm"] == "different plates - same plate"].iloc[0] if isinstance(row, pd.DataFrame) else row
    assert row["low"] < 0.8 < row["high"] and row["low"] > 0.4
    # A weight of two is two rows, of clusters that are whole; a cluster's rows are no independent people.
    some = table.assign(w=np.where(np.arange(n) % 3, 1.0, 2.0))
    twice = pd.concat([some, some[some["w"] == 2]]).reset_index(drop=True)
    weighted, doubled = (
        t.loc[t["arm"] == "different plates - same plate"].iloc[0]
        for t in (change_table(some, "m", weights="w"), change_table(twice, "m"))
    )
    assert weighted["estimate"] == pytest.approx(doubled["estimate"], rel=1e-9) != row["estimate"]
    assert weighted["note"] == "HC3, weighted, given the arm"
    pairs = pd.concat([table.assign(family=np.arange(n))] * 2, ignore_index=True)
    told = change_table(pairs, "m", kind="CR2", cluster="family")
    told = told[told["arm"] == "different plates - same plate"].iloc[0]
    assert told["se"] == pytest.approx(row["se"], rel=0.05) and told["note"] == "CR2, given the arm"
    nobody = change_table(table.assign(methylation_plates="different"), "m")
    assert not (nobody["arm"] == "different plates - same plate").any()


def shared_therapists():
    """60 children: therapists 1-3 treat, 4-5 see controls, 6 sees both arms, and 12 controls see nobody."""
    rng = np.random.default_rng(17)
    n = 60
    arm = np.where(np.arange(n) % 2, "treatment", "control")
    places = {"treatment": [1, 2, 3, 6], "control": [4, 5, 6, 0, 0]}
    seen = np.array([places[a][k % len(places[a])] for k, a in zip(np.arange(n) // 2, arm, strict=True)])
    x = rng.normal(size=n)
    y = 0.5 * x + (arm == "treatment") * (0.3 - 0.4 * x) + rng.normal(0, 0.6, 7)[seen] * (seen > 0)
    therapist = [f"t{s}" if s else f"alone {i}" for i, s in enumerate(seen)]
    return pd.DataFrame({"x": x, "arm": arm, "y": y + rng.normal(size=n), "therapist": therapist})


def test_cr2_with_a_therapist_in_both_arms_and_others_in_one_equals_clubsandwich():
    """R 4.2.2, clubSandwich: coef_test(lm(y ~ x * arm), vcovCR(cluster, "CR2"), "Satterthwaite")."""
    result = fit(
        shared_therapists(), outcome="y", predictor="x", moderator="arm", covariance="CR2", cluster="therapist"
    )
    found = result.coefficients
    np.testing.assert_allclose(found["estimate"], [0.156584664, 0.458366729, -0.141891909, -0.058335319], atol=1e-8)
    np.testing.assert_allclose(found["se"], [0.162704187, 0.099089894, 0.390488479, 0.295937647], atol=1e-8)
    np.testing.assert_allclose(found["df"], [5.793171531, 6.073207496, 6.739264965, 5.774447535], rtol=1e-7)
    drawn = resampling_table(result.linear, 199, 1)
    assert drawn["p"].dropna().between(0, 1).all()
    assert (drawn["failed"] < 100).all()
    corrected = corrected_table(result.linear, np.full(60, 0.3), 100, np.random.default_rng(1))
    assert {"naive", "regression calibration"} <= set(corrected["method"])


def test_controls_without_a_therapist_stay_where_others_have_one():
    """They are clusters of their own, as clubSandwich has them above, and a warning says so."""
    named, asked = shared_therapists(), {"outcome": "y", "predictor": "x", "moderator": "arm"}
    asked |= {"covariance": "CR2", "cluster": "therapist"}
    blank = named.assign(therapist=named["therapist"].mask(named["therapist"].str.startswith("alone")))
    blank = blank.set_index(pd.Index([f"{i:03d}" for i in range(60)], name="participant_id"))
    result = fit(blank, **asked)
    assert result.used["included"].all()
    np.testing.assert_allclose(
        result.coefficients[["estimate", "se", "df"]], fit(named, **asked).coefficients[["estimate", "se", "df"]]
    )
    row = warning_table(result).set_index("code").loc["clusters_of_one"]
    assert row["value"] == 12
    assert row["what"] == "rows of control without therapist are clusters of their own (partial nesting)"
    with pytest.raises(InputError, match="therapist"):
        fit(blank.assign(therapist=None), **asked)


def test_twins_who_share_arm_and_predictor_count_as_their_family():
    """By hand: where nothing varies within pairs, CR2 over the twins is HC2 over the means of the pairs."""
    rng = np.random.default_rng(8)
    family = pd.DataFrame({"x": rng.normal(size=24), "arm": np.resize(["control", "treatment"], 24)})
    twins = family.loc[np.repeat(np.arange(24), 2)].reset_index(names="family")
    twins["y"] = 0.4 * twins["x"] + rng.normal(size=24)[twins["family"]] + 0.5 * rng.normal(size=48)
    means = twins.groupby("family").agg({"x": "first", "arm": "first", "y": "mean"})
    asked = {"outcome": "y", "predictor": "x", "moderator": "arm"}
    together = fit(twins.assign(family=[f"f{k}" for k in twins["family"]]), **asked, covariance="CR2", cluster="family")
    apart = fit(means.reset_index(drop=True), **asked, covariance="HC2")
    for column in ("estimate", "se"):
        np.testing.assert_allclose(together.coefficients[column], apart.coefficients[column], rtol=1e-9)


R_LMER = {"arm[treatment]": (0.05023361, 0.39610753), "x:arm[treatment]": (0.00001703, 0.29997639)}


def test_mixed_model_with_a_therapist_in_both_arms_equals_lme4():
    """R 4.2.2: lmer(y ~ x * arm + (1 | therapist)) without the twelve who see nobody."""
    data = shared_therapists()
    data = data[~data["therapist"].str.startswith("alone")].reset_index(drop=True)
    table = mixed_table(build_design(data, Spec("y", "x", "arm")), data["therapist"]).set_index("quantity")
    assert table["nested_in"].iloc[0] == "all rows"
    for term, (estimate, se) in R_LMER.items():
        assert table.loc[term, "estimate"] == pytest.approx(estimate, abs=2e-5)
        assert table.loc[term, "se"] == pytest.approx(se, abs=2e-5)
