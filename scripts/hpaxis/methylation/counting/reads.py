"""Read FASTQ in chunks of arrays: bytes stay in one buffer, and records are offsets into it."""

import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from isal import igzip_lib
from xopen import xopen

from hpaxis.problems import InputError, Problem

# Larger chunks cost cache, smaller ones more calls of NumPy: measured.
CHUNK_BYTES = 4_000_000
# What the decompressors raise for streams that end early or are damaged.
STREAM_ERRORS = (EOFError, OSError, ValueError, zlib.error, igzip_lib.IsalError)
# The longest name of a read that BAM holds (SAM specification, QNAME).
LONGEST_NAME = 254
# Zero bytes behind the text, for windows that begin in the last read; more are added where a line is longer.
ROOM = 1_000
NEWLINE, RETURN, AT, PLUS, SPACE, TAB = (ord(c) for c in "\n\r@+ \t")
# How read names may mark their mate. But for the slash a mark counts only where the first reads of both
# mates bear it: a name may well end in .1 because it is the first read.
MARKS = ("/", ".", "_R", "_")
MARKED = 1_000


@dataclass(frozen=True)
class Reads:
    """Consecutive records of one FASTQ file.

    ``data`` (bytes) is the text of the records with other bytes before and after it, so that neither a window of the
    caller's ``pad`` bytes that touches a read nor one as long as the longest name leaves the buffer. The other arrays
    give, for each record, where in ``data`` its parts begin and how long they are; ``name`` excludes ``@``, the
    comment, and a final mark of the mate (`MARKS`).
    """

    data: np.ndarray
    name: np.ndarray
    name_length: np.ndarray
    sequence: np.ndarray
    quality: np.ndarray
    length: np.ndarray

    def __len__(self):
        return len(self.sequence)

    def text(self, start, length):
        """The bytes of one part."""
        return self.data[start : start + length].tobytes()


def windows(data, at, width):
    """Copies of the ``width`` bytes of a contiguous buffer that begin at each place of ``at``, along a last axis."""
    # As one item each: NumPy copies them twice as fast as rows of bytes.
    items = np.ndarray(len(data) - width + 1, dtype=f"V{width}", buffer=data, strides=(1,))
    return items[at][..., None].view(np.uint8)


def lane_paths(paths, lanes=1):
    """The file or pair of files of each lane, from mates 1 of all lanes followed by mates 2 of all lanes."""
    return [[Path(p) for p in paths[lane::lanes]] for lane in range(lanes)]


def read_chunks(paths, pad=0, chunk_bytes=CHUNK_BYTES, interleaved=False):
    """Yield a list of `Reads`, one for each of the one or two files, holding the same pairs in the same order.

    ``interleaved``: one file holds both mates of each pair, one behind the other; two `Reads` are yielded.

    One chunk is in hand at a time, so memory does not grow with depth. Raises `InputError` when a file is no gzip or
    FASTQ, ends too early, or the mates are out of step.
    """
    paths, first = [Path(p) for p in paths], 1
    last, mark = b"", MARKS[0]
    for texts in _texts(paths, pad, chunk_bytes, 2 if interleaved else 1):
        if interleaved:
            both = _parse(paths[0], *texts[0], 2 * first - 1)
            reads, paths = [_every_second(both, i) for i in (0, 1)], [paths[0]] * 2
        else:
            reads = [_parse(path, *text, first) for path, text in zip(paths, texts, strict=True)]
        if first == 1 and len(reads) == 2:
            mark = _find_mark(reads)
        step = 2 if interleaved else 1
        length = _name_lengths(paths[0], reads[0], first, mark, step)
        last = _check_names(paths, reads[0], length, first, last, step)
        if first == 1:
            _check_phred(paths, reads)
        if len(reads) == 2:
            _check_mates(paths, reads, length, first, mark, interleaved)
        yield [replace(r, name_length=length) for r in reads]
        first += len(length)


def ahead(items):
    """Yield what an iterator yields, while a thread makes the next item: decompression needs no lock of Python's."""
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = worker.submit(next, items, None)
            yield item


def _every_second(reads, begin):
    parts = (reads.name, reads.name_length, reads.sequence, reads.quality, reads.length)
    return Reads(reads.data, *(np.ascontiguousarray(part[begin::2]) for part in parts))


