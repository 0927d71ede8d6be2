"""How many templates a library's molecules are copies of, counted from the molecules themselves.

Failures of conversion mark templates. Where T templates with unequal numbers of copies give n molecules, the failures
at a cytosine come in jumps: K of the templates failed there, Poisson with mean T c f, and each brings all its copies
along. Numbers of copies have a coefficient of variation v; their distribution is taken to be gamma or, with a longer
tail, inverse Gaussian, both equally likely beforehand. Sums of K of either are of the same kind, so the number of
molecules x that keep the cytosine is, given K, negative binomial (Poisson with a gamma mean) or Poisson-inverse
Gaussian (Holla, 1967; Willmot, 1987); what the sequencer adds is Poisson. The likelihood over all cytosines outside
CpGs, on a grid of T, v and c, joined with what is believed of T beforehand (from the input where it is known), gives q,
the chance that two molecules are copies of one template: q = (1 + v²) / T. A variance over n independent molecules
grows by 1 + n q.

Marking templates by chemical mutagenesis, to count them by their different sequences, is known (patent US 11,008,606).
Here nothing is added: it is what conversion missed by itself that is read, and templates are not told apart one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import gammaln, logsumexp, ndtr, ndtri, xlogy

from hpaxis.methylation.levels.profile import Seen, SiteCounts, fit_profile, flat_profile, site_factors
from hpaxis.settings import MethylationSettings

# Templates that are thought of, where nothing is known of the input: equally likely on the logarithmic scale.
FEWEST, MOST = 15, 300_000
GRID = np.geomspace(FEWEST, MOST, 44)
# Coefficients of variation of the number of copies, whether their tail is long, and how likely each is beforehand.
# Where copies vary little the two distributions are one.
SPREADS = np.array([0.3, 0.7, 1.2, 1.8, 0.8, 1.4, 2.4])
LONG_TAIL = np.array([False, False, False, False, True, True, True])
SPREAD_WEIGHTS = np.array([1.0, 1.0, 0.5, 0.3, 0.5, 0.5, 0.2])
# A library's rate of failure over the one that its counts show: few templates tell it poorly.
RATES = np.array([0.5, 0.7, 1.0, 1.4, 2.0])
MOST_JUMPS, BINS = 40, 20
# What reaches PCR of an input, as a factor of what is expected: standard deviation of its logarithm.
INPUT_SD = 0.7
# The input is contradicted where so few templates as it holds are less likely than this by the molecules alone.
CONTRADICTED = 1e-3
# A likelihood that tells factors of less than this apart is no longer thin.
THIN = 10.0


@dataclass(frozen=True)
class TemplateCount:
    """Templates of one library.

    ``effective``: 1 / mean of q, with limits ``low`` and ``high``; ``source``: ``reads``, ``reads and input``,
    ``input``, ``UMIs`` or ``unknown``; ``thin``: whether the failures of conversion are too few to say much;
    ``chances``: values of q and how likely each is (2 × values), None where q is taken as known; ``middle``: templates
    that are as likely fewer as more, None where they are taken as known; ``held``: templates that the input can hold,
    where the molecules contradict it, which then says nothing.
    """

    effective: float
    low: float
    high: float
    source: str
    thin: bool = False
    chances: np.ndarray | None = None
    middle: float | None = None
    held: float | None = None

    def reach(self, molecules: float, confidence: float) -> float:
        """By what a normal quantile is multiplied where a variance of ``molecules`` is that of the mean q.

        The error is normal given q, so over what is known of q it is a mixture of normals; 1 where q is known or
        hardly matters.
        """
        if self.chances is None:
            return 1.0
        q, weight = self.chances
        sd = np.sqrt((1 + molecules * q) / (1 + molecules / self.effective))
        tail, z = (1 - confidence) / 2, -ndtri((1 - confidence) / 2)
        if np.ptp(sd) < 1e-9:
            return 1.0
        return float(brentq(lambda r: weight @ ndtr(-z * r / sd) - tail, sd.min(), sd.max()))


UNKNOWN = TemplateCount(np.nan, np.nan, np.nan, "unknown")


@dataclass(frozen=True)
class Barcode:
    """Counts of one amplicon with the sites' factors and their relative variances, as from `profile.site_factors`."""

    counts: SiteCounts
    factors: np.ndarray
    variances: np.ndarray


