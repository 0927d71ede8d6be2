import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hpaxis.moderation import fit
from hpaxis.moderation.apa import apa_note
from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.linear import fit_linear
from hpaxis.moderation.region import johnson_neyman, observed_region, region_table
from hpaxis.moderation.simultaneous import simulated_critical, simultaneous_critical
from hpaxis.problems import InputError


def arms(n=40, seed=1, levels=("control", "treatment")):
    rng = np.random.default_rng(seed)
    arm = np.resize(levels, n)
    x = rng.normal(size=n)
    y = 1 + np.where(arm == levels[0], -0.4, 0.4) * x + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "arm": arm, "age": rng.normal(size=n)})


def problems_of(*args, **kwargs):
    with pytest.raises(InputError) as caught:
        fit(*args, **kwargs)
    return [str(p) for p in caught.value.problems]


def test_slope_in_an_arm_is_the_slope_of_that_arm_alone_and_their_difference_is_the_interaction():
    data = arms()
    result = fit(data, outcome="y", predictor="x", moderator="arm", covariance="OLS")
    slopes = result.slopes.set_index("moderator")
    for arm, part in data.groupby("arm"):
        assert slopes.loc[arm, "estimate"] == pytest.approx(np.polyfit(part["x"], part["y"], 1)[0], rel=1e-10)
    b3 = result.coefficients.set_index("term").loc["x:arm[treatment]", "estimate"]
    assert slopes.loc["treatment", "estimate"] - slopes.loc["control", "estimate"] == pytest.approx(b3, rel=1e-12)
    assert result.slope_differences.loc[0, "estimate"] == pytest.approx(b3, rel=1e-12)


def test_standardised_slope_is_the_raw_slope_in_sd_and_leaves_t_alone():
    data = arms()
    raw = fit(data, outcome="y", predictor="x", moderator="arm")
    z = fit(data, outcome="y", predictor="x", moderator="arm", standardise=["outcome", "predictor"])
    ratio = data["x"].std(ddof=1) / data["y"].std(ddof=1)
    assert (z.slopes["estimate"] / raw.slopes["estimate"]).tolist() == pytest.approx([ratio, ratio])
    assert z.slopes["t"].tolist() == pytest.approx(raw.slopes["t"].tolist())
    ends = raw.region.loc[0, ["low", "high"]].to_numpy(float)
    moved = (ends - data["x"].mean()) / data["x"].std(ddof=1)
    assert z.region.loc[0, ["low", "high"]].tolist() == pytest.approx(moved.tolist())
    assert z.fit.set_index("statistic").loc["sd[x]", "value"] == pytest.approx(data["x"].std(ddof=1))


def test_every_row_is_accounted_for_with_its_reason():
    data = arms()
    data.loc[2, "y"] = np.nan
    data.loc[5, ["x", "age"]] = np.nan
    data.loc[7, "x"] = np.inf
    data.loc[9, "arm"] = None
    result = fit(data, outcome="y", predictor="x", moderator="arm", covariates=["age"])
    used = result.used.set_index("row")
    assert len(used) == len(data)
    assert used.loc[[2, 5, 7, 9], "reason"].tolist() == [
        "missing: y",
        "missing: x, age",
        "not finite: x",
        "missing: arm",
    ]
    assert used["included"].sum() == 36 == result.fit.set_index("statistic").loc["n", "value"]
    assert (used.loc[used["included"], "reason"] == "").all()


def test_reference_is_the_first_category_else_the_first_in_sorted_order_else_as_asked():
    data = arms(levels=("treatment", "control"))
    by_name = fit(data, outcome="y", predictor="x", moderator="arm")
    ordered = data.assign(arm=pd.Categorical(data["arm"], ["treatment", "control", "waiting"]))
    by_category = fit(ordered, outcome="y", predictor="x", moderator="arm")
    asked = fit(data, outcome="y", predictor="x", moderator="arm", reference="treatment")
    assert by_name.design.moderator.levels == ("control", "treatment")
    assert by_category.design.moderator.levels == ("treatment", "control")
    assert by_category.coefficients.equals(asked.coefficients)


def test_statistics_of_the_fit_follow_from_each_other():
    result = fit(arms(), outcome="y", predictor="x", moderator="arm", covariance="OLS")
    s = result.fit.set_index("statistic")
    t = result.coefficients["t"].iloc[-1]
    assert s.loc["f_interaction", "value"] == pytest.approx(t**2)
    assert s.loc["wald_interaction", "value"] == pytest.approx(t**2)
    assert s.loc["f_omnibus", "value"] == pytest.approx(s.loc["wald_omnibus", "value"])
    assert s.loc["f2", "value"] == pytest.approx(s.loc["delta_r2", "value"] / (1 - s.loc["r2", "value"]))


