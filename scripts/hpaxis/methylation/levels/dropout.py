"""Signs of variants in the reads alone: two kinds of molecules in one library, and CpGs that some molecules lack.

Neither proves a variant, and at low methylation neither can be seen: a CpG that one allele lacks shows only on
molecules whose other CpGs are methylated.
"""

import numpy as np
import pandas as pd
from scipy.optimize import brentq, minimize
from scipy.special import betainc, betaln, expit, logit
from scipy.stats import beta

from hpaxis.methylation.levels.estimate import duplication
from hpaxis.methylation.levels.families import template_families

COLUMNS = ("library_id", "cpg_id", "sign", "molecules", "methylated", "share", "share_elsewhere", "level_with",
           "level_without")  # fmt: skip
# Two kinds of molecules: this far apart, each of this share at least, and this much better than one kind by the BIC.
APART, LEAST_SHARE, LEAST_GAIN = 0.4, 0.1, 10
FEWEST, FEWEST_CPGS = 100, 8
# A suspected CpG: on molecules of which the CpGs around say methylated, at most this part of what other libraries
# show there, on so many templates, where half is `GAIN` times (log) as likely as all. CpGs beside count once, those
# beyond them half. Templates of either allele are copied unequally (`ALLELES`, SD of an allele's share of a half);
# libraries differ in one CpG beside others by `UNLIKE` at least (SD of the logit), and by `UNKNOWN_UNLIKE`, too much to
# tell anything, where fewer than `FEWEST_PAIRS` of library and CpG can be judged; below `MANY_PAIRS` by no less than an
# upper bound of it. All pairs but one in fifty tell it, since tails are long and a CpG of some libraries may lack an
# allele; `QUANTILE` is that of a squared standard normal deviate. Levels above `HIGHEST` differ as this one does.
WEIGHTS, BINS = (1.0, 0.5), 8
# Templates on which most of the others' are methylated, without which nothing is judged, and those on which fewer are.
STRATA = ((0.5, 1.01), (0.15, 0.5))
FEWEST_BESIDE, FEWEST_JUDGED, PART, GAIN, ALLELES = 15, 8, 0.75, 6.0, 0.08
UNLIKE, FEWEST_PAIRS, MANY_PAIRS, UNKNOWN_UNLIKE, HIGHEST = 0.1, 20, 100, 2.0, 0.95
UPPER = 1.645  # normal quantile of a one-sided 95 % bound
MOST_OF_THEM, QUANTILE = 0.98, 5.412
# What failures of conversion leave of a CpG that both alleles lack. A level that neither this nor half leads to expect
# has another cause, a tenth as likely beforehand as an allele's loss.
NOTHING = 0.02
OTHER_CAUSE = np.log(0.1)
CHANCE = 1e-4
# A CpG that molecules lack: so large a share of them, where errors give hardly any.
LACKING, ERRORS, FEWEST_TEMPLATES = 0.15, 0.02, 8


def two_groups(parts, copies=1.0):
    """Whether molecules fall into two groups by their share of methylated CpGs: (share of the upper, its level, lower).

    One overdispersed group (beta-binomial) is held against two with a common dispersion, by the Bayesian information
    criterion. ``parts``: `MoleculeCounts` of each amplicon; ``copies``: molecules per template, as to what they show.
    None when there is one group, or too few molecules to say.
    """
    cells = pd.concat(
        [pd.DataFrame({"n": m.known.sum(axis=1), "k": m.methylated.sum(axis=1), "count": m.count}) for m in parts]
    )
    cells = cells[cells["n"] >= max(FEWEST_CPGS, 0.5 * cells["n"].max() if len(cells) else 0)]
    cells = cells.groupby(["n", "k"], sort=True)["count"].sum().reset_index()
    n, k, count = cells["n"].to_numpy(), cells["k"].to_numpy(), cells["count"].to_numpy()
    if count.sum() < FEWEST:
        return None
    count = count / copies
    total = count.sum()
    # Quick: two groups that far apart leave molecules on both sides of some level, well above the lower.
    upper = count[k / n >= APART].sum() / total
    if not LEAST_SHARE / 2 <= upper <= 1 - LEAST_SHARE / 2:
        return None

    def density(level, spread):
        # Beta-binomial without its binomial coefficient, which all groups share.
        level, spread = np.clip(level, 1e-4, 1 - 1e-4), np.clip(spread, 1e-4, 0.9)
        a, b = level * (1 / spread - 1), (1 - level) * (1 / spread - 1)
        return np.exp(betaln(k + a, n - k + b) - betaln(a, b))

    def one(x):
        return -(count * np.log(density(*expit(x)) + 1e-300)).sum()

    def two(x):
        share, low, high, spread = expit(x)
        return -(count * np.log((1 - share) * density(low, spread) + share * density(high, spread) + 1e-300)).sum()

    options = {"maxiter": 2000, "xatol": 1e-3, "fatol": 1e-2}
    middle = (count * k).sum() / (count * n).sum()
    single = minimize(one, logit([np.clip(middle, 0.01, 0.99), 0.1]), method="Nelder-Mead", options=options)
    half = k / n >= APART
    levels = [np.clip((count * k)[part].sum() / (count * n)[part].sum(), 0.01, 0.99) for part in (~half, half)]
    double = minimize(two, logit([upper, *levels, 0.05]), method="Nelder-Mead", options=options)
    share, low, high, _ = expit(double.x)
    if high < low:
        share, low, high = 1 - share, high, low
    gain = 2 * (single.fun - double.fun) - 2 * np.log(total)
    if gain > LEAST_GAIN and high - low >= APART and LEAST_SHARE <= share <= 1 - LEAST_SHARE:
        return float(share), float(high), float(low)
    return None


