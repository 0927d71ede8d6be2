"""Controls that are not what the sheet says: exchanged, or so poor that nothing can be corrected by them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.measured import Measured, mean_of
from hpaxis.settings import MethylationSettings

# A control on the wrong side of this is another one; a panel whose 100 % controls lose this share has none.
HALF, MOST_LOST = 0.5, 0.2


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
