"""The programme on the page: what the tables say, in words, and nothing where nothing was asked."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hpaxis.moderation.change import change_table
from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.generalised import fit_generalised, generalised_table
from hpaxis.moderation.mixed import mixed_table
from hpaxis.moderation.prior import prior_table
from hpaxis.programme.pooling import pool_studies
from hpaxis.programme.worth import social_return, value_arms
from hpaxis.report.programme import programme_section
from hpaxis.report.trial import trial_blocks


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(4)
    n = 80
    table = pd.DataFrame({"participant_id": [f"p{i}" for i in range(n)], "role": "child"})
    table["arm"] = np.repeat(["control", "treatment"], n // 2)
    table["x"] = rng.normal(size=n)
    table["gain"] = rng.normal(size=n) + (table["arm"] == "treatment") * 0.8
    table["cost"] = rng.gamma(4, 50, n) + (table["arm"] == "treatment") * 300
    return table


def text_of(blocks):
    parts = []
    for block in blocks:
        parts.append(getattr(block, "text", "") or "")
        for row in getattr(block, "rows", ()):
            parts += list(row)
        parts.append(getattr(block, "note", "") or "")
    return " ".join(map(str, parts))


def test_nothing_asked_nothing_said():
    assert programme_section({}, {}) is None
    assert trial_blocks(SimpleNamespace(tables={}, entry={})) == []


def test_pooled_studies_in_words():
    facts = dict.fromkeys(("outcome", "predictor", "scale", "panel", "timepoint", "population", "standardise"), "same")
    facts |= {"covariates": "none", "covariance": "HC3", "outcome_sd": 1.0, "predictor_sd": 1.0, "plan": "confirmatory"}

    def one(b, se, assay):
        return pd.DataFrame([{"quantity": "treatment - control", "estimate": b, "se": se, "df": 40, "p": 0.1, "n": 44,
                              "design": "randomised", "assay": assay, **facts}])  # fmt: skip

    pooled, differences = pool_studies({"a": one(0.7, 0.27, "amplicon"), "b": one(0.3, 0.2, "levels")})
    section = programme_section({"pooled": pooled, "differences": differences}, {"forest": "<svg/>"})
    said = text_of(section.blocks)
    row = pooled[pooled["study"] == "pooled"].iloc[0]
    assert f"{row['estimate']:.2f}" in said
    assert "a: amplicon; b: levels" in said


def test_worth_and_social_return_say_what_the_tables_say(people):
    settings = {"population": "child", "cost": "cost", "effect": "gain", "predictor": "x", "draws": 300,
                "willingness": [0, 500, 1000]}  # fmt: skip
    tables = value_arms(people, settings, ["control", "treatment"], 1)
    outcome = {"outcome": "calmer families", "quantity": 30, "quantity_low": 20, "quantity_high": 40, "value": 1000.0,
               "value_low": 500.0, "value_high": 1500.0, "years": 3, "deadweight": 0.2, "attribution": 0.1,
               "displacement": 0.0, "drop_off": 0.3, "source": "by hand", "price_year": 2025}  # fmt: skip
    account, ratio, tornado = social_return(pd.DataFrame([outcome]), 20000, 0.035, 500, np.random.default_rng(1))
    tables |= {"social_return": account, "social_ratio": ratio, "tornado": tornado}
    section = programme_section(tables, {"plane": "<svg/>", "tornado": "<svg/>"})
    said = text_of(section.blocks)
    assert f"{ratio['ratio'].iloc[0]:.2f}" in said
    assert "calmer families" in said
    assert "x:arm[treatment]" in tables["net_benefit"]["term"].to_list()


def test_each_question_of_a_trial_has_its_table(people):
    data = people.assign(
        arm=pd.Categorical(people["arm"]), therapist=np.where(people["arm"] == "treatment", "t1", None),
        good=(people["gain"] > 0) * 1.0, gain_baseline=people["x"], gain_change=people["gain"] - people["x"],
        gain_se=0.2, gain_baseline_se=0.2, gain_change_se=0.28,
    )  # fmt: skip
    data.loc[data.index[50:], "therapist"] = "t2"
    design = build_design(data, Spec("gain", "x", "arm"))
    slopes = pd.DataFrame({"contrast": ["treatment - control"], "estimate": [0.7], "se": [0.269]})
    tables = {
        "change": change_table(data, "gain"),
        "mixed": mixed_table(design, data["therapist"]),
        "generalised": generalised_table(fit_generalised(build_design(data, Spec("good", "x", "arm")), "binary")),
        "prior": prior_table(slopes, {"sceptical": {"mean": 0.0, "sd": 0.3, "source": "a source"}}),
    }
    blocks = trial_blocks(SimpleNamespace(name="main", tables=tables, entry={"weights": None}))
    assert [len(b.rows) for b in blocks] == [len(tables[n]) for n in ("change", "generalised", "mixed", "prior")]
    said = text_of(blocks)
    for part in ("2 groups", "probability", "critical sceptical", "a source", "Reliability is the share"):
        assert part in said
    assert "nan" not in said.lower().split()
