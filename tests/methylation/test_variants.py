"""A panel's SNP mask: made from a VCF, checked against the reference, and what it does to calls."""

import hashlib

import jsonschema
import numpy as np
import pandas as pd
import pysam
import pytest
import yaml

from hpaxis.cli import main
from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.methylation.panels.panel import panel_folder, read_panel, write_panel
from hpaxis.methylation.panels.snp_mask import build_mask
from hpaxis.methylation.panels.variants import is_visible, masked_cpgs, place_variants, variants_table
from hpaxis.problems import InputError
from hpaxis.schemas import load, with_defaults

SETTINGS = with_defaults({}, load("config/methylation")) | {"depth_fail": 5}
HEADER = "##fileformat=VCFv4.2\n##source=made up\n"


def masked(bench, *rows, panel=None):
    """The bench's panel with a mask of (pos, ref, alt, frequency)."""
    panel = panel or bench.panel()
    folder = bench.folder / "masked"
    write_panel(panel, folder)
    lines = [f"chr1\t{pos}\t{ref}\t{alt}\t{frequency}\tmade up" for pos, ref, alt, frequency in rows]
    header = "chrom\tpos\tref\talt\tallele_frequency\tsource"
    (folder / "snp_mask.tsv").write_text("\n".join([header, *lines]) + "\n")
    return read_panel(folder)


def at(bench, offset):
    return 1001 + offset


def vcf(path, rows, info="AF=0.1", contig="chr1", header="", samples=()):
    """Rows: (pos, ref, alt) or (pos, ref, alt, info), and genotypes after that."""
    text = HEADER + header + f"##contig=<ID={contig}>\n"
    text += (
        '##INFO=<ID=AF,Number=A,Type=Float,Description="x">\n##INFO=<ID=FREQ,Number=.,Type=String,Description="x">\n'
    )
    text += '##FORMAT=<ID=GT,Number=1,Type=String,Description="x">\n'
    text += "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"])
    text += "".join(f"\t{s}" for s in (("FORMAT", *samples) if samples else ())) + "\n"
    for pos, ref, alt, *more in rows:
        told = more[0] if more else info
        cells = [contig, str(pos), ".", ref, alt, ".", ".", told or ".", *(["GT", *more[1:]] if samples else [])]
        text += "\t".join(cells) + "\n"
    path.write_text(text)
    return path


def test_variants_are_taken_where_the_amplicon_lies_and_nowhere_else(bench, tmp_path):
    cpg, other = bench.cpgs[0], bench.others[0]
    rows = [
        (900, "A", "G"), (at(bench, 3), bench.reference[3], "T"), (at(bench, other), "C", "T"),
        (at(bench, cpg), "C", "T", "AF=0.2"), (at(bench, cpg) + 1, "G", "A,T", "AF=0.3,0.001"),
        (at(bench, 100), bench.reference[100:102], bench.reference[100]), (5000, "C", "T"),
    ]  # fmt: skip
    rows = sorted(rows)
    path = vcf(tmp_path / "x.vcf", rows)
    table, left_out = build_mask(bench.panel(), path, 0.01)
    assert table["pos"].tolist() == sorted([at(bench, 3), at(bench, other), at(bench, cpg), at(bench, cpg) + 1])
    found = table.set_index(["pos", "alt"])["allele_frequency"]
    assert found[at(bench, cpg), "T"] == pytest.approx(0.2) and found[at(bench, cpg) + 1, "A"] == pytest.approx(0.3)
    assert left_out == {"rare": 1, "frequency unknown": 0, "longer than a base": 1}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert set(table["source"]) == {f"x.vcf sha256:{digest}; source=made up"}


@pytest.mark.parametrize("indexed", [False, True])
def test_contigs_go_by_many_names_and_an_index_changes_nothing(bench, tmp_path, indexed):
    row = (at(bench, bench.cpgs[0]), "C", "T")
    for contig, given in (("chr1", None), ("1", None), ("NC_000001.11", {"chr1": "NC_000001.11"})):
        path = vcf(tmp_path / "x.vcf", [(500, "A", "C"), row], contig=contig)
        if indexed:
            path = pysam.tabix_index(str(path), preset="vcf", force=True)
        table, _ = build_mask(bench.panel(), path, contigs=given)
        assert table[["chrom", "pos"]].values.tolist() == [["chr1", row[0]]]
    if indexed:
        with pytest.raises(InputError, match="has no contig chr1"):
            build_mask(bench.panel(), path)


