"""Read files that are whole, damaged, or out of step."""

import gzip
import random
import threading
import tracemalloc

import dnaio
import numpy as np
import pandas as pd
import pytest

from hpaxis.methylation.counting.apart import read_length
from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.counting.reads import LONGEST_NAME, ahead, check_read_files, read_chunks
from hpaxis.problems import InputError

PAIRS = [(("ACGT" * 10, "I" * 40), ("TTGA" * 10, "I" * 40))] * 300


def messages(paths, **options):
    return [f"{p.file.rsplit('/', 1)[-1]}: {p.what}" for p in check_read_files(paths, **options)]


def test_good_files_have_no_problems_and_keep_their_pairs_in_order(bench):
    paths = bench.write(PAIRS)
    assert messages(paths) == []
    chunks = list(read_chunks(paths, chunk_bytes=1_000))
    assert len(chunks) > 10
    names = [r.text(r.name[i], r.name_length[i]) for chunk in chunks for r in chunk[:1] for i in range(len(r))]
    assert names == [b"read%d" % i for i in range(300)]
    one = chunks[0][0]
    assert one.text(one.sequence[1], one.length[1]) == b"ACGT" * 10
    assert one.text(one.quality[1], one.length[1]) == b"I" * 40


def test_names_lose_comment_and_mate_number(bench):
    paths = []
    for mate in (1, 2):
        path = bench.folder / f"old_{mate}.fastq"
        path.write_text(f"@r1/{mate}\nACGT\n+r1/{mate}\nIIII\n@r2/{mate} x\tq\nACG\n+\nIII")
        paths.append(path)
    chunks = list(read_chunks(paths))
    assert [one.text(a, n) for one, _ in chunks for a, n in zip(one.name, one.name_length)] == [b"r1", b"r2"]
    assert [int(n) for _, two in chunks for n in two.length] == [4, 3]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("r 1:N", "r 2:N", True), ("r/1 x", "r/2\ty", True), ("r", "r/2", True), ("r/1", "r", True),
        ("r\tx", "r", True), ("r", "rr", False), ("rr", "r", False), ("r", "s", False), ("r", "r/3", False),
        ("r/1", "r/12", False), ("r", "r/2x", False), ("abc", "abcd e", False),
    ],
)  # fmt: skip
def test_mates_have_one_id(tmp_path, first, second, same, ending):
    paths = [tmp_path / "one.fastq", tmp_path / "two.fastq"]
    for path, name in zip(paths, (first, second)):
        lines = [f"@{name}", "ACGT", "+", "IIII", "@next", "A", "+", "I", ""]
        path.write_bytes(ending.join(lines).encode())
    assert bool(check_read_files(paths)) is not same


def test_windows_line_ends_are_read(bench):
    paths = bench.write(PAIRS[:3], ending="\r\n")
    ((one, two),) = read_chunks(paths)
    assert one.length.tolist() == two.length.tolist() == [40] * 3
    assert one.text(one.quality[2], 41)[-1:] == b"\r"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda raw: raw[: len(raw) // 2], "bad_R1.fastq.gz: the gzip stream ends early"),
        (lambda raw: raw[:200] + bytes([raw[200] ^ 255]) + raw[201:], "bad_R1.fastq.gz: the gzip stream is damaged"),
    ],
)
def test_a_damaged_gzip_stream_is_named(bench, damage, expected):
    import random

    rng = random.Random(0)
    varied = [((("".join(rng.choice("ACGT") for _ in range(40))), "I" * 40),) * 2 for _ in range(300)]
    paths = bench.write(varied, "bad")
    paths[0].write_bytes(damage(paths[0].read_bytes()))
    assert messages(paths) == [expected]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (">a\nACGT\n>b\nACGT\n", "is not FASTQ: the first line does not begin with @"),
        ("@a\nACGT\n+\nIII\n@b\nACGT\n+\nIIII\n", "sequence and qualities differ in length"),
        ("@a\nACGT\n-\nIIII\n", "is not FASTQ: the third line of a record does not begin with +"),
        ("@a\nACGT\n+\nIIII\nb\nACGT\n+\nIIII\n", "is not FASTQ: a record does not begin with @"),
        ("@a\nACGT\n+\nIIII\n@b\nAC", "the last record is incomplete"),
    ],
)
def test_text_that_is_no_fastq_is_told_with_its_line(tmp_path, text, what):
    path = tmp_path / "x.fastq.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert [p.what for p in check_read_files([path])] == [what]
    assert all(p.row for p in check_read_files([path]))


