"""Whether a library can be used, with every reason in words."""

import numpy as np
import pandas as pd

from hpaxis.methylation.levels.bias import NONE, extrapolated, scatter_note
from hpaxis.methylation.levels.estimate import Rate
from hpaxis.methylation.levels.gates import gate
from hpaxis.methylation.levels.measured import ALL, Measured, unmeasured
from hpaxis.settings import MethylationSettings

RANK = ("pass", "warn", "fail")


def verdict(
    sample: Measured,
    row: dict,
    over: Rate,
    typical: float,
    settings: MethylationSettings,
    suspicions: list[str] | tuple = (),
) -> tuple[str, str | None]:
    """Verdict (pass, warn, fail) and every reason, in words; a pass may carry notes. ``suspicions`` warn, unless they
    come with their own rank.

    ``row``: the library's row of libraries.tsv; ``typical``: molecules of the median study library.
    """
    if sample.row.kind == "no_template":
        return sample.blank(typical, settings)
    if stop := sample.stop(row):
        return "fail", stop
    found = _conversion(sample, settings)
    found += sample.doubts(row, settings)
    if over.assumed:
        found.append(("pass", "no 100 % control of this panel: over-conversion taken as 0"))
    found += sample.signs()
    found += [reason if isinstance(reason, tuple) else ("warn", reason) for reason in suspicions]
    found += _impossible(row)
    found += [("pass", note) for note in sample.notes]
    if sample.row.kind == "study":
        found += extrapolated(sample.curves.get(ALL, NONE), row["region_mean_beta"])
        found += scatter_note(sample.curves.get(ALL, NONE))
    if names := unmeasured(sample, settings):
        found.append(("pass", f"not measured by its assays: {', '.join(names)}"))
    found += _control_reasons(sample, row, over, settings)
    worst = max((rank for rank, _ in found), key=RANK.index, default="pass")
    return worst, "; ".join(reason for _, reason in found) or None


def _conversion(sample, settings):
    if np.isnan(sample.conversion.value):
        return [("fail", "no cytosine outside CpGs was read, so conversion is unknown")]
    if sample.conversion.assumed:
        return []
    return gate(1 - sample.conversion.value, "conversion", settings, lambda v: f"{100 * v:.4g} %")


# A level beyond 0-100 % by so many standard errors and so much is none.
BEYOND_ERROR, BEYOND_LEVEL = 4, 0.005


def _impossible(row):
    """A level that no DNA can have is a fault of the correction, whatever its interval."""
    beta, reach = row["region_mean_beta"], max(BEYOND_ERROR * row["region_mean_beta_se"], BEYOND_LEVEL)
    if np.isnan(beta) or -reach <= beta <= 1 + reach:
        return []
    what = f"corrected region mean {100 * beta:.3g} %, beyond 0-100 % by more than its error"
    return [("fail", f"{what}: the correction is wrong; look at the controls")]


def _control_reasons(sample, row, over, settings):
    kind, known = sample.row.kind, sample.row.expected_percent
    expected = {"control_0": 0.0, "control_100": 1.0}.get(kind, np.nan) if pd.isna(known) else float(known) / 100
    if kind == "control_100" and over.value > settings.over_conversion_warn:
        return [("warn", f"100 % controls lose {100 * over.value:.3g} % of their methylation")]
    if kind in ("control_0", "standard") and not np.isnan(expected):
        low, high = row["region_mean_beta_low"], row["region_mean_beta_high"]
        if not low <= expected <= high:
            rank = "warn" if kind == "control_0" else "pass"
            what = f"known level {100 * expected:.4g} % is outside {100 * low:.3g} to {100 * high:.3g} %"
            return [(rank, what)]
    return []