def check_read_files(paths, may_be_empty=False, lanes=1, interleaved=False):
    """Read one library's files through once; return what is wrong with them, one `Problem` a fault.

    Costs a decompression (some 300 MB of text a second). ``may_be_empty`` is for a no-template control; ``lanes`` as
    for `lane_paths`, ``interleaved`` as for `read_chunks`.
    """
    missing = [p for p in paths if not Path(p).is_file()]
    if missing:
        return [Problem(str(p), "no such file", "correct the path in the libraries sheet") for p in missing]
    total, problems = 0, []
    for files in lane_paths(paths, lanes):
        try:
            total += sum(len(reads[0]) for reads in read_chunks(files, interleaved=interleaved))
        except InputError as error:
            problems += error.problems
    if problems:
        return problems
    if total == 0 and not may_be_empty:
        remedy = "take the library out of the sheet, or declare it a no_template control"
        return [Problem(str(p), "holds no reads", remedy) for p in paths]
    return []


def _open(path):
    try:
        return xopen(path, "rb", threads=0)
    except OSError as error:
        raise InputError(
            Problem(str(path), f"cannot be opened ({error.strerror or error})", "give a FASTQ file")
        ) from None


def _texts(paths, pad, size, multiple=1):
    """Yield for each file as many whole records as all hold of about ``size`` bytes, as `_Stream.take` returns them.

    Their number is a ``multiple`` of what is asked for.
    """
    with ExitStack() as opened:
        streams = [_Stream(opened.enter_context(_open(path))) for path in paths]
        first = True
        while True:
            try:
                number = min([stream.fill(pad, size) for stream in streams])
            except STREAM_ERRORS as error:
                raise InputError(_stream_problems(paths, error)) from None
            begun = [stream for stream in streams if stream.end > pad]
            if not begun:
                return
            if number % multiple and streams[0].ended and number < multiple:
                what = "holds an odd number of reads, where mates are declared interleaved"
                raise InputError(Problem(str(paths[0]), what, "give a file of pairs, or write no in interleaved"))
            number -= number % multiple
            if not number or (first and any(stream.data[pad] != AT for stream in begun)):
                raise InputError(_stream_problems(paths, "a record is longer than a chunk"))
            yield [stream.take(number, pad) for stream in streams]
            first = False


class _Stream:
    """The text of one file, in buffers that begin with a record."""

    def __init__(self, handle):
        self.handle, self.rest, self.ended = handle, b"", False

    def fill(self, pad, size):
        """Read on until a new buffer holds ``size`` bytes of text; find its whole records and return their number."""
        self.data = np.empty(size + 2 * pad + ROOM, dtype=np.uint8)
        self.end = pad + len(self.rest)
        self.data[:pad] = 0
        self.data[pad : self.end] = np.frombuffer(self.rest, dtype=np.uint8)
        with memoryview(self.data) as room:
            while self.end < pad + size and not self.ended:
                read = self.handle.readinto(room[self.end : pad + size])
                self.end += read
                self.ended = not read
        # What a small file leaves empty is never touched.
        self.data = self.data[: self.end + pad + ROOM]
        self.data[self.end :] = 0
        self.lines = np.flatnonzero(self.data[pad : self.end] == NEWLINE) + pad
        if self.ended and self.end > pad and self.data[self.end - 1] != NEWLINE:
            self.lines = np.append(self.lines, self.end)  # a file may end without a newline
        if self.ended:
            self._drop_blank_lines(pad)
        return len(self.lines) // 4

    def _drop_blank_lines(self, pad):
        """A file may end with blank lines; a last record of no bases ends with one too, which is its own."""
        starts = np.concatenate([[pad], self.lines[:-1] + 1]) if len(self.lines) else self.lines
        blank = self.lines - starts <= (self.data[np.maximum(self.lines - 1, 0)] == RETURN)
        n = len(self.lines)
        while n and blank[n - 1] and (n % 4 or blank[n - 4 : n].all()):
            n -= 1 if n % 4 else 4
        if n < len(self.lines):
            self.end = int(self.lines[n - 1]) + 1 if n else pad
            self.lines = self.lines[:n]

    def take(self, number, pad):
        """The first records of the buffer: its bytes, and where their lines start and end. Others wait for the next."""
        ends = self.lines[: 4 * number]
        starts = np.concatenate([[pad], ends[:-1] + 1])
        after = min(int(ends[-1]) + 1, self.end)
        self.rest = self.data[after : self.end].tobytes()
        missing = after + pad + int((ends - starts).max()) - len(self.data)
        data = self.data if missing <= 0 else np.concatenate([self.data, np.zeros(missing, dtype=np.uint8)])
        return data, starts, ends


