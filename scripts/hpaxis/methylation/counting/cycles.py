"""Methylation by cycle of the sequencer (M-bias): what each mate reads at each position, before mates are merged.

In an amplicon a cycle shows the same few cytosines each time, whose levels differ. So beside what a cycle shows stands
what the same cytosines show on average over all cycles and both mates; only the difference is bias.
"""

import numpy as np
import pandas as pd

from hpaxis.methylation.counting import planes
from hpaxis.methylation.counting.molecules import NOT_PLACED

COLUMNS = ("mate", "cycle", "methylated", "unmethylated", "methylated_expected", "unconverted", "converted",
           "unconverted_expected")  # fmt: skip
# Bias is looked for in stretches of this many cycles, and told when it is this large and this sure.
STRETCH = 25
LEAST_DIFFERENCE = 0.01
LEAST_ERRORS = 5


class CycleTally:
    """Good bases that read C or T (G or A against the reference), by mate, place of the read and offset.

    ``trimmed``: bases that were taken off the begin of read 1 and read 2; cycles count from before them.
    """

    def __init__(self, trimmed=(0, 0)):
        self.trimmed = trimmed
        self.sums = {}
        self.targets = {}

    def add(self, target, mates, anchors, counted):
        """Take rows (``counted``, boolean) of a block of `molecules.Mate`, with each mate's anchors."""
        self.targets[target.amplicon, target.strand] = target
        bases = target.methylated + target.unmethylated
        for number, (mate, places) in enumerate(zip(mates, anchors, strict=True), start=1):
            rows = np.flatnonzero(counted & (places != NOT_PLACED))
            shown = mate.shown(bases)
            # Reads of one amplicon begin at its ends: a block has few places.
            for place in np.unique(places[rows]).tolist():
                group = rows[places[rows] == place]
                key = (target.amplicon, target.strand, number, mate.forward, place)
                sums = self.sums.setdefault(key, np.zeros((2, len(target)), dtype=np.int64))
                begin = planes.BITS * mate.words.start
                columns = min(planes.BITS * mate.words.stop, len(target)) - begin
                for total, flags in zip(sums, shown, strict=True):
                    total[begin : begin + columns] += planes.column_counts(flags[group], columns)

    def table(self):
        """One row per mate and cycle that shows a cytosine: counts of CpGs and of others, and what they would be."""
        shares = self._shares()
        rows = {}
        for (amplicon, strand, mate, forward, anchor), sums in self.sums.items():
            target = self.targets[amplicon, strand]
            for first, sites in ((0, target.cpgs), (3, target.others)):
                n = sums[:, sites].sum(axis=0)
                cycles = (sites - anchor + 1 if forward else anchor - sites) + self.trimmed[mate - 1]
                expected = n * shares[amplicon, strand][sites]
                for i in np.flatnonzero(n):
                    row = rows.setdefault((mate, int(cycles[i])), [0, 0, 0.0, 0, 0, 0.0])
                    row[first] += int(sums[0, sites[i]])
                    row[first + 1] += int(sums[1, sites[i]])
                    row[first + 2] += float(expected[i])
        return pd.DataFrame([(*key, *rows[key]) for key in sorted(rows)], columns=list(COLUMNS))

    def _shares(self):
        totals = {}
        for (amplicon, strand, *_), sums in self.sums.items():
            totals[amplicon, strand] = totals.get((amplicon, strand), 0) + sums
        return {key: sums[0] / np.maximum(sums.sum(axis=0), 1) for key, sums in totals.items()}


def cycle_bias(table):
    """The stretch of cycles that differs most from what the same cytosines show elsewhere, in words.

    ``table``: as from `CycleTally.table`. A stretch of `STRETCH` cycles of one mate is reported when its share lies
    `LEAST_DIFFERENCE` or more from what is expected, and by more than `LEAST_ERRORS` binomial standard errors, since
    cytosines of one molecule are not independent. Only the worst is reported, since what is expected contains it and
    so makes others look wrong. Returns a list of none to two: for CpGs, and for other cytosines.
    """
    columns = ["methylated", "unmethylated", "unconverted", "converted", "methylated_expected", "unconverted_expected"]
    stretches = table.groupby(["mate", (table["cycle"] - 1) // STRETCH])[columns].sum().reset_index()
    reasons = []
    for what, seen, other in (("methylation", "methylated", "unmethylated"),
                              ("non-conversion", "unconverted", "converted")):  # fmt: skip
        n = stretches[seen] + stretches[other]
        rows = stretches[n > 0].assign(n=n[n > 0])
        share, expected = rows[seen] / rows["n"], rows[f"{seen}_expected"] / rows["n"]
        error = np.sqrt(np.maximum(expected * (1 - expected), 1 / rows["n"]) / rows["n"])
        difference = (share - expected).abs()
        apart = difference > np.maximum(LEAST_DIFFERENCE, LEAST_ERRORS * error)
        if apart.any():
            worst = difference[apart].idxmax()
            first = int(rows.loc[worst, "cycle"]) * STRETCH + 1
            reasons.append(
                f"read {rows.loc[worst, 'mate']}, cycles {first}-{first + STRETCH - 1}: {what} "
                f"{100 * share[worst]:.3g} % where the same cytosines "
                f"show {100 * expected[worst]:.3g} % over all cycles"
            )
    return reasons
