"""Hair in segments: months of growth, and a person's slope against statsmodels and simulated truth."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from hpaxis.cohort.columns import segmented
from hpaxis.cortisol.runs import RunVariance
from hpaxis.cortisol.segments import line, months, trajectories


def segments(values, log_se, **more):
    """Consecutive segments of 3 cm of one person's hair, at 1 cm per month."""
    n = len(values)
    return pd.DataFrame({
        "hair_id": [f"H{i}" for i in range(n)], "participant_id": "001", "timepoint": "m", "platform": "k",
        "month_from": 3.0 * np.arange(n), "month_to": 3.0 * np.arange(1, n + 1), "plate_id": "P1",
        "cortisol_pg_per_mg": values, "log_se": log_se, "log_se_within_run": log_se, "censored": "none", **more,
    })  # fmt: skip


def test_a_line_is_that_of_statsmodels():
    rng = np.random.default_rng(2)
    x, v = np.arange(6.0), rng.uniform(0.01, 0.1, 6)
    y = 1 + 0.1 * x + rng.normal(0, np.sqrt(v))
    fit = sm.WLS(y, sm.add_constant(x), weights=1 / v).fit(cov_type="fixed scale")
    found = line(x, y, v)
    scale = np.sqrt(max(found["chi2"] / 4, 1))
    assert [found["intercept"], found["slope"]] == pytest.approx(fit.params)
    assert [found["intercept_se"], found["slope_se"]] == pytest.approx(fit.bse * scale)


def test_a_rise_in_time_is_a_positive_slope_per_month():
    # 8 nearest the scalp, 4 three months earlier, 2 before that: doubled every 3 months.
    row = trajectories(segments([8.0, 4.0, 2.0], 0.1), {}, {}).iloc[0]
    assert row["slope"] == pytest.approx(np.log(2) / 3) and row["p"] == pytest.approx(1)
    assert row["slope_se"] == pytest.approx(0.1 / np.sqrt(2 * 9))
    assert row["at_scalp"] == pytest.approx(np.log(8 * np.sqrt(2)))
    assert months(6, 1.5) == 4.0


def test_what_a_run_shares_is_in_the_slope_only_across_runs():
    between = {"k": RunVariance(0.04, 4, 0.0, 0.0, 2, (), "runs")}
    table = segments([8.0, 4.0], np.sqrt(0.05), log_se_within_run=0.1)
    same = trajectories(table, between, {}).iloc[0]["slope_se"]
    plates = table.assign(plate_id=["P1", "P2"])
    apart = trajectories(plates, between, {}).iloc[0]["slope_se"]
    assert same == pytest.approx(np.sqrt(2 * 0.01) / 3) and apart == pytest.approx(np.sqrt(2 * 0.05) / 3)
    declared = trajectories(plates, between, {"P1": "R1", "P2": "R1"}).iloc[0]
    assert declared["slope_se"] == pytest.approx(same)
    # At the scalp a straight line of 1.5 and 4.5 months weighs 1.5 and -.5; what the run shares stays whole.
    assert declared["at_scalp_se"] == pytest.approx(np.sqrt((1.5**2 + 0.5**2) * 0.01 + 0.04))


def test_repeats_in_the_same_two_runs_share_half_of_what_a_run_does():
    shared, own, within = 0.04, 0.01, 0.005
    between = {"k": RunVariance(shared, 4, own, 3.0, 2, (), "runs")}
    total = within + shared / 2 + own / 2
    table = segments([8.0, 4.0], np.sqrt(total), log_se_within_run=np.sqrt(within), plate_id="P1;P2")
    row = trajectories(table, between, {"P1": "R1", "P2": "R2"}).iloc[0]
    assert row["slope_se"] == pytest.approx(np.sqrt(2 * (within + own / 2)) / 3)
    assert row["at_scalp_se"] == pytest.approx(np.sqrt((1.5**2 + 0.5**2) * (within + own / 2) + shared / 2))
    # Repeats on two plates of one run share all of it.
    once = table.assign(log_se=np.sqrt(within + shared + own / 2))
    same = trajectories(once, between, {"P1": "R1", "P2": "R1"}).iloc[0]
    assert same["slope_se"] == pytest.approx(row["slope_se"])
    assert same["at_scalp_se"] == pytest.approx(np.sqrt((1.5**2 + 0.5**2) * (within + own / 2) + shared))


@pytest.mark.long
def test_slopes_hold_the_truth():
    """Gamma errors about straight courses; intervals from the errors' own sizes."""
    rng, people = np.random.default_rng(6), 800
    slope = rng.normal(0, 0.05, people)
    parts = []
    for i in range(people):
        true = np.exp(1.8 + slope[i] * -(1.5 + 3.0 * np.arange(4)))
        seen = true * rng.gamma(1 / 0.12**2, 0.12**2, 4)
        parts.append(segments(seen, np.sqrt(np.log1p(0.12**2)), participant_id=f"{i:04d}"))
    table = trajectories(pd.concat(parts, ignore_index=True), {}, {})
    inside = (table["slope_low"] <= slope) & (slope <= table["slope_high"])
    # Wider than 95 % by Birge's ratio, which is never below 1; 3 standard errors are .023.
    assert 0.94 < inside.mean() < 0.99, inside.mean()
    assert abs((table["slope"] - slope).mean()) < 3 * table["slope_se"].mean() / np.sqrt(people)


def test_what_cannot_be_a_course_is_said():
    censored = segments([8.0, np.nan], 0.1, censored=["none", "below"])
    row = trajectories(censored, {}, {}).iloc[0]
    assert row["flags"] == "too_few_segments" and row["censored"] == 1 and np.isnan(row["slope"])
    crooked = trajectories(segments([8.0, 1.0, 8.0], 0.1), {}, {}).iloc[0]
    assert crooked["flags"] == "not_straight" and crooked["slope_se"] > 0.1
    assert trajectories(segments([8.0], 0.1), {}, {}).empty
    hair = pd.DataFrame({"participant_id": ["1", "1"], "timepoint": "m", "segment_to_cm": [3.0, 6.0]})
    assert segmented(hair) and not segmented(hair.assign(segment_to_cm=3.0))
    overlap = segments([8.0, 4.0], 0.1).assign(month_from=[0.0, 2.0])
    assert trajectories(overlap, {}, {}).iloc[0]["flags"] == "overlapping_segments"
