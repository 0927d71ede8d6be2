"""How much libraries of one sample differ beyond what their molecules explain: overdispersion from replicates."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from hpaxis.quantiles import chi2_quantile, student_quantile

# At 0 and 100 % a beta distribution has no spread to learn from.
INSIDE = 0.002
MOST = 0.5


@dataclass(frozen=True)
class Overdispersion:
    """Beta-binomial correlation rho of libraries of one sample, its limits, d.f. (0: no replicates) and source."""

    rho: float
    low: float
    high: float
    df: int
    source: str


def replicate_groups(samples, levels, panel):
    """Levels and standard errors of each group of replicates: list of (beta, se) arrays.

    Replicates are study libraries of one participant and timepoint, and standards of one known percentage.
    ``levels``: library → (beta, se), NaN where there is none.
    """
    groups = {}
    for sample in samples:
        row = sample.row
        beta, se = levels[row.library_id]
        if sample.panel is not panel or not np.isfinite([beta, se]).all():
            continue
        if row.kind == "study":
            groups.setdefault((row.participant_id, str(row.timepoint)), []).append((beta, se))
        elif row.kind == "standard":
            groups.setdefault(("standard", float(row.expected_percent)), []).append((beta, se))
    return [np.transpose(g) for g in groups.values() if len(g) > 1]


def estimate_overdispersion(groups, setting, confidence):
    """`Overdispersion` by the method of Paule and Mandel (1982), its interval by Q profiles (Viechtbauer, 2007).

    A level b of a library has variance se² + rho b (1 - b); rho makes the weighted squares within groups as large as
    their degrees of freedom. ``setting``: ``auto``, ``none``, or a number, which is taken as it is.
    """
    if setting != "auto":
        rho = 0.0 if setting == "none" else float(setting)
        return Overdispersion(rho, np.nan, np.nan, 0, "config")
    groups = [(b, se) for b, se in groups if INSIDE < b.mean() < 1 - INSIDE]
    df = sum(len(b) - 1 for b, _ in groups)
    if df == 0:
        return Overdispersion(0.0, np.nan, np.nan, 0, "no replicates")

    def squares(rho):
        total = 0.0
        for b, se in groups:
            weight = 1 / (se**2 + rho * b.mean() * (1 - b.mean()))
            total += weight @ (b - weight @ b / weight.sum()) ** 2
        return total

    def solve(target):
        if squares(0.0) <= target:
            return 0.0
        return MOST if squares(MOST) >= target else float(brentq(lambda rho: squares(rho) - target, 0.0, MOST))

    tail = (1 - confidence) / 2
    low, high = solve(chi2_quantile(1 - tail, df)), solve(chi2_quantile(tail, df))
    return Overdispersion(solve(df), low, high, df, "replicates")


def widen(found, rho, confidence, df=np.inf):
    """An `estimate.Estimate` whose errors hold rho's part too; ``df``: degrees of freedom from which rho is known."""
    level = np.clip(found.beta, 0, 1)
    extra = rho * level * (1 - level)
    reach = student_quantile(0.5 + confidence / 2, df) ** 2 * extra
    return type(found)(
        raw=found.raw,
        beta=found.beta,
        se=np.sqrt(found.se**2 + extra),
        low=found.beta - np.sqrt((found.beta - found.low) ** 2 + reach),
        high=found.beta + np.sqrt((found.high - found.beta) ** 2 + reach),
    )
