"""Read FASTQ in chunks of arrays: bytes stay in one buffer, and records are offsets into it."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import dnaio
import numpy as np
from isal import igzip_lib
from xopen import xopen

from hpaxis.problems import InputError, Problem

# Larger chunks cost cache, smaller ones more calls of NumPy: measured.
CHUNK_BYTES = 4_000_000
# What the decompressors and dnaio raise for streams that end early, are damaged, or are no FASTQ.
STREAM_ERRORS = (EOFError, OSError, ValueError, OverflowError, zlib.error, igzip_lib.IsalError, dnaio.FileFormatError)
NEWLINE, RETURN, AT, PLUS, SPACE, TAB, SLASH = (ord(c) for c in "\n\r@+ \t/")


@dataclass(frozen=True)
class Reads:
    """Consecutive records of one FASTQ file.

    ``data`` (bytes) is the text of the records with zero bytes before and after it, so that a window of the
    caller's ``pad`` bytes that touches a read never leaves the buffer. The other arrays give, for each record, where
    in ``data`` its parts begin and how long they are; ``name`` excludes ``@``, the comment, and a final ``/1`` or
    ``/2``.
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


def windows(data, width):
    """All windows of ``width`` bytes of a buffer, by their first byte; a view, so only the rows taken are copied."""
    return np.lib.stride_tricks.as_strided(data, (len(data) - width + 1, width), (1, 1), writeable=False)


def read_chunks(paths, pad=0, chunk_bytes=CHUNK_BYTES, threads=0):
    """Yield a list of `Reads`, one for each of the one or two files, holding the same pairs in the same order.

    One chunk is in hand at a time, so memory does not grow with depth. With ``threads`` of 1 each file is decompressed
    ahead, in a thread of its own. Raises `InputError` when a file is no gzip or FASTQ, ends too early, or the mates are
    out of step.
    """
    paths = [Path(p) for p in paths]
    handles, first = [], 1
    try:
        for path in paths:
            handles.append(_open(path, threads))
        for buffers in _raw_chunks(paths, handles, chunk_bytes):
            reads = [_parse(path, buffer, pad, first) for path, buffer in zip(paths, buffers)]
            if len({len(r) for r in reads}) > 1:
                raise InputError(_stream_problems(paths, "the files differ in length"))
            length = _name_lengths(reads[0])
            if len(reads) == 2:
                _check_mates(paths, reads, length, first)
            yield [replace(r, name_length=length) for r in reads]
            first += len(reads[0])
    finally:
        for handle in handles:
            handle.close()


def check_read_files(paths, may_be_empty=False):
    """Read one library's files through once; return what is wrong with them, one `Problem` a fault.

    Costs a decompression (some 300 MB of text a second). ``may_be_empty`` is for a no-template control.
    """
    missing = [p for p in paths if not Path(p).is_file()]
    if missing:
        return [Problem(str(p), "no such file", "mend the path in the libraries sheet") for p in missing]
    try:
        total = sum(len(reads[0]) for reads in read_chunks(paths))
    except InputError as error:
        return error.problems
    if total == 0 and not may_be_empty:
        remedy = "take the library out of the sheet, or declare it a no_template control"
        return [Problem(str(p), "holds no reads", remedy) for p in paths]
    return []


def _open(path, threads=0):
    try:
        return xopen(path, "rb", threads=threads)
    except OSError as error:
        raise InputError(
            Problem(str(path), f"cannot be opened ({error.strerror or error})", "give a FASTQ file")
        ) from None


def _raw_chunks(paths, handles, chunk_bytes):
    try:
        if len(handles) == 1:
            for chunk in dnaio.read_chunks(handles[0], chunk_bytes):
                yield [chunk]
        else:
            yield from dnaio.read_paired_chunks(*handles, chunk_bytes)
    except STREAM_ERRORS as error:
        raise InputError(_stream_problems(paths, error)) from None


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
            problems.append(Problem(str(path), "the gzip stream is damaged", "copy or sequence the file again"))
    if not problems and len(set(records)) > 1:
        shown = " and ".join(str(n) for n in records)
        problems.append(
            Problem(
                str(paths[1]), f"mates are out of step: {shown} reads in the two files", "give the files of one run"
            )
        )
    return problems or [Problem(str(paths[0]), f"cannot be read as FASTQ ({error})", "give a FASTQ file")]


