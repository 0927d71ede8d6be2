"""A panel against the bases around array probes, in manifests made here as Illumina writes them."""

import csv
import shutil

import pytest

from hpaxis.cli import main
from hpaxis.methylation.panels.genome_check import check_panel
from hpaxis.methylation.panels.manifest_check import check_manifest
from hpaxis.methylation.panels.panel import panel_folder, read_panel, reverse_complement
from hpaxis.problems import InputError
from hpaxis.report.settings import genome_check

HEADER = ["IlmnID", "Name", "Forward_Sequence", "Genome_Build", "CHR", "MAPINFO", "Strand"]


def probe(reference, offset, name, build="37", place=("5", "1"), turned=False):
    """A row for the CpG at an offset, 60 bases on either side, on either strand."""
    left, right = (
        reference[max(offset - 60, 0) : offset].rjust(60, "N"),
        reference[offset + 2 : offset + 62].ljust(60, "N"),
    )
    if turned:
        left, right = reverse_complement(right), reverse_complement(left)
    return [name, name.split("_")[0], f"{left}[CG]{right}", build, *place, "F"]


def manifest(folder, rows, header=HEADER):
    path = folder / "manifest.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["Illumina, Inc."], ["[Heading]"], ["Loci Count", "2"], ["[Assay]"], header, *rows])
        writer.writerows([["[Controls]"], ["21630339", "STAINING", "-99"]])
    return path


@pytest.fixture
def shipped():
    return read_panel(panel_folder("nr3c1_exon1f"))


def probes(panel, reference=None, moved=lambda offset: 0, **how):
    """The panel's five probes with their places in hg19, on a reference of one's own."""
    names = panel.aliases[panel.aliases["scheme"] == "illumina_probe"].set_index("cpg_id")["alias"]
    places = panel.aliases[panel.aliases["scheme"] == "hg19_plus_c"].set_index("cpg_id")["alias"]
    offsets = panel.cpgs.set_index("cpg_id")["offset"]
    text = reference or panel.references["nr3c1_exon1f"]
    return [
        probe(
            text,
            int(offsets[c]) - moved(offsets[c]),
            name,
            place=tuple(places[c].removeprefix("chr").split(":")),
            **how,
        )
        for c, name in names.items()
    ]


@pytest.mark.parametrize("turned", [False, True])
def test_a_manifest_that_agrees_says_so_for_each_probe(shipped, tmp_path, turned):
    table = check_manifest(shipped, manifest(tmp_path, probes(shipped, turned=turned)))
    assert table["cpg_id"].str[-2:].tolist() == ["09", "35", "38", "39", "41"]
    assert set(table["verdict"]) == {"same"} and set(table["place_agrees"]) == {"yes"}
    assert (table["differences"] == 0).all() and table["compared"].between(100, 122).all()


@pytest.mark.parametrize("turned", [False, True])
def test_a_base_too_many_before_cpg_9_is_found_where_it_is(shipped, tmp_path, turned):
    """The doubt that the panel's provenance names: the published product is one base shorter."""
    text = shipped.references["nr3c1_exon1f"]
    shorter = text[:28] + text[29:]
    rows = probes(shipped, shorter, moved=lambda offset: 1, turned=turned)
    table = check_manifest(shipped, manifest(tmp_path, rows)).set_index("cpg_id")
    first = table.loc["NR3C1_1F_CpG09"]
    where, more = first["gap"].split(":")
    assert more == "+1" and abs(int(where) - 28) <= 3
    assert "1 base more than the manifest" in first["verdict"]
    assert set(table["verdict"].iloc[1:]) == {"same"}


def test_a_base_that_differs_and_a_place_elsewhere_are_named(shipped, tmp_path):
    rows = probes(shipped)
    text = rows[1][2]
    rows[1][2] = text[:10] + ("A" if text[10] != "A" else "C") + text[11:]
    rows[2][5] = str(int(rows[2][5]) + 7)
    table = check_manifest(shipped, manifest(tmp_path, rows))
    assert table["verdict"].tolist()[1:3] == ["bases differ", "the manifest places the probe elsewhere"]
    assert table["differences"].iloc[1] == 1 and table["where"].iloc[1].endswith(">A") | table["where"].iloc[
        1
    ].endswith(">C")


def test_probes_are_known_by_place_too_and_epic_v2_names_by_their_beginning(shipped, tmp_path):
    text, row = shipped.references["nr3c1_exon1f"], shipped.cpgs.iloc[20]
    unknown = probe(text, int(row["offset"]), "cg99999999", build="GRCh38", place=("chr5", str(int(row["pos"]))))
    newer = probes(shipped)[0]
    newer[0] = "cg18068240_BC21"
    table = check_manifest(shipped, manifest(tmp_path, [unknown, newer]))
    assert table["cpg_id"].tolist() == ["NR3C1_1F_CpG09", row["cpg_id"]] and set(table["verdict"]) == {"same"}


def test_manifests_without_probes_or_sequences_are_refused(shipped, tmp_path):
    with pytest.raises(InputError, match="no probe of the panel"):
        check_manifest(shipped, manifest(tmp_path, [["cg1", "cg1", "A" * 60 + "[CG]" + "A" * 60, "37", "1", "5", "F"]]))
    with pytest.raises(InputError, match="no column Forward_Sequence"):
        check_manifest(shipped, manifest(tmp_path, [], header=["IlmnID", "Name"]))


def test_the_command_writes_what_it_found_and_the_report_knows(shipped, tmp_path, capsys):
    import pandas as pd

    folder = tmp_path / "copy"
    shutil.copytree(panel_folder("nr3c1_exon1f"), folder)
    libraries = pd.DataFrame({"panel": [f"{folder}"]})
    assert genome_check(libraries) == "unchecked"
    assert main(["panel", "check", str(folder), str(manifest(tmp_path, probes(shipped)))]) == 0
    assert (folder / "manifest_check.tsv").is_file() and "cg18068240" in capsys.readouterr().out
    assert genome_check(libraries) == "probes"
    text = shipped.references["nr3c1_exon1f"]
    wrong = manifest(tmp_path, probes(shipped, text[:28] + text[29:], moved=lambda offset: 1))
    assert main(["panel", "check", str(folder), str(wrong)]) == 1
    assert genome_check(libraries) == "differs"


@pytest.mark.parametrize("minus", [False, True])
def test_a_gap_against_a_genome_is_named_with_the_cpgs_that_it_moves(bench, minus):
    """The genome has one base fewer than the panel after offset 75; on either strand the CpGs on one side are off."""
    panel = bench.panel()
    product = bench.reference[:75] + bench.reference[76:]
    left, right = "ACCATTGACC" * 100, "TTGACCATAG" * 100
    if minus:
        panel.amplicons["strand"] = "-"
        panel.cpgs["pos"], panel.cpgs["strand"] = 1150 - panel.cpgs["offset"] - 1, "-"
    path = bench.folder / "genome.fa"
    path.write_text(f">chr1\n{left}{reverse_complement(product) if minus else product}{right}\n")
    row = check_panel(panel, path).iloc[0]
    where, more = row["gap"].split(":")
    assert more == "+1" and abs(int(where) - 75) <= 3
    assert row["verdict"].startswith("the panel has 1 base more than the genome")
    beyond = [f"CpG{i}" for i, o in enumerate(bench.cpgs, 1) if (o < 75 if minus else o > 75)]
    assert row["cpgs_differ"].split("; ") == beyond and row["cpgs_agree"] == len(bench.cpgs) - len(beyond)
