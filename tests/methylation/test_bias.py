"""PCR bias: curves of known parameters found again, the right one chosen, and a study whose levels come out true."""

from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml

from hpaxis.methylation.levels.bias import NONE, calibrate, choose, fit_curves, with_scatter
from hpaxis.methylation.levels.estimate import Estimate
from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.methylation.levels.replicates import widen
from hpaxis.methylation.panels.panel import read_panel
from hpaxis.schemas import load, with_defaults
from hpaxis.simulation.reads import biased_levels, panel_amplicon
from hpaxis.simulation.recovery import sequence_free, simulate_run

ROOT = Path(__file__).parents[2]
SETTINGS = with_defaults({}, load("config/methylation"))
KNOWN = np.array([0, 0, 0.03, 0.05, 0.07, 0.1, 1])


def one(value, se, low, high):
    return Estimate(*(np.array([v]) for v in (value, value, se, low, high)))


def test_a_hyperbola_is_found_and_inverted():
    """Odds × .5 in PCR: y = .5 x / (1 - .5 x); 10 % reads .05 / .95."""
    observed = biased_levels(KNOWN, 0.5)
    curves = fit_curves(KNOWN, observed, np.full(7, 0.001))
    curve, reason = choose(curves, "auto")
    assert curve.method == "hyperbolic" and reason.startswith("AICc lower by")
    assert curve.values == pytest.approx([0.5, 0, -0.5], abs=1e-6)
    assert curve.invert(0.05 / 0.95) == pytest.approx(0.1)
    # Slope of the curve at x: .5 / (1 - .5 x)²; below 0 it goes on straight.
    assert curve.slope(0.1) == pytest.approx(0.5 / 0.95**2, rel=1e-5)
    assert curve.invert(-0.001) == pytest.approx(-0.002, rel=1e-3)
    found = calibrate(one(0.05 / 0.95, 0.002, 0.05, 0.056), curve, 0.95)
    assert found.beta[0] == pytest.approx(0.1)
    assert found.se[0] == pytest.approx(np.sqrt(0.002**2 + curve.variance(0.1)) * 0.95**2 / 0.5, rel=1e-4)
    assert found.low[0] < curve.invert(0.05) and found.high[0] > curve.invert(0.056)


def test_without_bias_no_curve_is_used_but_by_chance():
    rng = np.random.default_rng(2)
    errors = np.full(7, 0.002)
    chosen = [choose(fit_curves(KNOWN, KNOWN + rng.normal(0, errors), errors), "auto")[0].method for _ in range(150)]
    assert chosen.count("none") >= 0.93 * 150


def test_the_interval_holds_the_truth_with_the_errors_of_both():
    """400 studies: seven standards with errors of .3 points, a sample at 6 % with .2; 95 % within 3 binomial errors."""
    rng, covered = np.random.default_rng(3), 0
    known = np.array([0, 0.02, 0.05, 0.1, 0.25, 0.5, 1])
    truth, errors = 0.06, np.full(7, 0.003)
    for _ in range(400):
        curve = fit_curves(known, biased_levels(known, 0.6) + rng.normal(0, errors), errors)[2]
        y = biased_levels(truth, 0.6) + rng.normal(0, 0.002)
        found = calibrate(one(y, 0.002, y - 1.96 * 0.002, y + 1.96 * 0.002), curve, 0.95)
        covered += found.low[0] <= truth <= found.high[0]
    assert abs(covered / 400 - 0.95) < 3 * np.sqrt(0.05 * 0.95 / 400)


def test_what_cannot_be_used_says_why():
    few = fit_curves(KNOWN[2:6], KNOWN[2:6], np.full(4, 0.001))
    assert few[3].fault == "4 standards are too few for 4 parameters"
    curve, reason = choose(few, "cubic")
    assert curve.method == "none" and reason.startswith("cubic was asked for, but")
    known = np.array([0, 0.2, 0.4, 0.6, 0.8, 1])
    falling = fit_curves(known, np.array([0, 0.5, 0.7, 0.6, 0.5, 0.9]), np.full(6, 0.01))
    assert "does not rise" in falling[3].fault


