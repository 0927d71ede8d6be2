"""Published and R values to every printed digit: state.x77 and mtcars (R datasets), anorexia (MASS).

R values: R 4.2.2 with sandwich 3.0-2, clubSandwich 0.5.8, emmeans 1.8.4, car 3.1-1; see tests/moderation/crosscheck.
"""

import numpy as np
import pytest

from hpaxis.moderation import fit


def rounded(values, digits):
    return [round(float(v), digits) for v in values]


@pytest.mark.parametrize(("kind", "se", "ends"), [("OLS", 40.131, [-6.374, 8.407]), ("HC3", 34.876, [-3.338, 8.140])])
def test_states_income_on_illiteracy_by_murder(states, kind, se, ends):
    result = fit(states, outcome="Income", predictor="Illiteracy", moderator="Murder", covariance=kind)
    b3 = result.coefficients.set_index("term").loc["Illiteracy:Murder"]
    assert rounded(b3[["estimate", "se"]], 3) == [-117.096, se]
    region = result.region.iloc[0]
    assert rounded(region[["low", "high"]], 3) == ends
    assert (region["kind"], region["observed_kind"], region["across"]) == ("outside", "above", "Murder")
    assert region[["n_below", "n_between", "n_above"]].tolist() == [0, 29, 21]


@pytest.mark.parametrize(("kind", "ends"), [("OLS", [-0.750, 11.744]), ("HC3", [0.622, 12.216])])
def test_states_with_a_covariate_whose_name_has_a_space(states, kind, ends):
    result = fit(states, outcome="Income", predictor="Illiteracy", moderator="Murder", covariates=["HS Grad"],
                 covariance=kind)  # fmt: skip
    assert rounded(result.region.loc[0, ["low", "high"]], 3) == ends
    fdr = result.region_fdr.iloc[0]
    assert fdr["kind"] == "none"
    assert np.isnan(fdr["low"])
    assert np.isnan(fdr["high"])
    assert fdr["n_significant"] == 0
    assert round(fdr["critical_t"], 4) == 4.4851


def test_states_false_discovery_region_takes_the_robust_covariance(states):
    result = fit(states, outcome="Income", predictor="Illiteracy", moderator="Murder", covariance="HC3")
    fdr = result.region_fdr.iloc[0]
    assert round(fdr["critical_t"], 4) == 2.3321
    assert rounded(fdr[["low", "high"]], 3) == [-7.485, 8.488]


@pytest.mark.parametrize(("kind", "ends", "digits"), [("OLS", [3.69, 5.90], 2), ("HC3", [3.689, 7.089], 3)])
def test_cars_horsepower_over_weight(cars, kind, ends, digits):
    region = fit(cars, outcome="mpg", predictor="hp", moderator="wt", covariance=kind).region.iloc[0]
    assert rounded(region[["low", "high"]], digits) == ends
    assert region["observed_kind"] == "below"
    assert region[["observed_low", "observed_high"]].tolist() == [cars["wt"].min(), region["low"]]
    assert region["n_significant"] == (cars["wt"] < region["low"]).sum() == 24


@pytest.mark.parametrize(("kind", "se"), [("OLS", 0.256), ("HC3", 0.500)])
def test_anorexia_slope_in_cbt(anorexia, kind, se):
    result = fit(anorexia, outcome="Postwt", predictor="Prewt", moderator="Treat", covariance=kind)
    slope = result.slopes.set_index("moderator").loc["CBT"]
    coefficient = result.coefficients.set_index("term").loc["Prewt"]
    assert round(slope["se"], 3) == se
    assert round(coefficient["se"], 3) == se
    assert result.design.moderator.levels == ("CBT", "Cont", "FT")


def test_anorexia_interactions_against_the_control_arm(anorexia):
    result = fit(anorexia, outcome="Postwt", predictor="Prewt", moderator="Treat", reference="Cont")
    table = result.coefficients.set_index("term")
    # R: relevel(Treat, "Cont"), vcovHC(type = "HC3")
    assert table.loc["Prewt:Treat[CBT]", "estimate"] == pytest.approx(0.982166124271, rel=1e-10)
    assert table.loc["Prewt:Treat[CBT]", "se"] == pytest.approx(0.526879002576, rel=1e-10)
    assert table.loc["Prewt:Treat[FT]", "se"] == pytest.approx(0.553522086714, rel=1e-10)
    assert result.region["contrast"].tolist() == ["CBT - Cont", "FT - Cont", "FT - CBT"]
    assert result.region["across"].unique().tolist() == ["Prewt"]


