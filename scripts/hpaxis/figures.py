"""One look for every figure, and files whose bytes depend on the data alone."""

import io
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.text import Text

from hpaxis.tables import whole_file

# Okabe and Ito (2008): told apart with any common colour vision. Arms also differ in marker and line style.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
GREY = "#5f6b73"
# How a point's text travels through an SVG: as the address of a link.
VALUE = "value:"


def arm_styles(arms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Map each arm, in config order, to its colour, marker and line style."""
    return {
        arm: {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i % len(MARKERS)],
            "linestyle": LINES[i % len(LINES)],
        }
        for i, arm in enumerate(arms)
    }


STYLE = {
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
    "svg.fonttype": "none",  # text stays text: it can be found, read aloud and edited
    "savefig.facecolor": "white",
}


def use_style() -> None:
    """Set the theme; call once at the start of each figure function."""
    import seaborn as sns  # here: a job that only reads names and colours of this module does not wait for it

    sns.set_theme(context="notebook", style="ticks", palette=COLOURS, rc=STYLE)


def tell(points: Collection, texts: Iterable[object]) -> None:
    """Give each point of a scatter the text that it shows on hover and focus, in an SVG."""
    points.set_urls([f"{VALUE}{quote(str(text))}" for text in texts])


def svg_text(figure: Figure) -> str:
    """Return the figure as the text of an SVG file, as `save` writes it, and close it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=150, metadata={"Date": None})
    plt.close(figure)
    return _readable(buffer.getvalue())


def save(figure: Figure, path: str | Path) -> None:
    """Write the figure as SVG (or by its suffix) without date or random ids, and close it."""
    kind = str(path).rsplit(".", 1)[-1]
    with whole_file(path) as part:
        if kind == "svg":
            Path(part).write_text(svg_text(figure), encoding="utf-8")
        else:
            dated = {"CreationDate": None} if kind == "pdf" else None
            figure.savefig(part, format=kind, dpi=300, bbox_inches=None, metadata=dated)
    plt.close(figure)


def _readable(text: str) -> str:
    """Texts of points as titles, and families of letters as wide as DejaVu Sans where that is not installed."""
    text = re.sub(
        rf'<a xlink:href="{VALUE}([^"]*)"[^>]*>',
        lambda found: f'<g class="value"><title>{escape(unquote(found[1]))}</title>',
        text,
    )
    text = text.replace("</a>", "</g>") if 'class="value"' in text else text
    return text.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")


def for_journal(figure: Figure, width_mm: float, least: float = 7.0) -> Figure:
    """Set a figure to a column's width in mm: letters of ``least`` points and no less, in proportion; returns it."""
    old, height = figure.get_size_inches()
    width = width_mm / 25.4
    figure.set_size_inches(width, max(height * width / old, 0.62 * width))
    sizes = [t.get_fontsize() for t in figure.findobj(Text) if t.get_text()]
    factor = max(least / min(sizes, default=least), width / old)
    for text in figure.findobj(Text):
        text.set_fontsize(
            min(text.get_fontsize() * factor, least * 1.35) if text.get_fontsize() * factor > least else least
        )
    return figure
