"""Influence, measurement error, imputation, censoring: against refits, R, and known truth."""

import numpy as np
import pandas as pd
import pytest

from hpaxis.moderation import fit
from hpaxis.moderation.censored import fit_tobit
from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.imputation import PooledCovariance, fit_imputed, impute
from hpaxis.moderation.influence import influence_table, region_without_table
from hpaxis.moderation.linear import fit_linear
from hpaxis.moderation.region import region_table
from hpaxis.moderation.reliability import (
    calibrate,
    corrected_table,
    reliability_from_replicates,
    reliability_table,
    with_predictor,
)
from hpaxis.moderation.sensitivity import censored_cases, quantity_table, sensitivity, substitute_limits, tobit_fit
from hpaxis.schemas import load, with_defaults

SPEC = Spec("y", "x", "arm")


def study(n=60, slopes=(-0.4, 0.4), noise=1.0, seed=5):
    rng = np.random.default_rng(seed)
    arm = np.resize(["control", "treatment"], n)
    x = rng.normal(size=n)
    y = 1 + np.where(arm == "control", *slopes) * x + noise * rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "arm": arm, "z": 0.6 * x + rng.normal(size=n)})


def test_leaving_a_row_out_in_closed_form_is_refitting_without_it():
    data = study(30)
    one = fit(data, outcome="y", predictor="x", moderator="arm")
    table, regions = influence_table(one.linear), region_without_table(one.linear)
    for i in (0, 7, 29):
        other = fit(data.drop(index=i), outcome="y", predictor="x", moderator="arm")
        b3 = other.coefficients.iloc[-1]
        assert table.loc[i, "estimate_without"] == pytest.approx(b3["estimate"], rel=1e-9)
        assert table.loc[i, "se_without"] == pytest.approx(b3["se"], rel=1e-9)
        expected = other.region.loc[0, ["low", "high"]].to_numpy(float)
        assert regions.loc[i, ["low", "high"]].to_numpy(float) == pytest.approx(expected, rel=1e-8, nan_ok=True)


def test_a_row_that_makes_the_interaction_is_found():
    data = study(30, slopes=(0.0, 0.0), noise=0.3)
    data.loc[1, ["x", "y"]] = [6.0, 9.0]
    table = influence_table(fit(data, outcome="y", predictor="x", moderator="arm").linear)
    worst = table.loc[table["cooks_d"].idxmax()]
    assert worst["row"] == 1
    assert set(worst["flags"].split(";")) >= {"leverage", "cook", "dfbetas"}


def test_a_row_without_which_the_model_cannot_stand_has_no_error_left():
    data = study(30).assign(site=["lone"] + ["main"] * 29)
    one = fit(data, outcome="y", predictor="x", moderator="arm", covariates=["site"], covariance="OLS")
    table = influence_table(one.linear)
    assert np.isnan(table.loc[0, "se_without"])
    assert 0 not in set(region_without_table(one.linear)["row"])


def test_reliability_and_corrected_slopes_recover_the_truth():
    data = study(6000, noise=0.5)
    rng = np.random.default_rng(1)
    error = np.where(data["arm"] == "control", 0.5, 0.8)
    measured = data.assign(x=data["x"] + error * rng.normal(size=len(data)))
    one = fit(measured, outcome="y", predictor="x", moderator="arm").linear
    table = reliability_table(one.design, error).set_index("arm")["reliability"]
    # 1 / (1 + error variance); the sampling error of a variance at n = 3,000 is 2.6 %.
    assert table["control"] == pytest.approx(1 / 1.25, abs=0.02)
    assert table["treatment"] == pytest.approx(1 / 1.64, abs=0.02)
    table = corrected_table(one, error, 100, rng)
    slopes = table.set_index(["method", "quantity"])["estimate"]
    assert slopes["naive", "slope[control]"] == pytest.approx(-0.32, abs=0.03)
    assert slopes["regression calibration", "slope[control]"] == pytest.approx(-0.4, abs=0.03)
    assert slopes["regression calibration", "slope[treatment]"] == pytest.approx(0.4, abs=0.04)
    # The quadratic extrapolant falls short at a reliability of .61, and more in one arm than in the other: withheld.
    assert np.isnan(slopes["SIMEX", "slope[treatment]"])
    notes = table.set_index("method")["note"]
    assert notes["SIMEX"].iloc[0].startswith("withheld: the reliability differs by arm (0.6")
    alike = data.assign(x=data["x"] + 0.5 * rng.normal(size=len(data)))
    two = fit(alike, outcome="y", predictor="x", moderator="arm").linear
    slopes = corrected_table(two, np.full(6000, 0.45), 100, rng).set_index(["method", "quantity"])["estimate"]
    assert slopes["SIMEX", "slope[treatment]"] == pytest.approx(0.385, abs=0.03)
    assert slopes["naive", "slope[treatment]"] == pytest.approx(0.4 / 1.25, abs=0.03)


