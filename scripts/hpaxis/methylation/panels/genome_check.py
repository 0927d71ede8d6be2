"""Compare a panel with a genome: its reference base by base, and where else its primers would amplify."""

import re

import numpy as np
import pandas as pd
import pysam

from hpaxis.methylation.panels.gaps import EXPLAINED, gap_words, one_gap
from hpaxis.methylation.panels.panel import IUPAC, reverse_complement

LONGEST_PRODUCT = 2000
# A reference that lies a few bases off is told apart from one that is wrong.
LARGEST_SHIFT = 5
COLUMNS = ("amplicon", "chrom", "start", "end", "strand", "differences", "where", "shift", "gap", "cpgs_agree",
           "cpgs_differ", "products", "verdict")  # fmt: skip


def check_panel(panel, genome):
    """Compare each amplicon with a genome FASTA (indexed beside itself if it is not yet).

    Returns a table with one row per amplicon: ``differences``, the number of bases that differ at the panel's
    coordinates, and ``where`` they are (offset:panel>genome, at most ten); ``shift``, by how many bases the reference
    lies off if it fits better there; ``gap``, where it has bases more (+) or fewer (-) than the genome, offset:bases;
    ``cpgs_agree``, the number of its CpGs that the genome has at their coordinates, and ``cpgs_differ``, the others;
    ``products``, the places its primers amplify after conversion (exact matches, at
    most 2,000 bases apart); ``verdict``, same or the first thing that is wrong.
    """
    with pysam.FastaFile(str(genome)) as fasta:
        cpgs = dict(list(panel.cpgs.groupby("amplicon")))
        rows = [
            _check_amplicon(row, panel.references[row.amplicon], cpgs.get(row.amplicon, panel.cpgs.iloc[:0]), fasta)
            for row in panel.amplicons.itertuples()
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _check_amplicon(row, reference, cpgs, fasta):
    found = {c: getattr(row, c) for c in COLUMNS[:5]}
    found |= {"differences": pd.NA, "where": None, "shift": 0, "gap": None, "cpgs_agree": pd.NA, "cpgs_differ": None,
              "products": None}  # fmt: skip
    products = [] if pd.isna(row.forward_primer) else find_products(row.forward_primer, row.reverse_primer, fasta)
    found["products"] = ", ".join(f"{chrom}:{start}-{end}({strand})" for chrom, start, end, strand in products) or None
    if pd.isna(row.start) or pd.isna(row.end) or row.chrom not in fasta.references:
        return found | {"verdict": "no coordinates in this genome"}
    here = _differences(reference, row, fasta, 0)
    found |= {"differences": len(here), "where": "; ".join(f"{i}:{a}>{b}" for i, a, b in here[:10]) or None}
    shifts = sorted(
        range(-LARGEST_SHIFT, LARGEST_SHIFT + 1), key=lambda s: (len(_differences(reference, row, fasta, s)), abs(s))
    )
    found["shift"] = shifts[0]
    here_cpg = [fasta.fetch(c.chrom, int(c.pos) - 1, int(c.pos) + 1).upper() == "CG" for c in cpgs.itertuples()]
    found["cpgs_agree"] = sum(here_cpg)
    found["cpgs_differ"] = "; ".join(c for c, agrees in zip(cpgs["cpg_id"], here_cpg) if not agrees) or None
    gap = _find_gap(reference, row, fasta)
    if gap:
        found["gap"] = f"{gap[1]}:{gap[0]:+d}"
    return found | {"verdict": _verdict(row, here, shifts[0], products, gap)}


def _find_gap(reference, row, fasta):
    """The gap of the reference against the genome (see `gaps.one_gap`), as it is sequenced."""
    differ, sign = {}, -1 if row.strand == "-" else 1
    for shift in range(-LARGEST_SHIFT, LARGEST_SHIFT + 1):
        differ[sign * shift] = np.zeros(len(reference), dtype=bool)
        differ[sign * shift][[i for i, *_ in _differences(reference, row, fasta, shift)]] = True
    return one_gap(differ)


def _verdict(row, differences, shift, products, gap):
    if gap and gap[2] < EXPLAINED:
        return gap_words(gap[0], gap[1], "genome")
    if shift:
        return f"lies {shift:+d} bases from where the panel says"
    if differences:
        return "bases differ"
    if pd.isna(row.forward_primer):
        return "same"
    place = (row.chrom, int(row.start), int(row.end), row.strand)
    if place not in products:
        return "primers do not amplify it"
    return "same" if len(products) == 1 else "primers amplify other places too"


def _differences(reference, row, fasta, shift):
    """Offsets where the genome's base is none that the reference's code stands for."""
    text = fasta.fetch(row.chrom, max(int(row.start) - 1 + shift, 0), int(row.end) + shift).upper()
    text = reverse_complement(text) if row.strand == "-" else text
    text = text.ljust(len(reference), "N")
    return [(i, a, b) for i, (a, b) in enumerate(zip(reference, text)) if not set(IUPAC[b]) <= set(IUPAC[a])]


def find_products(forward, reverse, fasta):
    """Places where two bisulfite-space primers amplify a converted genome: (chrom, start, end, strand), 1-based."""
    patterns = [_converted_pattern(forward.upper()), _converted_pattern(reverse_complement(reverse.upper()))]
    products = []
    for chrom in fasta.references:
        plus = fasta.fetch(chrom).upper()
        for strand, text in (("+", plus), ("-", reverse_complement(plus))):
            starts, ends = ([m.start() for m in pattern.finditer(text)] for pattern in patterns)
            for start in starts:
                for end in (e + len(reverse) for e in ends):
                    if start + len(forward) <= end - len(reverse) and end - start <= LONGEST_PRODUCT:
                        first, last = (start + 1, end) if strand == "+" else (len(text) - end + 1, len(text) - start)
                        products.append((chrom, first, last, strand))
    return products


def _converted_pattern(primer):
    """Genomic sequence that a primer in bisulfite space pairs with once converted; overlapping matches are found."""
    sets = ["".join(sorted(set(IUPAC[base]) | ({"C"} if "T" in IUPAC[base] else set()))) for base in primer]
    return re.compile("(?=" + "".join(f"[{bases}]" for bases in sets) + ")")
