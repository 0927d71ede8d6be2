import dataclasses

import numpy as np
import pandas as pd
import pytest

from hpaxis.moderation.robustness import robustness_table
from hpaxis.report.answer import answer as answered
from hpaxis.report.moderation import model_blocks
from hpaxis.report.numbers import fixed, significant
from hpaxis.report.privacy import Cells


def answer(results, after, **more):
    return answered(results, after, Cells(0), **more)


def text_of(blocks):
    parts = []
    for block in blocks:
        if block.kind == "items":
            parts += block.items
        elif block.kind == "strip":
            parts += [f"{c.name}: {c.verdict}, {c.said}" for c in block.checks]
        elif block.kind == "table":
            parts += [" | ".join(row) for row in block.rows]
        elif block.kind in ("paragraph", "notice"):
            parts.append(block.text)
    return "\n".join(str(p) for p in parts)


def with_tables(results, **tables):
    """The results with some tables of every model replaced."""
    return tuple(dataclasses.replace(r, tables=r.tables | tables) for r in results)


def with_b3(results, low, high, estimate, slopes=(-0.4, 0.3)):
    """The results with b3 and the two slopes set by hand."""
    changed = []
    for r in results:
        difference = r.tables["slope_differences"].assign(estimate=estimate, low=low, high=high)
        slope = r.tables["slopes"].assign(estimate=list(slopes))
        changed.append(dataclasses.replace(r, tables=r.tables | {"slope_differences": difference, "slopes": slope}))
    return tuple(changed)


def test_the_answer_is_the_primary_models_b3_with_its_interval(fitted):
    results = fitted()
    b3 = next(r for r in results if r.entry["primary"]).differences.iloc[0]
    text = text_of(answer(results, False))
    lead = answer(results, False)[0]
    assert lead.lead and fixed(abs(b3["estimate"])) in lead.text
    assert f"from {fixed(b3['low'])} to {fixed(b3['high'])}" in lead.text
    assert "38 children (19 control and 19 treatment)" in lead.text
    assert f"t({b3['df']:.0f}) = {fixed(b3['t'])}" in text
    assert "two-sided" in text and "HC3" in text and "exploratory" in text
    assert "judged on this difference of slopes (b₃) alone" in text


def judged(results, verdict):
    """The results with the primary model's verdict replaced."""
    return tuple(
        dataclasses.replace(r, tables={**r.tables, "verdict": r.tables["verdict"].assign(verdict=verdict, margin=0.2)})
        for r in results
    )


def test_an_interval_without_zero_is_moderation_and_only_what_the_verdict_shows_is_said_of_its_form(fitted):
    found = with_b3(fitted(), 0.2, 1.2, 0.7, (-0.4, 0.3))
    texts = {
        verdict: text_of(answer(judged(found, verdict), True))
        for verdict in ("buffered", "weaker with treatment", "stronger with treatment", "reversed",
                        "slopes differ, form open")
    }  # fmt: skip
    for text in texts.values():
        assert "excludes zero" in text and "moderation" in text
    assert "shown to lie within ±0.20: buffered" in texts["buffered"]
    assert "more than buffering" in texts["reversed"]
    assert "weaker in treatment, as buffering would make it" in texts["weaker with treatment"]
    assert "opposite of buffering" in texts["stronger with treatment"]
    assert "which form the difference takes is not shown" in texts["slopes differ, form open"]
    # An estimate on the other side of zero is no reversal by itself.
    assert "more than buffering" not in texts["slopes differ, form open"]
    steeper = text_of(answer(with_b3(fitted(), -0.9, -0.1, -0.5, (-0.4, -0.9)), True))
    assert "0.50 SD lower in treatment than in control" in steeper


def test_an_interval_with_zero_shows_neither_difference_nor_likeness(fitted):
    text = text_of(answer(with_b3(fitted(), -0.2, 1.2, 0.5), True))
    assert "includes zero" in text and "do not show that the slopes differ" in text
    assert "from −0.20 to 1.20 remain compatible" in text
    assert "these data do not show that the change in competence per SD of" in text and "zero included" in text
    assert "as buffering would" not in text and "which is moderation" not in text


@pytest.mark.parametrize(
    ("after", "says", "warns"),
    [(True, "may itself be an effect of the arm", True), (False, "the arm cannot have changed it", False)],
)
def test_the_wording_follows_from_when_methylation_was_measured(fitted, after, says, warns):
    blocks = answer(fitted(), after)
    assert says in text_of(blocks)
    assert any(b.kind == "notice" and b.level == "warning" for b in blocks) == warns


