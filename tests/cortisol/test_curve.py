import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from hpaxis.cortisol import CurveError, Variance, compare_models, fit_curve
from hpaxis.cortisol.curve import pooled_variance, respond

# A series made for these tests; its least-squares solution below comes from scipy's MINPACK (Levenberg-Marquardt).
DOSE = np.repeat([0.0, 12.5, 25, 50, 100, 200, 400, 800], 2)
SIGNAL = np.array([99.1, 101.3, 94.0, 92.2, 86.9, 88.5, 77.0, 74.1, 58.8, 60.9, 40.2, 38.5, 22.4, 23.9, 11.0, 12.2])


def ryegrass(real_data):
    table = pd.read_csv(real_data / "reference" / "ryegrass.csv")
    return table["conc"].to_numpy(), table["rootl"].to_numpy()


def test_ryegrass_of_drc_to_its_printed_digits(real_data):
    # drm(rootl ~ conc, fct = LL.4()) prints b 2.98222, c .48141, d 7.79296, e 3.05795; its d is a here, its c is d.
    # Its optimiser stops a little early: the sum of squares here is the smaller one, and b and e differ by one in
    # the fifth decimal. MINPACK finds the same minimum as hpaxis: 2.9822287, .4814099, 7.7929623, 3.0579552.
    x, y = ryegrass(real_data)
    curve = fit_curve(x, y)
    printed = {"a": 7.79296, "b": 2.98222, "c": 3.05795, "d": 0.48141}
    found = dict(zip(curve.parameters["name"], curve.theta))
    assert found == pytest.approx(printed, abs=1e-5)
    np.testing.assert_allclose(curve.theta, [7.7929623, 2.9822287, 3.0579552, 0.4814099], atol=1e-6)
    assert np.sum(curve.points["residual"] ** 2) < np.sum((y - respond(x, tuple(printed.values()))) ** 2)


@pytest.mark.parametrize("weights", ["none", "1/y", "1/y2"])
def test_a_4pl_is_what_minpack_finds(weights):
    power = {"none": 0, "1/y": 0.5, "1/y2": 1}[weights]
    expected, covariance = optimize.curve_fit(
        lambda x, a, b, c, d: respond(x, (a, b, c, d)), DOSE, SIGNAL, p0=[100, 1, 130, 1], sigma=SIGNAL**power,
        ftol=1e-14, xtol=1e-14, gtol=1e-14, method="lm",
    )  # fmt: skip
    found = fit_curve(DOSE, SIGNAL, weights=weights).parameters
    assert found["name"].tolist() == ["a", "b", "c", "d"]
    # Two optimisers of the same sum of squares; MINPACK's Jacobian is numerical.
    np.testing.assert_allclose(found["estimate"], expected, rtol=1e-5)
    if weights == "none":
        np.testing.assert_allclose(found["se"], np.sqrt(np.diag(covariance)), rtol=1e-4)


def test_weighted_standard_errors_use_the_variance_the_weights_assume():
    _, covariance = optimize.curve_fit(
        lambda x, a, b, c, d: respond(x, (a, b, c, d)), DOSE, SIGNAL, p0=[100, 1, 130, 1], sigma=SIGNAL, method="lm"
    )
    # With V proportional to 1/W at the fitted instead of the observed response: the same to a few per cent.
    found = fit_curve(DOSE, SIGNAL, weights="1/y2").parameters["se"]
    np.testing.assert_allclose(found, np.sqrt(np.diag(covariance)), rtol=0.06)


def test_a_5pl_recovers_its_own_parameters():
    truth = (100.0, 1.4, 90.0, 3.0, 0.6)
    x = np.geomspace(1, 5000, 24)
    found = fit_curve(x, respond(x, truth), model="5PL").parameters
    assert found["name"].tolist() == ["a", "b", "c", "d", "g"]
    np.testing.assert_allclose(found["estimate"], truth, rtol=1e-6)


def test_a_rising_curve_with_the_parameters_a_reader_printed():
    # Gen5's own form of the 4PL, with a below d.
    truth = (1.23, 3.52, 14.8, 34.9)
    x = np.repeat([2.0, 4, 8, 12, 16, 24, 48, 96], 2)
    curve = fit_curve(x, respond(x, truth))
    np.testing.assert_allclose(curve.theta, truth, rtol=1e-8)
    assert curve.concentration(respond(np.array([10.0]), truth))["estimate"].iloc[0] == pytest.approx(10, rel=1e-8)


def test_percent_bound_and_raw_signal_give_the_same_concentrations():
    raw = 0.07 + (1.6 - 0.07) * SIGNAL / 100
    one = fit_curve(DOSE, SIGNAL).concentration([80, 50, 20])
    other = fit_curve(DOSE, raw).concentration(0.07 + (1.6 - 0.07) * np.array([80, 50, 20]) / 100)
    np.testing.assert_allclose(one[["estimate", "low", "high"]], other[["estimate", "low", "high"]], rtol=1e-6)