def test_frequencies_come_from_af_dbsnp_or_genotypes(bench, tmp_path):
    cpgs = [at(bench, o) for o in bench.cpgs[:4]]
    rows = [
        (cpgs[0], "C", "T", "FREQ=1000Genomes:0.95,0.05|Other:0.8,0.2|None:1,.", "0/0", "0/0"),
        (cpgs[1], "C", "T", "", "0/1", "1/1"),
        (cpgs[2], "C", "T", "", "./.", "0/0"),
        (cpgs[3], "C", "T", "", "./.", "./."),
    ]
    path = vcf(tmp_path / "x.vcf", rows, samples=("a", "b"))
    table, left_out = build_mask(bench.panel(), path, 0.01)
    assert table[["pos", "allele_frequency"]].values.tolist() == [[cpgs[0], 0.2], [cpgs[1], 0.75]]
    assert left_out == {"rare": 1, "frequency unknown": 1, "longer than a base": 0}
    table, _ = build_mask(bench.panel(), path, 0)
    assert len(table) == 4 and table["allele_frequency"].isna().sum() == 1


def test_another_genome_build_is_refused(bench, tmp_path):
    path = vcf(tmp_path / "x.vcf", [(at(bench, bench.cpgs[0]), "A", "T"), (at(bench, bench.cpgs[1]), "C", "T")])
    with pytest.raises(InputError) as error:
        build_mask(bench.panel(), path)
    (problem,) = error.value.problems
    assert "differs from the base of toy there, C on the plus strand" in problem.what


def test_files_that_are_no_vcf_are_refused(bench, tmp_path):
    path = tmp_path / "x.vcf"
    path.write_text("not a VCF\n")
    with pytest.raises(InputError, match="cannot be read as VCF"):
        build_mask(bench.panel(), path)


def test_the_command_fills_a_panel_on_the_minus_strand(tmp_path, root, capsys):
    """Exon 1F lies on the minus strand: a G>A of the plus strand is a C>T of the amplicon."""
    panel = read_panel(panel_folder("nr3c1_exon1f"))
    write_panel(panel, tmp_path / "panel")
    cpg = panel.cpgs.iloc[36]
    row = panel.amplicons.iloc[0]
    assert row["strand"] == "-" and row["end"] - (cpg["pos"] + 1) == cpg["offset"]
    path = vcf(tmp_path / "x.vcf", [(cpg["pos"] + 1, "G", "A")], contig=row["chrom"])
    main(["panel", "mask", str(tmp_path / "panel"), str(path)])
    assert "1 variants in" in capsys.readouterr().out
    placed = place_variants(read_panel(tmp_path / "panel")).iloc[0]
    assert (placed["offset"], placed["ref"], placed["alt"], placed["cpg_id"]) == (
        cpg["offset"],
        "C",
        "T",
        cpg["cpg_id"],
    )
    assert main(["panel", "mask", str(tmp_path / "panel"), str(tmp_path / "none.vcf")]) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1021, "C", "T", 0.1), "differs from the base of toy there, A on the plus strand"),
        ((900, "C", "T", 0.1), "lies in no amplicon"),
        ((1021, "A", "AT", 0.1), "is not one base"),
        ((1021, "A", "A", 0.1), "is the reference's base"),
        ((1021, "A", "T", 1.5), "is no frequency"),
        ((1021, "A", "T", "often"), "is no frequency"),
    ],
)
def test_a_mask_that_cannot_be_is_refused(bench, row, message):
    assert bench.reference[20] == "A"
    with pytest.raises(InputError, match=message):
        masked(bench, row)


def test_each_site_is_told_apart(bench):
    reference, cpg, other = bench.reference, bench.cpgs[2], bench.others[3]
    before_g = next(i for i in range(40, 120) if reference[i] in "AT" and reference[i + 1] == "G")
    plain = next(
        i for i in range(40, 120) if reference[i] == "A" and reference[i - 1] != "C" and reference[i + 1] != "G"
    )
    rows = [(at(bench, 2), reference[2], "G", 0.3), (at(bench, cpg), "C", "T", 0.005),
            (at(bench, cpg) + 1, "G", "A", "NA"), (at(bench, other), "C", "T", 0.3),
            (at(bench, before_g), reference[before_g], "C", 0.3),
            (at(bench, plain), "A", "T", 0.3)]  # fmt: skip
    panel = masked(bench, *rows)
    placed = place_variants(panel).set_index(["offset", "alt"])["site"].to_dict()
    assert placed == {(2, "G"): "primer", (cpg, "T"): "cpg", (cpg + 1, "A"): "cpg", (other, "T"): "cytosine",
                      (before_g, "C"): "new_cpg", (plain, "T"): "other"}  # fmt: skip
    # The G>A has no frequency and counts; the C>T alone is too rare.
    assert masked_cpgs(panel, 0.01).tolist() == [i == 2 for i in range(7)]
    assert not masked_cpgs(masked(bench, rows[1]), 0.01).any()
    table = variants_table({"toy": panel}, SETTINGS).set_index(["pos", "alt"])["effect"]
    assert table[at(bench, cpg), "T"] == "rarer than snp_frequency: the CpG counts"
    assert table[at(bench, cpg) + 1, "A"] == "the CpG is left out of indices and region means"
    assert "drop out" in table[at(bench, 2), "G"] and table[at(bench, plain), "T"] == "none"


