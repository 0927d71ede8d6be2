"""Make a panel of two primers and a reference: a genome, or the sequence around the amplicon.

The product is found by PCR in silico after conversion, on either strand, and must be the only one. A record named like
``chr5:143403900-143404500`` is taken for that piece of the genome; then, and in a genome, CpGs have coordinates.
"""

import re
import shutil
from pathlib import Path

import pysam

from hpaxis.methylation.panels.genome_check import LONGEST_PRODUCT, find_products
from hpaxis.methylation.panels.nucleotides import IUPAC, reverse_complement
from hpaxis.methylation.panels.panel import panel_of, placed_name, read_panel, record_headers, write_panel
from hpaxis.problems import InputError, Problem, raise_if_any

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
SHORTEST_PRIMER = 10


def panel_from_primers(name, forward, reverse, reference):
    """`Panel` of the one product of two primers (bisulfite space, 5'→3') in a FASTA file.

    Raises `InputError` when the name or a primer is none, the file is no FASTA, or the primers amplify no place or
    more than one.
    """
    forward, reverse = forward.upper(), reverse.upper()
    problems = []
    if not NAME.fullmatch(name):
        problems.append(Problem("name", "is no name", "use letters, digits, - and _", value=name))
    problems += [
        Problem("primers", "is no primer", f"use {SHORTEST_PRIMER} IUPAC codes or more, 5'→3'", value=primer)
        for primer in (forward, reverse)
        if len(primer) < SHORTEST_PRIMER or set(primer) - set(IUPAC)
    ]
    raise_if_any(problems)
    try:
        with pysam.FastaFile(str(reference)) as fasta:
            products = find_products(forward, reverse, fasta)
            text = fasta.fetch(products[0][0]) if products else ""
    except (OSError, ValueError):
        raise InputError(
            Problem(str(reference), "cannot be read as FASTA", "give an uncompressed FASTA file")
        ) from None
    raise_if_any(_only_one(reference, products))
    record, first, last, strand = products[0]
    sequence = text[first - 1 : last].upper()
    chrom, start, turned = placed_name(record_headers(reference).get(record, record), len(text))
    if start is None:
        chrom, start = record, 1
    before, on_plus = first - 1, strand
    if turned == "-":
        before, on_plus = len(text) - last, {"+": "-", "-": "+"}[strand]
    amplicon = {
        "amplicon": name, "chrom": chrom, "start": start + before, "end": start + before + last - first,
        "strand": on_plus,
        "forward_primer": forward, "reverse_primer": reverse, "source": f"primers in {Path(reference).name}",
    }  # fmt: skip
    return panel_of([amplicon], {name: reverse_complement(sequence) if strand == "-" else sequence})


def _only_one(reference, products):
    if len(products) == 1:
        return []
    if not products:
        what = f"the primers amplify nothing of at most {LONGEST_PRODUCT} bases"
        remedy = "give them 5'→3' as they are ordered, in bisulfite space, forward first"
        return [Problem(str(reference), what, remedy)]
    places = ", ".join(f"{chrom}:{start}-{end}({strand})" for chrom, start, end, strand in products[:10])
    what = f"the primers amplify {len(products)} places"
    return [Problem(str(reference), what, "choose primers that amplify one", value=places)]


def new_panel(folder, reference, forward, reverse):
    """Write the panel of two primers to a new folder, read it back, and return what is in it as lines.

    Raises `InputError` where the folder exists, and as `panel_from_primers` does.
    """
    folder = Path(folder)
    if folder.exists():
        raise_if_any([Problem(str(folder), "already exists", "give another folder, or remove it")])
    panel = panel_from_primers(folder.name, forward, reverse, reference)
    try:
        write_panel(panel, folder)
        read_panel(folder)
    except BaseException:
        # Half a panel would stand in the way of the next attempt.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    row = panel.amplicons.iloc[0]
    return [
        f"{folder}: {row.chrom}:{row.start}-{row.end}({row.strand}), {row.end - row.start + 1} bases, "
        f"{len(panel.cpgs)} CpGs between the primers",
        "Add aliases.tsv and indices.tsv as the field names them, with their sources; fill snp_mask.tsv from a VCF.",
    ]