@pytest.mark.parametrize(
    ("kind", "se"),
    [("HC0", 0.0074304675701693), ("HC1", 0.0079435039631741), ("HC2", 0.0084274425952688),
     ("HC3", 0.0096425517206089), ("HC4", 0.010124943058633)],
)  # fmt: skip
def test_hc_errors_agree_with_sandwich(cars, kind, se):
    table = fit(cars, outcome="mpg", predictor="hp", moderator="wt", covariance=kind).coefficients
    assert table.set_index("term").loc["hp:wt", "se"] == pytest.approx(se, rel=1e-11)


def test_cr2_agrees_with_clubsandwich(cars):
    result = fit(cars, outcome="mpg", predictor="hp", moderator="wt", covariance="CR2", cluster="carb", at=[3.21725])
    b3 = result.coefficients.set_index("term").loc["hp:wt"]
    # coef_test(vcovCR(m, cluster = carb, type = "CR2"), test = "Satterthwaite")
    assert b3[["se", "df", "p"]].tolist() == pytest.approx(
        [0.0071330709452246, 2.4440629490280, 0.0428163316045281], rel=1e-8
    )
    slope = result.slopes.iloc[0]
    assert slope[["estimate", "se", "df", "low", "high"]].tolist() == pytest.approx(
        [-0.030507635799553, 0.0046546890367938, 2.3642521391941, -0.047850375849342, -0.013164895749764], rel=1e-8
    )


def test_two_valued_moderator_and_factor_covariate_agree_with_emmeans(cars):
    result = fit(cars, outcome="mpg", predictor="wt", moderator="am", covariates=["cylinders"])
    # lm(mpg ~ wt * factor(am) + factor(cyl)); emtrends and linearHypothesis with vcovHC(type = "HC3")
    table = result.coefficients.set_index("term")
    assert table.loc["cylinders[8]", "estimate"] == pytest.approx(-4.7761098671107, rel=1e-11)
    assert rounded(result.slopes["estimate"], 2) == [-2.40, -6.47]
    assert rounded(result.slopes["se"], 2) == [1.01, 1.44]
    assert rounded(result.slopes["low"], 2) == [-4.47, -9.42]
    assert rounded(result.slopes["p"], 4) == [0.0249, 0.0001]
    statistics = result.fit.set_index("statistic")
    assert round(statistics.loc["wald_interaction", "value"], 5) == 7.10093
    assert round(statistics.loc["wald_omnibus", "value"], 5) == 24.71673
    assert statistics.loc["f_omnibus", "value"] == pytest.approx(37.233305294265, rel=1e-11)


def test_predictor_by_arm_agrees_with_sandwich_and_levene(cars):
    table = fit(cars, outcome="mpg", predictor="hp", moderator="cylinders").predictor_by_arm.set_index("comparison")
    # lm(hp ~ factor(cyl)), vcovHC HC3; car::leveneTest(center = median)
    assert table.loc["6 - 4", "se"] == pytest.approx(11.91304716018, rel=1e-11)
    assert table.loc["8 - 4", "p"] == pytest.approx(6.1020e-09, rel=1e-4)
    assert round(table.loc["equal spread", "t"], 4) == 2.9109
    assert round(table.loc["equal spread", "p"], 6) == 0.070458


def test_influence_agrees_with_r(cars):
    from hpaxis.moderation.influence import influence_table

    table = influence_table(fit(cars, outcome="mpg", predictor="hp", moderator="wt").linear).set_index("car")
    # influence.measures(lm(mpg ~ hp * wt))
    assert table.loc["Toyota Corolla", ["dfbetas", "cooks_d", "leverage"]].tolist() == pytest.approx(
        [0.58685739449096, 0.18312367496148, 0.17361552972904], rel=1e-10
    )
    assert table.loc["Maserati Bora", ["dfbetas", "cooks_d", "leverage"]].tolist() == pytest.approx(
        [0.11265363310781, 0.12986004482568, 0.40416836932147], rel=1e-10
    )
