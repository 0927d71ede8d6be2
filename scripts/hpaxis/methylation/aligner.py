"""Aligning genome reads with BSBolt, where a library comes as FASTQ: its index, and one library at a time."""

import subprocess
from pathlib import Path

PROGRAM = "bsbolt"
# The aligner reads in batches that grow with its threads: a fixed number gives the same bytes on any machine.
THREADS = 4


def index_genome(fasta, folder):
    """Build BSBolt's index of a genome in ``folder``; raises RuntimeError with what it printed last."""
    _run([PROGRAM, "Index", "-G", str(fasta), "-DB", str(folder)])


def align_reads(paths, index, out):
    """Align one or two FASTQ files as a directional library; writes the BAM ``out`` (name ends in .bam)."""
    prefix = str(Path(out).with_suffix(""))
    files = [part for n, path in enumerate(paths, 1) for part in (f"-F{n}", str(path))]
    _run([PROGRAM, "Align", *files, "-DB", str(index), "-O", prefix, "-t", str(THREADS)])


def _run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        tail = " | ".join(done.stdout.strip().splitlines()[-5:])
        raise RuntimeError(f"{' '.join(command[:2])} ended with {done.returncode}: {tail}")