def test_a_difference_of_the_predictor_between_arms_is_told(fitted):
    results = fitted()
    table = results[0].tables["predictor_by_arm"].copy()
    assert "was not shown in region mean methylation" in text_of(answer(results, True))
    table.loc[table["test"] == "t", ["low", "high", "p"]] = [0.1, 0.9, 0.02]
    assert "The arms differ in region mean methylation" in text_of(
        answer(with_tables(results, predictor_by_arm=table), True)
    )


def test_a_refused_primary_model_gives_its_reason(fitted):
    results = [
        dataclasses.replace(r, tables={}, problems=("arm control has 3 complete rows",)) if r.entry["primary"] else r
        for r in fitted()
    ]
    text = text_of(answer(results, True))
    assert "cannot be answered" in text and "arm control has 3 complete rows" in text
    assert "b₃" not in text


def test_without_a_primary_model_the_first_stands_and_it_is_said(fitted):
    results = [dataclasses.replace(r, entry=r.entry | {"primary": False}) for r in fitted()]
    assert "No model is marked as primary; second" in text_of(answer(results, True))


def test_the_plan_lock_alone_decides_what_is_confirmatory(fitted):
    plan = pd.DataFrame([{"status": "confirmatory", "reason": "the model is as it was locked"}])
    assert "Its result is confirmatory" in text_of(answer(with_tables(fitted(), plan=plan), True))
    masked = plan.assign(status="masked", reason="no lock yet")
    blocks = answer(with_tables(fitted(), plan=masked), True)
    assert blocks[0].kind == "notice" and "No number here is a result" in blocks[0].text


def test_three_arms_give_every_difference_and_a_joint_test(fitted, analysis, config):
    third = analysis[analysis["role"] == "child"].copy()
    third["arm"] = "other"
    third["participant_id"] = "9" + third["participant_id"]
    third["competence"] += np.random.default_rng(2).normal(0, 1, len(third))
    results = fitted(analysis=pd.concat([analysis, third], ignore_index=True))
    text = text_of(answer(results, True))
    for pair in ("treatment than in control", "other than in control", "other than in treatment"):
        assert pair in text
    assert "All slopes at once: F(2, " in text


def test_a_continuous_moderator_is_told_per_unit(fitted, config):
    entry = config["models"]["main"] | {"moderator": "age_months"}
    results = fitted(config=config | {"models": {"main": entry}})
    text = text_of(answer(results, True))
    assert "for each further unit of age months" in text
    assert "Region mean methylation on the moderator: slope on age months: p = " in text


def test_the_effect_stands_in_raw_units_with_the_true_value_beside_it(fitted):
    results = fitted()
    main = next(r for r in results if r.entry["primary"])
    truth = pd.DataFrame(
        {"model": "main", "term": ["slope:control", "interaction:treatment"], "standardised": [-0.37, 0.7]}
    )
    text = text_of(answer(results, True, truth=truth))
    b3 = main.differences.iloc[0]
    raw = [significant(main.raw(b3[c])) for c in ("estimate", "low", "high")]
    assert f"the difference between slopes is {raw[0]} (95% CI from {raw[1]} to {raw[2]}) points of competence" in text
    assert f"{raw[0]} [{raw[1]}, {raw[2]}] | 0.70" in text and "| −0.37" in text
    assert "0.70" not in text_of(answer(results, True)).split("Slope in control")[1].split("Plan:")[0].replace(
        raw[0], ""
    )


def test_the_strip_says_what_speaks_against_the_answer(fitted):
    results = fitted()
    strip = next(b for b in answer(results, True) if b.kind == "strip")
    named = {c.name: c for c in strip.checks}
    assert named["Plan"].verdict == "warn" and named["Influence"].verdict == "pass"
    main = next(r for r in results if r.entry["primary"])
    other = main.tables["sensitivity"].copy()
    own = other["method"] == "complete cases"
    other = pd.concat([other[own], other[own].assign(method="robust regression", low=-6.0, high=-5.0, estimate=-5.5)])
    turned = main.tables["influence"].assign(sign_flips=True)
    changed = with_tables(results, sensitivity=other, influence=turned)
    named = {c.name: c for c in next(b for b in answer(changed, True) if b.kind == "strip").checks}
    assert named["Other treatments"].verdict == "warn" and named["Other treatments"].said == "1 of 2 say the same"
    assert named["Influence"].verdict == "warn"


