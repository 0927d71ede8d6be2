"""Counts that other pipelines wrote: every form gives the counts of the same reads, every damage its own line."""

import gzip

import numpy as np
import pandas as pd
import pytest

from hpaxis.methylation.assays.coverage import counts_file, find_format, origin_notes, origin_table
from hpaxis.methylation.assays.release import read_counts
from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.methylation.panels.panel import read_panel
from hpaxis.problems import InputError
from hpaxis.schemas import load, with_defaults
from hpaxis.shipped import PANELS

SETTINGS = with_defaults({}, load("config/methylation"))


@pytest.fixture(scope="module")
def panel():
    """The panel that is shipped, whose amplicon lies on the minus strand."""
    return read_panel(PANELS / "nr3c1_exon1f")


@pytest.fixture(scope="module")
def truth(panel):
    """Counts by CpG and strand: methylated, unmethylated on plus and on minus; pos is that of the C on plus."""
    rng = np.random.default_rng(4)
    n = len(panel.cpgs)
    table = panel.cpgs[["cpg_id", "chrom", "pos"]].reset_index(drop=True)
    for strand in "+-":
        depth = rng.integers(300, 900, n)
        table[f"m{strand}"] = rng.binomial(depth, 0.03)
        table[f"u{strand}"] = depth - table[f"m{strand}"]
    return table


def by_strand(truth):
    for row in truth.to_dict("records"):
        for strand, shift in (("+", 0), ("-", 1)):
            yield row["chrom"], row["pos"] + shift, strand, row[f"m{strand}"], row[f"u{strand}"]


def merged(truth):
    return [(r["chrom"], r["pos"], r["m+"] + r["m-"], r["u+"] + r["u-"]) for r in truth.to_dict("records")]


def share(m, u):
    return f"{100 * m / (m + u):.6f}"


FORMS = {
    "Bismark coverage": lambda t: [(c, p, p, share(m, u), m, u) for c, p, s, m, u in by_strand(t)],
    "Bismark coverage, from 0": lambda t: [(c, p - 1, p, share(m, u), m, u) for c, p, s, m, u in by_strand(t)],
    "Bismark coverage, merged": lambda t: [(c, p, p + 1, share(m, u), m, u) for c, p, m, u in merged(t)],
    "CpG_report": lambda t: [(c, p, s, m, u, "CG", "CGA") for c, p, s, m, u in by_strand(t)],
    "MethylDackel": lambda t: ['track type="bedGraph" description="CpG"',
                               *[(c, p - 1, p, f"{100 * m / (m + u):.0f}", m, u) for c, p, s, m, u in by_strand(t)]],
    "MethylDackel, merged": lambda t: ['track type="bedGraph"',
                             *[(c, p - 1, p + 1, f"{100 * m / (m + u):.0f}", m, u) for c, p, m, u in merged(t)]],
    "methylKit": lambda t: [("chrBase", "chr", "base", "strand", "coverage", "freqC", "freqT"),
                            *[(f"{c}.{p}", c, p, "F" if s == "+" else "R", m + u, f"{100 * m / (m + u):.2f}",
                               f"{100 * u / (m + u):.2f}") for c, p, s, m, u in by_strand(t)]],
    "bedMethyl (modkit)": lambda t: [(c, p - 1, p, "m", m + u, s, p - 1, p, "255,0,0", m + u, 0, m, u, 0, 0, 0, 0, 0)
                                     for c, p, s, m, u in by_strand(t)],
    "methylpy": lambda t: [(c, p, s, "CGA", m, m + u, 1) for c, p, s, m, u in by_strand(t)],
}  # fmt: skip


def write(path, rows):
    text = "\n".join(r if isinstance(r, str) else "\t".join(map(str, r)) for r in rows) + "\n"
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ending", ["txt", "txt.gz"])
def test_every_form_gives_the_same_counts(panel, truth, tmp_path, form, ending):
    """Rows of a genome around the panel do not matter, nor whether contigs are called with chr."""
    rows = FORMS[form](truth)
    rows += [tuple("2" if i == 0 else v for i, v in enumerate(rows[-1]))] if form != "methylKit" else []
    found = read_counts(write(tmp_path / f"A1.{ending}", rows), "A1", panel)
    assert found.counts["methylated"].tolist() == (truth["m+"] + truth["m-"]).tolist()
    assert found.counts["unmethylated"].tolist() == (truth["u+"] + truth["u-"]).tolist()
    assert found.origin.panel_rows == len(truth) * (1 if "merged" in form else 2)
    if form != "Bismark coverage, merged":  # C on plus from 1 is G on minus from 0: the same CpG
        assert found.origin.first_base == (0 if form.startswith(("Methyl", "bedM")) or form.endswith("from 0") else 1)


def test_a_report_that_counts_from_0_is_read_by_its_strands_and_says_so(panel, truth, tmp_path):
    rows = [(c, p - 1, s, m, u, "CG", "CGA") for c, p, s, m, u in by_strand(truth)]
    found = read_counts(write(tmp_path / "A1.txt", rows), "A1", panel)
    assert found.counts["methylated"].sum() == truth[["m+", "m-"]].to_numpy().sum()
    assert found.origin.first_base == 0 and "though Bismark report counts from 1" in found.origin.note


