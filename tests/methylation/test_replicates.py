"""Overdispersion between libraries of one sample: by hand, and of beta-binomial libraries of known rho."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import chi2

from hpaxis.methylation.levels.estimate import Estimate
from hpaxis.methylation.levels.replicates import estimate_overdispersion, replicate_groups, widen


def test_rho_by_hand():
    """One pair at .05 ± .01 with errors of .005: squares 2e-4 = se² + rho .05 .95, one degree of freedom."""
    group = (np.array([0.04, 0.06]), np.array([0.005, 0.005]))
    found = estimate_overdispersion([group], "auto", 0.95)
    assert found.rho == pytest.approx((2e-4 - 0.005**2) / (0.05 * 0.95), rel=1e-6)
    assert (found.df, found.source) == (1, "replicates")
    assert found.high == 0.5  # a single pair hardly bounds it
    # At the lower limit the squares are the chi-square's upper quantile, or rho is 0.
    assert found.low == pytest.approx(max(2e-4 / chi2.ppf(0.975, 1) - 0.005**2, 0) / (0.05 * 0.95), rel=1e-4)


def test_settings_and_absence_are_told():
    group = (np.array([0.04, 0.06]), np.array([0.005, 0.005]))
    assert estimate_overdispersion([group], "none", 0.95).rho == 0
    assert estimate_overdispersion([group], 0.003, 0.95).rho == 0.003
    assert estimate_overdispersion([], "auto", 0.95).source == "no replicates"
    blanks = (np.array([0.0, 0.0001]), np.array([1e-5, 1e-5]))
    assert estimate_overdispersion([blanks], "auto", 0.95).source == "no replicates"


@pytest.mark.long
@pytest.mark.parametrize("rho", [0.0, 0.0005])
def test_rho_of_beta_binomial_libraries_is_found_and_covered(rho):
    """200 studies of 30 pairs of libraries, 20,000 molecules each; 95 % coverage within 4 binomial errors."""
    rng, covered, values = np.random.default_rng(8), 0, []
    for _ in range(200):
        groups = []
        for mean in rng.uniform(0.01, 0.08, 30):
            level = rng.beta(mean / rho - mean, (1 - mean) * (1 / rho - 1), 2) if rho else np.full(2, mean)
            seen = rng.binomial(20_000, level) / 20_000
            groups.append((seen, np.sqrt(seen * (1 - seen) / 20_000)))
        found = estimate_overdispersion(groups, "auto", 0.95)
        covered += found.low <= rho <= found.high
        values.append(found.rho)
    assert covered >= 200 * (0.95 - 4 * np.sqrt(0.05 * 0.95 / 200))
    # Cut off at 0 the mean is a little above it.
    assert np.mean(values) == pytest.approx(rho, abs=2e-5)


def test_replicates_are_libraries_of_one_sample_and_standards_of_one_level():
    panel = object()
    rows = [("a", "p1", "study", np.nan), ("b", "p1", "study", np.nan), ("c", "p2", "study", np.nan),
            ("d", None, "standard", 5.0), ("e", None, "standard", 5.0), ("f", None, "control_0", 0.0)]  # fmt: skip
    samples = [
        SimpleNamespace(panel=panel, row=SimpleNamespace(library_id=i, participant_id=p, timepoint="t", kind=k,
                                                         expected_percent=x))
        for i, p, k, x in rows
    ]  # fmt: skip
    levels = {i: (0.02, 0.001) for i, *_ in rows} | {"b": (0.03, 0.001)}
    groups = replicate_groups(samples, levels, panel)
    assert [list(b) for b, _ in groups] == [[0.02, 0.03], [0.02, 0.02]]
    assert replicate_groups(samples, levels | {"b": (np.nan, np.nan)}, panel)[0][0].tolist() == [0.02, 0.02]


def test_intervals_widen_by_rho():
    plain = Estimate(*(np.array([v]) for v in (0.06, 0.05, 0.004, 0.043, 0.059)))
    wide = widen(plain, 0.001, 0.95)
    extra = 0.001 * 0.05 * 0.95
    assert wide.se[0] == pytest.approx(np.sqrt(0.004**2 + extra))
    assert wide.high[0] == pytest.approx(0.05 + np.sqrt(0.009**2 + chi2.ppf(0.95, 1) * extra))
    assert widen(plain, 0.0, 0.95).low[0] == pytest.approx(0.043)
