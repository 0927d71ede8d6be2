"""Molecules of a run's other libraries: how many leak into each, by its no-template controls, and what they add.

A library of N molecules holds, on average, as many foreign ones as a no-template control of its plate shows. Foreign
molecules are as methylated as the run's libraries are on average, so the observed share p of N molecules, c N of them
foreign at level q, is p = (1 - c) own + c q.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hpaxis.methylation.levels.estimate import duplication
from hpaxis.quantiles import chi2_quantile, poisson_tail

CROSSTALK_COLUMNS = (
    "plate", "n_no_template", "molecules", "leaked", "leaked_low", "leaked_high", "level", "non_conversion",
    "corrected", "reason",
)  # fmt: skip
# More than this share of a library is no leak that could be subtracted.
MOST = 0.2
# Molecules with this share of their CpGs methylated; an amplicon of fewer CpGs may be so by chance.
HIGHLY = 0.8
LEAST_CPGS, LEAST_FULL, RARE = 8, 3, 0.001
# More carried over than this share of the molecules is another DNA, not a trace that can be subtracted.
MOST_CARRIED = 0.05


@dataclass(frozen=True)
class Leak:
    """What a library holds of others.

    ``share`` of its molecules with ``variance`` and limits ``low``, ``high``; ``levels`` and ``products``: of each
    amplicon, the other libraries' observed share at each CpG (n), and the share of molecules methylated at both
    of two CpGs (n × n); ``e``: their non-conversion.
    """

    share: float
    variance: float
    low: float
    high: float
    levels: list
    products: list
    e: float


def leaked_molecules(counts, confidence):
    """Mean number of molecules in no-template controls, its variance, and exact Poisson limits (Garwood, 1936)."""
    n, total = len(counts), int(np.sum(counts))
    tail = (1 - confidence) / 2
    low = chi2_quantile(tail, 2 * total) / 2 / n if total else 0.0
    return total / n, total / n**2, low, chi2_quantile(1 - tail, 2 * total + 2) / 2 / n


def find_leaks(samples, typical, settings):
    """Give every sample its `Leak`; returns ``(samples, rows)``, rows of crosstalk.tsv, one a plate.

    ``typical``: molecules of the median study library. A plate without a no-template control of its own takes the
    study's; without any, nothing is corrected. Controls that hold so much that they fail are contaminated, which says
    nothing about leaks.
    """
    controls = [s for s in samples if s.row.kind == "no_template"]
    sums = {}
    for panel in {s.row.panel: s for s in samples}:
        sums[panel] = _Sums([s for s in samples if s.row.panel == panel and s.row.kind != "no_template"])
    found, rows = {}, []
    for plate in sorted({_plate(s) for s in samples}):
        mine = [s for s in samples if _plate(s) == plate]
        own = [s for s in controls if _plate(s) == plate]
        counts = [int(s.reads["passed"]) for s in own or controls]
        row = {"plate": plate, "n_no_template": len(counts), "molecules": sum(counts), "corrected": "no"}
        rows.append(row)
        if not counts:
            row["reason"] = "no no-template control: molecules of other libraries are not corrected for"
            continue
        leaked, variance, low, high = leaked_molecules(counts, settings.confidence)
        row |= {"leaked": leaked, "leaked_low": low, "leaked_high": high}
        if typical and leaked > settings.no_template_fail * typical:
            row["reason"] = "no-template controls are contaminated: not taken as leaks"
            continue
        row |= {"corrected": "yes", "reason": None if own else "no control on this plate: the study's are used"}
        levels, conversions = [], []
        for sample in mine:
            n = float(sample.reads["passed"])
            if sample.row.kind == "no_template" or not n or high / n > MOST:
                continue
            rest = sums[sample.row.panel].without(sample)
            if rest is None:
                continue
            found[sample.row.library_id] = Leak(leaked / n, variance / n**2, low / n, high / n, *rest)
            levels.append(np.mean(np.concatenate(rest[0])))
            conversions.append(rest[2])
        if levels:
            row |= {"level": float(np.mean(levels)), "non_conversion": float(np.mean(conversions))}
    samples = [_corrected(s, found.get(s.row.library_id)) for s in samples]
    return samples, pd.DataFrame(rows, columns=list(CROSSTALK_COLUMNS))


def _plate(sample):
    return "all" if pd.isna(sample.row.plate) else str(sample.row.plate)


def _corrected(sample, leak):
    """The sample with its leak, and its non-conversion without that of foreign molecules."""
    if leak is None:
        return sample
    rate, kept = sample.conversion, 1 - leak.share
    own = (rate.value - leak.share * leak.e) / kept
    variance = (rate.variance + leak.variance * (leak.e - own) ** 2) / kept**2
    return replace(sample, leak=leak, conversion=replace(rate, value=max(own, 0.0), variance=variance))


class _Sums:
    """Sums over the libraries of a panel, from which one can be taken out again."""

    def __init__(self, samples):
        self.own = {s.row.library_id: self._sums(s) for s in samples}
        self.total = [sum(parts) for parts in zip(*self.own.values())]

    @staticmethod
    def _sums(sample):
        arrays = []
        for m in sample.parts:
            weighted = m.count * m.weight
            both = (m.methylated * weighted[:, None]).T @ m.methylated
            arrays += [weighted @ m.known, weighted @ m.methylated, both, np.array(weighted.sum())]
        e, n = sample.conversion.value, float(sample.reads["passed"])
        return [*arrays, np.array([0.0, 0.0] if np.isnan(e) else [n * e, n])]

    def without(self, sample):
        """Levels and products by amplicon, and e, of all but one; None where nothing is left."""
        left = [all_ - own for all_, own in zip(self.total, self.own[sample.row.library_id])]
        *arrays, conversion = left
        parts = list(zip(*(arrays[i::4] for i in range(4))))
        if conversion[1] <= 0 or any(total < 1 or (known < 1).any() for known, _, _, total in parts):
            return None
        levels = [methylated / known for known, methylated, _, _ in parts]
        products = [both / total for _, _, both, total in parts]
        return levels, products, float(conversion[0] / conversion[1])


def subtract_leak(shares, sample, weights, confidence):
    """`estimate.Shares` with what foreign molecules are expected to add to each weighted set of CpGs, and its limits.

    The few foreign molecules that one library happens to hold may be more methylated than that, or less. Where their
    variance is more than what the library's molecules show, of which they are, the rest of it is added: a library
    without one of the 100 % control's molecules looks surer than it is.
    """
    leak = sample.leak
    if leak is None:
        return shares
    c = leak.share
    foreign = sum(np.nan_to_num(q) @ w for q, w in zip(leak.levels, weights))
    away = (foreign - shares.p) / (1 - c)
    squares = sum(
        np.einsum("is,ij,js->s", w, m, w) / max(part.total, 1)
        for w, m, part in zip(weights, leak.products, sample.parts)
    )
    unseen = np.maximum(c * squares - shares.variance, 0)
    reach = chi2_quantile(confidence, 1) * unseen
    more, less = away * (leak.high - c), away * (c - leak.low)
    # Where foreign molecules are the less methylated, more of them mean a higher own level.
    up, down = np.where(away > 0, less, -more), np.where(away > 0, more, -less)
    return replace(
        shares,
        shift=c * away,
        shift_variance=shares.shift_variance + away**2 * leak.variance + unseen,
        shift_down=shares.shift_down + down**2 + reach,
        # No fewer than none leaked.
        shift_up=shares.shift_up + np.where(away > 0, np.minimum(up**2 + reach, (c * away) ** 2), up**2 + reach),
    )


@dataclass(frozen=True)
class Carried:
    """Highly methylated molecules of one library beyond those that the study's other libraries lead to expect.

    ``number`` of its molecules, of which ``expected`` are its own; ``share``: the others' share of all its molecules
    with limits; ``variance``: of that share; ``subtracted``: whether they are taken off, or too many for that.
    """

    number: int
    expected: float
    share: float
    low: float
    high: float
    variance: float
    subtracted: bool

    def add_error(self, shares, confidence):
        """`estimate.Shares` of what is left, with the error of what was taken off."""
        if not self.subtracted:
            return shares
        return shares.widened(np.clip(1 - shares.p, 0, 1) ** 2 * self.variance, confidence)

    def reasons(self):
        """What is said of it: (verdict, reason)."""
        share, low, high = (f"{100 * value:.3g}" for value in (self.share, self.low, self.high))
        what = (
            f"{share} % ({low} to {high} %) of the molecules are methylated at {100 * HIGHLY:.0f} % of their CpGs or "
            f"more, beyond what other libraries lead to expect ({self.number}, {self.expected:.2g} expected): "
            "carry-over of a 100 % control, or an allele"
        )
        if self.subtracted:
            return [("warn", f"{what}; they are subtracted")]
        return [("fail", f"{what}; too many to be subtracted")]


def highly_methylated(molecules):
    """Which molecules of an amplicon have `HIGHLY` of their CpGs methylated or more, where CpGs are enough to tell."""
    n, known = molecules.known.shape[1], molecules.known.sum(axis=1)
    if n < LEAST_CPGS:
        return np.zeros(len(molecules.count), dtype=bool)
    return (molecules.methylated.sum(axis=1) >= HIGHLY * known) & (known >= max(n / 2, LEAST_CPGS))


def carry_over(samples, confidence):
    """Samples with what was carried over (`Carried`) taken off, and library → (highly methylated, expected).

    Expected is what the panel's other study libraries have per molecule. Too many: Poisson, one library in a
    thousand, copies of one template counted once. They then count with the chance that they are the library's own.
    """
    high = {s.row.library_id: sum(int(m.count[highly_methylated(m)].sum()) for m in s.parts) for s in samples}
    passed = {s.row.library_id: float(s.reads["passed"]) for s in samples}
    found, numbers = [], {}
    for s in samples:
        name = s.row.library_id
        others = [o.row.library_id for o in samples if o.row.kind == "study" and o.row.panel == s.row.panel]
        others = [o for o in others if o != name and passed[o] > 0]
        rest, k, n = sum(passed[o] for o in others), high[name], passed[name]
        expected = n * sum(high[o] for o in others) / rest if rest else np.nan
        numbers[name] = k, expected
        judged = s.row.kind in ("study", "control_0") and k >= LEAST_FULL and rest > 0
        # Copies of one template come together; at least one molecule is expected, since few others tell little.
        copies = max(duplication(m, s.templates) for m in s.parts)
        if not judged or poisson_tail(k / copies - 1, max(expected, 1) / copies) >= RARE:
            found.append(s)
            continue
        found.append(_without_carried(s, k, expected, n, copies, rest, confidence))
    return found, numbers


def _without_carried(sample, number, expected, molecules, copies, rest, confidence):
    share = (number - expected) / molecules
    tail, effective = (1 - confidence) / 2, number / copies
    low, high = (chi2_quantile(tail, 2 * effective) / 2, chi2_quantile(1 - tail, 2 * effective + 2) / 2)
    variance = (number * copies + expected * molecules / rest) / molecules**2
    low, high = (max((end * copies - expected) / molecules, 0.0) for end in (low, high))
    carried = Carried(number, expected, share, low, min(high, 1.0), variance, share <= MOST_CARRIED)
    if not carried.subtracted:
        return replace(sample, carried=carried)
    own = expected / number
    parts = [
        replace(m, weight=np.broadcast_to(m.weight, m.count.shape) * np.where(highly_methylated(m), own, 1.0))
        for m in sample.parts
    ]
    return replace(sample, carried=carried, parts=parts)
