"""A study of hand-made libraries: correction by controls, verdicts with reasons, indices of participants."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from hpaxis.methylation.counting.calls import FATES, LibraryCalls, conversion_table
from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.problems import InputError
from hpaxis.schemas import load, with_defaults

SETTINGS = with_defaults({}, load("config/methylation"))
SITES = 50


def library(panel, n=2000, methylated=0.0, e=0.0, name="L1"):
    """Counts of n molecules: at every CpG the same share methylated, each 50 sites with a share e unconverted."""
    hits, total = round(n * methylated), round(n * SITES * e)
    size = len(panel.cpgs)
    rows = []
    for i in range(n):
        pattern = "".join("1" if (i + j * 37) % n < hits else "0" for j in range(size))
        rows.append((pattern, total * (i + 1) // n - total * i // n))
    patterns = pd.DataFrame(rows, columns=["pattern", "unconverted"]).value_counts(sort=False).reset_index()
    patterns = patterns.assign(amplicon="toy", sites=SITES)
    counts = panel.cpgs[["amplicon", "cpg_id", "chrom", "pos", "strand"]].copy()
    counts.insert(0, "library_id", name)
    counts = counts.assign(methylated=hits, unmethylated=n - hits, other=0, depth=n)
    reads = {"library_id": name, "pairs_in": n + 10} | dict.fromkeys(FATES, 0)
    reads |= {"off_target": 10, "passed": n, "on_target": n, "merged": n}
    return LibraryCalls(counts, patterns, pd.DataFrame([reads]), conversion(patterns))


def conversion(patterns):
    return conversion_table(patterns[["amplicon", "unconverted", "sites", "count"]], ["toy"])


def sheet(*rows):
    columns = [
        "library_id",
        "participant_id",
        "timepoint",
        "kind",
        "panel",
        "expected_percent",
        "plate",
        "well",
        "input_ng",
    ]
    return pd.DataFrame([dict.fromkeys(columns, np.nan) | {"panel": "toy", "kind": "study"} | r for r in rows])


def study(bench, *rows, **settings):
    """Rows: (sheet row, options of `library`)."""
    panel = bench.panel()
    tables = {row["library_id"]: library(panel, **options, name=row["library_id"]) for row, options in rows}
    return estimate_study(sheet(*(row for row, _ in rows)), {"toy": panel}, tables, SETTINGS | settings)


def person(name="L1", participant="p1", **more):
    return {"library_id": name, "participant_id": participant, "timepoint": "t1", "input_ng": 1000.0} | more


CONTROL = {"library_id": "C100", "kind": "control_100"}


def test_levels_are_corrected_by_own_conversion_and_by_the_control(bench):
    found = study(bench, (person(), {"methylated": 0.05, "e": 0.004}), (CONTROL, {"methylated": 0.98}))
    row = found.libraries.set_index("library_id").loc["L1"]
    assert row["non_conversion"] == pytest.approx(0.004)
    assert row["over_conversion"] == pytest.approx(0.02)
    assert row["region_mean_beta_raw"] == pytest.approx(0.05)
    assert row["region_mean_beta"] == pytest.approx((0.05 - 0.004) / (1 - 0.004 - 0.02))
    calls = found.calls["L1"]
    assert calls["beta"].to_numpy() == pytest.approx(np.full(7, 0.046 / 0.976))
    assert calls["beta_raw"].to_numpy() == pytest.approx(np.full(7, 0.05))
    assert (calls["beta_low"] < calls["beta"]).all() and (calls["beta_high"] > calls["beta"]).all()
    index = found.indices.iloc[0]
    assert index["region_mean_beta"] == pytest.approx(row["region_mean_beta"])
    assert index["region_mean_m"] == pytest.approx(np.log2(index["region_mean_beta"] / (1 - index["region_mean_beta"])))
    assert (row["verdict"], row["reasons"]) == ("pass", None)


def test_a_missing_control_and_missing_input_are_said(bench):
    found = study(bench, (person(input_ng=np.nan), {"methylated": 0.05}))
    row = found.libraries.iloc[0]
    assert row["verdict"] == "pass"
    assert "no 100 % control of this panel: over-conversion taken as 0" in row["reasons"]
    assert "template copies unknown" in row["reasons"]
    assert np.isnan(row["template_copies"])


@pytest.mark.parametrize(
    ("options", "verdict", "reason"),
    [
        ({"e": 0.025}, "fail", "conversion 97.5 %, below 98 %"),
        ({"e": 0.015}, "warn", "conversion 98.5 %, below 99 %"),
        ({"e": 0.007}, "pass", "conversion 99.3 %, below 99.5 % (target)"),
        ({"n": 90}, "fail", "median effective depth 89.94 molecules, below 100 molecules"),
        ({"n": 400}, "warn", "median effective depth 398.8 molecules, below 500 molecules"),
        ({"n": 900}, "pass", "median effective depth 894.1 molecules, below 1000 molecules (target)"),
        ({"n": 0}, "fail", "none of 10 read pairs passed"),
    ],
)
def test_gates_give_verdicts_and_reasons(bench, options, verdict, reason):
    found = study(bench, (person(), {"methylated": 0.05} | options), (CONTROL, {"methylated": 0.98}),
                  copies_per_ng=404.0)  # fmt: skip
    row = found.libraries.set_index("library_id").loc["L1"]
    assert row["verdict"] == verdict
    assert reason in row["reasons"]
    index = found.indices.iloc[0]
    assert np.isnan(index["region_mean_beta"]) == (verdict == "fail")
    assert index["verdict"] == verdict and reason in index["reasons"]


def test_copies_of_few_templates_are_no_depth(bench):
    plenty = study(bench, (person(), {"methylated": 0.05}))
    starved = study(bench, (person(input_ng=1.0), {"methylated": 0.05}))
    templates = 303 * 0.5 / (1 + 0.7**2)
    row = starved.libraries.iloc[0]
    assert row["template_copies"] == pytest.approx(templates)
    assert row["effective_depth"] == pytest.approx(2000 * templates / (2000 + templates))
    assert (
        row["verdict"] == "fail"
        and "2,000 molecules stand for about 100 templates, by the input given" in row["reasons"]
    )
    ratio = starved.libraries["non_conversion_high"].iloc[0] / plenty.libraries["non_conversion_high"].iloc[0]
    assert ratio > 1


def test_shallow_cpgs_have_no_value_and_an_index_needs_most_of_its_cpgs(bench):
    panel = bench.panel()
    tables = library(panel, methylated=0.05)
    patterns = tables.patterns.assign(pattern=tables.patterns["pattern"].str[:-1] + ".")
    counts = tables.counts.copy()
    counts.loc[6, ["methylated", "unmethylated", "depth"]] = 0
    shallow = LibraryCalls(counts, patterns, tables.reads, tables.conversion)
    found = estimate_study(sheet(person()), {"toy": panel}, {"L1": shallow}, SETTINGS)
    calls = found.calls["L1"]
    assert calls["beta"].isna().tolist() == [False] * 6 + [True]
    assert calls["flags"].tolist()[6] == "depth_fail"
    assert found.libraries["n_cpgs"].iloc[0] == 6
    # Alone, the library cannot say what its seventh CpG would add: the mean of six is not that of seven.
    lone = found.indices.iloc[0]
    assert np.isnan(lone["region_mean_beta"]) and lone["first_two_beta"] == pytest.approx(0.05)
    assert lone["verdict"] == "warn" and "region_mean: 1 of 7 CpGs not read (CpG7)" in lone["reasons"]
    strict = estimate_study(sheet(person()), {"toy": panel}, {"L1": shallow}, SETTINGS | {"min_cpg_share": 0.9})
    row = strict.indices.iloc[0]
    assert np.isnan(row["region_mean_beta"]) and row["first_two_beta"] == pytest.approx(0.05)
    assert row["verdict"] == "warn" and "region_mean: 6 of 7 CpGs deep enough" in row["reasons"]


def test_libraries_of_one_sample_are_combined_by_depth_and_a_failed_one_is_left_out_with_its_reason(bench):
    found = study(
        bench,
        (person("L1"), {"methylated": 0.05, "n": 1000}),
        (person("L2"), {"methylated": 0.02, "n": 3000}),
        (person("L3"), {"methylated": 0.5, "e": 0.05}),
        copies_per_ng=1e9,
        overdispersion="none",
    )
    row = found.indices.iloc[0]
    assert len(found.indices) == 1 and row["n_libraries"] == 2
    assert row["region_mean_beta"] == pytest.approx(0.25 * 0.05 + 0.75 * 0.02, rel=1e-6)
    assert row["depth"] == pytest.approx(4000, rel=1e-3)
    assert row["verdict"] == "warn" and "L3: conversion 95 %, below 98 %" in row["reasons"]
    single = {}
    for name, options in (("L1", {"methylated": 0.05, "n": 1000}), ("L2", {"methylated": 0.02, "n": 3000})):
        alone = study(bench, (person(name), options), copies_per_ng=1e9)
        single[name] = alone.indices["region_mean_beta_se"].iloc[0]
    expected = np.sqrt(0.25**2 * single["L1"] ** 2 + 0.75**2 * single["L2"] ** 2)
    assert row["region_mean_beta_se"] == pytest.approx(expected, rel=1e-6)
    assert row["region_mean_beta_low"] < row["region_mean_beta"] < row["region_mean_beta_high"]


def test_replicates_that_differ_widen_every_interval_and_the_limits_say_so(bench):
    rows = [(person("L1"), {"methylated": 0.05}), (person("L2"), {"methylated": 0.03})]
    wide, plain = study(bench, *rows), study(bench, *rows, overdispersion="none")
    limit = wide.limits.iloc[0]
    assert limit["overdispersion"] > 0.001 and limit["overdispersion_df"] == 1
    assert limit["overdispersion_source"] == "replicates" and plain.limits["overdispersion_source"].iloc[0] == "config"
    extra = limit["overdispersion"] * 0.05 * 0.95
    se = [found.libraries["region_mean_beta_se"].iloc[0] for found in (wide, plain)]
    assert se[0] ** 2 - se[1] ** 2 == pytest.approx(extra, rel=1e-6)
    assert (wide.calls["L1"]["beta_se"] > plain.calls["L1"]["beta_se"]).all()
    assert wide.indices["region_mean_beta_se"].iloc[0] > plain.indices["region_mean_beta_se"].iloc[0]


@pytest.mark.parametrize(("chg", "differs"), [(200, False), (500, True)])
def test_conversion_that_differs_by_context_is_warned_of(bench, chg, differs):
    """Of 50,000 sites each .4 % unconverted, or 1 %: against .4 % in the other context."""
    panel = bench.panel()
    tables = library(panel, methylated=0.05, e=0.004)
    counts = {"chg_unconverted": chg, "chg_converted": 50_000 - chg, "chh_unconverted": 200, "chh_converted": 49_800}
    tables = replace(tables, reads=tables.reads.assign(**counts))
    row = estimate_study(sheet(person()), {"toy": panel}, {"L1": tables}, SETTINGS).libraries.iloc[0]
    assert row["non_conversion_chg"] == chg / 50_000 and row["non_conversion_chh"] == 0.004
    assert row["non_conversion_chg_low"] < row["non_conversion_chg"] < row["non_conversion_chg_high"]
    assert ("differs by context" in (row["reasons"] or "")) == differs


def test_controls_are_judged_by_what_they_should_read(bench):
    clean = {"library_id": "C0", "kind": "control_0"}
    found = study(bench, (clean, {"methylated": 0.004, "e": 0.004}))
    row = found.libraries.iloc[0]
    assert row["region_mean_beta"] == pytest.approx(0, abs=1e-12)
    assert row["region_mean_beta_low"] < 0 < row["region_mean_beta_high"] and row["verdict"] == "pass"
    dirty = study(bench, (clean, {"methylated": 0.03, "e": 0.004})).libraries.iloc[0]
    assert dirty["verdict"] == "warn" and "known level 0 % is outside" in dirty["reasons"]
    poor = study(bench, (CONTROL, {"methylated": 0.9})).libraries.iloc[0]
    assert poor["verdict"] == "warn" and "100 % controls lose 10 % of their methylation" in poor["reasons"]
    known = study(bench, (CONTROL | {"expected_percent": 90.0}, {"methylated": 0.9})).libraries.iloc[0]
    assert known["over_conversion"] == pytest.approx(0, abs=1e-12) and known["verdict"] == "pass"


@pytest.mark.parametrize(("n", "verdict"), [(0, "pass"), (10, "pass"), (50, "warn"), (500, "fail")])
def test_no_template_controls_are_judged_against_the_study(bench, n, verdict):
    blank = {"library_id": "NTC", "kind": "no_template"}
    found = study(bench, (person(), {"methylated": 0.05}), (blank, {"n": n}))
    row = found.libraries.set_index("library_id").loc["NTC"]
    assert row["verdict"] == verdict
    assert len(found.indices) == 1


def test_limits_of_blank_and_detection_by_hand(bench):
    """Blanks at .1 and .3 %: LoB = .2 + 1.645 * SD; LoD adds 1.645 times the error at the low standard."""
    blanks = [({"library_id": f"C{i}", "kind": "control_0", "input_ng": 1e6}, {"methylated": m}) for i, m in
              enumerate((0.001, 0.003))]  # fmt: skip
    low = ({"library_id": "S3", "kind": "standard", "expected_percent": 3.0, "input_ng": 1e6}, {"methylated": 0.03})
    found = study(bench, *blanks, low, (person(), {"methylated": 0.004}), (person("L2", "p2"), {"methylated": 0.05}))
    row = found.limits.set_index("index").loc["region_mean"]
    assert (row["n_blanks"], row["n_low"]) == (2, 1)
    assert row["lob"] == pytest.approx(0.002 + 1.645 * np.std([0.001, 0.003], ddof=1))
    error = found.libraries.set_index("library_id").loc["S3", "region_mean_beta_se"]
    assert row["lod"] == pytest.approx(row["lob"] + 1.645 * error)
    reasons = found.libraries.set_index("library_id")["reasons"]
    assert "region mean below the limit of detection" in reasons["L1"] and "limit of detection" not in reasons["L2"]


def test_without_blanks_there_is_no_limit(bench):
    found = study(bench, (person(), {"methylated": 0.004}))
    assert found.limits["n_blanks"].tolist() == [0, 0] and found.limits["lod"].isna().all()


def test_one_blank_counts_with_its_own_error(bench):
    found = study(bench, ({"library_id": "C0", "kind": "control_0"}, {"methylated": 0.004, "e": 0.004}))
    row = found.limits.set_index("index").loc["region_mean"]
    error = found.libraries["region_mean_beta_se"].iloc[0]
    assert row["lod"] == pytest.approx(2 * 1.645 * error, abs=1e-12)


def test_every_library_can_be_a_control(bench):
    found = study(bench, ({"library_id": "NTC", "kind": "no_template"}, {"n": 5}))
    assert found.indices.empty and "region_mean_beta" in found.indices
    assert found.libraries["verdict"].tolist() == ["warn"]


def test_two_panels_may_not_name_an_index_alike(bench):
    panels = {"toy": bench.panel(), "other": bench.panel(name="other")}
    with pytest.raises(InputError, match="is an index of panel toy too"):
        estimate_study(sheet(), panels, {}, SETTINGS)


def test_tables_are_as_their_schemas_say(bench, root):
    found = study(bench, (person(), {"methylated": 0.05}), (CONTROL, {"methylated": 0.98}))
    for name, table in (("libraries", found.libraries), ("calls", found.calls["L1"]), ("indices", found.indices),
                        ("limits", found.limits)):  # fmt: skip
        schema = yaml.safe_load((root / "workflow" / "schemas" / f"methylation_{name}.schema.yaml").read_text())
        assert [c for c in table.columns if c in schema["properties"]] == list(schema["properties"])
        import jsonschema

        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        for row in rows:
            jsonschema.validate({k: v.item() if hasattr(v, "item") else v for k, v in row.items()}, schema)


def test_a_library_with_m_bias_is_warned_and_says_where(bench):
    cycles = pd.DataFrame({
        "mate": 2, "cycle": range(101, 126), "methylated": 0, "unmethylated": 0, "methylated_expected": 0.0,
        "unconverted": 60, "converted": 1940, "unconverted_expected": 10.0,
    })  # fmt: skip
    panel = bench.panel()
    tables = {"L1": replace(library(panel), cycles=cycles)}
    row = estimate_study(sheet(person()), {"toy": panel}, tables, SETTINGS).libraries.iloc[0]
    assert row["verdict"] == "warn"
    assert "read 2, cycles 101-125: non-conversion 3 % where the same cytosines show 0.5 %" in row["reasons"]


def test_what_genotypes_and_reads_make_suspicious_is_a_warning_of_the_library(bench):
    """Reasons from elsewhere are told; so is a CpG that one of six people lacks on half the molecules."""
    panel, rng = bench.panel(), np.random.default_rng(0)
    tables = {}
    for k in range(6):
        states = np.repeat(rng.random((600, 1)) < 0.5, 7, axis=1) & (rng.random((600, 7)) < 0.9)
        if k == 2:
            states[rng.random(600) < 0.5, 3] = False
        made = library(panel, n=600, name=f"L{k}")
        patterns = pd.DataFrame({"pattern": ["".join("01"[int(s)] for s in row) for row in states]})
        patterns = patterns.value_counts(sort=False).reset_index().assign(amplicon="toy", unconverted=0, sites=SITES)
        tables[f"L{k}"] = replace(made, patterns=patterns)
    rows = [person(f"L{k}", f"p{k}") for k in range(6)]
    found = estimate_study(sheet(*rows), {"toy": panel}, tables, SETTINGS, warnings={"L4": ["samples may be swapped"]})
    reasons = found.libraries.set_index("library_id")["reasons"].fillna("")
    assert ["1 CpG may hold a C/T variant" in reasons[f"L{k}"] for k in range(6)] == [k == 2 for k in range(6)]
    assert found.suspected[["library_id", "cpg_id"]].values.tolist() == [["L2", "CpG4"]]
    assert "samples may be swapped" in reasons["L4"] and "CpG4" not in "".join(reasons)
    assert found.libraries.set_index("library_id")["verdict"][["L2", "L4"]].tolist() == ["warn", "warn"]