def suspected_variants(samples):
    """CpGs that look as if an allele lacked them: `COLUMNS`, one row per library, CpG and sign.

    ``samples``: library_id → (panel's name, ids of its CpGs by amplicon, `MoleculeCounts` by amplicon, which of them
    show another base at which CpGs, and how many molecules are worth one template). Two signs. ``lacking``: on
    `LACKING` of the molecules no G stands beside the cytosine. ``neighbours``: molecules are sorted by the share of
    methylated CpGs among the two on either side; where the panel's other libraries given show a CpG methylated on
    enough of such molecules, one that an allele has lost shows half of what they do. Both are held against each other,
    with what is known of how much libraries differ there anyway, learnt from all of them, and of the shares of two
    alleles after PCR. Templates count, not their copies.
    """
    around = {name: [_templates_around(m, sample[4]) for m in sample[2]] for name, sample in samples.items()}
    rows = []
    for panel in dict.fromkeys(sample[0] for sample in samples.values()):
        names = [name for name, sample in samples.items() if sample[0] == panel]
        totals = [sum(parts) for parts in zip(*(around[name] for name in names))]
        judged = []
        for name in names:
            _, ids_of, parts, lacking, copies = samples[name]
            for ids, mine, total, part, lost in zip(ids_of, around[name], totals, parts, lacking):
                rows += _lacking(name, ids, part, lost, copies)
                judged.append((name, ids, copies, [_beside_others(mine, total - mine, s) for s in STRATA]))
        for place, (name, ids, copies, strata) in enumerate(judged):
            n, m, expected, _, enough = strata[0]
            for i in np.flatnonzero(enough & (m <= PART * expected)):
                unlike = _unlike(judged, place, i)
                gains = [
                    _gain(n[i], m[i], expected[i], variance[i], unlike)
                    for n, m, expected, variance, enough in strata
                    if enough[i]
                ]
                if max(sum(gains)) > GAIN:
                    rows.append((name, ids[i], "neighbours", round(n[i] * copies), round(m[i] * copies), m[i] / n[i],
                                 expected[i] / n[i], np.nan, np.nan))  # fmt: skip
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"molecules": "Int64", "methylated": "Int64"})


def _templates_around(molecules, copies):
    """`_around` in templates: each once where their methylation distinguishes them, else molecules by ``copies``."""
    families = template_families(molecules, copies)
    return _around(molecules) / copies if families is None else _around(families)


def _beside_others(mine, others, between):
    """Of each CpG: templates judged, methylated, what others lead to expect, its variance, and whether they suffice.

    ``between``: which templates are judged, by the share of others of their kind that are methylated.

    What others lead to expect is scaled by how the library stands to them over all its CpGs (weighted median).
    """
    share = np.divide(others[1], others[0], out=np.zeros(others[0].shape), where=others[0] >= FEWEST_BESIDE)
    judged = (share >= between[0]) & (share < between[1])
    n, m = (np.where(judged, numbers, 0).sum(axis=1) for numbers in mine)
    expected = np.where(judged, mine[0] * share, 0).sum(axis=1)
    enough = n >= FEWEST_JUDGED
    expected = np.minimum(expected * min(_typical_ratio(m[enough], expected[enough]), 1.1), 0.995 * n)
    enough &= expected > 0
    level = np.divide(expected, n, out=np.zeros(len(n)), where=n > 0)
    beside = np.where(judged, others[0], 0).sum(axis=1)
    of_others = np.divide(n**2, beside, out=np.zeros(len(n)), where=beside > 0)
    variance = (n + of_others) * level * (1 - level)
    return n, m, expected, variance, enough


def _typical_ratio(m, expected):
    """Weighted median of m / expected; 1 for too few."""
    if len(m) < 3:
        return 1.0
    ratio = m / expected
    order = np.argsort(ratio)
    share = np.cumsum(expected[order])
    return float(ratio[order][np.searchsorted(share, share[-1] / 2)])


