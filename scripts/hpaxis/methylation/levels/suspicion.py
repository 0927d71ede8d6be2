"""Signs of variants in the reads alone: two kinds of molecules in one library, and CpGs that some molecules lack.

Neither proves a variant, and at low methylation neither can be seen: a CpG that one allele lacks shows only on
molecules whose other CpGs are methylated.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import betaln, expit, logit
from scipy.stats import binom

COLUMNS = ("library_id", "cpg_id", "molecules", "methylated", "share", "share_elsewhere")
# Two kinds of molecules: this far apart, each of this share at least, and this much better than one kind by the BIC.
APART, LEAST_SHARE, LEAST_GAIN = 0.4, 0.1, 10
FEWEST, FEWEST_CPGS = 100, 8
# A suspected CpG: on molecules methylated on both sides of it, at most this part of what other libraries show there.
FEWEST_BESIDE, PART, CHANCE = 30, 0.7, 1e-6
LEAST_ELSEWHERE = 0.5


def two_groups(parts):
    """Whether molecules fall into two groups by their share of methylated CpGs: (share of the upper, its level, lower).

    One overdispersed group (beta-binomial) is held against two with a common dispersion, by the Bayesian information
    criterion. ``parts``: `Molecules` of each amplicon. None when there is one group, or too few molecules to say.
    """
    cells = pd.concat(
        [pd.DataFrame({"n": m.known.sum(axis=1), "k": m.methylated.sum(axis=1), "count": m.count}) for m in parts]
    )
    cells = cells[cells["n"] >= max(FEWEST_CPGS, 0.5 * cells["n"].max() if len(cells) else 0)]
    cells = cells.groupby(["n", "k"], sort=True)["count"].sum().reset_index()
    n, k, count = cells["n"].to_numpy(), cells["k"].to_numpy(), cells["count"].to_numpy()
    total = count.sum()
    if total < FEWEST:
        return None
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
    """CpGs that look as if an allele lacked them: `COLUMNS`, one row a library and CpG.

    ``samples``: library_id → (panel's name, ids of its CpGs by amplicon, `Molecules` by amplicon). On molecules that
    are methylated at both neighbours, a CpG shows what it shows in the panel's other libraries given, or half of it
    where one allele has lost it. Told at `PART` of that or less, if chance would give it in one of a million.
    """
    beside = {name: [_beside(m) for m in parts] for name, (_, _, parts) in samples.items()}
    rows = []
    for panel in dict.fromkeys(panel for panel, _, _ in samples.values()):
        names = [name for name, sample in samples.items() if sample[0] == panel]
        totals = [sum(parts) for parts in zip(*(beside[name] for name in names))]
        for name in names:
            for ids, mine, total in zip(samples[name][1], beside[name], totals):
                n, m = mine
                others, hits = total - mine
                elsewhere = np.divide(hits, others, out=np.full(len(n), np.nan), where=others >= FEWEST_BESIDE)
                with np.errstate(invalid="ignore"):
                    low = (n >= FEWEST_BESIDE) & (elsewhere >= LEAST_ELSEWHERE) & (m <= PART * elsewhere * n)
                for i in np.flatnonzero(low):
                    if binom.cdf(m[i], n[i], elsewhere[i]) < CHANCE:
                        rows.append((name, ids[i], int(n[i]), int(m[i]), m[i] / n[i], elsewhere[i]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def suspicions(sample, suspected):
    """What the reads of a study library look like beside methylation, as reasons in words that tell no genotype."""
    found = []
    if sample.row.kind != "study":
        return found
    if number := int((suspected["library_id"] == sample.row.library_id).sum()):
        found.append(f"{number} CpG{'s' * (number > 1)} may hold a C/T variant: molecules methylated around lack it")
    if groups := two_groups(sample.parts):
        share, high, low = (100 * value for value in groups)
        found.append(
            f"molecules fall into two groups, {share:.0f} % of them methylated at {high:.0f} %, the others at "
            f"{low:.0f} %: alleles that differ, or another DNA"
        )
    return found


def _beside(molecules):
    """Molecules methylated at both neighbours of each CpG that know it, and those methylated there too (2 × CpGs)."""
    size = molecules.methylated.shape[1]
    found = np.zeros((2, size))
    for i in range(size):
        sides = [j for j in (i - 1, i + 1) if 0 <= j < size]
        if i in (0, size - 1):
            sides = [j for j in ((1, 2) if i == 0 else (size - 2, size - 3)) if 0 <= j < size and j != i]
        if len(sides) < 2:
            continue
        rows = molecules.methylated[:, sides].all(axis=1)
        found[:, i] = (
            molecules.count[rows] @ molecules.known[rows, i],
            molecules.count[rows] @ molecules.methylated[rows, i],
        )
    return found
