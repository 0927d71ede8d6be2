import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hpaxis.moderation import fit
from hpaxis.moderation.batches import many_designs, studentiser, t_and_f, weighted_coefficients
from hpaxis.moderation.resample import (
    acceleration,
    bca_interval,
    bootstrap_counts,
    effective_tests,
    family_table,
    resampling_table,
    share_reaching,
    units,
)


def study(n=44, effect=0.0, seed=3):
    rng = np.random.default_rng(seed)
    arm = np.resize(["control", "treatment"], n)
    x = rng.normal(size=n)
    y = effect * x * (arm == "treatment") + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "arm": arm, "w": x + rng.normal(size=n), "family": np.arange(n) // 4})


def linear(data, **changes):
    return fit(data, **{"outcome": "y", "predictor": "x", "moderator": "arm", **changes}).linear


@pytest.mark.parametrize(("kind", "cluster"), [("OLS", None), ("HC3", None), ("HC4", None), ("CR2", "family")])
def test_batched_statistics_are_those_of_the_fit(kind, cluster):
    one = linear(study(), covariance=kind, cluster=cluster)
    design = one.design
    b, V = studentiser(design, kind, design.interactions)(design.y[None])
    j = design.interactions[0]
    assert b[0, 0] == pytest.approx(one.beta[j], rel=1e-10)
    assert V[0, 0, 0] == pytest.approx(one.cov.matrix[j, j], rel=1e-10)


def test_batched_designs_are_those_of_the_fit():
    one = linear(study())
    b, V = many_designs(one.design.X[None], one.design.y, "HC3")
    assert b[0] == pytest.approx(one.beta, rel=1e-9)
    assert V[0] == pytest.approx(one.cov.matrix, rel=1e-8)


def test_row_counts_fit_what_repeated_rows_would():
    design = linear(study()).design
    counts = np.random.default_rng(1).integers(0, 4, (3, design.n)).astype(float)
    b = weighted_coefficients(design.X, design.y, counts)
    rows = np.repeat(np.arange(design.n), counts[1].astype(int))
    assert b[1] == pytest.approx(np.linalg.lstsq(design.X[rows], design.y[rows], rcond=None)[0], rel=1e-9)


def test_rows_that_cannot_carry_the_model_give_nan_not_a_number():
    design = linear(study()).design
    only_control = (design.arm == "control").astype(float)
    assert np.isnan(weighted_coefficients(design.X, design.y, only_control[None])).all()


def test_p_counts_the_observed_arrangement_and_ties():
    assert share_reaching(np.array([1.0, 2.0, 3.0]), 2.0) == 3 / 4
    assert share_reaching(np.zeros(999), 2.0) == 1 / 1000
    assert share_reaching(np.full(9, 2.0 * (1 - 1e-12)), 2.0) == 1


def test_the_same_seed_and_name_give_the_same_table_and_another_name_another():
    one = linear(study())
    first = resampling_table(one, 499, 5, "competence")
    assert first.equals(resampling_table(one, 499, 5, "competence"))
    assert not first.equals(resampling_table(one, 499, 5, "cortisol"))


@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0])
def test_resampled_p_is_near_that_of_normal_theory_where_normal_theory_holds(effect):
    one = linear(study(200, effect / 2), covariance="OLS")
    table = resampling_table(one, 4000, 1).set_index("method")
    p = one.contrasts(np.eye(4)[3]).loc[0, "p"]
    # 4,000 draws know a p of .5 to .008; the rest is what n = 200 leaves between the methods.
    assert table.loc["restricted wild bootstrap", "p"] == pytest.approx(p, abs=0.05)
    assert table.loc["Freedman-Lane", "p"] == pytest.approx(p, abs=0.05)


