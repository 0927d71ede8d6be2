"""A panel from two primers and a reference, in one command."""

import random

import pytest

from hpaxis.cli import main
from hpaxis.methylation.panels.genome_check import check_panel
from hpaxis.methylation.panels.new_panel import panel_from_primers
from hpaxis.methylation.panels.panel import read_panel, reverse_complement
from hpaxis.problems import InputError

RNG = random.Random(5)
LEFT, RIGHT = ("".join(RNG.choice("ACGT") for _ in range(700)) for _ in range(2))


def fasta(bench, text, name="chr1"):
    path = bench.folder / "genome.fa"
    path.write_text(f">chr0\n{RIGHT}\n>{name}\n{text}\n")
    return path


@pytest.mark.parametrize("turned", [False, True])
def test_the_command_makes_a_panel_that_the_genome_agrees_with(bench, turned, capsys):
    product = reverse_complement(bench.reference) if turned else bench.reference
    genome = fasta(bench, LEFT + product + RIGHT)
    main(["panel", "new", str(bench.folder / "mine"), str(genome), bench.forward_primer, bench.reverse_primer])
    panel = read_panel(bench.folder / "mine")
    assert panel.references == {"mine": bench.reference}
    assert panel.cpgs["offset"].tolist() == bench.cpgs
    row = check_panel(panel, genome).iloc[0]
    assert (row["verdict"], row["start"], row["strand"]) == ("same", 701, "-" if turned else "+")
    text = (LEFT + product + RIGHT).upper()
    assert [text[pos - 1 : pos + 1] for pos in panel.cpgs["pos"]] == ["CG"] * len(bench.cpgs)
    assert "150 bases, 7 CpGs" in capsys.readouterr().out


def test_a_named_piece_of_a_genome_gives_its_coordinates(bench):
    text = LEFT + bench.reference + RIGHT
    panel = panel_from_primers(
        "x", bench.forward_primer, bench.reverse_primer, fasta(bench, text, f"chr7:5001-{5000 + len(text)}")
    )
    assert (panel.amplicons["chrom"][0], panel.amplicons["start"][0]) == ("chr7", 5701)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"text": LEFT + RIGHT}, "amplify nothing"),
        ({"copies": 2}, "amplify 3 places"),
        ({"forward": "TTTXTTTTTTTT"}, "is no primer"),
        ({"name": "a/b"}, "is no name"),
    ],
)
def test_what_cannot_be_a_panel_is_refused(bench, change, what):
    # Two copies make three products: each alone, and the one from the first to the second.
    text = change.get(
        "text", LEFT + bench.reference + (RIGHT + bench.reference) * (change.get("copies", 1) - 1) + RIGHT
    )
    with pytest.raises(InputError, match=what):
        panel_from_primers(
            change.get("name", "x"),
            change.get("forward", bench.forward_primer),
            bench.reverse_primer,
            fasta(bench, text),
        )


def test_the_command_overwrites_nothing(bench, capsys):
    assert main(["panel", "new", str(bench.folder), str(fasta(bench, LEFT)), "A" * 20, "C" * 20]) == 1
    assert "already exists" in capsys.readouterr().err
    assert main(["panel", "new", str(bench.folder / "new"), str(bench.folder / "none.fa"), "A" * 20, "C" * 20]) == 1
    assert "cannot be read as FASTA" in capsys.readouterr().err


def headers(length):
    end = 5000 + length
    return {
        "chr7:5001-{e}/rc": "-", "chr7:5001-{e}(-)": "-", "chr7:5001-{e}(+)": "+", "7:5001-{e}": "+",
        "chromosome:GRCh38:7:5001:{e}:-1": "-", "chromosome:GRCh38:7:5001:{e}:1": "+",
        "hg38_dna range=chr7:5001-{e} 5'pad=0 3'pad=0 strand=- repeatMasking=none": "-",
        "hg38_dna range=chr7:5001-{e} 5'pad=0 3'pad=0 strand=+ repeatMasking=none": "+",
        "NC_000007.14:c{e}-5001 Homo sapiens chromosome 7": "-", "NC_000007.14:5001-{e} Homo sapiens": "+",
    }, end  # fmt: skip


@pytest.mark.parametrize("header", headers(0)[0])
def test_headers_of_the_fields_tools_give_the_strand(bench, header):
    """samtools faidx with either mark of the strand, Ensembl, UCSC and NCBI: the same product, the same place."""
    text = LEFT + bench.reference + RIGHT[:333]
    strands, end = headers(len(text))
    turned = strands[header] == "-"
    piece = reverse_complement(text) if turned else text
    path = bench.folder / "piece.fa"
    path.write_text(f">{header.format(e=end)}\n{piece}\n")
    row = panel_from_primers("x", bench.forward_primer, bench.reverse_primer, path).amplicons.iloc[0]
    assert (row["chrom"], row["start"], row["strand"]) == ("chr7", 5701, "+")
    assert row["end"] - row["start"] + 1 == len(bench.reference)


@pytest.mark.parametrize(
    ("header", "what"), [("chr7:5001-5100/rc", "of 100 bases, but holds"), ("chr7:5001..6000", "not understood")]
)
def test_headers_that_do_not_fit_are_refused_and_a_second_run_works(bench, header, what, capsys):
    path = bench.folder / "piece.fa"
    path.write_text(f">{header}\n{LEFT + bench.reference + RIGHT}\n")
    arguments = ["panel", "new", str(bench.folder / "mine"), str(path), bench.forward_primer, bench.reverse_primer]
    assert main(arguments) == 1
    assert what in capsys.readouterr().err
    path.write_text(f">amplicon\n{LEFT + bench.reference + RIGHT}\n")
    (bench.folder / "piece.fa.fai").unlink()
    assert not main(arguments)
