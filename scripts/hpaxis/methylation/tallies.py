"""What the molecules that count tell beside methylation: conversion by context, and how often the sequencer erred."""

import numpy as np

COLUMNS = (
    "chg_unconverted", "chg_converted", "chh_unconverted", "chh_converted", "known_bases", "mismatches", "t_bases",
    "t_mismatches", "t_read_as_c",
)  # fmt: skip
CHG, CHH = ord("x"), ord("h")


class Tally:
    """Running sums over one library's molecules, of whole numbers, so that their order does not matter."""

    def __init__(self):
        self.sums = dict.fromkeys(COLUMNS, 0)
        self.qualities = np.zeros(256, dtype=np.int64)

    def add(self, target, molecules, shown, others, passing):
        """Take a block of molecules.

        ``shown``: bits of good bases (rows × offsets); ``others``: the same at ``target.others``; ``passing``: rows.
        """
        self._contexts(target, others[passing])
        sums = self.sums
        matches, mismatches = int(molecules.matches[passing].sum()), int(molecules.mismatches[passing].sum())
        sums["known_bases"] += matches + mismatches
        sums["mismatches"] += mismatches
        at_t = shown[:, target.thymines][passing]
        known = np.count_nonzero(at_t)
        sums["t_bases"] += known
        sums["t_mismatches"] += known - np.count_nonzero(at_t == target.converted)
        sums["t_read_as_c"] += np.count_nonzero(at_t == target.methylated)
        quality = molecules.quality[:, target.thymines][passing] * (at_t > 0)
        self.qualities += np.bincount(quality.ravel(), minlength=256)

    def _contexts(self, target, others):
        # By column first: contexts are columns.
        letters = target.context[target.others]
        unconverted = np.count_nonzero(others == target.methylated, axis=0)
        converted = np.count_nonzero(others == target.converted, axis=0)
        for name, letter in (("chg", CHG), ("chh", CHH)):
            self.sums[f"{name}_unconverted"] += int(unconverted[letters == letter].sum())
            self.sums[f"{name}_converted"] += int(converted[letters == letter].sum())

    def columns(self):
        """The sums as columns of the reads table."""
        return {name: int(value) for name, value in self.sums.items()} | {"t_error_by_quality": self._expected_error()}

    def _expected_error(self):
        """Mean chance of a wrong base that the qualities state, 10^(-Q/10) (Ewing and Green, 1998); None without."""
        quality = np.arange(1, 256)
        number = self.qualities[1:]
        return float(number @ 10.0 ** (-quality / 10) / number.sum()) if number.sum() else None
