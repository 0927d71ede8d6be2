"""What an estimate becomes under prior knowledge, in closed form, and which prior would overturn it.

Normal likelihood and normal prior (Spiegelhalter, Abrams & Myles, 2004). The critical sceptical prior is that of
Matthews (2001): the prior about 0 under which the interval just reaches 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

COLUMNS = [
    "quantity", "prior", "prior_mean", "prior_sd", "source", "estimate", "se", "low", "high", "share_of_prior",
    "p_positive", "overturns",
]  # fmt: skip


def prior_table(slopes: pd.DataFrame, priors: Mapping[str, Mapping], alpha: float = 0.05) -> pd.DataFrame:
    """Return each slope difference without a prior, under each prior, and under the critical sceptical prior.

    ``slopes``: rows with contrast, estimate and se (`hpaxis.moderation.slopes.slope_difference_table`). ``priors``:
    name to ``mean``, ``sd`` and ``source``, on the scale of the model. Columns: COLUMNS; ``share_of_prior`` is the
    prior's share of the precision, ``overturns`` says whether an interval that left out 0 now holds it. The
    normal approximation takes the standard error as known; at small n the interval without a prior is therefore a
    little narrower than the model's own.
    """
    z = stats.norm.isf(alpha / 2)
    rows = []
    for row in slopes.itertuples():
        b, s = float(row.estimate), float(row.se)
        shown = abs(b) > z * s
        rows.append(_row(row.contrast, "none", np.nan, np.inf, "the data alone", b, s, z, shown))
        for name, prior in priors.items():
            rows.append(_row(row.contrast, name, prior["mean"], prior["sd"], prior["source"], b, s, z, shown))
        if shown:
            critical = 1 / np.sqrt(b**2 / (z**2 * s**4) - 1 / s**2)
            source = "computed: the widest prior about 0 that leaves the interval touching 0"
            rows.append(_row(row.contrast, "critical sceptical", 0.0, critical, source, b, s, z, shown))
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(
    quantity: str, prior: str, mean: float, sd: float, source: str, b: float, s: float, z: float, shown: bool
) -> tuple[float | str, ...]:
    precision = 0.0 if np.isinf(sd) else 1 / sd**2
    total = 1 / s**2 + precision
    estimate = (b / s**2 + (0.0 if np.isinf(sd) else mean * precision)) / total
    se = 1 / np.sqrt(total)
    low, high = estimate - z * se, estimate + z * se
    # The critical prior's interval touches 0 by construction; rounding must not decide.
    holds_zero = low <= 1e-12 * abs(b) and high >= -1e-12 * abs(b)
    return (
        *(quantity, prior, mean, np.nan if np.isinf(sd) else sd, source, estimate, se, low, high),
        *(precision / total, stats.norm.cdf(estimate / se), bool(shown and holds_zero)),
    )
