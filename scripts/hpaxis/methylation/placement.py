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
            self.tables[alphabet] = (letters, *_unique(entries))

    def place(self, reads):
        """Place each read by the first of its words that is found; `Placement` of the reads' length."""
        n = len(reads)
        found = Placement(np.full(n, -1, dtype=np.int32), np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64))
        longest = int(reads.length.max(initial=0))
        pending = np.arange(n)
        for start in [*FIRST_STARTS, *(s for s in range(0, longest - WORD + 1, STEP) if s not in FIRST_STARTS)]:
            pending = pending[found.target[pending] < 0]
            inside = pending[reads.length[pending] >= start + WORD]
            if len(inside):
                self._look_up(reads, inside, start, found)
        return found

    def _look_up(self, reads, rows, start, found):
        words = windows(reads.data, WORD)[reads.sequence[rows] + start]
        for letters, keys, target, forward, offset in self.tables.values():
            if not len(keys):
                continue
            key = _keys(letters[words])
            at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
            hit = keys[at] == key
            read, at = rows[hit], at[hit]
            found.target[read] = target[at]
            found.forward[read] = forward[at]
            # Words against the reference are kept by the offset one past their first base: see `_words`.
            found.anchor[read] = np.where(forward[at], offset[at] - start, offset[at] + start)


def _words(index, target, forward, letters):
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


def _unique(entries):
    """Arrays of the words that occur once, sorted by key: a word that occurs twice tells nothing of place."""
    keys = np.array([e[0] for e in entries], dtype=np.uint64)
    values, first, times = np.unique(keys, return_index=True, return_counts=True)
    kept = first[times == 1]
    columns = [np.array([entries[i][c] for i in kept]) for c in (1, 2, 3)]
    return values[times == 1], columns[0].astype(np.int32), columns[1].astype(bool), columns[2].astype(np.int64)
