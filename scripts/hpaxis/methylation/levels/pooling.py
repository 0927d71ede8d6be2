"""Non-conversion as levels are corrected by it: a library's own, drawn towards the panel's by as much as it is chance.

e of a library is seen at cytosines outside CpGs; what counts is how many failed at its CpGs. Where few templates carry
few failures, one says little about the other. Libraries of a panel differ in e by a variance tau squared, and their
molecules by a dispersion beyond a binomial's, both of which CpGs share; the rest, the binomial part, is chance of its
own at either. Where reads end early e is that of fewer sites, and is compared as what the study's would show
(`profile.Seen`). So e of a library is drawn towards the mean by the share of the binomial part in all its variance
(empirical Bayes; Efron and Morris, 1973), by at most its own standard error (limited translation; Efron and Morris,
1972).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq

from hpaxis.methylation.levels.estimate import Rate, duplication
from hpaxis.quantiles import chi2_quantile

if TYPE_CHECKING:
    from hpaxis.methylation.levels.counted import Counted

# Fewer libraries say nothing of how much they differ (Morris, 1983: of n, n - 3 degrees of freedom).
FEWEST = 4
# The error of a drawn e holds what libraries may differ by: an upper bound that holds three times in four.
BOUND = 0.25


@dataclass(frozen=True)
class Drawn:
    """e of one library for its correction: ``rate``, and ``kept``, the part of its own deviation that is left."""

    rate: Rate
    kept: float


def draw_conversion(samples: list[Counted]) -> list[Counted]:
    """The samples, each with its e drawn towards that of its panel's (`Drawn`), where there are libraries enough."""
    groups: dict = {}
    for i, sample in enumerate(samples):
        rate = sample.conversion
        if sample.row.kind != "no_template" and np.isfinite(rate.value) and rate.sites > 0:
            groups.setdefault((sample.row.panel, sample.row_chemistry), []).append(i)
    found = list(samples)
    for group in groups.values():
        if len(group) >= FEWEST:
            for i, drawn in zip(group, _drawn([samples[i] for i in group])):
                found[i] = replace(samples[i], drawn=drawn)
    return found


def _drawn(samples: list[Counted]) -> list[Drawn]:
    rates, error = [s.conversion for s in samples], np.array([s.error for s in samples])
    placed = np.array([s.placed for s in samples])
    own = (np.array([r.value for r in rates]) - error) / placed
    sites = np.array([r.sites for r in rates])
    copies = np.array([max(duplication(m, s.templates) for m in s.parts) for s in samples])
    typical = max(float((sites / copies) @ own / (sites / copies).sum()), 0.0)
    # A sequencing error is one molecule's, a failure of conversion all its copies'.
    chance = (typical * (1 - typical) * copies / placed + error / placed**2) / sites
    if (chance <= 0).any():
        return [Drawn(r, 1.0) for r in rates]
    dispersion = max(sum(r.variance / p**2 for r, p in zip(rates, placed)) / chance.sum(), 1.0)
    within = dispersion * chance
    n = len(samples)
    between = _between(own, within, n - 3)
    bound = max(between, _between(own, within, float(chi2_quantile(BOUND, n - 1))))
    weight = 1 / (within + between)
    mean, of_mean = float(weight @ own / weight.sum()), 1 / float(weight.sum())
    kept = 1 - chance / (within + between)
    found = []
    for rate, value, e, k, v, p in zip(rates, own, error, kept, within, placed):
        shift = (1 - k) * (mean - value)
        if abs(shift) > np.sqrt(v):
            k, shift = 1.0, float(np.sign(shift) * np.sqrt(v))
        level = p * max(value + shift, 0.0) + e
        variance = k**2 * rate.variance + p**2 * (1 - k) ** 2 * (bound + of_mean)
        trials = level * (1 - level) / variance if variance > 0 and 0 < level < 1 else rate.trials
        found.append(Drawn(replace(rate, value=level, variance=variance, trials=trials), float(k)))
    return found


def _between(values: np.ndarray, within: np.ndarray, target: float) -> float:
    """Variance between libraries that makes their weighted squares as large as ``target`` (Paule and Mandel, 1982)."""

    def squares(between: float) -> float:
        weight = 1 / (within + between)
        return float(weight @ (values - weight @ values / weight.sum()) ** 2)

    if squares(0.0) <= target:
        return 0.0
    most = float(np.ptp(values)) ** 2 * len(values) / target
    return float(brentq(lambda b: squares(b) - target, 0.0, most, xtol=1e-12))