def test_beyond_the_standards_is_censored_and_never_a_number():
    found = fit_curve(DOSE, SIGNAL).concentration([99.9, 120, 94.5, 50, 5.0, -3.0, np.nan])
    assert found["censored"].tolist() == ["below", "below", "below", "none", "above", "above", "none"]
    assert found["estimate"].notna().tolist() == [False, False, False, True, False, False, False]
    below, above = found.iloc[0], found.iloc[4]
    assert (below["low"], below["high"]) == (0.0, 12.5)
    assert (above["low"], above["high"]) == (800.0, np.inf)


def test_a_response_on_the_curve_at_the_end_standards_is_not_censored():
    curve = fit_curve(DOSE, SIGNAL)
    found = curve.concentration(curve.response([12.5, 800]))
    assert found["censored"].tolist() == ["none", "none"]
    np.testing.assert_allclose(found["estimate"], [12.5, 800], rtol=1e-9)
    assert found["low"].iloc[0] == 0.0
    assert found["high"].iloc[1] == np.inf


def test_the_interval_is_where_the_response_is_within_t_standard_errors():
    from scipy import stats

    curve = fit_curve(DOSE, SIGNAL)
    found = curve.concentration(55.0, replicates=2).iloc[0]
    for end in (found["low"], found["high"]):
        band = curve.band([end]).iloc[0]
        curve_variance = ((band["high"] - band["response"]) / stats.t.ppf(0.975, 12)) ** 2
        distance = abs(55.0 - band["response"]) / np.sqrt(curve_variance + curve.residual_sd**2 / 2)
        assert distance == pytest.approx(stats.t.ppf(0.975, 12), rel=1e-4)
    assert found["low"] < found["estimate"] < found["high"]


def test_replicates_as_columns_are_their_mean():
    curve = fit_curve(DOSE, SIGNAL)
    pairs = curve.concentration(np.array([[55.0, 56.0], [40.0, np.nan]]))
    alone = curve.concentration(np.array([55.5, 40.0]), replicates=np.array([2, 1]))
    pd.testing.assert_frame_equal(pairs, alone)


def test_replicates_that_disagree_carry_their_own_variance():
    curve = fit_curve(DOSE, SIGNAL)
    agreeing, torn = (curve.concentration(np.array([pair])).iloc[0] for pair in ([50.0, 51.0], [40.0, 61.0]))
    assert torn["high"] - torn["low"] > 4 * (agreeing["high"] - agreeing["low"])
    assert torn["low"] < curve.invert(61.0) and torn["high"] > curve.invert(40.0)


@pytest.mark.long
@pytest.mark.parametrize("weights", ["none", "1/y2", "variance"])
def test_coverage_with_duplicates_at_20_to_80_percent_bound(weights):
    """93-97 % of 95 % intervals hold the truth: eight standards and five samples in duplicate, on many plates."""
    truth = (100.0, 1.1, 300.0, 0.0)
    x = np.repeat([31.25, 62.5, 125, 250, 500, 1000, 2000, 4000], 2)
    samples = np.array([300 * (100 / p - 1) ** (1 / 1.1) for p in (80, 65, 50, 35, 20)])
    rng = np.random.default_rng(5)
    hits = []
    plates = 150 if weights == "variance" else 300
    for _ in range(plates):

        def measured(concentrations):
            y = respond(concentrations, truth)
            sd = {"none": 1.5, "1/y2": 0.03 * y, "variance": np.hypot(0.5, 0.03 * y)}[weights]
            return y + rng.normal(0, 1, y.shape) * sd

        curve = fit_curve(x, measured(x), weights=weights)
        found = curve.concentration(measured(np.stack([samples, samples], axis=1)))
        hits.append((found["low"] <= samples) & (samples <= found["high"]))
    coverage = np.mean(hits, axis=0)
    assert 0.93 <= np.mean(hits) <= 0.97
    # The binomial error of one level is 1.3 points over 300 plates; none may stray further than that allows.
    assert coverage.min() > 0.90 and coverage.max() < 0.99


def test_a_5pl_that_the_standards_do_not_identify_says_so():
    curve = fit_curve(DOSE, SIGNAL, model="5PL")
    assert not curve.identified
    assert curve.notes == ("the asymmetry is not identified by these standards: use the 4PL",)
    table = compare_models(DOSE, SIGNAL).set_index("model")
    assert table.loc["4PL", "identified"] and not table.loc["5PL", "identified"]
    assert table.loc["4PL", "aicc"] < table.loc["5PL", "aicc"]
    assert 0.05 < table.loc["5PL", "p"] <= 1


def test_an_asymmetric_curve_prefers_the_5pl():
    x = np.repeat(np.geomspace(5, 5000, 12), 2)
    y = respond(x, (100.0, 2.0, 60.0, 2.0, 0.35)) + np.tile([0.3, -0.3], 12)
    table = compare_models(x, y).set_index("model")
    assert table.loc["5PL", "identified"]
    assert table.loc["5PL", "aicc"] < table.loc["4PL", "aicc"]
    assert table.loc["5PL", "p"] < 1e-6


