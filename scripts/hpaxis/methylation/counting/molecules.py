"""Lay both mates of a pair over the reference and make one molecule of them, many pairs at a time.

Everything has a row for each pair and a flag for each reference offset (see `planes`): mates meet in reference
coordinates, primers and adapters fall away by position, and no base is counted twice.
"""

from dataclasses import dataclass

import numpy as np
import parasail

from hpaxis.methylation.counting import planes
from hpaxis.methylation.counting.reads import windows
from hpaxis.methylation.panels.nucleotides import COMPLEMENT

NOT_PLACED = np.iinfo(np.int64).min
# Score along a read's diagonal: a mismatch outweighs three matches, so that adapter and noise are cut off.
MATCH_STEP, MISMATCH_STEP = 1, 3
# Alignment with gaps, for reads that leave their diagonal: tried when that many good bases would be lost.
CLIPPED_BASES = 12
MATCH, MISMATCH, GAP_OPEN, GAP_EXTEND = 2, -6, 10, 1
LETTERS = "ACGTYRN"
INSERTION, DELETION = 1, 2
PHRED = 33


class Mate:
    """One mate of each pair over the reference.

    ``rows`` picks reads from ``reads``; ``anchors`` are their 5' anchors (see `placement.Placement`), `NOT_PLACED`
    for a mate that was not found. All of them run in the same direction. Flags: ``one`` and ``two`` say the base,
    ``good`` its quality, ``covered`` where the read lies between the primers, ``present`` where it has a base there.
    """

    def __init__(self, target, reads, rows, anchors, forward, min_quality):
        self.target, self.reads, self.rows, self.forward, self.min_quality = target, reads, rows, forward, min_quality
        placed = anchors != NOT_PLACED
        anchor, length = np.where(placed, anchors, 0), np.where(placed, reads.length[rows], 0)
        self.placed = placed
        self.left = anchor if forward else anchor - length
        self.right = anchor + length if forward else anchor
        # Where the molecule may reach: between the primers, and no further than the other mate's 5' end.
        self.limits = [np.full(len(rows), target.first), np.full(len(rows), target.last)]
        # Flags are kept of the words of the reference that the reads touch. A window over them begins before the read
        # or in it; for an absent mate it is the buffer's begin. A read against the reference keeps its own order
        # until its flags are packed.
        self.words = self._touched(placed)
        begin, end = planes.BITS * self.words.start, planes.BITS * self.words.stop
        shift = begin - anchor if forward else anchor - end
        base, quality = (
            windows(reads.data, np.where(placed, part[rows] + shift, 0), end - begin)
            for part in (reads.sequence, reads.quality)
        )
        pack = planes.pack if forward else planes.pack_turned
        self.one, self.two = pack(base & planes.ONE), pack(base & planes.TWO)
        if not forward:
            self.two = ~self.two
        self.present = ~pack(base & planes.OTHER)
        self.good = pack(quality >= min_quality + PHRED)
        self.gaps, self.realigned = {}, {}
        self.cut = None  # rows, and flags of their good bases that were cut off
        # Where in the buffer the quality of offset 0 is, or would be.
        self.quality_at = np.where(placed, reads.quality[rows] + (-anchor if forward else anchor - 1), len(target))

    def _touched(self, placed):
        size = len(self.target)
        first = int(np.clip(self.left[placed], 0, size - 1).min(initial=size - 1)) // planes.BITS
        last = (int(np.clip(self.right[placed], 1, size).max(initial=1)) - 1) // planes.BITS
        return slice(first, max(first, last) + 1)

    def over(self, name, rows=slice(None)):
        """Flags of all words of the reference (of some rows), none set where no read reaches."""
        flags, size = getattr(self, name)[rows], planes.padded(len(self.target)) // planes.BITS
        if flags.shape[1] == size:
            return flags
        whole = np.zeros((len(flags), size), dtype=np.uint64)
        whole[:, self.words] = flags
        return whole

    def end_at(self, other):
        """Let the molecule end where the other mate begins: what lies beyond is adapter."""
        both = self.placed & other.placed
        if self.forward:
            self.limits[1] = np.where(both, np.minimum(self.limits[1], other.right), self.limits[1])
        else:
            self.limits[0] = np.where(both, np.maximum(self.limits[0], other.left), self.limits[0])

    def clip(self):
        """Blank what lies outside the read."""
        size = len(self.target)
        before = planes.prefixes(size)[:, self.words]
        left = np.clip(np.maximum(self.left, self.limits[0]), 0, size)
        right = np.clip(np.minimum(self.right, self.limits[1]), 0, size)
        self.covered = before[right] & ~before[left]
        self.present &= self.covered

    def clip_or_realign(self):
        """Cut or realign reads that leave their diagonal."""
        self.clip()
        known = self.present & self.good & planes.for_rows(self.target.compared[self.words], len(self.present))
        allowed = [flags[self.words] for flags in self.target.allowed]
        match = known & planes.matching(self.one, self.two, allowed)
        n_known = planes.count(known)
        poor = np.flatnonzero(n_known - planes.count(match) > 1 + n_known // 100)
        if len(poor):
            shown = self.over("present", poor) & self.over("good", poor)
            self._clip_poor_ends(poor, known[poor], match[poor])
            # An insertion lets the read end earlier: beyond its new end nothing was cut.
            before = planes.prefixes(len(self.target))
            left, right = (np.clip(end[poor], 0, len(self.target)) for end in (self.left, self.right))
            self.cut = poor, shown & before[right] & ~before[left] & ~self.over("covered", poor)

    def _clip_poor_ends(self, rows, known, match):
        size = planes.BITS * known.shape[1]
        before = planes.prefixes(size)
        end = self._best_prefix(planes.unpack(known, size), planes.unpack(match, size))
        kept = before[end] if self.forward else ~before[size - end]
        lost = planes.count(known & ~kept)
        matched = planes.count(match & kept)
        self.covered[rows] &= kept
        self.present[rows] &= kept
        strays = np.flatnonzero(lost >= CLIPPED_BASES)
        if len(strays):
            self._realign(rows[strays], matched[strays])

    def _best_prefix(self, known, match):
        """How many offsets from the read's 5' end its score is highest; 0 when it never is above 0."""
        step = match * np.int16(MATCH_STEP + MISMATCH_STEP) - known * np.int16(MISMATCH_STEP)
        if not self.forward:
            step = step[:, ::-1]
        score = np.cumsum(step, axis=1, dtype=np.int16)
        best = score.argmax(axis=1)
        return np.where(score[np.arange(len(score)), best] > 0, best + 1, 0)

    def _realign(self, rows, matched):
        """Align reads with gaps; take those of which clearly more good bases match than did."""
        size = len(self.target)
        read, length = self.rows[rows], self.reads.length[self.rows[rows]]
        texts = [self.reads.text(start, n) for start, n in zip(self.reads.sequence[read], length)]
        offsets, deleted = align([t.decode("ascii", "replace").upper() for t in texts], self.forward, self.target)
        columns = np.arange(size)
        inside = (columns >= self.limits[0][rows, None]) & (columns < self.limits[1][rows, None])
        show = inside & (offsets >= 0)
        place = offsets if self.forward else length[:, None] - 1 - offsets
        letters = self.reads.data[self.reads.sequence[read, None] + place]
        show_base = show & (letters & planes.OTHER == 0)
        quality = np.where(show_base, self.reads.data[self.reads.quality[read, None] + place], PHRED)
        deleted &= inside
        one, two, present, covered = (
            planes.pack(flags) for flags in (letters & planes.ONE, letters & planes.TWO, show_base, show | deleted)
        )
        two = two if self.forward else ~two
        good = planes.pack(quality >= self.min_quality + PHRED)
        match = present & good & self.target.compared & planes.matching(one, two, self.target.allowed)
        taken = np.flatnonzero(planes.count(match) >= matched + CLIPPED_BASES)
        mine = rows[taken]
        found = {"one": one, "two": two, "present": present, "good": good, "covered": covered}
        outside = np.ones(covered.shape[1], dtype=bool)
        outside[self.words] = False
        if covered[taken][:, outside].any():
            for name in found:
                setattr(self, name, self.over(name))
            self.words = slice(0, covered.shape[1])
        for name, flags in found.items():
            getattr(self, name)[mine] = flags[taken, self.words]
        # Where the read begins and ends, as its aligned part goes on without a gap.
        aligned = offsets[taken] >= 0
        first, last = aligned.argmax(axis=1), size - 1 - aligned[:, ::-1].argmax(axis=1)
        self.left[mine] = first - offsets[taken, first]
        self.right[mine] = last + length[taken] - offsets[taken, last]
        self.gaps.update(zip(mine.tolist(), planes.pack(deleted[taken])))
        self.realigned.update(zip(mine.tolist(), quality[taken] - np.uint8(PHRED)))

    def phred(self, rows, columns):
        """Qualities of single bases, given by arrays of rows and offsets."""
        found = self._quality(rows, columns) - np.uint8(PHRED)
        for row, quality in self.realigned.items():
            mine = np.flatnonzero(rows == row)
            found[mine] = quality[columns[mine]]
        return found

    def shown(self, bases):
        """Flags of the good bases that read as each of ``bases`` (of A, C, G, T)."""
        seen = self.good & self.present
        return [seen & planes.showing(self.one, self.two, base) for base in bases]

    def qualities(self, rows, columns):
        """Qualities of some rows, in order, at some offsets, 0 where the mate shows no base; rows × offsets."""
        found = self._quality(rows[:, None], columns)
        found = np.maximum(found, PHRED) - np.uint8(PHRED)
        for row, quality in self.realigned.items():
            i = np.searchsorted(rows, row)
            if i < len(rows) and rows[i] == row:
                found[i] = quality[columns]
        begin, end = planes.BITS * self.words.start, planes.BITS * self.words.stop
        inside = (columns >= begin) & (columns < end)
        found[:, ~inside] = 0
        found[:, inside] *= planes.unpack_columns(self.present, columns[inside] - begin)[rows]
        return found

    def all_qualities(self, rows):
        """As `qualities` at every offset, many times faster."""
        size = len(self.target)
        if self.forward:
            found = windows(self.reads.data, self.quality_at[rows], size)
        else:
            found = windows(self.reads.data, self.quality_at[rows] - (size - 1), size)[:, ::-1]
        found = np.maximum(found, PHRED) - np.uint8(PHRED)
        for row, quality in self.realigned.items():
            i = np.searchsorted(rows, row)
            if i < len(rows) and rows[i] == row:
                found[i] = quality[:size]
        found *= planes.unpack(self.over("present", rows), size)
        return found

    def _quality(self, rows, columns):
        at = self.quality_at[rows]
        return self.reads.data[at + columns if self.forward else at - columns]


@dataclass(frozen=True)
class MergedPairs:
    """Pairs of one target, each merged to one row of flags over the reference (see `planes`).

    ``one`` and ``two`` say the base where ``present``; ``good``: its quality suffices; ``covered``: a mate lies there,
    between the primers; ``deleted``: an aligned read skips the offset; ``differ``: the mates show different bases;
    ``both``: both mates show a good base.
    ``matches`` and ``mismatches`` count good bases against the reference, ``stray`` those that were cut off where a
    mate leaves it and that the other does not cover, if both were found. ``merged`` says whether both mates
    contributed, ``gapped`` whether one was aligned with a gap. ``mates`` are what was merged.
    """

    target: object
    mates: list
    one: np.ndarray
    two: np.ndarray
    present: np.ndarray
    good: np.ndarray
    covered: np.ndarray
    deleted: np.ndarray
    differ: np.ndarray
    both: np.ndarray
    matches: np.ndarray
    mismatches: np.ndarray
    stray: np.ndarray
    merged: np.ndarray
    gapped: np.ndarray

    def shown(self, base):
        """Flags of the good bases that read as A, C, G or T."""
        return self.good & planes.showing(self.one, self.two, base)

    def letters(self, rows):
        """Bases of some rows as ASCII, N where none is known; rows × offsets."""
        size = len(self.target)
        one, two = (planes.unpack(flags[rows], size) for flags in (self.one, self.two))
        letters = planes.LETTERS[one + np.uint8(2) * two]
        return np.where(planes.unpack(self.present[rows], size), letters, np.uint8(ord("N")))

    def qualities(self, rows, columns=None):
        """Phred values of some rows at some offsets (all of them), 0 where no base is known; rows × offsets.

        The better of both mates', less the other's where they differ.
        """
        if columns is None:
            first, *second = (mate.all_qualities(rows) for mate in self.mates)
            differ = planes.unpack(self.differ[rows], len(self.target))
        else:
            first, *second = (mate.qualities(rows, columns) for mate in self.mates)
            differ = planes.unpack_columns(self.differ[rows], columns)
        if not second:
            return first
        worse = np.minimum(first, second[0]) * differ
        return np.maximum(first, second[0]) - worse


def from_bottom_strand(top, bottom, mates, forward_first, min_quality):
    """Whether pairs of an amplicon come from its bottom strand: more of its converted bases are seen than of the top's.

    ``mates`` as for `merge_pairs`. Cytosines outside CpGs are asked, and those of CpGs where the chemistry converts
    methylated ones; without any that was converted a pair is taken for the top's, where it shows the same CpGs.
    """
    turned = top.methylated == top.converted
    score = np.zeros(len(mates[0][1]), dtype=np.int64)
    for i, (reads, rows, anchors) in enumerate(mates):
        mate = Mate(top, reads, rows, anchors, forward_first == (i == 0), min_quality)
        mate.clip()
        for target, sign in ((top, 1), (bottom, -1)):
            converted = planes.showing(mate.one, mate.two, target.converted)
            sites = target.other_flags | target.cpg_flags if turned else target.other_flags
            score += sign * planes.count(mate.present & mate.good & converted & sites[mate.words])
    return score < 0


def merge_pairs(target, mates, forward_first, min_quality):
    """Merge pairs that were placed on one target with mate 1 in one direction.

    ``mates`` is a list of (reads, rows, anchors): mates 1 and 2, or mate 1 alone for single-end reads. Where the mates
    overlap and agree, the better quality stands; where they differ, the better base stands with the difference
    of the qualities, so that near-ties are treated as missing. Returns `MergedPairs`.
    """
    placed = [
        Mate(target, reads, rows, anchors, forward_first == (i == 0), min_quality)
        for i, (reads, rows, anchors) in enumerate(mates)
    ]
    if len(placed) == 2:
        placed[0].end_at(placed[1])
        placed[1].end_at(placed[0])
    for mate in placed:
        mate.clip_or_realign()
    return _merge(target, placed, min_quality)


def align(texts, forward, target):
    """Align reads to a target locally with affine gaps, by SIMD (parasail).

    Returns two arrays of reads × reference offsets: the position in the read as it runs along the reference (-1: none),
    and whether the read skips the offset. Inserted bases have no offset and are left out.
    """
    converted = target.reference.translate(
        str.maketrans("C", "Y") if target.strand == "top" else str.maketrans("G", "R")
    )
    if not forward:
        texts = [text.translate(COMPLEMENT)[::-1] for text in texts]
    cigars = [parasail.sw_trace_scan_16(text, converted, GAP_OPEN, GAP_EXTEND, SCORES).cigar for text in texts]
    operations = [cigar.seq for cigar in cigars]
    codes = np.concatenate(operations)
    offsets = np.full((len(texts), len(target)), -1, dtype=np.int64)
    deleted = np.zeros(offsets.shape, dtype=bool)
    if not len(codes):
        return offsets, deleted
    kind, length = codes & 15, (codes >> 4).astype(np.int64)  # encoded as in BAM
    row = np.repeat(np.arange(len(texts)), [len(found) for found in operations])
    read_at = _places(length * (kind != DELETION), row, [cigar.beg_query for cigar in cigars])
    reference_at = _places(length * (kind != INSERTION), row, [cigar.beg_ref for cigar in cigars])
    # From operations to bases.
    inside = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    row, kind, read_at, reference_at = (np.repeat(values, length) for values in (row, kind, read_at, reference_at))
    aligned, skipped = (kind != DELETION) & (kind != INSERTION), kind == DELETION
    offsets[row[aligned], (reference_at + inside)[aligned]] = (read_at + inside)[aligned]
    # The traceback may begin with one long deletion up to the first aligned base: only gaps within the read are gaps.
    present = offsets >= 0
    within = np.logical_or.accumulate(present, axis=1) & np.logical_or.accumulate(present[:, ::-1], axis=1)[:, ::-1]
    deleted[row[skipped], (reference_at + inside)[skipped]] = True
    return offsets, deleted & within


def _places(steps, row, begins):
    """Where each operation begins: what operations of its row before it step over, from where the row begins."""
    before = np.cumsum(steps) - steps
    first = np.minimum(np.searchsorted(row, np.arange(len(begins))), len(row) - 1)  # a read may align nowhere
    return before + (np.array(begins) - before[first])[row]


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


def _merge(target, mates, min_quality):
    flags = [[mate.over(name) for name in ("one", "two", "present", "covered", "good")] for mate in mates]
    one, two, present, covered, good = flags[0]
    good = good & present
    differ, both = np.zeros_like(present), np.zeros_like(present)
    merged = np.zeros(len(present), dtype=bool)
    stray = np.zeros(len(present), dtype=np.int64)
    if len(mates) == 2:
        one_2, two_2, present_2, covered_2, good_2 = flags[1]
        differ = present & present_2 & ((one ^ one_2) | (two ^ two_2))
        both = good & good_2 & present_2
        second_better, near_tie = _settle_differences(mates, differ, min_quality)
        from_first = present & ~second_better
        one = (one & from_first) | (one_2 & ~from_first)
        two = (two & from_first) | (two_2 & ~from_first)
        good = (good | (good_2 & present_2)) & ~near_tie
        merged = covered.any(axis=1) & covered_2.any(axis=1)
        present, covered = present | present_2, covered | covered_2
        stray = _count_stray(target, mates, covered)
    deleted = np.zeros_like(covered)
    gapped = np.zeros(len(covered), dtype=bool)
    for mate in mates:
        for row, gap in mate.gaps.items():
            deleted[row] |= gap
            gapped[row] = True
    known = good & planes.for_rows(target.compared, len(good))
    matches = planes.count(known & planes.matching(one, two, target.allowed))
    return MergedPairs(
        target=target,
        mates=mates,
        one=one,
        two=two,
        present=present,
        good=good,
        covered=covered,
        deleted=deleted & ~present,
        differ=differ,
        both=both,
        matches=matches,
        mismatches=planes.count(known) - matches,
        stray=stray,
        merged=merged,
        gapped=gapped,
    )


def _count_stray(target, mates, covered):
    """Good bases that were cut from either mate, where both were found: what a lone read shows there may be adapter."""
    cut = np.zeros_like(covered)
    for mate in mates:
        if mate.cut is not None:
            rows, flags = mate.cut
            cut[rows] |= flags
    cut &= ~covered & target.compared
    return planes.count(cut) * (mates[0].placed & mates[1].placed)


def _settle_differences(mates, differ, min_quality):
    """Where mates differ: flags of the second's base being the better, and of neither being better by enough."""
    # Few words hold a difference: only those are looked into.
    rows, words = np.nonzero(differ)
    bits = planes.unpack(differ[rows, words][:, None], planes.BITS)
    which, bit = np.divmod(np.flatnonzero(bits), planes.BITS)
    one, two = (mate.phred(rows[which], planes.BITS * words[which] + bit).astype(np.int16) for mate in mates)
    found = []
    for flag in (two > one, np.abs(one - two) < min_quality):
        flags = np.zeros(bits.shape, dtype=bool)
        flags[which, bit] = flag
        whole = np.zeros_like(differ)
        whole[rows, words] = planes.pack(flags)[:, 0]
        found.append(whole)
    return found
