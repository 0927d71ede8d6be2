"""Aligning genome reads, where a library comes as FASTQ: adapters off (cutadapt), then BSBolt, library by library."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd

PROGRAM = "bsbolt"
# The aligner reads in batches that grow with its threads: a fixed number gives the same bytes on any machine.
THREADS = 4
# What a program may quote of a read when it fails: bases, and whatever stands between a line's first and last quote.
OF_READS = re.compile(r"[ACGTN]{10,}|['\"].*['\"]", re.IGNORECASE)
# What is left of a read must be this long to be aligned; its mate goes with it.
SHORTEST = 20


def index_genome(fasta, folder):
    """Build BSBolt's index of a genome in ``folder``; raises RuntimeError with what it printed last."""
    run_program("bsbolt Index", [PROGRAM, "Index", "-G", str(fasta), "-DB", str(folder)])


def trim_reads(paths, adapter, folder, interleaved=False):
    """Take an adapter off the 3' ends of one or two FASTQ files, with what follows it (cutadapt; Martin, 2011).

    Returns the paths of the trimmed files, which lie in ``folder``, and a table of one row: ``reads_in`` (pairs, or
    single reads), ``with_adapter_1``, ``with_adapter_2`` (None for single reads), and ``too_short``, which are left
    out. ``interleaved``: one file holds both mates; two trimmed files are written.
    """
    folder, mates = Path(folder), 2 if interleaved else len(paths)
    trimmed = [folder / f"trimmed_R{n}.fastq.gz" for n in range(1, mates + 1)]
    ends = [part for flag, _ in zip(("-a", "-A"), trimmed) for part in (flag, adapter)]
    ends += ["--interleaved"] * interleaved
    files = [part for flag, path in zip(("-o", "-p"), trimmed) for part in (flag, str(path))]
    report = folder / "trimmed.json"
    options = ["-m", str(SHORTEST), "-j", str(THREADS), "--json", str(report)]
    run_program("cutadapt", [sys.executable, "-m", "cutadapt", *ends, *files, *options, *map(str, paths)])
    counts = json.loads(report.read_text(encoding="utf-8"))["read_counts"]
    names = {"reads_in": "input", "with_adapter_1": "read1_with_adapter", "with_adapter_2": "read2_with_adapter"}
    row = {name: counts[key] for name, key in names.items()} | {"too_short": counts["filtered"]["too_short"]}
    return trimmed, pd.DataFrame([row])


def align_reads(paths, index, out):
    """Align one or two FASTQ files as a directional library; writes the BAM ``out`` (name ends in .bam)."""
    prefix = str(Path(out).with_suffix(""))
    files = [part for n, path in enumerate(paths, 1) for part in (f"-F{n}", str(path))]
    run_program("bsbolt Align", [PROGRAM, "Align", *files, "-DB", str(index), "-O", prefix, "-t", str(THREADS)])


def run_program(name, command):
    """Run a command; raises RuntimeError with the end of what it printed, without what it quotes of reads."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        # Indented are the frames of a traceback.
        lines = [line for line in OF_READS.sub("...", done.stdout).splitlines() if line.strip() and line[0] != " "]
        raise RuntimeError(f"{name} ended with {done.returncode}: {' | '.join(lines[-5:])}")