def _count_records(path, handle):
    lines, last, first = 0, b"\n", b""
    while block := handle.read(CHUNK_BYTES):
        first = first or block[:1]
        lines += block.count(b"\n")
        last = block[-1:]
    lines += last != b"\n"
    if first not in (b"", b"@"):
        raise InputError(
            Problem(str(path), "is not FASTQ: the first line does not begin with @", "give a FASTQ file", 1)
        )
    if lines % 4:
        raise InputError(Problem(str(path), "the last record is incomplete", "copy or sequence the file again", lines))
    return lines // 4


def _parse(path, buffer, pad, first):
    text = np.frombuffer(buffer, dtype=np.uint8)
    ends = np.flatnonzero(text == NEWLINE)
    if len(text) and text[-1] != NEWLINE:
        ends = np.append(ends, len(text))  # a file may end without a newline
    if len(ends) % 4:
        raise InputError(
            Problem(str(path), "a record is incomplete", "copy or sequence the file again", 4 * first - 3 + len(ends))
        )
    margin = pad + int(np.diff(ends, prepend=0).max(initial=0))
    data = np.empty(len(text) + 2 * margin + 1, dtype=np.uint8)
    data[:margin], data[margin : margin + len(text)], data[margin + len(text) :] = 0, text, 0
    ends = ends + margin
    starts = np.concatenate([[margin], ends[:-1] + 1]).astype(np.int64) if len(ends) else ends
    lines_end = ends - (data[ends - 1] == RETURN)
    starts, lines_end = starts.reshape(-1, 4), lines_end.reshape(-1, 4)
    name, sequence, plus, quality = starts.T
    length = lines_end[:, 1] - sequence
    _check_records(path, data, name, plus, length, lines_end[:, 3] - quality, first)
    header_length = lines_end[:, 0] - name - 1  # `read_chunks` puts that of the id in its place
    return Reads(data, name + 1, header_length, sequence, quality, length)


def _check_records(path, data, name, plus, length, quality_length, first):
    for bad, what in (
        (data[name] != AT, "is not FASTQ: a record does not begin with @"),
        (data[plus] != PLUS, "is not FASTQ: the third line of a record does not begin with +"),
        (length != quality_length, "sequence and qualities differ in length"),
    ):
        if bad.any():
            row = 4 * (first - 1 + int(np.argmax(bad))) + 1
            raise InputError(Problem(str(path), what, "copy or sequence the file again", row))


def _name_lengths(reads):
    """Length of each read's id: up to the header's first blank, without a final /1 or /2."""
    data, start, header_length = reads.data, reads.name, reads.name_length
    blank = _is_blank(windows(data, int(header_length.max(initial=1)))[start])
    first = blank.argmax(axis=1)
    length = np.minimum(np.where(blank[np.arange(len(blank)), first], first, header_length), header_length)
    return length - 2 * ((length > 2) & _is_mate_number(data, start + length - 2))


def _is_blank(letters):
    return (letters == SPACE) | (letters == TAB)


def _is_mate_number(data, at):
    return (data[at] == SLASH) & ((data[at + 1] == ord("1")) | (data[at + 1] == ord("2")))


def _check_mates(paths, reads, length, first):
    """Raise `InputError` where the second mate's id is not the first's."""
    two = reads[1]
    width = int(length.max(initial=1))
    names = [windows(r.data, width)[r.name] for r in reads]
    wrong = ((names[0] != names[1]) & (np.arange(width) < length[:, None])).any(axis=1)
    end = two.name + length
    numbered = end + 2 * _is_mate_number(two.data, end)
    wrong |= (numbered != two.name + two.name_length) & ~_is_blank(two.data[numbered])
    if wrong.any():
        row = 4 * (first - 1 + int(np.argmax(wrong))) + 1
        what = f"mates are out of step: the read's name is not that of {paths[0].name}"
        raise InputError(Problem(str(paths[1]), what, "give the files of one run, in the same order", row))