@pytest.fixture(scope="module", params=[1.0, 0.6])
def study(request):
    """12 people, and standards of 0 to 100 %, with PCR bias or without."""
    panel = read_panel(ROOT / "resources" / "panels" / "nr3c1_exon1f")
    amplicon = panel_amplicon(panel)
    levels = [2, 3, 4, 6] * 3 + [3, 5, 7, 10, 50]
    libraries, sheet = simulate_run(levels, np.full(len(levels), 0.5), amplicon, 12, 4000)
    libraries = [replace(d, pcr_bias=request.param) for d in libraries]
    for i, level in zip(range(12, 17), levels[12:]):
        libraries[i] = replace(libraries[i], levels=np.full(amplicon.offsets.size, level / 100))
    made = sheet.index.isin(range(12, 17))
    sheet.loc[made, ["kind", "participant_id", "timepoint"]] = ["standard", np.nan, np.nan]
    sheet.loc[made, "expected_percent"] = levels[12:]
    sheet = sheet.assign(panel=panel.name, expected_percent=sheet["expected_percent"].astype(float))
    tables = sequence_free(libraries, amplicon, panel, 12)
    found = estimate_study(sheet, {panel.name: panel}, tables, SETTINGS)
    plain = estimate_study(sheet, {panel.name: panel}, tables, SETTINGS | {"calibration": "none"})
    return request.param, pd.Series({d.library_id: d.levels.mean() for d in libraries}), found, plain


@pytest.mark.long
def test_a_study_with_bias_comes_out_true_and_one_without_is_left_alone(study):
    bias, truth, found, plain = study
    rows = found.libraries[found.libraries["kind"] == "study"].set_index("library_id")
    raw = plain.libraries.set_index("library_id").loc[rows.index, "region_mean_beta"]
    error, before = rows["region_mean_beta"] - truth[rows.index], raw - truth[rows.index]
    chosen = found.calibration[found.calibration["chosen"] == "yes"].set_index("index")["method"]
    if bias == 1:
        assert (chosen == "none").all() and (rows["region_mean_beta"] == raw).all()
    else:
        assert chosen["region_mean"] == "hyperbolic" and before.mean() < -0.01
        assert abs(error.mean()) < 0.002
        covered = truth[rows.index].between(rows["region_mean_beta_low"], rows["region_mean_beta_high"])
        assert covered.sum() >= 9
        people = found.indices.set_index("participant_id")
        assert 100 * abs(people["region_mean_beta"].mean() - truth[rows.index].mean()) < 0.2


def test_the_table_is_as_its_schema_says(study):
    table = study[2].calibration
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "methylation_calibration.schema.yaml").read_text())
    assert list(table.columns) == list(schema["properties"])
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        jsonschema.validate({k: v.item() if hasattr(v, "item") else v for k, v in row.items()}, schema)
    assert (table.groupby("index")["chosen"].apply(lambda c: (c == "yes").sum()) == 1).all()


@pytest.mark.parametrize("kappa", [0.0, 0.01])
def test_what_standards_scatter_by_beyond_their_errors_is_in_every_interval(kappa):
    """Ten standards, each off by its preparation (SD 5 points at 50 %) and by a reading: as libraries are."""
    rng, error = np.random.default_rng(6), 0.01
    x = np.array([0.02, 0.02, 0.05, 0.05, 0.1, 0.1, 0.25, 0.25, 0.5, 0.5])
    held, narrow, found = [], [], []
    for _ in range(600):
        y = x + np.sqrt(kappa * x * (1 - x) + error**2) * rng.normal(size=len(x))
        none = fit_curves(x, y, np.full(len(x), error))[0]
        curve = with_scatter(none, x, y, np.full(len(x), error))
        found.append(curve.scatter)
        level = rng.uniform(0.02, 0.5)
        seen = level + np.sqrt(kappa * level * (1 - level) + error**2) * rng.normal()
        plain = one(seen, error, seen - 1.96 * error, seen + 1.96 * error)
        wide = widen(plain, curve.scatter, 0.95, curve.scatter_df)
        for list_, e in ((held, wide), (narrow, plain)):
            list_.append(e.low[0] <= level <= e.high[0])
    if kappa:
        assert np.mean(found) == pytest.approx(kappa, rel=0.1)
        # Student's t for a variance from ten standards; binomial SD .009, and what depends on the level.
        assert 0.92 < np.mean(held) < 0.985 and np.mean(narrow) < 0.6
    else:
        assert np.mean(np.array(found) > 0) < 0.08 and 0.93 < np.mean(held) < 0.975


def test_few_standards_or_exact_ones_tell_no_scatter():
    x = np.array([0, 0.1, 0.2, 1])
    assert with_scatter(NONE, x, x + 0.05, np.full(4, 0.001)).scatter == 0  # two between 0 and 100 %
    x = np.array([0, 0.05, 0.1, 0.25, 0.5, 1])
    assert with_scatter(NONE, x, x, np.full(6, 0.001)).scatter == 0
