"""The page: sections of blocks in, one HTML text out that needs nothing else to be read."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from hpaxis.report.blocks import Section, numbered
from hpaxis.tables import FLOAT_FORMAT

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from hpaxis.report.blocks import Block, Figure, Notice, Table

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
# What a figure may hold. Anything else (scripts, foreign objects, metadata with addresses) is left out.
DRAWN = frozenset(
    [
        "svg",
        "g",
        "defs",
        "clipPath",
        "path",
        "rect",
        "use",
        "circle",
        "line",
        "polygon",
        "polyline",
        "image",
        "text",
        "tspan",
        "title",
    ]
)
# Symbols of statistics that APA style sets in italics: where they stand for a number, or head a column.
SYMBOL = re.compile(
    r"\b(?:p|n)(?= (?:=|&lt;|&gt;|\())|\bp(?= (?:values?|two-sided)\b)|\b[tF](?=\(| = )|\bF(?=, )|\bb(?=₃)"
    r"|ΔR(?=²)|\bR(?=²)|\bf(?=²)|\bSDs?\b|\bSE\b"
)
HEADS = re.compile(r"p|n|t|F|b|df|SE")


def render(
    title: str,
    question: str | None,
    answer: Iterable[Block],
    sections: Iterable[Section],
    notices: Iterable[Notice] = (),
    heading: str = "The question and the answer",
    maker: str = "hpaxis report",
) -> str:
    """Return the page as text.

    ``answer`` and ``notices`` are blocks, ``sections`` a list of `Section`. The question (None without) and the answer
    come first, under ``heading``; ``maker`` stands above the title. The same arguments give the same bytes. The page
    runs no script but its own, which its security policy names by digest, and reads nothing from elsewhere.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hpaxis.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["symbols"] = symbols
    environment.filters["drawing"] = lambda figure: inline_svg(figure.svg, figure.key, figure.alt)
    environment.filters["width"] = drawing_width
    environment.filters["csv"] = csv_address
    environment.filters["filename"] = file_name
    style = Markup(environment.loader.get_source(environment, "page.css")[0])
    script = environment.loader.get_source(environment, "page.js")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    first, *rest = numbered([Section("answer", heading, tuple(answer)), *sections])
    return environment.get_template("page.html").render(
        title=title,
        question=question,
        heading=heading,
        maker=maker,
        answer=first.blocks,
        notices=notices,
        sections=rest,
        style=style,
        script=Markup(script),
        digest=f"sha256-{digest}",
    )


def block_csv(block: Figure | Table) -> str:
    """Return what a table or figure offers as CSV, as text: its data in full precision, else the cells as shown."""
    if isinstance(block.data, str):  # as a stored page has it
        return block.data
    if block.data is None:
        table = pd.DataFrame([[str(Markup(c).striptags()) for c in row] for row in block.rows], columns=block.columns)
    else:
        table = block.data
    buffer = io.StringIO()
    table.to_csv(buffer, index=False, na_rep="NA", float_format=FLOAT_FORMAT, lineterminator="\n")
    return buffer.getvalue()


def csv_address(block: Figure | Table) -> str:
    """Return the CSV of a block as an address that holds it, so that the page offers it without its folder."""
    coded = base64.b64encode(("\ufeff" + block_csv(block)).encode("utf-8")).decode("ascii")
    return f"data:text/csv;charset=utf-8;base64,{coded}"


def file_name(block: Figure | Table) -> str:
    """Return the name under which a block’s CSV is saved: its number and title."""
    title = re.sub(r"[^a-z0-9]+", "-", str(block.title).lower()).strip("-")[:60].strip("-")
    return f"{block.kind}-{block.number}-{title}.csv"


def symbols(text: str) -> Markup:
    """Return the text, escaped, with the symbols of statistics in italics."""
    if HEADS.fullmatch(text):
        return Markup("<i>{}</i>").format(text)
    return Markup(SYMBOL.sub(r"<i>\g<0></i>", str(escape(text))))


def inline_svg(text: str, key: str, alt: str) -> Markup:
    """Return the text of an SVG file as an element for a page.

    Ids get the prefix ``key``, since several figures share a page; sizes become a view box, so that the figure
    fits its column; what is not a drawing is left out. ``alt`` becomes the figure's text for screen readers.
    """
    # The document type of a figure names an address on the web; nothing in it is needed.
    root = ElementTree.fromstring(re.sub(r"<!DOCTYPE[^>]*>", "", text, count=1))
    if root.tag != f"{SVG}svg" or "viewBox" not in root.attrib:
        raise ValueError(f"figure {key} is not an SVG drawing with a view box")
    attributes = {
        "viewBox": root.get("viewBox"),
        # Points with values of their own can be reached inside it: then it is a group, else one picture.
        "role": "group" if 'class="value"' in text else "img",
        "aria-label": alt,
    }
    return Markup("<svg" + _attributes(attributes) + ">" + "".join(_drawn(child, key) for child in root) + "</svg>")


def drawing_width(figure: Figure) -> int:
    """Return the width of a figure’s drawing in CSS pixels; a point is 4/3 of one."""
    box = re.search(r'viewBox="([^"]*)"', figure.svg)
    return round(float(box[1].split()[2]) * 4 / 3) if box else 0


def _drawn(element: Element, key: str) -> str:
    name = element.tag.removeprefix(SVG) if isinstance(element.tag, str) else ""
    if name not in DRAWN:
        return ""
    attributes = {}
    for attribute, value in element.attrib.items():
        if attribute == "id":
            attributes["id"] = f"{key}-{value}"
        elif attribute in (HREF, "href"):
            if value.startswith("#"):
                attributes["href"] = f"#{key}-{value[1:]}"
            elif value.startswith("data:image/png;base64,"):
                attributes["href"] = value
        elif not attribute.startswith(("{", "on")):
            attributes[attribute] = re.sub(r"url\(#([^)]*)\)", rf"url(#{key}-\1)", value)
    inside = "".join(_drawn(child, key) for child in element)
    if name in ("text", "tspan", "title"):
        inside = escape(element.text or "") + Markup(
            "".join(_drawn(child, key) + str(escape(child.tail or "")) for child in element)
        )
    return f"<{name}{_attributes(attributes)}>{inside}</{name}>" if inside else f"<{name}{_attributes(attributes)}/>"


def _attributes(attributes: Mapping[str, str]) -> str:
    return "".join(Markup(' {}="{}"').format(Markup(k), v) for k, v in attributes.items())
