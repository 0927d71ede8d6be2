"""Find where each read lies: exact words of the read in two letters, purine or pyrimidine, looked up in the references.

Conversion turns C into T, and on the other strand G into A: neither changes the letter, so one table serves converted
and unconverted bases, both strands and any methylation.
"""

from dataclasses import dataclass

import numpy as np

from hpaxis.methylation.counting.reads import windows
from hpaxis.methylation.panels.panel import IUPAC, reverse_complement

KMER = 24
# Words are looked for here first: past the primer, in the part of the read with the best quality. Then everywhere.
FIRST_STARTS = (24, 56, 88, 8)
STEP = 16
# A word needs that many of either letter: a run of A, as a sequencer calls where it sees nothing, lies nowhere.
FEWEST = 4
# Words are told apart by this many of their last letters before they are searched for.
ENDING = 16
ENDING_BITS = np.uint64((1 << ENDING) - 1)
# A word that lies in several places tells one only where the read begins this near to the amplicon's end; that many of
# its bases are compared with each.
FURTHEST, COMPARED = 12, 150
COMPLEMENTS = np.arange(256, dtype=np.uint8)
COMPLEMENTS[list(b"ACGTacgt")] = list(b"TGCAtgca")
# Of eight bases: the bit that is set for C and T, one base's to each byte, and what gathers the eight in the top byte.
PYRIMIDINES = np.uint64(0x0202020202020202)
GATHER = np.uint64(0x0102040810204080)


@dataclass(frozen=True)
class Placement:
    """For each read: index of its target (-1 none), whether it runs along the reference, and its 5' anchor.

    ``anchor`` is the reference offset of the read's first base for a read along the reference; for a read against
    it, one past the offset of its first base. It may lie outside the reference.
    """

    target: np.ndarray
    forward: np.ndarray
    anchor: np.ndarray


class WordIndex:
    """`KMER`-base words of the references between the primers, in both directions.

    ``targets``: the `target.Target` that may be found, one strand of each amplicon; a strand cannot be told from words.
    A word that occurs in one place only, primers included, tells the place. Amplicons that overlap, lie on both strands
    or are alike share words: then the place is the one at whose end the read begins, and whose bases it shows.
    """

    def __init__(self, targets):
        targets = list(targets)
        self.targets = dict(targets)
        entries = [entry for i, target in targets for forward in (True, False) for entry in _words(i, target, forward)]
        entries.sort()
        keys = np.array([e[0] for e in entries], dtype=np.uint64)
        inner = np.array([e[4] for e in entries], dtype=bool)
        _, number, times = np.unique(keys, return_inverse=True, return_counts=True)
        single = times[number] == 1
        self.unique = _Places(entries, keys, inner & single)
        self.shared = _Places(entries, keys, inner & ~single)
        # Few words of reads from elsewhere end like a known one: the others need no search.
        self.endings = np.zeros(1 << ENDING, dtype=bool)
        self.endings[keys[inner] & ENDING_BITS] = True

    def place(self, reads):
        """Place each read by the first of its words that tells a place; `Placement` of the reads' length."""
        n = len(reads)
        found = Placement(np.full(n, -1, dtype=np.int32), np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64))
        if not len(self.unique.keys) and not len(self.shared.keys):
            return found
        longest = int(reads.length.max(initial=0))
        rest = [start for start in range(0, longest - KMER + 1, STEP) if start not in FIRST_STARTS]
        pending = np.arange(n)
        for starts in [*([start] for start in FIRST_STARTS), rest]:
            pending = pending[found.target[pending] < 0]
            if len(pending) and starts:
                self._look_up(reads, pending, np.array(starts), found)
        return found

    def _look_up(self, reads, rows, starts, found):
        """Place rows by the first of their words, at ``starts``, that tells a place."""
        key = _keys(windows(reads.data, reads.sequence[rows, None] + starts, KMER))
        likely = self.endings[key & ENDING_BITS].any(axis=1)
        rows, key = rows[likely], key[likely]
        inside = starts + KMER <= reads.length[rows, None]
        mine, start, at = _first(self.unique, key, inside, starts)
        kept, forward = rows[mine], self.unique.forward[at]
        found.target[kept], found.forward[kept] = self.unique.target[at], forward
        found.anchor[kept] = np.where(forward, self.unique.offset[at] - start, self.unique.offset[at] + start)
        if len(self.shared.keys):
            left = np.flatnonzero(found.target[rows] < 0)
            mine, start, at = _first(self.shared, key[left], inside[left], starts)
            self._choose(reads, rows[left][mine], start, at, found)

    def _choose(self, reads, rows, start, at, found):
        """Place rows whose word lies in several places; ``at``: the word's first among those of `shared`."""
        best = np.full(len(rows), np.iinfo(np.int64).max)
        second = best.copy()
        places = self.shared
        for step in range(int(places.times[at].max(initial=0))):
            some = np.flatnonzero(places.times[at] > step)
            entry = at[some] + step
            target, forward, offset = places.target[entry], places.forward[entry], places.offset[entry]
            anchor = np.where(forward, offset - start[some], offset + start[some])
            size = np.array([len(self.targets[i]) for i in target.tolist()], dtype=np.int64)
            away = np.abs(np.where(forward, anchor, size - anchor))
            score = np.full(len(some), np.iinfo(np.int64).max)
            near = np.flatnonzero(away <= FURTHEST)
            # Bases count before distance; of places with the same bases the one at whose end the read begins.
            score[near] = 1000 * self._mismatches(reads, rows[some[near]], target[near], forward[near], anchor[near])
            score[near] += away[near]
            better = score < best[some]
            second[some] = np.where(better, best[some], np.minimum(second[some], score))
            best[some] = np.minimum(best[some], score)
            won = some[better]
            found.target[rows[won]], found.forward[rows[won]] = target[better], forward[better]
            found.anchor[rows[won]] = anchor[better]
        found.target[rows[(best == second) | (best == np.iinfo(np.int64).max)]] = -1

    def _mismatches(self, reads, rows, target, forward, anchor):
        """Bases among a read's first `COMPARED` that a place cannot show after conversion."""
        number = np.zeros(len(rows), dtype=np.int64)
        if not len(rows):
            return number
        width = int(min(COMPARED, reads.length[rows].max(initial=0)))
        bases = windows(reads.data, reads.sequence[rows], width)
        inside = np.arange(width) < reads.length[rows, None]
        for i in np.unique(target).tolist():
            allowed = _allowed(self.targets[i])
            for along in (True, False):
                mine = np.flatnonzero((target == i) & (forward == along))
                steps = np.arange(width)
                offset = anchor[mine, None] + steps if along else anchor[mine, None] - 1 - steps
                known = inside[mine] & (offset >= 0) & (offset < len(self.targets[i]))
                shown = bases[mine] if along else COMPLEMENTS[bases[mine]]
                fits = allowed[shown, np.clip(offset, 0, len(self.targets[i]) - 1)]
                number[mine] = np.count_nonzero(known & ~fits, axis=1)
        return number


