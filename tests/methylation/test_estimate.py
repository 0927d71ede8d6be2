"""The correction by hand, the interval against others' numbers, and its coverage on molecules of known level."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.estimate import MoleculeCounts, Rate


def molecules(methylated, unconverted, sites, count):
    methylated = np.array(methylated, dtype=float)
    return MoleculeCounts(
        methylated, np.ones_like(methylated), *(np.array(x, dtype=float) for x in (unconverted, sites, count))
    )


def test_patterns_become_molecules():
    patterns = pd.DataFrame({
        "amplicon": ["a", "a", "b"], "pattern": ["10.", "x11", "1"], "unconverted": [1, 0, 0], "sites": [5, 5, 2],
        "count": [3, 2, 1],
    })  # fmt: skip
    found = estimate.read_molecules(patterns, "a", 3)
    assert found.methylated.tolist() == [[1, 0, 0], [0, 1, 1]]
    assert found.known.tolist() == [[1, 1, 0], [0, 1, 1]]
    assert found.total == 5


def test_wilson_limits_agree_with_statsmodels():
    for m, n in ((0, 20), (3, 40), (27, 1000), (1000, 1000)):
        low, high = estimate.wilson(m / n, n, 1.959963984540054)
        expected = proportion_confint(m, n, 0.05, "wilson")
        # statsmodels clips at 0 and 1 to rounding error
        assert (low, high) == pytest.approx(expected, abs=1e-12)


def test_non_conversion_and_its_clustered_variance_by_hand():
    """Two molecules of 10 sites, one with 2 unconverted: e = .1; deviations +1 and -1 over 20 sites: variance 2/400."""
    rate = estimate.non_conversion([molecules([[0], [0]], [2, 0], [10, 10], [1, 1])], np.nan)
    assert rate.value == pytest.approx(0.1)
    assert rate.variance == pytest.approx(2 / 400)
    assert rate.trials == pytest.approx(0.1 * 0.9 / (2 / 400))
    empty = estimate.non_conversion([molecules(np.zeros((0, 1)), [], [], [])], np.nan)
    assert np.isnan(empty.value)


def test_few_templates_raise_the_variance_as_their_copies_do():
    part = molecules([[0], [1]], [0, 0], [10, 10], [500, 500])
    assert estimate.duplication(part, np.nan) == 1
    assert estimate.duplication(part, 250.0) == 5
    assert estimate.template_copies(10, 303, 0.5, 0) == pytest.approx(1515)
    assert estimate.template_copies(10, 303, 0.5, 1) == pytest.approx(757.5)


def test_correction_by_hand():
    """(.03 - .01) / (1 - .01 - .02) = .0206186; with no error in e and g the error is that of p, over .97."""
    shares = estimate.Shares(*(np.array([x]) for x in (0.03, 0.03 * 0.97 / 1000, 0.0, 1000.0)))
    found = estimate.correct(shares, Rate(0.01, 0.0, np.inf), Rate(0.02, 0.0, np.inf), 0.95)
    assert found.beta[0] == pytest.approx(0.02 / 0.97)
    assert found.se[0] == pytest.approx(np.sqrt(0.03 * 0.97 / 1000) / 0.97)
    low, high = proportion_confint(30, 1000, 0.05, "wilson")
    assert found.low[0] == pytest.approx((low - 0.01) / 0.97)
    assert found.high[0] == pytest.approx((high - 0.01) / 0.97)


def test_errors_of_conversion_and_over_conversion_widen_the_interval():
    shares = estimate.Shares(*(np.array([x]) for x in (0.5, 1e-4, 0.0, 2500.0)))
    plain = estimate.correct(shares, Rate(0.01, 0.0, np.inf), Rate(0.02, 0.0, np.inf), 0.95)
    e_known_badly = estimate.correct(shares, Rate(0.01, 1e-5, 990.0), Rate(0.02, 0.0, np.inf), 0.95)
    g_known_badly = estimate.correct(shares, Rate(0.01, 0.0, np.inf), Rate(0.02, 1e-3, np.inf), 0.95)
    slope = 1 - plain.beta[0]
    assert e_known_badly.se[0] ** 2 == pytest.approx((1e-4 + slope**2 * 1e-5) / 0.97**2)
    assert g_known_badly.se[0] ** 2 == pytest.approx((1e-4 + plain.beta[0] ** 2 * 1e-3) / 0.97**2)
    for wide in (e_known_badly, g_known_badly):
        assert wide.low[0] < plain.low[0] and wide.high[0] > plain.high[0]


def test_over_conversion_from_controls():
    shares = estimate.Shares(*(np.array([x]) for x in (0.97, 4e-6, 0.0, 1e4)))
    e = Rate(0.01, 0.0, np.inf)
    assert estimate.over_conversion(shares, e, 1.0) == pytest.approx((0.03, 4e-6))
    # A control of 98 %: .98 (1 - g) + .02 * .01 = .97
    assert estimate.over_conversion(shares, e, 0.98)[0] == pytest.approx(1 - (0.97 - 0.0002) / 0.98)
    pooled = estimate.pool_over_conversion([(0.02, 1e-6), (0.04, 1e-6)])
    assert pooled.value == pytest.approx(0.03) and pooled.variance == pytest.approx(0.0002 / 2)
    assert estimate.pool_over_conversion([(-0.01, 1e-6)]).value == 0
    assert estimate.pool_over_conversion([]).value == 0


def test_m_value_of_known_fractions():
    assert estimate.m_value(0.2, 0.01, 1e-4) == pytest.approx((-2.0, 0.01 / (0.16 * np.log(2))))
    assert estimate.m_value(-0.001, 0.01, 0.001)[0] == pytest.approx(np.log2(0.001 / 0.999))
    assert estimate.m_value(1.2, 0.01, 0.001)[0] == pytest.approx(-np.log2(0.001 / 0.999))


def simulate(rng, n, level, e, g, templates=None, cpgs=20, sites=60, alike=0.1):
    """Molecules whose CpGs share part of their state, drawn as copies of templates when these are few."""
    drawn = n if templates is None else templates
    shared = rng.random(drawn)[:, None] < alike
    state = np.where(shared, rng.random(drawn)[:, None] < level, rng.random((drawn, cpgs)) < level)
    shown = np.where(state, rng.random((drawn, cpgs)) >= g, rng.random((drawn, cpgs)) < e)
    unconverted = rng.binomial(sites, e, drawn)
    if templates is not None:
        pick = rng.integers(templates, size=n)
        shown, unconverted = shown[pick], unconverted[pick]
    return molecules(shown, unconverted, np.full(n, sites), np.ones(n))


@pytest.mark.parametrize(
    ("level", "e", "g", "templates"),
    [(0.0, 0.01, 0.0, None), (0.005, 0.005, 0.0, None), (0.02, 0.03, 0.01, None), (0.08, 0.01, 0.01, 300)],
)
def test_intervals_cover_the_true_level_at_their_rate(level, e, g, templates):
    """95 % of 600 libraries of 400 molecules, within three binomial standard errors of that share."""
    rng = np.random.default_rng(20240112)
    runs, covered, errors, stated = 600, 0, [], []
    weight = [np.full((20, 1), 1 / 20)]
    for _ in range(runs):
        part = simulate(rng, 400, level, e, g, templates)
        known = np.nan if templates is None else float(templates)
        rate = estimate.non_conversion([part], known)
        found = estimate.correct(
            estimate.observed_shares([part], weight, rate, known), rate, Rate(g, 0.0, np.inf), 0.95
        )
        covered += found.low[0] <= level <= found.high[0]
        errors.append(found.beta[0] - level)
        stated.append(found.se[0])
    rate_error = np.sqrt(0.05 * 0.95 / runs)
    assert abs(covered / runs - 0.95) < 3 * rate_error
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(runs)
    # 600 runs know their own spread to 3 %
    assert np.sqrt(np.mean(np.square(stated))) == pytest.approx(np.std(errors), rel=0.1)


def test_degrees_of_freedom_follow_how_many_molecules_carry_the_variance():
    """k equal contributions c: V = k c², so 2 V² / (k c⁴) = 2 k; nothing to learn from means no limit."""
    assert estimate.degrees_of_freedom(5 * 0.1**2, 5 * 0.1**4) == pytest.approx(10)
    assert estimate.degrees_of_freedom(0.0, 0.0) == np.inf
    assert estimate.quantile(0.95, 10) == pytest.approx(2.228, abs=5e-4)  # Student's t in any table
    assert estimate.quantile(0.95, np.inf) == pytest.approx(1.95996, abs=5e-6)


def test_a_single_cpg_has_the_binomial_error():
    rng = np.random.default_rng(1)
    part = simulate(rng, 500, 0.3, 0.0, 0.0, sites=10)
    rate = Rate(0.0, 0.0, np.inf)
    shares = estimate.observed_shares([part], [np.eye(20)], rate, np.nan)
    p = part.methylated.mean(axis=0)
    assert shares.p == pytest.approx(p)
    assert shares.variance == pytest.approx(p * (1 - p) / 500)
    assert shares.trials == pytest.approx(np.full(20, 500))


def test_correction_removes_a_false_arm_effect_that_raw_levels_show():
    """Same true level in both arms, conversion worse in one: raw means differ clearly, corrected means do not."""
    rng = np.random.default_rng(5)
    raw, corrected = [], []
    for e in (0.002, 0.015):
        arm = []
        for _ in range(30):
            part = simulate(rng, 500, 0.02, e, 0.0)
            rate = estimate.non_conversion([part], np.nan)
            weight = [np.full((20, 1), 1 / 20)]
            found = estimate.correct(
                estimate.observed_shares([part], weight, rate, np.nan), rate, Rate(0.0, 0.0, np.inf), 0.95
            )
            arm.append((found.raw[0], found.beta[0]))
        arm = np.array(arm)
        raw.append(arm[:, 0])
        corrected.append(arm[:, 1])

    def t(two):
        return (two[1].mean() - two[0].mean()) / np.sqrt(sum(x.var(ddof=1) / len(x) for x in two))

    assert t(raw) > 5
    assert abs(t(corrected)) < 2.5