def _gain(n, m, expected, variance, unlike):
    """Log of how much likelier m of n is where one allele, and where both, lack the CpG than where none does.

    Densities are beta's. Minus infinity where what is seen would be unlikely in either case (`OTHER_CAUSE`).
    """
    level = expected / n
    spread = _differing(level, unlike) ** 2
    # What a variance at this level is at another, as of a binomial.
    single = variance / n**2 / (level * (1 - level))
    half = level / 2
    shown = np.clip(m / n, single / 4, 1 - single / 4)

    def log_density(mean, var):
        size = max(mean * (1 - mean) / var - 1, 0.05)
        return beta.logpdf(shown, mean * size, (1 - mean) * size)

    lacks = np.array(
        [
            log_density(half, single * half * (1 - half) + spread + (ALLELES * level) ** 2),
            log_density(NOTHING, single * NOTHING * (1 - NOTHING) + NOTHING**2),
        ]
    )
    gain = lacks - log_density(level, single * level * (1 - level) + spread)
    return np.where(lacks < OTHER_CAUSE, -np.inf, gain)


def _differing(level, unlike):
    """SD of a level whose logit has SD ``unlike``."""
    level = np.minimum(level, HIGHEST)
    return unlike * level * (1 - level)


def _unlike(judged, place, cpg):
    """By how much libraries differ in one CpG beside others, one CpG of one of them left out: SD of the logit.

    All pairs but one in fifty tell it; of few pairs, the upper end of that quantile's distribution-free interval.
    """
    parts = []
    for i, row in enumerate(judged):
        others = np.arange(len(row[1])) != (cpg if i == place else -1)
        parts += [[values[enough & others] for values in numbers] for *numbers, enough in row[-1]]
    n, m, expected, variance = (np.concatenate(values) for values in zip(*parts))
    if len(m) < FEWEST_PAIRS:
        return UNKNOWN_UNLIKE

    above = UPPER * np.sqrt(MOST_OF_THEM * (1 - MOST_OF_THEM) / len(m)) if len(m) < MANY_PAIRS else 0.0
    rank = min(MOST_OF_THEM + above, 1.0)

    def middle(sd):
        return np.quantile((m - expected) ** 2 / (variance + (n * _differing(expected / n, sd)) ** 2), rank) - QUANTILE

    if middle(UNLIKE) <= 0:
        return UNLIKE
    return UNKNOWN_UNLIKE if middle(UNKNOWN_UNLIKE) > 0 else float(brentq(middle, UNLIKE, UNKNOWN_UNLIKE))


def _lacking(name, ids, molecules, lost, copies):
    """Rows of the CpGs that part of the molecules lack, with the level of the other CpGs on either kind of them.

    ``lost``: molecules × CpGs, whether another base stands there.
    """
    count, rows = molecules.count, []
    read = count @ (lost | (molecules.known > 0))
    missing = count @ lost
    for i in np.flatnonzero((missing > LACKING * read) & (read / copies >= FEWEST_TEMPLATES)):
        n, k = read[i] / copies, missing[i] / copies
        if betainc(k, max(n - k, 0) + 1, ERRORS) >= CHANCE:
            continue
        levels = []
        for rows_of in (molecules.known[:, i] > 0, lost[:, i]):
            known = (count[rows_of] @ molecules.known[rows_of]).sum() - (count[rows_of] @ molecules.known[rows_of, i])
            hits = (count[rows_of] @ molecules.methylated[rows_of]).sum()
            hits -= count[rows_of] @ molecules.methylated[rows_of, i]
            levels.append(hits / known if known else np.nan)
        rows.append((name, ids[i], "lacking", int(read[i]), None, missing[i] / read[i], np.nan, *levels))
    return rows


def dropout_notes(sample, suspected):
    """What the reads of a study library look like beside methylation, as reasons in words that tell no genotype."""
    found = []
    if sample.row.kind != "study":
        return found
    mine = suspected[suspected["library_id"] == sample.row.library_id]
    if number := int((mine["sign"] == "neighbours").sum()):
        found.append(f"{number} CpG{'s' * (number > 1)} may hold a C/T variant: molecules methylated around lack it")
    if number := int((mine["sign"] == "lacking").sum()):
        what = f"{number} CpG{'s' * (number > 1)} may hold a variant of the G: another base stands there"
        found.append(f"{what}, and such molecules have no call")
    if groups := two_groups(sample.parts, max(duplication(m, sample.templates) for m in sample.parts)):
        share, high, low = (100 * value for value in groups)
        found.append(
            f"molecules fall into two groups, {share:.0f} % of them methylated at {high:.0f} %, the others at "
            f"{low:.0f} %: alleles that differ, or another DNA"
        )
    return found


def _around(molecules):
    """Molecules that know a CpG, and those methylated there, by what the CpGs around show: 2 × CpGs × bins."""
    size = molecules.methylated.shape[1]
    found = np.zeros((2, size, BINS))
    if size < 3:
        return found
    weight = sum(w * (np.eye(size, k=d) + np.eye(size, k=-d)) for d, w in enumerate(WEIGHTS, start=1))
    known, methylated = molecules.known @ weight, molecules.methylated @ weight
    for i in range(size):
        rows = (known[:, i] >= 1) & (molecules.known[:, i] > 0)
        place = np.minimum((BINS * methylated[rows, i] / known[rows, i]).astype(int), BINS - 1)
        found[0, i] = np.bincount(place, molecules.count[rows], BINS)
        found[1, i] = np.bincount(place, molecules.count[rows] * molecules.methylated[rows, i], BINS)
    return found
