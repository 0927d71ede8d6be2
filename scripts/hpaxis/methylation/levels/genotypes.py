"""Genotypes at the variants of the SNP mask, and what they say of samples: carry-over, swaps, kinship. Private.

A genotype is called from molecules by three beta-binomial models with equal prior weight: 1.6 % of the other allele on
average where homozygous (errors, carry-over), a half where heterozygous, give or take 6 % for unequal amplification.
"""

import numpy as np
import pandas as pd
from scipy.special import betaln

from hpaxis.methylation.levels.estimate import wilson
from hpaxis.quantiles import normal_quantile, poisson_tail

COLUMNS = ("library_id", "amplicon", "chrom", "pos", "ref", "alt", "depth", "alt_share", "genotype", "error")
IDENTITY = ("library_id", "n_variants", "carry_over", "carry_over_low", "carry_over_high", "n_compared", "flags")
VARIANT = ["amplicon", "chrom", "pos", "ref", "alt"]
GENOTYPES = ("0/0", "0/1", "1/1")
SHAPES = ((1, 60), (30, 30), (60, 1))
FEWEST, LARGEST_ERROR = 20, 0.01
# A difference between two libraries is told when errors of the genotypes would give it more rarely than this.
CHANCE = 0.001
MESSAGES = {
    "another_person": "genotypes differ from another library of the participant: samples may be swapped",
    "not_parent_and_child": "no allele shared with the other member of the dyad at a variant: not parent and child, or "
                            "swapped samples",
}  # fmt: skip


def call_genotypes(alleles):
    """Genotype of each variant of one library, from its table of alleles (see `alleles.AlleleTally`).

    ``error``: posterior chance that it is another one. Fewer than `FEWEST` molecules, or an error above
    `LARGEST_ERROR`, leave it NA. Returns `COLUMNS` without library_id.
    """
    totals = alleles[alleles["cpg_id"].isna()]
    rows = []
    for key, group in totals.groupby(VARIANT, sort=True):
        counts = group.set_index("allele")["molecules"].astype(int)
        n, alt = int(counts["ref"] + counts["alt"]), int(counts["alt"])
        # Log of the beta-binomial, without its factor that all shapes share.
        weight = np.array([betaln(alt + a, n - alt + b) - betaln(a, b) for a, b in SHAPES])
        posterior = np.exp(weight - weight.max())
        posterior /= posterior.sum()
        best, error = int(posterior.argmax()), float(1 - posterior.max())
        known = n >= FEWEST and error <= LARGEST_ERROR
        rows.append((*key, n, alt / n if n else np.nan, GENOTYPES[best] if known else None, error))
    return pd.DataFrame(rows, columns=list(COLUMNS[1:]))


def phased_methylation(alleles, genotypes):
    """Methylated and unmethylated molecules of each CpG by allele, at the library's heterozygous variants."""
    heterozygous = genotypes.loc[genotypes["genotype"] == "0/1", VARIANT]
    cpgs = alleles[alleles["cpg_id"].notna() & alleles["allele"].isin(("ref", "alt"))]
    return cpgs.merge(heterozygous, on=VARIANT)


