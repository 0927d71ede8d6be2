"""Rows of flags as bits, 64 columns a word: what is asked of every base of every read is one operation a word.

A base is two bits, those that its ASCII code has already: `ONE` is set in C and G, `TWO` in G and T, in either case of
the letter. `OTHER` tells N apart. The complement turns `TWO` over and leaves `ONE`.
"""

from functools import lru_cache

import numpy as np

ONE, TWO, OTHER = 2, 4, 8
# Letters in the order of ``one + 2 * two``.
LETTERS = np.frombuffer(b"ACTG", dtype=np.uint8)
BYTE, BITS = 8, 64
# `for_rows` keeps whole multiples of this many rows.
REPEATED = 512
# `column_counts` adds so many rows as words, a power of two, before it looks at single columns.
ADDED = 32


def padded(columns):
    """Columns filled up to whole words."""
    return -(-columns // BITS) * BITS


def pack(flags):
    """Rows × columns of flags (not 0 is set) as rows × words of uint64."""
    rows, size = flags.shape
    if size % BITS:
        words = np.zeros((rows, padded(size) // BYTE), dtype=np.uint8)
        words[:, : -(-size // BYTE)] = np.packbits(flags, axis=1, bitorder="little")
        return words.view(np.uint64)
    # Whole words need no fill, and one long row packs twice as fast as many short ones.
    return np.packbits(flags.reshape(-1), bitorder="little").view(np.uint64).reshape(rows, size // BITS)


def pack_turned(flags):
    """As `pack` of the columns in reverse order; their number must be a whole number of words."""
    rows, size = flags.shape
    words = np.packbits(flags.reshape(-1), bitorder="big").view(np.uint64).reshape(rows, size // BITS)
    return words[:, ::-1].byteswap()


def columns(chosen, size):
    """One row of flags, set in some of ``size`` columns."""
    return pack(np.isin(np.arange(size), chosen)[None])[0]


def unpack(words, columns):
    """Rows × columns of booleans."""
    bits = np.unpackbits(words.reshape(-1).view(np.uint8), bitorder="little")
    return bits.reshape(len(words), BITS * words.shape[1])[:, :columns].view(bool)


def unpack_columns(words, columns):
    """Flags (uint8, 0 or 1) of some columns, rows × their number."""
    columns = np.asarray(columns)
    taken = np.take(words.view(np.uint8), columns // BYTE, axis=1)
    return (taken >> (columns % BYTE).astype(np.uint8)) & np.uint8(1)


def from_next(words):
    """Flags of the columns whose right neighbour is set."""
    found = words >> np.uint64(1)
    found[:, :-1] |= words[:, 1:] << np.uint64(BITS - 1)
    return found


def from_previous(words):
    """Flags of the columns whose left neighbour is set."""
    found = words << np.uint64(1)
    found[:, 1:] |= words[:, :-1] >> np.uint64(BITS - 1)
    return found


def count(words):
    """How many flags of each row are set."""
    # A product with ones sums short rows five times as fast as a sum does; floats hold these numbers exactly.
    return (np.bitwise_count(words).astype(np.float32) @ np.ones(words.shape[-1], np.float32)).astype(np.int64)


def first(words):
    """Column of the first flag that is set in each row; of a row without any, 0."""
    at = (words != 0).argmax(axis=1)
    word = words[np.arange(len(words)), at]
    return BITS * at + np.where(word, np.bitwise_count((word & -word) - np.uint64(1)), 0).astype(np.int64)


def last(words):
    """Column of the last flag that is set in each row; of a row without any, -1."""
    at = words.shape[1] - 1 - (words[:, ::-1] != 0).argmax(axis=1)
    word = words[np.arange(len(words)), at]
    for shift in (1, 2, 4, 8, 16, 32):
        word = word | word >> np.uint64(shift)
    return np.where(word, BITS * at + np.bitwise_count(word).astype(np.int64) - 1, -1)


def column_counts(words, columns):
    """How many rows have each column's flag set."""
    total = np.zeros(BITS * words.shape[1], dtype=np.int64)
    spare = len(words) % ADDED
    if spare:
        total += unpack(words[len(words) - spare :], len(total)).sum(axis=0)
    # Rows are added in pairs, all columns of a word at once: bit k of every sum is a plane of its own.
    sums = [words[: len(words) - spare]]
    while len(sums) <= ADDED.bit_length() - 1:
        half, carry, added = len(sums[0]) // 2, None, []
        for plane in sums:
            one, two = plane[:half], plane[half:]
            either, both = one ^ two, one & two
            if carry is None:
                added.append(either)
                carry = both
            else:
                added.append(either ^ carry)
                carry &= either
                carry |= both
        sums = [*added, carry]
    for power, plane in enumerate(sums):
        # A byte holds the sum of 255 rows, and bytes are summed many times faster than wider numbers.
        for start in range(0, len(plane), 255):
            part = unpack(plane[start : start + 255], len(total)).view(np.uint8).sum(axis=0, dtype=np.uint8)
            total += part.astype(np.int64) << power
    return total[:columns]


@lru_cache(maxsize=64)
def prefixes(columns):
    """Table of (columns + 1) rows: row k has the first k flags set."""
    table = pack(np.tri(columns + 1, columns, -1, dtype=bool))
    table.flags.writeable = False
    return table


def for_rows(flags, rows):
    """One row of flags for many rows, to read from: NumPy works through one long row four times as fast."""
    # Blocks differ in length, so what is kept is a little longer than asked for.
    return _repeated(np.ascontiguousarray(flags).tobytes(), -(-rows // REPEATED) * REPEATED)[:rows]


@lru_cache(maxsize=64)
def _repeated(flags, rows):
    table = np.tile(np.frombuffer(flags, dtype=np.uint64), (rows, 1))
    table.flags.writeable = False
    return table


def showing(one, two, base):
    """Flags of where a base (A, C, G or T) stands."""
    return (one if base in "CG" else ~one) & (two if base in "GT" else ~two)


def matching(one, two, allowed):
    """Flags of the bases that their column allows; ``allowed`` are flags of the columns for A, C, T and G."""
    a, c, t, g = allowed
    # Of A and T what `two` chooses, and what becomes of it where `one` is set: six operations on the rows, not twelve.
    masks = a, a ^ t, a ^ c, a ^ t ^ c ^ g
    if one.ndim == 2 and a.ndim == 1:
        masks = [for_rows(mask, len(one)) for mask in masks]
    a, by_two, by_one, by_both = masks
    found = two & by_both
    found ^= by_one
    found &= one
    return found ^ (two & by_two) ^ a
