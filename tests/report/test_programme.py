"""The programme on the page: what the tables say, in words, and nothing where nothing was asked."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hpaxis.labels import contrast_label
from hpaxis.moderation.change import change_table
from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.generalised import fit_generalised, generalised_table, generalised_verdicts
from hpaxis.moderation.mixed import mixed_table
from hpaxis.moderation.prior import prior_table
from hpaxis.programme.pooling import pool_studies
from hpaxis.programme.worth import social_return, value_arms
from hpaxis.report.privacy import Cells
from hpaxis.report.programme import programme_section
from hpaxis.report.trial import trial_blocks
from hpaxis.settings import Settings
from hpaxis.tables import check_contract

ALL = Cells(0)


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
    assert programme_section({}, {}, ALL) is None
    assert trial_blocks(SimpleNamespace(tables={}, entry={}), ALL) == []


def test_pooled_studies_in_words():
    facts = dict.fromkeys(("outcome", "predictor", "scale", "panel", "timepoint", "population", "standardise"), "same")
    facts |= {"covariates": "none", "covariance": "HC3", "outcome_sd": 1.0, "predictor_sd": 1.0, "plan": "confirmatory"}

    def one(b, se, assay):
        return pd.DataFrame([{"quantity": "treatment - control", "estimate": b, "se": se, "df": 40, "p": 0.1, "n": 44,
                              "design": "randomised", "assay": assay, **facts}])  # fmt: skip

    pooled, differences = pool_studies({"a": one(0.7, 0.27, "amplicon"), "b": one(0.3, 0.2, "levels")})
    section = programme_section({"pooled": pooled, "differences": differences}, {"forest": "<svg/>"}, ALL)
    said = text_of(section.blocks)
    row = pooled[pooled["study"] == "pooled"].iloc[0]
    assert f"{row['estimate']:.2f}" in said and "The pooled difference of slopes, treatment\u00a0−\u00a0control" in said
    assert {b.title: b.source for b in section.blocks if b.kind in ("table", "figure")} == {
        "Studies side by side": ("report/figures/programme/forest.svg", "programme/pooled.tsv"),
        "Studies and their summary": ("programme/pooled.tsv",),
        "In what the studies differ": ("programme/differences.tsv",),
    }  # fmt: skip
    assert "a: amplicon; b: levels" in said


def test_worth_and_social_return_say_what_the_tables_say(people):
    settings = Settings({"population": "child", "cost": "cost", "effect": "gain", "predictor": "x", "draws": 300,
                "willingness": [0, 500, 1000]})  # fmt: skip
    tables = value_arms(people, settings, ["control", "treatment"], 1)
    outcome = {"outcome": "calmer families", "quantity": 30, "quantity_low": 20, "quantity_high": 40, "value": 1000.0,
               "value_low": 500.0, "value_high": 1500.0, "years": 3, "deadweight": 0.2, "attribution": 0.1,
               "displacement": 0.0, "drop_off": 0.3, "source": "by hand", "price_year": 2025}  # fmt: skip
    account, ratio, tornado = social_return(pd.DataFrame([outcome]), 20000, 0.035, 500, np.random.default_rng(1))
    tables |= {"social_return": account, "social_ratio": ratio, "tornado": tornado}
    for name, table in tables.items():
        check_contract(table, f"programme_{name}")
    section = programme_section(tables, {"plane": "<svg/>", "tornado": "<svg/>"}, ALL)
    said = text_of(section.blocks)
    assert f"{ratio['ratio'].iloc[0]:.2f}" in said
    assert "calmer families" in said
    assert "x:arm[treatment]" in tables["net_benefit"]["term"].to_list()


def trial_of(people):
    """A model's tables of every question, as the report meets them."""
    data = people.assign(
        arm=pd.Categorical(people["arm"]), therapist=np.where(people["arm"] == "treatment", "t1", None),
        good=(people["gain"] > 0) * 1.0, gain_baseline=people["x"], gain_change=people["gain"] - people["x"],
        gain_se=0.2, gain_baseline_se=0.2, gain_change_se=0.28,
        methylation_plates=np.where(np.arange(len(people)) % 40 < 3, "different", "same"),
    )  # fmt: skip
    data.loc[data.index[50:], "therapist"] = "t2"
    data.loc[data.index[:2], "gain_baseline"] = np.nan
    design = build_design(data, Spec("gain", "x", "arm"))
    slopes = pd.DataFrame({"contrast": ["treatment - control"], "estimate": [0.7], "se": [0.269]})
    events = fit_generalised(build_design(data, Spec("good", "x", "arm")), "binary")
    tables = {
        "change": change_table(data, "gain"),
        "generalised": generalised_table(events),
        "generalised_verdict": generalised_verdicts(events),
        "mixed": mixed_table(design, data["therapist"]),
        "prior": prior_table(slopes, {"sceptical": {"mean": 0.0, "sd": 0.3, "source": "a source"}}),
    }
    return SimpleNamespace(
        name="main",
        tables=tables,
        entry={"weights": None, "moderator": "arm"},
        counts={"control": 40, "treatment": 40},
        hides_complete=lambda cells: False,
        contrast=lambda name: contrast_label(name, "arm"),
    )