def count_templates(barcodes: list[Barcode], expected: float, most: float, confidence: float) -> TemplateCount:
    """`TemplateCount` of one library.

    ``expected``: templates that its input leads to expect, NaN where it is not known; ``most``: those that the input
    can hold at most (NaN).
    """
    barcodes = [b for b in barcodes if b.counts.known.sum() > 0]
    known = np.isfinite(expected) and expected > 0
    if not barcodes and not known:
        return UNKNOWN
    log = np.log(SPREAD_WEIGHTS)[:, None] + np.zeros((len(GRID), 1, len(RATES)))
    for barcode in barcodes:
        log = log + _log_likelihood(barcode)
    within = max(most, GRID[0]) >= GRID
    contradicted = known and bool(barcodes) and logsumexp(log[within]) - logsumexp(log) < np.log(CONTRADICTED)
    if known and not contradicted:
        prior = np.where(within, -0.5 * (np.log(GRID / expected) / INPUT_SD) ** 2, -np.inf)
        log = log + prior[:, None, None]
    posterior = np.exp(log - logsumexp(log)).sum(axis=2)
    q = (1 + SPREADS**2) / GRID[:, None]
    mean = float((posterior * q).sum())
    order = np.argsort(q, axis=None)
    share = np.cumsum(posterior.ravel()[order])
    tail = (1 - confidence) / 2
    high, middle, low = (
        1 / float(q.ravel()[order][min(np.searchsorted(share, p), share.size - 1)]) for p in (tail, 0.5, 1 - tail)
    )
    source = "reads" if not known or contradicted else "reads and input" if barcodes else "input"
    thin = bool(barcodes) and high / low > THIN**2
    return TemplateCount(1 / mean, low, high, source, thin, _binned(q.ravel(), posterior.ravel()), middle,
                         most if contradicted else None)  # fmt: skip


def _binned(q, weight):
    """Values of q and their weights, those within a tenth of each other as one: 2 × values."""
    place = np.floor(np.log(q) / 0.1).astype(int)
    place -= place.min()
    weights, sums = np.bincount(place, weight), np.bincount(place, weight * q)
    kept = weights > 1e-12
    return np.array([sums[kept] / weights[kept], weights[kept] / weights[kept].sum()])


def _log_likelihood(barcode):
    """Log likelihood of one amplicon's counts: T × spreads × rates."""
    counts, factors = barcode.counts, barcode.factors
    used = counts.known >= 0.5 * counts.known.max()
    x, n, f = counts.unconverted[used], counts.known[used], factors[used]
    wide = np.maximum(barcode.variances[used], 1e-9)
    typical = float(np.median(n))
    # Failures that few templates carry come in jumps: half of one where none is seen.
    c = max(float((x - counts.error * n).sum() / (n @ f)), 0.5 / float(n @ f))
    noise = max(counts.error, 1e-6)
    # Sites of like depth and count share their likelihood given the jumps.
    depth = np.round(n / typical * BINS) / BINS
    cells, cell = np.unique(np.column_stack([x, depth]), axis=0, return_inverse=True)
    cell = cell.ravel()
    cell_x, cell_n = cells[:, 0], cells[:, 1] * typical
    found = np.empty((len(GRID), len(SPREADS), len(RATES)))
    # Few jumps are counted one by one; of many the sum of all is of the same kind.
    many = GRID[:, None] * c * RATES * f.max() > MOST_JUMPS / 2
    templates, rates = GRID[many.nonzero()[0], None], RATES[many.nonzero()[1], None]
    mean = n * (noise + c * rates * f)
    for j, (v, long) in enumerate(zip(SPREADS, LONG_TAIL)):
        extra = n**2 * c * rates * f * (1 + v**2) / templates + wide * (n * c * rates * f) ** 2
        found[:, j][many] = _counts(x, mean, extra, long).sum(axis=1)
    few = ~many.all(axis=1)
    if few.any():
        found[few] = np.where(
            many[few, None],
            found[few],
            _few_jumps(GRID[few], c * RATES[:, None] * f, wide, cell, cell_x, cell_n, noise),
        )
    return found


