"""One set of CpGs for an index in every library: what one lacks is filled in from the study, at the cost of width.

CpGs differ in level, so the mean of 40 of 47 CpGs is not that of 47. Over the study libraries that have them all, the
mean of all stands to that of the 40 as R; a library's mean is multiplied by R, and what the libraries scatter about R
is part of its error. Where too few libraries have them all, an index that lacks CpGs is NA.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.measured import ALL, Measured, level
from hpaxis.quantiles import student_quantile
from hpaxis.settings import MethylationSettings

# Fewer complete libraries do not tell by how much they scatter.
FEWEST = 4
SHOWN = 8


@dataclass(frozen=True)
class Completion:
    """Levels of the CpGs of a panel's study libraries: ``levels``, libraries × CpGs, NaN where not deep enough."""

    levels: np.ndarray

    @classmethod
    def of(cls, calls: dict[str, pd.DataFrame]) -> Completion:
        """From the calls of study libraries: library_id → table."""
        return cls(np.array([table["beta_unclipped"].to_numpy(dtype=float) for table in calls.values()]))

    def factor(self, used: np.ndarray, wanted: np.ndarray) -> tuple[float, float, int] | None:
        """R, the variance of a library about it, and the number of libraries; None where too few are complete."""
        if not len(self.levels) or not used.any():
            return None
        complete = self.levels[np.isfinite(self.levels[:, wanted]).all(axis=1)]
        if len(complete) < FEWEST:
            return None
        whole, part = complete[:, wanted].mean(axis=1), complete[:, used].mean(axis=1)
        if part.sum() <= 0:
            return None
        ratio = whole.sum() / part.sum()
        scatter = float(((whole - ratio * part) ** 2).sum() / (len(complete) - 1))
        return float(ratio), scatter * (1 + 1 / len(complete)), len(complete)

    def level(
        self, sample: Measured, used: np.ndarray, wanted: np.ndarray, over: estimate.Rate,
        settings: MethylationSettings, name: str = ALL,
    ) -> estimate.Estimate:  # fmt: skip
        """`Estimate` of the mean over the ``wanted`` CpGs of a library of which those ``used`` count."""
        found = level(sample, used, over, settings, name)
        if not used.any() or (used == wanted).all():
            return found
        known = self.factor(used, wanted)
        if known is None:
            return estimate.Estimate(*(np.array([np.nan]) for _ in range(5)))
        ratio, scatter, number = known
        reach = student_quantile(0.5 + settings.confidence / 2, number - 1) ** 2 * scatter
        beta = ratio * found.beta
        return estimate.Estimate(
            raw=found.raw,
            beta=beta,
            se=np.sqrt((ratio * found.se) ** 2 + scatter),
            low=beta - np.sqrt((ratio * (found.beta - found.low)) ** 2 + reach),
            high=beta + np.sqrt((ratio * (found.high - found.beta)) ** 2 + reach),
        )

    def lacking(self, sample: Measured, used: np.ndarray, wanted: np.ndarray, index: str) -> str | None:
        """What is said of an index that lacks CpGs in a library; None where it has them all."""
        missing = wanted & ~used
        if not missing.any():
            return None
        names = sample.panel.cpgs["cpg_id"].to_numpy()[missing]
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        depth = sample.depth[missing]
        why = "not read" if np.nan_to_num(depth).max() == 0 else "not deep enough"
        what = f"{index}: {missing.sum()} of {wanted.sum()} CpGs {why} ({shown})"
        if self.factor(used, wanted) is None:
            return f"{what}, and too few libraries of the study have them to say what they would add"
        return f"{what}; filled in from the study's other libraries, which widens the interval"

    def doubts(self, sample: Measured, settings: MethylationSettings) -> list[tuple[str, str]]:
        """What a study library's region mean lacks, as a warning; nothing where most CpGs are missing."""
        wanted = ~sample.excluded & sample.covered
        used = wanted & sample.usable(settings)
        if sample.row.kind != "study" or used.sum() < settings.min_cpg_share * wanted.sum():
            return []
        what = self.lacking(sample, used, wanted, "region mean")
        return [("warn", what)] if what else []