def test_regression_calibration_is_left_out_where_error_leaves_nothing():
    one = fit(study(), outcome="y", predictor="x", moderator="arm").linear
    assert corrected_table(one, np.full(60, 5.0), 20, np.random.default_rng(1))["method"].unique().tolist() == ["naive"]


def test_calibrated_slopes_are_right_on_average_at_a_reliability_of_40_percent():
    # 100 people an arm: dividing by the estimated reliability alone is 9 % too large on average, and has no mean.
    rng, slopes = np.random.default_rng(3), []
    design = build_design(study(200), Spec("y", "x", "arm"))
    for _ in range(800):
        x, error = rng.normal(size=200), np.sqrt(1.5) * np.sqrt(rng.gamma(8, 1 / 8, 200))
        known = calibrate(with_predictor(design, x + error * rng.normal(size=200)), error)
        if known is not None:
            y = 0.9 * x + 0.6 * rng.normal(size=200)
            slopes += [
                np.polyfit(known[design.arm == a], y[design.arm == a], 1)[0] / 0.9 for a in design.moderator.levels
            ]
    # 1,600 slopes whose SD is .25 give their mean to .006; .004 is left to the second order.
    assert len(slopes) > 1550 and np.mean(slopes) == pytest.approx(1, abs=0.025)


def test_corrected_error_has_the_size_that_repeated_studies_show():
    rng = np.random.default_rng(7)
    estimates, errors = [], []
    for i in range(40):
        data = study(120, seed=i)
        data["x"] += 0.5 * rng.normal(size=120)
        one = fit_linear(build_design(data, SPEC), "HC3")
        table = corrected_table(one, np.full(120, 0.5), 40, rng).set_index(["method", "quantity"])
        estimates.append(table["estimate"].xs("x:arm[treatment]", level="quantity"))
        errors.append(table["se"].xs("x:arm[treatment]", level="quantity"))
    spread, stated = pd.DataFrame(estimates).std(), pd.DataFrame(errors).mean()
    # 40 studies give the spread to 11 %; stated errors within 35 % of it.
    for method in ("regression calibration", "SIMEX"):
        assert stated[method] == pytest.approx(spread[method], rel=0.35)


def test_replicates_give_the_intraclass_correlation():
    # Variance 4 between and 1 within: ICC(1,1) = .8; 2,000 participants measured twice give it to .01.
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(2000), 2)
    values = 2 * rng.normal(size=2000)[person] + rng.normal(size=4000)
    reliability, error = reliability_from_replicates(values, person)
    assert reliability == pytest.approx(0.8, abs=0.02)
    assert error == pytest.approx(1.0, abs=0.03)


def test_rubins_rules_agree_with_mice():
    q, u = np.array([1.1, 0.9, 1.4, 1.2, 0.7]), np.array([0.20, 0.25, 0.22, 0.18, 0.24])
    pooled = PooledCovariance("OLS", np.array([[u.mean()]]), np.array([[q.var(ddof=1)]]), 5, 40)
    # mice::pool.scalar(q, u, n = 44, k = 4): t and df
    assert pooled.matrix[0, 0] == pytest.approx(0.3056, rel=1e-12)
    assert pooled.df(np.eye(1))[0] == pytest.approx(17.4528082455913, rel=1e-12)
    none = PooledCovariance("OLS", np.array([[0.2]]), np.array([[0.0]]), 5, 40)
    assert none.df(np.eye(1))[0] == pytest.approx(41 / 43 * 40)


