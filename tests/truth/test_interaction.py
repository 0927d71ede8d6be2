"""The interaction that the simulator puts in comes out, at the level of tables, within its interval at its rate."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpaxis.methylation.panels.panel import read_panel
from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.linear import coefficient_table, fit_linear
from hpaxis.simulation import cohort as cohorts
from hpaxis.simulation.reads import panel_amplicon, random_stream

PANEL = Path(__file__).parents[2] / "resources" / "panels" / "nr3c1_exon1f"
STUDIES, DYADS = 200, 44
# Error of a region mean at some 1,700 molecules, in points of percent: test_methylation.py measures it.
MEASUREMENT_SE = 0.13


def fitted(children, **columns):
    spec = Spec(
        outcome="competence", predictor="region_mean", moderator="arm", covariates=(), reference="control",
        standardise=(), cluster=None, **columns,
    )  # fmt: skip
    table = coefficient_table(fit_linear(build_design(children, spec, "test"), "HC3", "test"))
    return table.set_index("term")


@pytest.fixture(scope="module")
def estimates():
    """Interaction estimates of 600 studies of 44 dyads; arms are dealt in blocks of 4, so each has 22 and 22."""
    amplicon = panel_amplicon(read_panel(PANEL))
    rows = []
    for seed in range(3):
        settings = cohorts.default_settings(dyads=STUDIES * DYADS)
        cohort = cohorts.simulate_cohort(settings, seed, amplicon)
        people = cohort.people[["participant_id", "region_mean"]]
        child = cohort.participants[cohort.participants["role"] == "child"].merge(people, on="participant_id")
        noise = random_stream(seed, "measurement").normal(0, MEASUREMENT_SE, len(child))
        child["region_mean"] = 100 * child["region_mean"] + noise
        for k in range(STUDIES):
            study = child.iloc[k * DYADS : (k + 1) * DYADS]
            assert study["arm"].value_counts().to_dict() == {"control": 22, "treatment": 22}
            table = fitted(study)
            row = table.loc["region_mean:arm[treatment]"]
            rows.append((row["estimate"], row["se"], row["low"], row["high"], table.loc["region_mean", "estimate"]))
    return pd.DataFrame(rows, columns=["estimate", "se", "low", "high", "control"])


def test_the_interaction_is_recovered_on_average(estimates):
    truth = cohorts.true_coefficients(cohorts.default_settings(), ("control", "treatment"))
    truth = truth.set_index(["model", "term"])["per_percent"]
    reliability = 0.6**2 / (0.6**2 + MEASUREMENT_SE**2)
    for column, term in (("estimate", "interaction:treatment"), ("control", "slope:control")):
        expected = truth["competence", term] * reliability
        standard_error = estimates[column].std() / np.sqrt(len(estimates))
        # A score cut at 22 takes about 1 % of a slope; 3 standard errors are 5 % of the interaction.
        assert estimates[column].mean() == pytest.approx(expected, abs=3 * standard_error + 0.01 * abs(expected))


def test_the_interval_holds_the_truth_at_its_rate(estimates):
    truth = 3.5 * 0.6**2 / (0.6**2 + MEASUREMENT_SE**2)
    covered = ((estimates["low"] <= truth) & (truth <= estimates["high"])).mean()
    # HC3 with t is a little wide at n = 44 with equal variances (5 % tests reject 3.8-4.0 %, by simulation): .96
    # within 3 binomial standard errors of 600 studies.
    assert abs(covered - 0.96) < 3 * np.sqrt(0.96 * 0.04 / len(estimates))


def test_without_an_interaction_none_is_found():
    amplicon = panel_amplicon(read_panel(PANEL))
    settings = cohorts.default_settings(dyads=STUDIES * DYADS, slopes=[-0.2, -0.2])
    cohort = cohorts.simulate_cohort(settings, 11, amplicon)
    people = cohort.people[["participant_id", "region_mean"]]
    child = cohort.participants[cohort.participants["role"] == "child"].merge(people, on="participant_id")
    found = [
        fitted(child.iloc[k * DYADS : (k + 1) * DYADS]).loc["region_mean:arm[treatment]", "p"] < 0.05
        for k in range(STUDIES)
    ]
    assert np.mean(found) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / STUDIES)
