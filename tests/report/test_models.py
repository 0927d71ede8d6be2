import dataclasses

import numpy as np
import pandas as pd
import pytest

from hpaxis.report.bundle import is_shareable, withheld_names
from hpaxis.report.models import pair_of
from hpaxis.report.moderation import (
    coefficient_table,
    model_blocks,
    overview_table,
    predictor_section,
    slope_table,
)
from hpaxis.report.numbers import fixed
from hpaxis.report.privacy import Cells
from hpaxis.report.read import read_run
from hpaxis.report.scrutiny import scrutiny_blocks
from hpaxis.tables import write_table


@pytest.fixture
def main(fitted):
    return next(r for r in fitted() if r.entry["primary"])


@pytest.fixture
def censored(fitted, config):
    """A model of cortisol, some of it below the limit: its numbers come from the censored regression."""
    entry = config["models"]["main"] | {"outcome": "log_cortisol"}
    return fitted(config=config | {"models": {"cortisol": entry}})[0]


ALL = Cells(0)


def words_of(blocks):
    return "\n".join(str(getattr(b, "text", "")) for b in blocks if b is not None and b.kind in ("paragraph", "notice"))


def test_complete_cases_are_reported_where_nothing_is_censored(main):
    assert main.reported is None and main.method == "complete cases"
    assert main.n == 38 and main.who() == "38 children (19 control and 19 treatment)"
    pd.testing.assert_frame_equal(main.differences, main.tables["slope_differences"])


def test_a_censored_outcome_reports_the_censored_regression_throughout(censored):
    rows = censored.tables["sensitivity"]
    tobit = rows[rows["method"] == "Tobit"]
    assert censored.method == "Tobit"
    term = tobit[~tobit["quantity"].str.startswith("slope[")].iloc[0]
    b3 = censored.differences.iloc[0]
    assert b3["estimate"] == term["estimate"] != censored.tables["slope_differences"]["estimate"].iloc[0]
    assert (b3["low"], b3["high"], b3["p"]) == (term["low"], term["high"], term["p"])
    control = tobit[tobit["quantity"] == "slope[control]"].iloc[0]
    assert censored.slopes["estimate"].iloc[0] == control["estimate"]
    # The difference of the slopes that are shown is the b3 that is shown.
    assert np.diff(censored.slopes["estimate"])[0] == pytest.approx(b3["estimate"])
    assert censored.n > censored.fit("n") and censored.who().endswith(" (Tobit)")
    assert censored.errors == tobit["covariance"].iloc[0] != censored.covariance
    assert "Tobit jackknife" in slope_table(censored).note and "n" not in slope_table(censored).columns
    assert coefficient_table(censored).note.startswith(censored.who_complete())
    text = words_of(model_blocks(censored, ALL, True))
    assert "numbers of Tobit" in text and "only known to lie beyond a limit" in text
    row = overview_table([censored], ALL).rows[0]
    assert row[2] == "Tobit" and row[4] == fixed(b3["estimate"])
    assert coefficient_table(censored).title.endswith("complete cases")
    assert fixed(b3["estimate"]) in slope_table(censored).rows[-1]


def test_names_of_arms_may_hold_dashes(main):
    slopes = main.tables["slopes"].assign(moderator=["usual - care", "home-visits"])
    renamed = dataclasses.replace(main, tables=main.tables | {"slopes": slopes})
    assert pair_of(renamed, "home-visits - usual - care") == ("home-visits", "usual - care")


def test_left_out_rows_are_counted_by_reason(main):
    assert main.left_out() == {"missing: competence": 1, "missing: region_mean_beta": 1}
    text = words_of(model_blocks(main, ALL, True))
    assert "38 of 40 children are complete cases. The others: missing competence (1) and missing region mean" in text
    assert "38 of 40 children are complete cases. Why the others are not is withheld" in words_of(
        model_blocks(main, Cells(5), True)
    )


def test_scrutiny_tells_the_range_of_the_interaction_without_naming_anyone(main):
    blocks = [b for b in scrutiny_blocks(main, ALL) if b is not None]
    without = main.tables["influence"]["estimate_without"]
    text = words_of(blocks)
    assert f"ranges from {fixed(without.min())} to {fixed(without.max())}; its sign never turns" in text
    assert "reliability of the predictor" in text and "versions of its choices" in text
    tables = {b.title: b for b in blocks if b.kind == "table"}
    treatments = next(t for title, t in tables.items() if "other treatments" in title)
    assert treatments.rows[0][0] == "complete cases (reported)"
    assert treatments.rows[0][3] == fixed(main.differences["estimate"].iloc[0])
    resampling = next(t for title, t in tables.items() if "Resampling" in title)
    assert resampling.rows[0][0] == "restricted wild bootstrap" and resampling.rows[0][6] == "199"


