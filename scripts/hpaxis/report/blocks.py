"""What a page is made of: sections of blocks. The template draws them; nothing here knows HTML.

Text is escaped when it is drawn, unless it is `markupsafe.Markup`. Use ``Markup("...{}").format(value)``
to set a value in marked-up text: the value is escaped.
"""

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

    Columns named in ``text`` are set left, the others right. ``folded`` tables open on demand.
    """

    title: str
    columns: tuple
    rows: tuple
    text: frozenset = frozenset()
    note: str | None = None
    folded: bool = False
    number: int | None = None
    kind: str = field(default="table", init=False)


@dataclass(frozen=True)
class Figure:
    """A figure: ``svg`` is the text of an SVG file, ``alt`` says what it shows to who cannot see it.

    ``folded`` figures open on demand.
    """

    key: str
    title: str
    alt: str
    svg: str
    note: str | None = None
    folded: bool = False
    number: int | None = None
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True)
class Section:
    """A section with its anchor, title and blocks."""

    key: str
    title: str
    blocks: tuple


def without_empty_columns(table):
    """Return the table without the columns, its first aside, in which every row has only the mark for missing."""
    empty = {i for i in range(1, len(table.columns)) if table.rows and all(row[i] == MISSING for row in table.rows)}

    def kept(cells):
        return tuple(cell for i, cell in enumerate(cells) if i not in empty)

    return replace(table, columns=kept(table.columns), rows=tuple(map(kept, table.rows))) if empty else table


def numbered(sections):
    """Return the sections with tables and figures numbered in the order in which they stand.

    A column of a table in which no row has anything is left out: it is about what the study does not have.
    """
    counts = {"table": 0, "figure": 0}

    def number(block):
        if block.kind not in counts:
            return block
        counts[block.kind] += 1
        block = without_empty_columns(block) if block.kind == "table" else block
        return replace(block, number=counts[block.kind])

    return [replace(s, blocks=tuple(number(b) for b in s.blocks if b is not None)) for s in sections]
