"""What a bisulfite read is compared with: one converted strand of one amplicon."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpaxis.methylation.panel import IUPAC
from hpaxis.methylation.variants import allowed_bases

# One bit a base, so that a set of allowed bases is one byte and a comparison is one AND.
A, C, G, T = 1, 2, 4, 8
BIT = {"A": A, "C": C, "G": G, "T": T}
ANY = A | C | G | T


@dataclass(frozen=True)
class Target:
    """One strand of one amplicon after conversion, in offsets of the amplicon's reference.

    ``strand`` is ``top`` (the reference's own strand: C reads as C or T) or ``bottom`` (its complement, seen as G
    that reads as G or A). ``allowed`` holds, for each offset, the bits of the bases that match; 0 under a primer
    and where the reference is unknown, which then count neither way. ``cpgs`` are the offsets that tell of the
    amplicon's CpGs, in their order; ``others`` those of cytosines that are certainly in no CpG; ``thymines`` those
    of bases that show what a converted cytosine shows, whatever conversion did. ``methylated`` and ``converted`` are
    the bits that a methylated and a converted cytosine show. ``context`` is Bismark's letter of
    each offset in lower case (``z``, ``x``, ``h``, ``u``), ``.`` where there is no cytosine.
    """

    amplicon: str
    strand: str
    reference: str
    first: int
    last: int
    allowed: np.ndarray
    cpgs: np.ndarray
    others: np.ndarray
    thymines: np.ndarray
    methylated: int
    converted: int
    context: np.ndarray

    def __len__(self):
        return len(self.reference)


def panel_targets(panel):
    """The strands that reads of a panel may come from, amplicon by amplicon.

    Primers select the strand the reference is written along. Without primers either strand may have been amplified.
    """
    targets = []
    for row in panel.amplicons.itertuples():
        strands = ("top",) if pd.notna(row.forward_primer) else ("top", "bottom")
        targets += [_target(panel, row.amplicon, strand) for strand in strands]
    return targets


def _target(panel, amplicon, strand):
    reference = panel.references[amplicon]
    first, last = panel.insert_bounds(amplicon)
    offsets = panel.cpg_offsets(amplicon)
    # Where a variant is known both its bases match, and what it leaves open is no longer certain.
    sets = allowed_bases(panel, amplicon)
    certain = _context(sets, strand)
    context = _context([set(IUPAC[base]) for base in reference], strand)
    cytosine, converted = ("C", "T") if strand == "top" else ("G", "A")
    allowed = np.array([_bits(bases | {converted} if cytosine in bases else bases) for bases in sets], dtype=np.uint8)
    allowed[allowed == ANY] = 0
    allowed[:first] = 0
    allowed[last:] = 0
    others = [i for i in range(first, last) if certain[i] in "xhv"]
    return Target(
        amplicon=amplicon,
        strand=strand,
        reference=reference,
        first=first,
        last=last,
        allowed=allowed,
        cpgs=offsets if strand == "top" else offsets + 1,
        others=np.array(others, dtype=np.int64),
        thymines=np.array([i for i in range(first, last) if sets[i] == {converted}], dtype=np.int64),
        methylated=BIT[cytosine],
        converted=BIT[converted],
        context=np.frombuffer("".join(context).replace("v", "u").encode(), dtype=np.uint8),
    )


def _bits(bases):
    return sum(BIT[base] for base in bases)


def _context(sets, strand):
    """Letter of each offset: z CpG, x CHG, h CHH, v certainly no CpG but not told apart further, u unknown."""
    length = len(sets)
    letters = []
    for i, bases in enumerate(sets):
        cytosine, guanine, step = ({"C"}, "G", 1) if strand == "top" else ({"G"}, "C", -1)
        if bases != cytosine:
            letters.append(".")
            continue
        following = [sets[j] if 0 <= j < length else set("ACGT") for j in (i + step, i + 2 * step)]
        letters.append(_letter(following, guanine))
    return letters


def _letter(following, guanine):
    one, two = following
    if one == {guanine}:
        return "z"
    if guanine in one:
        return "u"
    if two == {guanine}:
        return "x"
    return "v" if guanine in two else "h"
