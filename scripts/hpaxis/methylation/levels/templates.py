"""How many templates a library's molecules are copies of, counted from the molecules themselves.

Failures of conversion mark templates. Where T templates with unequal numbers of copies give n molecules, the failures
at a cytosine come in jumps: K of the templates failed there, Poisson with mean T c f, and each brings all its copies
along. With gamma-distributed copies (coefficient of variation v) the number of molecules x that keep the cytosine is
negative binomial given K, and what the sequencer adds is Poisson. The likelihood over all cytosines outside CpGs, on a
grid of T, v and c, joined with what is believed of T beforehand (from the input where it is known), gives q, the
chance that two molecules are copies of one template: q = (1 + v²) / T. A variance over n independent molecules grows
by 1 + (n - 1) q.

Marking templates by chemical mutagenesis, to count them by their different sequences, is known (patent US 11,008,606).
Here nothing is added: it is what conversion missed by itself that is read, and templates are not told apart one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaln, logsumexp, xlogy

from hpaxis.methylation.levels.profile import SiteCounts, fit_profile, flat_profile, site_factors

# Templates that are thought of, where nothing is known of the input: equally likely on the logarithmic scale.
FEWEST, MOST = 15, 300_000
GRID = np.geomspace(FEWEST, MOST, 56)
# Coefficients of variation of the number of copies, and how likely each is beforehand.
SPREADS = np.array([0.2, 0.5, 0.8, 1.1, 1.5, 2.0])
SPREAD_WEIGHTS = np.array([1.0, 1.0, 1.0, 1.0, 0.7, 0.3])
# A library's rate of failure over the one that its counts show: few templates tell it poorly.
RATES = np.array([0.5, 0.7, 1.0, 1.4, 2.0])
MOST_JUMPS, BINS = 40, 20
# What reaches PCR of an input, as a factor of what is expected: standard deviation of its logarithm.
INPUT_SD = 0.7
# A likelihood that tells factors of less than this apart is no longer thin.
THIN = 10.0


@dataclass(frozen=True)
class TemplateCount:
    """Templates of one library.

    ``effective``: 1 / mean of q, with limits ``low`` and ``high``; ``spread``: variance of q over its squared mean;
    ``source``: ``reads``, ``reads and input``, ``input``, ``UMIs`` or ``unknown``; ``thin``: whether the failures of
    conversion are too few to say much.
    """

    effective: float
    low: float
    high: float
    spread: float
    source: str
    thin: bool = False

    def factor_spread(self, copies: float) -> float:
        """Variance over its square of the factor 1 + n q by which copies raise a variance, here ``copies``."""
        return self.spread * (1 - 1 / copies) ** 2 if copies > 1 else 0.0


UNKNOWN = TemplateCount(np.nan, np.nan, np.nan, 0.0, "unknown")


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
    prior = np.zeros(len(GRID))
    if known:
        prior = -0.5 * (np.log(GRID / expected) / INPUT_SD) ** 2
        prior = np.where(max(most, GRID[0]) >= GRID, prior, -np.inf)
    log = prior[:, None, None] + np.log(SPREAD_WEIGHTS)[:, None] + np.zeros(len(RATES))
    for barcode in barcodes:
        log = log + _log_likelihood(barcode)
    posterior = np.exp(log - logsumexp(log)).sum(axis=2)
    q = (1 + SPREADS**2) / GRID[:, None]
    mean = float((posterior * q).sum())
    spread = float((posterior * q**2).sum() / mean**2 - 1)
    order = np.argsort(q, axis=None)
    share = np.cumsum(posterior.ravel()[order])
    tail = (1 - confidence) / 2
    high, low = (1 / float(q.ravel()[order][min(np.searchsorted(share, p), share.size - 1)]) for p in (tail, 1 - tail))
    source = "reads and input" if known and barcodes else "input" if known else "reads"
    return TemplateCount(1 / mean, low, high, spread, source, thin=bool(barcodes) and high / low > THIN**2)


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
    jumps = np.arange(1, MOST_JUMPS + 1)
    found = np.empty((len(GRID), len(SPREADS), len(RATES)))
    cell_x, cell_n = cells[:, 0], cells[:, 1] * typical
    nothing = xlogy(cell_x, cell_n * noise) - cell_n * noise - gammaln(cell_x + 1)
    for i, templates in enumerate(GRID):
        each = cell_n / templates
        for k, rate in enumerate(RATES):
            expected = templates * c * rate * f
            if expected.max() > MOST_JUMPS / 2:
                for j, v in enumerate(SPREADS):
                    mean = n * (noise + c * rate * f)
                    extra = n**2 * c * rate * f * (1 + v**2) / templates + wide * (n * c * rate * f) ** 2
                    found[i, j, k] = _negative_binomial(x, mean, mean**2 / extra).sum()
                continue
            # Jumps at each site: Poisson, or negative binomial where the site's own rate is not certain.
            weight = np.exp(_negative_binomial(np.r_[0, jumps][None, :], expected[:, None], 1 / wide[:, None]))
            for j, v in enumerate(SPREADS):
                mean = each[:, None] * jumps
                extra = mean**2 * v**2 / jumps
                total = mean + cell_n[:, None] * noise
                given = np.exp(np.column_stack([nothing, _negative_binomial(cell_x[:, None], total, total**2 / extra)]))
                found[i, j, k] = np.log((weight * given[cell]).sum(axis=1) + 1e-300).sum()
    return found


def _negative_binomial(x, mean, size):
    """Log probability of counts of a mean and size (variance mean + mean² / size); Poisson for a very large size."""
    size = np.minimum(size, 1e9)
    return (
        gammaln(x + size) - gammaln(size) - gammaln(x + 1)
        + size * np.log(size / (size + mean)) + xlogy(x, mean / (size + mean))
    )  # fmt: skip


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


def count_study(rows: list, panels: dict, tables: dict, settings: dict) -> tuple[dict, dict]:
    """Profiles of every panel and templates of every library.

    ``rows``: of the libraries sheet; ``tables``: library_id → `calls.LibraryCalls`. Returns panel → amplicon →
    `Profile`, and library_id → `TemplateCount`.
    """
    profiles, counted = {}, {}
    for name, panel in panels.items():
        mine = [r for r in rows if r.panel == name and r.kind != "no_template"]
        profiles[name], barcodes = _study_barcodes(mine, panel, tables)
        for row in mine:
            counted[row.library_id] = _library_templates(row, tables[row.library_id], barcodes, settings)
    for row in rows:
        counted.setdefault(row.library_id, _library_templates(row, tables[row.library_id], {}, settings))
    return profiles, counted


def _study_barcodes(rows, panel, tables):
    """Profile of each amplicon, and library_id → barcodes."""
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
            barcodes.setdefault(library, []).append(Barcode(own, *site_factors(profile, libraries, i)))
    return profiles, barcodes


def _library_templates(row, tables, barcodes, settings):
    families = umi_families(tables.reads.iloc[0])
    if families is not None:
        return TemplateCount(float(families), float(families), float(families), 0.0, "UMIs")
    most = float(row.input_ng) * settings["copies_per_ng"]
    found = barcodes.get(row.library_id, [])
    if not found:
        return known_input(most * settings["template_recovery"], settings["amplification_cv"])
    return count_templates(found, most * settings["template_recovery"], most, settings["confidence"])


def known_input(templates: float, amplification_cv: float) -> TemplateCount:
    """`TemplateCount` from the input alone, taken as it is; unknown without one."""
    if not np.isfinite(templates):
        return UNKNOWN
    effective = templates / (1 + amplification_cv**2)
    return TemplateCount(effective, effective, effective, 0.0, "input")