def test_the_strip_has_every_check_of_robustness_of_the_answer(fitted):
    results = fitted()
    main = next(r for r in results if r.entry["primary"])
    rows = main.tables["robustness"].set_index("check")
    named = {c.name: c for c in next(b for b in answer(results, True) if b.kind == "strip").checks}
    lost, versions = rows.loc["single_deletions"], rows.loc["multiverse_share"]
    changed = f"{lost['count']:.0f} of {lost['total']:.0f}" if lost["count"] else "none of them"
    assert f"left out alone, {changed} " in named["Influence"].said
    assert (
        f"{versions['count']:.0f} of {versions['total']:.0f} significant in its direction" in named["All versions"].said
    )
    assert named["Predictor by arm"].said.startswith("p ")
    # Without a bootstrap its own check is missing, and no other.
    without = robustness_table(main.tables | {"resampling": main.tables["resampling"].iloc[:0]}, 0.05)
    assert [*without["check"]] == [c for c in main.tables["robustness"]["check"] if c != "resampling_p"]
    assert {"Resampling", "Region", "Power"} <= set(named)
    # Single deletions that lose significance and an empty region speak against an answer that is shown.
    own = main.tables["slope_differences"].iloc[0]
    shown = own["low"] > 0 or own["high"] < 0
    table = main.tables["robustness"].copy()
    table.loc[table["check"] == "single_deletions", "count"] = 8
    table.loc[table["check"] == "region", "count"] = 0
    family = {"contrast": own["contrast"], "check": "family_p", "total": 7, "p": 0.2 if shown else 0.01, "detail": ""}
    table = pd.concat([table, pd.DataFrame([family])], ignore_index=True)
    changed = with_tables(results, robustness=table)
    named = {c.name: c for c in next(b for b in answer(changed, True) if b.kind == "strip").checks}
    assert named["Influence"].verdict == named["Family"].verdict == "warn"
    assert "8 of " in named["Influence"].said
    assert named["Influence"].said.endswith(" lose significance" if shown else " gain significance")
    assert "adjusted over 7 predictors" in named["Family"].said
    assert named["Region"].verdict == ("warn" if shown else "pass")
    assert "not shown to differ anywhere in the observed range" in named["Region"].said
    # A range stands for a small count, and the verb beside it is the same whatever the count is.
    few = []
    for n in (1, 3):
        table.loc[table["check"] == "single_deletions", "count"] = n
        strip = next(b for b in answered(with_tables(results, robustness=table), True, Cells(5)) if b.kind == "strip")
        few.append({c.name: c.said for c in strip.checks}["Influence"])
    assert few[0] == few[1] and "1–4 of " in few[0]


def test_a_model_says_which_slopes_are_not_excluded_and_where_the_lines_cross(fitted):
    results = fitted()
    main = next(r for r in results if r.entry["primary"])
    row = main.tables["verdict"].iloc[0]

    def said(**changes):
        changed = dataclasses.replace(main, tables=main.tables | {"verdict": pd.DataFrame([{**row, **changes}])})
        return text_of(b for b in model_blocks(changed, Cells(0), whole=False) if b is not None)

    bounded = {"crossing_kind": "bounded", "crossing": 0.5, "crossing_low": -0.25, "crossing_high": 1.5}
    text = said(**bounded, margin=float("nan"))
    assert f"do not exclude are {row['largest_arm']:.2f} in treatment" in text
    assert "No smallest slope of interest was declared" in text
    assert f"The lines cross at {main.on_predictor(0.5)}" in text and f"CI from {main.on_predictor(-0.25)}" in text
    assert f"{row['n_below']:.0f} of {row['n']:.0f} people lie below" in text
    text = said(crossing_kind="outside", margin=0.3, tost_arm_p=0.02, tost_reference_p=0.4, tost_difference_p=0.6)
    assert "0.30, by two one-sided tests: treatment p = .020, control p = .400, difference p = .600" in text
    assert "the interval of the crossing point is not bounded" in text


def test_a_baseline_predictor_was_measured_before_randomisation(fitted):
    results = fitted()
    before = tuple(dataclasses.replace(r, entry=r.entry | {"predictor": "region_mean_beta_baseline"}) for r in results)
    assert "was measured before randomisation" in text_of(answer(before, True))
    assert "was measured after randomisation" in text_of(answer(results, True))
