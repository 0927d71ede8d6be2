"""The caller gives back the levels that were simulated: close, without bias, and within its intervals at their rate."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, ttest_ind

from hpaxis import schemas
from hpaxis.methylation.counting.calls import ReadFilters
from hpaxis.methylation.levels.libraries import StudyEstimates
from hpaxis.methylation.panels.panel import read_panel
from hpaxis.simulation import recovery
from hpaxis.simulation.reads import panel_amplicon

ROOT = Path(__file__).parents[2]
PANEL = read_panel(ROOT / "resources" / "panels" / "nr3c1_exon1f")
AMPLICON = panel_amplicon(PANEL)
SETTINGS = schemas.with_defaults({}, schemas.load("config/methylation"))
FILTERS = ReadFilters(**{k: SETTINGS[k] for k in ReadFilters.__dataclass_fields__})
LEVELS = (0, 0.5, 1, 2, 4, 8)
EACH = 40
# Of 1,160 pairs about 1,000 are of the amplicon and pass.
PAIRS = 1160


def rate_is(hits, trials, rate, chance=0.001):
    """Whether a number of hits is one that the rate gives in all but ``chance`` of cases."""
    return binom.ppf(chance / 2, trials, rate) <= hits <= binom.ppf(1 - chance / 2, trials, rate)


@dataclass(frozen=True)
class Recovered:
    """One row per library (`recovery.compare_run`, error in points), the estimates, and the libraries as planned."""

    table: pd.DataFrame
    found: StudyEstimates
    libraries: list


@pytest.fixture(scope="module")
def recovered():
    """One run: 40 libraries at each level, background non-conversion from 0.2 to 1.2 %."""
    rng = np.random.default_rng(1)
    levels = np.repeat(LEVELS, EACH)
    background = rng.uniform(0.2, 1.2, levels.size)
    libraries, sheet = recovery.simulate_run(levels, background, AMPLICON, seed=1, pairs=PAIRS)
    found = recovery.measure_run(libraries, sheet, AMPLICON, PANEL, SETTINGS, 1, FILTERS)
    table = recovery.compare_run(libraries, found)
    table["level"], table["background"] = levels, background
    return Recovered(table.assign(error=100 * (table["estimate"] - table["true"])), found, libraries)


def test_the_region_mean_is_right_to_015_points_at_1000_molecules(recovered):
    table, found = recovered.table, recovered.found
    passed = found.libraries.set_index("library_id").loc[table.index, "passed"]
    assert 950 < passed.median() < 1030
    # The limit asked for: .15 points, at each level and not only on average.
    assert (table["error"].abs().groupby(table["level"]).mean() < 0.15).all()


def test_the_region_mean_has_no_bias(recovered):
    table = recovered.table
    by_level = table.groupby("level")["error"].agg(["mean", "sem"])
    # The limit asked for is .05 points on average; a level's own mean is uncertain by its standard error.
    assert abs(table["error"].mean()) < 0.05
    assert (by_level["mean"].abs() < 0.05 + 2 * by_level["sem"]).all()


def test_the_interval_holds_the_truth_at_its_rate(recovered):
    table = recovered.table
    assert rate_is(table["covered"].sum(), len(table), 0.95)
    assert (table.groupby("level")["covered"].sum().map(lambda hits: rate_is(hits, EACH, 0.95))).all()


def test_every_index_is_within_its_interval_at_its_rate(recovered):
    levels = {library.library_id[1:]: library.levels for library in recovered.libraries}
    estimates = recovered.found.indices.set_index("participant_id")
    for index, members in PANEL.indices.groupby("index"):
        here = np.isin(AMPLICON.cpg_ids, members["cpg_id"])
        truth = pd.Series({k: v[here].mean() for k, v in levels.items()})[estimates.index]
        covered = truth.between(estimates[f"{index}_beta_low"], estimates[f"{index}_beta_high"])
        assert rate_is(covered.sum(), len(LEVELS) * EACH, 0.95), index


def test_non_conversion_is_measured_in_each_library(recovered):
    table = recovered.table
    # Sequencing errors at quality 20 and above add a few thousandths of a percent; 89 sites × 1,000 molecules count.
    difference = 100 * table["non_conversion"] - table["background"]
    assert difference.abs().max() < 0.15 and abs(difference.mean()) < 0.02
    assert np.corrcoef(table["background"], table["non_conversion"])[0, 1] > 0.98


def test_uncorrected_levels_are_too_high_by_about_the_non_conversion(recovered):
    table = recovered.table
    excess = 100 * (table["raw"] - table["true"])
    low = table["level"] <= 2
    assert np.allclose(excess[low].mean(), table["background"][low].mean(), atol=0.06)


def test_controls_at_0_percent_read_0_within_their_interval(recovered):
    table, found = recovered.table, recovered.found
    controls = found.libraries[found.libraries["kind"] == "control_0"]
    assert (controls["region_mean_beta_low"] <= 0).all() and (controls["region_mean_beta_high"] >= 0).all()
    at_0 = table[table["level"] == 0]
    assert rate_is(((at_0["low"] <= 0) & (at_0["high"] >= 0)).sum(), EACH, 0.95)


def test_conversion_that_differs_by_arm_fakes_an_effect_only_in_raw_levels():
    rng = np.random.default_rng(2)
    arm = np.tile([0, 1], 22)
    levels = rng.gamma(21.8, 2.8 / 21.8, arm.size)
    background = np.where(arm == 1, 1.4, 0.3)
    libraries, sheet = recovery.simulate_run(levels, background, AMPLICON, seed=3, pairs=PAIRS)
    found = recovery.measure_run(libraries, sheet, AMPLICON, PANEL, SETTINGS, 3, FILTERS)
    table = recovery.compare_run(libraries, found)

    def arm_difference(column):
        values = 100 * (table[column] - table["true"]).to_numpy()
        return values[arm == 1].mean() - values[arm == 0].mean(), ttest_ind(values[arm == 1], values[arm == 0]).pvalue

    raw, raw_p = arm_difference("raw")
    corrected, corrected_p = arm_difference("estimate")
    assert raw == pytest.approx(1.1 * 0.97, abs=0.15) and raw_p < 1e-6
    assert abs(corrected) < 0.12 and corrected_p > 0.01
