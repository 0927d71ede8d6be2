"""A panel against genomes that agree with it, or differ in one known way."""

import random

import pytest

from hpaxis.cli import main
from hpaxis.methylation.panels.genome_check import check_panel
from hpaxis.methylation.panels.panel import make_panel, read_panel, reverse_complement, write_panel

RNG = random.Random(11)
LEFT, RIGHT = ("".join(RNG.choice("ACGT") for _ in range(1000)) for _ in range(2))


def check(bench, left=LEFT, product=None, right=RIGHT, **options):
    """The toy amplicon lies at 1001-1150 of chr1."""
    genome = bench.folder / "genome.fa"
    genome.write_text(f">chr0\n{RIGHT}\n>chr1\n{left}{product or bench.reference}{right}\n".lower())
    return check_panel(bench.panel(**options), genome).iloc[0]


def test_a_panel_that_agrees_is_the_same_and_amplified_once(bench):
    row = check(bench)
    assert (row["differences"], row["shift"], row["verdict"]) == (0, 0, "same")
    assert row["products"] == "chr1:1001-1150(+)"
    assert check(bench, primers=False)["verdict"] == "same"


def test_a_base_that_differs_is_named(bench):
    product = bench.reference[:60] + ("A" if bench.reference[60] != "A" else "G") + bench.reference[61:]
    row = check(bench, product=product)
    assert (row["differences"], row["verdict"]) == (1, "bases differ")
    assert row["where"] == f"60:{bench.reference[60]}>{product[60]}"


def test_an_ambiguous_reference_base_agrees_with_either(bench):
    reference = bench.reference[:40] + "Y" + bench.reference[41:]
    assert bench.reference[40] == "C"
    row = check(bench, product=bench.reference[:40] + "T" + bench.reference[41:], reference=reference)
    assert row["verdict"] == "same"


def test_a_reference_that_lies_off_is_told_by_how_much(bench):
    row = check(bench, left=LEFT + "AC")
    assert row["verdict"] == "lies +2 bases from where the panel says" and row["shift"] == 2


def test_other_products_and_primers_that_fail_are_told(bench):
    assert check(bench, right="ACCA" + bench.reference + RIGHT)["verdict"] == "primers amplify other places too"
    other = reverse_complement(bench.reference)
    assert check(bench, right="ACCA" + other + RIGHT)["products"] == "chr1:1001-1150(+), chr1:1155-1304(-)"


def test_a_panel_on_the_minus_strand_is_compared_with_it(bench, tmp_path):
    panel = bench.panel()
    folder = bench.folder / "panel_toy_True"
    for name in ("amplicons.tsv", "cpgs.tsv"):
        (folder / name).write_text((folder / name).read_text().replace("\t+\t", "\t-\t"))
    lines = (folder / "cpgs.tsv").read_text().splitlines()
    fields = [line.split("\t") for line in lines[1:]]
    for row in fields:
        row[4] = str(1150 - int(row[2]) - 1)
    (folder / "cpgs.tsv").write_text("\n".join([lines[0], *("\t".join(f) for f in fields)]) + "\n")
    genome = tmp_path / "minus.fa"
    genome.write_text(f">chr1\n{LEFT}{reverse_complement(bench.reference)}{RIGHT}\n")
    row = check_panel(read_panel(folder), genome).iloc[0]
    assert row["verdict"] == "same" and row["products"] == "chr1:1001-1150(-)"
    assert panel.name == "panel_toy_True"


def test_without_coordinates_nothing_is_claimed(bench):
    (bench.folder / "plain.fa").write_text(f">plain\n{bench.reference}\n")
    genome = bench.folder / "genome.fa"
    genome.write_text(f">chr1\n{LEFT}\n")
    row = check_panel(make_panel(bench.folder / "plain.fa"), genome).iloc[0]
    assert row["verdict"] == "no coordinates in this genome"


@pytest.mark.parametrize(("left", "code"), [(LEFT, 0), (LEFT + "A", 1)])
def test_the_command_writes_its_table_into_the_panel(bench, left, code, capsys):
    genome = bench.folder / "genome.fa"
    genome.write_text(f">chr1\n{left}{bench.reference}{RIGHT}\n")
    folder = bench.folder / "mine"
    write_panel(bench.panel(), folder)
    assert main(["panel", "check", str(folder), str(genome)]) == code
    table = (folder / "genome_check.tsv").read_text()
    assert table.startswith("amplicon\tchrom\tstart") and "toy" in capsys.readouterr().out
    assert read_panel(folder).references == {"toy": bench.reference}
