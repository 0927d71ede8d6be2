"""Tracks for a genome browser: counts of a library as bedMethyl, its corrected levels as bigWig.

bedMethyl is written with modkit's eighteen columns, which hold the two counts themselves, sorted by place; hpaxis and
other tools read it back. bigWig (Kent and others, 2010) holds corrected levels in percent, not clipped. Both have one
entry per CpG, at its plus-strand C.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.problems import InputError, Problem

SHADES = 255


def placed(calls: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a library's calls that have coordinates, each CpG once, in order of contig and place.

    A CpG that two amplicons measure has its counts added; its level is that of the deeper one.
    """
    rows = calls.dropna(subset=["chrom", "pos"]).astype({"pos": "int64"})
    rows = rows.sort_values(["chrom", "pos", "depth"], ascending=[True, True, False], kind="stable")
    counts = rows.groupby(["chrom", "pos"], sort=False)[["methylated", "unmethylated", "other"]]
    sums = counts.transform("sum", min_count=1)
    return rows.assign(**sums).drop_duplicates(["chrom", "pos"]).reset_index(drop=True)


def write_bedmethyl(calls: pd.DataFrame, path: Path | str) -> int:
    """Write counts of a library as gzipped bedMethyl; returns the number of rows. CpGs without a count have none."""
    lines = []
    for row in placed(calls).itertuples():
        if pd.isna(row.methylated) or row.methylated + row.unmethylated == 0:
            continue
        m, u, other = int(row.methylated), int(row.unmethylated), 0 if pd.isna(row.other) else int(row.other)
        n, start, end = m + u, row.pos - 1, row.pos
        red = round(SHADES * m / n)
        colour, percent = f"{red},0,{SHADES - red}", f"{100 * m / n:.2f}"
        cells = (row.chrom, start, end, "m", n, ".", start, end, colour, n, percent, m, u, 0, 0, 0, other, 0)
        lines.append("\t".join(map(str, cells)) + "\n")
    # Bytes that depend on the content alone, not on the file's name or the time.
    with open(path, "wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
        packed.write("".join(lines).encode("ascii"))
    return len(lines)


def contig_sizes(genome: Path | str | None, calls: list[pd.DataFrame]) -> dict[str, int]:
    """Return contig → length, of the genome's FASTA where there is one, else up to the last CpG measured."""
    ends: dict[str, int] = {}
    for table in calls:
        for chrom, end in table.dropna(subset=["chrom", "pos"]).groupby("chrom")["pos"].max().items():
            ends[str(chrom)] = max(ends.get(str(chrom), 0), int(end) + 1)
    if genome is not None:
        import pysam

        with pysam.FastaFile(str(genome)) as fasta:
            known = dict(zip(fasta.references, fasta.lengths))
        ends = {name: known.get(name, known.get(name.removeprefix("chr"), size)) for name, size in ends.items()}
    return dict(sorted(ends.items()))


def write_bigwig(calls: pd.DataFrame, sizes: dict[str, int], path: Path | str) -> int:
    """Write corrected levels of a library in percent as bigWig; returns the number of CpGs.

    Raises `InputError` where the package pybigwig is missing (extra ``bigwig`` of hpaxis), or no CpG has coordinates.
    """
    if not sizes:
        what = "no CpG has coordinates, so that there is nothing to place in a genome browser"
        remedy = "name chrom, start and strand of each amplicon in the panel's amplicons.tsv, or do not ask for tracks"
        raise InputError(Problem("the libraries' panels", what, remedy))
    try:
        import pyBigWig
    except ImportError:
        what = "is not installed, which writes bigWig"
        raise InputError(Problem("pybigwig", what, "install it: pip install 'hpaxis[bigwig]'")) from None
    rows = placed(calls)
    rows = rows[rows["beta_unclipped"].notna()]
    with pyBigWig.open(str(path), "w") as out:
        out.addHeader(list(sizes.items()))
        for chrom, mine in rows.groupby("chrom", sort=True):
            starts = mine["pos"].to_numpy(np.int64) - 1
            levels = 100 * mine["beta_unclipped"].to_numpy(np.float64)
            out.addEntries([str(chrom)] * len(mine), starts, ends=starts + 1, values=levels)
    return len(rows)
