"""Figures of molecules: which CpGs are methylated together, pooled over people so that nobody's pattern is shown."""

from zlib import crc32

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch

from hpaxis.figures import COLOURS, GREY, use_style
from hpaxis.labels import population_label

MOLECULES, FEW = 150, 12
METHYLATED, UNMETHYLATED, MISSING = 2, 1, 0
CELLS = ("#ffffff", "#d9e6f0", COLOURS[1])
LABELS = {METHYLATED: "methylated", UNMETHYLATED: "unmethylated", MISSING: "not read"}


def group_libraries(libraries, people, arms, smallest):
    """Libraries of each population and arm: label → ids. No group is of fewer people than told.

    ``libraries``: methylation/libraries.tsv; ``people``: participant_id, role, arm. Failed libraries are left out.
    """
    good = libraries[libraries["verdict"] != "fail"]
    study = good[good["kind"] == "study"].merge(people[["participant_id", "role", "arm"]], on="participant_id")
    groups = {}
    for role in dict.fromkeys(sorted(study["role"].dropna())):
        for arm in arms:
            mine = study[(study["role"] == role) & (study["arm"] == arm)]
            if mine["participant_id"].nunique() >= max(smallest, 2):
                groups[f"{population_label(role).capitalize()}, {arm}"] = sorted(mine["library_id"])
    return groups


def pool_patterns(patterns, groups):
    """Molecules of the amplicon with the most of them, pooled over each group's libraries, each with equal weight.

    ``patterns``: library_id → patterns table; ``groups``: label → library ids. Returns label → (table of pattern and
    weight, whose weights sum to 1; number of molecules; number of libraries with any).
    """
    tables = [patterns[name] for names in groups.values() for name in names]
    if not tables:
        return {}
    found = pd.concat(tables)
    totals = found[found["pattern"].str.contains("[01]")].groupby("amplicon")["count"].sum()
    if totals.empty:
        return {}
    pools = {}
    for label, names in groups.items():
        parts, molecules = [], 0
        for name in names:
            table = patterns[name]
            mine = table[(table["amplicon"] == totals.idxmax()) & table["pattern"].str.contains("[01]")]
            counts = mine.groupby("pattern", sort=True)["count"].sum()
            if len(counts):
                parts.append(counts / counts.sum())
                molecules += int(counts.sum())
        if parts:
            pooled = pd.concat(parts).groupby(level=0, sort=True).sum() / len(parts)
            pools[label] = (pooled.rename("weight").reset_index(), molecules, len(parts))
    return pools


def sample_molecules(pool, number=MOLECULES, least=0):
    """States of ``number`` molecules drawn evenly from a pool (molecules × CpGs), most methylated first.

    Of those with ``least`` methylated CpGs or more, at equal steps of the cumulated weight. Patterns with as many stand
    in the order of a checksum: always the same, and none of their own, which would look like structure.
    """
    states = pattern_states(pool["pattern"])
    hits = (states == METHYLATED).sum(axis=1)
    mixed = np.array([crc32(pattern.encode()) for pattern in pool["pattern"]])
    order = np.lexsort((mixed, -hits))
    order = order[hits[order] >= least]
    if not len(order):
        return states[:0]
    reached = np.cumsum(pool["weight"].to_numpy()[order])
    at = np.searchsorted(reached, (np.arange(number) + 0.5) / number * reached[-1])
    return states[order[np.minimum(at, len(order) - 1)]]


def pattern_states(patterns):
    """Patterns as numbers, patterns × CpGs: `METHYLATED`, `UNMETHYLATED`, `MISSING` (another base, too)."""
    letters = np.array([list(pattern) for pattern in patterns])
    return np.select([letters == "1", letters == "0"], [METHYLATED, UNMETHYLATED], MISSING)


