"""The page as data: its blocks in JSON, from which it is drawn again byte for byte.

A figure stands in it by the name of its file, a table with what it offers as CSV. `hpaxis verify` draws the page again
from this file and compares its blocks with what the tables of a bundle say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from hpaxis.report import blocks as kinds
from hpaxis.report.page import block_csv, render

if TYPE_CHECKING:
    from hpaxis.report.blocks import Block, Notice, Section

KINDS = {
    kind.__name__: kind
    for kind in (kinds.Paragraph, kinds.Heading, kinds.Notice, kinds.Items, kinds.Commands, kinds.Table, kinds.Figure,
                 kinds.Check, kinds.Strip, kinds.Fold, kinds.Section)
}  # fmt: skip


def dump_page(
    title: str,
    question: str | None,
    first: Iterable[Block],
    sections: Iterable[Section],
    notices: Iterable[Notice],
    **more: Any,
) -> str:
    """Return the arguments of `hpaxis.report.page.render` as JSON text."""
    page = {"title": title, "question": question, "answer": list(first), "sections": list(sections),
            "notices": list(notices), **more}  # fmt: skip
    return json.dumps(page, default=_plain, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def load_page(text: str, drawing: Callable[[str], str]) -> dict[str, Any]:
    """Return those arguments as a dict; ``drawing`` gives the SVG text of a figure’s file by its name.

    Raises ValueError where the text is no stored page.
    """
    page = json.loads(text, object_hook=lambda found: _made(found, drawing))
    if not isinstance(page, dict) or not {"title", "answer", "sections"} <= page.keys():
        raise ValueError("not a stored page")
    return page


def drawn(page: Mapping[str, Any]) -> str:
    """Return the page, as HTML text, of what `load_page` gives."""
    arguments = dict(page)
    first = [arguments.pop(name) for name in ("title", "question", "answer", "sections", "notices")]
    return render(*first, **arguments)


def _plain(value: object) -> object:
    if isinstance(value, Markup):
        return {"markup": str(value)}
    if isinstance(value, frozenset):
        return sorted(value)
    if is_dataclass(value):
        held = {f.name: getattr(value, f.name) for f in fields(value) if f.init and f.name not in ("svg", "number")}
        if held.get("data") is not None:
            held["data"] = block_csv(value)
        return {"block": type(value).__name__, **{k: _marked(v) for k, v in held.items()}}
    return str(value)


def _marked(value: object) -> object:
    """Markup is a str, which JSON writes as it is: say so, at any depth."""
    if isinstance(value, Markup):
        return {"markup": str(value)}
    if isinstance(value, tuple | list):
        return [_marked(v) for v in value]
    return value


def _made(found: dict[str, Any], drawing: Callable[[str], str]) -> Any:
    if set(found) == {"markup"}:
        return Markup(found["markup"])
    if "block" not in found:
        return found
    kind = KINDS[found.pop("block")]
    held = {k: tuple(tuple(c) if isinstance(c, list) else c for c in v) if isinstance(v, list) else v
            for k, v in found.items()}  # fmt: skip
    if kind is kinds.Table:
        held["text"] = frozenset(held["text"])
    if kind is kinds.Figure:
        held["svg"] = drawing(held["source"][0])
    return kind(**held)
