"""Reads of known or agreed methylation: amplicons of BRCA1, and whole-genome bisulfite pairs."""

import gzip
import shutil
import tempfile
from pathlib import Path

from page import Section, absent, table

from hpaxis.config import checked_config
from hpaxis.methylation.assays.aligner import align_reads, index_genome
from hpaxis.methylation.assays.genome import call_genome, open_genome
from hpaxis.methylation.counting.calls import ReadFilters, count_library
from hpaxis.methylation.panels.panel import make_panel

PLACE = 300_000, 303_000  # any stretch of the reference will do as a panel: the percentage is of all CpGs
BRCA1 = {
    # Weighted CpG methylation in percent (calls), each tool at its defaults on the same 500 pairs.
    "bwa-meth 0.2.9 + MethylDackel 0.6.1": (".78 (6,375)", "93.83 (6,174)"),
    "BSBolt 1.6.0": (".68 (6,498)", "92.56 (6,329)"),
    "abismal + dnmtools 1.5.1": (".72 (6,384)", "92.63 (6,160)"),
    "biscuit 1.9.1": (".33 (6,098)", "94.16 (5,717)"),
    "Bismark 0.25.1": (".35 (3,678)", "95.64 (3,831)"),
    "methylpy 1.4.7, own mapping": (".38 (4,182)", "94.66 (4,569)"),
    "MethAmplicons 0.3.4": (".47 (2,150)", "96.64 (2,442)"),
}


def sections(folder: Path) -> list[Section]:
    """Both sets."""
    return [brca1(folder / "brca1_amplicons"), wgbs(folder / "wgbs_101bp")]


def brca1(here: Path) -> Section:
    """0 % and 100 % methylated templates."""
    names = [f"brca1_{share}pct" for share in ("000", "100")]
    files = {name: [here / f"{name}_R{mate}.fastq.gz" for mate in (1, 2)] for name in names}
    found = Section(
        "BRCA1 amplicons of 0 % and 100 % methylated templates",
        "public repository BBCG/epialleleR, commit eef68b1 (amplicon000meth, amplicon100meth), as FASTQ "
        "`brca1_000pct_R1.fastq.gz` ... and `reference.fa` (hg38 chr17:43124861-43126204) in `brca1_amplicons/`.",
        missing=absent([here / "reference.fa", *(path for pair in files.values() for path in pair)]),
    )
    if found.missing:
        return found
    panel = make_panel(here / "reference.fa")
    own = []
    for quality in (20, 0):
        cells = []
        for name in names:
            paths = [str(path) for path in files[name]]
            counts = count_library(paths, panel, name, ReadFilters(min_base_quality=quality)).counts
            methylated, depth = int(counts["methylated"].sum()), int(counts["depth"].sum())
            cells.append(f"{100 * methylated / depth:.2f} ({depth:,})")
        own.append((f"**hpaxis**, bases from Q{quality} on" + ("" if quality else " (all)"), *cells))
    found.lines += [
        "No panel and no primers are known: reads are placed by their words. Best agreed estimate of the tools "
        "that keep "
        "overlapping amplicons, over 51 CpGs: .80 % and 93.8 %. Uncorrected share, all CpG calls:", "",
        *table(["tool", "0 % template: % (calls)", "100 % template"],
               [*own, *((tool, *values) for tool, values in BRCA1.items())]),
        "Why they differ: half of what tools without a quality threshold read as methylation in the 0 % library "
        "lies on "
        "bases below Q20, which hpaxis ignores by default; Bismark, methylpy and MethAmplicons drop 2 of 5 pairs "
        "because "
        "they map reads end to end. The other tools' figures were measured once, each at its defaults, and are "
        "not made by "
        "this command.",
    ]  # fmt: skip
    return found


def wgbs(here: Path) -> Section:
    """Whole-genome pairs through BSBolt and the genome route."""
    found = Section(
        "Whole-genome bisulfite pairs (46,363 × 101 bases)",
        "public repository brentp/bwa-meth, commit 4e04966 (example reads and 900 kb of reference), as `R1.fastq.gz`, "
        "`R2.fastq.gz` and `reference.fa.gz` in `wgbs_101bp/`.",
        missing=absent([here / name for name in ("R1.fastq.gz", "R2.fastq.gz", "reference.fa.gz")]),
    )
    if found.missing:
        return found
    if not shutil.which("bsbolt"):
        found.lines = ["Not run: the genome route aligns with BSBolt, and no `bsbolt` is on the PATH."]
        return found
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        fasta, reads = work / "reference.fa", [here / f"R{mate}.fastq.gz" for mate in (1, 2)]
        fasta.write_bytes(gzip.decompress((here / "reference.fa.gz").read_bytes()))
        index_genome(fasta, work / "index")
        align_reads(reads, work / "index", work / "out.bam")
        with open_genome(fasta) as genome:
            contig = genome.references[0]
            text = genome.fetch(contig, *PLACE).upper()
        (work / "region.fa").write_text(f">r_{contig}_{PLACE[0] + 1}_{PLACE[1]}\n{text}\n")
        panel = make_panel(work / "region.fa")
        defaults = checked_config({"sheets": {"participants": "x.tsv"}, "arms": ["a", "b"]})["methylation"]["genome"]
        rows = []
        for label, removed, quality in (
            ("duplicates kept, Q5", False, 5),
            ("as shipped: duplicates removed, Q20", True, 20),
        ):
            settings = defaults | {"remove_duplicates": removed}
            row = call_genome(work / "out.bam", panel, fasta, "W", settings, quality)[1].iloc[0]
            rows.append((f"**hpaxis**, {label}", f"{row['cpg_percent']:.1f}", f"{int(row['cpg_calls']):,}"))
    found.lines = [
        *table(["on the same reads", "CpG methylation, %", "calls"],
               [*rows, ("bwa-meth with MethylDackel, BSBolt, abismal (about)", "61.0", "80,600")]),
        "Aligned with BSBolt and called by methylpy with hpaxis' guards. Why they differ: duplicates and quality "
        "thresholds. The other tools' figures were measured once and are not made by this command.",
    ]  # fmt: skip
    return found
