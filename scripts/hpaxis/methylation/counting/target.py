"""What a bisulfite read is compared with: one converted strand of one amplicon."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpaxis.methylation.counting import planes
from hpaxis.methylation.panels.panel import IUPAC
from hpaxis.methylation.panels.variants import allowed_bases


@dataclass(frozen=True)
class Target:
    """One strand of one amplicon after conversion, in offsets of the amplicon's reference.

    ``strand`` is ``top`` (the reference's own strand: C reads as C or T) or ``bottom`` (its complement, seen as G
    that reads as G or A). ``allowed`` are flags (see `planes`) of the offsets that A, C, T and G match; none is set
    under a primer and where the reference is unknown, which then count neither way: ``compared`` has the offsets that
    do. ``cpgs`` are the offsets that tell of the amplicon's CpGs, in their order, also as flags; ``others`` those of
    cytosines that are certainly in no CpG, also as flags, ``chg`` and ``chh`` those of the two contexts alone;
    ``thymines`` those of bases that show what a converted cytosine shows, whatever conversion did. ``cytosine`` and
    ``converted`` are the letters that a cytosine shows as it was and once converted; ``methylated`` and
    ``unmethylated`` those that a methylated and an unmethylated one show: the same, unless the chemistry converts
    methylated ones. ``context`` is Bismark's letter of each offset in lower
    case (``z``, ``x``, ``h``, ``u``), ``.`` where there is no cytosine.
    """

    amplicon: str
    strand: str
    reference: str
    first: int
    last: int
    allowed: tuple
    compared: np.ndarray
    cpgs: np.ndarray
    cpg_flags: np.ndarray
    others: np.ndarray
    other_flags: np.ndarray
    chg: np.ndarray
    chh: np.ndarray
    thymines: np.ndarray
    thymine_flags: np.ndarray
    cytosine: str
    converted: str
    methylated: str
    unmethylated: str
    context: np.ndarray

    def __len__(self):
        return len(self.reference)

    def without_cpg(self, molecules):
        """Flags of the CpGs that molecules lack: beside the cytosine stands no G of its own strand.

        Conversion makes no such base of a CpG, so the molecule says nothing of methylation there.
        """
        if self.strand == "top":
            return planes.from_next(molecules.good & ~molecules.shown("G")) & self.cpg_flags
        return planes.from_previous(molecules.good & ~molecules.shown("C")) & self.cpg_flags


def panel_targets(panel, turned=False):
    """The strands that reads of a panel may come from, amplicon by amplicon; ``turned``: methylated cytosines read T.

    Primers select the strand the reference is written along. Without primers either strand may have been amplified.
    """
    targets = []
    for row in panel.amplicons.itertuples():
        strands = ("top",) if pd.notna(row.forward_primer) else ("top", "bottom")
        targets += [_target(panel, row.amplicon, strand, turned) for strand in strands]
    return targets


def _target(panel, amplicon, strand, turned):
    reference = panel.references[amplicon]
    first, last = panel.insert_bounds(amplicon)
    cpgs = panel.cpg_offsets(amplicon) + (strand == "bottom")
    # Where a variant is known both its bases match, and what it leaves open is no longer certain.
    sets = allowed_bases(panel, amplicon)
    certain = _context(sets, strand)
    context = _context([set(IUPAC[base]) for base in reference], strand)
    cytosine, converted = ("C", "T") if strand == "top" else ("G", "A")
    allowed = np.array([[_matches(bases, base, cytosine, converted) for bases in sets] for base in "ACTG"])
    allowed[:, allowed.all(axis=0)] = False
    allowed[:, :first] = False
    allowed[:, last:] = False
    inside = range(first, last)
    others, chg, chh = ([i for i in inside if certain[i] in letters] for letters in ("xhv", "x", "h"))
    thymines = [i for i in inside if sets[i] == {converted}]
    return Target(
        amplicon=amplicon,
        strand=strand,
        reference=reference,
        first=first,
        last=last,
        allowed=tuple(planes.pack(allowed)),
        compared=planes.pack(allowed.any(axis=0, keepdims=True))[0],
        cpgs=cpgs,
        cpg_flags=planes.columns(cpgs, len(reference)),
        others=np.array(others, dtype=np.int64),
        other_flags=planes.columns(others, len(reference)),
        chg=np.array(chg, dtype=np.int64),
        chh=np.array(chh, dtype=np.int64),
        thymines=np.array(thymines, dtype=np.int64),
        thymine_flags=planes.columns(thymines, len(reference)),
        cytosine=cytosine,
        converted=converted,
        methylated=converted if turned else cytosine,
        unmethylated=cytosine if turned else converted,
        context=np.frombuffer("".join(context).replace("v", "u").encode(), dtype=np.uint8),
    )


def _matches(bases, base, cytosine, converted):
    return base in bases or (base == converted and cytosine in bases)


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