def _not_gzip(path):
    """Return ``(what, remedy)`` for a file that cannot be decompressed, by how it begins."""
    with open(path, "rb") as file:
        begins = file.read(40).lstrip()
    if begins.startswith(b"@"):
        return "is not compressed, although its name ends in .gz", "compress it with gzip, or rename it"
    if begins.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself", "fetch the file: git lfs pull"
    if begins.startswith(b"<"):
        return "is a web page, not a FASTQ file", "download the file again"
    return "the gzip stream is damaged", "copy or sequence the file again"


def _stream_problems(paths, error):
    """Find which of the files ends early or is damaged; both are read, since the error names neither."""
    problems, records = [], []
    for path in paths:
        try:
            with _open(path) as handle:
                records.append(_count_records(path, handle))
        except InputError as fault:
            problems += fault.problems
        except EOFError:
            problems.append(Problem(str(path), "the gzip stream ends early", "copy or sequence the file again"))
        except STREAM_ERRORS:
            problems.append(Problem(str(path), *_not_gzip(path)))
    if not problems and len(set(records)) > 1:
        shown = " and ".join(str(n) for n in records)
        problems.append(
            Problem(
                str(paths[1]), f"mates are out of step: {shown} reads in the two files", "give the files of one run"
            )
        )
    return problems or [Problem(str(paths[0]), f"cannot be read as FASTQ ({error})", "give a FASTQ file")]


def _count_records(path, handle):
    lines, last, first, tail = 0, b"\n", b"", b""
    while block := handle.read(CHUNK_BYTES):
        first = first or block[:1]
        lines += block.count(b"\n")
        last, tail = block[-1:], block[-100:]
    lines += last != b"\n"
    while lines % 4 and tail.replace(b"\r", b"").endswith(b"\n\n"):
        lines, tail = lines - 1, tail.replace(b"\r", b"")[:-1]
    if first not in (b"", b"@"):
        raise InputError(
            Problem(str(path), "is not FASTQ: the first line does not begin with @", "give a FASTQ file", 1)
        )
    if lines % 4:
        raise InputError(Problem(str(path), "the last record is incomplete", "copy or sequence the file again", lines))
    return lines // 4


def _parse(path, data, starts, ends, first):
    """`Reads` of records whose lines start and end at these places of a buffer."""
    ends = ends - (data[ends - 1] == RETURN)
    name, sequence, plus, quality = np.ascontiguousarray(starts.reshape(-1, 4).T)
    name_end, sequence_end, _, quality_end = np.ascontiguousarray(ends.reshape(-1, 4).T)
    length = sequence_end - sequence
    _check_records(path, data, name, plus, length, quality_end - quality, first)
    header_length = name_end - name - 1  # `read_chunks` puts that of the id in its place
    return Reads(data, name + 1, header_length, sequence, quality, length)


def _check_records(path, data, name, plus, length, quality_length, first):
    for bad, what in (
        (data[name] != AT, "is not FASTQ: a record does not begin with @"),
        (data[plus] != PLUS, "is not FASTQ: the third line of a record does not begin with +"),
        (length != quality_length, "sequence and qualities differ in length"),
    ):
        if bad.any():
            row = _row_of(first + int(np.argmax(bad)), 1)
            raise InputError(Problem(str(path), what, "copy or sequence the file again", row))


def _find_mark(reads):
    """The mark by which names of mates differ in the first reads of both; a slash where there is none."""
    for mark in MARKS[1:]:
        marked = []
        for number, mate in enumerate(reads, start=1):
            rows = range(min(len(mate), MARKED))
            names = [mate.text(mate.name[i], mate.name_length[i]).split(maxsplit=1) for i in rows]
            ending = f"{mark}{number}".encode("ascii")
            marked.append(bool(names) and all(n and n[0].endswith(ending) and len(n[0]) > len(ending) for n in names))
        if all(marked):
            return mark
    return MARKS[0]


def _row_of(number, step):
    """The line on which a file's read begins: the first is number 1, and every ``step``-th record is one of them."""
    return 4 * step * (number - 1) + 1


