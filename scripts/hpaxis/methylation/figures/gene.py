"""CpGs where they lie on the gene: levels by arm, what the arms differ by, and who calls each CpG what."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpaxis.figures import GREY, arm_styles, use_style
from hpaxis.methylation.figures.levels import LEVEL
from hpaxis.quantiles import student_quantile

MOST_AMPLICONS = 3  # side by side; more would be too narrow to read
EFFECTS = ["population", "cpg_id", "contrast", "n", "difference", "se", "df", "low", "high"]
# Names in the tracks: size in points, heights above or below their mark, and about the points that a track is wide.
NAME_SIZE, NAME_HEIGHTS, NAME_AREA = 6, (-4, 4, -10, 10), 380


def cpg_effects(persons: pd.DataFrame, arms: list[str], level: float = LEVEL) -> pd.DataFrame:
    """Return what each arm differs by from the first in the methylation of each CpG, with simultaneous intervals.

    ``persons`` has one row per person and CpG (population, cpg_id, arm, beta; a fraction). Intervals are Welch's t
    intervals at Bonferroni's level over the CpGs of a population and contrast: they hold together at ``level`` or
    more, whatever the CpGs' correlations. Returns ``EFFECTS``; differences, errors and ends are fractions, n counts
    people of both arms. A CpG with fewer than two people in an arm has no interval.
    """
    rows = []
    for population, here in persons.groupby("population", sort=False):
        told = here.groupby(["cpg_id", "arm"], sort=False)["beta"].agg(["size", "mean", "var"])
        for arm in (a for a in arms[1:] if a in set(here["arm"])):
            places = [c for c in dict.fromkeys(here["cpg_id"]) if (c, arm) in told.index and (c, arms[0]) in told.index]
            for cpg in places:
                a, b = told.loc[(cpg, arm)], told.loc[(cpg, arms[0])]
                va, vb = a["var"] / a["size"], b["var"] / b["size"]
                total = va + vb
                known = total > 0 and min(a["size"], b["size"]) > 1
                df = total**2 / (va**2 / (a["size"] - 1) + vb**2 / (b["size"] - 1)) if known else np.nan
                half = student_quantile(1 - (1 - level) / 2 / len(places), df) * np.sqrt(total) if known else np.nan
                difference = a["mean"] - b["mean"]
                n, se = int(a["size"] + b["size"]), np.sqrt(total) if known else np.nan
                ends = (difference - half, difference + half)
                rows.append((population, cpg, f"{arm} - {arms[0]}", n, difference, se, df, *ends))
    return pd.DataFrame(rows, columns=EFFECTS)


def plot_gene(
    levels: pd.DataFrame, effects: pd.DataFrame, maps: list, arms: list[str], titles: dict[str, str] | None = None
) -> Figure:
    """Draw levels by arm, differences and names of CpGs over their places; one column per amplicon, sense to the right.

    ``levels`` is from `cpg_levels`, ``effects`` from `cpg_effects`, ``maps`` from `panels.places.amplicon_maps`.
    ``titles`` maps a population to its heading.
    """
    use_style()
    measured = set(levels["cpg_id"])
    columns = [amplicon for amplicon in maps if measured & amplicon.places.keys()]
    shown = columns[:MOST_AMPLICONS]
    populations = list(dict.fromkeys(levels["population"]))
    if not shown:
        figure, axis = plt.subplots(figsize=(6.6, 1.6))
        axis.text(0.5, 0.5, "no library passed", transform=axis.transAxes, ha="center", color=GREY)
        axis.set_axis_off()
        return figure
    kinds = 2 if len(effects) else 1
    # Amplicons share the axis of tracks, so they share its rows.
    tracks = list(dict.fromkeys(track for amplicon in shown for track in amplicon.sites["track"]))
    heights = [2.0, 1.6][:kinds] * len(populations) + [0.34 * len(tracks) + 0.3]
    figure, axes = plt.subplots(len(heights), len(shown), figsize=(7.2, 0.7 + sum(heights)), squeeze=False,
                                sharex="col", sharey="row", height_ratios=heights)  # fmt: skip
    for column, amplicon in enumerate(shown):
        at = amplicon.places
        for row, population in enumerate(populations):
            top = axes[kinds * row, column]
            _by_arm(top, levels[(levels["population"] == population) & levels["cpg_id"].isin(at)], at, arms)
            title = (titles or {}).get(population, population)
            top.set_title(title if len(columns) == 1 else f"{title}, {amplicon.name}", fontweight="bold")
            if kinds == 2:
                mine = effects[(effects["population"] == population) & effects["cpg_id"].isin(at)]
                _differences(axes[kinds * row + 1, column], mine, at, arms)
            if column == 0:
                top.set_ylabel("Methylation (%)")
                if kinds == 2:
                    axes[kinds * row + 1, 0].set_ylabel(f"Minus {arms[0]}\n(points)")
        _tracks(axes[-1, column], amplicon.sites, tracks)
        axes[-1, column].set_xlabel(amplicon.where)
        axes[-1, column].ticklabel_format(axis="x", style="plain", useOffset=False)
        axes[-1, column].xaxis.set_major_locator(plt.MaxNLocator(4 if len(shown) == 1 else 2, integer=True))
        if amplicon.minus:
            axes[-1, column].invert_xaxis()
    for axis in axes[-1, 1:]:
        axis.tick_params(labelleft=False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=len(arms))
    if len(columns) > len(shown):
        figure.text(0, 0, f"The first {len(shown)} of {len(columns)} amplicons.", fontsize=8, color=GREY)
    return figure


def _by_arm(axis: Axes, levels: pd.DataFrame, at: dict, arms: list[str]) -> None:
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    for arm, style in arm_styles(arms).items():
        mine = levels[levels["arm"] == arm]
        x = mine["cpg_id"].map(at).to_numpy(float)
        axis.vlines(x, 100 * mine["low_all"], 100 * mine["high_all"], color=style["color"], linewidth=0.8, alpha=0.7)
        axis.scatter(x, 100 * mine["mean"], s=14, color=style["color"], marker=style["marker"], linewidths=0,
                     zorder=3, label=arm)  # fmt: skip


def _differences(axis: Axes, effects: pd.DataFrame, at: dict, arms: list[str]) -> None:
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    for arm, style in list(arm_styles(arms).items())[1:]:
        mine = effects[effects["contrast"] == f"{arm} - {arms[0]}"]
        x = mine["cpg_id"].map(at).to_numpy(float)
        axis.vlines(x, 100 * mine["low"], 100 * mine["high"], color=style["color"], linewidth=0.8)
        axis.scatter(x, 100 * mine["difference"], s=14, color=style["color"], marker=style["marker"], linewidths=0,
                     zorder=3)  # fmt: skip


def _tracks(axis: Axes, sites: pd.DataFrame, tracks: list[str]) -> None:
    low, high = sorted(axis.get_xlim())
    letter = (high - low) * NAME_SIZE * 0.62 / NAME_AREA
    for row, track in enumerate(tracks):
        mine = sites[sites["track"] == track].sort_values("first")
        reached = dict.fromkeys(NAME_HEIGHTS, -np.inf)
        for site in mine.itertuples():
            if site.last > site.first:
                axis.hlines(row, site.first, site.last, color=GREY, linewidth=3)
            else:
                axis.scatter([site.first], [row], s=14, marker="|", color=GREY, linewidths=1)
            # A name is written at the first height at which it does not touch the name before.
            half = letter * (len(site.name) + 1) / 2
            height = next((h for h, end in reached.items() if site.first - half >= end), min(reached, key=reached.get))
            reached[height] = site.first + half
            axis.annotate(site.name, (site.first, row), xytext=(0, height), textcoords="offset points",
                          fontsize=NAME_SIZE, ha="center", va="bottom" if height > 0 else "top")  # fmt: skip
    axis.set_yticks(range(len(tracks)), [t[0].upper() + t[1:].replace("_", " ") for t in tracks], fontsize=7.5)
    axis.set_ylim(len(tracks) - 0.4, -0.6)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
