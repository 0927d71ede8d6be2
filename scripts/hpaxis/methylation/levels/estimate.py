"""From counts of molecules to methylation with an error: conversion, correction, intervals.

The observed share of unconverted cytosines p mixes methylation b with two failures of chemistry: unmethylated cytosines
left unconverted (rate e) and methylated ones converted (rate g). p = b (1 - g) + (1 - b) e, so
b = (p - e) / (1 - e - g). e comes from each library's own cytosines outside CpGs, g from controls methylated at 100 %.
"""

from dataclasses import dataclass, replace

import numpy as np

from hpaxis.methylation.counting.calls import METHYLATED, UNMETHYLATED
from hpaxis.quantiles import student_quantile

LIBRARY_COLUMNS = ("pairs_in", "on_target", "merged", "passed")


@dataclass(frozen=True)
class MoleculeCounts:
    """The distinct molecules of one amplicon in one library.

    ``methylated`` and ``known``: molecules × CpGs, 0 or 1; ``unconverted`` of ``sites`` non-CpG cytosines;
    ``count``: how often the molecule was read. ``weight``: probability that it is no failed one, and ``excess``: its
    expected non-conversion beyond the library's e (see `conversion.Mixture`).
    """

    methylated: np.ndarray
    known: np.ndarray
    unconverted: np.ndarray
    sites: np.ndarray
    count: np.ndarray
    weight: np.ndarray | float = 1.0
    excess: np.ndarray | float = 0.0

    @property
    def total(self):
        """Molecules read: the deepest CpG's, since counts that came without molecules show one CpG each."""
        return int((self.count @ self.known).max(initial=0))


@dataclass(frozen=True)
class Rate:
    """An estimated share, its sampling variance, the independent trials that would give it, and its d.f..

    ``sites``: of a non-conversion, the cytosines it comes from (0: those of the molecules at hand); ``reach``: by what
    quantiles are multiplied, since the number of templates is not certain (`templates.TemplateCount.reach`).
    """

    value: float
    variance: float
    trials: float
    df: float = np.inf
    sites: float = 0.0
    reach: float = 1.0

    @property
    def assumed(self) -> bool:
        """Whether the share is 0 because nothing tells it."""
        return self.trials == np.inf and self.variance == 0 and self.value == 0

    def limits(self, confidence):
        """Wilson score limits for the equivalent trials; without trials (NaN) value ± t × SD, within 0 and 1."""
        if np.isnan(self.trials):
            reach = self.reach * quantile(confidence, self.df) * np.sqrt(self.variance)
            return np.maximum(self.value - reach, 0.0), np.minimum(self.value + reach, 1.0)
        return wilson(self.value, self.trials, self.reach * quantile(confidence, self.df))


ASSUMED = Rate(0.0, 0.0, np.inf)


@dataclass(frozen=True)
class Estimate:
    """A methylation level: observed share, corrected level (not clipped), standard error and interval, fractions."""

    raw: np.ndarray
    beta: np.ndarray
    se: np.ndarray
    low: np.ndarray
    high: np.ndarray


def read_molecules(patterns, amplicon, n_cpgs, mixture=None):
    """`MoleculeCounts` of one amplicon from a patterns table (see `calls.LibraryCalls`), weighted by a `Mixture`."""
    rows = patterns[patterns["amplicon"] == amplicon]
    cells = rows["unconverted"].to_numpy(dtype=float), rows["sites"].to_numpy(dtype=float)
    letters = np.frombuffer("".join(rows["pattern"]).encode("ascii"), dtype=np.uint8).reshape(len(rows), n_cpgs)
    return MoleculeCounts(
        methylated=(letters == METHYLATED).astype(float),
        known=((letters == METHYLATED) | (letters == UNMETHYLATED)).astype(float),
        unconverted=cells[0],
        sites=cells[1],
        count=rows["count"].to_numpy(dtype=float),
        weight=1.0 if mixture is None else mixture.weight(*cells),
        excess=0.0 if mixture is None else mixture.excess(*cells),
    )


def template_copies(input_ng, copies_per_ng, recovery, amplification_cv):
    """Templates that reads can stand for: haploid copies that survive conversion, fewer when PCR favours some.

    Unequal amplification with coefficient of variation c makes T copies worth T / (1 + c²).
    NaN when the input is unknown.
    """
    return input_ng * copies_per_ng * recovery / (1 + amplification_cv**2)


def duplication(molecules, templates):
    """Factor by which reading copies of few templates raises a variance: 1 + n/T; 1 when T is not known."""
    return 1.0 if np.isnan(templates) else 1 + molecules.total / templates


def variance_factor(molecules, templates):
    """`duplication`, and by what molecules that are copies of T templates scatter too little about their own mean.

    As in a sample of T the sum of squares is divided by T - 1: T / (T - 1).
    """
    return duplication(molecules, templates) / (1.0 if np.isnan(templates) else 1 - 1 / max(templates, 2.0))