def test_imputation_recovers_slopes_that_complete_cases_miss():
    data = study(4000, slopes=(-0.5, 0.5))
    # The outcome is missing where z is high: complete cases are fine for y on x, so make x missing by y instead.
    gone = np.random.default_rng(1).random(4000) < 1 / (1 + np.exp(-2 * (data["y"] - 1)))
    data.loc[gone, "x"] = np.nan
    complete = fit(data, outcome="y", predictor="x", moderator="arm").slopes["estimate"]
    pooled, made = fit_imputed(data, SPEC, "HC3", 5, np.random.default_rng(2), auxiliary=["z"])
    slopes = quantity_table(pooled).set_index("quantity")["estimate"]
    assert abs(complete[0] + 0.5) > 0.08
    assert slopes["slope[control]"] == pytest.approx(-0.5, abs=0.06)
    assert slopes["slope[treatment]"] == pytest.approx(0.5, abs=0.06)
    assert len(made.sets) == 5
    assert made.diagnostics["missing"].sum() == gone.sum()
    assert made.trace["iteration"].max() == 20


def test_imputing_nothing_is_the_complete_case_fit():
    data = study()
    one = fit(data, outcome="y", predictor="x", moderator="arm", standardise=["outcome", "predictor"])
    spec = Spec("y", "x", "arm", standardise=("outcome", "predictor"))
    pooled, _ = fit_imputed(data, spec, "HC3", 3, np.random.default_rng(2))
    assert pooled.beta == pytest.approx(one.linear.beta)
    table = quantity_table(pooled)
    assert table["se"].tolist() == pytest.approx(quantity_table(one.linear)["se"].tolist())
    # Barnard and Rubin's df of complete data: (nu + 1) / (nu + 3) nu.
    assert table["df"].tolist() == pytest.approx([57 / 59 * 56] * 3)


def test_clusters_keep_their_own_degrees_of_freedom_through_imputation():
    data = study(80).assign(family=lambda d: np.arange(80) // 4)
    data.loc[::9, "x"] = np.nan
    spec = Spec("y", "x", "arm", cluster="family")
    pooled, _ = fit_imputed(data, spec, "CR2", 20, np.random.default_rng(2))
    df = quantity_table(pooled)["df"]
    assert (df < 20).all()
    assert df.nunique() == 3
    assert np.isfinite(region_table(pooled).loc[0, "critical_t"])


def test_region_of_imputed_fits_is_where_their_own_interval_touches_zero():
    data = study(200, slopes=(-0.8, 0.8))
    data.loc[::7, "x"] = np.nan
    pooled, _ = fit_imputed(data, SPEC, "HC3", 20, np.random.default_rng(2))
    region = region_table(pooled).iloc[0]
    at_ends = pooled.contrasts(
        np.array([pooled.design.arm_contrast("treatment", "control", v) for v in region[["low", "high"]]])
    )
    assert at_ends["p"].tolist() == pytest.approx([0.05, 0.05], abs=1e-8)


def test_continuous_moderator_has_its_product_imputed_as_a_column():
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"x": rng.normal(size=3000), "m": rng.normal(size=3000)})
    data["y"] = 0.3 * data["x"] + 0.2 * data["m"] + 0.4 * data["x"] * data["m"] + rng.normal(size=3000)
    data.loc[rng.random(3000) < 0.3, "x"] = np.nan
    pooled, _ = fit_imputed(data, Spec("y", "x", "m"), "OLS", 5, rng)
    assert pooled.beta[3] == pytest.approx(0.4, abs=0.06)


def test_factors_are_imputed_from_their_own_levels_and_censored_values_beyond_their_limit():
    rng = np.random.default_rng(4)
    data = study(300).assign(sex=lambda d: np.where(d["x"] > 0, "f", "m"))
    data.loc[:20, "sex"] = None
    truth = data["z"].copy()
    low = truth < -0.8
    data.loc[low, "z"] = np.nan
    limits = {"z": pd.DataFrame({"low": np.nan, "high": np.where(low, -0.8, np.nan)}, index=data.index)}
    arms = data["arm"].to_numpy()
    made = impute(data, ["y", "x", "z", "sex"], arms, 10, rng, limits)
    for one in made.sets:
        assert set(one["sex"]) == {"f", "m"}
        assert (one.loc[low, "z"] <= -0.8 + 1e-9).all()
        assert one.loc[~low, "z"].equals(truth[~low])
    agree = np.mean([(one.loc[:20, "sex"] == np.where(one.loc[:20, "x"] > 0, "f", "m")).mean() for one in made.sets])
    assert agree > 0.7
    imputed = np.mean([one.loc[low, "z"].mean() for one in made.sets])
    assert imputed == pytest.approx(truth[low].mean(), abs=0.1)
    assert made.diagnostics["censored"].sum() == low.sum()


