"""The sample for the second caller: fixed, even, with the counts of its own molecules."""

import numpy as np
import pandas as pd
import pysam
import pytest
from scipy.stats import hypergeom

from hpaxis.methylation.assays.methylpy import passing_molecules
from hpaxis.methylation.counting.bam import BamWriter
from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.counting.sample import MoleculeSample


def sample_of(bench, pairs, size, seed=1, name="out", umi=None, **options):
    """The names in the sample's BAM, its counts, and the library's calls."""
    panel, sample = bench.panel(), MoleculeSample(size, seed, "L1")
    with BamWriter(bench.folder / f"{name}.bam", panel.references, "L1", sample) as bam:
        sink = bam.add_families if umi else bam.add
        calls = count_library(bench.write(pairs), panel, "L1", sink=sink, umi=umi, **options)
    counts = sample.write(bench.folder / f"{name}_sample.bam", panel)
    with pysam.AlignmentFile(bench.folder / f"{name}_sample.bam") as bam:
        return [record.query_name for record in bam], counts, calls


@pytest.fixture
def pairs(bench):
    """Every third molecule is methylated at its first CpG, and some are cut short or not placed at all."""
    molecules = [bench.molecule((0,) if i % 3 == 0 else ()) for i in range(600)]
    return [bench.pair(m[: 150 - i % 40 if i % 5 == 0 else 150], turned=bool(i % 2)) for i, m in enumerate(molecules)]


def test_the_same_sample_however_the_reads_are_cut(bench, pairs):
    names, counts, _ = sample_of(bench, pairs, 100)
    other, again, _ = sample_of(bench, pairs, 100, name="other", chunk_bytes=4_000)
    assert len(names) == len(set(names)) == 100
    assert names == other
    pd.testing.assert_frame_equal(counts, again)
    assert set(sample_of(bench, pairs, 100, seed=2, name="seed")[0]) != set(names)


def test_a_pileup_of_the_sample_counts_what_its_table_counts(bench, pairs):
    _, counts, _ = sample_of(bench, pairs, 100)
    with pysam.AlignmentFile(bench.folder / "out_sample.bam") as bam:
        _, c, _, t = bam.count_coverage("toy", quality_threshold=20)
    assert [c[o] for o in bench.cpgs] == counts["methylated"].tolist()
    assert [t[o] for o in bench.cpgs] == counts["unmethylated"].tolist()
    assert counts["depth"].max() <= 100 and counts["methylated"].iloc[0] > 0


def test_a_library_with_fewer_molecules_is_taken_whole(bench, pairs):
    _, counts, calls = sample_of(bench, pairs, 10_000)
    pd.testing.assert_frame_equal(counts, calls.counts)


@pytest.mark.long
def test_every_molecule_has_the_same_chance(bench):
    """Over seeds, early and late molecules are drawn alike: a third of the sample from each third of the input."""
    pairs = [bench.pair(bench.molecule())] * 90
    drawn = np.zeros(3)
    for seed in range(60):
        names, *_ = sample_of(bench, pairs, 30, seed=seed)
        drawn += np.bincount([int(name[4:]) // 30 for name in names], minlength=3)
    sd = np.sqrt(60 * hypergeom(90, 30, 30).var())
    assert np.abs(drawn - 600).max() < 4 * sd


def test_families_are_sampled_as_molecules_are(bench):
    umis = ["".join("ACGT"[(i // 4**k) % 4] for k in range(8)) for i in range(0, 4**8, 997)]
    pairs = [bench.pair(bench.molecule((i % 7,))) for i in range(len(umis))]
    inline = [((umi + one, "I" * 8 + q), two) for umi, ((one, q), two) in zip(umis, pairs)]
    names, counts, calls = sample_of(bench, inline, 20, umi="NNNNNNNN")
    assert len(names) == 20 and counts["depth"].tolist() == [20] * 7
    assert passing_molecules(calls.reads) == calls.reads["umi_families"].iloc[0] > 40
    _, whole, calls = sample_of(bench, inline, 1_000, umi="NNNNNNNN", name="whole")
    pd.testing.assert_frame_equal(whole, calls.counts)
