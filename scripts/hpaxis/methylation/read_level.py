"""How methylation is arranged on molecules: disorder, diversity and runs, in windows of fixed length."""

import numpy as np
import pandas as pd
from scipy.stats import binom

from hpaxis.methylation.estimate import read_molecules

WINDOW = 4
MANY = 3
COLUMNS = ("library_id", "amplicon", "n_windows", "depth", "pdr", "epipolymorphism", "entropy", "mhl", "share_many",
           "share_many_by_chance")  # fmt: skip


def read_level_table(tables, panels, libraries, depth):
    """A row a library and amplicon.

    ``tables``: library_id → `LibraryCalls`; ``panels``: panel name → `Panel`; ``libraries``: the table of libraries
    (panel, non_conversion). Windows are `WINDOW` neighbouring CpGs, read whole by a molecule, with at least ``depth``
    such molecules; measures are means over them, so they do not grow with read length. See `window_measures`.
    ``share_many`` is the share of molecules with 3 or more methylated CpGs, and ``share_many_by_chance`` what
    non-conversion alone would give.
    """
    rows = []
    for library in libraries.itertuples():
        panel = panels[library.panel]
        for name in panel.references:
            size = len(panel.cpg_offsets(name))
            molecules = read_molecules(tables[library.library_id].patterns, name, size)
            row = {"library_id": library.library_id, "amplicon": name}
            rows.append(row | window_measures(molecules, depth) | many_methylated(molecules, library.non_conversion))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def window_measures(molecules, depth):
    """Means over windows of four measures of the molecules that read a window whole.

    PDR: share of molecules neither all methylated nor all unmethylated. Epipolymorphism: chance that two molecules
    differ, 1 - Σ nᵢ (nᵢ - 1) / (n (n - 1)), which does not depend on depth. Entropy of the patterns in bits a CpG, with
    Miller and Madow's correction for depth, (patterns seen - 1) / 2n nats. MHL: Σ l × share of runs of length l that
    are all methylated, over Σ l.
    """
    size = molecules.methylated.shape[1]
    found = []
    for start in range(size - WINDOW + 1):
        part = slice(start, start + WINDOW)
        whole = molecules.known[:, part].all(axis=1)
        codes = (molecules.methylated[whole, part] @ (1 << np.arange(WINDOW))).astype(int)
        counts = np.bincount(codes, weights=molecules.count[whole], minlength=1 << WINDOW)
        if counts.sum() >= max(depth, 2):
            found.append((counts.sum(), *_window(counts)))
    names = ("depth", "pdr", "epipolymorphism", "entropy", "mhl")
    values = np.mean(found, axis=0) if found else (np.nan,) * len(names)
    return {"n_windows": len(found)} | dict(zip(names, values, strict=True))


def _window(counts):
    n = counts.sum()
    p = counts / n
    pdr = 1 - p[0] - p[-1]
    differ = 1 - (counts * (counts - 1)).sum() / (n * (n - 1))
    seen = p[p > 0]
    entropy = (-(seen * np.log(seen)).sum() + (len(seen) - 1) / (2 * n)) / np.log(2) / WINDOW
    return pdr, differ, entropy, _haplotype_load(p)


def _haplotype_load(p):
    states = (np.arange(len(p))[:, None] >> np.arange(WINDOW)) & 1
    load = 0.0
    for length in range(1, WINDOW + 1):
        runs = [states[:, i : i + length].all(axis=1) for i in range(WINDOW - length + 1)]
        load += length * np.mean([p[run].sum() for run in runs])
    return load / sum(range(1, WINDOW + 1))


def many_methylated(molecules, e):
    """Share of molecules with `MANY` or more methylated CpGs, and the share expected from non-conversion e alone."""
    total = molecules.count.sum()
    if total == 0:
        return {"share_many": np.nan, "share_many_by_chance": np.nan}
    many = molecules.methylated.sum(axis=1) >= MANY
    chance = binom.sf(MANY - 1, molecules.known.sum(axis=1), e)
    return {
        "share_many": molecules.count[many].sum() / total,
        "share_many_by_chance": (molecules.count * chance).sum() / total,
    }
