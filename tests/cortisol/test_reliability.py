import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from hpaxis.cortisol.reliability import icc, reliability_table

# The six targets and four judges of Shrout and Fleiss (1979), whose ICC(1,1) is .17 and ICC(1,4) .44.
SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_the_example_of_shrout_and_fleiss():
    found = icc(np.ravel(SHROUT_FLEISS), np.repeat(np.arange(6), 4))
    assert (found["subjects"], found["measurements"], found["per_subject"]) == (6, 24, 4)
    assert round(found["icc"], 2) == 0.17
    assert round(found["icc_mean"], 2) == 0.44
    # The F interval from statsmodels' analysis of variance of the same table.
    table = pd.DataFrame({"y": np.ravel(SHROUT_FLEISS), "target": np.repeat(list("abcdef"), 4)})
    f = anova_lm(ols("y ~ target", table).fit()).loc["target", "F"]
    low, high = f / stats.f.ppf(0.975, 5, 18), f * stats.f.ppf(0.975, 18, 5)
    assert found["icc"] == pytest.approx((f - 1) / (f + 3))
    assert (found["low"], found["high"]) == (
        pytest.approx((low - 1) / (low + 3)),
        pytest.approx((high - 1) / (high + 3)),
    )


def test_unequal_numbers_and_single_measurements():
    rng = np.random.default_rng(4)
    subject = np.repeat(np.arange(400), rng.integers(1, 5, 400))
    truth = rng.normal(0, 1, 400)
    found = icc(truth[subject] + rng.normal(0, 1, len(subject)), subject)
    counts = np.bincount(subject)
    assert found["subjects"] == (counts > 1).sum()
    assert found["measurements"] == counts[counts > 1].sum()
    # Equal variances between and within: .5; with 300 subjects the interval is about .1 wide on each side.
    assert found["low"] < 0.5 < found["high"]
    assert found["high"] - found["low"] < 0.2


def test_the_interval_covers():
    rng = np.random.default_rng(8)
    hits = 0
    for _ in range(400):
        values = np.repeat(rng.normal(0, 1, 20), 2) + rng.normal(0, 1, 40)
        found = icc(values, np.repeat(np.arange(20), 2))
        hits += found["low"] <= 0.5 <= found["high"]
    # Exact for balanced normal data; 400 draws have a standard error of 1.1 points.
    assert 0.925 <= hits / 400 <= 0.975


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="2 subjects were measured more than once, and an ICC needs 3"):
        icc([1, 2, 3, 4, 5], ["a", "a", "b", "b", "c"])
    with pytest.raises(ValueError, match="identical"):
        icc([1, 1, 2, 2, 3, 3], list("aabbcc"))


def measurements(repeats, segments):
    rng = np.random.default_rng(9)
    rows = []
    for person in range(30):
        level = rng.normal(1.8, 0.6)
        for segment in range(segments):
            here = level + rng.normal(0, 0.3)
            for plate in range(repeats):
                value = np.exp(here + rng.normal(0, 0.1))
                rows.append(
                    (
                        f"P{plate}",
                        f"H{person}-{segment}",
                        f"{person:05d}",
                        "month12",
                        f"{segment}-{segment + 1}cm",
                        "elisa",
                        value,
                    )
                )
    names = ["plate_id", "hair_id", "participant_id", "timepoint", "segment", "platform", "cortisol_pg_per_mg"]
    return pd.DataFrame(rows, columns=names)


def test_repeats_and_segments_stand_apart():
    table = reliability_table(measurements(2, 2)).set_index("kind")
    assert table.loc["repeats", "subjects"] == 60
    assert table.loc["segments", "subjects"] == 30
    assert table.loc["segments", "measurements"] == 60
    assert table.loc["repeats", "icc"] > 0.9
    assert table.loc["segments", "icc"] < table.loc["repeats", "icc"] - 0.05
    # SD .1 of ln between repeats is a CV of 10 %.
    assert table.loc["repeats", "within_cv_percent"] == pytest.approx(10, rel=0.25)


def test_a_study_without_repeats_says_so():
    table = reliability_table(measurements(1, 1))
    assert table["icc"].isna().all()
    assert table["note"].str.startswith("0 subjects").all()