def test_tobit_agrees_with_survreg(cars):
    limited = cars.assign(mpg=cars["mpg"].clip(upper=24))
    design = build_design(limited, Spec("mpg", "hp", "wt"))
    one = fit_tobit(design, np.where(cars["mpg"] < 24, 0, 1), "OLS")
    # survreg(Surv(pmin(mpg, 24), mpg < 24, type = "right") ~ hp * wt, dist = "gaussian")
    assert one.beta == pytest.approx(
        [41.4089216441266, -0.080470624838944, -5.6662109173709, 0.015906720253264], rel=1e-9
    )
    assert np.sqrt(np.diag(one.cov.matrix)) == pytest.approx(
        [4.97388549157409, 0.0283062872543417, 1.59634918858254, 0.00847196148718], rel=1e-9
    )


def test_tobit_without_censoring_is_least_squares_and_its_jackknife_is_near_hc3():
    design = build_design(study(), SPEC)
    one = fit_tobit(design, np.zeros(60, dtype=int), "HC3")
    ols = fit(study(), outcome="y", predictor="x", moderator="arm")
    assert one.beta == pytest.approx(ols.linear.beta, rel=1e-8)
    assert np.sqrt(np.diag(one.cov.matrix)) == pytest.approx(ols.coefficients["se"].to_numpy(), rel=0.03)


def cortisol_study(n=400):
    data = study(n).rename(columns={"y": "log_cortisol"})
    data["participant"] = np.arange(n)
    below, above = data["log_cortisol"] < 0, data["log_cortisol"] > 2.5
    truth = data["log_cortisol"].copy()
    data["cortisol_censored"] = np.select([below, above], ["below", "above"], "none")
    data["log_cortisol_limit"] = np.select([below, above], [0.0, 2.5], np.nan)
    data.loc[below | above, "log_cortisol"] = np.nan
    return data, truth


def test_censored_outcome_is_read_from_its_limit_and_tobit_recovers_the_slope():
    data, truth = cortisol_study(4000)
    spec = Spec("log_cortisol", "x", "arm")
    _, side = censored_cases(data, spec)
    assert (side == -1).sum() == (truth < 0).sum()
    assert (side == 1).sum() == (truth > 2.5).sum()
    slopes = quantity_table(tobit_fit(data, spec, "OLS")).set_index("quantity")["estimate"]
    naive = fit(data, outcome="log_cortisol", predictor="x", moderator="arm").slopes["estimate"]
    assert slopes["slope[treatment]"] == pytest.approx(0.4, abs=0.05)
    assert naive[1] < 0.33


def test_limits_are_substituted_on_the_log_scale():
    data, _ = cortisol_study(50)
    limits = {"log_cortisol": pd.DataFrame({
        "low": data["log_cortisol_limit"].where(data["cortisol_censored"] == "above"),
        "high": data["log_cortisol_limit"].where(data["cortisol_censored"] == "below"),
    })}  # fmt: skip
    filled = substitute_limits(data, limits)["log_cortisol"]
    assert filled[data["cortisol_censored"] == "below"].to_numpy() == pytest.approx(np.log(1 / np.sqrt(2)))
    assert (filled[data["cortisol_censored"] == "above"] == 2.5).all()


def settings_and_entry(**changes):
    entry = with_defaults({"outcome": "log_cortisol", "predictor": "x", **changes}, load("config/model"))
    return with_defaults({"error_draws": 100}, load("config/moderation")), entry


def test_sensitivity_names_one_primary_treatment_and_shows_the_others():
    data, _ = cortisol_study(200)
    data["x_se"] = 0.3
    one = fit(data, outcome="log_cortisol", predictor="x", moderator="arm").linear
    settings, entry = settings_and_entry(impute=True)
    table, regions, reliability, imputations = sensitivity(one, data, entry, settings, 1, "m")
    roles = table.drop_duplicates("method").set_index("method")["role"]
    assert roles[roles == "primary"].index.tolist() == ["Tobit"]
    assert {"complete cases", "multiple imputation", "limit / sqrt(2)", "robust regression", "SIMEX"} <= set(
        roles.index
    )
    n = table.drop_duplicates("method").set_index("method")["n"]
    assert n["Tobit"] == n["multiple imputation"] == 200
    assert n["complete cases"] == one.design.n < 200
    assert set(regions["method"]) <= set(table["method"])
    assert reliability["arm"].tolist() == ["all", "control", "treatment"]
    assert imputations["censored"].sum() == 200 - one.design.n


