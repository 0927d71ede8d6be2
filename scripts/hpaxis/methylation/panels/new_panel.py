"""Make a panel of pairs of primers and a reference: a genome, or the sequence around the amplicons.

Each product is found by PCR in silico after conversion, on either strand, and must be the only one. A record named like
``chr5:143403900-143404500`` is taken for that piece of the genome; then, and in a genome, CpGs have coordinates.
"""

import re
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pysam

from hpaxis.methylation.panels.genome_check import LONGEST_PRODUCT, find_products
from hpaxis.methylation.panels.nucleotides import IUPAC, reverse_complement
from hpaxis.methylation.panels.panel import (
    Panel,
    index_name,
    panel_of,
    placed_name,
    read_panel,
    record_headers,
    write_panel,
)
from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.tables import read_given

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
SHORTEST_PRIMER = 10
PRIMER_COLUMNS = ("amplicon", "forward_primer", "reverse_primer")


def read_primer_table(path: Path) -> list[tuple[str, str, str, str]]:
    """Return (amplicon, gene, forward, reverse) of each row of a table of primers.

    Columns `PRIMER_COLUMNS`, and ``gene`` where amplicons share one; without it each amplicon is a gene of its own.
    Raises `InputError` for missing columns or cells.
    """
    table = read_given(path, text=(*PRIMER_COLUMNS, "gene"))
    wanted = f"the columns are {', '.join(PRIMER_COLUMNS)}, and gene where amplicons share one"
    raise_if_any([
        Problem(str(path), "column is missing", wanted, 1, c) for c in PRIMER_COLUMNS if c not in table.columns
    ])  # fmt: skip
    raise_if_any([
        Problem(str(path), "is empty", "fill the cell", i + 2, c)
        for i in range(len(table)) for c in PRIMER_COLUMNS if pd.isna(table[c].iloc[i])
    ])  # fmt: skip
    genes = table["gene"] if "gene" in table.columns else table["amplicon"]
    genes = genes.where(genes.notna(), table["amplicon"])
    return list(zip(table["amplicon"], genes, table["forward_primer"], table["reverse_primer"]))


def panel_from_primers(pairs: list[tuple[str, str, str, str]], reference: Path | str, one_index: bool = False) -> Panel:
    """`Panel` of pairs of primers in a FASTA file: (amplicon, gene, forward, reverse), in bisulfite space, 5'→3'.

    The indices are one for each gene, or one over all CpGs where ``one_index`` asks for it. Raises `InputError` with
    every problem: names or primers that are none, a file that is no FASTA, primers that amplify no place or more than
    one.
    """
    pairs = [(name, gene, forward.upper(), reverse.upper()) for name, gene, forward, reverse in pairs]
    raise_if_any(_check_pairs(pairs))
    problems, amplicons, references = [], [], {}
    headers = {}
    try:
        headers = record_headers(reference)
        with pysam.FastaFile(str(reference)) as fasta:
            for name, _, forward, reverse in pairs:
                products = find_products(forward, reverse, fasta)
                if found := _only_one(reference, name, products):
                    problems += found
                    continue
                text = fasta.fetch(products[0][0])
                try:
                    amplicon, references[name] = _amplicon(name, forward, reverse, products[0], text, headers)
                except InputError as error:
                    problems += error.problems
                    continue
                amplicons.append(amplicon | {"source": f"primers in {Path(reference).name}"})
    except (OSError, ValueError):
        what, remedy = "cannot be read as FASTA", "give an uncompressed FASTA file"
        raise InputError(Problem(str(reference), what, remedy)) from None
    raise_if_any(list(dict.fromkeys(problems)))
    return panel_of(amplicons, references, None if one_index else {name: gene for name, gene, *_ in pairs})


