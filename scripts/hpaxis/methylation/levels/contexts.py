"""Non-conversion by context: where it differs, cytosines outside CpGs may be methylated, or the chemistry uneven."""

import numpy as np
import pandas as pd

from hpaxis.methylation.levels import estimate

CONTEXTS = ("chg", "chh")
CONTEXT_COLUMNS = tuple(f"non_conversion_{c}{part}" for c in CONTEXTS for part in ("", "_low", "_high"))
# A note only where both would differ so in one library of a thousand.
BEYOND = 3.29


def context_rates(sample):
    """`estimate.Rate` of each context, or None where the caller did not count them.

    Cytosines of a molecule are not independent: both rates are known as from so many fewer trials as e is. They are of
    the molecules that passed, of which failed ones are a part.
    """
    rates, rate = {}, sample.conversion
    single = rate.value * (1 - rate.value) / rate.sites if rate.sites else np.nan
    factor = max(rate.variance / single, 1.0) if single and single > 0 else 1.0
    for context in CONTEXTS:
        unconverted, converted = (sample.reads.get(f"{context}_{part}") for part in ("unconverted", "converted"))
        if unconverted is None or converted is None or pd.isna(unconverted) or unconverted + converted == 0:
            return None
        n = float(unconverted + converted)
        e = float(unconverted) / n
        rates[context] = estimate.Rate(e, factor * e * (1 - e) / n, n / factor)
    return rates


def context_columns(sample, confidence):
    """Columns of libraries.tsv: each context's non-conversion with Wilson limits; NaN where it is not known."""
    rates = context_rates(sample)
    if rates is None:
        return dict.fromkeys(CONTEXT_COLUMNS, np.nan)
    columns = {}
    for context, rate in rates.items():
        low, high = rate.limits(confidence)
        values = rate.value, float(low), float(high)
        columns |= {f"non_conversion_{context}{p}": v for p, v in zip(("", "_low", "_high"), values)}
    return columns


def context_reasons(sample):
    """A warning where conversion differs between contexts beyond its error."""
    rates = context_rates(sample)
    if rates is None:
        return []
    chg, chh = (rates[c] for c in CONTEXTS)
    pooled = (chg.value * chg.trials + chh.value * chh.trials) / (chg.trials + chh.trials)
    error = np.sqrt(pooled * (1 - pooled) * (1 / chg.trials + 1 / chh.trials))
    if error == 0 or abs(chg.value - chh.value) <= BEYOND * error:
        return []
    return [f"non-conversion differs by context: {100 * chg.value:.3g} % at CHG, {100 * chh.value:.3g} % at CHH"]