def plot_heat_map(pools, unit="libraries"):
    """Draw molecules as rows and CpGs as columns, a panel a pool (see `pool_patterns`), the most methylated on top."""
    use_style()
    if not pools:
        return _nothing()
    figure, axes = _panels(len(pools), 2.7)
    for axis, (label, (pool, molecules, number)) in zip(axes, pools.items()):
        states = sample_molecules(pool)
        axis.set_facecolor(CELLS[UNMETHYLATED])
        for state in (METHYLATED, MISSING):
            axis.add_collection(PolyCollection(_runs(states == state), facecolor=CELLS[state], edgecolor="none"))
        axis.set(xlim=(-0.5, states.shape[1] - 0.5), ylim=(len(states), 0))
        axis.set_title(_title(label, pool, molecules, number, unit), fontsize=8)
        axis.set_yticks([])
        axis.set_ylabel(f"{len(states)} molecules")
        _number_cpgs(axis, states.shape[1])
        for spine in axis.spines.values():
            spine.set_visible(True)
    shown = {state for pool, _, _ in pools.values() for state in np.unique(pattern_states(pool["pattern"]))}
    handles = [Patch(facecolor=CELLS[s], edgecolor=GREY, label=LABELS[s]) for s in sorted(shown, reverse=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def plot_lollipops(pools, unit="libraries"):
    """Draw some of the molecules with a methylated CpG of each pool, one a line, evenly from the most to the least."""
    use_style()
    if not pools:
        return _nothing()
    figure, axes = _panels(len(pools), 2.9)
    for axis, (label, (pool, molecules, number)) in zip(axes, pools.items()):
        size = len(pool["pattern"].iloc[0])
        axis.set_title(_title(label, pool, molecules, number, unit), fontsize=8)
        states = sample_molecules(pool, FEW, 1)
        marker = np.clip(230 / size, 3, 22)
        for line, row in enumerate(states):
            axis.axhline(line, color="#c3ccd2", linewidth=0.8, zorder=1)
            known = np.flatnonzero(row == UNMETHYLATED)
            axis.scatter(
                known, np.full(len(known), line), s=marker, facecolor="white", edgecolor=GREY, linewidths=0.7, zorder=2
            )
            hits = np.flatnonzero(row == METHYLATED)
            axis.scatter(hits, np.full(len(hits), line), s=2.2 * marker, color=COLOURS[1], linewidths=0, zorder=3)
        axis.set_yticks(range(len(states)), (states == METHYLATED).sum(axis=1), fontsize=8)
        axis.set_ylim(max(len(states), 1) - 0.4, -0.6)
        axis.set_xlim(-1, size)
        axis.set_ylabel("Methylated CpGs")
        _number_cpgs(axis, size)
    handles = [
        plt.Line2D([], [], linestyle="", marker="o", markersize=6, color=COLOURS[1], label=LABELS[METHYLATED]),
        plt.Line2D([], [], linestyle="", marker="o", markersize=4.5, markerfacecolor="white", color=GREY,
                   label=LABELS[UNMETHYLATED]),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _runs(cells):
    """Rectangles around runs of true cells of each row, so that a figure has few of them."""
    edges = np.diff(np.pad(cells, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    return [[(a - 0.5, y), (b - 0.5, y), (b - 0.5, y + 1), (a - 0.5, y + 1)] for y, a, b in zip(rows, starts, ends)]


def _panels(number, height):
    columns = min(number, 2)
    rows = -(-number // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.1 * columns, 0.5 + height * rows), squeeze=False)
    for axis in axes.ravel()[number:]:
        axis.set_axis_off()
    return figure, axes.ravel()


def _title(label, pool, molecules, number, unit):
    hits, weight = pool["pattern"].str.count("1"), pool["weight"]
    none, many = (100 * weight[chosen].sum() for chosen in (hits == 0, hits >= 3))
    shares = f"{none:.0f} % with none methylated, {many:.0f} % with 3 or more"
    return f"{label}: {number} {unit}, {molecules:,} molecules\n{shares}"


def _number_cpgs(axis, size):
    step = max(1, round(size / 8))
    axis.set_xticks(range(0, size, step), [str(i + 1) for i in range(0, size, step)], fontsize=8)
    axis.set_xlabel("CpG, numbered along the amplicon")


def _nothing():
    figure, axis = plt.subplots(figsize=(4, 1.5))
    axis.set_axis_off()
    axis.text(0.5, 0.5, "too few libraries to pool", ha="center", va="center", color=GREY)
    return figure