@pytest.mark.parametrize("seed", range(60))
def test_any_fastq_is_read_as_dnaio_reads_it(tmp_path, seed):
    """Mates of unequal length, comments, mate numbers, either line end, with and without the last one, any chunk."""
    rng = random.Random(seed)
    names = [f"r{i}" + "x" * rng.choice([0, 0, 200]) for i in range(rng.randint(1, 40))]
    end, last = rng.choice(["\n", "\r\n"]), rng.random() < 0.5
    paths = []
    for mate in range(1, rng.randint(1, 2) + 1):
        longest, text = rng.choice([30, 60, 300]), ""
        for name in names:
            bases = "".join(rng.choices("ACGTN", k=rng.randint(1, longest)))
            quality = "".join(chr(rng.randint(33, 73)) for _ in bases)
            text += end.join([f"@{name}{rng.choice(['', f'/{mate}', ' c d'])}", bases, "+", quality, ""])
        path = tmp_path / f"{mate}.fastq{rng.choice(['', '.gz'])}"
        data = (text if last else text.removesuffix(end)).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        paths.append(path)
    found = [[] for _ in paths]
    for chunk in ahead(read_chunks(paths, rng.choice([0, 64, 448]), rng.choice([900, 1_000, 3_000]))):
        for records, mate in zip(found, chunk, strict=True):
            parts = ((mate.name, mate.name_length), (mate.sequence, mate.length), (mate.quality, mate.length))
            texts = [[mate.text(s, n).decode() for s, n in zip(*part, strict=True)] for part in parts]
            records += zip(*texts, strict=True)
    for records, path in zip(found, paths, strict=True):
        with dnaio.open(path) as expected:
            assert records == [(e.id.removesuffix("/1").removesuffix("/2"), e.sequence, e.qualities) for e in expected]


def test_what_is_read_ahead_hands_on_errors_and_ends_with_its_reader(bench, tmp_path):
    paths = bench.write(PAIRS)
    before = threading.active_count()
    chunks = ahead(read_chunks(paths, chunk_bytes=1_000))
    assert len(next(chunks)) == 2 and threading.active_count() == before + 1
    chunks.close()
    assert threading.active_count() == before
    paths[1].write_bytes(paths[1].read_bytes()[:-20])
    with pytest.raises(InputError, match="ends early"):
        list(ahead(read_chunks(paths, chunk_bytes=1_000)))
    assert threading.active_count() == before


def test_names_may_be_as_long_as_bam_holds(tmp_path):
    record = "\nACGT\n+\nIIII\n"
    paths = [tmp_path / f"x_R{mate}.fastq" for mate in (1, 2)]
    for path in paths:
        path.write_text(f"@a{record}@{'b' * LONGEST_NAME} {'comment' * 500}{record}")
    assert messages(paths) == []
    paths[0].write_text(f"@a{record}@{'b' * (LONGEST_NAME + 1)}{record}")
    (problem,) = check_read_files(paths)
    assert problem.row == 5 and "longer than 254 characters" in problem.what
    # One long line among many records must not be copied for each of them.
    paths[0].write_text(f"@{'b' * 50_000}{record}" + f"@c{record}" * 200_000)
    tracemalloc.start()
    try:
        assert [p.row for p in check_read_files(paths[:1])] == [1]
        # 255 bytes a record, and flags of them; with the whole line it would be 10 GB.
        assert tracemalloc.get_traced_memory()[1] < 300_000_000
    finally:
        tracemalloc.stop()


