"""Figures of the cortisol stage: curves, plates well by well, controls over plates, and cortisol by arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from hpaxis.figures import COLOURS, GREY, arm_styles, use_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure

ROWS = "ABCDEFGHIJKLMNOP"
AXES = {"percent_bound": "bound (%)", "raw": "optical density"}
MARKS = {"standard": "S", "control": "C", "sample": "", "spiked": "+", "b0": "0", "nsb": "N", "blank": "b"}
KEYS = ["plate_id", "role", "sample", "dilution", "nominal"]
WORST = 30.0  # % at which the colours of a plate's deviations end


def plot_curves(curves: pd.DataFrame, band: pd.DataFrame, wells: pd.DataFrame) -> Figure:
    """Draw each plate's standard curve: fitted line and 95 % band, standard wells, and samples where they fall.

    ``curves``, ``band`` and ``wells`` are the stage's tables of those names. A plate without a curve says so.
    """
    use_style()
    figure, axes = _panels(len(curves), width=3.6, height=3.0)
    for axis, plate in zip(axes, curves.itertuples()):
        axis.set_title(f"{plate.plate_id} ({plate.verdict})")
        axis.set(xlabel=f"cortisol ({plate.unit})", ylabel=AXES[plate.signal])
        here = wells[wells["plate_id"] == plate.plate_id]
        line = band[band["plate_id"] == plate.plate_id]
        if line.empty:
            axis.text(0.5, 0.5, "no curve", transform=axis.transAxes, ha="center", color=GREY)
            continue
        axis.set_xscale("log")
        _plain_ticks(axis.xaxis, subs=(1.0, 3.0))
        axis.fill_between(line["concentration"], line["low"], line["high"], color=COLOURS[0], alpha=0.2, lw=0)
        axis.plot(line["concentration"], line["response"], color=COLOURS[0], label="curve and 95 % band")
        standards = here[(here["role"] == "standard") & (here["nominal"] > 0)]
        axis.plot(
            standards["nominal"], standards["response"], "o", mfc="none", color=COLOURS[6], ms=5, label="standards"
        )
        for role, marker, colour in (("sample", "|", COLOURS[1]), ("control", "D", COLOURS[2])):
            mine = here[(here["role"] == role) & here["concentration"].notna()]
            axis.plot(mine["concentration"], mine["response"], marker, color=colour, ms=6, label=f"{role}s")
        outside = here[(here["role"] == "sample") & here["flags"].fillna("").str.contains("_standards")]
        edge = np.where(outside["flags"].str.contains("below"), plate.lowest_standard, plate.highest_standard)
        if len(outside):
            axis.plot(edge, outside["response"], "x", color=COLOURS[1], ms=6, label="beyond the standards")
    if len(axes):
        axes[0].legend(loc="best", fontsize=8)
    return figure


def plot_plates(wells: pd.DataFrame) -> Figure:
    """Draw each plate well by well: how far a well lies from the mean of its replicates, in % of that mean.

    ``wells`` is the stage's table. Letters mark standards (S), controls (C), B0 (0), NSB (N) and blanks (b); wells
    that have no replicate, or no value, stay grey.
    """
    use_style()
    shown = wells.copy()
    groups = shown.groupby(KEYS, dropna=False)["response"]
    mean, size = groups.transform("mean"), groups.transform("count")
    # NSB and blank wells have a mean near zero: a share of it would say nothing.
    relative = (size > 1) & ~shown["role"].isin(["nsb", "blank"])
    shown["deviation"] = (100 * (shown["response"] / mean - 1)).where(relative)
    names = list(dict.fromkeys(shown["plate_id"]))
    figure, axes = _panels(len(names), width=3.9, height=2.9)
    image = None
    for axis, plate_id in zip(axes, names):
        here = shown[shown["plate_id"] == plate_id]
        row = here["well"].str[0].map(ROWS.index).to_numpy()
        column = here["well"].str[1:].astype(int).to_numpy() - 1
        shape = (8, 12) if row.max() < 8 and column.max() < 12 else (16, 24)
        grid = np.full(shape, np.nan)
        grid[row, column] = here["deviation"]
        axis.set_facecolor("#d9dde0")
        image = axis.imshow(grid, cmap="PuOr", vmin=-WORST, vmax=WORST, aspect="equal")
        for r, c, role in zip(row, column, here["role"]):
            axis.text(c, r, MARKS.get(role, ""), ha="center", va="center", fontsize=7, color="#222222")
        axis.set_xticks(range(shape[1]), range(1, shape[1] + 1), fontsize=7)
        axis.set_yticks(range(shape[0]), ROWS[: shape[0]], fontsize=7)
        axis.tick_params(length=0)
        axis.set_title(plate_id)
    if image is not None:
        bar = figure.colorbar(image, ax=list(axes), shrink=0.7, extend="both")
        bar.set_label("off the replicates' mean (%)", fontsize=9)
        bar.ax.tick_params(labelsize=8)
    return figure


def plot_controls(controls: pd.DataFrame) -> Figure:
    """Draw each control over the plates (Levey-Jennings): mean, nominal value, and the limits that hold for each plate.

    ``controls`` is the stage's table. Limits are those of recovery until there are enough plates for their SD: with
    three plates no value can lie more than 1.15 SD from their mean.
    """
    use_style()
    groups = list(controls.groupby(["kit", "control"], sort=True))
    figure, axes = _panels(len(groups), width=4.2, height=2.7)
    for axis, ((kit, name), group) in zip(axes, groups):
        place = np.arange(len(group))
        axis.axhline(group["mean"].iloc[0], color=GREY, lw=1.2, label="mean")
        # Each plate's own limits: those by which it was judged.
        for source, style in (("recovery", "--"), ("other plates", ":")):
            mine = (group["limits_from"] == source).to_numpy()
            for column in ("lower_limit", "upper_limit") if mine.any() else ():
                level = group[column].where(mine)
                axis.plot(place, level, color=GREY, lw=1, ls=style, drawstyle="steps-mid", marker="_",
                          label=f"limits: {source}" if column == "upper_limit" else None)  # fmt: skip
        nominal = group["nominal"].dropna()
        if len(nominal):
            axis.axhline(nominal.iloc[0], color=COLOURS[2], lw=1.2, ls="-.", label="nominal")
        axis.plot(place, group["concentration"], "-", color=COLOURS[0], lw=0.8)
        for verdict, colour, marker in (
            ("pass", COLOURS[0], "o"),
            ("warn", COLOURS[5], "^"),
            ("fail", COLOURS[1], "s"),
        ):
            mine = (group["verdict"] == verdict).to_numpy()
            axis.plot(
                place[mine],
                group["concentration"][mine],
                marker,
                color=colour,
                ms=6,
                label=verdict if mine.any() else None,
            )
        axis.set_xticks(place, group["plate_id"], rotation=45 if len(group) > 4 else 0)
        axis.set(ylabel="concentration")
        axis.set_title(f"{name} ({kit})", fontsize=10)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    return figure


def plot_distribution(samples: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Draw hair cortisol by arm, one point a sample; a censored sample is an arrow that starts at its limit.

    ``samples``: the stage's table with a column ``arm``; ``arms``: in the config's order. The bar is the median,
    with censored samples counted below or above all others.
    """
    use_style()
    figure, axis = plt.subplots(figsize=(1.6 + 1.5 * max(len(arms), 1), 3.6))
    styles = arm_styles(arms)
    for i, arm in enumerate(arms):
        group = samples[samples["arm"] == arm].sort_values("hair_id")
        known = group[group["cortisol_pg_per_mg"].notna()]
        axis.plot(_spread(len(known), i), known["cortisol_pg_per_mg"], ls="none", marker=styles[arm]["marker"],
                  color=styles[arm]["color"], ms=4, alpha=0.7)  # fmt: skip
        for side, direction in (("below", "v"), ("above", "^")):
            censored = group[(group["censored"] == side) & (group["limit_pg_per_mg"] > 0)]
            axis.plot(_spread(len(censored), i), censored["limit_pg_per_mg"], ls="none", marker=direction, mfc="none",
                      color=styles[arm]["color"], ms=8)  # fmt: skip
        middle = _median(group)
        if np.isfinite(middle) and middle > 0:
            axis.plot([i - 0.3, i + 0.3], [middle, middle], color="black", lw=2)
    axis.set_yscale("log")
    _plain_ticks(axis.yaxis)
    counts = samples["arm"].value_counts()
    axis.set_xticks(range(len(arms)), [f"{arm}\nn = {counts.get(arm, 0)}" for arm in arms])
    axis.set(ylabel="hair cortisol (pg/mg)", xlim=(-0.6, len(arms) - 0.4))
    if (samples["censored"] != "none").any():
        axis.set_title("open triangles: below or above the limit", fontsize=9)
    return figure


def _median(group: pd.DataFrame) -> float:
    """Median with censored samples at the ends; NaN where the median itself is censored."""
    ranks = group["cortisol_pg_per_mg"].copy()
    ranks[group["censored"] == "below"] = -np.inf
    ranks[group["censored"] == "above"] = np.inf
    middle = ranks.dropna().median() if ranks.notna().any() else np.nan
    return middle if np.isfinite(middle) else np.nan


def _spread(n: int, centre: int) -> NDArray[np.float64]:
    """Places side by side around ``centre``, the same for the same number of points."""
    return centre + 0.28 * (((np.arange(n) * 0.618034) % 1) - 0.5) * 2


def _panels(n: int, width: float, height: float, columns: int = 3) -> tuple[Figure, list[Axes]]:
    across = min(max(n, 1), columns)
    down = -(-max(n, 1) // across)
    figure, axes = plt.subplots(down, across, figsize=(width * across + 0.6, height * down), squeeze=False)
    for axis in axes.flat[n:]:
        axis.axis("off")
    return figure, list(axes.flat[:n])


def _plain_ticks(axis: XAxis | YAxis, subs: Sequence[float] = (1.0, 2.0, 5.0)) -> None:
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=12))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_formatter(NullFormatter())
