"""How methylation is arranged on molecules: disorder, diversity and runs, in windows of fixed length."""

import numpy as np
import pandas as pd

from hpaxis.methylation.levels.estimate import read_molecules
from hpaxis.quantiles import binomial_tail

WINDOW = 4
MANY = 3
MEASURES = ("pdr", "epipolymorphism", "entropy", "mhl")
COLUMNS = ("library_id", "amplicon", "n_windows", "depth", *(f"{m}{end}" for m in MEASURES for end in ("", "_se")),
           "share_many", "share_many_se", "share_many_by_chance")  # fmt: skip


def read_level_table(tables, panels, libraries, depth):
    """One row per library and amplicon.

    ``tables``: library_id → `LibraryCalls`; ``panels``: panel name → `Panel`; ``libraries``: the table of libraries
    (panel, non_conversion, median_depth, effective_depth). Windows are `WINDOW` neighbouring CpGs, read whole by a
    molecule, with at least ``depth`` such molecules; measures are means over them, so they do not grow with read
    length. See `window_measures`.
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
            # Copies of few templates are worth less than their number.
            copies = library.median_depth / library.effective_depth if library.effective_depth > 0 else 1.0
            row |= window_measures(molecules, depth, copies)
            rows.append(row | many_methylated(molecules, library.non_conversion, copies))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def window_measures(molecules, depth, copies=1.0):
    """Means over windows of four measures of the molecules that read a window whole, with standard errors.

    PDR: share of molecules neither all methylated nor all unmethylated. Epipolymorphism: chance that two molecules
    differ, 1 - Σ nᵢ (nᵢ - 1) / (n (n - 1)), which does not depend on depth. Entropy of the patterns in bits a CpG, with
    Miller and Madow's correction for depth, (patterns seen - 1) / 2n nats. MHL: Σ l × share of runs of length l that
    are all methylated, over Σ l.

    Windows share molecules, so the variance is that of what each molecule contributes to the mean over all windows
    (first order), times ``copies``, how many molecules stand for one template.
    """
    size = molecules.methylated.shape[1]
    found, influence = [], np.zeros((len(molecules.count), len(MEASURES)))
    for start in range(size - WINDOW + 1):
        part = slice(start, start + WINDOW)
        whole = molecules.known[:, part].all(axis=1)
        codes = (molecules.methylated[whole, part] @ (1 << np.arange(WINDOW))).astype(int)
        counts = np.bincount(codes, weights=molecules.count[whole], minlength=1 << WINDOW)
        if counts.sum() >= max(depth, 2):
            values, each = _window(counts)
            found.append((counts.sum(), *values))
            influence[whole] += each[codes] / counts.sum()
    if not found:
        return {"n_windows": 0, "depth": np.nan} | {f"{m}{end}": np.nan for m in MEASURES for end in ("", "_se")}
    reached, *means = np.mean(found, axis=0)
    errors = np.sqrt(copies * (molecules.count @ influence**2)) / len(found)
    result = {"n_windows": len(found), "depth": reached}
    for measure, value, error in zip(MEASURES, means, errors):
        result |= {measure: value, f"{measure}_se": error}
    return result


def _window(counts):
    """The measures of one window, and what a molecule of each pattern adds to n times their error (patterns × 4)."""
    n = counts.sum()
    p = counts / n
    mixed = np.ones(len(p))
    mixed[[0, -1]] = 0
    pdr = p @ mixed
    differ = 1 - (counts * (counts - 1)).sum() / (n * (n - 1))
    surprise = np.where(p > 0, -np.log(np.where(p > 0, p, 1)), 0)
    nats = p @ surprise
    entropy = (nats + (np.count_nonzero(p) - 1) / (2 * n)) / np.log(2) / WINDOW
    load = p @ LOAD
    each = (mixed - pdr, 2 * (p @ p - p), (surprise - nats) / np.log(2) / WINDOW, LOAD - load)
    return (pdr, differ, entropy, load), np.stack(each, axis=1)


def _haplotype_loads():
    """Haplotype load of a molecule of each pattern."""
    states = (np.arange(1 << WINDOW)[:, None] >> np.arange(WINDOW)) & 1
    load = np.zeros(len(states))
    for length in range(1, WINDOW + 1):
        runs = [states[:, i : i + length].all(axis=1) for i in range(WINDOW - length + 1)]
        load += length * np.mean(runs, axis=0)
    return load / sum(range(1, WINDOW + 1))


LOAD = _haplotype_loads()


def many_methylated(molecules, e, copies=1.0):
    """Share of molecules with `MANY` or more methylated CpGs, its error, and the share expected from e alone."""
    total = molecules.count.sum()
    if total == 0:
        return {"share_many": np.nan, "share_many_se": np.nan, "share_many_by_chance": np.nan}
    many = molecules.methylated.sum(axis=1) >= MANY
    chance = binomial_tail(MANY - 1, molecules.known.sum(axis=1), e)
    share = molecules.count[many].sum() / total
    return {
        "share_many": share,
        "share_many_se": np.sqrt(copies * share * (1 - share) / total),
        "share_many_by_chance": (molecules.count * chance).sum() / total,
    }
