"""What a page is made of: sections of blocks. The template draws them; nothing here knows HTML.

Text is escaped when it is drawn, unless it is `markupsafe.Markup`. Use ``Markup("...{}").format(value)``
to set a value in marked-up text: the value is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from hpaxis.report.numbers import MISSING


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of text; a ``lead`` is what a reader in a hurry should see."""

    text: str
    lead: bool = False
    kind: str = field(default="paragraph", init=False)


@dataclass(frozen=True)
class Heading:
    """A heading inside a section, with the anchor ``key``; ``short`` stands in the contents instead of the title."""

    key: str
    title: str
    short: str | None = None
    kind: str = field(default="heading", init=False)


@dataclass(frozen=True)
class Notice:
    """A remark that must not be overlooked: ``level`` is ``note`` or ``warning``."""

    text: str
    level: str = "note"
    kind: str = field(default="notice", init=False)


@dataclass(frozen=True)
class Items:
    """A bulleted list."""

    items: tuple
    kind: str = field(default="items", init=False)


@dataclass(frozen=True)
class Commands:
    """Lines to type in a shell."""

    lines: tuple
    kind: str = field(default="commands", init=False)


@dataclass(frozen=True)
class Table:
    """A table in APA layout: ``rows`` are tuples of text, the first cell heads its row.

    Columns named in ``text`` are set left, the others right. ``folded`` tables open on demand. ``source`` names the
    files that the numbers come from, below the results folder; ``data`` (a data frame) is what the page offers as CSV
    in full precision, the cells themselves where it is None. ``key`` is an anchor for links.
    """

    title: str
    columns: tuple
    rows: tuple
    text: frozenset = frozenset()
    note: str | None = None
    folded: bool = False
    source: tuple = ()
    data: object = None
    key: str | None = None
    number: int | None = None
    kind: str = field(default="table", init=False)


@dataclass(frozen=True)
class Figure:
    """A figure: ``svg`` is the text of an SVG file, ``alt`` says what it shows to who cannot see it.

    ``folded`` figures open on demand. ``source`` names the file of the drawing and those of its numbers, below the
    results folder; ``data`` is what the page offers as CSV, None where the numbers belong to people.
    """

    key: str
    title: str
    alt: str
    svg: str
    note: str | None = None
    folded: bool = False
    source: tuple = ()
    data: object = None
    number: int | None = None
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True)
class Check:
    """One check of the strip below the answer: ``verdict`` is pass, warn, fail or none; ``link`` an anchor."""

    name: str
    verdict: str
    said: str
    link: str | None = None


@dataclass(frozen=True)
class Strip:
    """The checks that the answer passed or did not, side by side."""

    checks: tuple
    kind: str = field(default="strip", init=False)


@dataclass(frozen=True)
class Fold:
    """Blocks that open on demand under a title; they are not printed."""

    key: str
    title: str
    blocks: tuple
    kind: str = field(default="fold", init=False)


# What a section holds.
Block = Paragraph | Heading | Notice | Items | Commands | Table | Figure | Strip | Fold


@dataclass(frozen=True)
class Section:
    """A section with its anchor, title and blocks."""

    key: str
    title: str
    blocks: tuple


def without_empty_columns(table: Table) -> Table:
    """Return the table without the columns, its first aside, in which every row has only the mark for missing."""
    empty = {i for i in range(1, len(table.columns)) if table.rows and all(row[i] == MISSING for row in table.rows)}

    def kept(cells: Sequence[str]) -> tuple[str, ...]:
        return tuple(cell for i, cell in enumerate(cells) if i not in empty)

    return replace(table, columns=kept(table.columns), rows=tuple(map(kept, table.rows))) if empty else table


def numbered(sections: Iterable[Section]) -> list[Section]:
    """Return the sections with tables and figures numbered in the order in which they stand.

    A column of a table in which no row has anything is left out: it is about what the study does not have.
    """
    counts = {"table": 0, "figure": 0}

    def number(block: Block) -> Block:
        if block.kind == "fold":
            return replace(block, blocks=tuple(number(b) for b in block.blocks if b is not None))
        if block.kind not in counts:
            return block
        counts[block.kind] += 1
        block = without_empty_columns(block) if block.kind == "table" else block
        return replace(block, number=counts[block.kind])

    return [replace(s, blocks=tuple(number(b) for b in s.blocks if b is not None)) for s in sections]


def every_block(sections: Iterable[Section]) -> Iterator[Block]:
    """Yield every block, those inside a fold included."""
    for block in (b for section in sections for b in section.blocks):
        yield block
        if block.kind == "fold":
            yield from block.blocks
