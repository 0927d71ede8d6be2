"""Figures of the methylation stage: how good the libraries are, what each CpG shows, what a second caller says."""

import matplotlib.pyplot as plt
import numpy as np

from hpaxis.figures import COLOURS, GREY, arm_styles, use_style
from hpaxis.quantiles import student_quantile

VERDICTS = {
    "pass": {"color": COLOURS[0], "marker": "o"},
    "warn": {"color": COLOURS[5], "marker": "^"},
    "fail": {"color": COLOURS[1], "marker": "X"},
}
KINDS = {
    "study": "study",
    "standard": "standards",
    "control_0": "0 %",
    "control_100": "100 %",
    "no_template": "no\ntemplate",
}

LEVEL = 0.95  # of intervals
HIGH = 20  # percent; the study's own libraries lie far below


def plot_conversion_depth(libraries, gates):
    """Draw conversion with its interval, and depth, of every library, one above the other.

    ``libraries`` is methylation/libraries.tsv; ``gates`` maps ``conversion`` (fractions) and ``depth`` (reads) to
    a pair of fail and warn limits. Libraries stand in order of conversion within their kind, without names. One
    whose conversion cannot be estimated stands on the lower edge of its panel.
    """
    use_style()
    # What was not counted has neither molecules nor conversion by molecule.
    table = _ordered(libraries[libraries["effective_depth"].notna() | libraries["passed"].notna()])
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 5.6), sharex=True)
    x = _places(table["kind"].to_numpy())
    conversion = 100 * (1 - table["non_conversion"].to_numpy(float))
    low = 100 * (1 - table["non_conversion_high"].to_numpy(float))
    high = 100 * (1 - table["non_conversion_low"].to_numpy(float))
    fail, warn = (100 * g for g in gates["conversion"])
    # The interval of a library with hardly a read spans everything; the panel shows where libraries differ.
    floor = min(fail - 0.5, np.nanmin(np.append(conversion, fail)) - 0.2)
    top.vlines(x, np.fmax(low, floor), high, color=GREY, linewidth=0.8)
    _points(top, x, np.where(np.isnan(conversion), floor, conversion), table["verdict"])
    _gates(top, fail, warn)
    top.set(ylabel="Conversion of non-CpG C (%)", ylim=(floor - 0.08, 100.12))
    depth = table["effective_depth"].fillna(0).to_numpy(float)
    _points(bottom, x, np.fmax(depth, 1), table["verdict"])
    _gates(bottom, *gates["depth"])
    bottom.set(
        ylabel="Effective depth (molecules per CpG)", yscale="log", ylim=(0.8, max(2e3, depth.max(initial=1) * 1.6))
    )
    bottom.yaxis.set_major_formatter("{x:,.0f}")
    _name_kinds(bottom, x, table["kind"].to_numpy())
    bottom.set_xlim(-2, x.max(initial=1) + 2)
    handles = [
        plt.Line2D([], [], linestyle="", label=f"{verdict} ({(table['verdict'] == verdict).sum()})", **style)
        for verdict, style in VERDICTS.items()
    ]
    handles += [
        plt.Line2D([], [], color=GREY, linestyle="--", label="warn below"),
        plt.Line2D([], [], color=GREY, linestyle="-", label="fail below"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=5, columnspacing=1.2, handletextpad=0.4)
    return figure


def _ordered(libraries):
    rank = {kind: i for i, kind in enumerate(KINDS)}
    return (
        libraries.assign(_kind=libraries["kind"].map(rank).fillna(len(rank)))
        .sort_values(["_kind", "non_conversion", "library_id"], ascending=[True, False, True], ignore_index=True)
        .drop(columns="_kind")
    )


def _points(axis, x, y, verdicts):
    for verdict, style in VERDICTS.items():
        chosen = (verdicts == verdict).to_numpy()
        axis.scatter(x[chosen], y[chosen], s=20, linewidths=0, zorder=3, **style)


def _gates(axis, fail, warn):
    axis.axhline(warn, color=GREY, linestyle="--", linewidth=0.9, zorder=1)
    axis.axhline(fail, color=GREY, linestyle="-", linewidth=0.9, zorder=1)


def _places(kinds):
    """Return where each library stands: kinds with few libraries get room for their name."""
    places, start = [], 0.0
    for kind in dict.fromkeys(kinds):
        size = int((kinds == kind).sum())
        room = max(size, 0.12 * len(kinds))
        places.append(start + room * (np.arange(size) + 0.5) / size)
        start += room + 0.01 * len(kinds)
    return np.concatenate(places) if places else np.zeros(0)


def _name_kinds(axis, x, kinds):
    axis.set_xticks([])
    if not len(kinds):
        axis.set_xlabel("No libraries")
    end = None
    for kind in dict.fromkeys(kinds):
        here = x[kinds == kind]
        if end is not None:
            for each in axis.figure.axes:
                each.axvline((end + here[0]) / 2, color="#d5dbdf", linewidth=0.8, zorder=0)
        end = here[-1]
        axis.annotate(
            f"{KINDS.get(kind, kind)}\n({len(here)})",
            (here.mean(), 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, -6),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8,
        )


def cpg_persons(calls, people):
    """Return the methylation of each person and CpG: population, cpg_id, arm, participant_id, beta.

    Arguments as of `cpg_levels`. A person's libraries are averaged; CpGs stand in the order of ``calls``.
    """
    order = {cpg: i for i, cpg in enumerate(dict.fromkeys(calls["cpg_id"]))}
    people = people[["library_id", "participant_id", "role", "arm"]].rename(columns={"role": "population"})
    merged = calls.merge(people, on="library_id").dropna(subset=["beta"])
    persons = merged.groupby(["population", "cpg_id", "arm", "participant_id"])["beta"].mean().reset_index()
    persons["place"] = persons["cpg_id"].map(order)
    keys = ["population", "place", "arm", "participant_id"]
    return persons.sort_values(keys, ignore_index=True).drop(columns="place")


def cpg_levels(calls, people, level=LEVEL):
    """Return the mean methylation of each CpG by population and arm, with a t interval over people.

    ``calls`` holds the per-CpG rows of libraries (library_id, cpg_id, beta as a fraction, NaN where uncalled),
    ``people`` one row per library: library_id, participant_id, role, arm. A person's libraries are averaged first, so
    that n counts people. Returns population, cpg_id, arm, n, mean, low, high, and the ends low_all and high_all of
    intervals that hold for all CpGs of a population and arm together (Bonferroni). CpGs stand in the order of
    ``calls``; intervals are missing where n < 2.
    """
    persons = cpg_persons(calls, people)
    keys = ["population", "cpg_id", "arm"]
    levels = persons.groupby(keys, sort=False)["beta"].agg(n="size", mean="mean", sd="std").reset_index()
    error = levels["sd"] / np.sqrt(levels["n"])
    tested = levels.groupby(["population", "arm"])["cpg_id"].transform("size")
    half, wide = (student_quantile(1 - (1 - level) / 2 / m, levels["n"] - 1) * error for m in (1, tested))
    ends = {"low": levels["mean"] - half, "high": levels["mean"] + half}
    ends |= {"low_all": levels["mean"] - wide, "high_all": levels["mean"] + wide}
    return levels.assign(**ends)[[*keys, "n", "mean", *ends]]


def plot_cpg_levels(levels, arms, titles=None):
    """Draw the mean methylation of each CpG by arm with its interval, a panel a population.

    ``levels`` comes from `cpg_levels`; CpGs are numbered along the amplicon, from 1. ``titles`` maps a population to
    what stands above its panel.
    """
    use_style()
    populations = list(dict.fromkeys(levels["population"])) or [None]
    order = list(dict.fromkeys(levels["cpg_id"]))
    figure, axes = plt.subplots(
        len(populations), 1, figsize=(6.6, 0.9 + 2.5 * len(populations)), sharex=True, sharey=True, squeeze=False
    )
    for axis, population in zip(axes[:, 0], populations, strict=True):
        _levels(axis, levels[levels["population"] == population], arms, order)
        axis.set_ylabel("Methylation (%)")
        if population is not None:
            axis.set_title((titles or {}).get(population, population), fontweight="bold")
    axes[-1, 0].set_xlabel("CpG, numbered along the amplicon")
    if order:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=len(arms))
    return figure