@given(
    st.floats(-3, 3), st.floats(-3, 3), st.floats(0.01, 2), st.floats(0.01, 2), st.floats(-0.99, 0.99),
    st.floats(1.7, 3),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_region_agrees_with_looking_at_every_value(b0, b1, v0, v1, r, t):
    V = np.array([[v0, r * np.sqrt(v0 * v1)], [r * np.sqrt(v0 * v1), v1]])
    low, high, kind = johnson_neyman(np.array([b0, b1]), V, t)
    z = np.linspace(-40, 40, 4001)
    ratio = np.abs(b0 + b1 * z) / np.sqrt(v0 + 2 * z * V[0, 1] + z**2 * v1)
    clear = np.abs(ratio - t) > 1e-9
    inside = (z >= low) & (z <= high)
    expected = {
        "inside": inside, "outside": ~inside, "all": np.ones_like(inside), "none": np.zeros_like(inside),
    }[kind]  # fmt: skip
    assert ((ratio > t) == expected)[clear].all()


@pytest.mark.parametrize(
    ("low", "high", "kind", "seen", "ends", "significant"),
    [
        (2, 4, "inside", "inside", (2, 4), 3),
        (-9, 4, "inside", "inside", (0, 4), 5),
        (-9, 99, "inside", "all", (0, 10), 11),
        (11, 99, "inside", "none", (np.nan, np.nan), 0),
        (2, 4, "outside", "outside", (2, 4), 8),
        (-9, 4, "outside", "above", (4, 10), 6),
        (2, 99, "outside", "below", (0, 2), 2),
        (-9, 99, "outside", "none", (np.nan, np.nan), 0),
        (11, 99, "outside", "all", (0, 10), 11),
        (-99, -9, "outside", "all", (0, 10), 11),
        (np.nan, np.nan, "all", "all", (0, 10), 11),
        (np.nan, np.nan, "none", "none", (np.nan, np.nan), 0),
    ],
)
def test_region_in_sight_of_the_observed_values(low, high, kind, seen, ends, significant):
    result = observed_region(low, high, kind, np.arange(11.0))
    assert result["observed_kind"] == seen
    assert (result["observed_low"], result["observed_high"]) == pytest.approx(ends, nan_ok=True)
    assert result["n_significant"] == significant
    assert result["n_below"] + result["n_between"] + result["n_above"] == 11


def test_region_under_cr2_is_where_the_satterthwaite_interval_touches_zero(cars):
    result = fit(cars, outcome="mpg", predictor="hp", moderator="wt", covariance="CR2", cluster="carb")
    region = result.region.iloc[0]
    again = fit(cars, outcome="mpg", predictor="hp", moderator="wt", covariance="CR2", cluster="carb",
                at=[region["low"], region["high"]])  # fmt: skip
    assert again.slopes["p"].tolist() == pytest.approx([0.05, 0.05], abs=1e-8)


def test_the_interval_of_an_end_is_where_the_t_of_the_slope_is_a_quantile_of_noncentral_t(states):
    spec = {"outcome": "Income", "predictor": "Illiteracy", "moderator": "Murder", "covariance": "HC3"}
    region = fit(states, **spec).region.iloc[0]
    assert region["observed_kind"] == "above" and np.isnan(region["low_from"]) == np.isnan(region["low_to"])
    places = [v for v in (region["low_from"], region["low_to"]) if np.isfinite(v)]
    t = fit(states, **spec, at=places).slopes["t"].abs()
    quantiles = stats.nct.ppf([0.025, 0.975], region["df"], region["critical_t"])
    assert places and region["low_from"] < region["observed_low"] < region["low_to"]
    for value in t:
        assert np.abs(quantiles - value).min() < 1e-6


def test_the_interval_of_an_end_holds_the_true_one():
    # The true end: where the true difference of the arms is the critical t times its true standard error.
    held, rng = [], np.random.default_rng(7)
    for _ in range(150):
        x, arm = rng.normal(size=44), np.resize(["control", "treatment"], 44)
        y = np.where(arm == "treatment", 1.6, -0.6) * x + rng.normal(size=44)
        data = pd.DataFrame({"x": x, "arm": arm, "y": y})
        region = region_table(fit_linear(build_design(data, Spec("y", "x", "arm")), "HC3"))
        X = np.column_stack([np.ones(44), x, arm == "treatment", x * (arm == "treatment")]).astype(float)
        V = np.linalg.inv(X.T @ X)[2:, 2:]
        _, end, kind = johnson_neyman(np.array([0, 2.2]), V, stats.t.isf(0.025, 40))
        row = region.iloc[0]
        if kind == "outside" and row["observed_kind"] in ("outside", "above"):
            high = "high" if row["observed_kind"] == "outside" else "low"
            held.append(row[f"{high}_from"] <= end <= row[f"{high}_to"])
    # 95 %: two binomial standard errors of 150 studies are .036; HC3 at n 44 is slightly wide.
    assert len(held) > 130 and 0.91 <= np.mean(held) <= 1


def test_lines_meet_the_points_when_there_are_covariates():
    result = fit(arms(), outcome="y", predictor="x", moderator="arm", covariates=["age"])
    assert (result.points["outcome_adjusted"] - result.points["outcome"]).mean() == pytest.approx(0, abs=1e-12)
    lines = result.lines[result.lines["moderator"] == "control"]
    points = result.points[result.points["moderator"] == "control"]
    expected = np.interp(points["predictor"], lines["predictor"], lines["estimate"])
    assert (points["outcome_adjusted"] - expected).mean() == pytest.approx(0, abs=1e-9)


def test_names_at_fault_are_told_all_at_once():
    lines = problems_of(arms(), outcome="y", predictor="xx", moderator="arm", covariates=["y", "agee", "arm"])
    assert any("xx" in line and "not a column" in line for line in lines)
    assert any("agee" in line and "did you mean 'age'" in line for line in lines)
    assert any("outcome and a covariate" in line for line in lines)
    assert any("moderator and a covariate" in line for line in lines)


def test_arm_of_three_and_unknown_reference_are_refused():
    data = arms()
    data.loc[[0, 2, 4], "arm"] = "waiting"
    lines = problems_of(data, outcome="y", predictor="x", moderator="arm", reference="placebo")
    assert any("waiting" in line and "3 complete rows" in line for line in lines)
    assert any("placebo" in line and "no row has it" in line for line in lines)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"x": 1.0}, "constant"),
        ({"arm": "control"}, "constant"),
        ({"x": "high"}, "is text"),
    ],
)
def test_constant_or_textual_columns_are_refused(change, what):
    assert any(
        what in line for line in problems_of(arms().assign(**change), outcome="y", predictor="x", moderator="arm")
    )