def test_mates_out_of_step_are_told_by_name_or_number(bench):
    paths = bench.write(PAIRS[:4], names=["a", "b", "c", "d"])
    other = bench.write(PAIRS[:4], "other", names=["a", "c", "b", "d"])
    assert messages([paths[0], other[1]]) == [
        "other_R2.fastq.gz: mates are out of step: the read's name is not that of reads_R1.fastq.gz"
    ]
    assert check_read_files([paths[0], other[1]])[0].row == 5
    short = bench.write(PAIRS[:3], "short", names=["a", "b", "c"])
    assert messages([paths[0], short[1]]) == [
        "short_R2.fastq.gz: mates are out of step: 4 and 3 reads in the two files"
    ]


def test_an_empty_library_is_a_problem_unless_it_may_be_empty(bench):
    paths = bench.write([])
    assert messages(paths) == ["reads_R1.fastq.gz: holds no reads", "reads_R2.fastq.gz: holds no reads"]
    assert messages(paths, may_be_empty=True) == []


def test_missing_files_are_named(tmp_path):
    assert messages([tmp_path / "no_R1.fastq.gz"]) == ["no_R1.fastq.gz: no such file"]
    with pytest.raises(InputError, match="cannot be opened"):
        list(read_chunks([tmp_path / "no_R1.fastq.gz"]))


def test_interleaved_mates_and_pairs_that_come_twice_are_refused(bench):
    pair = bench.pair(bench.molecule())
    both = [(pair[0],), (pair[1],)] * 3
    single = bench.write(both, names=[f"read{i // 2}" for i in range(6)])[:1]
    (problem,) = check_read_files(single)
    assert "interleaved" in problem.what and problem.row == 5 and "fastq_2" in problem.remedy
    twice = bench.write([pair] * 4, names=["a", "b", "b", "c"])
    assert [(p.what, p.row) for p in check_read_files(twice)] == [("holds two pairs of one name running", 9)]
    # Across chunks too, and names of other lengths or one that comes again later are no fault.
    assert check_read_files(bench.write([pair] * 5, names=["a", "aa", "b", "a", "ba"])) == []
    with pytest.raises(InputError, match="one name running"):
        list(read_chunks(bench.write([pair] * 4, names=["a", "b", "c", "c"]), chunk_bytes=700))


def test_rows_of_interleaved_files_count_reads_not_pairs(bench, tmp_path):
    def row_of(names, size=None):
        path = tmp_path / "i.fastq"
        path.write_text("".join(f"@{name}\nACGTACGT\n+\nIIIIIIII\n" for name in names))
        more = {"chunk_bytes": size} if size else {}
        with pytest.raises(InputError) as raised:
            list(read_chunks([path], interleaved=True, **more))
        return raised.value.problems[0].row

    # The third pair, a repeat of the second, begins with the fifth record.
    assert row_of(["a", "a", "b", "b", "b", "b"]) == row_of(["a", "a", "b", "b", "b", "b"], 60) == 17
    assert row_of(["a", "a", "b" * 300, "b" * 300]) == 9


def test_qualities_of_the_old_kind_are_refused(bench):
    old = [tuple((bases, "h" * 60 + "B" * 40) for bases, _ in bench.pair(bench.molecule()))] * 30
    problems = check_read_files(bench.write(old))
    assert [p.what[:32] for p in problems] == ["has qualities of an old kind (Ph"] * 2
    # Good reads of one quality, those of a long-read sequencer, and too few to say are let through.
    for quality in ("I", "K", "~"):
        pairs = [bench.pair(bench.molecule(), quality=quality)] * 30
        assert check_read_files(bench.write(pairs)) == []
    assert check_read_files(bench.write(old[:5])) == []


def test_lanes_are_one_library(bench):
    pairs = [bench.pair(bench.molecule((i % 7,)), turned=i % 2 > 0) for i in range(12)]
    whole = bench.count(pairs)
    one, two = (bench.write(part, name, [f"{name}{i}" for i in range(6)]) for name, part in
                (("a", pairs[:6]), ("b", pairs[6:])))  # fmt: skip
    paths = [one[0], two[0], one[1], two[1]]
    lanes = count_library(paths, bench.panel(), "L1", lanes=2)
    for name in ("counts", "patterns", "reads", "conversion", "cycles", "sites"):
        pd.testing.assert_frame_equal(getattr(lanes, name), getattr(whole, name))
    assert lanes.lanes["pairs_in"].tolist() == lanes.lanes["passed"].tolist() == [6, 6]
    assert check_read_files(paths, lanes=2) == []
    # Mates are held against each other within a lane.
    assert check_read_files([one[0], two[0], two[1], one[1]], lanes=2)


