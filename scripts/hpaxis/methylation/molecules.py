"""Lay both mates of a pair over the reference and make one molecule of them, many pairs at a time.

Everything is an array with a row for each pair and a column for each reference offset: mates meet in reference
coordinates, primers and adapters fall away by position, and no base is counted twice.
"""

from dataclasses import dataclass

import numpy as np
import parasail

from hpaxis.methylation.panel import COMPLEMENT
from hpaxis.methylation.reads import windows
from hpaxis.methylation.target import BIT, A, C, G, T

NOT_PLACED = np.iinfo(np.int64).min
# Score along a read's diagonal: a mismatch outweighs three matches, so that adapter and noise are cut off.
MATCH_STEP, MISMATCH_STEP = 1, 3
# Alignment with gaps, for reads that leave their diagonal: tried when that many good bases would be lost.
CLIPPED_BASES = 12
MATCH, MISMATCH, GAP_OPEN, GAP_EXTEND = 2, -6, 10, 1
LETTERS = "ACGTYRN"
INSERTION, DELETION = 1, 2

FORWARD_BIT = np.zeros(256, dtype=np.uint8)
REVERSE_BIT = np.zeros(256, dtype=np.uint8)
for _name, _bit in BIT.items():
    FORWARD_BIT[[ord(_name), ord(_name.lower())]] = _bit
for _bit, _paired in ((A, T), (C, G), (G, C), (T, A)):
    REVERSE_BIT[np.equal(FORWARD_BIT, _bit)] = _paired


@dataclass(frozen=True)
class Molecules:
    """Pairs of one target, each merged to one row over the reference (rows × offsets).

    ``base`` holds bits (0: not known), ``quality`` Phred values, ``covered`` where a mate lies between the primers,
    ``deleted`` the offsets that an aligned read skips. ``matches`` and ``mismatches`` count good bases against the
    reference, ``mates`` the mates that contributed, ``gapped`` says whether one was aligned with a gap.
    """

    base: np.ndarray
    quality: np.ndarray
    covered: np.ndarray
    deleted: np.ndarray
    matches: np.ndarray
    mismatches: np.ndarray
    mates: np.ndarray
    gapped: np.ndarray


