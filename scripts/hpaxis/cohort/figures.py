"""Figures of the cohort: who is in it, and how index and cortisol are distributed by arm."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator

from hpaxis.figures import GREY, arm_styles, use_style

STEP_TITLES = {
    "saliva": "saliva library",
    "methylation": "library passed quality",
    "hair": "hair sample",
    "cortisol": "cortisol measured",
    "tubes": "saliva cortisol tubes",
    "series": "series complete",
}
CHAINS = {"methylation": "Saliva", "cortisol": "Hair", "series": "Saliva cortisol"}
WIDE = 34  # letters in a line of a box


def plot_flow(
    flow: pd.DataFrame, arms: Sequence[str], analysed: pd.DataFrame | None = None, received: pd.DataFrame | None = None
) -> Figure:
    """Draw the flow of participants as CONSORT 2025 asks: allocation, receipt, what was measured, and who is analysed.

    ``flow`` has one row for each step: population, chain (``enrolment`` first), step, arm, and as text ``stays``,
    ``left`` (how many leave at the step) and ``reason``, as `hpaxis.report.privacy.shown_flow` gives them. Text, not
    numbers, so that a count that must not be shown cannot be drawn. ``analysed`` (model, title, population, arm, n) and
    ``received`` (population, arm, n, withheld) are tables of `hpaxis.report.describe`; None leaves their boxes out.
    Populations stand below each other, arms side by side.
    """
    use_style()
    populations = list(dict.fromkeys(flow["population"]))
    styles = arm_styles(arms)
    columns = {p: [_column(flow, analysed, received, p, arm) for arm in arms] for p in populations}
    whole = {p: _whole(analysed, p) for p in populations}
    heights = {p: _heights(columns[p]) for p in populations}
    inches = [0.8 + 0.165 * (sum(heights[p]) + len(whole[p])) + 0.24 * len(heights[p]) for p in populations]
    figure, axes = plt.subplots(
        max(1, len(populations)),
        1,
        figsize=(max(5.2, 2.6 * len(arms)), sum(inches) or 1),
        squeeze=False,
        height_ratios=inches or [1],
    )
    for axis, population in zip(axes[:, 0], populations or [None], strict=True):
        axis.axis("off")
        if population is None:
            continue
        unit = 1.0  # the height of a line
        gap = 1.45
        total = sum(heights[population]) * unit + gap * len(heights[population]) + len(whole[population])
        axis.set(xlim=(-0.5, len(arms) - 0.5), ylim=(-total, 0.6))
        axis.set_title(_sentence(population), fontweight="bold", loc="left")
        for x, (arm, boxes) in enumerate(zip(arms, columns[population], strict=True)):
            y = 0.0
            for place, (lines, height) in enumerate(zip(boxes, heights[population], strict=True)):
                if place:
                    arrow = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0}
                    axis.annotate("", (x, y), (x, y + gap * 0.75), arrowprops=arrow)
                _box(axis, x, y, lines, height, styles[arm]["color"])
                y -= height * unit + gap
        if whole[population]:
            axis.text(-0.47, y + gap * 0.6, "\n".join(whole[population]), fontsize=8, va="top", linespacing=1.2)
    return figure


def _column(
    flow: pd.DataFrame, analysed: pd.DataFrame | None, received: pd.DataFrame | None, population: str, arm: str
) -> list[list[str]]:
    """The boxes of an arm from top to bottom, each a list of lines."""
    mine = flow[(flow["population"] == population) & (flow["arm"] == arm)]
    start = mine[mine["chain"] == "enrolment"]
    boxes = [[f"Allocated to {arm}", f"n {_equals(start['stays'].iloc[0] if len(start) else '0')}"]]
    if received is not None:
        boxes[0] += _receipt(received, population, arm)
    for chain, steps in mine[mine["chain"] != "enrolment"].groupby("chain", sort=False):
        lines = [f"{CHAINS.get(chain, chain)}:"]
        for step in steps.itertuples():
            lines.append(f"{STEP_TITLES.get(step.step, step.step)}, n {_equals(step.stays)}")
            if step.left.isdigit() and step.left != "0":
                reason = "" if step.reason != step.reason or step.reason in ("NA", "") else f" ({step.reason})"
                lines += textwrap.wrap(
                    f"left out: {step.left}{reason}", WIDE, initial_indent="  ", subsequent_indent="  "
                )
        boxes.append(lines)
    if analysed is not None:
        own = analysed[(analysed["population"] == population) & (analysed["arm"] == arm)]
        if len(own):
            lines = ["Analysed (complete cases):"]
            for row in own.itertuples():
                lines += textwrap.wrap(f"{row.title}, n = {int(row.n)}", WIDE, subsequent_indent="  ")
            boxes.append(lines)
    return boxes


def _receipt(received: pd.DataFrame | None, population: str, arm: str) -> list[str]:
    own = received[(received["population"] == population) & (received["arm"] == arm)]
    if own.empty:
        return ["receipt not recorded"]
    row = own.iloc[0]
    return ["received, n withheld" if row["withheld"] == "yes" else f"received, n = {int(row['n'])}"]


def _whole(analysed: pd.DataFrame | None, population: str) -> list[str]:
    """Lines on models whose n is known for all arms together."""
    if analysed is None:
        return []
    own = analysed[(analysed["population"] == population) & (analysed["arm"] == "all")]
    return [f"Analysed, all arms: {r.title}, n = {int(r.n)} ({r.treatment})" for r in own.itertuples()]


def _heights(columns: list[list[list[str]]]) -> list[int]:
    """Lines of the tallest box in each row of boxes."""
    depth = max(map(len, columns), default=0)
    return [max(len(boxes[i]) if i < len(boxes) else 0 for boxes in columns) for i in range(depth)]


def _equals(text: str) -> str:
    return f"= {text}" if text[:1].isdigit() else text


def _box(axis: Any, x: float, y: float, lines: list[str], height: float, colour: str) -> None:
    axis.add_patch(
        Rectangle((x - 0.47, y - height - 0.25), 0.94, height + 0.5, facecolor="white", edgecolor=colour, linewidth=1.3)
    )
    axis.text(x - 0.44, y, "\n".join(lines), fontsize=8, va="top", linespacing=1.2)


def measures(analysis: pd.DataFrame, index: str) -> list[dict[str, Any]]:
    """Return the panels of `plot_distributions`: the methylation index and hair cortisol, where there is some.

    Where nobody has a value of ``index``, the first index of which somebody has one stands for it.
    """
    panels = []
    own = [
        c.removesuffix("_beta")
        for c in map(str, analysis)
        if c.endswith("_beta") and not c.startswith(("child_", "parent_"))
    ]
    measured = [name for name in own if analysis[f"{name}_beta"].notna().any()]
    index = index if index in measured or not measured else measured[0]
    if index in own:
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


def plot_distributions(
    analysis: pd.DataFrame, arms: Sequence[str], panels: list[dict[str, Any]], smallest: int = 0
) -> Figure:
    """Draw the distribution of measures by arm, one row of axes a population.

    ``analysis`` is cohort/analysis.tsv; ``panels`` a list of dicts with ``column``, ``label`` (with its unit) and,
    where values can be censored, ``censored`` and ``limit`` (columns), ``log`` for a log axis, and ``factor`` to
    multiply values by. A censored value stands at its limit as an open triangle that points to where the value may be;
    where from 1 to ``smallest - 1`` of an arm do, its panel has no points, since they could be counted.
    """
    use_style()
    populations = list(dict.fromkeys(analysis["role"].dropna()))
    rows, columns = max(1, len(populations)), max(1, len(panels))
    figure, axes = plt.subplots(rows, columns, figsize=(3.15 * columns, 0.4 + 2.7 * rows), squeeze=False)
    for r in range(rows):
        for c, panel in enumerate(panels):
            axis = axes[r, c]
            people = analysis[analysis["role"] == populations[r]] if populations else analysis
            _distribution(axis, people, arms, panel, _countable(people, arms, panel, smallest))
            axis.set_ylabel(panel["label"])
            if c == 0 and populations:
                axis.set_title(_sentence(populations[r]), fontweight="bold")
    return figure


def _countable(people: pd.DataFrame, arms: Sequence[str], panel: dict[str, Any], smallest: int) -> bool:
    """Whether the points of a panel may be drawn: nobody could count few people whose value is censored or missing."""
    groups = [people[people["arm"] == arm] for arm in arms]
    few = [len(g) - int(g[panel["column"]].notna().sum()) for g in groups]
    if "censored" in panel:
        few += [int((g[panel["censored"]] == side).sum()) for g in groups for side in ("below", "above")]
    return smallest < 3 or not any(0 < n < smallest for n in few)


def _distribution(
    axis: Any, people: pd.DataFrame, arms: Sequence[str], panel: dict[str, Any], countable: bool = True
) -> None:
    styles = arm_styles(arms)
    drawn = 0
    for x, arm in enumerate(arms):
        group = people[people["arm"] == arm]
        values = group[panel["column"]].dropna().to_numpy(float) * panel.get("factor", 1)
        drawn += len(values)
        style = styles[arm]
        if len(values) and countable:
            axis.scatter(
                x + _spread(values, panel.get("log", False)), values, s=22, marker=style["marker"], alpha=0.7,
                color=style["color"], linewidths=0,
            )  # fmt: skip
        if len(values):
            low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
            axis.plot((x - 0.33, x + 0.33), (middle, middle), color="black", linewidth=1.6)
            axis.plot((x - 0.36, x - 0.36), (low, high), color="black", linewidth=1.2)
        if countable:
            drawn += _censored(axis, x, group, panel, style)
    names = [f"{arm}\nn = {_known(people, arm, panel)}" if countable else arm for arm in arms]
    axis.set_xticks(range(len(arms)), names)
    axis.set_xlim(-0.6, len(arms) - 0.4)
    if not drawn:
        axis.text(0.5, 0.5, "no values", transform=axis.transAxes, ha="center", color=GREY)
        axis.set_yticks([])
    elif panel.get("log"):
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("")


def _censored(axis: Any, x: float, group: pd.DataFrame, panel: dict[str, Any], style: dict[str, Any]) -> int:
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


def _known(people: pd.DataFrame, arm: str, panel: dict[str, Any]) -> int:
    group = people[people["arm"] == arm]
    known = group[panel["column"]].notna()
    if "censored" in panel:
        known |= group[panel["censored"]].isin(["below", "above"])
    return int(known.sum())


def _spread(values: np.ndarray, log: bool) -> np.ndarray:
    """Return sideways offsets so that near values do not cover each other: no chance in it, so no seed."""
    scaled = np.log(values) if log and (values > 0).all() else values
    span = np.ptp(scaled) or 1.0
    bins = pd.Series(np.floor((scaled - scaled.min()) / span * 14).astype(int))
    rank = pd.Series(scaled).groupby(bins).rank(method="first") - 1
    size = bins.map(bins.value_counts())
    return ((rank - (size - 1) / 2) * 0.085).clip(-0.28, 0.28).to_numpy()


def _sentence(word: object) -> str:
    plural = {"child": "Children", "parent": "Parents"}
    return plural.get(word, str(word).capitalize())
