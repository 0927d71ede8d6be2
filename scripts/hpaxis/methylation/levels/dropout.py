"""Signs of variants in the reads alone: two kinds of molecules in one library, and CpGs that some molecules lack.

Neither proves a variant, and at low methylation neither can be seen: a CpG that one allele lacks shows only on
molecules whose other CpGs are methylated.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import betainc, betaln, expit, logit

from hpaxis.methylation.levels.estimate import duplication
from hpaxis.methylation.levels.families import template_families
from hpaxis.methylation.levels.neighbours import lost_alleles

COLUMNS = ("library_id", "cpg_id", "sign", "molecules", "methylated", "share", "share_elsewhere", "level_with",
           "level_without")  # fmt: skip
# Two kinds of molecules: this far apart, each of this share at least, and this much better than one kind by the BIC.
APART, LEAST_SHARE, LEAST_GAIN = 0.4, 0.1, 10
FEWEST, FEWEST_CPGS = 100, 8
# Neighbours of a CpG: those beside it count once, those beyond them half.
WEIGHTS, BINS = (1.0, 0.5), 8
# A suspected CpG: at most this part of the templates expected are methylated; the loss of an allele is so much likelier
# (log); and without a loss so few are this rare at any of the library's CpGs of which some are expected.
PART, GAIN, RARE, FEWEST_EXPECTED = 0.75, 4.0, 0.01, 5.0
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
    `LACKING` of the molecules no G stands beside the cytosine. ``neighbours``: see `neighbours.lost_alleles`,
    of the panel's libraries given; templates count, not their copies, and are sorted by the share of methylated CpGs
    among the two on either side.
    """
    around = {name: [_templates_around(m, sample[4]) for m in sample[2]] for name, sample in samples.items()}
    rows = []
    for panel in dict.fromkeys(sample[0] for sample in samples.values()):
        names = [name for name, sample in samples.items() if sample[0] == panel]
        found = [lost_alleles(np.array(same), PART) for same in zip(*(around[name] for name in names))]
        for place, name in enumerate(names):
            _, ids_of, parts, lacking, copies = samples[name]
            for ids, part, lost in zip(ids_of, parts, lacking):
                rows += _lacking(name, ids, part, lost, copies)
            for ids, lost in zip(ids_of, found):
                n, m, expected = (values[place] for values in (lost.templates, lost.methylated, lost.expected))
                rare = RARE / max(np.count_nonzero(expected >= FEWEST_EXPECTED), 1)
                for i in np.flatnonzero((lost.gain[place] > GAIN) & (lost.chance[place] < rare)):
                    rows.append((name, ids[i], "neighbours", round(n[i] * copies), round(m[i] * copies), m[i] / n[i],
                                 expected[i] / n[i], np.nan, np.nan))  # fmt: skip
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"molecules": "Int64", "methylated": "Int64"})


def _templates_around(molecules, copies):
    """`_around` in templates: each once where their methylation distinguishes them, else molecules by ``copies``."""
    families = template_families(molecules, copies)
    return _around(molecules) / copies if families is None else _around(families)


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
