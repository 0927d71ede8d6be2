"""The BAM says what the counts say, in Bismark's words, and other readers of it agree."""

import itertools

import numpy as np
import pysam
import pytest

from hpaxis.methylation.counting import bam as bam_module
from hpaxis.methylation.counting import bgzf
from hpaxis.methylation.counting.bam import BamWriter
from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.panels.panel import reverse_complement


def write_bam(bench, pairs, panel=None, name="out", **options):
    panel = panel or bench.panel()
    path = bench.folder / f"{name}.bam"
    with BamWriter(path, panel.references, "L1") as bam:
        calls = count_library(bench.write(pairs, **options), panel, "L1", sink=bam.add)
    return path, calls


def records(path):
    with pysam.AlignmentFile(path) as bam:
        return list(bam)


def test_a_record_is_one_merged_molecule_without_its_primers(bench):
    path, _ = write_bam(bench, [bench.pair(bench.molecule((0, 2), bench.others[:1]))])
    (record,) = records(path)
    assert (record.flag, record.reference_name, record.reference_start) == (0, "toy", 20)
    assert (record.query_name, record.cigarstring, record.mapping_quality) == ("read0", "110M", 60)
    assert record.query_sequence == bench.molecule((0, 2), bench.others[:1])[20:130]
    assert set(record.query_qualities) == {40}
    assert (record.get_tag("XR"), record.get_tag("XG"), record.get_tag("RG")) == ("CT", "CT", "L1")


def test_call_letters_follow_context_and_case_follows_the_read(bench):
    unconverted = bench.others[0]
    path, _ = write_bam(bench, [bench.pair(bench.molecule((0,), [unconverted]))])
    (record,) = records(path)
    expected = ["."] * 110
    for offset in range(20, 130):
        if bench.reference[offset] != "C":
            continue
        one, two = bench.reference[offset + 1 : offset + 3]
        expected[offset - 20] = "z" if one == "G" else "x" if two == "G" else "h"
    expected[bench.cpgs[0] - 20] = "Z"
    expected[unconverted - 20] = expected[unconverted - 20].upper()
    assert record.get_tag("XM") == "".join(expected)
    assert {"z", "x", "h"} < set(expected)


def test_a_bottom_strand_molecule_is_reverse_with_genome_ga(bench):
    molecule = reverse_complement(bench.convert(reverse_complement(bench.reference)))
    path, calls = write_bam(bench, [bench.pair(molecule)], bench.panel(primers=False))
    (record,) = records(path)
    assert record.flag == 16 and (record.get_tag("XR"), record.get_tag("XG")) == ("CT", "GA")
    assert record.query_sequence == molecule
    assert [i for i, x in enumerate(record.get_tag("XM")) if x == "z"] == [o + 1 for o in bench.cpgs]
    assert calls.counts["unmethylated"].tolist() == [1] * 7


@pytest.mark.parametrize("turned", [False, True])
def test_gaps_are_written_as_deletion_and_skip(bench, turned):
    molecule = bench.molecule()
    middle = bench.cpgs[3] + 6
    gone = molecule[:middle] + molecule[middle + 2 :]
    path, _ = write_bam(bench, [bench.pair(gone, length=120, turned=turned)])
    assert records(path)[0].cigarstring in {f"{middle - 20 - k}M2D{110 - (middle - 20 - k) - 2}M" for k in range(-2, 3)}
    path, _ = write_bam(bench, [bench.pair(molecule, length=60, turned=turned)])
    (record,) = records(path)
    assert record.cigarstring == "40M30N40M"
    assert len(record.query_sequence) == len(record.get_tag("XM")) == 80


def test_a_pileup_of_the_bam_counts_what_the_table_counts(bench):
    pairs = [bench.pair(bench.molecule(m), turned=bool(i % 2)) for i, m in enumerate([(0,), (), (0, 4), (6,)] * 5)]
    path, calls = write_bam(bench, pairs)
    with pysam.AlignmentFile(path) as bam:
        assert bam.header.to_dict()["SQ"] == [{"SN": "toy", "LN": 150}]
        assert bam.header.to_dict()["HD"]["SO"] == "coordinate"
        a, c, g, t = bam.count_coverage("toy", quality_threshold=20)
    assert [c[o] for o in bench.cpgs] == calls.counts["methylated"].tolist()
    assert [t[o] for o in bench.cpgs] == calls.counts["unmethylated"].tolist()
    assert all(a[o] == g[o] == 0 for o in bench.cpgs)


def test_same_reads_same_bytes_in_any_folder_and_chunk(bench):
    pairs = [bench.pair(bench.molecule((i % 7,))) for i in range(200)]
    one, _ = write_bam(bench, pairs, name="one")
    panel = bench.panel()
    two = bench.folder / "elsewhere" / "two.bam"
    with BamWriter(two, panel.references, "L1") as bam:
        count_library(bench.write(pairs), panel, "L1", sink=bam.add, chunk_bytes=2_000)
    assert one.read_bytes() == two.read_bytes()
    index = [p.with_name(p.name + ".bai").read_bytes() for p in (one, two)]
    assert index[0] == index[1]
    assert [r.query_name for r in records(one)] == [f"read{i}" for i in range(200)]


def test_names_carry_no_mate_number(bench):
    path, _ = write_bam(bench, [bench.pair(bench.molecule())], names=["a/1"])
    assert [r.query_name for r in records(path)] == ["a"]


def test_no_reads_make_a_bam_without_records(bench):
    path, _ = write_bam(bench, [])
    assert records(path) == []


