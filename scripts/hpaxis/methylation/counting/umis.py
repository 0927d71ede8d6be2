"""Unique molecular identifiers: reads that carry the same one are copies of one template, and count once.

UMIs are taken off the reads before these are placed. Errors in them are corrected by the directional network of Smith,
Heger and Sudbery (2017): a UMI one base from another that was read at least twice as often, less one, is taken for
its copy. Every family then speaks by the majority of its molecules, cytosine by cytosine.
"""

import re
from dataclasses import dataclass, replace

import numpy as np

from hpaxis.methylation.counting.reads import windows
from hpaxis.problems import InputError, Problem

LONGEST = 32  # two bits a base
CODE = np.full(256, 4, dtype=np.uint8)
for _letters in (b"ACGT", b"acgt"):
    CODE[list(_letters)] = range(4)
COLUMNS = ("umi_families", "umi_single", "umi_unknown")
# States of a cytosine in two bits, and the letters of a pattern that stand for them.
NONE, YES, NO, ELSE = range(4)
STATE_LETTERS = np.frombuffer(b".10x", dtype=np.uint8)
BASES, N, DOT = list(b"ACGT"), ord("N"), ord(".")


@dataclass(frozen=True)
class Umis:
    """One number a pair, two bits a base, and whether every base of the UMI was read."""

    code: np.ndarray
    known: np.ndarray


def take_umis(reads, pattern, paths, min_quality):
    """Take the UMIs off a chunk of pairs.

    ``reads``: a list of `Reads`; ``pattern``: ``name`` (after the last ``_`` or ``:`` of the name), or as many N as the
    UMI has bases at the start of read 1, and, after a comma, of read 2. A UMI with another letter than A, C, G and T,
    or a base below ``min_quality``, is not known. Returns the reads without them, and `Umis`. Raises `InputError`
    when names carry no UMIs, or UMIs of different lengths.
    """
    if pattern == "name":
        letters = _named(reads[0], paths[0])
        good = np.ones(letters.shape, dtype=bool)
    else:
        letters, good, reads = _inline(reads, umi_lengths(pattern), min_quality)
    bases = CODE[letters]
    code = np.zeros(len(bases), dtype=np.uint64)
    for column in bases.T:
        code = (code << np.uint64(2)) | (column & 3)
    return reads, Umis(code, ((bases < 4) & good).all(axis=1))


def umi_lengths(pattern):
    """Bases that a pattern takes off read 1 and read 2."""
    if pattern is None or pattern == "name":
        return 0, 0
    first, _, second = pattern.partition(",")
    return len(first), len(second)


def _inline(reads, lengths, min_quality):
    letters, good, trimmed = [], [], []
    for mate, length in zip(reads, lengths):
        # A read shorter than its UMI has none: what lies behind it in the buffer is no base, or a poor one.
        inside = np.arange(length) < mate.length[:, None]
        letters.append(windows(mate.data, mate.sequence, max(length, 1))[:, :length])
        good.append(inside & (windows(mate.data, mate.quality, max(length, 1))[:, :length] >= min_quality + 33))
        cut = np.minimum(length, mate.length)
        trimmed.append(
            replace(mate, sequence=mate.sequence + cut, quality=mate.quality + cut, length=mate.length - cut)
        )
    return np.concatenate(letters, axis=1), np.concatenate(good, axis=1), trimmed


def _named(mate, path):
    """Letters of the UMIs in read names; a + between two UMIs is left out."""
    names = [mate.text(start, length) for start, length in zip(mate.name.tolist(), mate.name_length.tolist())]
    found = [re.split(rb"[_:]", name)[-1].replace(b"+", b"") for name in names]
    width = len(found[0]) if found else 1
    wrong = [i for i, umi in enumerate(found) if len(umi) != width or not re.fullmatch(rb"[ACGTNacgtn]{4,32}", umi)]
    if wrong:
        raise InputError(
            Problem(str(path), "a read's name does not end in a UMI of the same length as the first's",
                    "let names end in _UMI or :UMI, or correct the library's umi")
        )  # fmt: skip
    return np.frombuffer(b"".join(found), dtype=np.uint8).reshape(len(found), width)