def test_an_arm_without_error_and_levels_that_are_none_are_refused():
    data, spec = arms(), {"outcome": "y", "predictor": "x", "moderator": "arm"}
    treated = data["arm"] == "treatment"
    exact = data.assign(y=data["y"].where(~treated, 3 * data["x"]))
    assert any("follows the model exactly" in line for line in problems_of(exact, **spec))
    flat = data.assign(y=data["y"].where(~treated, 5.0))
    assert any("y: is constant in arm treatment" in line for line in problems_of(flat, **spec))
    lines = problems_of(data, **spec, alpha=2, margin=-1)
    assert any("is not a level" in line for line in lines) and any("not a smallest slope" in line for line in lines)


def test_predictor_constant_in_one_arm_is_refused():
    data = arms()
    data.loc[data["arm"] == "control", "x"] = 0.3
    lines = problems_of(data, outcome="y", predictor="x", moderator="arm")
    assert lines == [
        "data, x: is constant in arm control, so it has no slope there; choose another predictor or population"
    ]


def test_an_arm_with_one_cluster_is_refused_whoever_is_alone_in_the_other():
    data = arms().assign(therapist=lambda d: np.where(d["arm"] == "control", None, "t1"))
    asked = {"outcome": "y", "predictor": "x", "moderator": "arm", "covariance": "CR2", "cluster": "therapist"}
    assert problems_of(data, **asked) == [
        "data, therapist: has one cluster in arm treatment, so that a slope there has no error between clusters; name "
        "a column with more clusters, or take the cluster out and say what that assumes"
    ]
    some = data.assign(therapist=lambda d: d["therapist"].mask(d.index % 4 == 1, "t2"))
    assert np.isfinite(fit(some, **asked).slope_differences["se"]).all()


def test_a_constant_for_next_to_no_degrees_of_freedom_is_scheffes():
    assert simultaneous_critical(0.2, 0.002, 0.05) == np.sqrt(2 * stats.f.isf(0.05, 2, 0.002)) > 1e100
    assert simultaneous_critical(0.2, 0.5, 0.05) < np.sqrt(2 * stats.f.isf(0.05, 2, 0.5))


def test_outcome_that_leaked_into_a_covariate_under_another_name_is_refused():
    data = arms().assign(total=lambda d: np.exp(d["y"]))
    lines = problems_of(data, outcome="y", predictor="x", moderator="arm", covariates=["total"])
    assert len(lines) == 1
    assert "the same quantity in another form" in lines[0]