def test_bootstrap_intervals_are_near_those_of_robust_theory():
    one = linear(study(200, 0.6))
    table = resampling_table(one, 4000, 1).set_index(["method", "quantity"])
    theory = one.contrasts(np.eye(4)[3])
    for method in ("percentile bootstrap", "BCa bootstrap"):
        row = table.loc[(method, "x:arm[treatment]")]
        assert row[["low", "high"]].to_numpy(float) == pytest.approx(
            theory.loc[0, ["low", "high"]].to_numpy(float), abs=0.05
        )
        assert row["failed"] == 0


def test_ten_thousand_draws_of_all_methods_at_n_44_take_about_a_second():
    one = linear(study())
    start = time.process_time()
    resampling_table(one, 10_000, 1)
    assert time.process_time() - start < 3


def test_bca_without_bias_or_acceleration_is_the_percentile_interval():
    drawn = np.arange(1, 1000) / 1000
    low, high = bca_interval(0.5, drawn, 0.0, 0.05)
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-9)
    assert bca_interval(0.4, drawn, 0.0, 0.05)[1] < high
    assert bca_interval(0.5, drawn, 0.1, 0.05)[1] > high


def test_acceleration_of_a_mean_is_its_skew_over_six_root_n():
    # Efron (1987): a = skewness / (6 sqrt n) for the mean of one sample.
    values = np.random.default_rng(2).gamma(1, size=30)
    left_out = (values.sum() - values) / 29
    assert acceleration(left_out, np.zeros(30, dtype=int)) == pytest.approx(stats.skew(values) / (6 * np.sqrt(30)))


def test_bootstrap_keeps_arms_and_clusters_whole():
    data = study().assign(arm=lambda d: np.where(d["family"] % 2 == 0, "control", "treatment"))
    rng = np.random.default_rng(0)
    plain = linear(data).design
    counts = bootstrap_counts(*units(plain), 50, rng)
    assert (counts[:, plain.arm == "control"].sum(axis=1) == (plain.arm == "control").sum()).all()
    whole = linear(data, covariance="CR2", cluster="family").design
    counts = bootstrap_counts(*units(whole), 50, rng)
    for family in range(11):
        assert (np.ptp(counts[:, data["family"] == family], axis=1) == 0).all()


def test_three_arms_have_a_joint_test(anorexia):
    one = fit(anorexia, outcome="Postwt", predictor="Prewt", moderator="Treat").linear
    table = resampling_table(one, 999, 1).set_index(["method", "quantity"])
    joint = table.loc[("Freedman-Lane", "interaction")]
    # Wald F of both products with HC3, as car::linearHypothesis gives it.
    assert joint["statistic"] == pytest.approx(3.211929, rel=1e-6)
    assert 0.01 < joint["p"] < 0.2


def test_wald_f_of_one_term_is_its_t_squared():
    b, V = np.array([[2.0]]), np.array([[[0.25]]])
    t, F = t_and_f(b, V)
    assert (t[0, 0], F[0]) == (4.0, 16.0)


def test_family_shows_all_predictors_with_every_correction():
    data = study(80, 1.0)
    fits = {p: linear(data, predictor=p) for p in ("x", "w")}
    table = family_table(fits, 1999, 1)
    assert table["predictor"].tolist() == ["x", "w"]
    assert (table["p_holm"] >= table["p"]).all()
    assert (table["p_max_t"] >= table["p"] - 0.01).all()
    assert (table["p_max_t"] <= table["p_holm"] + 0.02).all()
    alone = family_table({"x": fits["x"]}, 1999, 1).loc[0]
    assert alone["p_effective"] == pytest.approx(alone["p"])
    assert alone["p_max_t"] == pytest.approx(alone["p"], abs=0.02)


def test_effective_number_of_tests_counts_copies_once():
    rng = np.random.default_rng(1)
    x = rng.normal(size=200)
    assert effective_tests(np.column_stack([x, x, x])) == pytest.approx(1)
    orthogonal = np.linalg.qr(rng.normal(size=(200, 4)) - rng.normal(size=(200, 4)).mean(axis=0))[0]
    orthogonal = np.linalg.qr(orthogonal - orthogonal.mean(axis=0))[0]
    assert effective_tests(orthogonal) == pytest.approx(4)
