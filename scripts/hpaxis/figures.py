"""One look for every figure, and files whose bytes depend on the data alone."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import seaborn as sns

from hpaxis.tables import whole_file

# Okabe and Ito (2008): told apart with any common colour vision. Arms also differ in marker and line style.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
GREY = "#5f6b73"


def arm_styles(arms):
    """Map each arm, in config order, to its colour, marker and line style."""
    return {
        arm: {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i % len(MARKERS)],
            "linestyle": LINES[i % len(LINES)],
        }
        for i, arm in enumerate(arms)
    }


def use_style():
    """Set the theme; call once at the start of each figure function."""
    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=COLOURS,
        rc={
            "font.family": "DejaVu Sans",
            "font.size": 10,
            "axes.labelsize": 10,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "figure.constrained_layout.use": True,
            "text.parse_math": False,  # a `$` in a name of the study is a dollar sign
            "svg.hashsalt": "hpaxis",
            "svg.fonttype": "path",
            "savefig.facecolor": "white",
        },
    )


def save(figure, path):
    """Write the figure as SVG (or by its suffix) without date or random ids, and close it."""
    kind = str(path).rsplit(".", 1)[-1]
    with whole_file(path) as part:
        figure.savefig(part, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    plt.close(figure)