def test_cytosines_outside_cpgs_tell_conversion(panel, truth, tmp_path):
    """Of a report of all cytosines, or of the splitting report beside the counts."""
    rows = [(c, p, s, m, u, "CG", "CGA") for c, p, s, m, u in by_strand(truth)]
    place = int(truth["pos"].iloc[3])
    extra = [(truth["chrom"].iloc[0], place + 2, "+", 4, 996, "CHH", "CAT")]
    found = read_counts(write(tmp_path / "A1.CX_report.txt", rows + extra), "A1", panel)
    assert found.reads[["non_cpg_unconverted", "non_cpg_converted"]].iloc[0].tolist() == [4, 996]
    write(tmp_path / "A1_1_val_1_bismark_bt2_pe_splitting_report.txt", [
        f"Total {what} in {context} context:\t{n}"
        for what, n in (("methylated C's", 30), ("C to T conversions", 9970)) for context in ("CHG", "CHH")
    ])  # fmt: skip
    found = read_counts(write(tmp_path / "A1.cov", FORMS["Bismark coverage"](truth)), "A1", panel)
    assert found.reads[["non_cpg_unconverted", "non_cpg_converted"]].iloc[0].tolist() == [60, 19940]


@pytest.mark.parametrize(("stated", "verdict", "shift"), [(np.nan, "warn", 0.0), (99.0, "pass", 0.01)])
def test_conversion_that_is_not_in_the_counts_is_stated_or_warned_about(panel, truth, tmp_path, stated, verdict, shift):
    calls = read_counts(write(tmp_path / "A1.cov", FORMS["Bismark coverage"](truth)), "A1", panel)
    sheet = pd.DataFrame([{
        "library_id": "A1", "participant_id": "P", "timepoint": "t", "kind": "study", "panel": "p", "plate": None,
        "well": None, "expected_percent": np.nan, "input_ng": 50.0, "assay": "counts", "conversion_percent": stated,
    }])  # fmt: skip
    notes = {"A1": origin_notes(origin_table("A1", calls.origin))}
    found = estimate_study(sheet, {"p": panel}, {"A1": calls}, SETTINGS, notes=notes).libraries.iloc[0]
    raw = found["region_mean_beta_raw"]
    assert found["region_mean_beta"] == pytest.approx((raw - shift) / (1 - shift))
    assert found["verdict"] == verdict and ("taken as complete" in found["reasons"]) == (verdict == "warn")
    assert "counts from Bismark coverage: positions from 1, both strands added" in found["reasons"]


DAMAGE = {
    "empty": (b"", "is empty"),
    "UTF-16": ("library_id\tcpg_id\n".encode("utf-16"), "is UTF-16 text"),
    "Latin-1": ("library_id\tcpg_id\tmethylated\tunmethylated\nA1\té\t1\t2\n".encode("latin-1"), "is no UTF-8 text"),
    "gzip cut short": (gzip.compress(b"chr5\t143404319\t143404319\t3.0\t30\t970\n" * 2000)[:60], "cannot be read"),
    "no counts": (b"chr5\t143404318\t143404319\t3.0\n", "without counts"),
    "other build": (b"chr5\t142783884\t142783884\t3.0\t30\t970\n", "has none of its 1 rows in the panel"),
    "beside CpGs": (b"chr5\t143404310\t143404310\t3.0\t30\t970\nchr5\t143404312\t143404312\t3.0\t30\t970\n", "beside"),
    "word for a count": (
        b"chr5\t143404319\t143404319\t3.0\t30\t970\nchr5\t143404309\t143404309\t3.0\tx\t9\n",
        "no count",
    ),
    "twice": (b"chr5\t143404319\t143404319\t3.0\t30\t970\n" * 2, "twice"),
    "another table": (b"a\tb\n1\t2\n", "is no table of counts"),
    "binary": (b"\x00\x01\x02", "is no text"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_damage_is_a_line_and_no_traceback(panel, tmp_path, damage):
    data, what = DAMAGE[damage]
    (tmp_path / "A1.cov").write_bytes(data)
    with pytest.raises(InputError, match=what):
        read_counts(tmp_path / "A1.cov", "A1", panel)


def test_a_pipelines_folder_is_searched_by_the_librarys_id(tmp_path, truth):
    folder = tmp_path / "bismark" / "methylation_calls"
    (folder / "methylation_coverage").mkdir(parents=True)
    for name in ("S1_1_val_1_bismark_bt2_pe.bismark.cov.gz", "S10_1_val_1_bismark_bt2_pe.bismark.cov.gz"):
        write(folder / "methylation_coverage" / name, FORMS["Bismark coverage"](truth))
    assert counts_file(str(tmp_path), "S1").endswith("S1_1_val_1_bismark_bt2_pe.bismark.cov.gz")
    with pytest.raises(InputError, match="has no file of counts"):
        counts_file(str(tmp_path), "S2")
    write(folder / "S1_again.bismark.cov.gz", FORMS["Bismark coverage"](truth))
    with pytest.raises(InputError, match="2 files of this library"):
        counts_file(str(tmp_path), "S1")


def test_native_tables_are_not_taken_for_others(tmp_path):
    path = write(tmp_path / "counts.tsv", [("library_id", "cpg_id", "methylated", "unmethylated"), ("A", "x", 1, 2)])
    assert find_format(path) is None
