"""What the molecules that count tell beside methylation: conversion by context, errors, whether mates agree."""

import numpy as np

from hpaxis.methylation.counting import planes

COLUMNS = (
    "chg_unconverted", "chg_converted", "chh_unconverted", "chh_converted", "known_bases", "mismatches", "t_bases",
    "t_mismatches", "t_read_as_c", "overlap_cpgs", "overlap_cpgs_differ", "overlap_t", "overlap_t_differ",
)  # fmt: skip
# Qualities are looked at in that many places, spread evenly: they cost more than all else that is counted here.
QUALITY_SITES = 8


class Tally:
    """Running sums over one library's molecules, of whole numbers, so that their order does not matter."""

    def __init__(self):
        self.sums = dict.fromkeys(COLUMNS, 0)
        self.qualities = np.zeros(256, dtype=np.int64)

    def add(self, target, molecules, totals, passing):
        """Take a block of molecules: those that are ``passing`` (rows).

        ``totals``: how many of these read methylated, and unmethylated, at each offset, of the good bases.
        """
        sums, rows = self.sums, np.flatnonzero(passing)
        methylated, converted = totals

        def number(flags, sites):
            return int(np.bitwise_count(flags & planes.for_rows(sites, len(flags))).sum(dtype=np.int64))

        for name, sites in (("chg", target.chg), ("chh", target.chh)):
            sums[f"{name}_unconverted"] += methylated[sites].sum()
            sums[f"{name}_converted"] += converted[sites].sum()
        matches, mismatches = int(molecules.matches[rows].sum()), int(molecules.mismatches[rows].sum())
        sums["known_bases"] += matches + mismatches
        sums["mismatches"] += mismatches
        as_t, as_c = (methylated, converted) if target.methylated == target.converted else (converted, methylated)
        known = number(molecules.good[rows], target.thymine_flags)
        sums["t_bases"] += known
        sums["t_mismatches"] += known - as_t[target.thymines].sum()
        both = molecules.both[rows]
        differ = both & molecules.differ[rows]
        for name, sites in (("overlap_cpgs", target.cpg_flags), ("overlap_t", target.thymine_flags)):
            sums[name] += number(both, sites)
            sums[f"{name}_differ"] += number(differ, sites)
        sums["t_read_as_c"] += as_c[target.thymines].sum()
        sites = target.thymines[:: max(1, len(target.thymines) // QUALITY_SITES)]
        quality = molecules.qualities(rows, sites) * planes.unpack_columns(molecules.good, sites)[rows]
        self.qualities += np.bincount(quality.ravel(), minlength=256)

    def columns(self):
        """The sums as columns of the reads table."""
        return {name: int(value) for name, value in self.sums.items()} | {"t_error_by_quality": self._expected_error()}

    def _expected_error(self):
        """Mean chance of a wrong base that the qualities state, 10^(-Q/10) (Ewing and Green, 1998); None without."""
        quality = np.arange(1, 256)
        number = self.qualities[1:]
        return float(number @ 10.0 ** (-quality / 10) / number.sum()) if number.sum() else None
