"""A fixed random sample of one library's molecules, for callers that are too slow to see them all."""

import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.methylation.counting.bam import BamWriter
from hpaxis.methylation.counting.calls import counts_table
from hpaxis.methylation.panels.panel import Panel


class MoleculeSample:
    """The ``size`` molecules with the smallest of random numbers that are drawn one per molecule, in their order.

    The same reads, ``seed`` and ``library_id`` give the same sample, however the reads are cut into chunks. Where there
    are no more molecules than ``size`` all of them are taken. Memory holds at most twice the sample.
    """

    def __init__(self, size: int, seed: int, library_id: str):
        self.size, self.library_id = size, library_id
        self.random = np.random.default_rng([seed, zlib.crc32(library_id.encode("utf-8"))])
        self.limit, self.seen = 1.0, 0
        self.kept: list[tuple] = []  # random number, place in the input, what the BAM needs, amplicon, call letters

    def take(self, rows: np.ndarray, describe: Callable[[np.ndarray], Iterable[tuple]]) -> None:
        """Take the next molecules of the input.

        ``rows`` gives their order; ``describe`` returns, for some of them, what `BamWriter.write` needs, amplicon and
        letters of the CpGs (as in patterns).
        """
        order = np.argsort(rows, kind="stable")
        drawn, place = np.empty(len(rows)), np.empty(len(rows), dtype=np.int64)
        drawn[order], place[order] = self.random.random(len(rows)), self.seen + np.arange(len(rows))
        self.seen += len(rows)
        chosen = np.flatnonzero(drawn < self.limit)
        for number, at, entry in zip(drawn[chosen].tolist(), place[chosen].tolist(), describe(chosen), strict=True):
            self.kept.append((number, at, *entry))
        if len(self.kept) > 2 * self.size:
            self._prune()

    def _prune(self):
        self.kept = sorted(self.kept, key=lambda entry: entry[:2])[: self.size]
        self.limit = self.kept[-1][0]

    def write(self, path: Path | str, panel: Panel) -> pd.DataFrame:
        """Write the sample as a BAM with its index; return its counts, as `calls.counts_table`."""
        if len(self.kept) > self.size:
            self._prune()
        entries = sorted(self.kept, key=lambda entry: entry[1])
        with BamWriter(path, panel.references, self.library_id) as bam:
            bam.write([entry[2] for entry in entries])
        rows = [(amplicon, letters.tobytes().decode("ascii"), 1) for *_, amplicon, letters in entries]
        return counts_table(pd.DataFrame(rows, columns=["amplicon", "pattern", "count"]), panel, self.library_id)