class FamilyTally:
    """The molecules of one library with UMIs; of each two bits a cytosine and variant are kept, and eight bytes."""

    def __init__(self):
        self.parts = {}
        self.unknown = 0

    def add(self, target, umis, rows, states, alleles):
        """Take passing molecules.

        Parameters: their ``rows`` in the chunk, ``states`` (pattern letters) of CpGs and of others, and what they show
        at variants (see `alleles.AlleleTally.shown`).
        """
        known = umis.known[rows]
        self.unknown += int(np.count_nonzero(~known))
        codes = np.zeros(states.shape, dtype=np.uint8)
        for state, letter in enumerate(STATE_LETTERS):
            codes[states == letter] = state
        codes = np.concatenate([codes, alleles], axis=1)
        entry = self.parts.setdefault((target.amplicon, target.strand), (target, [], [], codes.shape[1]))
        entry[1].append(umis.code[rows][known])
        entry[2].append(_pack(codes[known]))

    def families(self):
        """Yield target, family sizes, and consensus states (families × CpGs, others, variants), a target at a time."""
        for key in sorted(self.parts):
            target, codes, packed, width = self.parts[key]
            member = group_umis(np.concatenate(codes))
            sizes = np.bincount(member)
            yield target, sizes, _majority(np.concatenate(packed), member, width)


def group_umis(codes):
    """Number of the family of each UMI (two bits a base), families in the order of their commonest UMI's code.

    From the commonest down, a UMI takes in every UMI not yet taken that lies one base from it, or from one it took in,
    whose count is so low that twice the count less one does not exceed the other's.
    """
    values, which, counts = np.unique(codes, return_inverse=True, return_counts=True)
    leader = np.arange(len(values))
    links = _links(values, counts)
    taken = np.zeros(len(values), dtype=bool)
    for first in np.argsort(-counts, kind="stable").tolist():
        if taken[first]:
            continue
        taken[first], front = True, [first]
        while front:
            for near in links.get(front.pop(), ()):
                if not taken[near]:
                    taken[near], leader[near] = True, first
                    front.append(near)
    return np.unique(leader, return_inverse=True)[1][which]


def _links(values, counts):
    """For each UMI those that may be its copies: one base away, and rarer by far."""
    found = {}
    width = max(int(values.max(initial=0)).bit_length(), 2)
    for shift in range(0, width, 2):
        for change in (1, 2, 3):
            near = values ^ np.uint64(change << shift)
            at = np.minimum(np.searchsorted(values, near), len(values) - 1)
            hits = np.flatnonzero((values[at] == near) & (counts >= 2 * counts[at] - 1))
            for i, j in zip(hits.tolist(), at[hits].tolist()):
                found.setdefault(i, []).append(j)
    return found


def _majority(packed, member, sites):
    """State of each site of each family that most of its molecules show; none where two are as frequent."""
    order = np.argsort(member, kind="stable")
    starts = np.flatnonzero(np.diff(member[order], prepend=-1))
    result = np.empty((len(starts), sites), dtype=np.uint8)
    for j in range(sites):
        column = _unpack(packed, j)[order]
        votes = np.stack([np.add.reduceat((column == s).astype(np.int32), starts) for s in (YES, NO, ELSE)])
        best = votes.argmax(axis=0)
        tied = np.count_nonzero(votes == votes.max(axis=0), axis=0) > 1
        result[:, j] = np.where(tied | (votes.max(axis=0) == 0), NONE, best + 1)
    return result


def _pack(states):
    rows, columns = states.shape
    padded = np.zeros((rows, -(-columns // 4) * 4), dtype=np.uint8)
    padded[:, :columns] = states
    return padded[:, 0::4] | padded[:, 1::4] << 2 | padded[:, 2::4] << 4 | padded[:, 3::4] << 6


def _unpack(packed, column):
    return (packed[:, column // 4] >> (2 * (column % 4))) & 3


def consensus_text(target, states):
    """Bases and Bismark's call letters of families (ASCII, families × offsets), and where each begins and ends.

    Cytosines are as the family reads them, N where it does not say; other bases are those of the converted reference.
    """
    reference = np.frombuffer(target.reference.upper().encode(), dtype=np.uint8)
    bases = np.repeat(np.where(np.isin(reference, BASES), reference, N)[None], len(states), axis=0)
    bases[:, target.context != DOT] = N
    calls = np.full(bases.shape, DOT, dtype=np.uint8)
    known = np.zeros(bases.shape, dtype=bool)
    yes, no = ord(target.methylated), ord(target.unmethylated)
    size = len(target.cpgs)
    for sites, found in ((target.cpgs, states[:, :size]), (target.others, states[:, size:])):
        # Which base an other one is, is not kept.
        bases[:, sites] = np.array([N, yes, no, N], dtype=np.uint8)[found]
        context = target.context[sites]
        calls[:, sites] = np.where(found == YES, context - np.uint8(32), np.where(found == NO, context, DOT))
        known[:, sites] = found > NONE
    first = known.argmax(axis=1)
    last = np.where(known.any(axis=1), known.shape[1] - known[:, ::-1].argmax(axis=1), first)
    return bases, calls, first, last
