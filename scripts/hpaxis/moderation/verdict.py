"""What the intervals of two slopes allow to be said: buffered, weaker, reversed, alike, or nothing.

Equivalence is shown by two one-sided tests (Schuirmann, 1987): a slope lies within the margin where both reject. A
verdict is a conjunction of intervals, each at its own level, so that a wrong one is no more likely than its least
likely part. Where two lines cross has Fieller's (1954) interval: the values at which the arms are not shown to differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hpaxis.moderation.design import Design
from hpaxis.moderation.linear import LinearFit
from hpaxis.moderation.region import own_unit, region_table
from hpaxis.moderation.slopes import slope_differences

BUFFERED = "buffered"
WEAKER = "weaker with treatment"
STRONGER = "stronger with treatment"
REVERSED = "reversed"
OPEN = "slopes differ, form open"
ALIKE = "alike within the margin"
NOTHING = "nothing shown"
CHANGES = "slope changes with the moderator"
COLUMNS = [
    "contrast", "arm", "reference", "method", "verdict", "margin", "level", "arm_slope", "arm_low", "arm_high",
    "reference_slope", "reference_low", "reference_high", "difference", "difference_low", "difference_high",
    "tost_arm_p", "tost_reference_p", "tost_difference_p", "largest_arm", "largest_reference", "largest_difference",
    "crossing", "crossing_low", "crossing_high", "crossing_kind", "own_crossing", "own_crossing_low",
    "own_crossing_high", "n_below", "n_above", "n", "covariance",
]  # fmt: skip


def verdict_table(fit: LinearFit, margin: float | None = None, method: str = "complete cases") -> pd.DataFrame:
    """Return what a fit allows to be said of each pair of arms (COLUMNS), or of a continuous moderator.

    ``margin`` is the smallest slope of interest, in the unit of the slopes; without it nothing is called buffered or
    alike, and ``largest_*`` give the largest slope, in absolute value, that the interval does not exclude. With
    several pairs of arms every interval of a row is at 1 - alpha / pairs (``level``).
    """
    design, alpha = fit.design, fit.design.spec.alpha
    names, C = slope_differences(design)
    alpha = alpha / len(names)
    pairs = design.moderator.pairs or [(None, None)]
    regions = region_table(fit).set_index("contrast")
    rows = []
    for name, difference, (arm, reference) in zip(names, C, pairs, strict=True):
        row = {"contrast": name, "method": method, "margin": margin, "level": 1 - alpha, "covariance": fit.cov.kind}
        contrasts = {"difference": difference}
        if arm is not None:
            row |= {"arm": str(arm), "reference": str(reference)}
            contrasts |= arm_contrasts(design, arm, reference)
        found = intervals(fit, contrasts, alpha, margin)
        if arm is not None:
            row["verdict"] = judge(found, alpha)
        else:
            row["verdict"] = CHANGES if found["difference"].side else NOTHING
        for part in ("difference", "arm", "reference"):
            if part in found:
                own = found[part]
                row |= {
                    "difference" if part == "difference" else f"{part}_slope": own.estimate, f"{part}_low": own.low,
                    f"{part}_high": own.high, f"tost_{part}_p": own.tost,
                    f"largest_{part}": max(abs(own.low), abs(own.high)),
                }  # fmt: skip
        row |= _crossing(fit, name, arm, reference, regions) if arm is not None else {"n": design.n}
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


@dataclass(frozen=True)
class Interval:
    """An estimate, the ends of its interval, and p of the two one-sided tests that it lies within the margin."""

    estimate: float
    low: float
    high: float
    tost: float

    @property
    def side(self) -> int:
        """The side of zero on which the whole interval lies: 1 or -1, or 0 where it holds zero."""
        return int(self.low > 0) - int(self.high < 0)


def arm_contrasts(design: Design, arm: str, reference: str) -> dict[str, np.ndarray]:
    """Return the contrasts (k,) of two arms' slopes and of their sum."""
    own, other = design.slope_contrast(arm), design.slope_contrast(reference)
    return {"arm": own, "reference": other, "sum": own + other}


def intervals(fit: LinearFit, contrasts: dict, alpha: float, margin: float | None) -> dict[str, Interval]:
    """Return the `Interval` of each of several named contrasts (k,), at level 1 - ``alpha``."""
    C = np.array(list(contrasts.values()))
    found = C @ fit.beta, np.sqrt(fit.cov.variance(C)), fit.cov.df(C)
    return {name: interval(*row, alpha, margin) for name, row in zip(contrasts, zip(*found, strict=True), strict=True)}


def interval(estimate: float, se: float, df: float, alpha: float, margin: float | None) -> Interval:
    """Return the `Interval` of an estimate with Student's t on ``df`` degrees of freedom; no test without a margin."""
    half = stats.t.isf(alpha / 2, df) * se
    tost = np.nan if margin is None else stats.t.sf((margin - abs(estimate)) / se, df)
    return Interval(*map(float, (estimate, estimate - half, estimate + half, tost)))


def judge(found: dict[str, Interval], alpha: float) -> str:
    """Return the verdict on a pair of arms, from its intervals: ``difference``, ``arm``, ``reference``, ``sum``."""
    if found["difference"].tost <= alpha:
        return ALIKE
    differ, arm, reference, total = (found[part].side for part in ("difference", "arm", "reference", "sum"))
    if not differ:
        return NOTHING
    if reference and arm == -reference:
        return REVERSED
    if reference and differ == -reference:
        if found["arm"].tost <= alpha:
            return BUFFERED
        # |treatment| < |control| needs the difference and the sum of the slopes on opposite sides.
        if total == reference:
            return WEAKER
    if arm and differ == arm and total == arm:
        return STRONGER
    return OPEN


def _crossing(fit: LinearFit, name: str, arm: str, reference: str, regions: pd.DataFrame) -> dict[str, Any]:
    """Where the two arms' lines cross, with Fieller's interval, and the people on either side."""
    design = fit.design
    predictor = design.spec.predictor
    start = design.arm_contrast(arm, reference, 0.0)
    step = design.arm_contrast(arm, reference, 1.0) - start
    crossing = -(start @ fit.beta) / (step @ fit.beta)
    region = regions.loc[name]
    kind = {"outside": "bounded", "inside": "outside"}.get(region["kind"], "whole line")
    x = design.x[np.isin(design.arm, [arm, reference])]
    return {
        "crossing": crossing, "crossing_low": region["low"], "crossing_high": region["high"], "crossing_kind": kind,
        "own_crossing": own_unit(design, predictor, crossing),
        "own_crossing_low": own_unit(design, predictor, region["low"]),
        "own_crossing_high": own_unit(design, predictor, region["high"]),
        "n_below": int((x < crossing).sum()), "n_above": int((x >= crossing).sum()), "n": len(x),
    }  # fmt: skip
