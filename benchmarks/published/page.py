"""What the sections of the page on published data share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Section:
    """One data set: title, where it is to be had, and Markdown lines; ``missing`` names files that are not there."""

    title: str
    source: str
    lines: list[str] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)

    def text(self) -> str:
        """The section as Markdown."""
        body = self.lines
        if self.missing:
            names = ", ".join(f"`{path.parent.name}/{path.name}`" for path in self.missing)
            body = [f"Not run: {names} is not in the folder."]
        return "\n".join([f"## {self.title}", "", f"Data: {self.source}", "", *body, ""])


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table; the first column is text."""
    lines = ["| " + " | ".join(columns) + " |", "| --- |" + " ---: |" * (len(columns) - 1)]
    return [*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows), ""]


def absent(paths: Iterable[Path]) -> list[Path]:
    """The files of these that do not exist."""
    return [path for path in paths if not path.is_file()]


def interval(low: float, high: float, digits: int) -> str:
    """An interval in brackets."""
    return f"({low:.{digits}f}, {high:.{digits}f})"