def _name_lengths(path, reads, first, mark, step):
    """Length of each read's id: up to the header's first blank, without a final mark of the mate, such as /1 or /2."""
    data, start, header_length = reads.data, reads.name, reads.name_length
    blank = _is_blank(windows(data, start, min(int(header_length.max(initial=1)), LONGEST_NAME + 1)))
    at = blank.argmax(axis=1)
    length = np.minimum(np.where(blank[np.arange(len(blank)), at], at, header_length), header_length)
    if (length > LONGEST_NAME).any():
        row = _row_of(first + int(np.argmax(length > LONGEST_NAME)), step)
        what = f"a read's name is longer than {LONGEST_NAME} characters, the most that BAM holds"
        raise InputError(Problem(str(path), what, "shorten the names", row))
    size = len(mark) + 1
    return length - size * ((length > size) & _is_mate_number(data, start + length - size, mark))


def _check_names(paths, reads, length, first, last, step):
    """Raise `InputError` where a name comes twice running; ``last``: the name before the chunk. Returns its last."""
    data, start = reads.data, reads.name
    # Names differ in their ends, if at all: only where eight bytes agree are whole names compared.
    end = windows(data, np.maximum(start + length - 8, 0), 8).view(np.uint64)[:, 0]

    def name(i):
        return reads.text(start[i], length[i])

    alike = (end[1:] == end[:-1]) | (start[:-1] + length[:-1] < 8)  # a first name has no eight bytes before its end
    likely = (np.flatnonzero(alike & (length[1:] == length[:-1])) + 1).tolist()
    if len(reads) and last and last == name(0):
        likely.insert(0, 0)
    for i in likely:
        if i == 0 or name(i) == name(i - 1):
            row = _row_of(first + i, step)
            if len(paths) == 1:
                what, remedy = "holds two reads of one name running: mates of pairs, interleaved", (
                    "write yes in the column interleaved, or split it into fastq_1 and fastq_2"
                )  # fmt: skip
            else:
                what, remedy = "holds two pairs of one name running", "give each pair once"
            raise InputError(Problem(str(paths[0]), what, remedy, row))
    return name(len(reads) - 1) if len(reads) else last


# Characters of qualities: the lowest that Phred+64 writes for a called base, and what the best of Phred+33 lies below.
LOWEST_64, HIGHEST_33, HIGHEST_64 = 64, 84, 106
JUDGED, LEAST_JUDGED = 2_000, 25


def _check_phred(paths, reads):
    """Raise `InputError` where the first reads' qualities can only be written as Phred+64."""
    problems = []
    for path, mate in zip(paths, reads, strict=True):
        judged = np.arange(min(len(mate), JUDGED))
        width = int(mate.length[judged].max(initial=0))
        if len(judged) < LEAST_JUDGED or not width:
            continue
        letters = windows(mate.data, mate.quality[judged], width)
        letters = letters[np.arange(width) < mate.length[judged, None]]
        if letters.min() >= LOWEST_64 and HIGHEST_33 <= letters.max() <= HIGHEST_64:
            what = "has qualities of an old kind (Phred+64): taken for Phred+33 every base would look good"
            problems.append(Problem(str(path), what, "convert them, for example by seqtk seq -Q64 -V", 4))
    if problems:
        raise InputError(problems)


def _is_blank(letters):
    return (letters == SPACE) | (letters == TAB)


def _is_mate_number(data, at, mark):
    found = (data[at + len(mark)] == ord("1")) | (data[at + len(mark)] == ord("2"))
    for i, letter in enumerate(mark):
        found &= data[at + i] == ord(letter)
    return found


def _check_mates(paths, reads, length, first, mark, interleaved=False):
    """Raise `InputError` where the second mate's id is not the first's."""
    two = reads[1]
    width = int(length.max(initial=1))
    names = [windows(r.data, r.name, width) for r in reads]
    wrong = ((names[0] != names[1]) & (np.arange(width) < length[:, None])).any(axis=1)
    end = two.name + length
    numbered = end + (len(mark) + 1) * _is_mate_number(two.data, end, mark)
    wrong |= (numbered != two.name + two.name_length) & ~_is_blank(two.data[numbered])
    if wrong.any():
        at = first - 1 + int(np.argmax(wrong))
        if interleaved:
            what, remedy = (
                "does not hold both mates of a pair running: names differ",
                "give pairs, one behind the other",
            )
            raise InputError(Problem(str(paths[0]), what, remedy, 8 * at + 5))
        row = 4 * at + 1
        what = f"mates are out of step: the read's name is not that of {paths[0].name}"
        raise InputError(Problem(str(paths[1]), what, "give the files of one run, in the same order", row))