class Mate:
    """One mate of each pair over the reference.

    ``rows`` picks reads from ``reads``; ``anchors`` are their 5' anchors (see `placement.Placement`), `NOT_PLACED`
    for a mate that was not found. All of them run in the same direction.
    """

    def __init__(self, target, reads, rows, anchors, forward, min_quality):
        self.target, self.reads, self.rows, self.forward, self.min_quality = target, reads, rows, forward, min_quality
        width, placed = len(target), anchors != NOT_PLACED
        anchor, length = np.where(placed, anchors, 0), np.where(placed, reads.length[rows], 0)
        self.placed = placed
        self.left = anchor if forward else anchor - length
        self.right = anchor + length if forward else anchor
        # Where the molecule may reach: between the primers, and no further than the other mate's 5' end.
        self.limits = [np.full(len(rows), target.first), np.full(len(rows), target.last)]
        # The window over the reference begins before the read or in it; for an absent mate it is the buffer's begin.
        begin = -anchor if forward else anchor - width
        base = windows(reads.data, width)[np.where(placed, reads.sequence[rows] + begin, 0)]
        quality = windows(reads.data, width)[np.where(placed, reads.quality[rows] + begin, 0)]
        if not forward:
            base, quality = base[:, ::-1], quality[:, ::-1]
        self.base = (FORWARD_BIT if forward else REVERSE_BIT)[base]
        self.quality = np.maximum(quality, 33) - np.uint8(33)
        self.gaps = {}

    def end_at(self, other):
        """Let the molecule end where the other mate begins: what lies beyond is adapter."""
        both = self.placed & other.placed
        if self.forward:
            self.limits[1] = np.where(both, np.minimum(self.limits[1], other.right), self.limits[1])
        else:
            self.limits[0] = np.where(both, np.maximum(self.limits[0], other.left), self.limits[0])

    def settle(self):
        """Blank what lies outside the read; cut or realign reads that leave their diagonal."""
        columns = np.arange(len(self.target), dtype=np.int32)
        inside = columns >= np.maximum(self.left, self.limits[0]).astype(np.int32)[:, None]
        inside &= columns < np.minimum(self.right, self.limits[1]).astype(np.int32)[:, None]
        self.covered = inside
        self.base *= inside
        self.quality *= self.base > 0
        known, match = compare(self.base, self.quality, self.target, self.min_quality)
        n_known = np.count_nonzero(known, axis=1)
        poor = np.flatnonzero(n_known - np.count_nonzero(match, axis=1) > 1 + n_known // 100)
        if len(poor):
            self._mend(poor, known[poor], match[poor])

    def _mend(self, rows, known, match):
        kept = self._best_prefix(known, match)
        lost = np.count_nonzero(known & ~kept, axis=1)
        matched = np.count_nonzero(match & kept, axis=1)
        realigned = np.zeros(len(rows), dtype=bool)
        alignments = {}
        for i in np.flatnonzero(lost >= CLIPPED_BASES):
            realigned[i] = self._realign(rows[i], matched[i], alignments)
        rows, kept = rows[~realigned], kept[~realigned]
        self.base[rows] *= kept
        self.quality[rows] *= kept
        self.covered[rows] &= kept

    def _best_prefix(self, known, match):
        """Offsets from the read's 5' end up to where its score is highest; none when it never is above 0."""
        step = match * np.int16(MATCH_STEP + MISMATCH_STEP) - known * np.int16(MISMATCH_STEP)
        if not self.forward:
            step = step[:, ::-1]
        score = np.cumsum(step, axis=1, dtype=np.int16)
        best = score.argmax(axis=1)
        end = np.where(score[np.arange(len(score)), best] > 0, best + 1, 0)
        kept = np.arange(len(self.target)) < end[:, None]
        return kept if self.forward else kept[:, ::-1]

    def _realign(self, row, matched, alignments):
        """Align one read with gaps and take it if clearly more of its good bases match; identical reads align once."""
        read = self.rows[row]
        length = self.reads.length[read]
        text = self.reads.text(self.reads.sequence[read], length)
        if text not in alignments:
            alignments[text] = align(text.decode("ascii", "replace").upper(), self.forward, self.target)
        offsets, deleted = alignments[text]
        columns = np.arange(len(self.target))
        inside = (columns >= self.limits[0][row]) & (columns < self.limits[1][row])
        show = inside & (offsets >= 0)
        place = offsets if self.forward else length - 1 - offsets
        letters = self.reads.data[self.reads.sequence[read] + place]
        base = np.where(show, (FORWARD_BIT if self.forward else REVERSE_BIT)[letters], 0).astype(np.uint8)
        quality = self.reads.data[self.reads.quality[read] + place] - np.uint8(33)
        quality = np.where(base > 0, quality, 0).astype(np.uint8)
        _, match = compare(base[None], quality[None], self.target, self.min_quality)
        if np.count_nonzero(match) < matched + CLIPPED_BASES:
            return False
        self.base[row], self.quality[row] = base, quality
        self.covered[row] = show | (deleted & inside)
        self.gaps[int(row)] = deleted & inside
        return True


def lay_pairs(target, mates, forward_first, min_quality):
    """Merge pairs that were placed on one target with mate 1 in one direction.

    ``mates`` is a list of (reads, rows, anchors): mates 1 and 2, or mate 1 alone for single-end reads. Where the mates
    overlap and agree, the better quality stands; where they differ, the better base stands with the difference
    of the qualities, so that a near tie tells nothing. Returns `Molecules`.
    """
    laid = [
        Mate(target, reads, rows, anchors, forward_first == (i == 0), min_quality)
        for i, (reads, rows, anchors) in enumerate(mates)
    ]
    if len(laid) == 2:
        laid[0].end_at(laid[1])
        laid[1].end_at(laid[0])
    for mate in laid:
        mate.settle()
    return _merge(target, laid, min_quality)


def compare(base, quality, target, min_quality):
    """Two boolean arrays like ``base``: known (a good base over a known reference base), and matching."""
    good = base * (quality >= min_quality)
    match = (good & target.allowed) > 0
    return (good > 0) & (target.allowed > 0), match


def align(text, forward, target):
    """Align one read to a target locally with affine gaps, by SIMD (parasail).

    Returns, for each reference offset, the position in the read as it runs along the reference (-1: none), and whether
    the read skips the offset. Inserted bases have no offset and are left out.
    """
    if not forward:
        text = text.translate(COMPLEMENT)[::-1]
    converted = target.reference.translate(
        str.maketrans("C", "Y") if target.strand == "top" else str.maketrans("G", "R")
    )
    found = parasail.sw_trace_striped_16(text, converted, GAP_OPEN, GAP_EXTEND, SCORES)
    offsets = np.full(len(target), -1, dtype=np.int64)
    deleted = np.zeros(len(target), dtype=bool)
    cigar = found.cigar
    read_at, reference_at = cigar.beg_query, cigar.beg_ref
    for code in cigar.seq.tolist():
        kind, length = code & 15, code >> 4  # encoded as in BAM
        if kind == DELETION:
            deleted[reference_at : reference_at + length] = True
        elif kind != INSERTION:
            offsets[reference_at : reference_at + length] = np.arange(read_at, read_at + length)
        read_at += length if kind != DELETION else 0
        reference_at += length if kind != INSERTION else 0
    return offsets, deleted


def _scores():
    matrix = parasail.matrix_create(LETTERS, MATCH, MISMATCH)
    for one, two in ("CY", "TY", "AR", "GR"):
        for i, j in ((one, two), (two, one)):
            matrix[LETTERS.index(i), LETTERS.index(j)] = MATCH
    for i in range(len(LETTERS)):
        matrix[i, LETTERS.index("N")] = 0
        matrix[LETTERS.index("N"), i] = 0
    return matrix


SCORES = _scores()


def _merge(target, laid, min_quality):
    first = laid[0]
    base, quality, covered = first.base, first.quality, first.covered
    if len(laid) == 2:
        second = laid[1]
        agree = base == second.base
        better, worse = np.maximum(quality, second.quality), np.minimum(quality, second.quality)
        base = np.where(quality >= second.quality, base, second.base)
        quality = better - worse * ~agree
        covered = covered | second.covered
    deleted = np.zeros_like(covered)
    gapped = np.zeros(len(base), dtype=bool)
    for mate in laid:
        for row, gap in mate.gaps.items():
            deleted[row] |= gap
            gapped[row] = True
    deleted &= base == 0
    known, match = compare(base, quality, target, min_quality)
    matches = np.count_nonzero(match, axis=1)
    return Molecules(
        base=base,
        quality=quality,
        covered=covered,
        deleted=deleted,
        matches=matches,
        mismatches=np.count_nonzero(known, axis=1) - matches,
        mates=sum(mate.covered.any(axis=1).astype(int) for mate in laid),
        gapped=gapped,
    )