def test_signs_and_regions_that_turn_are_counted(main):
    influence = main.tables["influence"].copy()
    influence["sign_flips"] = [True, True] + [False] * (len(influence) - 2)
    region = main.tables["region_without"].copy()
    region["observed_kind"] = main.tables["region"]["observed_kind"].iloc[0]
    region.loc[0, "observed_kind"] = "none"
    changed = dataclasses.replace(main, tables=main.tables | {"influence": influence, "region_without": region})
    text = words_of(scrutiny_blocks(changed, ALL))
    assert "its sign turns 2 times" in text and "region of significance changes once" in text


def test_tables_that_an_entry_asks_for_are_shown(main):
    dose = pd.DataFrame(
        [{"term": "region_mean_beta:sessions", "estimate": 0.1234, "p": 0.0004, "n": 38.0, "x": np.nan}]
    )
    asked = dataclasses.replace(main, tables=main.tables | {"dose": dose})
    table = next(
        b for b in scrutiny_blocks(asked, ALL) if b is not None and "not randomised" in getattr(b, "title", "")
    )
    assert table.columns == ("Term", "b", "p", "n")
    assert table.rows == (("region mean methylation × sessions", "0.123", "< .001", "38"),)


def test_a_run_is_read_from_its_folder(run, fitted, tmp_path):
    files = {"cortisol": [], "models": [], "figures": []}
    for name in ("libraries", "levels", "concordance", "analysis", "attrition", "audit", "checksums"):
        files[name] = tmp_path / f"{name}.tsv"
        write_table(getattr(run, name), files[name])
    files["sheet"] = tmp_path / "sheet.tsv"
    write_table(run.sheet.assign(panel="p"), files["sheet"])
    for result in run.results:
        for name, table in result.tables.items():
            files["models"].append(tmp_path / "moderation" / result.name / f"{name}.tsv")
            write_table(table, files["models"][-1])
        files["figures"].append(tmp_path / "figures" / "models" / result.name / "slopes.svg")
    files["figures"] += [tmp_path / "figures" / "cohort" / "flow.svg"]
    for path in files["figures"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("<svg/>")
    read = read_run(files, run.config, snps=2)
    assert [r.name for r in read.results] == list(run.config["models"])
    assert read.results[0].figures == {"slopes": "<svg/>"} and read.figures["cohort"] == {"flow": "<svg/>"}
    assert read.results[1].differences["estimate"].iloc[0] == pytest.approx(
        run.results[1].differences["estimate"].iloc[0]
    )
    assert read.analysis["participant_id"].iloc[0] == "10000" and read.cortisol is None and read.snps == 2

    write_table(pd.DataFrame({"problem": ["too few"]}), tmp_path / "moderation" / "main" / "refused.tsv")
    again = read_run(
        files | {"models": [*files["models"], tmp_path / "moderation" / "main" / "refused.tsv"]}, run.config
    )
    assert again.results[1].refused and again.results[1].problems == ("too few",)


def test_a_continuous_moderator_has_slopes_at_values_and_a_region(fitted, config):
    entry = config["models"]["main"] | {"moderator": "age_months"}
    result = fitted(config=config | {"models": {"age": entry}})[0]
    text = words_of(model_blocks(result, ALL, True))
    assert "changes with age months (b₃ = " in text
    said = "the slope of region mean methylation is not shown to differ from zero anywhere in the observed range"
    assert f"Over the whole range at once, {said}" in text
    rows = slope_table(result).rows
    assert len(rows) == 4 and rows[0][0].startswith("Slope at ") and rows[-1][0] == "Difference: per unit of age months"


def test_a_complete_population_is_said_to_be_so(main):
    used = main.tables["used"].assign(included=True, reason="")
    assert "Every row of this population (children) is complete" in words_of(
        model_blocks(dataclasses.replace(main, tables=main.tables | {"used": used}), ALL, True)
    )


def test_what_was_not_computed_leaves_no_gap(main):
    empty = {n: main.tables[n].iloc[:0] for n in ("warnings", "reliability", "detectable", "multiverse")}
    bare = dataclasses.replace(main, tables=main.tables | empty, figures={})
    text = words_of(scrutiny_blocks(bare, ALL))
    assert "reliability" not in text and "power" not in text and "versions" not in text
    beyond = main.tables["detectable"].assign(f2_simulated=np.nan)
    text = words_of(scrutiny_blocks(dataclasses.replace(main, tables=main.tables | {"detectable": beyond}), ALL))
    assert "no simulated interaction reaches 80% power" in text


def test_the_n_of_complete_cases_is_withheld_where_it_would_count_the_censored(censored):
    few = dataclasses.replace(censored)
    cells = Cells(censored.n - int(censored.fit("n")) + 1)
    assert few.hides_complete(cells) and not few.hides_complete(ALL)
    blocks = [b for b in model_blocks(few, cells, True) if b is not None]
    complete = str(int(few.fit("n")))
    for table in (b for b in blocks if b.kind == "table"):
        at = [i for i, column in enumerate(table.columns) if column == "n"]
        assert all(complete != row[i] for row in table.rows for i in at), table.title
        assert "complete cases" not in table.title
    assert not [b for b in blocks if b.kind == "figure"]
    assert "withheld" in words_of(blocks)


def test_a_place_of_the_region_has_its_unit_and_says_what_it_holds_for(main):
    row = main.tables["region"].iloc[0]
    region = pd.DataFrame([
        row.to_dict() | {"adjustment": "simultaneous", "observed_kind": "above", "observed_low": 0.404,
                         "n_significant": 14, "n": 40},
        row.to_dict() | {"adjustment": "none", "observed_kind": "none", "n_significant": 0, "n": 40},
    ])  # fmt: skip
    from hpaxis.report.moderation import region_sentence

    share = 100 * (main.fit("mean[region_mean_beta]") + 0.404 * main.fit("sd[region_mean_beta]"))
    text = region_sentence(main, region, ALL)
    assert f"is at least 0.404 SD ({fixed(share)}%) (14 of 40 people)" in text
    assert text.startswith("Over the whole range at once, ")
    assert "Each value by itself (pointwise): nowhere" in text
    assert "1–14" not in text and "(1–14 of 40 people)" in region_sentence(main, region, Cells(15))


def test_raw_units_undo_the_standardisation(main):
    b3 = main.differences["estimate"].iloc[0]
    by_hand = b3 * main.fit("sd[competence]") / (100 * main.fit("sd[region_mean_beta]"))
    assert main.raw(b3) == pytest.approx(by_hand)
    assert main.raw_unit == "points of competence per percentage point of region mean methylation"


def test_groups_named_by_numbers_are_named_with_their_column(main, monkeypatch):
    monkeypatch.setattr(type(main), "counts", {"1": 19, "2": 19})
    object.__setattr__(main, "entry", main.entry | {"moderator": "study_site"})
    assert main.who() == "38 children (19 with study site 1 and 19 with study site 2)"


def test_tables_that_tell_how_few_are_censored_stay_out_of_a_shared_bundle(censored, config, tmp_path):
    """n of complete cases, or degrees of freedom, beside the n that is reported."""
    few = int(censored.n - censored.fit("n"))
    tables, report = {}, {"report.json": tmp_path / "report.json"}
    for name, table in censored.tables.items():
        tables[f"moderation/cortisol/{name}.tsv"] = tmp_path / f"cortisol/{name}.tsv"
        write_table(table, tables[f"moderation/cortisol/{name}.tsv"])
    for name in ("slopes", "power"):
        report[f"figures/models/cortisol/{name}.svg"] = tmp_path / f"{name}.svg"
    report["report.json"].write_text('{"source": ["report/figures/models/cortisol/power.svg"]}')
    asked = config | {"models": {"cortisol": censored.entry}}
    kept = {"moderation/cortisol/plan.tsv", "moderation/cortisol/refused.tsv"}
    shown = {n for n, p in tables.items() if is_shareable(p)} - kept
    assert few > 0 and shown <= set(withheld_names(asked, tables, report, few + 2))
    assert "report/figures/models/cortisol/slopes.svg" in withheld_names(asked, tables, report, few + 2)
    assert "report/figures/models/cortisol/power.svg" not in withheld_names(asked, tables, report, few + 2)
    assert withheld_names(asked, tables, report, 0) == {}
    cells = Cells(max(3, few + 1))
    assert "n = " not in str(predictor_section([censored], cells).blocks[1].rows)