def test_conversion_hides_c_from_t_on_one_strand_and_g_from_a_on_the_other():
    assert not is_visible("C", "T", "top") and is_visible("C", "T", "bottom")
    assert not is_visible("A", "G", "bottom") and is_visible("A", "G", "top") and is_visible("C", "G", "top")


def estimates(panel, calls, **settings):
    sheet = pd.DataFrame([{
        "library_id": "L1", "participant_id": "p1", "timepoint": "t", "kind": "study", "panel": "toy",
        "expected_percent": np.nan, "plate": None, "well": None, "input_ng": 1000.0,
    }])  # fmt: skip
    return estimate_study(sheet, {"toy": panel}, {"L1": calls}, SETTINGS | settings)


def test_a_c_to_t_at_a_cpg_leaves_the_index_with_its_reason_or_is_flagged(bench):
    """Everyone is methylated at 30 % of molecules at the first two CpGs; half the alleles have lost the first one."""
    molecules = [bench.molecule((0, 1) if i % 2 else (1,)) for i in range(6)] + [bench.molecule()] * 14
    pairs = [bench.pair(m) for m in molecules]
    mask = (at(bench, bench.cpgs[0]), "C", "T", 0.5)
    plain = estimates(bench.panel(), count_library(bench.write(pairs), bench.panel(), "L1"))
    assert plain.indices["first_two_beta"].iloc[0] == pytest.approx((0.15 + 0.3) / 2)
    panel = masked(bench, mask)
    calls = count_library(bench.write(pairs), panel, "L1")
    found = estimates(panel, calls)
    assert found.indices["first_two_beta"].iloc[0] == pytest.approx(0.3)
    assert found.libraries["region_mean_beta"].iloc[0] == pytest.approx(0.3 / 6)
    assert "CpG1 left out of indices: a variant of the SNP mask" in found.libraries["reasons"].iloc[0]
    flags = found.calls["L1"]["flags"].fillna("")
    assert ["variant" in f for f in flags] == [True] + [False] * 6
    flagged = estimates(panel, calls, snp_action="flag")
    assert flagged.indices["first_two_beta"].iloc[0] == pytest.approx(0.225)
    assert "CpG1 flagged" in flagged.libraries["reasons"].iloc[0]
    rare = estimates(panel, calls, snp_frequency=0.6)
    assert rare.indices["first_two_beta"].iloc[0] == pytest.approx(0.225)
    assert "SNP mask" not in (rare.libraries["reasons"].iloc[0] or "")


def test_a_variant_under_a_primer_is_told_of(bench):
    panel = masked(bench, (at(bench, 2), bench.reference[2], "G", 0.2))
    pairs = [bench.pair(bench.molecule())] * 10
    found = estimates(panel, count_library(bench.write(pairs), panel, "L1"))
    assert "variant under a primer (chr1:1003): an allele may drop out" in found.libraries["reasons"].iloc[0]


def test_cytosines_that_a_variant_touches_are_kept_out_of_conversion_and_both_bases_match(bench):
    other = bench.others[2]
    after = bench.others[4] + 1
    assert bench.reference[after] != "G"
    panel = masked(bench, (at(bench, other), "C", "T", 0.4), (at(bench, after), bench.reference[after], "G", 0.4))
    pairs = [bench.pair(bench.molecule((), [other, bench.others[4]]))]
    row = count_library(bench.write(pairs), panel, "L1").reads.iloc[0]
    assert (row["non_cpg_unconverted"], row["non_cpg_converted"]) == (0, len(bench.others) - 2)
    molecule = bench.molecule()
    plain = next(i for i in range(60, 120) if bench.reference[i] == "A" and bench.reference[i - 1] not in "C")
    panel = masked(bench, (at(bench, plain), "A", "T", 0.4))
    changed = molecule[:plain] + "T" + molecule[plain + 1 :]
    assert count_library(bench.write([bench.pair(changed)]), panel, "L1").reads["mismatches"].iloc[0] == 0
    assert count_library(bench.write([bench.pair(changed)]), bench.panel(), "L1").reads["mismatches"].iloc[0] == 1


def test_the_variants_table_is_as_its_schema_says(bench, root):
    schema = yaml.safe_load((root / "workflow" / "schemas" / "methylation_variants.schema.yaml").read_text())
    panel = masked(bench, (at(bench, bench.cpgs[0]), "C", "T", "NA"), (at(bench, 2), bench.reference[2], "G", 0.2))
    table = variants_table({"toy": panel}, SETTINGS)
    assert list(table.columns) == list(schema["properties"]) and len(table) == 2
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        jsonschema.validate(row, schema)
    empty = variants_table({"toy": bench.panel()}, SETTINGS)
    assert list(empty.columns) == list(table.columns) and empty.empty
