"""Streams of BAM records in compressed blocks, joined to one BAM in order, and its index, without a sort.

Formats: SAM and BAM specification, sections 4.1 (BGZF) and 5.2 (BAI). Blocks are cut and compressed here, because an
index made in the same pass must know where each block comes to lie.
"""

import struct
from typing import BinaryIO

import numpy as np
from isal import igzip_lib, isal_zlib

# What a block holds at most, as in htslib: it stays below 64 KB even where nothing can be compressed.
BLOCK = 0xFF00
LAST_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
LEVEL = 1  # a third of the time of zlib's level 1, and a better ratio
WINDOW = 14  # bits of an index window: 16,384 bases
SUMMARY_BIN = 37450  # no bin: where a reference's records lie, and how many they are


class Stream:
    """Records that start at one place of one strand, in their order: full blocks in a file, the rest in memory."""

    def __init__(self, spill: BinaryIO):
        self.spill, self.pending, self.waiting, self.size, self.number = spill, [], 0, 0, 0
        self.blocks = []  # where in the file, length there, length of what it holds
        self.marks = []  # where in the stream another bin or last window begins: offset, bin, window

    def add(self, records: list[bytes], bins: np.ndarray, end: np.ndarray) -> None:
        """Take records with their bins and the last windows that they reach."""
        if not self.marks or (bins != self.marks[-1][1]).any() or (end != self.marks[-1][2]).any():
            at = self.size
            for record, one, last in zip(records, bins.tolist(), end.tolist()):
                if not self.marks or self.marks[-1][1:] != (one, last):
                    self.marks.append((at, one, last))
                at += len(record)
        size = sum(map(len, records))
        self.size, self.waiting, self.number = self.size + size, self.waiting + size, self.number + len(records)
        self.pending += records
        if self.waiting < BLOCK:
            return
        data = b"".join(self.pending)
        whole = len(data) - len(data) % BLOCK
        for start in range(0, whole, BLOCK):
            block = _block(data[start : start + BLOCK])
            self.blocks.append((self.spill.tell(), len(block), BLOCK))
            self.spill.write(block)
        self.pending, self.waiting = [data[whole:]], len(data) - whole


class Joined:
    """The BAM: blocks copied and blocks made of what lay between them, and where each came to lie."""

    def __init__(self, out: BinaryIO, spill: BinaryIO):
        self.out, self.spill, self.rest, self.size = out, spill, b"", 0
        self.starts, self.addresses = [], []

    def write(self, data: bytes) -> None:
        """Take uncompressed bytes."""
        self.rest += data
        self.size += len(data)
        while len(self.rest) >= BLOCK:
            data, self.rest = self.rest[:BLOCK], self.rest[BLOCK:]
            self._put(_block(data), self.size - len(self.rest) - len(data))

    def flush(self):
        """End the block."""
        if self.rest:
            self._put(_block(self.rest), self.size - len(self.rest))
            self.rest = b""

    def copy(self, at: int, length: int, size: int) -> None:
        """Take a block that is made already."""
        self.flush()
        self.spill.seek(at)
        self._put(self.spill.read(length), self.size)
        self.size += size

    def end(self):
        """The empty block that ends a BAM."""
        self._put(LAST_BLOCK, self.size)

    def _put(self, block, start):
        self.starts.append(start)
        self.addresses.append(self.out.tell())
        self.out.write(block)

    def virtual(self, at: list) -> bytes:
        """Virtual offsets of places in the uncompressed BAM, as the index writes them."""
        at, starts = np.array(at, dtype=np.int64), np.array(self.starts)
        block = np.searchsorted(starts, at, side="right") - 1
        return ((np.array(self.addresses)[block] << 16) | (at - starts[block])).astype("<u8").tobytes()


def _block(data):
    """A BGZF block."""
    packed = igzip_lib.compress(data, LEVEL, igzip_lib.COMP_DEFLATE)
    if len(packed) > len(data) + 5:
        packed = struct.pack("<BHH", 1, len(data), len(data) ^ 0xFFFF) + data  # stored
    head = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(packed) + 25)
    return head + packed + struct.pack("<II", isal_zlib.crc32(data), len(data))


def bins_of(first, last) -> np.ndarray:
    """The smallest bin that holds each interval, from ``first`` to before ``last`` (reg2bin of the specification)."""
    first, last = np.asarray(first), np.asarray(last) - 1
    found = np.zeros(np.broadcast(first, last).shape, dtype=np.int64)
    for shift, base in ((26, 1), (23, 9), (20, 73), (17, 585), (14, 4681)):
        same = first >> shift == last >> shift
        found = np.where(same, base + (first >> shift), found)
    return found


def index_bytes(lengths: list[int], streams: dict, placed: dict, whole: Joined) -> bytes:
    """BAI: for each reference the bins with their chunks, and the first record that reaches each window.

    ``lengths`` of the references; ``streams`` by (reference, first offset, strand); ``placed``: where in the
    uncompressed BAM each stream begins.
    """
    out = [b"BAI\1", struct.pack("<i", len(lengths))]
    for reference in range(len(lengths)):
        mine = [key for key in sorted(streams) if key[0] == reference]
        chunks, windows = _chunks(mine, streams, placed)
        out.append(struct.pack("<i", len(chunks) + bool(mine)))
        for one in sorted(chunks):
            out.append(struct.pack("<Ii", one, len(chunks[one])) + whole.virtual(chunks[one]))
        if mine:
            ends = [placed[mine[0]], placed[mine[-1]] + streams[mine[-1]].size]
            number = sum(streams[key].number for key in mine)
            out.append(struct.pack("<Ii", SUMMARY_BIN, 2) + whole.virtual(ends) + struct.pack("<QQ", number, 0))
        out.append(struct.pack("<i", len(windows)) + whole.virtual(windows))
    return b"".join([*out, struct.pack("<Q", 0)])


def _chunks(keys, streams, placed):
    """Begin and end of the runs of records in each bin, and where the first record begins that reaches each window."""
    chunks, linear = {}, {}
    for key in keys:
        stream, base = streams[key], placed[key]
        ends = [at for at, *_ in stream.marks[1:]] + [stream.size]
        for (at, one, last), end in zip(stream.marks, ends):
            known = chunks.setdefault(one, [])
            if known and known[-1][1] == base + at:
                known[-1][1] = base + end
            else:
                known.append([base + at, base + end])
            for window in range(key[1] >> WINDOW, last + 1):
                linear.setdefault(window, base + at)
    windows = []
    # A window that no record reaches takes over the offset of the next that one does.
    for window in range(max(linear, default=-1), -1, -1):
        windows.append(linear.get(window, windows[-1] if windows else 0))
    return chunks, windows[::-1]