def test_sensitivity_to_a_censored_covariate_is_imputation():
    data, _ = cortisol_study(200)
    data["y"] = data["z"] + np.random.default_rng(1).normal(size=200)
    one = fit(data, outcome="y", predictor="x", moderator="arm", covariates=["log_cortisol"]).linear
    settings, entry = settings_and_entry(outcome="y", covariates=["log_cortisol"])
    table, _, _, _ = sensitivity(one, data, entry, settings, 1, "m")
    roles = table.drop_duplicates("method").set_index("method")["role"]
    assert roles[roles == "primary"].index.tolist() == ["multiple imputation"]


def test_sensitivity_takes_slopes_at_the_same_moderator_values_in_every_method():
    data = study(120).rename(columns={"z": "m"})
    data.loc[::8, "m"] = np.nan
    one = fit(data, outcome="y", predictor="x", moderator="m").linear
    settings, entry = settings_and_entry(outcome="y", moderator="m", impute=True)
    table, _, _, _ = sensitivity(one, data, entry, settings, 1, "m")
    names = ["x:m", "slope[mean - 1 SD]", "slope[mean]", "slope[mean + 1 SD]"]
    for method in ("complete cases", "multiple imputation", "robust regression"):
        rows = table[table["method"] == method].set_index("quantity")["estimate"]
        assert rows.index.tolist() == names
        sd = data["m"].std(ddof=1)
        assert rows["slope[mean + 1 SD]"] - rows["slope[mean]"] == pytest.approx(sd * rows["x:m"])


def test_sensitivity_of_complete_data_is_primary_as_it_is():
    data = study()
    data.loc[3, "y"] = 40.0
    one = fit(data, outcome="y", predictor="x", moderator="arm").linear
    settings, entry = settings_and_entry(outcome="y")
    table, _, reliability, imputations = sensitivity(one, data, entry, settings, 1, "m")
    roles = table.drop_duplicates("method").set_index("method")["role"]
    assert roles.to_dict() == {
        "complete cases": "primary", "beyond 3 SD left out": "sensitivity", "pulled in to 3 SD": "sensitivity",
        "robust regression": "sensitivity",
    }  # fmt: skip
    assert reliability.empty
    assert imputations.empty
    assert table.set_index(["method", "quantity"]).loc[("beyond 3 SD left out", "slope[control]"), "n"] == 59


def test_weights_go_through_every_treatment_and_unweighted_rows_stand_beside():
    """A weight of 2 counts a row as two do: estimates equal those of the doubled data, errors are the sandwich's."""
    data = study()
    data["w"] = np.where(np.arange(len(data)) % 3 == 0, 2.0, 1.0)
    one = fit(data, outcome="y", predictor="x", moderator="arm", weights="w").linear
    settings, entry = settings_and_entry(outcome="y", weights="w")
    table, *_ = sensitivity(one, data, entry, settings, 1, "m")
    roles = table.drop_duplicates("method").set_index("method")["role"]
    assert roles["complete cases"] == "primary"
    twice = pd.concat([data, data[data["w"] == 2]], ignore_index=True)
    b3 = table.set_index(["method", "quantity"]).xs("x:arm[treatment]", level="quantity")
    for method, rows in (("complete cases", twice), ("unweighted rows", data)):
        plain = fit(rows, outcome="y", predictor="x", moderator="arm", covariance="OLS").coefficients
        b = plain.set_index("term")["estimate"]["x:arm[treatment]"]
        assert b3.loc[method, "estimate"] == pytest.approx(b, rel=1e-10)
    assert table.set_index("method").loc["robust regression", "note"].endswith("is not available with weights")


def test_many_lowest_values_get_a_level_of_their_own():
    """A predictor censored at zero: the slope among those above it is the true one, the plain slope is not."""
    rng = np.random.default_rng(3)
    n = 400
    true = rng.normal(0.3, 1, n)
    arm = np.where(np.arange(n) % 2, "treatment", "control")
    data = pd.DataFrame({"x": true.clip(0), "arm": arm, "y": 2 * true + rng.normal(0, 0.3, n)})
    one = fit(data, outcome="y", predictor="x", moderator="arm").linear
    settings, entry = settings_and_entry(outcome="y")
    table, *_ = sensitivity(one, data, entry, settings, 1, "m")
    slope = table.set_index(["method", "quantity"])["estimate"]
    assert slope[("lowest values apart", "slope[control]")] == pytest.approx(2, abs=0.15)
    assert abs(slope[("complete cases", "slope[control]")] - 2) > 0.2