def non_conversion(parts, templates, reach=1.0):
    """Share of unmethylated cytosines left unconverted in one library: `Rate`, with NaN when no site was read.

    ``parts``: `MoleculeCounts` of each amplicon, best with those left out for their conversion, which the weights
    judge. Unconverted cytosines come in molecules, so the variance is that of a ratio over molecules, not of single
    sites.
    """
    sites = weighted_sites(parts)
    if sites == 0:
        return Rate(np.nan, np.nan, 0.0)
    e = sum((m.count * m.weight * m.unconverted).sum() for m in parts) / sites
    factors = [variance_factor(m, templates) for m in parts]
    variance = sum((m.count * conversion_influence(m, e, sites) ** 2).sum() * f for m, f in zip(parts, factors))
    nominal = sites / max(duplication(m, templates) for m in parts)
    fourth = sum((m.count * conversion_influence(m, e, sites) ** 4).sum() * f**3 for m, f in zip(parts, factors))
    trials, df = equivalent_trials(e, variance, nominal), degrees_of_freedom(variance, fourth)
    return Rate(e, variance, float(trials), float(df), float(sites), reach)


def weighted_sites(parts):
    """Cytosines outside CpGs that tell e."""
    return sum((m.count * m.weight * m.sites).sum() for m in parts)


def conversion_influence(molecules, e, sites):
    """What each molecule contributes to the error of e (linearised ratio)."""
    return molecules.weight * (molecules.unconverted - e * molecules.sites) / sites


def degrees_of_freedom(variance, fourth):
    """Degrees of freedom of a variance that is a sum over molecules: 2 V² / var(V) (Satterthwaite's approximation).

    ``fourth``: sum of the fourth powers of what the molecules contribute. Where few molecules carry most of the
    variance, as a handful of fully methylated ones may, it is itself poorly known, and a normal interval too short.
    """
    variance, fourth = np.asarray(variance, dtype=float), np.asarray(fourth, dtype=float)
    known = (variance > 0) & (fourth > 0)
    return np.where(known, np.maximum(2 * variance**2 / np.where(known, fourth, 1), 1), np.inf)


def quantile(confidence, df):
    """Two-sided quantile of Student's t."""
    return student_quantile(0.5 + confidence / 2, df)


def equivalent_trials(p, variance, nominal):
    """Independent trials with the same variance, p (1 - p) / variance; the nominal number where p is 0 or 1."""
    p, variance = np.asarray(p, dtype=float), np.asarray(variance, dtype=float)
    inside = (p > 0) & (p < 1) & (variance > 0)
    return np.where(inside, p * (1 - p) / np.where(inside, variance, 1), nominal)


def wilson(p, n, z):
    """Wilson (score) limits of a proportion p seen in n trials; NaN where n is 0."""
    p, n = np.asarray(p, dtype=float), np.asarray(n, dtype=float)
    n = np.where(n > 0, n, np.nan)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return np.minimum(centre - half, p), np.maximum(centre + half, p)


@dataclass(frozen=True)
class Shares:
    """Observed unconverted shares of weighted sets of CpGs: variances, covariances with e, trials and d.f.

    ``excess``: non-conversion beyond e on the molecules counted, from failed ones among them. ``shift``: what molecules
    of other libraries are expected to add, its variance, and the squares of how far b's limits move for it (on the
    scale of p). ``reach``: by what quantiles are multiplied, since the number of templates is not certain.
    """

    p: np.ndarray
    variance: np.ndarray
    covariance: np.ndarray
    trials: np.ndarray
    df: np.ndarray | float = np.inf
    excess: np.ndarray | float = 0.0
    shift: np.ndarray | float = 0.0
    shift_variance: np.ndarray | float = 0.0
    shift_down: np.ndarray | float = 0.0
    shift_up: np.ndarray | float = 0.0
    reach: float = 1.0

    def widened(self, variance: np.ndarray, confidence: float, excess: np.ndarray | float = 0.0) -> "Shares":
        """The same shares with a further variance (on the scale of p) in their errors, and further non-conversion."""
        reach = quantile(confidence, np.inf) ** 2 * variance
        return replace(
            self,
            excess=self.excess + excess,
            shift_variance=self.shift_variance + variance,
            shift_down=self.shift_down + reach,
            shift_up=self.shift_up + reach,
        )


