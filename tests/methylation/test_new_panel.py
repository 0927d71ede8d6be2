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


def one(bench, name="x", gene="g", forward=None):
    return name, gene, forward or bench.forward_primer, bench.reverse_primer


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
    panel = panel_from_primers([one(bench)], fasta(bench, text, f"chr7:5001-{5000 + len(text)}"))
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
        pair = one(bench, change.get("name", "x"), forward=change.get("forward"))
        panel_from_primers([pair], fasta(bench, text))


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
    row = panel_from_primers([one(bench)], path).amplicons.iloc[0]
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


class Second:
    """Another amplicon, of another gene, with primers of its own, along the minus strand of the same contig."""

    text = "".join(RNG.choice("ACGT") for _ in range(40)) + "ACGTCGATTTACGCA" * 6 + "".join(
        RNG.choice("ACGT") for _ in range(40)
    )  # fmt: skip

    def __init__(self, bench):
        self.forward = bench.convert(self.text[:24])
        self.reverse = bench.reverse_complement(bench.convert(self.text[-24:]))


def two(bench):
    """A genome with both amplicons, the second on the minus strand, and the four primers."""
    second = Second(bench)
    text = LEFT + bench.reference + RIGHT + bench.reverse_complement(second.text) + LEFT[:200]
    return fasta(bench, text), [bench.forward_primer, bench.reverse_primer, second.forward, second.reverse], second


def test_one_command_makes_several_amplicons_with_an_index_each(bench, capsys):
    genome, primers, second = two(bench)
    assert main(["panel", "new", str(bench.folder / "both"), str(genome), *primers]) == 0
    panel = read_panel(bench.folder / "both")
    assert panel.references == {"both_1": bench.reference, "both_2": second.text}
    assert panel.amplicons["strand"].tolist() == ["+", "-"]
    assert set(check_panel(panel, genome)["verdict"]) == {"same"}
    members = panel.indices.groupby("index")["cpg_id"].apply(set)
    for name in ("both_1", "both_2"):
        assert members[f"{name}_mean"] == set(panel.cpgs.loc[panel.cpgs["amplicon"] == name, "cpg_id"])
    assert list(members.index) == ["both_1_mean", "both_2_mean"]
    assert "both_2_mean (" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("genes", "options", "indices"),
    [
        (("NR3C1", "FKBP5"), [], ["nr3c1_mean", "fkbp5_mean"]),
        (("NR3C1", "NR3C1"), [], ["region_mean"]),
        (("NR3C1", "FKBP5"), ["--one-index"], ["region_mean"]),
        (None, [], ["first_mean", "last_mean"]),
    ],
)
def test_a_table_of_primers_says_which_amplicons_are_of_one_gene(bench, genes, options, indices):
    genome, primers, _ = two(bench)
    rows = [["first", *primers[:2]], ["last", *primers[2:]]]
    columns = ["amplicon", "forward_primer", "reverse_primer"] + (["gene"] if genes else [])
    rows = [row + ([gene] if genes else []) for row, gene in zip(rows, genes or (None, None))]
    table = bench.folder / "primers.tsv"
    table.write_text("\n".join("\t".join(row) for row in [columns, *rows]) + "\n")
    assert main(["panel", "new", str(bench.folder / "p"), str(genome), "--primers", str(table), *options]) == 0
    panel = read_panel(bench.folder / "p")
    assert panel.indices["index"].drop_duplicates().tolist() == indices
    assert set(panel.indices["cpg_id"]) == set(panel.cpgs["cpg_id"])


def test_every_pair_that_amplifies_nothing_is_named_and_a_second_run_works(bench, capsys):
    genome, primers, _ = two(bench)
    arguments = ["panel", "new", str(bench.folder / "p"), str(genome)]
    assert main([*arguments, "A" * 20, "C" * 20, "T" * 20, "G" * 20]) == 1
    shown = capsys.readouterr().err
    assert "primers of p_1 amplify nothing" in shown and "primers of p_2 amplify nothing" in shown
    assert main([*arguments, *primers[:3]]) == 1 and main(arguments) == 1
    shown = capsys.readouterr().err
    assert "an odd number" in shown and "neither as pairs nor as a table" in shown
    assert main([*arguments, *primers]) == 0


def test_a_cpg_that_amplicons_of_a_gene_share_counts_once_in_its_index(bench):
    """Two amplicons of one gene that overlap: each lists the shared CpGs, the index holds them once."""
    text = LEFT + bench.reference + RIGHT
    path = fasta(bench, text)
    longer = bench.convert(text[650:674])
    pairs = [one(bench, "a", "g"), ("b", "g", longer, bench.reverse_primer)]
    panel = panel_from_primers(pairs, path)
    placed = panel.indices.merge(panel.cpgs, on="cpg_id")
    assert not placed["pos"].duplicated().any() and set(placed["pos"]) == set(panel.cpgs["pos"])
    assert panel.cpgs["pos"].duplicated().any()
