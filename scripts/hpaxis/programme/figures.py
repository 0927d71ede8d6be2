"""Figures of the programme: studies side by side, and what the treatment is worth."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hpaxis.figures import COLOURS, GREY, use_style
from hpaxis.labels import contrast_label


def plot_forest(pooled: pd.DataFrame) -> Figure:
    """Draw each study's slope difference with its interval, the summary as a diamond, and the prediction interval.

    ``pooled``: programme/pooled.tsv. One panel per slope difference; slopes of single arms are in the table only.
    """
    use_style()
    names = [q for q in pooled["quantity"].drop_duplicates() if not q.startswith("slope[")]
    heights = [len(pooled[pooled["quantity"] == q]) for q in names]
    figure, axes = plt.subplots(
        len(names), 1, figsize=(6.4, 0.9 + 0.42 * sum(heights)), squeeze=False, height_ratios=heights
    )
    for axis, quantity in zip(axes[:, 0], names, strict=True):
        rows = pooled[pooled["quantity"] == quantity].reset_index(drop=True)
        for y, row in rows.iterrows():
            if row["study"] == "pooled":
                corners = ([row["low"], row["estimate"], row["high"], row["estimate"]], [y, y - 0.28, y, y + 0.28])
                axis.fill(*corners, color=COLOURS[0])
                if np.isfinite(row["prediction_low"]):
                    axis.plot([row["prediction_low"], row["prediction_high"]], [y, y], color=COLOURS[0], linewidth=1)
            else:
                axis.plot([row["low"], row["high"]], [y, y], color="black", linewidth=1.4)
                size = 30 if pd.isna(row["weight"]) else 20 + 160 * row["weight"]
                axis.scatter([row["estimate"]], [y], s=size, color="black", marker="s", zorder=3)
        axis.axvline(0, color=GREY, linewidth=1, linestyle=":")
        labels = [f"Pooled ({d})" if s == "pooled" else f"{s} (n = {n:.0f})"
                  for s, d, n in zip(rows["study"], rows["design"], rows["n"], strict=True)]  # fmt: skip
        axis.set_yticks(range(len(rows)), labels)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_title(f"Difference of slopes, {contrast_label(quantity)}")
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
    axes[-1, 0].set_xlabel("Difference of slopes")
    return figure


def plot_plane(draws: pd.DataFrame, curve: pd.DataFrame) -> Figure:
    """Draw the cost-effectiveness plane beside the acceptability curve."""
    use_style()
    figure, (plane, accept) = plt.subplots(1, 2, figsize=(8.0, 3.4))
    for i, (contrast, rows) in enumerate(draws.groupby("contrast", sort=False)):
        shown = rows[(rows["draw"] > 0) & (rows["draw"] <= 1000)]
        label = contrast_label(contrast)
        plane.scatter(shown["effect"], shown["cost"], s=6, alpha=0.35, color=COLOURS[i], linewidths=0, label=label)
        own = rows[rows["draw"] == 0].iloc[0]
        plane.scatter([own["effect"]], [own["cost"]], s=60, marker="X", color="black", zorder=3)
        here = curve[curve["contrast"] == contrast]
        accept.plot(here["willingness"], here["probability"], color=COLOURS[i], marker="o", markersize=4, label=label)
    for axis in (plane.axhline, plane.axvline):
        axis(0, color=GREY, linewidth=1, linestyle=":")
    plane.set(xlabel="Incremental effect", ylabel="Incremental cost", title="Cost-effectiveness plane")
    accept.set(
        xlabel="Willingness to pay per unit of effect", ylabel="Probability that it is worth it", ylim=(-0.02, 1.02)
    )
    accept.set_title("Acceptability")
    if draws["contrast"].nunique() > 1:
        accept.legend()
    return figure


def plot_tornado(tornado: pd.DataFrame, ratio: float, most: int = 12) -> Figure:
    """Draw how the social return moves when one input alone goes to its low and its high, the widest first."""
    use_style()
    rows = tornado[tornado["ratio_low"] != tornado["ratio_high"]].head(most).iloc[::-1]
    figure, axis = plt.subplots(figsize=(6.4, 1.0 + 0.38 * max(1, len(rows))))
    axis.barh(range(len(rows)), rows["ratio_high"] - rows["ratio_low"], left=rows["ratio_low"], height=0.55,
              color=COLOURS[4], edgecolor=COLOURS[0])  # fmt: skip
    axis.axvline(ratio, color="black", linewidth=1.2)
    axis.set_yticks(range(len(rows)), [f"{o}: {i}" for o, i in zip(rows["outcome"], rows["input"], strict=True)])
    axis.set_xlabel("Social return per unit invested (line: all inputs as given)")
    return figure
