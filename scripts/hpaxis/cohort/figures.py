"""Figures of the cohort: who is in it, and how index and cortisol are distributed by arm."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator

from hpaxis.figures import GREY, arm_styles, use_style

STEP_TITLES = {
    "saliva": "have a library",
    "methylation": "library passed",
    "hair": "have hair",
    "cortisol": "cortisol known",
}


def plot_flow(flow, arms):
    """Draw who was enrolled and who is left after each step, one lane for each arm and tissue.

    ``flow`` has one row for each step: population, chain (``enrolment`` first), step, arm, and as text ``stays``
    and ``left`` (how many leave at the step), as `hpaxis.report.privacy.shown_flow` gives them. Populations stand
    below each other. Text, not numbers, so that a count that must not be told cannot be drawn.
    """
    use_style()
    populations = list(dict.fromkeys(flow["population"]))
    chains = [c for c in dict.fromkeys(flow["chain"]) if c != "enrolment"]
    depth = 1 + max((len(flow[flow["chain"] == c]["step"].unique()) for c in chains), default=0)
    lanes = max(1, len(chains))
    width = max(6.2, 1.55 * lanes * len(arms))
    figure, axes = plt.subplots(
        max(1, len(populations)), 1, figsize=(width, 0.5 + 0.85 * depth * max(1, len(populations))), squeeze=False
    )
    styles = arm_styles(arms)
    for axis, population in zip(axes[:, 0], populations or [None], strict=True):
        axis.set(xlim=(-0.5, lanes * len(arms) - 0.5), ylim=(-depth + 0.45, 0.5))
        axis.axis("off")
        if population is None:
            continue
        axis.set_title(_sentence(population), fontweight="bold")
        here = flow[flow["population"] == population]
        for a, arm in enumerate(arms):
            mine = here[here["arm"] == arm]
            centre = a * lanes + (lanes - 1) / 2
            start = mine[mine["chain"] == "enrolment"]
            n = start["stays"].iloc[0] if len(start) else "0"
            _box(axis, centre, 0, f"{arm}\nn = {n} enrolled", styles[arm]["color"], bold=True)
            for lane, chain in enumerate(chains):
                _lane(axis, a * lanes + lane, centre, mine[mine["chain"] == chain], styles[arm]["color"])
    return figure


def _lane(axis, x, centre, steps, colour):
    origin = (centre, -0.3)
    for row, step in enumerate(steps.itertuples(), start=1):
        axis.annotate(
            "", (x, -row + 0.31), origin, arrowprops={"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0}
        )
        text = f"{STEP_TITLES.get(step.step, step.step)}\nn {_equals(step.stays)}"
        if step.left != "0":
            text += f"\n(left out{':' if step.left.isdigit() else ''} {step.left})"
        _box(axis, x, -row, text, colour)
        origin = (x, -row - 0.31)


def _equals(text):
    return f"= {text}" if text[:1].isdigit() else text


def _box(axis, x, y, text, colour, bold=False):
    axis.text(
        x,
        y,
        text,
        ha="center",
        va="center",
        fontsize=8.5,
        fontweight="bold" if bold else "normal",
        linespacing=1.25,
        bbox={"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": colour, "linewidth": 1.3},
    )


def measures(analysis, index):
    """Return the panels of `plot_distributions`: the methylation index and hair cortisol, where there is some."""
    panels = []
    if f"{index}_beta" in analysis:
        label = f"Methylation, {index.replace('_', ' ')} (%)"
        panels.append({"column": f"{index}_beta", "label": label, "factor": 100})
    if analysis["cortisol_censored"].notna().any():
        panels.append({
            "column": "cortisol_pg_per_mg",
            "label": "Hair cortisol (pg/mg)",
            "censored": "cortisol_censored",
            "limit": "cortisol_limit_pg_per_mg",
            "log": True,
        })  # fmt: skip
    return panels


def plot_distributions(analysis, arms, panels):
    """Draw the distribution of measures by arm, one row of axes a population.

    ``analysis`` is cohort/analysis.tsv; ``panels`` a list of dicts with ``column``, ``label`` (with its unit) and,
    where values can be censored, ``censored`` and ``limit`` (columns), ``log`` for a log axis, and ``factor`` to
    multiply values by. A censored
    value stands at its limit as an open triangle that points to where the value may be.
    """
    use_style()
    populations = list(dict.fromkeys(analysis["role"].dropna()))
    rows, columns = max(1, len(populations)), max(1, len(panels))
    figure, axes = plt.subplots(rows, columns, figsize=(3.15 * columns, 0.4 + 2.7 * rows), squeeze=False)
    for r in range(rows):
        for c, panel in enumerate(panels):
            axis = axes[r, c]
            people = analysis[analysis["role"] == populations[r]] if populations else analysis
            _distribution(axis, people, arms, panel)
            axis.set_ylabel(panel["label"])
            if c == 0 and populations:
                axis.set_title(_sentence(populations[r]), fontweight="bold")
    return figure


def _distribution(axis, people, arms, panel):
    styles = arm_styles(arms)
    drawn = 0
    for x, arm in enumerate(arms):
        group = people[people["arm"] == arm]
        values = group[panel["column"]].dropna().to_numpy(float) * panel.get("factor", 1)
        drawn += len(values)
        style = styles[arm]
        if len(values):
            axis.scatter(
                x + _spread(values, panel.get("log", False)), values, s=22, marker=style["marker"], alpha=0.7,
                color=style["color"], linewidths=0,
            )  # fmt: skip
            low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
            axis.plot((x - 0.33, x + 0.33), (middle, middle), color="black", linewidth=1.6)
            axis.plot((x - 0.36, x - 0.36), (low, high), color="black", linewidth=1.2)
        drawn += _censored(axis, x, group, panel, style)
    axis.set_xticks(range(len(arms)), [f"{arm}\nn = {_known(people, arm, panel)}" for arm in arms])
    axis.set_xlim(-0.6, len(arms) - 0.4)
    if not drawn:
        axis.text(0.5, 0.5, "no values", transform=axis.transAxes, ha="center", color=GREY)
        axis.set_yticks([])
    elif panel.get("log"):
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("")


def _censored(axis, x, group, panel, style):
    if "censored" not in panel:
        return 0
    drawn = 0
    for side, marker in (("below", "v"), ("above", "^")):
        limits = group.loc[group[panel["censored"]] == side, panel["limit"]].dropna().to_numpy(float)
        if len(limits):
            offsets = np.linspace(-0.25, 0.25, len(limits)) if len(limits) > 1 else np.zeros(1)
            axis.scatter(x + offsets, limits, s=34, marker=marker, facecolors="none", edgecolors=style["color"])
        drawn += len(limits)
    return drawn


def _known(people, arm, panel):
    group = people[people["arm"] == arm]
    known = group[panel["column"]].notna()
    if "censored" in panel:
        known |= group[panel["censored"]].isin(["below", "above"])
    return int(known.sum())


def _spread(values, log):
    """Return sideways offsets so that near values do not cover each other: no chance in it, so no seed."""
    scaled = np.log(values) if log and (values > 0).all() else values
    span = np.ptp(scaled) or 1.0
    bins = pd.Series(np.floor((scaled - scaled.min()) / span * 14).astype(int))
    rank = pd.Series(scaled).groupby(bins).rank(method="first") - 1
    size = bins.map(bins.value_counts())
    return ((rank - (size - 1) / 2) * 0.085).clip(-0.28, 0.28).to_numpy()


def _sentence(word):
    plural = {"child": "Children", "parent": "Parents"}
    return plural.get(word, str(word).capitalize())
