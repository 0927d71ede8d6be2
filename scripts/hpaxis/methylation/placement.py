"""Find where each read lies: exact words of the read, in three letters, looked up in the converted references."""

from dataclasses import dataclass

import numpy as np

from hpaxis.methylation.panel import reverse_complement
from hpaxis.methylation.reads import windows

WORD = 16
# Words are looked for here first: past the primer, in the part of the read with the best quality. Then everywhere.
FIRST_STARTS = (24, 56, 88, 8)
STEP = 8
# Odd multipliers for the two halves of a word; a chance clash costs one failed comparison, never a wrong call.
HALF = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)


@dataclass(frozen=True)
class Placement:
    """For each read: index of its target (-1 none), whether it runs along the reference, and its 5' anchor.

    ``anchor`` is the reference offset of the read's first base for a read along the reference; for a read against
    it, one past the offset of its first base. It may lie outside the reference.
    """

    target: np.ndarray
    forward: np.ndarray
    anchor: np.ndarray

    def set(self, reads, target, forward, anchor):
        """Place some of the reads."""
        self.target[reads], self.forward[reads], self.anchor[reads] = target, forward, anchor


class WordIndex:
    """Unique 16-base words of all targets, both read directions, in the two three-letter alphabets."""

    def __init__(self, targets):
        self.tables = {}
        for alphabet, (old, new) in {"CT": (ord("C"), ord("T")), "GA": (ord("G"), ord("A"))}.items():
            letters = np.arange(256, dtype=np.uint8)
            letters[old] = new
            entries = [
                entry
                for i, target in enumerate(targets)
                for forward in (True, False)
                # A top-strand molecule lacks C: read along the reference it shows C as T, read against it G as A.
                if (alphabet == "CT") == ((target.strand == "top") == forward)
                for entry in _words(i, target, forward, letters)
            ]
            self.tables[alphabet] = _WordTable(letters, entries)

    def place(self, reads):
        """Place each read by the first of its words that lies in one place; `Placement` of the reads' length.

        A word with no converted base in it may lie on both strands. A read whose words all do is taken for the strand
        that lacks the base it has fewer of.
        """
        n = len(reads)
        found = Placement(np.full(n, -1, dtype=np.int32), np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64))
        either = {}
        longest = int(reads.length.max(initial=0))
        pending = np.arange(n)
        for start in [*FIRST_STARTS, *(s for s in range(0, longest - WORD + 1, STEP) if s not in FIRST_STARTS)]:
            pending = pending[found.target[pending] < 0]
            inside = pending[reads.length[pending] >= start + WORD]
            if len(inside):
                self._look_up(reads, inside, start, found, either)
        for read, entries in either.items():
            if found.target[read] < 0:
                text = reads.text(reads.sequence[read], reads.length[read]).upper()
                found.set(read, *entries["CT" if text.count(b"C") <= text.count(b"G") else "GA"])
        return found

    def _look_up(self, reads, rows, start, found, either):
        words = windows(reads.data, WORD)[reads.sequence[rows] + start]
        entries = {alphabet: table.find(words, start) for alphabet, table in self.tables.items()}
        hits = {alphabet: entry[0] for alphabet, entry in entries.items()}
        both = hits["CT"] & hits["GA"]
        for alphabet, (hit, *values) in entries.items():
            alone = np.flatnonzero(hit & ~both)
            found.set(rows[alone], *(value[alone] for value in values))
            for i in np.flatnonzero(both):
                either.setdefault(rows[i], {}).setdefault(alphabet, tuple(value[i] for value in values))


class _WordTable:
    """Sorted keys of the unique words of one alphabet, and where each lies."""

    def __init__(self, letters, entries):
        self.letters = letters
        keys = np.array([e[0] for e in entries], dtype=np.uint64)
        values, first, times = np.unique(keys, return_index=True, return_counts=True)
        # A word that occurs twice tells nothing of place.
        self.keys = values[times == 1]
        kept = [entries[i] for i in first[times == 1]]
        self.target = np.array([e[1] for e in kept], dtype=np.int32)
        self.forward = np.array([e[2] for e in kept], dtype=bool)
        self.offset = np.array([e[3] for e in kept], dtype=np.int64)

    def find(self, words, start):
        """For words found ``start`` bases into a read: whether known, and the read's target, direction and anchor."""
        if not len(self.keys):
            none = np.zeros(len(words), dtype=np.int64)
            return none.astype(bool), none, none.astype(bool), none
        key = _keys(self.letters[words])
        at = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        forward, offset = self.forward[at], self.offset[at]
        return self.keys[at] == key, self.target[at], forward, np.where(forward, offset - start, offset + start)


def _words(index, target, forward, letters):
    """Words of one target in one direction: key, target, direction, offset (one past the first base if against)."""
    sequence = target.reference if forward else reverse_complement(target.reference)
    codes = np.frombuffer(sequence.encode(), dtype=np.uint8)
    if len(codes) < WORD:
        return
    known = np.isin(codes, np.frombuffer(b"ACGT", dtype=np.uint8))
    # Dimers and products of other places carry the primers too: a primer's bases place nothing.
    inside = slice(target.first, target.last) if forward else slice(len(codes) - target.last, len(codes) - target.first)
    known[: inside.start] = False
    known[inside.stop :] = False
    keys = _keys(letters[windows(codes, WORD)])
    for i in np.flatnonzero(windows(known.view(np.uint8), WORD).all(axis=1)):
        yield int(keys[i]), index, forward, int(i) if forward else len(sequence) - int(i)


def _keys(words):
    halves = np.ascontiguousarray(words).view(np.uint64)
    return halves[:, 0] * HALF[0] + halves[:, 1] * HALF[1]