def _few_jumps(templates, rates, wide, cell, x, n, noise):
    """Log likelihood with the jumps at each site counted one by one: T × spreads × rates.

    ``rates``: rates × sites, a template's chance of failing there, and ``wide`` their relative variances; ``cell``: the
    row of ``x`` and ``n`` that each site's count and depth are.
    """
    jumps = np.arange(MOST_JUMPS + 1)
    mean = n[:, None] / templates[:, None, None] * jumps[1:]
    total = mean + n[:, None] * noise
    nothing = xlogy(x, n * noise) - n * noise - gammaln(x + 1)
    given = np.empty((len(templates), len(SPREADS), len(x), len(jumps)))
    given[..., 0] = np.exp(nothing)
    for j, (v, long) in enumerate(zip(SPREADS, LONG_TAIL)):
        given[:, j, :, 1:] = np.exp(_counts(x[:, None], total, mean**2 * v**2 / jumps[1:], long))
    # Jumps at each site: Poisson, or negative binomial where the site's own rate is not certain.
    size = np.minimum(1 / wide[:, None], 1e9)
    ways = gammaln(jumps + size) - gammaln(size) - gammaln(jumps + 1)
    found = np.empty((len(templates), len(SPREADS), len(rates)))
    for i, number in enumerate(templates):
        expected = (number * rates)[..., None]
        weight = np.exp(ways + size * np.log(size / (size + expected)) + xlogy(jumps, expected / (size + expected)))
        found[i] = np.log(np.einsum("rsk,jsk->jrs", weight, given[i][:, cell]) + 1e-300).sum(axis=2)
    return found


def _counts(x, mean, extra, long):
    """Log probability of counts whose own mean varies by ``extra``: as a gamma, or as an inverse Gaussian if long."""
    if long:
        return _poisson_inverse_gaussian(x, mean, mean**3 / extra)
    return _negative_binomial(x, mean, mean**2 / extra)


def _negative_binomial(x, mean, size):
    """Log probability of counts of a mean and size (variance mean + mean² / size); Poisson for a very large size."""
    size = np.minimum(size, 1e9)
    return (
        gammaln(x + size) - gammaln(size) - gammaln(x + 1)
        + size * np.log(size / (size + mean)) + xlogy(x, mean / (size + mean))
    )  # fmt: skip


def _poisson_inverse_gaussian(x, mean, shape):
    """Log probability of counts whose mean is inverse Gaussian (variance mean³ / shape)."""
    order = np.abs(x - 0.5)
    root = np.sqrt(shape * (2 + shape / mean**2))
    # shape / mean - root, without the loss of digits where both are large.
    away = -2 * shape / (shape / mean + root)
    return (
        0.5 * np.log(2 * shape / np.pi) + away - gammaln(x + 1)
        + 0.5 * (x - 0.5) * np.log(shape / (2 + shape / mean**2)) + _log_bessel(order, root)
    )  # fmt: skip


def _log_bessel(order, z):
    """log (K(z) e^z), K the modified Bessel function of the second kind, of orders 1/2, 3/2, ...

    Exact for the first four, beyond that the uniform expansion in the order (Debye; DLMF 10.41.4), right to 1e-4.
    """
    order, z = np.broadcast_arrays(order, z)
    found = np.empty(z.shape)
    # Coefficients of the polynomials in 1 / z of the orders 1/2 to 7/2.
    for i, factors in enumerate(((1,), (1, 1), (3, 3, 1), (15, 15, 6, 1))):
        here = order == i + 0.5
        found[here] = 0.5 * np.log(np.pi / (2 * z[here])) + np.log(np.polyval(factors, 1 / z[here]))
    here = order > 4
    order, z = order[here], z[here]
    r = np.sqrt(order * order + z * z)
    t = order / r
    s, each = t * t, 1 / r
    u1 = (3 - 5 * s) / 24
    u2 = (81 - s * (462 - 385 * s)) / 1152
    u3 = (30375 - s * (369603 - s * (765765 - 425425 * s))) / 414720
    series = 1 - each * (u1 - each * (u2 - each * u3))
    # order asinh(order / z) - r + z, without the loss of digits where z is large.
    found[here] = order * np.log((order + r) / z) - order**2 / (r + z) + np.log(series * np.sqrt(np.pi / 2 * each))
    return found


def rounded(number: float) -> str:
    """A number of templates as its error allows: two significant digits."""
    if not np.isfinite(number):
        return "unknown"
    return f"{float(f'{number:.2g}'):,.0f}"


