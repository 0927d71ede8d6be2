"""Find where each read lies: exact words of the read in two letters, purine or pyrimidine, looked up in the references.

Conversion turns C into T, and on the other strand G into A: neither changes the letter, so one table serves converted
and unconverted bases, both strands and any methylation.
"""

from dataclasses import dataclass

import numpy as np

from hpaxis.methylation.counting.reads import windows
from hpaxis.methylation.panels.panel import reverse_complement

WORD = 24
# Words are looked for here first: past the primer, in the part of the read with the best quality. Then everywhere.
FIRST_STARTS = (24, 56, 88, 8)
STEP = 16
# A word needs that many of either letter: a run of A, as a sequencer calls where it sees nothing, lies nowhere.
FEWEST = 4
# Words are told apart by this many of their last letters before they are searched for.
ENDING = 16
ENDING_BITS = np.uint64((1 << ENDING) - 1)
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
    """Unique `WORD`-base words of the references, in both directions.

    ``targets``: the `target.Target` that may be found, one strand of each amplicon; a strand cannot be told from words.
    """

    def __init__(self, targets):
        entries = [entry for i, target in targets for forward in (True, False) for entry in _words(i, target, forward)]
        keys = np.array([e[0] for e in entries], dtype=np.uint64)
        values, first, times = np.unique(keys, return_index=True, return_counts=True)
        # A word that occurs twice tells nothing of place.
        self.keys = values[times == 1]
        kept = [entries[i] for i in first[times == 1]]
        # Few words of reads from elsewhere end like a known one: the others need no search.
        self.endings = np.zeros(1 << ENDING, dtype=bool)
        self.endings[self.keys & ENDING_BITS] = True
        self.target = np.array([e[1] for e in kept], dtype=np.int32)
        self.forward = np.array([e[2] for e in kept], dtype=bool)
        self.offset = np.array([e[3] for e in kept], dtype=np.int64)

    def place(self, reads):
        """Place each read by the first of its words that lies in one place; `Placement` of the reads' length."""
        n = len(reads)
        found = Placement(np.full(n, -1, dtype=np.int32), np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64))
        if not len(self.keys):
            return found
        longest = int(reads.length.max(initial=0))
        rest = [start for start in range(0, longest - WORD + 1, STEP) if start not in FIRST_STARTS]
        pending = np.arange(n)
        for starts in [*([start] for start in FIRST_STARTS), rest]:
            pending = pending[found.target[pending] < 0]
            if len(pending) and starts:
                self._look_up(reads, pending, np.array(starts), found)
        return found

    def _look_up(self, reads, rows, starts, found):
        """Place rows by the first of their words, at ``starts``, that is known."""
        key = _keys(windows(reads.data, reads.sequence[rows, None] + starts, WORD))
        likely = self.endings[key & ENDING_BITS].any(axis=1)
        rows, key = rows[likely], key[likely]
        at = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        hit = (self.keys[at] == key) & (starts + WORD <= reads.length[rows, None])
        which = hit.argmax(axis=1)
        kept = np.flatnonzero(hit[np.arange(len(rows)), which])
        rows, start, at = rows[kept], starts[which[kept]], at[kept, which[kept]]
        forward, offset = self.forward[at], self.offset[at]
        found.target[rows], found.forward[rows] = self.target[at], forward
        found.anchor[rows] = np.where(forward, offset - start, offset + start)


def _words(index, target, forward):
    """Words of one target in one direction: key, target, direction, offset (one past the first base if against)."""
    sequence = target.reference if forward else reverse_complement(target.reference)
    codes = np.frombuffer(sequence.encode(), dtype=np.uint8)
    if len(codes) < WORD:
        return
    # R and Y are as good as bases here.
    known = np.isin(codes, np.frombuffer(b"ACGTRY", dtype=np.uint8))
    codes = np.frombuffer(sequence.replace("R", "A").replace("Y", "C").encode(), dtype=np.uint8)
    # Dimers and products of other places carry the primers too: a primer's bases place nothing.
    inside = slice(target.first, target.last) if forward else slice(len(codes) - target.last, len(codes) - target.first)
    known[: inside.start] = False
    known[inside.stop :] = False
    places = np.arange(len(codes) - WORD + 1)
    keys = _keys(windows(codes, places, WORD))
    mixed = np.abs(2 * np.bitwise_count(keys).astype(int) - WORD) <= WORD - 2 * FEWEST
    for i in np.flatnonzero(windows(known, places, WORD).all(axis=1) & mixed):
        yield int(keys[i]), index, forward, int(i) if forward else len(sequence) - int(i)


def _keys(words):
    """Words (`WORD` ASCII letters along the last axis) as numbers of `WORD` bits: 1 for C and T, in either case."""
    eights = np.ascontiguousarray(words).view(np.uint64)
    bits = ((((eights ^ (eights >> np.uint64(1))) & PYRIMIDINES) >> np.uint64(1)) * GATHER) >> np.uint64(56)
    return (bits[..., 0] << np.uint64(16)) | (bits[..., 1] << np.uint64(8)) | bits[..., 2]
