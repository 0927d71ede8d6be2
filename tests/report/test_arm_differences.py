"""Whether arms differ by more than the error of measurement: by hand, and where nothing but that error is."""

import numpy as np
import pandas as pd
import pytest

from hpaxis.report.describe import arm_differences
from hpaxis.report.methylation import difference_table
from hpaxis.report.privacy import Cells


def people(levels, errors, arms):
    return pd.DataFrame({"role": "child", "arm": arms, "ngfi_a_beta": levels, "ngfi_a_beta_se": errors})


def test_the_table_is_what_a_hand_calculation_gives():
    table = people([0.02, 0.03, 0.04, 0.05, 0.07], [0.003, 0.004, 0.005, 0.01, 0.02], list("aaabb"))
    (row,) = arm_differences(table, ["a", "b"], Cells(0)).to_dict("records")
    assert (row["arm"], row["reference"], row["n"], row["n_reference"]) == ("b", "a", 2, 3)
    assert row["difference"] == pytest.approx(3.0)
    assert row["se"] == pytest.approx(np.sqrt(2 / 2 + 1 / 3))  # variances of 5, 7 and of 2, 3, 4
    own = np.sqrt((0.3**2 + 0.4**2 + 0.5**2) / 9 + (1 + 4) / 4)
    assert row["difference_error"] == pytest.approx(own) and row["smallest"] == pytest.approx(1.959964 * own, rel=1e-6)
    assert row["person_error"] == pytest.approx(np.sqrt((0.09 + 0.16 + 0.25 + 1 + 4) / 5))
    assert row["larger"] == "yes"


def test_where_people_are_alike_a_difference_is_larger_one_time_in_twenty():
    rng, larger = np.random.default_rng(5), 0
    for _ in range(400):
        errors = rng.uniform(0.002, 0.01, 40)
        table = people(0.03 + errors * rng.normal(size=40), errors, ["a", "b"] * 20)
        larger += arm_differences(table, ["a", "b"], Cells(0))["larger"].iloc[0] == "yes"
    assert 8 <= larger <= 36  # 20 of 400 expected; binomial SD 4.4


def test_few_people_withhold_the_row_and_other_columns_make_none():
    table = people([0.02, 0.03, 0.04, 0.05, 0.07], 0.003, list("aaabb")).assign(age=3.0)
    found = arm_differences(table, ["a", "b"], Cells(5))
    assert found["withheld"].tolist() == ["yes"] and found["difference"].isna().all()
    assert "withheld" in str(difference_table(found).rows)
    assert arm_differences(table.drop(columns="ngfi_a_beta_se"), ["a", "b"], Cells(0)).empty


def test_an_n_that_would_tell_how_few_lack_a_level_is_withheld():
    """20 in each arm, one of them without a level: 19 beside 20 would say so; the difference itself stays."""
    table = people(np.r_[np.nan, np.linspace(0.02, 0.05, 39)], 0.003, ["a", "b"] * 20)
    found = arm_differences(table, ["a", "b"], Cells(5))
    assert found[["n", "n_reference"]].isna().all(axis=None) and found["difference"].notna().all()
    assert difference_table(found).rows[0][3] == "withheld"
    assert difference_table(arm_differences(table, ["a", "b"], Cells(0))).rows[0][3] == "20, 19"
