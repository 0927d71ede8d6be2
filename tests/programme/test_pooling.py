"""Pooling of studies: against metafor, known truth, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from hpaxis.problems import InputError
from hpaxis.programme.pooling import pool_studies, random_effects


def summary(estimate, se, **changes):
    facts = {
        "outcome": "competence", "predictor": "region_mean_beta", "scale": "beta", "moderator": "arm",
        "population": "child", "covariates": "none", "covariance": "HC3", "standardise": "outcome; predictor",
        "outcome_sd": 4.0, "predictor_sd": 0.01, "panel": "nr3c1_exon1f", "assay": "amplicon", "timepoint": "month12",
        "design": "randomised", "plan": "confirmatory",
    } | changes  # fmt: skip
    row = {"quantity": "treatment - control", "estimate": estimate, "se": se, "df": 40, "p": 0.5, "n": 44}
    return pd.DataFrame([row | facts])


# metafor 3.8-1: rma(y, sei = s, method = "PM", test = "knha"), whose tau2 is iterated to about 1e-5.
METAFOR = [
    ([0.7, 0.3, 0.45], [0.27, 0.2, 0.15], (0.4461443299, 0.09235347769, 0, 0.04027924572, 0.048779387, 0.8435092728)),
    (
        [0.7, 0.3, 0.45, -0.2, 0.9],
        [0.27, 0.2, 0.15, 0.1, 0.3],
        (0.3752950942, 0.1901312054, 0.1384492762, 0.1196375179, -0.1525937606, 0.9031839489),
    ),
]


def test_the_variance_between_studies_solves_its_equation():
    """Cochran's Q at the estimate is k - 1, also where a first Newton step overshoots the root."""
    rng = np.random.default_rng([22, 1])
    y, s = rng.normal(0.4, 0.4, 6), rng.uniform(0.1, 0.3, 6)
    found, _ = random_effects(y, s)
    w = 1 / (s**2 + found["tau2"])
    assert (w * (y - found["estimate"]) ** 2).sum() == pytest.approx(5, rel=1e-9)
    assert found["tau2"] == pytest.approx(0.2561433906, abs=1e-4)  # metafor


@pytest.mark.parametrize(("y", "s", "expected"), METAFOR)
def test_random_effects_equal_metafor(y, s, expected):
    found, weights = random_effects(y, s)
    values = [found[k] for k in ("estimate", "se", "tau2", "p", "low", "high")]
    np.testing.assert_allclose(values, expected, atol=1e-5)
    assert weights.sum() == pytest.approx(1)


def test_studies_and_their_summary_stand_together():
    pooled, differences = pool_studies({"a": summary(0.7, 0.27), "b": summary(0.3, 0.2, assay="pyrosequencing")})
    assert pooled["study"].tolist() == ["a", "b", "pooled"]
    assert pooled.loc[2, "n"] == 88
    assert differences.to_records(index=False).tolist() == [
        ("assay", "a", "amplicon"), ("assay", "b", "pyrosequencing"),
    ]  # fmt: skip


def test_what_measures_something_else_is_refused_all_at_once():
    with pytest.raises(InputError) as error:
        pool_studies({"a": summary(0.7, 0.27), "b": summary(0.3, 0.2, outcome="language", timepoint="month24")})
    text = " ".join(str(p) for p in error.value.problems)
    assert "has outcome language, but a has competence" in text
    assert "has timepoint month24, but a has month12" in text


def test_designs_are_not_pooled_across_unless_asked():
    studies = {"a": summary(0.7, 0.27), "b": summary(0.3, 0.2), "c": summary(0.1, 0.2, design="cohort")}
    apart, _ = pool_studies(studies)
    assert apart.loc[apart["study"] == "pooled", "design"].tolist() == ["randomised"]
    assert "nothing is pooled" in apart.loc[apart["study"] == "c", "note"].iloc[0]
    together, _ = pool_studies(studies, across_designs=True)
    assert together.loc[together["study"] == "pooled", "n"].tolist() == [132]


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_three_studies_cover_the_truth(spread):
    """1,000 programmes of three studies, true mean .4: 95 % within three standard errors (.021) of nominal."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(1000):
        true = 0.4 + spread * rng.standard_normal(3)
        se = rng.uniform(0.2, 0.3, 3)
        found, _ = random_effects(true + se * rng.standard_normal(3), se)
        held += found["low"] <= 0.4 <= found["high"]
    assert held / 1000 == pytest.approx(0.95, abs=0.021)