def both(reads):
    """Texts of mates 1 and 2 of the chunks of `read_chunks`."""
    return [
        (one.text(one.sequence[i], one.length[i]), two.text(two.sequence[i], two.length[i]),
         one.text(one.name[i], one.name_length[i]))
        for one, two in reads for i in range(len(one))
    ]  # fmt: skip


@pytest.mark.parametrize("marks", [("", ""), ("/1", "/2"), (".1", ".2"), ("_R1", "_R2"), ("_1", "_2")])
@pytest.mark.parametrize("chunk", [1_000, 4_000_000])
def test_names_may_end_in_any_mark_of_the_mate_and_mates_may_be_interleaved(bench, marks, chunk):
    rng = np.random.default_rng(2)
    pairs = [bench.pair(bench.molecule(np.flatnonzero(rng.random(7) < 0.5).tolist())) for _ in range(9)]
    records = [[f"@r.{i}{marks[m]} c\n{pair[m][0]}\n+\n{pair[m][1]}\n" for m in (0, 1)] for i, pair in enumerate(pairs)]
    apart = [bench.folder / f"x_R{m + 1}.fastq" for m in (0, 1)]
    for m, path in enumerate(apart):
        path.write_text("".join(r[m] for r in records))
    one = bench.folder / "x.fastq"
    one.write_text("".join(a + b for a, b in records))
    wanted = [(a[0].encode(), b[0].encode(), f"r.{i}".encode()) for i, (a, b) in enumerate(pairs)]
    assert both(read_chunks(apart, chunk_bytes=chunk)) == wanted
    assert both(read_chunks([one], chunk_bytes=chunk, interleaved=True)) == wanted
    assert check_read_files([one], interleaved=True) == []
    assert read_length([one], interleaved=True) == read_length(apart) == 100
    counts = [count_library(p, bench.panel(), "L1", interleaved=len(p) == 1).counts for p in (apart, [one])]
    assert counts[0].equals(counts[1])


def test_a_first_reads_number_is_no_mark_of_its_mate(bench):
    """Archives number reads behind a point: of both mates the first ends in .1, the second in .2."""
    paths = bench.write([bench.pair(bench.molecule())] * 3, names=["SRR7.1", "SRR7.2", "SRR7.3"])
    assert [name for *_, name in both(read_chunks(paths))] == [b"SRR7.1", b"SRR7.2", b"SRR7.3"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("@a\nAC\n+\nII\n", "odd number"),
        ("@a\nAC\n+\nII\n@a\nAC\n+\nII\n@b\nAC\n+\nII\n", "odd number"),
        ("@a\nAC\n+\nII\n@b\nAC\n+\nII\n", "does not hold both mates"),
    ],
)
def test_what_is_not_interleaved_is_refused(tmp_path, text, what):
    path = tmp_path / "x.fastq"
    path.write_text(text)
    assert what in check_read_files([path], interleaved=True)[0].what


@pytest.mark.parametrize("tail", ["\n", "\n\n", "\n\n\n\n", "\r\n", "\n\r\n"])
@pytest.mark.parametrize("chunk", [25, 4_000_000])
def test_blank_lines_at_the_end_are_no_reads(tmp_path, tail, chunk):
    path = tmp_path / "x.fastq"
    path.write_bytes(("@a\nACGT\n+\nIIII\n@b\nACGT\n+\nIIII\n" + tail).encode())
    assert sum(len(r[0]) for r in read_chunks([path], chunk_bytes=chunk)) == 2
    # A last read of no bases keeps the blank line that is its own.
    path.write_bytes(b"@a\nACGT\n+\nIIII\n@b\n\n+\n\n" + tail.encode())
    assert [r[0].length.tolist() for r in read_chunks([path])] == [[4, 0]]


def test_a_blank_line_within_is_still_refused(tmp_path):
    path = tmp_path / "x.fastq"
    path.write_text("@a\nACGT\n+\nIIII\n\n@b\nACGT\n+\nIIII\n")
    assert check_read_files([path])
