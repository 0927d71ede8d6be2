"""Write passing molecules as a BAM that other callers read: Bismark's XM, XR and XG tags, one record per molecule.

Records are built as arrays of bytes, many at a time, and go straight to where they belong: molecules that start at the
same place of the same strand are one stream, and the BAM is these streams one after the other. Nothing is sorted, and
the index is known when the last stream is written. Formats: SAM and BAM specification, sections 4.1, 4.2 and 5.2.
"""

import struct
from pathlib import Path

import numpy as np

from hpaxis.methylation.counting import bgzf, planes
from hpaxis.methylation.counting.reads import LONGEST_NAME, windows
from hpaxis.methylation.counting.umis import ELSE, NO, NONE, STATE_LETTERS, YES, consensus_text

# Above every caller's threshold; methylpy counts letters of the pileup, where a read's start shows its mapping
# quality as a character: 60 shows as "]", which is no base.
MAPPING_QUALITY = 60
FAMILY_QUALITY = 40  # Phred: what most of a family's molecules read
DOT, LOWER_TO_UPPER = ord("."), ord("a") - ord("A")
# A group of records of one shape is filled as an array; fewer than this are put together one by one.
FEW = 6
MATCH, DELETION, SKIP = 0, 2, 3
NIBBLES = np.zeros(256, dtype=np.uint8)  # BAM's code of each ASCII base
NIBBLES[list(b"ACGTN")] = 1, 2, 4, 8, 15
UNKNOWN = 15
CORE = 36  # bytes before a record's name, with the record's length


