"""What libraries without molecules have in common: readings of a pyrosequencer, and levels that came finished."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.bias import CalibrationCurve
from hpaxis.methylation.panels.panel import Panel
from hpaxis.settings import MethylationSettings


@dataclass(frozen=True, kw_only=True)
class Uncounted:
    """The part of `measured.Measured` that is the same without molecules; ``measured_as``: what a CpG has, in words."""

    row: object
    panel: Panel
    conversion: estimate.Rate
    covered: np.ndarray
    masked: np.ndarray
    excluded: np.ndarray
    notes: list[str]
    rho: float = 0.0
    curves: dict[str, CalibrationCurve] = field(default_factory=dict)
    measured_as: str = "CpGs with a level"

    def usable(self, settings: MethylationSettings) -> np.ndarray:
        """Return the CpGs whose level counts."""
        raise NotImplementedError

    @property
    def depth(self) -> np.ndarray:
        """Neither a light signal nor a finished level has a depth."""
        return np.full(len(self.panel.cpgs), np.nan)

    def table(self) -> pd.DataFrame:
        """Return one row per CpG; there are no molecules, so counts and depth are NA."""
        table = self.panel.cpgs[["amplicon", "cpg_id", "chrom", "pos", "strand"]].copy()
        table.insert(0, "library_id", self.row.library_id)  # type: ignore[attr-defined]
        for column in ("methylated", "unmethylated", "other", "depth"):
            table[column] = pd.array([pd.NA] * len(table), dtype="Int64")
        return table

    def summary(self, settings: MethylationSettings) -> dict:
        """Return columns of libraries.tsv: without molecules only overdispersion is its own."""
        return dict.fromkeys(estimate.LIBRARY_COLUMNS, pd.NA) | {"overdispersion": self.rho}

    def blank(self, typical: float, settings: MethylationSettings) -> tuple[str, str | None]:
        """Return the verdict of a control without template, in which nothing should be measured."""
        n = int(self.usable(settings).sum())
        return ("warn", f"{self.measured_as} in a control without template: {n}") if n else ("pass", None)
