"""The shipped panel against the facts it stands on, and faults a panel can have, all told at once."""

import shutil

import pytest

from hpaxis.methylation.counting.target import panel_targets
from hpaxis.methylation.panels.panel import (
    find_product,
    make_panel,
    primer_mismatches,
    read_panel,
    reverse_complement,
    write_panel,
)
from hpaxis.problems import InputError

NAME = "nr3c1_exon1f"


@pytest.fixture(scope="module")
def shipped(root):
    return read_panel(root / "resources" / "panels" / NAME)


def test_exon_1f_has_the_cpgs_and_cytosines_its_provenance_states(shipped):
    reference = shipped.references[NAME]
    assert len(reference) == 404
    assert len(shipped.cpg_offsets(NAME)) == reference.count("CG") == 47
    assert reference.count("C") - 47 == 99
    assert [i for i, base in enumerate(reference) if base not in "ACGT"] == [387] and reference[387] == "Y"
    assert shipped.snps.empty


def test_oberlanders_cpgs_lie_where_hg38_has_them(shipped):
    """Plus-strand positions of CpG 35-47 as published on hg19 and lifted by +620,435."""
    expected = [143404074, 143404072, 143404062, 143404056, 143404042, 143404019, 143404004, 143404001, 143403982,
                143403975, 143403972, 143403966, 143403963]  # fmt: skip
    assert shipped.cpgs["pos"].tolist()[34:] == expected
    members = shipped.indices.groupby("index")["cpg_id"].apply(list)
    ids = shipped.cpgs["cpg_id"].tolist()
    assert members["oberlander_mean"] == ids[34:]
    assert members["ngfi_a"] == ids[36:38]
    assert members["cpg_1_4"] + members["cpg_5_13"] == ids[34:]
    assert members["region_mean"] == ids


def test_ngfi_a_element_and_sequencing_primers_are_in_the_reference(shipped):
    reference = shipped.references[NAME]
    first, second = shipped.cpg_offsets(NAME)[36:38]
    assert reference[first - 1 : second + 2] == "GCGGGGGCG"
    converted = reference.replace("C", "T")
    for primer in ("GAGTGGGTTTGGAGT", "AGAAAAGAAATTGGAGAAATT"):
        assert converted.count(primer) == 1


def test_the_y_under_the_reverse_primer_is_never_a_cytosine(shipped):
    (target,) = panel_targets(shipped)
    assert (target.first, target.last) == (20, 386)
    assert 387 not in target.others and 387 not in target.cpgs
    assert chr(target.context[387]) == "."


def test_panel_problems_are_told_together(shipped, root, tmp_path):
    folder = tmp_path / "bad"
    shutil.copytree(root / "resources" / "panels" / NAME, folder)
    edit(folder / "amplicons.tsv", "TTTGAAGTTTTTTTAGAGGG", "TTTGAAGTTTATTTAGAGGG")
    edit(folder / "cpgs.tsv", "CpG02\tnr3c1_exon1f\t30", "CpG02\tnr3c1_exon1f\t31")
    edit(folder / "cpgs.tsv", "143404304", "143404305")
    edit(folder / "indices.tsv", "ngfi_a\tNR3C1_1F_CpG37", "ngfi_a\tNR3C1_1F_CpG99")
    edit(folder / "aliases.tsv", "NR3C1_1F_CpG47\tamplicon_47", "NR3C1_1F_CpG46\tamplicon_47")
    with pytest.raises(InputError) as error:
        read_panel(folder)
    assert "aliases.tsv, row 48, scheme: 'NR3C1_1F_CpG46 amplicon_47' named twice" in str(error.value)
    edit(folder / "aliases.tsv", "NR3C1_1F_CpG46\tamplicon_47\t47", "NR3C1_1F_CpG47\tamplicon_47\t47")
    with pytest.raises(InputError) as error:
        read_panel(folder)
    lines = str(error.value).splitlines()
    assert len(lines) == 5
    for part in (
        "row 2, forward_primer: 'TTTGAAGTTTATTTAGAGGG' does not match its converted reference at base 11",
        "cpgs.tsv, row 3, offset: 31 is not the C of a CpG in the reference",
        "cpgs.tsv, row 4, pos: 143404305 should be 143404304 by the amplicon's coordinates",
        "cpgs.tsv, offset: 30 CpG of nr3c1_exon1f is not listed",
        "cpg_id: 'NR3C1_1F_CpG99' is not in cpgs.tsv",
    ):
        assert any(part in line for line in lines), part


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("reference.fa", ">nr3c1_exon1f", ">other", "has no record in reference.fa"),
        ("reference.fa", "CCTGAAGCC", "CCTGAA!CC", "not a nucleotide code"),
        ("reference.fa", ">nr3c1_exon1f\n", "ACGT\n>nr3c1_exon1f\n", "sequence before the first header"),
        ("reference.fa", ">nr3c1_exon1f", ">nr3c1_exon1f\nACGT\n>nr3c1_exon1f", "record without a name of its own"),
        ("amplicons.tsv", "\t-\t", "\tminus\t", "is neither + nor -"),
        ("amplicons.tsv", "143404339", "143404340", "end - start + 1 is not the reference's length, 404"),
        ("amplicons.tsv", "CCCCCAACTCCCCAAAAA", "NA", "is the only primer"),
        ("amplicons.tsv", "CCCCCAACTCCCCAAAAA", "CCCCC-AACTCC", "is no primer"),
        ("amplicons.tsv", "start", "begin", "unknown column"),
        ("cpgs.tsv", "\t20\t", "\ttwenty\t", "not a whole number"),
        ("cpgs.tsv", "NR3C1_1F_CpG02", "NR3C1_1F_CpG01", "named twice"),
        ("cpgs.tsv", "NR3C1_1F_CpG02\tnr3c1_exon1f", "NR3C1_1F_CpG02\tother", "is not in amplicons.tsv"),
        ("cpgs.tsv", "NR3C1_1F_CpG02", "", "is empty"),
        ("cpgs.tsv", "chr5\t143404308\t-", "chr5\t143404308\t+", "differs from the amplicon's, -"),
        ("cpgs.tsv", "NR3C1_1F_CpG02\tnr3c1_exon1f\t30", "NR3C1_1F_CpG02\tnr3c1_exon1f\t20", "is listed twice"),
    ],
)
def test_each_fault_of_a_panel_has_its_line(root, tmp_path, table, old, new, message):
    folder = tmp_path / "bad"
    shutil.copytree(root / "resources" / "panels" / NAME, folder)
    edit(folder / table, old, new)
    with pytest.raises(InputError, match=message.replace("+", r"\+")):
        read_panel(folder)


