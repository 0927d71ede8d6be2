"""Types of the analysis table survive from the sheet to the model."""

import numpy as np
import pandas as pd
import pytest

from hpaxis.cohort import read_analysis
from hpaxis.moderation import fit
from hpaxis.sheets import read_sheet, sheet_schema
from hpaxis.tables import write_table

OWN = {"site": "category", "y": "number", "x": "number"}


@pytest.mark.parametrize("code", ["{}", "0{}", "clinic{}"])
@pytest.mark.parametrize("role", ["covariates", "moderator"])
def test_groups_coded_by_numbers_are_the_groups_that_words_would_be(code, role, tmp_path):
    """Group 2 lies 5 points above 1 and 3, and its slope is 1 where theirs is -1: no line through 1, 2, 3 fits that."""
    rng = np.random.default_rng(0)
    site, x = np.repeat([1, 2, 3], 20), rng.normal(0, 1, 60)
    y = np.where(site == 2, 5 + x, -x) + rng.normal(0, 0.1, 60)
    people = pd.DataFrame({
        "participant_id": [f"P{i:03d}" for i in range(60)], "role": "child", "arm": np.tile(["a", "b"], 30),
        "site": [code.format(s) for s in site], "y": y, "x": x,
    })  # fmt: skip
    people.to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    sheet, problems = read_sheet(tmp_path / "participants.tsv", sheet_schema("participants", OWN))
    assert problems == []
    write_table(sheet.assign(parent_site=sheet["site"]), tmp_path / "analysis.tsv")
    back = read_analysis(tmp_path / "analysis.tsv", OWN)
    assert back["site"].tolist() == people["site"].tolist() == back["parent_site"].tolist()
    moderator, covariates = ("site", []) if role == "moderator" else ("arm", ["site"])
    result = fit(back, outcome="y", predictor="x", moderator=moderator, covariates=covariates)
    terms = [t for t in result.coefficients["term"].unique() if t.startswith("site[")]
    assert terms == [f"site[{code.format(2)}]", f"site[{code.format(3)}]"]
    if role == "moderator":
        slopes = result.slopes.set_index("moderator")["estimate"]
        assert slopes.to_numpy() == pytest.approx([-1, 1, -1], abs=0.1)
