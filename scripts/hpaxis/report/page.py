"""The page: sections of blocks in, one HTML text out that needs nothing else to be read."""

import re
from xml.etree import ElementTree

import jinja2
from markupsafe import Markup, escape

from hpaxis.report.blocks import numbered

SVG = "{http://www.w3.org/2000/svg}"
# A figure shrinks to this share of its points in CSS pixels, and no further: its smallest text stays readable.
READABLE = 0.85
HREF = "{http://www.w3.org/1999/xlink}href"
# What a figure may hold. Anything else (scripts, foreign objects, metadata with addresses) is left out.
DRAWN = frozenset(
    {"svg", "g", "defs", "clipPath", "path", "rect", "use", "circle", "line", "polygon", "polyline", "image"}
)
# Symbols of statistics that APA style sets in italics: where they stand for a number, or head a column.
SYMBOL = re.compile(
    r"\b(?:p|n)(?= (?:=|&lt;|&gt;|\())|\bp(?= (?:values?|two-sided)\b)|\b[tF](?=\(| = )|\bF(?=, )|\bb(?=₃)"
    r"|ΔR(?=²)|\bR(?=²)|\bf(?=²)|\bSDs?\b|\bSE\b"
)
HEADS = re.compile(r"p|n|t|F|b|df|SE")


def render(title, question, answer, sections, notices=(), heading="The question and the answer"):
    """Return the page as text.

    ``answer`` and ``notices`` are blocks, ``sections`` a list of `Section`. The question (None without) and the answer
    come first, under ``heading``. The same arguments give the same bytes.
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
    style = Markup(environment.loader.get_source(environment, "page.css")[0])
    return environment.get_template("page.html").render(
        title=title,
        question=question,
        heading=heading,
        answer=answer,
        notices=notices,
        sections=numbered(sections),
        style=style,
    )


def symbols(text):
    """Return the text, escaped, with the symbols of statistics in italics."""
    if HEADS.fullmatch(text):
        return Markup("<i>{}</i>").format(text)
    return Markup(SYMBOL.sub(r"<i>\g<0></i>", str(escape(text))))


def inline_svg(text, key, alt):
    """Return the text of an SVG file as an element for a page.

    Ids get the prefix ``key``, since several figures share a page; sizes become a view box, so that the figure
    fits its column; what is not a drawing is left out. ``alt`` becomes the figure's text for screen readers.
    """
    # The document type of a figure names an address on the web; nothing in it is needed.
    root = ElementTree.fromstring(re.sub(r"<!DOCTYPE[^>]*>", "", text, count=1))
    if root.tag != f"{SVG}svg" or "viewBox" not in root.attrib:
        raise ValueError(f"figure {key} is not an SVG drawing with a view box")
    width = float(root.get("viewBox").split()[2])
    attributes = {
        "viewBox": root.get("viewBox"),
        "role": "img",
        "aria-label": alt,
        # A point is 4/3 of a CSS pixel.
        "style": f"max-width:{width * 4 / 3:.0f}px;min-width:{width * READABLE:.0f}px",
    }
    return Markup("<svg" + _attributes(attributes) + ">" + "".join(_drawn(child, key) for child in root) + "</svg>")


def _drawn(element, key):
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
    return f"<{name}{_attributes(attributes)}>{inside}</{name}>" if inside else f"<{name}{_attributes(attributes)}/>"


def _attributes(attributes):
    return "".join(Markup(' {}="{}"').format(Markup(k), v) for k, v in attributes.items())
