"""Counts out and in again: the same results from a release as from the reads, and counts of others by CpG."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hpaxis.methylation.assays.release import read_counts, release_tables
from hpaxis.methylation.counting.calls import FATES, count_library
from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.problems import InputError
from hpaxis.schemas import load, with_defaults
from hpaxis.tables import write_table

SETTINGS = with_defaults({}, load("config/methylation")) | {"depth_fail": 5}


def sheet_of(*libraries):
    rows = pd.DataFrame({"library_id": libraries, "participant_id": libraries, "timepoint": "t", "kind": "study"})
    return rows.assign(panel="toy", expected_percent=np.nan, plate=None, well=None, input_ng=np.nan)


@pytest.fixture
def study(bench):
    """Two libraries called from reads: their panel, sheet and tables."""
    panel = bench.panel()
    tables = {}
    for name, methylated in (("A", (0, 3)), ("B", (1,))):
        pairs = [bench.pair(bench.molecule(), turned=bool(i % 2)) for i in range(30)]
        pairs += [bench.pair(bench.molecule(methylated, bench.others[:1]))] * 4 + [bench.pair("ACGT" * 40)]
        pairs += [bench.pair(bench.molecule((), bench.others))] * 2
        tables[name] = count_library(bench.write(pairs, name), panel, name)
    sheet = sheet_of("A", "B").assign(input_ng=10.0)
    return panel, sheet, tables


def write_release(tables, folder):
    for name, table in release_tables(tables).items():
        write_table(table, folder / f"{name}.tsv")
    return folder / "molecules.tsv"


def test_a_release_read_back_gives_the_same_tables_to_the_byte(study, tmp_path):
    panel, sheet, tables = study
    path = write_release(tables, tmp_path / "release")
    again = {name: read_counts(path, name, panel) for name in tables}
    for kind, source in (("first", tables), ("second", again)):
        found = estimate_study(sheet, {"toy": panel}, source, SETTINGS)
        for name in tables:
            for part in ("counts", "patterns", "reads", "conversion", "cycles"):
                write_table(getattr(source[name], part), tmp_path / kind / f"{name}_{part}.tsv")
            write_table(found.calls[name], tmp_path / kind / f"{name}_calls.tsv")
        write_table(found.libraries, tmp_path / kind / "libraries.tsv")
        write_table(found.indices, tmp_path / kind / "indices.tsv")
    files = sorted(p.name for p in (tmp_path / "first").iterdir())
    assert len(files) == 14
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file


def test_a_warning_of_bias_by_cycle_survives_the_release(study, tmp_path):
    panel, sheet, tables = study
    cycles = tables["A"].cycles
    first = cycles["mate"] == 1
    skewed = cycles.assign(unconverted=np.where(first, 500, 5), converted=500, unconverted_expected=5.0)
    tables = tables | {"A": replace(tables["A"], cycles=skewed)}
    path = write_release(tables, tmp_path)
    again = {name: read_counts(path, name, panel) for name in tables}
    reasons = [
        estimate_study(sheet, {"toy": panel}, found, SETTINGS).libraries["reasons"][0] for found in (tables, again)
    ]
    assert reasons[0] == reasons[1] and "read 1, cycles" in reasons[0]


def test_a_release_holds_no_sequence_and_no_read_name(study, tmp_path):
    _, _, tables = study
    write_release(tables, tmp_path)
    text = "".join(p.read_text() for p in tmp_path.glob("*.tsv") if p.name != "reads.tsv")
    assert "read0" not in text and "ACGT" not in text and "TTGT" not in text


def test_without_its_reads_table_a_release_tells_what_the_molecules_tell(study, tmp_path):
    panel, _, tables = study
    path = write_release(tables, tmp_path)
    (tmp_path / "reads.tsv").unlink()
    calls = read_counts(path, "A", panel)
    row = calls.reads.iloc[0]
    assert row["pairs_in"] == row["passed"] == 34 == row[list(FATES)].sum()
    assert row["non_cpg_unconverted"] == 4
    (tmp_path / "conversion.tsv").unlink()
    assert read_counts(path, "A", panel).conversion["count"].sum() == 34 == calls.conversion["count"].sum() - 2
    assert calls.counts.equals(tables["A"].counts)


def test_counts_by_cpg_enter_with_conversion_where_it_is_known(bench, tmp_path):
    panel = bench.panel()
    rows = pd.DataFrame({"library_id": "A", "cpg_id": panel.cpgs["cpg_id"], "methylated": 60, "unmethylated": 1940,
                         "other": 3, "non_cpg_unconverted": 500, "non_cpg_converted": 99_500})  # fmt: skip
    write_table(rows, tmp_path / "counts.tsv")
    calls = read_counts(tmp_path / "counts.tsv", "A", panel)
    assert calls.counts[["methylated", "unmethylated", "other", "depth"]].values.tolist() == [[60, 1940, 3, 2000]] * 7
    assert calls.reads["passed"].iloc[0] == 2000
    sheet = sheet_of("A")
    row = estimate_study(sheet, {"toy": panel}, {"A": calls}, SETTINGS).libraries.iloc[0]
    assert row["non_conversion"] == pytest.approx(0.005)
    assert row["region_mean_beta"] == pytest.approx((0.03 - 0.005) / 0.995)
    # 7 independent CpGs, each binomial in 2,000; the error of e from 100,000 sites is far smaller.
    expected = (0.03 * 0.97 / 2000 / 7 + (1 - 0.0251) ** 2 * 0.005 * 0.995 / 1e5) ** 0.5 / 0.995
    assert row["region_mean_beta_se"] == pytest.approx(expected, rel=1e-3)


def test_counts_without_conversion_have_no_corrected_level(bench, tmp_path):
    panel = bench.panel()
    rows = pd.DataFrame({"library_id": "A", "cpg_id": panel.cpgs["cpg_id"], "methylated": 6, "unmethylated": 194})
    write_table(rows, tmp_path / "counts.tsv")
    sheet = sheet_of("A")
    tables = {"A": read_counts(tmp_path / "counts.tsv", "A", panel)}
    found = estimate_study(sheet, {"toy": panel}, tables, SETTINGS)
    assert found.libraries["verdict"].tolist() == ["fail"]
    assert "conversion is unknown" in found.libraries["reasons"].iloc[0]
    assert found.calls["A"]["beta_raw"].tolist() == [0.03] * 7 and found.calls["A"]["beta"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": -1}, "count: '-1' is no count"),
        ({"pattern": "01"}, "is no pattern of 7 CpGs"),
        ({"amplicon": "other"}, "'other' is not in the panel"),
    ],
)
def test_faults_of_a_release_have_their_line(study, tmp_path, change, message):
    panel, _, tables = study
    path = write_release(tables, tmp_path)
    table = pd.read_csv(path, sep="\t", dtype={"pattern": "str"})
    for column, value in change.items():
        table[column] = table[column].astype(object)
        table.loc[0, column] = value
    write_table(table, path)
    with pytest.raises(InputError, match=message):
        read_counts(path, "A", panel)


def test_faults_of_counts_by_cpg_are_told_together(bench, tmp_path):
    panel = bench.panel()
    rows = pd.DataFrame({"library_id": "A", "cpg_id": ["CpG1", "CpG1", "CpG99"], "methylated": [1, 2, 0.5],
                         "unmethylated": 5})  # fmt: skip
    write_table(rows, tmp_path / "counts.tsv")
    with pytest.raises(InputError) as error:
        read_counts(tmp_path / "counts.tsv", "A", panel)
    assert [p.what for p in error.value.problems] == [
        "is not in the panel",
        "stands twice for this library",
        "is no count",
    ]
    with pytest.raises(InputError, match="has no row in this table"):
        read_counts(tmp_path / "counts.tsv", "Z", panel)
    write_table(rows.drop(columns="methylated"), tmp_path / "no.tsv")
    with pytest.raises(InputError, match="is no table of counts"):
        read_counts(tmp_path / "no.tsv", "A", panel)
