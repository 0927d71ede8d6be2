"""The figure of PCR-bias calibration: what standards read beside what is known of them, and the chosen curve."""

import matplotlib.pyplot as plt
import numpy as np

from hpaxis.figures import COLOURS, GREY, MARKERS, use_style
from hpaxis.methylation.levels.bias import CURVES
from hpaxis.methylation.levels.measured import ALL
from hpaxis.quantiles import normal_quantile

LOW = 0.2  # studies of saliva lie below; a control at 100 % gets an axis of its own


def plot_calibration(standards, calibration, confidence):
    """Draw how far each panel's standards read from what is known of them, and the curve that levels go through.

    ``standards`` and ``calibration`` are the methylation stage's tables; only the mean over all CpGs is drawn. Points
    are observed less known, in percentage points, with their interval; a panel and assay has its colour and marker.
    """
    use_style()
    standards = standards[standards["index"] == ALL]
    chosen = calibration[(calibration["index"] == ALL) & (calibration["chosen"] == "yes")]
    parts = [standards["known"] <= LOW, standards["known"] > LOW]
    shown = [part for part in parts if part.any()] or parts[:1]
    figure, axes = plt.subplots(
        1, len(shown), figsize=(6.4, 3.4), sharey=True, squeeze=False, width_ratios=(4, 1.4)[: len(shown)]
    )
    z = normal_quantile(0.5 + confidence / 2)
    for i, curve in enumerate(chosen.to_dict("records")):
        style = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        mine = (standards["panel"] == curve["panel"]) & (standards["assay"] == curve["assay"])
        label = f"{curve['panel']}, {curve['assay']}: {mine.sum()} standards, curve: {curve['method']}"
        for axis, part in zip(axes[0], shown):
            rows = standards[mine & part]
            x, difference = 100 * rows["known"], 100 * (rows["observed"] - rows["known"])
            style |= {"linestyle": "", "markersize": 5, "elinewidth": 1}
            axis.errorbar(x, difference, yerr=100 * z * rows["se"], label=label, **style)
            ends = standards.loc[part, "known"]
            grid = np.linspace(ends.min(), ends.max(), 200) if len(ends) else np.empty(0)
            axis.plot(100 * grid, 100 * (_curve(curve, grid) - grid), color=style["color"], linewidth=1)
            label = None
    for axis in axes[0]:
        axis.axhline(0, color=GREY, linewidth=0.8, zorder=0)
        axis.set_xlabel("Known methylation (%)")
    if len(shown) > 1:
        axes[0, 1].set(xlabel=f"above {100 * LOW:.0f} %", xticks=sorted(set(100 * standards.loc[parts[1], "known"])))
    axes[0, 0].set_ylabel("Observed − known\n(percentage points)")
    if standards.empty:
        axes[0, 0].text(
            0.5, 0.5, "no library of known percentage", transform=axes[0, 0].transAxes, ha="center", color=GREY
        )
    else:
        figure.legend(loc="outside upper left", ncols=1)
    return figure


def _curve(row, x):
    if row["method"] == "none":
        return x
    curve, start = CURVES[row["method"]]
    return curve(x, *(row[name] for name in "abcd"[: len(start)]))