class _Places:
    """Words by number, in order, with their places; a word's places stand together, ``times`` of them."""

    def __init__(self, entries, keys, chosen):
        rows = np.flatnonzero(chosen)
        self.keys = keys[rows]
        self.target = np.array([entries[i][1] for i in rows], dtype=np.int32)
        self.forward = np.array([entries[i][2] for i in rows], dtype=bool)
        self.offset = np.array([entries[i][3] for i in rows], dtype=np.int64)
        self.times = np.searchsorted(self.keys, self.keys, side="right") - np.searchsorted(self.keys, self.keys)


def _first(places, key, inside, starts):
    """Rows of which a word is known, where the first such begins, and the place of the word among ``places``."""
    if not len(places.keys) or not len(key):
        return (np.empty(0, dtype=np.int64),) * 3
    at = np.minimum(np.searchsorted(places.keys, key), len(places.keys) - 1)
    hit = (places.keys[at] == key) & inside
    which = hit.argmax(axis=1)
    mine = np.flatnonzero(hit[np.arange(len(key)), which])
    return mine, starts[which[mine]], at[mine, which[mine]]


def _allowed(target):
    """Whether a base (ASCII) may stand at each offset of a target after conversion: 256 × offsets."""
    cytosine, converted = ("C", "T") if target.strand == "top" else ("G", "A")
    found = np.zeros((256, len(target)), dtype=bool)
    for base in "ACGT":
        fits = [base in IUPAC[r] or (base == converted and cytosine in IUPAC[r]) for r in target.reference]
        found[ord(base)] = found[ord(base.lower())] = fits
    found[[ord("N"), ord("n")]] = True
    return found


def _words(index, target, forward):
    """Words of one target in one direction: key, target, direction, offset (one past the first base if against), inner.

    Dimers and products of other places carry the primers too: words that touch one are not ``inner`` and place nothing.
    """
    sequence = target.reference if forward else reverse_complement(target.reference)
    codes = np.frombuffer(sequence.encode(), dtype=np.uint8)
    if len(codes) < KMER:
        return
    # R and Y are as good as bases here.
    known = np.isin(codes, np.frombuffer(b"ACGTRY", dtype=np.uint8))
    codes = np.frombuffer(sequence.replace("R", "A").replace("Y", "C").encode(), dtype=np.uint8)
    inside = slice(target.first, target.last) if forward else slice(len(codes) - target.last, len(codes) - target.first)
    between = np.zeros(len(codes), dtype=bool)
    between[inside] = True
    places = np.arange(len(codes) - KMER + 1)
    keys = _keys(windows(codes, places, KMER))
    mixed = np.abs(2 * np.bitwise_count(keys).astype(int) - KMER) <= KMER - 2 * FEWEST
    inner = windows(between, places, KMER).all(axis=1)
    for i in np.flatnonzero(windows(known, places, KMER).all(axis=1) & mixed):
        yield int(keys[i]), index, forward, int(i) if forward else len(sequence) - int(i), bool(inner[i])


def _keys(words):
    """Words (`KMER` ASCII letters along the last axis) as numbers of `KMER` bits: 1 for C and T, in either case."""
    eights = np.ascontiguousarray(words).view(np.uint64)
    bits = ((((eights ^ (eights >> np.uint64(1))) & PYRIMIDINES) >> np.uint64(1)) * GATHER) >> np.uint64(56)
    return (bits[..., 0] << np.uint64(16)) | (bits[..., 1] << np.uint64(8)) | bits[..., 2]
