import numpy as np
from scipy import stats

from hpaxis.quantiles import binomial_tail, chi2_quantile, normal_quantile, poisson_tail, student_quantile

P = np.array([1e-9, 0.025, 0.5, 0.9, 0.975, 1 - 1e-9])


def test_quantiles_are_those_of_scipy_stats():
    np.testing.assert_allclose(normal_quantile(P), stats.norm.ppf(P), rtol=1e-13)
    for df in (0.5, 1, 2.7, 30, 1e4, np.inf):
        np.testing.assert_allclose(student_quantile(P, df), stats.t.ppf(P, df), rtol=1e-10, atol=1e-15)
    for df in (0.5, 1, 2, 40):
        np.testing.assert_allclose(chi2_quantile(P, df), stats.chi2.ppf(P, df), rtol=1e-10)
    assert np.isnan(student_quantile(0.975, [0, -1, np.nan])).all()


def test_quantiles_of_a_table():
    # Fisher and Yates, tables of t (df 10, 5 % two-sided) and of chi-squared (df 1, 5 %).
    assert round(float(student_quantile(0.975, 10)), 3) == 2.228
    assert round(float(chi2_quantile(0.95, 1)), 3) == 3.841


def test_tails_are_those_of_scipy_stats():
    k = np.array([-1, 0, 0.5, 1, 3, 20])
    for mean in (0.01, 1, 7.5):
        np.testing.assert_allclose(poisson_tail(k, mean), stats.poisson.sf(k, mean), rtol=1e-11)
    k, n = np.array([-0.2, 0, 2, 3, 7, 10, 12]), 10
    for p in (0, 1e-4, 0.3, 1):
        np.testing.assert_allclose(binomial_tail(k, n, p), stats.binom.sf(k, n, p), rtol=1e-11)
    # As callers give them: one k, an array of n, and a number of trials that is no integer.
    n = np.array([0, 1, 5])
    np.testing.assert_allclose(binomial_tail(1, n, 0.1), stats.binom.sf(1, n, 0.1), rtol=1e-11)
    assert 0 < binomial_tail(3, 10.4, 0.2) < 1