def _levels(axis, levels, arms, order):
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    if levels.empty:
        axis.text(0.5, 0.5, "no library passed", transform=axis.transAxes, ha="center", color=GREY)
        return
    styles = arm_styles(arms)
    shift = 0.36 / max(1, len(arms) - 1)
    for a, arm in enumerate(arms):
        mine = levels[levels["arm"] == arm]
        x = mine["cpg_id"].map({c: i for i, c in enumerate(order)}).to_numpy(float) + (a - (len(arms) - 1) / 2) * shift
        colour, marker = styles[arm]["color"], styles[arm]["marker"]
        axis.vlines(x, 100 * mine["low"], 100 * mine["high"], color=colour, linewidth=1)
        axis.scatter(x, 100 * mine["mean"], s=16, color=colour, marker=marker, linewidths=0, zorder=3, label=arm)
    step = max(1, round(len(order) / 16))
    axis.set_xticks(range(0, len(order), step), [str(i + 1) for i in range(0, len(order), step)])
    axis.set_xlim(-0.8, len(order) - 0.2)


def plot_concordance(concordance):
    """Draw the difference between two callers against their mean, each with its sampling interval.

    ``concordance`` is methylation/concordance.tsv: hpaxis_mean and methylpy_mean (fractions), difference
    (methylpy - hpaxis), difference_se, flag. Flagged libraries stand out by colour and shape.
    """
    use_style()
    known = concordance.dropna(subset=["difference"])
    mean = 50 * (known["hpaxis_mean"] + known["methylpy_mean"])
    # Controls near 100 % get a panel of their own, else they would squeeze the study's libraries into a corner.
    ranges = [(mean <= HIGH, "Mean of both callers (%)")]
    if (mean > HIGH).any():
        ranges.append((mean > HIGH, f"above {HIGH} %"))
    figure, axes = plt.subplots(
        1, len(ranges), figsize=(6.4, 3.4), sharey=True, squeeze=False, width_ratios=(4, 1)[: len(ranges)]
    )
    flagged = known["flag"].notna()
    for axis, (here, label) in zip(axes[0], ranges, strict=True):
        y, half = 100 * known["difference"], 196 * known["difference_se"]
        axis.axhline(0, color=GREY, linewidth=0.8, zorder=0)
        axis.vlines(mean[here], (y - half)[here], (y + half)[here], color=GREY, linewidth=0.8)
        for chosen, verdict in ((here & ~flagged, "pass"), (here & flagged, "fail")):
            axis.scatter(mean[chosen], y[chosen], s=22, linewidths=0, zorder=3, **VERDICTS[verdict])
        axis.set_xlabel(label)
        if label.startswith("above"):
            axis.set(xlim=(HIGH, 105), xticks=(50, 100))
    axes[0, 0].set_ylabel("methylpy − hpaxis\n(percentage points)")
    if known.empty:
        axes[0, 0].text(
            0.5, 0.5, "no library has calls of both callers", transform=axes[0, 0].transAxes, ha="center", color=GREY
        )
    handles = [
        plt.Line2D([], [], linestyle="", label=f"{label} ({chosen.sum()})", **VERDICTS[verdict])
        for chosen, label, verdict in ((~flagged, "within sampling error", "pass"), (flagged, "flagged", "fail"))
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure
