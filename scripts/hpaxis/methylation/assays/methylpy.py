"""methylpy as a second caller on the same molecules, and how far the two callers agree."""

import contextlib
import io
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pysam

from hpaxis.quantiles import normal_quantile
from hpaxis.shipped import ROOT

SHIMS = ROOT / "scripts" / "shims"
ALLC_COLUMNS = ("chrom", "pos", "strand", "context", "methylated", "covered", "tested")
MIN_MAPPING_QUALITY = 30
# Below this share of the first caller's depth the second has lost reads, whatever its mean says.
SAME_DEPTH = 0.99
COMPARED = (
    "library_id", "passed", "compared", "n_cpgs", "hpaxis_depth", "methylpy_depth", "discordant_calls", "hpaxis_mean",
    "methylpy_mean", "difference", "difference_se", "largest_difference",
)  # fmt: skip


def call_methylpy(bams, panel, min_base_quality, folder=None, turned=()):
    """Call libraries of one panel with methylpy's ``call-methylation-state``.

    ``bams``: library_id → indexed BAM against the panel's references; ``turned``: libraries whose methylated cytosines
    read T, which methylpy counts as unmethylated. Returns library_id → table with one row per CpG of
    the panel: library_id, amplicon, cpg_id, methylated, unmethylated, depth, beta_raw; both strands are summed.

    Guards that methylpy 1.4.7 needs: the reference in upper case (it drops lower-case cytosines), contig names kept as
    they are, a samtools without depth limit, one process (it swallows errors of several), its own base-quality
    threshold set. Works in a temporary folder.
    """
    with tempfile.TemporaryDirectory(dir=folder) as work:
        reference = Path(work) / "reference.fa"
        reference.write_text("".join(f">{name}\n{text.upper()}\n" for name, text in panel.references.items()))
        pysam.faidx(str(reference))
        found = {}
        for library, bam in bams.items():
            linked = Path(work) / f"{library}.bam"
            linked.symlink_to(Path(bam).resolve())
            linked.with_suffix(".bam.bai").symlink_to(f"{Path(bam).resolve()}.bai")
            path = run_methylpy(linked, library, reference, Path(work), min_base_quality)
            allc = pd.read_csv(path, sep="\t", names=ALLC_COLUMNS, dtype={"chrom": "str"}, keep_default_na=False)
            path.unlink()
            if library in turned:
                allc = turn(allc)
            found[library] = _cpg_table(allc, library, panel)
        return found


