"""What was measured of one library, whatever it was measured by, and the level that follows from it.

Molecules counted here or elsewhere (`counted.Counted`), readings of a pyrosequencer (`readings.Readings`) and levels
that another laboratory finished (`finished.Finished`) each fulfil `Measured`. Calls, indices, limits, curves and
verdicts ask for nothing else, so they are written once.
"""

from typing import Protocol

import numpy as np
import pandas as pd

from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.bias import NONE, CalibrationCurve, calibrate
from hpaxis.methylation.levels.replicates import widen
from hpaxis.methylation.panels.panel import Panel
from hpaxis.settings import MethylationSettings

ALL = "all CpGs"


class Measured(Protocol):
    """One library as the estimates see it. Arrays have one value per CpG of the panel, in its order, as fractions.

    ``row``: its row of the libraries sheet; ``assay``: what measured it (reads, pyrosequencing, levels), within which
    controls, standards and replicates speak for each other; ``conversion``: its non-conversion, `estimate.ASSUMED`
    where nothing tells it and NaN where nothing can be said; ``masked``: CpGs that a variant destroys, ``excluded``:
    those of them that are left out, ``notes`` on them; ``rho``: overdispersion of libraries of one sample;
    ``curves``: of each index, and of `ALL`, the `bias.CalibrationCurve` that its level goes through; ``lacking``: what
    an index misses where it has too few CpGs, and ``unknown``: why CpGs enough may still give no level, in words.
    """

    row: object
    panel: Panel
    assay: str
    conversion: estimate.Rate
    masked: np.ndarray
    excluded: np.ndarray
    notes: list[str]
    rho: float
    curves: dict[str, CalibrationCurve]
    lacking: str
    unknown: str

    @property
    def depth(self) -> np.ndarray:
        """Effective depth: independent molecules that a level is as good as; NaN where none were counted."""
        ...

    @property
    def covered(self) -> np.ndarray:
        """CpGs that the library's assays measure at all; the others are nobody's fault."""
        ...

    def usable(self, settings: MethylationSettings) -> np.ndarray:
        """CpGs whose level counts."""
        ...

    def shares(self, weights: np.ndarray, confidence: float) -> estimate.Shares:
        """Observed unconverted share of each weighted set of CpGs (CpGs × sets), with what is known of its error."""
        ...

    def levels(self, weights: np.ndarray, over: estimate.Rate, confidence: float) -> estimate.Estimate:
        """Level of each weighted set of CpGs, corrected for conversion and over-conversion, before any curve."""
        ...

    def table(self) -> pd.DataFrame:
        """One row per CpG: its place and counts, NA where nothing was counted."""
        ...

    def flags(self, settings: MethylationSettings) -> list[str]:
        """What is wrong with each CpG, empty where nothing is."""
        ...

    def summary(self, settings: MethylationSettings) -> dict:
        """Columns of libraries.tsv that only this kind of measurement has."""
        ...

    def blank(self, typical: float, settings: MethylationSettings) -> tuple[str, str | None]:
        """Verdict and reason of a control without template; ``typical``: molecules of the median study library."""
        ...

    def stop(self, summary: dict) -> str | None:
        """Why there is nothing to judge at all; None where there is."""
        ...

    def doubts(self, summary: dict, settings: MethylationSettings) -> list[tuple[str, str]]:
        """Whether what was measured is enough: (verdict, reason) in words."""
        ...

    def signs(self) -> list[tuple[str, str]]:
        """What else the measurement shows of itself: (verdict, reason) in words."""
        ...


def level(
    sample: Measured, members: np.ndarray, over: estimate.Rate, settings: MethylationSettings, name: str = ALL
) -> estimate.Estimate:
    """`Estimate` of the mean over a boolean set of CpGs, each an array of one value; NaN for an empty set.

    ``name``: the index, whose calibration is used.
    """
    if not members.any() or np.isnan(sample.conversion.value):
        return estimate.Estimate(*(np.array([np.nan]) for _ in range(5)))
    return corrected(sample, mean_of(members), over, settings, name)


def mean_of(members: np.ndarray) -> np.ndarray:
    """Weights of the mean over a boolean set of CpGs: CpGs × 1."""
    return (members / members.sum())[:, None]


def corrected(
    sample: Measured, weights: np.ndarray, over: estimate.Rate, settings: MethylationSettings, name: str = ALL
) -> estimate.Estimate:
    """`Estimate` of weighted sets of CpGs: corrected, calibrated, with what replicates differ by in its errors."""
    confidence = settings.confidence
    found = sample.levels(weights, over, confidence)
    curve = sample.curves.get(name, NONE)
    found = widen(widen(found, sample.rho, confidence), curve.scatter, confidence, curve.scatter_df)
    return calibrate(found, curve, confidence)


def unmeasured(sample: Measured, settings: MethylationSettings) -> list[str]:
    """Indices of the panel that the library's assays do not cover, which is no fault of the library."""
    return [name for name, wanted in index_members(sample) if not _covers(sample, wanted, settings)]


def index_members(sample: Measured) -> list[tuple[str, np.ndarray]]:
    """Every index of the panel with its CpGs (boolean) that no variant leaves out."""
    cpgs = sample.panel.cpgs["cpg_id"].to_numpy()
    groups = sample.panel.indices.groupby("index", sort=False)
    return [(index, np.isin(cpgs, members["cpg_id"]) & ~sample.excluded) for index, members in groups]


def index_cpgs(
    sample: Measured, index: str, wanted: np.ndarray, settings: MethylationSettings
) -> tuple[np.ndarray, str | None]:
    """The CpGs that a library's index is the mean of, and why there are none: ``(boolean, reason)``.

    An index that the library's assays do not cover has neither.
    """
    used, nothing = wanted & sample.usable(settings), np.zeros_like(wanted)
    if not wanted.any():
        return nothing, f"{index}: variants destroy all of its CpGs"
    if not _covers(sample, wanted, settings):
        return nothing, None
    if used.sum() < settings.min_cpg_share * wanted.sum():
        return nothing, f"{index}: {used.sum()} of {wanted.sum()} CpGs {sample.lacking}"
    return used, None


def _covers(sample, wanted, settings):
    return (wanted & sample.covered).sum() >= settings.min_cpg_share * wanted.sum()