class BamWriter:
    """Collect molecules in a file beside ``path``; leaving the ``with`` block writes the BAM and its index.

    A record is one molecule: both mates merged, primers and adapters left out, an offset between mates that no read
    covers as a skip (N), inserted bases left out. Same reads, same bytes: records that start together keep the order
    of the input. ``library`` is its id; ``sample``, if given, a `sample.MoleculeSample` to fill.
    """

    def __init__(self, path: Path | str, references: dict[str, str], library: str, sample=None):
        self.path, self.sample = Path(path), sample
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.references = {name: (i, len(sequence)) for i, (name, sequence) in enumerate(references.items())}
        text = "@HD\tVN:1.6\tSO:coordinate\n"
        text += "".join(f"@SQ\tSN:{name}\tLN:{length}\n" for name, (_, length) in self.references.items())
        text += f"@RG\tID:{library}\tSM:{library}\n"
        self.header = b"BAM\1" + _counted(text.encode("ascii")) + struct.pack("<i", len(references))
        for name, (_, length) in self.references.items():
            self.header += _counted(name.encode("ascii") + b"\0") + struct.pack("<i", length)
        self.library = library.encode("ascii")
        self.letters: dict = {}
        self.spill_path = self.path.with_name(f".{self.path.name}.blocks")
        self.spill = open(self.spill_path, "w+b")  # noqa: SIM115 - closed on leaving the block
        self.streams: dict[tuple[int, int, int], bgzf.Stream] = {}

    def add(self, reads, batches):
        """Take one chunk: mate 1's `Reads` (for the names), and for each batch target, rows, molecules, passing."""
        self._deal([self._molecules(reads, *batch) for batch in batches])

    def add_families(self, target, states):
        """Take families of molecules with one UMI each (see `umis.FamilyTally`): a record is a family's consensus."""
        bases, calls, first, last = consensus_text(target, states)
        known = np.flatnonzero(last > first)
        names = [f"{target.amplicon}_{target.strand}_family{i + 1}".encode("ascii") for i in known]
        quality = np.full(bases.shape[1], FAMILY_QUALITY, dtype=np.uint8)
        codes = NIBBLES[bases]
        records = [
            self._record(target, name, codes[i], quality, calls[i], None, (first[i], last[i]))
            for name, i in zip(names, known)
        ]
        letters = STATE_LETTERS[states[known][:, : len(target.cpgs)]]
        self._deal([(target, known, first[known], last[known], records, letters.__getitem__)])

    def write(self, entries: list[tuple]) -> None:
        """Take records, in the order of the input: reference, first offset, whether reverse, last offset, bytes."""
        if entries:
            *places, records = zip(*entries)
            reference, first, reverse, last = (np.array(place, dtype=np.int64) for place in places)
            self._stream(np.arange(len(records)), reference, first, reverse, last, records)

    def __enter__(self):
        """Begin."""
        return self

    def __exit__(self, kind, error, trace):
        """Write BAM and index; both appear whole or not at all."""
        part, index = (self.path.with_name(f".{self.path.name}.{end}") for end in ("part", "bai.part"))
        try:
            if kind is None:
                with open(part, "wb") as out:
                    index.write_bytes(self._finish(out))
                index.replace(f"{self.path}.bai")
                part.replace(self.path)
        finally:
            self.spill.close()
            for path in (self.spill_path, part, index):
                path.unlink(missing_ok=True)

    def _molecules(self, reads, target, rows, molecules, passing):
        """Records of one batch: target, rows in the chunk, where each begins and ends, and its bytes."""
        chosen = np.flatnonzero(passing)
        names, rows = _Names(reads, rows[chosen]), rows[chosen]
        covered, deleted = molecules.covered[chosen], molecules.deleted[chosen]
        first, last = planes.first(covered), planes.last(covered) + 1
        whole = (planes.count(covered) == last - first) & ~deleted.any(axis=1)
        codes, calls = self._texts(
            target, *(flags[chosen] for flags in (molecules.one, molecules.two, molecules.present))
        )
        lost = target.without_cpg(molecules)[chosen]
        rare = np.flatnonzero(lost.any(axis=1))
        if len(rare):
            row, offset = np.nonzero(planes.unpack(lost[rare], len(target)))
            calls[rare[row], offset] = DOT
        quality = molecules.qualities(chosen)
        records: list = [None] * len(chosen)
        shape = (first * (len(target) + 1) + last) * (LONGEST_NAME + 1) + names.length
        singles = np.flatnonzero(~whole).tolist()
        order = np.flatnonzero(whole)[np.argsort(shape[whole], kind="stable")]
        for group in np.split(order, np.flatnonzero(np.diff(shape[order])) + 1):
            if len(group) < FEW:
                singles += group.tolist()
                continue
            a, b = int(first[group[0]]), int(last[group[0]])
            filled = self._filled(
                target, names.block(group), codes[group], quality[group, a:b], calls[group, a:b], a, b
            )
            for i, record in zip(group.tolist(), filled):
                records[i] = record
        for i in singles:
            a, b = int(first[i]), int(last[i])
            gaps = None if whole[i] else (planes.unpack(flags[i : i + 1], b)[0, a:] for flags in (covered, deleted))
            single = np.stack([codes[i] >> 4, codes[i] & 15], axis=1).ravel()
            records[i] = self._record(target, names.one(i), single, quality[i], calls[i], gaps, (a, b))

        def letters(some):
            shown = molecules.shown(target.methylated), molecules.shown(target.unmethylated), molecules.good
            yes, no, good = (planes.unpack_columns(flags[chosen[some]], target.cpgs) for flags in shown)
            return STATE_LETTERS[np.where(yes, YES, np.where(no, NO, np.where(good, ELSE, NONE)))]

        return target, rows, first, last, records, letters

    def _texts(self, target, one, two, present):
        """BAM codes of the bases, two a byte, and Bismark's letters, of whole rows of flags."""
        codes = CODES[one.view(np.uint8) | two.view(np.uint8).astype(np.uint16) << 8]
        codes |= ABSENT[present.view(np.uint8)]
        key = target.amplicon, target.strand
        if key not in self.letters:
            self.letters[key] = _letter_tables(target, one.shape[1])
        calls = np.full((len(one), planes.BYTE * one.shape[1]), DOTS, dtype=np.uint64)
        at = np.arange(calls.shape[1]) * 256
        for table, base in zip(self.letters[key], (target.unmethylated, target.methylated)):
            calls += table[(present & planes.showing(one, two, base)).view(np.uint8) + at]
        return codes.view(np.uint8), calls.view(np.uint8)

    def _filled(self, target, names, codes, quality, calls, a, b):
        """Records of one shape, as a list of bytes: names, flags and cells differ, lengths do not."""
        head, tail = self._head(target, names.shape[1], [(b - a, MATCH)], b - a, a, b), self._tail(target)
        if a % 2:
            codes = (codes[:, :-1] << 4) | (codes[:, 1:] >> 4)
        codes = codes[:, a // 2 : a // 2 + (b - a + 1) // 2]
        if (b - a) % 2:
            codes = codes.copy()
            codes[:, -1] &= 0xF0
        before, cigar = head[:CORE], head[CORE:]
        parts = [before, names, cigar, codes, quality, b"XMZ", calls, tail]
        widths = [len(p) if isinstance(p, bytes) else p.shape[1] for p in parts]
        out = np.empty((len(names), sum(widths)), dtype=np.uint8)
        at = 0
        for part, width in zip(parts, widths):
            out[:, at : at + width] = np.frombuffer(part, dtype=np.uint8) if isinstance(part, bytes) else part
            at += width
        return out.view(f"V{at}").ravel().tolist()

    def _record(self, target, name, codes, quality, calls, gaps, ends):
        """One record. ``codes`` one a byte; ``gaps``: flags of covered and deleted offsets between the ends, if any."""
        a, b = ends
        cigar = [(b - a, MATCH)]
        codes, quality, calls = codes[a:b], quality[a:b], calls[a:b]
        if gaps is not None:
            cigar, kept = _cigar(*gaps)
            codes, quality, calls = codes[kept], quality[kept], calls[kept]
        size = len(codes)
        if size % 2:
            codes = np.append(codes, np.uint8(0))
        head = self._head(target, len(name) + 1, cigar, size, a, b)
        packed = (codes[::2] << 4) | codes[1::2]
        parts = [head[:CORE], name, b"\0", head[CORE:], packed.tobytes(), quality.tobytes(), b"XMZ", calls.tobytes()]
        return b"".join([*parts, self._tail(target)])

    def _head(self, target, name_length, cigar, size, a, b):
        """What stands before the name (`CORE` bytes), and the CIGAR that stands behind it."""
        flag = 0 if target.strand == "top" else 16
        operations = struct.pack(f"<{len(cigar)}I", *(length << 4 | code for length, code in cigar))
        body = CORE - 4 + name_length + len(operations) + (size + 1) // 2 + 2 * size + 3 + len(self._tail(target))
        place = self.references[target.amplicon][0], int(a), name_length, MAPPING_QUALITY, int(bgzf.bins_of(a, b))
        return struct.pack("<iiiBBHHHiiii", body, *place, len(cigar), flag, size, -1, -1, 0) + operations

    def _tail(self, target):
        """The tags behind XM, and the end of XM itself."""
        genome = b"CT" if target.strand == "top" else b"GA"
        return b"\0XRZCT\0XGZ" + genome + b"\0RGZ" + self.library + b"\0"

    def _deal(self, parts):
        """Hand a chunk's records to the streams of the places where they start, in the order of their rows."""
        records = [record for part in parts for record in part[4]]
        if not records:
            return
        number = [len(part[4]) for part in parts]
        place = [(self.references[t.amplicon][0], int(t.strand != "top")) for t, *_ in parts]
        reference, reverse = (np.repeat([p[i] for p in place], number) for i in (0, 1))
        rows, first, last = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
        self._stream(rows, reference, first, reverse, last, records)
        if self.sample is not None:
            begins = np.concatenate([[0], np.cumsum(number)])

            def describe(chosen):
                entries = []
                for (target, *_, letters), begin, end in zip(parts, begins, begins[1:]):
                    mine = chosen[(chosen >= begin) & (chosen < end)]
                    places = (values[mine].tolist() for values in (reference, first, reverse, last))
                    entries += zip(
                        zip(*places, [records[i] for i in mine]), [target.amplicon] * len(mine), letters(mine - begin)
                    )
                return entries

            self.sample.take(rows, describe)

    def _stream(self, rows, reference, first, reverse, last, records):
        order = np.lexsort((rows, reverse, first, reference))
        keys = np.stack([reference, first, reverse], axis=1)[order]
        bins, end = bgzf.bins_of(first, last)[order], ((last - 1) >> bgzf.WINDOW)[order]
        for run in np.split(np.arange(len(order)), np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1):
            key = tuple(keys[run[0]].tolist())
            stream = self.streams.setdefault(key, bgzf.Stream(self.spill))
            stream.add([records[i] for i in order[run]], bins[run], end[run])

    def _finish(self, out):
        """Write the BAM; return the bytes of its index."""
        whole, placed = bgzf.Joined(out, self.spill), {}
        whole.write(self.header)
        whole.flush()
        for key in sorted(self.streams):
            stream = self.streams[key]
            placed[key] = whole.size
            for block in stream.blocks:
                whole.copy(*block)
            whole.write(b"".join(stream.pending))
        whole.flush()
        whole.end()
        return bgzf.index_bytes([length for _, length in self.references.values()], self.streams, placed, whole)


class _Names:
    """Names of some reads, as BAM writes them: printable ASCII, ended by a zero."""

    def __init__(self, reads, rows):
        self.reads, self.start = reads, reads.name[rows]
        self.length = reads.name_length[rows]

    def block(self, group):
        """Names of one length, as rows of bytes."""
        length = int(self.length[group[0]])
        if not length:
            return np.tile(np.frombuffer(b"*\0", dtype=np.uint8), (len(group), 1))
        text = np.zeros((len(group), length + 1), dtype=np.uint8)
        text[:, :length] = windows(self.reads.data, self.start[group], length)
        text[:, :length][(text[:, :length] < ord("!")) | (text[:, :length] > ord("~"))] = ord("?")
        return text

    def one(self, i):
        """One name, without the zero."""
        return self.block(np.array([i]))[0, :-1].tobytes()


def _counted(data):
    return struct.pack("<i", len(data)) + data


def _pairs_of_bases():
    """BAM codes, two a byte, of eight bases given by their bits: index is ``one`` and, times 256, ``two``."""
    number = np.arange(1 << 16)
    bits = [((number >> j) & 1) + 2 * ((number >> (8 + j)) & 1) for j in range(8)]
    code = NIBBLES[planes.LETTERS]
    return np.stack([code[bits[j]] << 4 | code[bits[j + 1]] for j in (0, 2, 4, 6)], axis=1).view("<u4")[:, 0].copy()


def _absent_pairs():
    bits = ((np.arange(256)[:, None] >> np.arange(8)) & 1) == 0
    codes = bits * np.uint8(UNKNOWN)
    return np.ascontiguousarray(codes[:, ::2] << 4 | codes[:, 1::2]).view("<u4")[:, 0].copy()


CODES, ABSENT = _pairs_of_bases(), _absent_pairs()
DOTS = np.frombuffer(bytes([DOT]) * 8, dtype=np.uint64)[0]


def _letter_tables(target, words):
    """What eight converted, and eight methylated, bases add to eight dots, for each byte of a row of flags."""
    context = np.full(planes.BITS * words, DOT, dtype=np.uint8)
    context[: len(target)] = target.context
    bits = ((np.arange(256)[:, None] >> np.arange(8)) & 1).astype(np.uint8)
    tables = []
    for letters in (context, context - np.uint8(LOWER_TO_UPPER) * (context != DOT)):
        added = (letters - np.uint8(DOT)).reshape(-1, 1, 8) * bits
        tables.append(np.ascontiguousarray(added).view(np.uint64).ravel())
    return tables


def _cigar(covered, deleted):
    """CIGAR of a molecule with gaps (length and code), and which of its offsets the record's sequence holds."""
    codes = np.where(deleted, DELETION, np.where(covered, MATCH, SKIP))
    change = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    starts, ends = np.r_[0, change], np.r_[change, len(codes)]
    return [(int(e - s), int(codes[s])) for s, e in zip(starts, ends)], codes == MATCH