def run_methylpy(bam, library, reference, work, min_base_quality):
    """Run methylpy's caller on an indexed BAM; returns the path of its table (`ALLC_COLUMNS`, no header) in ``work``.

    ``bam`` and ``reference`` stand in ``work``, a temporary folder: methylpy splits its commands at spaces.
    """
    if not (work / "shims").exists():
        (work / "shims").symlink_to(SHIMS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages methylpy imports, not of its results
        from methylpy.call_mc_se import call_methylated_sites

    kept = os.environ.get("HPAXIS_PYTHON")
    os.environ["HPAXIS_PYTHON"] = sys.executable
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            call_methylated_sites(
                inputf=str(bam),
                sample=library,
                reference_fasta=str(reference),
                num_procs=1,
                compress_output=False,
                binom_test=False,
                min_mapq=MIN_MAPPING_QUALITY,
                min_base_quality=max(min_base_quality, 1),
                remove_chr_prefix=False,
                path_to_samtools=str(work / "shims"),
                path_to_files=str(work),
            )
    finally:
        if kept is None:
            del os.environ["HPAXIS_PYTHON"]
        else:
            os.environ["HPAXIS_PYTHON"] = kept
    return work / f"allc_{library}.tsv"


def turn(allc: pd.DataFrame) -> pd.DataFrame:
    """Return methylpy's table with methylated and unmethylated exchanged: it counts C, where T is methylated."""
    return allc.assign(methylated=allc["covered"] - allc["methylated"])


def _cpg_table(allc, library, panel):
    """Sum a CpG's two strands: its C on one, the C opposite its G on the other, one base on."""
    offset = allc["pos"] - 1 - (allc["strand"] == "-")
    sums = allc.assign(offset=offset).groupby(["chrom", "offset"])[["methylated", "covered"]].sum()
    table = panel.cpgs[["amplicon", "cpg_id", "offset"]].merge(
        sums, left_on=["amplicon", "offset"], right_index=True, how="left"
    )
    table.insert(0, "library_id", library)
    counts = table[["methylated", "covered"]].fillna(0).astype("int64")
    table["methylated"] = counts["methylated"]
    table["unmethylated"] = counts["covered"] - counts["methylated"]
    table["depth"] = counts["covered"]
    table["beta_raw"] = table["methylated"] / table["depth"].where(table["depth"] > 0)
    return table.drop(columns=["offset", "covered"])


def passing_molecules(reads: pd.DataFrame) -> int:
    """How many molecules of a library count: pairs that passed, or families where there are UMIs."""
    families = reads["umi_families"].iloc[0]
    return int(reads["passed"].iloc[0] if pd.isna(families) else families)


def compare_callers(
    counts: dict[str, pd.DataFrame],
    methylpy: dict[str, pd.DataFrame],
    passed: dict[str, int],
    confidence: float,
    sampled: int | None = None,
) -> pd.DataFrame:
    """Compare two callers library by library.

    ``counts`` and ``methylpy``: library_id → CpG table with methylated and unmethylated, rows in the same order, of the
    same molecules; ``passed``: how many molecules of the library count, of which both saw at most ``sampled``. Both
    callers saw the same molecules, so their difference does not carry the sampling error of either, only that of the
    calls on which they differ: with d such calls at a CpG of depth n its variance is d / n². The flag says
    ``differs`` when the difference of means is beyond that error (two-sided, Bonferroni over libraries), and
    ``depth`` when the second caller saw less than 99 % of the molecules. Returns one row per library.
    """
    rows = [_compare(library, counts[library], methylpy[library]) for library in sorted(counts)]
    table = pd.DataFrame(rows).reindex(columns=list(COMPARED))
    table["passed"] = [passed[library] for library in table["library_id"]]
    table["compared"] = table["passed"].clip(upper=sampled)
    z = normal_quantile(1 - (1 - confidence) / (2 * max(len(rows), 1)))
    differs = table["difference"].abs() > z * table["difference_se"]
    lost = table["methylpy_depth"] < SAME_DEPTH * table["hpaxis_depth"]
    table["flag"] = [
        ";".join(w for w, on in (("differs", d), ("depth", l)) if on) or None for d, l in zip(differs, lost)
    ]
    return table


def _compare(library, own, other):
    if list(own["cpg_id"]) != list(other["cpg_id"]):
        raise ValueError(f"{library}: the two callers' tables list different CpGs")
    depth = [(t["methylated"] + t["unmethylated"]).to_numpy(dtype=float) for t in (own, other)]
    both = (depth[0] > 0) & (depth[1] > 0)
    discordant = sum((own[c] - other[c]).abs().to_numpy(dtype=float) for c in ("methylated", "unmethylated"))
    share = [
        np.divide(t["methylated"], d, out=np.full(len(d), np.nan), where=both) for t, d in zip((own, other), depth)
    ]
    n = int(both.sum())
    row = {
        "library_id": library,
        "n_cpgs": n,
        "hpaxis_depth": np.median(depth[0]),
        "methylpy_depth": np.median(depth[1]),
    }
    row["discordant_calls"] = int(discordant.sum())
    if n == 0:
        return row | dict.fromkeys(
            ("hpaxis_mean", "methylpy_mean", "difference", "difference_se", "largest_difference"), np.nan
        )
    difference = (share[1] - share[0])[both]
    return row | {
        "hpaxis_mean": share[0][both].mean(),
        "methylpy_mean": share[1][both].mean(),
        "difference": difference.mean(),
        "difference_se": np.sqrt((discordant[both] / depth[0][both] ** 2).sum()) / n,
        "largest_difference": np.abs(difference).max(),
    }