def test_a_failure_leaves_no_bam_behind(bench):
    path = bench.folder / "broken.bam"
    with pytest.raises(RuntimeError), BamWriter(path, bench.panel().references, "L1"):
        raise RuntimeError
    assert [p.name for p in bench.folder.iterdir() if p.is_file()] == []


def mixed_pairs(bench, number):
    """Whole molecules, such with a gap between the mates, with a deletion, cut short at either end, and turned."""
    rng = np.random.default_rng(1)
    pairs = []
    for i in range(number):
        molecule = bench.molecule((i % 7,))
        kind, length = rng.integers(5), int(rng.integers(60, 110))
        if kind == 1:
            middle = bench.cpgs[3] + 6
            molecule, length = molecule[:middle] + molecule[middle + 2 :], 120
        elif kind == 2:
            length = 60
        elif kind == 3:
            molecule = molecule[int(rng.integers(1, 30)) :]
        pairs.append(bench.pair(molecule, length=length, turned=bool(i % 3)))
    return pairs


def test_records_stand_in_order_and_the_index_is_what_samtools_makes(bench):
    path, _ = write_bam(bench, mixed_pairs(bench, 400), bench.panel(primers=False))
    own = path.with_name(path.name + ".bai").read_bytes()
    found = [(r.reference_start, r.is_reverse, int(r.query_name[4:])) for r in records(path)]
    assert found == sorted(found) and len({(start, reverse) for start, reverse, _ in found}) > 1
    pysam.index(str(path))
    assert own == path.with_name(path.name + ".bai").read_bytes()


@pytest.mark.parametrize("few", [0, 10**9])
def test_records_made_one_by_one_and_many_at_a_time_are_the_same(bench, monkeypatch, few):
    pairs, panel = mixed_pairs(bench, 200), bench.panel(primers=False)
    path, _ = write_bam(bench, pairs, panel)
    monkeypatch.setattr(bam_module, "FEW", few)
    other, _ = write_bam(bench, pairs, panel, name="other")
    assert [r.to_string() for r in records(path)] == [r.to_string() for r in records(other)]
    assert len({r.cigarstring for r in records(path)}) > 3


@pytest.mark.parametrize("block", [300, 5_000])
def test_many_blocks_hold_what_one_holds(bench, monkeypatch, block):
    pairs, panel = mixed_pairs(bench, 100), bench.panel(primers=False)
    path, _ = write_bam(bench, pairs, panel)
    monkeypatch.setattr(bgzf, "BLOCK", block)
    other, _ = write_bam(bench, pairs, panel, name="other")
    assert [r.to_string() for r in records(path)] == [r.to_string() for r in records(other)]
    with pysam.AlignmentFile(path) as one, pysam.AlignmentFile(other) as two:
        for region in ((0, 10), (50, 60), (149, 150)):
            names = [[r.query_name for r in bam.fetch("toy", *region)] for bam in (one, two)]
            assert names[0] == names[1]
    own = other.with_name(other.name + ".bai").read_bytes()
    pysam.index(str(other))
    assert own == other.with_name(other.name + ".bai").read_bytes()


def test_the_index_of_a_long_reference_finds_what_lies_in_a_region(tmp_path):
    """Records over 100,000 bases, some across the borders of bins; windows without any in between."""
    rng = np.random.default_rng(2)
    first = np.sort(np.r_[rng.integers(0, 30_000, 300), rng.integers(70_000, 99_000, 300)])
    last = first + rng.integers(1, 600, 600)
    with BamWriter(tmp_path / "long.bam", {"empty": "A" * 50, "long": "A" * 100_000}, "L1") as bam:
        for start in np.unique(first):
            chosen = np.flatnonzero(first == start)
            stream = bam.streams.setdefault((1, int(start), 0), bgzf.Stream(bam.spill))
            stream.add([bare_record(1, first[i], last[i]) for i in chosen], bgzf.bins_of(first[chosen], last[chosen]),
                       (last[chosen] - 1) >> bgzf.WINDOW)  # fmt: skip
    places = [0, 16_380, 16_390, 32_768, 40_000, 65_536, 70_000, 81_920, 90_000, 99_999]
    with pysam.AlignmentFile(tmp_path / "long.bam") as bam:
        assert bam.mapped == 600
        for a, b in itertools.combinations(places, 2):
            assert bam.count("long", a, b) == np.count_nonzero((first < b) & (last > a))


def bare_record(reference, first, last):
    size = int(last - first)
    record = pysam.AlignedSegment(pysam.AlignmentHeader.from_references(["e", "l"], [50, 100_000]))
    record.query_name, record.reference_id, record.reference_start = "r", reference, int(first)
    record.cigartuples, record.query_sequence, record.mapping_quality = [(0, size)], "A" * size, 60
    head = np.array([reference, first, 2 | 60 << 8 | int(record.bin) << 16, 1, size, -1, -1, 0], dtype="<i4").tobytes()
    body = head + b"r\0" + np.array([size << 4], dtype="<u4").tobytes()
    body += b"\x11" * (size // 2) + b"\x10" * (size % 2) + b"\xff" * size
    return len(body).to_bytes(4, "little") + body


def test_a_name_that_bam_cannot_hold_is_written_so_that_it_can(bench):
    path, calls = write_bam(bench, [bench.pair(bench.molecule())] * 2, names=["a\x01b", "c~d"])
    assert [r.query_name for r in records(path)] == ["a?b", "c~d"] and calls.reads["passed"].tolist() == [2]