def _check_pairs(pairs):
    problems = [] if pairs else [Problem("primers", "are missing", "give a forward and a reverse primer")]
    counts = Counter(name for name, *_ in pairs)
    for name, gene, forward, reverse in pairs:
        if not NAME.fullmatch(name):
            problems.append(Problem("name", "is no name", "use letters, digits, - and _", value=name))
        if not index_name(gene):
            problems.append(Problem("gene", "is no name", "use letters and digits", value=gene))
        problems += [
            Problem("primers", "is no primer", f"use {SHORTEST_PRIMER} IUPAC codes or more, 5'→3'", value=primer)
            for primer in (forward, reverse)
            if len(primer) < SHORTEST_PRIMER or set(primer) - set(IUPAC)
        ]
    problems += [Problem("name", "is given twice", "name each amplicon", value=n) for n, k in counts.items() if k > 1]
    return problems


def _amplicon(name, forward, reverse, product, text, headers):
    """Row of amplicons.tsv, without its source, and the reference along the strand that is amplified."""
    record, first, last, strand = product
    sequence = text[first - 1 : last].upper()
    chrom, start, turned = placed_name(headers.get(record, record), len(text))
    if start is None:
        chrom, start = record, 1
    before, on_plus = first - 1, strand
    if turned == "-":
        before, on_plus = len(text) - last, {"+": "-", "-": "+"}[strand]
    row = {
        "amplicon": name, "chrom": chrom, "start": start + before, "end": start + before + last - first,
        "strand": on_plus, "forward_primer": forward, "reverse_primer": reverse,
    }  # fmt: skip
    return row, reverse_complement(sequence) if strand == "-" else sequence


def _only_one(reference, name, products):
    if len(products) == 1:
        return []
    if not products:
        what = f"the primers of {name} amplify nothing of at most {LONGEST_PRODUCT} bases"
        remedy = "give them 5'→3' as they are ordered, in bisulfite space, forward first"
        return [Problem(str(reference), what, remedy)]
    places = ", ".join(f"{chrom}:{start}-{end}({strand})" for chrom, start, end, strand in products[:10])
    what = f"the primers of {name} amplify {len(products)} places"
    return [Problem(str(reference), what, "choose primers that amplify one", value=places)]


def new_panel(
    folder: Path | str,
    reference: Path | str,
    primers: list[str],
    table: Path | None = None,
    one_index: bool = False,
) -> list[str]:
    """Write the panel of pairs of primers to a new folder, read it back, and return what is in it as lines.

    ``primers``: forward, reverse, forward, reverse, ...; one pair is named like the folder, several with a number
    behind; ``table``: or a table of them, see `read_primer_table`. Raises `InputError` where the folder exists, the
    primers are odd in number or given twice, and as `panel_from_primers` does. A refusal leaves nothing behind.
    """
    folder = Path(folder)
    if folder.exists():
        raise_if_any([Problem(str(folder), "already exists", "give another folder, or remove it")])
    if len(primers) % 2 or bool(primers) == (table is not None):
        what = "come neither as pairs nor as a table" if not primers else "come as pairs and as a table"
        what = f"are {len(primers)}, an odd number" if len(primers) % 2 else what
        raise_if_any([Problem("primers", what, "give forward and reverse of each amplicon, or --primers TABLE")])
    names = [folder.name] if len(primers) == 2 else [f"{folder.name}_{i}" for i in range(1, len(primers) // 2 + 1)]
    pairs = read_primer_table(table) if table is not None else list(zip(names, names, primers[::2], primers[1::2]))
    panel = panel_from_primers(pairs, reference, one_index)
    try:
        write_panel(panel, folder)
        read_panel(folder)
    except BaseException:
        # Half a panel would stand in the way of the next attempt.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    lines = []
    for row in panel.amplicons.itertuples():
        cpgs = int((panel.cpgs["amplicon"] == row.amplicon).sum())
        place = f"{row.chrom}:{row.start}-{row.end}({row.strand}), {row.end - row.start + 1} bases"
        lines.append(f"{folder}: {row.amplicon} {place}, {cpgs} CpGs between the primers")
    sizes = panel.indices["index"].value_counts(sort=False)
    return [
        *lines,
        "Indices: " + ", ".join(f"{index} ({n} CpGs)" for index, n in sizes.items()),
        "Add aliases.tsv and indices.tsv as the field names them, with their sources; fill snp_mask.tsv from a VCF.",
    ]