def observed_shares(parts, weights, conversion, templates, reach=1.0):
    """Observed share of each weighted set of CpGs.

    ``parts``: `MoleculeCounts` of each amplicon; ``weights``: for each amplicon a matrix CpGs × sets, whose columns sum
    to 1 over all amplicons; ``reach``: see `Shares`. CpGs of one molecule are not independent: the variance is that of
    the molecules' contributions.
    """
    sites = conversion.sites or weighted_sites(parts)
    n_sets = weights[0].shape[1]
    p, variance, covariance, fourth, excess = (np.zeros(n_sets) for _ in range(5))
    depth = np.full(n_sets, np.inf)
    for m, weight in zip(parts, weights):
        weighted = m.count * m.weight
        n = weighted @ m.known
        share = np.divide(weighted @ m.methylated, n, out=np.full(len(n), np.nan), where=n > 0)
        beyond = np.divide((weighted * m.excess) @ m.known, n, out=np.zeros(len(n)), where=n > 0)
        used = (weight > 0).any(axis=1)
        if not used.any():
            continue
        inverse = np.divide(1.0, n, out=np.zeros(len(n)), where=n > 0)
        influence = ((m.methylated - np.nan_to_num(share) * m.known) * inverse)[:, used] @ weight[used]
        influence *= np.broadcast_to(m.weight, m.count.shape)[:, None]
        factor = variance_factor(m, templates)
        p += np.where((weight > 0), weight * share[:, None], 0).sum(axis=0)
        excess += beyond @ weight
        variance += factor * (m.count @ influence**2)
        fourth += factor**3 * (m.count @ influence**4)
        if sites > 0:
            from_sites = conversion_influence(m, conversion.value, sites)
            covariance += factor * ((m.count * from_sites) @ influence)
        depth = np.minimum(depth, np.where(weight > 0, n[:, None] / factor, np.inf).min(axis=0))
    trials = equivalent_trials(p, variance, np.where(np.isfinite(depth), depth, 0))
    # The variance of a single CpG follows from its share; only that of several has to be learnt from the molecules.
    single = sum(np.count_nonzero(weight > 0, axis=0) for weight in weights) == 1
    df = np.where(single, np.inf, degrees_of_freedom(variance, fourth))
    return Shares(p, variance, covariance, trials, df, excess, reach=reach)


def correct(shares, conversion, over, confidence):
    """Corrected level of each share: b = (p - e) / (1 - e - g), with an interval that carries all three errors.

    ``conversion`` (e) and ``over`` (g) are `Rate`. The standard error is first order. The interval combines the Wilson
    limits of p and e by the method of variance estimates recovery (MOVER, Zou 2007, with their correlation), so that
    it stays right at 0 where a symmetric one does not; g enters through its variance. Returns `Estimate`.
    """
    e, g = conversion.value + shares.excess, over.value
    scale = 1 - e - g
    p = shares.p
    beta = (p - shares.shift - e) / scale
    slope = 1 - beta
    from_over = beta**2 * over.variance
    variance = (
        shares.variance
        + shares.shift_variance
        - 2 * slope * shares.covariance
        + slope**2 * conversion.variance
        + from_over
    )
    p_low, p_high = wilson(p, shares.trials, shares.reach * quantile(confidence, shares.df))
    e_low, e_high = conversion.limits(confidence)
    spread = np.sqrt(shares.variance * conversion.variance)
    rho = np.divide(shares.covariance, spread, out=np.zeros_like(p), where=spread > 0)
    reach = quantile(confidence, np.inf) ** 2 * from_over
    down = _recover(p - p_low, slope * (e_high - conversion.value), rho) + reach + shares.shift_down
    up = _recover(p_high - p, slope * (conversion.value - e_low), rho) + reach + shares.shift_up
    return Estimate(
        raw=p,
        beta=beta,
        se=np.sqrt(np.maximum(variance, 0)) / scale,
        low=beta - np.sqrt(down) / scale,
        high=beta + np.sqrt(up) / scale,
    )


def _recover(one, two, rho):
    return np.maximum(one**2 + two**2 - 2 * rho * one * two, 0)


def over_conversion(observed, conversion, expected):
    """Rate g of one control: the share of methylated cytosines that read as converted.

    ``observed``: `Shares` of the mean over CpGs; ``expected``: the control's known level (fraction). From
    p = b (1 - g) + (1 - b) e. May come out below 0 by chance.
    """
    e = conversion.value + np.ravel(observed.excess)[0]
    g = (expected + (1 - expected) * e - (observed.p - observed.shift)[0]) / expected
    return float(g), float(observed.variance[0]) / expected**2


def pool_over_conversion(rates):
    """`Rate` from several controls' (g, variance): their mean, never below 0; spread between controls counts as error.

    Without any control g is taken as 0 with no error, which the caller has to say.
    """
    if not rates:
        return ASSUMED
    values, within = np.array([r[0] for r in rates]), np.array([r[1] for r in rates])
    variance = within.mean()
    if len(values) > 1:
        variance = max(variance, values.var(ddof=1))
    return Rate(max(float(values.mean()), 0.0), float(variance) / len(values), np.inf)


def m_value(beta, se, floor):
    """M value log2(b / (1 - b)) and its first-order standard error.

    A level at or below ``floor`` (half a molecule of the effective depth) has no logit: it is set to the floor first,
    likewise at the other end.
    """
    level = np.clip(beta, floor, 1 - floor)
    return np.log2(level / (1 - level)), se / (level * (1 - level) * np.log(2))