def test_a_cpg_under_a_primer_may_not_be_listed(bench):
    panel = bench.panel()
    folder = bench.folder / "panel_toy_True"
    row = "CpG0\ttoy\t{0}\tchr1\t{1}\t+\tx\n"
    reference = "CG" + bench.reference[2:]
    (folder / "reference.fa").write_text(f">toy\n{reference}\n")
    edit(folder / "amplicons.tsv", bench.forward_primer, "TG" + bench.forward_primer[2:])
    (folder / "cpgs.tsv").write_text((folder / "cpgs.tsv").read_text() + row.format(0, 1001))
    with pytest.raises(InputError, match="lies under a primer, which is synthetic"):
        read_panel(folder)
    assert panel.insert_bounds("toy") == (20, 130)


def test_missing_files_are_all_named(tmp_path):
    (tmp_path / "reference.fa").write_text(">a\nACGT\n")
    with pytest.raises(InputError) as error:
        read_panel(tmp_path)
    assert len(error.value.problems) == 5


def test_primers_pair_with_the_converted_strand_and_may_keep_c_in_a_cpg():
    assert primer_mismatches("TTGA", "CTGA") == []
    assert primer_mismatches("CTGA", "CTGA") == [0]
    assert primer_mismatches("TG", "CG") == primer_mismatches("CG", "CG") == primer_mismatches("YG", "CG") == []
    assert primer_mismatches("AR", "AG") == []


def test_a_made_panel_reads_back_as_written(bench):
    path = bench.folder / "ref.fa"
    path.write_text(f">toy_chr7_2001_2150\n{bench.reference}\n>plain\n{bench.reference[::-1]}\n")
    panel = make_panel(path)
    write_panel(panel, bench.folder / "made")
    again = read_panel(bench.folder / "made")
    assert again.references == panel.references
    assert again.cpgs["pos"].tolist()[:7] == [2001 + o for o in bench.cpgs]
    assert again.cpgs["pos"].isna().sum() == len(again.cpgs) - 7
    assert again.insert_bounds("toy_chr7_2001_2150") == (0, 150)
    # An index for each record: two genes are never mixed into one mean unasked.
    assert again.indices["index"].drop_duplicates().tolist() == ["toy_chr7_2001_2150_mean", "plain_mean"]


def test_a_panel_from_two_primers_is_cut_to_their_product(bench):
    flank = "TTACCAGATTGG"
    (bench.folder / "ref.fa").write_text(f">gene_chr2_101_274\n{flank + bench.reference + flank}\n")
    primers = bench.folder / "primers.tsv"
    primers.write_text(
        f"amplicon\tforward_primer\treverse_primer\ngene_chr2_101_274\t{bench.forward_primer}\t{bench.reverse_primer}\n"
    )
    panel = make_panel(bench.folder / "ref.fa", primers)
    assert panel.references == {"gene_chr2_101_274": bench.reference}
    assert panel.cpgs["pos"].tolist() == [101 + len(flank) + o for o in bench.cpgs]
    assert panel.insert_bounds("gene_chr2_101_274") == (20, 130)
    write_panel(panel, bench.folder / "cut")
    assert read_panel(bench.folder / "cut").cpgs["offset"].tolist() == bench.cpgs


def test_primers_that_fit_nowhere_or_twice_or_back_to_back_are_refused(bench):
    pair = (bench.forward_primer, bench.reverse_primer)
    assert find_product(*pair, bench.reference) == (0, 150)
    with pytest.raises(InputError, match="matches the converted reference in 0 places"):
        find_product("A" * 20, pair[1], bench.reference)
    with pytest.raises(InputError, match="in 2 places"):
        find_product(*pair, bench.reference + bench.reference)
    swapped = bench.reference[130:] + bench.reference[20:130] + bench.reference[:20]
    with pytest.raises(InputError, match="do not face each other"):
        find_product(*pair, swapped)


def test_reverse_complement_knows_ambiguity_codes():
    assert reverse_complement("ACGTRYN") == "NRYACGT"