def identity_table(genotypes, alleles, people, confidence=0.95):
    """What may leave the private folder: counts of variants, carry-over, and flags; one row per library.

    ``genotypes``, ``alleles``: library_id → table; ``people``: library_id → (participant, dyad, role), None where not
    known. ``carry_over`` is the share of molecules from other samples: the other allele's share where the library is
    homozygous, less the share of bases that are neither allele, over how often others have that allele. Samples that
    share all its alleles are not seen. ``n_compared``: variants called in both libraries of the pairs compared.
    """
    flags = {library: set() for library in genotypes}
    compared = dict.fromkeys(genotypes, 0)
    for one, two, kind in _pairs(people, genotypes):
        both = genotypes[one].merge(genotypes[two], on=VARIANT, suffixes=("_1", "_2"))
        both = both.dropna(subset=["genotype_1", "genotype_2"])
        if kind == "another_person":
            wrong = both["genotype_1"] != both["genotype_2"]
        else:
            wrong = both["genotype_1"].map(_ALT).sub(both["genotype_2"].map(_ALT)).abs() == 2
        expected = (both["error_1"] + both["error_2"]).sum()
        for library in (one, two):
            compared[library] += len(both)
            if wrong.any() and poisson_tail(wrong.sum() - 1, expected) < CHANCE:
                flags[library].add(kind)
    rows, common = [], _alternate_shares(genotypes)
    for library, table in sorted(genotypes.items()):
        totals = alleles[library][alleles[library]["cpg_id"].isna()].set_index(VARIANT)
        share, low, high = _carry_over(table, totals, common, confidence)
        found = ";".join(sorted(flags[library])) or None
        rows.append((library, int(table["genotype"].notna().sum()), share, low, high, compared[library], found))
    return pd.DataFrame(rows, columns=list(IDENTITY))


_ALT = {genotype: i for i, genotype in enumerate(GENOTYPES)}


def _pairs(people, genotypes):
    """Pairs of libraries that must agree: of one participant, or of the child and the parent of a dyad."""
    names = [name for name in sorted(genotypes) if people.get(name, (None,))[0] is not None]
    for i, one in enumerate(names):
        for two in names[i + 1 :]:
            (person, dyad, role), (other, other_dyad, other_role) = people[one], people[two]
            if person == other:
                yield one, two, "another_person"
            elif dyad is not None and dyad == other_dyad and role != other_role:
                yield one, two, "not_parent_and_child"


def _carry_over(table, totals, common, confidence):
    """Share of molecules from other samples in one library, and its limits; ``common`` as from `_alternate_shares`."""
    foreign = exposed = error = neither = 0.0
    for row in table[table["genotype"].isin(("0/0", "1/1"))].itertuples():
        key = tuple(getattr(row, c) for c in VARIANT)
        shares, libraries = common[key]
        if libraries < 2:
            continue
        others = (shares - row.alt_share) / (libraries - 1)
        alleles, minor = totals.loc[[key]].set_index("allele"), "alt" if row.genotype == "0/0" else "ref"
        n, bases = alleles["molecules"].astype(float), alleles["bases"]
        foreign += n[minor]
        # A wrong base is any of the three: what shows neither allele tells what errors add to the other one.
        neither += n["other"]
        error += n["other"] * bases[minor] / bases["other"]
        exposed += (n["ref"] + n["alt"]) * (others if minor == "alt" else 1 - others)
    if exposed < 1:
        return np.nan, np.nan, np.nan
    # The difference of two shares: their Wilson limits are joined as in `estimate.correct`.
    z = normal_quantile(0.5 + confidence / 2)
    seen, wrong = foreign / exposed, error / exposed
    weight = error / neither if neither else 1.0
    (low, high), (low_error, high_error) = wilson(seen, exposed, z), wilson(wrong / weight, exposed, z)
    down = np.hypot(seen - low, weight * high_error - wrong)
    up = np.hypot(high - seen, wrong - weight * low_error)
    return tuple(float(np.clip(v, 0, 1)) for v in (seen - wrong, seen - wrong - down, seen - wrong + up))


def _alternate_shares(genotypes):
    """For each variant the sum of the alternate allele's share over libraries that show it, and their number."""
    found = {}
    for table in genotypes.values():
        for row in table[table["depth"] >= FEWEST].itertuples():
            key = tuple(getattr(row, c) for c in VARIANT)
            shares, libraries = found.get(key, (0.0, 0))
            found[key] = (shares + row.alt_share, libraries + 1)
    return found


def identity_warnings(identity):
    """Reasons for the libraries that an identity table flags: library_id → list."""
    flagged = identity.dropna(subset=["flags"])
    return {row.library_id: [MESSAGES[flag] for flag in row.flags.split(";")] for row in flagged.itertuples()}