def test_models_that_cannot_be_fitted_are_listed_with_their_reason():
    x = np.repeat([1.0, 10, 100, 1000], 2)
    table = compare_models(x, respond(x, (100, 1, 30, 0))).set_index("model")
    assert "cannot carry 5 parameters" in table.loc["5PL", "note"]
    assert np.isnan(table.loc["5PL", "aicc"])


@pytest.mark.parametrize(
    ("x", "y", "options", "said"),
    [
        ([1, 2, 3], [3, 2, 1], {}, "3 standard wells at 3 concentrations cannot carry 4 parameters"),
        ([1, 1, 1, 2, 2, 2], [3, 3, 3, 2, 2, 2], {}, "at 2 concentrations"),
        ([1, 2, 4, 8, 16], [5, 5, 5, 5, 5], {}, "all have the same response"),
        ([1, 2, 4, 8, 16], [5, 4, np.nan, 2, 1], {}, "not a finite number"),
        ([-1, 2, 4, 8, 16], [5, 4, 3, 2, 1], {}, "negative"),
        ([1, 2, 4, 8], [5, 4, 3, 2, 1], {}, "4 concentrations but 5 responses"),
        ([1, 2, 4, 8, 16], [5, 4, 3, 2, 0], {"weights": "1/y"}, "need positive responses"),
        ([1, 2, 4, 8, 16], [5, 4, 3, 2, 1], {"model": "3PL"}, "is not one of 4PL, 5PL"),
        ([1, 2, 4, 8, 16], [5, 4, 3, 2, 1], {"weights": "1/x"}, "are not one of"),
    ],
)
def test_standards_that_carry_no_curve_are_refused_with_the_reason(x, y, options, said):
    with pytest.raises(CurveError, match=said):
        fit_curve(x, y, **options)


def test_a_straight_line_is_fitted_and_noted():
    x = np.array([1.0, 2, 4, 8, 16, 32])
    assert fit_curve(x, 100 - 2 * x).notes


def test_back_calculation_of_exact_standards_is_100_percent():
    x = np.repeat([10.0, 30, 100, 300, 1000], 2)
    levels = fit_curve(x, respond(x, (100, 1.2, 120, 2)) + np.tile([1e-6, -1e-6], 5)).back_calculated()
    assert levels["n"].tolist() == [2] * 5
    np.testing.assert_allclose(levels["recovery_percent"], 100, atol=1e-3)


def test_the_variance_function_of_a_plate_and_one_bad_pair():
    rng = np.random.default_rng(2)
    mean = rng.uniform(5, 100, 400)
    variance = (0.5**2 + (0.03 * mean) ** 2) * rng.chisquare(1, 400)
    found = pooled_variance(mean, variance, np.ones(400))
    # Maximum likelihood on 400 pairs: the standard error of a variance component is about 10 %.
    assert np.sqrt(found.constant) == pytest.approx(0.5, rel=0.3)
    assert np.sqrt(found.quadratic) == pytest.approx(0.03, rel=0.12)
    spoilt = variance.copy()
    spoilt[:5] = 900.0
    again = pooled_variance(mean, spoilt, np.ones(400))
    assert again(50.0) == pytest.approx(found(50.0), rel=0.1)
    assert pooled_variance(mean[:4], variance[:4], np.ones(4)) is None


def test_a_given_variance_sets_the_standard_errors():
    wide = fit_curve(DOSE, SIGNAL, variance=Variance(100.0, 0.0, 0.0, 40.0))
    narrow = fit_curve(DOSE, SIGNAL, variance=Variance(1.0, 0.0, 0.0, 40.0))
    np.testing.assert_allclose(wide.parameters["estimate"], narrow.parameters["estimate"])
    np.testing.assert_allclose(wide.parameters["se"], 10 * narrow.parameters["se"])
    weighted = fit_curve(DOSE, SIGNAL, weights="variance", variance=Variance(0.0, 0.0, 1e-3, 40.0))
    expected = fit_curve(DOSE, SIGNAL, weights="1/y2").theta
    # Weights by the fitted, not the observed, response: close, not the same.
    np.testing.assert_allclose(weighted.theta[:3], expected[:3], rtol=0.02)


def test_the_example_of_the_package_is_what_it_gives():
    import doctest

    import hpaxis.cortisol

    assert doctest.testmod(hpaxis.cortisol) == (0, 3)


def test_planning_a_job_needs_no_scipy():
    """Every job reads the study anew: what that imports is paid a thousand times."""
    import subprocess
    import sys

    code = (
        "import sys; from hpaxis.cortisol.kits import split_plates; from hpaxis.study import read_study; "
        "import hpaxis.cortisol; assert 'scipy' not in sys.modules and 'openpyxl' not in sys.modules; "
        "assert set(hpaxis.cortisol.__all__) <= set(dir(hpaxis.cortisol)); from hpaxis.cortisol import *; fit_curve"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
