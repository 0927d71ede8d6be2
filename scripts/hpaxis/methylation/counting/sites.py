"""What each cytosine outside CpGs shows over a library's molecules, and the commonest set of failures among them.

Such cytosines are unmethylated, so one that stays C is a failure of conversion, and copies of a template share its
failures: counts by cytosine scatter the more, the fewer templates the molecules are copies of. A set of failures that
a tenth of the molecules share is one template.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from hpaxis.methylation.counting import planes

COLUMNS = ("amplicon", "strand", "offset", "context", "unconverted", "converted", "clone")
LIBRARY_COLUMNS = ("clone_molecules", "clone_compared")
# The set of failures is looked at in that many molecules, the first ones: a clone is no rarer in them.
COMPARED = 20_000
# A stretch: so many cytosines outside CpGs running that stay unconverted.
STRETCH = 3
CONTEXTS = {ord("x"): "CHG", ord("h"): "CHH"}


def has_stretch(unconverted: np.ndarray, converted: np.ndarray) -> np.ndarray:
    """Whether molecules keep a stretch unconverted: `STRETCH` cytosines outside CpGs running, unknown ones left out.

    ``unconverted``, ``converted``: molecules × cytosines in their order, 0 or 1. Returns a boolean for each molecule.
    Where each of a hundred cytosines fails with chance e by itself, about 100 e^3 of the molecules have a stretch by
    chance, 1e-4 at 1 %; which they are has nothing to do with methylation.
    """
    rows, sites = np.nonzero(unconverted | converted)
    stays = unconverted[rows, sites] > 0
    runs = np.ones(max(len(rows) - STRETCH + 1, 0), dtype=bool)
    for i in range(STRETCH):
        runs &= stays[i : i + len(runs)]
    # Sites are in order, row after row: a run that begins and ends in one row is the row's.
    at = np.flatnonzero(runs & (rows[: len(runs)] == rows[STRETCH - 1 :]))
    found = np.zeros(len(unconverted), dtype=bool)
    found[rows[at]] = True
    return found


class SiteTally:
    """Running counts by cytosine outside CpGs, of whole numbers, target by target."""

    def __init__(self) -> None:
        self.sums: dict = {}
        self.targets: dict = {}
        self.prints: dict = {}
        self.left = COMPARED

    def add(self, target, methylated: np.ndarray, totals: list, passing: np.ndarray) -> None:
        """Take a block of molecules: flags (see `planes`) of what is methylated, and the rows that pass.

        ``totals``: how many of these are methylated, and converted, at each offset.
        """
        rows = np.flatnonzero(passing)
        self._add(target, np.array([total[target.others] for total in totals]))
        if self.left > 0 and len(rows):
            kept = methylated[rows[: self.left]] & (target.cpg_flags | target.other_flags)
            self.left -= len(kept)
            self._add_prints(target, kept)

    def add_families(self, target, others: np.ndarray, yes: int, no: int, cpgs: np.ndarray) -> None:
        """Take families with one UMI each: states of cytosines outside CpGs and of CpGs, families × sites."""
        self._add(target, np.array([np.count_nonzero(others == state, axis=0) for state in (yes, no)]))
        kept = slice(0, max(self.left, 0))
        flags = np.zeros((len(others[kept]), len(target)), dtype=bool)
        flags[:, target.others], flags[:, target.cpgs] = others[kept] == yes, cpgs[kept] == yes
        self.left -= len(flags)
        self._add_prints(target, planes.pack(flags))

    def _add(self, target, found: np.ndarray) -> None:
        key = target.amplicon, target.strand
        self.targets[key] = target
        self.sums[key] = self.sums.get(key, 0) + found

    def _add_prints(self, target, words: np.ndarray) -> None:
        total = self.prints.setdefault((target.amplicon, target.strand), Counter())
        words = np.ascontiguousarray(words)
        total.update(words.view(f"V{words.shape[1] * words.itemsize}").ravel().tolist())

    def table(self) -> pd.DataFrame:
        """One row per cytosine outside CpGs, by amplicon and strand (`COLUMNS`)."""
        clone, *_ = self._clone()
        rows = []
        for key, sums in sorted(self.sums.items()):
            target = self.targets[key]
            context = [CONTEXTS.get(int(c), "CHN") for c in target.context[target.others]]
            mine = clone[1] if clone is not None and clone[0] == key else np.zeros(len(target.others), dtype=int)
            rows += list(zip(*([k] * len(context) for k in key), target.others.tolist(), context,
                             *sums.tolist(), mine.tolist()))  # fmt: skip
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def columns(self) -> dict:
        """Molecules that share the commonest set of failures, and of how many, as columns of the reads table."""
        _, number = self._clone()
        return {"clone_molecules": number, "clone_compared": COMPARED - max(self.left, 0)}

    def _clone(self):
        """The commonest fingerprint that holds a failure outside CpGs: (key, failures as 0 and 1), and its number.

        None that one molecule alone shows: copies come in two at least.
        """
        best, number = None, 0
        for key, prints in sorted(self.prints.items()):
            others = self.targets[key].others
            for count, text in sorted((-count, text) for text, count in prints.items() if count > 1):
                if -count <= number:
                    break
                flags = planes.unpack_columns(np.frombuffer(text, dtype=np.uint64)[None], others)[0]
                if flags.any():
                    best, number = (key, flags.astype(int)), -count
                    break
        return best, number
