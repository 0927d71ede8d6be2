"""The BAM says what the counts say, in Bismark's words, and other readers of it agree."""

import pysam
import pytest

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
