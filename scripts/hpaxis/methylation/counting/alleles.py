"""What molecules show at the variants of a panel's SNP mask, and how each allele is methylated. Genotypes: private."""

import numpy as np
import pandas as pd

from hpaxis.methylation.counting import planes
from hpaxis.methylation.panels.variants import is_visible, place_variants

COLUMNS = ("amplicon", "chrom", "pos", "ref", "alt", "allele", "bases", "cpg_id", "molecules", "methylated",
           "unmethylated")  # fmt: skip
ALLELES = ("ref", "alt", "other")


class AlleleTally:
    """Running counts at the variants that conversion leaves visible; without a mask it costs nothing."""

    def __init__(self, panel):
        self.panel, self.sums, self.letters = panel, {}, {}
        self.variants = place_variants(panel)
        self.inside = {}
        for row in self.variants[self.variants["site"] != "primer"].itertuples():
            self.inside.setdefault(row.amplicon, []).append(row)

    def shown(self, target, molecules):
        """What each molecule shows at the target's visible variants: 0 nothing, or 1 + the place in `ALLELES`."""
        mine = self._visible(target)
        codes = np.zeros((len(molecules.good), len(mine)), dtype=np.uint8)
        if not mine:
            return codes
        offsets = [row.offset for row in mine]
        bases = {b: planes.unpack_columns(molecules.shown(b), offsets) > 0 for b in "ACGT"}
        for i, row in enumerate(mine):
            letters = [_letters(allele, target) for allele in (row.ref, row.alt)]
            letters.append(set("ACGT") - letters[0] - letters[1])
            # Of an amplicon that is read on both strands the top's, whichever comes first.
            if target.strand == "top" or row.Index not in self.letters:
                self.letters[row.Index] = letters
            for code, allele in enumerate(letters, start=1):
                for base in allele:
                    codes[bases[base][:, i], i] = code
        return codes

    def add(self, target, shown, methylated, converted):
        """Take molecules, or families: what they show (see `shown`), and which CpGs they show so (rows × CpGs)."""
        for i, row in enumerate(self._visible(target)):
            empty = np.zeros((len(ALLELES), 1 + 2 * len(target.cpgs)), dtype=np.int64)
            for code, total in enumerate(self.sums.setdefault(row.Index, empty), start=1):
                mine = shown[:, i] == code
                states = [np.count_nonzero(state[mine], axis=0) for state in (methylated, converted)]
                total += np.concatenate([[np.count_nonzero(mine)], *states])

    def _visible(self, target):
        return [r for r in self.inside.get(target.amplicon, ()) if is_visible(r.ref, r.alt, target.strand)]

    def table(self):
        """One row per variant and allele (``cpg_id`` NA), and one for each CpG of its molecules.

        ``bases``: how many of the four bases are read as the allele.
        """
        rows = []
        for index, sums in sorted(self.sums.items()):
            v = self.variants.loc[index]
            ids = self.panel.cpgs.loc[self.panel.cpgs["amplicon"] == v["amplicon"], "cpg_id"].tolist()
            key = (v["amplicon"], v["chrom"], v["pos"], v["plus_ref"], v["plus_alt"])
            bases = [len(letters) for letters in self.letters[index]]
            for allele, number, total in zip(ALLELES, bases, sums.tolist()):
                rows.append((*key, allele, number, None, total[0], None, None))
                for i, cpg in enumerate(ids):
                    m, u = total[1 + i], total[1 + len(ids) + i]
                    rows.append((*key, allele, number, cpg, m + u, m, u))
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        return table.astype({"molecules": "Int64", "methylated": "Int64", "unmethylated": "Int64"})


def _letters(base, target):
    """What an allele reads as: a cytosine of the target's strand may have stayed or been converted."""
    return {base, target.converted} if base == target.cytosine else {base}
