"""Standard curves that instruments and R print."""

from pathlib import Path

import numpy as np
import pandas as pd
from page import Section, absent, table

from hpaxis.cortisol.curve import fit_curve

DRC = {"b": 2.98222, "c": 0.48141, "d": 7.79296, "e": 3.05795}


def section(folder: Path) -> Section:
    """The dose-response set of R's drc."""
    path = folder / "reference" / "ryegrass.csv"
    found = Section(
        "A four-parameter curve that R prints (ryegrass)",
        "data set `ryegrass` of R's package drc, as `reference/ryegrass.csv`.",
        missing=absent([path]),
    )
    if found.missing:
        return found
    data = pd.read_csv(path)
    dose, response = (data[c].to_numpy(dtype=float) for c in ("conc", "rootl"))
    a, b, c, d = np.asarray(fit_curve(dose, response).theta)[:4]
    own = {"b": b, "c": d, "d": a, "e": c}
    found.lines = [
        "Unweighted LL.4; drc's b, c, d, e are hpaxis' b, d, a, c.", "",
        *table(["parameter", "drc prints", "hpaxis"], [(k, f"{v:.5f}", f"{own[k]:.5f}") for k, v in DRC.items()]),
        "No difference beyond the last printed digit is expected: both minimise the same sum of squares. Real "
        "plates are read "
        "and fitted by the tests of the cortisol stage, not here.",
    ]  # fmt: skip
    return found
