"""Controls, and columns of counts, that are not what the sheet says: exchanged, or of no use."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.measured import Measured, level, mean_of
from hpaxis.settings import MethylationSettings

# A control on the wrong side of this is another one; a panel whose 100 % controls lose this share has none.
HALF, MOST_LOST = 0.5, 0.2
# A library of counts of which most are methylated, where the study's others lie on the other side as far from a half.
FEWEST_LIBRARIES, FURTHER = 3, 0.5


def exchanged_controls(group: list[Measured], settings: MethylationSettings) -> dict[str, str]:
    """library_id → what it reads, of controls of a panel that lie on the wrong side of 50 %."""
    found = {}
    for sample in group:
        if sample.row.kind not in ("control_0", "control_100"):
            continue
        known = sample.row.expected_percent
        expected = (sample.row.kind == "control_100") * 1.0 if pd.isna(known) else float(known) / 100
        used = sample.usable(settings) & ~sample.excluded
        if not used.any() or np.isnan(sample.conversion.value):
            continue
        seen = float(np.ravel(sample.shares(mean_of(used), settings.confidence).p)[0])
        if (expected - HALF) * (seen - HALF) < 0 and abs(seen - expected) > HALF:
            found[sample.row.library_id] = f"{100 * expected:.3g} % control reads {100 * seen:.3g} %"
    return found


def control_faults(sample: Measured, over: estimate.Rate, faults: dict[str, str]) -> list[tuple[str, str]]:
    """Why nothing of the panel can be corrected: (fail, reason), for every library of it but no-template controls."""
    if sample.row.kind == "no_template":
        return []
    if faults:
        each = "; ".join(f"{name}: {what}" for name, what in sorted(faults.items()))
        return [
            ("fail", f"controls of the panel are exchanged or failed ({each}); correct libraries.tsv or repeat them")
        ]
    if over.value > MOST_LOST:
        what = f"100 % controls of the panel lose {100 * over.value:.3g} % of their methylation"
        return [("fail", f"{what}: levels cannot be corrected by them")]
    return []


def levels_of_study(group: list[Measured], over: estimate.Rate, settings: MethylationSettings) -> dict[str, float]:
    """library_id → mean level of its CpGs, of a panel's study libraries that came as counts."""
    found = {}
    for sample in group:
        if sample.row.kind == "study" and getattr(sample.row, "assay", None) == "counts":
            used = sample.usable(settings) & ~sample.excluded
            if used.any():
                found[sample.row.library_id] = float(level(sample, used, over, settings).beta[0])
    return found


def exchanged_columns(sample: Measured, levels: dict[str, float]) -> list[tuple[str, str]]:
    """A warning where counts look as if methylated and unmethylated were exchanged: (verdict, reason).

    ``levels``: from `levels_of_study`.
    """
    mine = levels.get(sample.row.library_id)
    others = [value for library, value in levels.items() if library != sample.row.library_id]
    if mine is None or mine <= HALF:
        return []
    seen = f"{100 * mine:.3g} % of its counts are methylated"
    low = len(others) >= FEWEST_LIBRARIES and float(np.median(others)) < HALF
    if low and abs(1 - mine - np.median(others)) < FURTHER * abs(mine - np.median(others)):
        what = f"{seen}, of the study's other libraries {100 * np.median(others):.3g} %"
        return [("warn", f"{what}: columns methylated and unmethylated may be exchanged")]
    return [] if low else [("pass", f"{seen}: if that is not what is known of the region, its columns are exchanged")]
