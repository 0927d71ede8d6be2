"""The figure of methylation and non-conversion by cycle (M-bias)."""

import matplotlib.pyplot as plt
import numpy as np

from hpaxis.figures import COLOURS, GREY, use_style

ROWS = (
    ("methylated", "unmethylated", "Methylated CpGs (%)"),
    ("unconverted", "converted", "Unconverted C outside\nCpGs (%)"),
)


# A cycle that so few reads show a cytosine at, as those with an insertion do, tells nothing. Share of the commonest.
SELDOM = 0.02


def pool_cycles(cycles):
    """Sum the counts of libraries: ``cycles`` are rows of methylation/cycles of several; one row per mate and cycle."""
    return cycles.drop(columns="library_id").groupby(["mate", "cycle"], as_index=False).sum()


def plot_cycles(cycles):
    """Draw what each cycle of each mate shows (points) and what the same cytosines show over all cycles (dashes).

    ``cycles``: rows of methylation/cycles of the study's libraries, with ``library_id``. Without bias points lie on
    the dashes, whose height is the amplicon's, since a cycle shows the same few cytosines each time.
    """
    use_style()
    if cycles.empty:
        figure, axis = plt.subplots(figsize=(6.4, 1.2))
        axis.text(0.5, 0.5, "no library came as reads", transform=axis.transAxes, ha="center", color=GREY)
        axis.set_axis_off()
        return figure
    pooled = pool_cycles(cycles)
    mates = sorted(pooled["mate"].unique())
    figure, axes = plt.subplots(2, len(mates), figsize=(6.4, 4.6), sharex="col", sharey="row", squeeze=False)
    for column, mate in enumerate(mates):
        rows = pooled[pooled["mate"] == mate]
        for axis, (yes, no, label) in zip(axes[:, column], ROWS, strict=True):
            n = (rows[yes] + rows[no]).to_numpy(float)
            seen = n > SELDOM * n.max(initial=0)
            x = rows["cycle"].to_numpy()[seen]
            expected = 100 * rows[f"{yes}_expected"].to_numpy()[seen] / n[seen]
            axis.scatter(x, expected, s=36, color=GREY, marker="_", linewidths=1.2)
            axis.scatter(x, 100 * rows[yes].to_numpy()[seen] / n[seen], s=9, color=COLOURS[0], linewidths=0, zorder=3)
            axis.set_ylim(0, 1.15 * expected.max(initial=1))
            if column == 0:
                axis.set_ylabel(label)
        axes[0, column].set_title(f"Read {mate}")
        axes[1, column].set_xlabel("Cycle")
    figure.align_ylabels()
    libraries = cycles["library_id"].nunique()
    cytosines = int(np.nansum(pooled[["methylated", "unmethylated", "unconverted", "converted"]].to_numpy()))
    handles = [
        plt.Line2D([], [], linestyle="", marker="o", markersize=4, color=COLOURS[0], label="this cycle"),
        plt.Line2D([], [], linestyle="", marker="_", markersize=7, color=GREY, label="the same cytosines, all cycles"),
        plt.Line2D([], [], linestyle="", label=f"{libraries} libraries, {cytosines / 1e6:.3g} million cytosines"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, columnspacing=1.2, handletextpad=0.5)
    return figure
