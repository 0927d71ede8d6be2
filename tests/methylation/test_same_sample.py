"""One sample in every form that hpaxis takes, and the tracks that it writes: the same counts everywhere."""

import gzip

import numpy as np
import pandas as pd
import pytest

from hpaxis.methylation.assays.browser import contig_sizes, write_bedmethyl, write_bigwig
from hpaxis.methylation.assays.coverage import counts_file
from hpaxis.methylation.assays.release import read_counts, release_tables
from hpaxis.problems import InputError
from hpaxis.tables import write_table


def by_cpg(calls):
    return calls.counts[["cpg_id", "methylated", "unmethylated"]].values.tolist()


def text(rows, first=()):
    return "\n".join("\t".join(map(str, row)) for row in [*first, *rows]) + "\n"


def sample(bench):
    """Calls of 200 molecules at different levels by CpG."""
    rng, levels = np.random.default_rng(8), np.linspace(0.02, 0.6, len(bench.cpgs))
    pairs = [bench.pair(bench.molecule(np.flatnonzero(rng.random(len(levels)) < levels).tolist())) for _ in range(200)]
    return bench.count(pairs, name="S1")


def test_one_sample_gives_the_same_counts_in_every_form(bench, tmp_path):
    panel, reads = bench.panel(), sample(bench)
    counts = reads.counts.assign(beta_unclipped=reads.counts["methylated"] / reads.counts["depth"])
    rows = list(counts[["chrom", "pos", "methylated", "unmethylated"]].itertuples(index=False))
    forms = {
        "S1.bismark.cov": text((c, p, p, 100 * m / (m + u), m, u) for c, p, m, u in rows),
        "S1.CpG_report.txt": text((c, p, "+", m, u, "CG", "CGA") for c, p, m, u in rows),
        "S1_CpG.bedGraph": text(
            ((c, p - 1, p, round(100 * m / (m + u)), m, u) for c, p, m, u in rows), [['track type="bedGraph"']]
        ),
        "S1_CpG.methylKit": text(
            ((f"{c}.{p}", c, p, "F", m + u, 100 * m / (m + u), 100 * u / (m + u)) for c, p, m, u in rows),
            [("chrBase", "chr", "base", "strand", "coverage", "freqC", "freqT")],
        ),
        "S1.bedmethyl": text(
            (c, p - 1, p, "m", m + u, "+", p - 1, p, "255,0,0", m + u, 100 * m / (m + u), m, u, 0, 0, 0, 0, 0)
            for c, p, m, u in rows
        ),
    }
    found = {"reads": by_cpg(reads)}
    for name, body in forms.items():
        for packed in (False, True):
            path = tmp_path / f"{name}{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(body.encode()) if packed else body.encode())
            found[path.name] = by_cpg(read_counts(path, "S1", panel))
    # Our own tracks and release, and an output folder as nf-core/methylseq lays it out.
    assert write_bedmethyl(counts, tmp_path / "own.bedmethyl.gz") == len(rows)
    found["own bedMethyl"] = by_cpg(read_counts(tmp_path / "own.bedmethyl.gz", "S1", panel))
    for name, table in release_tables({"S1": reads}).items():
        write_table(table, tmp_path / f"{name}.tsv")
    found["release"] = by_cpg(read_counts(tmp_path / "molecules.tsv", "S1", panel))
    folder = tmp_path / "methylseq" / "bismark" / "methylation_calls" / "methylation_coverage"
    folder.mkdir(parents=True)
    (folder / "S1_1_val_1_bismark_bt2_pe.bismark.cov.gz").write_bytes(gzip.compress(forms["S1.bismark.cov"].encode()))
    found["nf-core"] = by_cpg(read_counts(counts_file(str(tmp_path / "methylseq"), "S1"), "S1", panel))
    assert len(found) == 14
    for name, table in found.items():
        assert table == found["reads"], name


def test_a_bigwig_holds_the_corrected_level_of_each_cpg_in_percent(bench, tmp_path):
    big = pytest.importorskip("pyBigWig")
    counts = sample(bench).counts
    calls = counts.assign(beta_unclipped=np.linspace(-0.001, 0.4, len(counts)))
    calls.loc[2, "beta_unclipped"] = np.nan
    path = tmp_path / "S1.bw"
    sizes = contig_sizes(None, [calls])
    assert sizes == {"chr1": int(counts["pos"].max()) + 1}
    assert write_bigwig(calls, sizes, path) == len(counts) - 1
    with big.open(str(path)) as track:
        for row in calls.dropna(subset=["beta_unclipped"]).itertuples():
            (value,) = track.values("chr1", int(row.pos) - 1, int(row.pos))
            assert value == pytest.approx(100 * row.beta_unclipped, rel=1e-5, abs=1e-6)
        assert track.intervals("chr1", int(calls.loc[2, "pos"]) - 1, int(calls.loc[2, "pos"])) is None
    again = tmp_path / "again.bw"
    write_bigwig(calls, sizes, again)
    assert again.read_bytes() == path.read_bytes()


def test_lengths_come_from_the_genome_and_shared_cpgs_stand_once(bench, tmp_path):
    genome = tmp_path / "genome.fa"
    genome.write_text(">chr1\n" + "A" * 5000 + "\n")
    counts = sample(bench).counts
    assert contig_sizes(genome, [counts]) == {"chr1": 5000}
    twice = pd.concat([counts, counts.assign(amplicon="other", cpg_id=counts["cpg_id"] + "b")], ignore_index=True)
    assert write_bedmethyl(twice, tmp_path / "x.gz") == len(counts)
    cells = [line.split("\t") for line in gzip.decompress((tmp_path / "x.gz").read_bytes()).decode().splitlines()]
    assert [int(c[11]) for c in cells] == (2 * counts["methylated"]).tolist() and {len(c) for c in cells} == {18}


def test_tracks_of_cpgs_without_coordinates_are_refused_in_a_line(bench, tmp_path):
    calls = sample(bench).counts.assign(beta_unclipped=0.1).assign(chrom=None, pos=np.nan)
    sizes = contig_sizes(None, [calls])
    with pytest.raises(InputError, match="no CpG has coordinates") as raised:
        write_bigwig(calls, sizes, tmp_path / "x.bw")
    (problem,) = raised.value.problems
    assert sizes == {} and "amplicons.tsv" in problem.remedy and "\n" not in str(problem)


def test_without_the_package_the_remedy_is_said(bench, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyBigWig", None)
    with pytest.raises(InputError, match="pybigwig: is not installed"):
        write_bigwig(sample(bench).counts.assign(beta_unclipped=0.1), {"chr1": 5000}, tmp_path / "x.bw")