def umi_families(reads) -> int | None:
    """Templates that UMIs tell apart; None without UMIs."""
    found = reads.get("umi_families")
    return None if found is None or pd.isna(found) else int(found)


def sequencing_error(reads) -> float:
    """Share of cytosines that seem unconverted by sequencing error alone: T of the reference read as C; else 0."""
    bases, wrong = reads.get("t_bases"), reads.get("t_read_as_c")
    if bases is None or pd.isna(bases) or wrong is None or pd.isna(wrong) or not bases:
        return 0.0
    return float(wrong) / float(bases)


def count_study(rows: list, panels: dict, tables: dict, settings: MethylationSettings) -> tuple[dict, dict]:
    """What every library sees of its panel's profiles, and its templates.

    ``rows``: of the libraries sheet; ``tables``: library_id → `calls.LibraryCalls`. Returns library_id → amplicon →
    `profile.Seen`, and library_id → `TemplateCount`.
    """
    seen: dict = {row.library_id: {} for row in rows}
    counted: dict = {}
    for name, panel in panels.items():
        mine = [r for r in rows if r.panel == name and r.kind != "no_template"]
        profiles, barcodes = _study_barcodes(mine, panel, tables)
        for row in rows:
            if row.panel == name:
                seen[row.library_id] = {
                    amplicon: _seen(profile, barcodes.get(row.library_id, {}).get(amplicon))
                    for amplicon, profile in profiles.items()
                }
        for row in mine:
            counted[row.library_id] = _library_templates(row, tables[row.library_id], barcodes, settings)
    for row in rows:
        counted.setdefault(row.library_id, _library_templates(row, tables[row.library_id], {}, settings))
    return seen, counted


def _seen(profile, barcode):
    if barcode is None:
        return Seen(profile.cpgs, profile.covariance)
    return profile.seen_by(barcode.counts.known, barcode.factors, barcode.variances)


def _study_barcodes(rows, panel, tables):
    """Profile of each amplicon, and library_id → amplicon → barcode."""
    profiles, barcodes = {}, {}
    for amplicon, reference in panel.references.items():
        cpgs, found = panel.cpg_offsets(amplicon), {}
        for row in rows:
            table = tables[row.library_id].sites
            if table is None or not len(table):
                continue
            table = table[table["amplicon"] == amplicon]
            if len(table):
                found[row.library_id] = table, sequencing_error(tables[row.library_id].reads.iloc[0])
        keys = sorted({key for table, _ in found.values() for key in zip(table["strand"], table["offset"])})
        if not keys:
            profiles[amplicon] = flat_profile(0, len(cpgs))
            continue
        index = pd.MultiIndex.from_tuples(keys, names=["strand", "offset"])
        counts = {}
        for library, (table, error) in found.items():
            numbers = table.set_index(["strand", "offset"])[["unconverted", "converted"]].reindex(index, fill_value=0)
            x, rest = numbers.to_numpy(dtype=float).T
            counts[library] = SiteCounts(x, x + rest, error)
        offsets = np.array([offset for _, offset in keys])
        libraries = list(counts.values())
        profile = fit_profile(libraries, offsets, cpgs, len(reference))
        profiles[amplicon] = profile
        for i, (library, own) in enumerate(counts.items()):
            barcodes.setdefault(library, {})[amplicon] = Barcode(own, *site_factors(profile, libraries, i))
    return profiles, barcodes


def _library_templates(row, tables, barcodes, settings):
    families = umi_families(tables.reads.iloc[0])
    if families is not None:
        return TemplateCount(float(families), float(families), float(families), "UMIs")
    most = float(row.input_ng) * settings.copies_per_ng
    found = list(barcodes.get(row.library_id, {}).values())
    if not found:
        return known_input(most * settings.template_recovery, settings.amplification_cv)
    return count_templates(found, most * settings.template_recovery, most, settings.confidence)


def known_input(templates: float, amplification_cv: float) -> TemplateCount:
    """`TemplateCount` from the input alone, taken as it is; unknown without one."""
    if not np.isfinite(templates):
        return UNKNOWN
    effective = templates / (1 + amplification_cv**2)
    return TemplateCount(effective, effective, effective, "input")