def test_collinear_covariates_are_named():
    data = arms().assign(months=lambda d: d["age"] * 12 + 3 * d["x"], noise=np.arange(40) % 7)
    lines = problems_of(data, outcome="y", predictor="x", moderator="arm", covariates=["age", "months", "noise"])
    assert len(lines) == 1
    assert "follows exactly from the other terms" in lines[0]


def test_leverage_near_one_refuses_hc3_but_not_ols():
    data = arms().assign(site=["lone"] + ["main"] * 39)
    lines = problems_of(data, outcome="y", predictor="x", moderator="arm", covariates=["site"])
    assert len(lines) == 1
    assert "hat value of 1.0000" in lines[0]
    assert fit(data, outcome="y", predictor="x", moderator="arm", covariates=["site"], covariance="OLS").design.n == 40


def test_unknown_covariance_and_cr2_without_clusters_are_refused():
    assert "is no covariance" in problems_of(arms(), outcome="y", predictor="x", moderator="arm", covariance="HC9")[0]
    assert "clusters" in problems_of(arms(), outcome="y", predictor="x", moderator="arm", covariance="CR2")[0]


def test_continuous_moderator_at_percentiles_and_values_asked_for(cars):
    by_percentile = fit(cars, outcome="mpg", predictor="hp", moderator="wt", at="percentiles")
    assert by_percentile.slopes["moderator"].tolist() == pytest.approx(np.percentile(cars["wt"], [16, 50, 84]))
    asked = fit(cars, outcome="mpg", predictor="hp", moderator="wt", at=[2, 4])
    b = asked.coefficients.set_index("term")["estimate"]
    assert asked.slopes["estimate"].tolist() == pytest.approx([b["hp"] + 2 * b["hp:wt"], b["hp"] + 4 * b["hp:wt"]])


def test_with_clusters_the_simultaneous_constant_is_the_integral_on_satterthwaites_degrees_of_freedom(cars):
    clustered = fit(cars, outcome="mpg", predictor="hp", moderator="wt", covariance="CR2", cluster="carb").linear
    ends = [clustered.design.slope_contrast(v) for v in (cars["wt"].min(), cars["wt"].max())]
    found = simulated_critical(clustered, *ends, 0.05, seed=1)
    V = np.array(ends) @ clustered.cov.matrix @ np.array(ends).T
    line = np.array([(1 - s) * ends[0] + s * ends[1] for s in np.linspace(0, 1, 21)])
    df = clustered.cov.df(line).min()
    assert found == pytest.approx(simultaneous_critical(V[0, 1] / np.sqrt(V[0, 0] * V[1, 1]), df, 0.05))
    # Never below the t of one value, never above Scheffe's constant of the whole line.
    assert stats.t.isf(0.025, df) <= found <= np.sqrt(2 * stats.f.isf(0.05, 2, df))


def families_of_three_arms(families):
    """60 people of three arms, sorted into families of unequal size."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x": rng.normal(size=60), "z": rng.normal(size=60), "arm": np.resize(["a", "b", "c"], 60)})
    data["k"] = [f"g{v}" for v in np.sort(rng.integers(0, families, 60))]
    return data.assign(y=data["x"] * (data["arm"] == "b") + rng.normal(size=60))


def test_a_joint_test_with_clusters_equals_clubsandwichs_htz():
    """R 4.2.2, clubSandwich: Wald_test(m, constrain_zero(...), vcovCR(m, cluster, "CR2"), test = "HTZ")."""
    asked = {"outcome": "y", "predictor": "x", "moderator": "arm", "covariates": ["z"], "cluster": "k"}
    s = fit(families_of_three_arms(14), **asked, covariance="CR2").fit.set_index("statistic")
    numbers = ["value", "df1", "df2", "p"]
    np.testing.assert_allclose(
        s.loc["wald_interaction", numbers].astype(float), [25.27345906154, 2, 5.32513782343, 0.00191372611], rtol=1e-8
    )
    np.testing.assert_allclose(
        s.loc["wald_omnibus", numbers].astype(float), [3.895139335880, 6, 2.984152037192, 0.146728159523], rtol=1e-8
    )


def test_fewer_clusters_than_a_joint_test_needs_leave_it_out():
    few = fit(families_of_three_arms(4), outcome="y", predictor="x", moderator="arm", covariance="CR2", cluster="k")
    assert few.fit.set_index("statistic").loc["wald_omnibus", ["value", "df2", "p"]].isna().all()
    assert "whole model not tested: too few clusters for 5 coefficients" in apa_note(few.fit, "CR2")