def test_each_question_of_a_trial_has_its_table(people):
    result = trial_of(people)
    blocks = trial_blocks(result, ALL)
    for name, table in result.tables.items():
        check_contract(table, f"moderation_{name}")
    assert [len(b.rows) for b in blocks] == [len(t) for t in result.tables.values()]
    said = text_of(blocks)
    for part in ("2 groups", "probability", "critical sceptical", "a source", "Reliability is the share"):
        assert part in said
    assert "control: 37 on the same plate, 1 on different plates" in said
    assert "nan" not in said.lower().split()


def test_few_people_without_a_baseline_or_on_another_plate_are_not_counted(people):
    """Two of the control arm lack a baseline: no n of both timepoints, nor of plates, in any arm."""
    result = trial_of(people)
    shown, hidden = (trial_blocks(result, Cells(k)) for k in (0, 5))
    change = hidden[0]
    at = change.columns.index("n")
    assert {row[at] for row in change.rows} == {"withheld"}
    assert {"38", "40", "78"} <= {row[at] for row in shown[0].rows}
    assert "38" not in text_of([change]).replace(".38", "") and "withheld on the same plate" in change.note
    assert [b.data is None for b in hidden] == [True, True, True, True, False]
    assert all(b.data is not None for b in shown)
    verdict = result.tables["generalised_verdict"].assign(n_significant=2)
    few = SimpleNamespace(**{**vars(result), "tables": {"generalised_verdict": verdict}})
    assert [row[-1] for row in trial_blocks(few, Cells(5))[0].rows] == ["1–4 of 80"] * 2
    behind_tobit = SimpleNamespace(**{**vars(result), "hides_complete": lambda cells: True})
    text = text_of(trial_blocks(behind_tobit, Cells(5)))
    assert "n = withheld" in text and "n = 80" not in text


def test_few_people_in_an_account_or_without_costs_are_not_counted(people):
    settings = Settings({"population": "child", "cost": "cost", "effect": "gain", "predictor": None, "draws": 200,
                "willingness": [500]})  # fmt: skip
    lacking = people.assign(cost=people["cost"].where(people.index > 1))
    tables = value_arms(lacking, settings, ["control", "treatment"], 1)
    rows = [{"outcome": name, "quantity": q, "quantity_low": q, "quantity_high": q, "value": 1000.0, "value_low": 500.0,
             "value_high": 1500.0, "years": 1, "deadweight": 0, "attribution": 0, "displacement": 0.0, "drop_off": 0,
             "source": "by hand", "price_year": 2025} for name, q in (("few", 3), ("many", 40))]  # fmt: skip
    account, ratio, tornado = social_return(pd.DataFrame(rows), 20000, 0.0, 100, np.random.default_rng(1))
    tables |= {"social_return": account, "social_ratio": ratio, "tornado": tornado}
    figures = {"plane": "<svg/>", "tornado": "<svg/>"}
    shown, hidden = (programme_section(tables, figures, Cells(k)).blocks for k in (0, 5))
    assert "control: 38 of 40; treatment: 40 of 40" in text_of(shown)
    assert "control: 36–39 of 40; treatment: 40 of 40" in text_of(hidden)
    (table,) = [b for b in hidden if getattr(b, "title", "") == "The account"]
    assert [row[1] for row in table.rows] == ["1–4", "40"] and [row[-2] for row in table.rows] == ["withheld"] * 2
    # The ratio and the other rows leave the product alone: neither the quantity nor what one is worth.
    assert table.rows[0][2] == "withheld" and table.rows[1][2] != "withheld"
