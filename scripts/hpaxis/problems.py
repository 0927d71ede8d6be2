"""What is wrong with an input, said so that a person can correct it.

A check never stops at the first fault: it collects `Problem` rows, and whoever called it raises
one `InputError` with all of them. Entry points print it as one line a problem and exit non-zero.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One fault in one place: where it is, what is wrong, and what to do.

    ``row`` counts lines of the file from 1, header included, as an editor shows them; ``None``
    where the fault is the file's. ``value`` is shown as found. Never pass a read or a name here.
    """

    file: str
    what: str
    remedy: str
    row: int | None = None
    column: str | None = None
    value: object = None

    def __str__(self) -> str:
        return f"{self.place_and_fault}; {_one_line(self.remedy)}"

    @property
    def place_and_fault(self) -> str:
        """Where it is and what is wrong, without what to do."""
        place = [_one_line(self.file)]
        if self.row is not None:
            place.append(f"row {self.row}")
        if self.column is not None:
            place.append(_one_line(self.column))
        shown = "" if self.value is None else f" {_one_line(repr(self.value))}"
        return f"{', '.join(place)}:{shown} {_one_line(self.what)}"


class InputError(ValueError):
    """All problems found in the inputs, one line each in its message."""

    def __init__(self, problems: Problem | Iterable[Problem]):
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


def raise_if_any(problems: Sequence[Problem]) -> None:
    """Raise `InputError` when there is at least one problem."""
    if problems:
        raise InputError(problems)


def closest(word: object, choices: Iterable[object]) -> str:
    """Say which of ``choices`` a misspelt ``word`` may have meant, as the end of a remedy."""
    near = difflib.get_close_matches(str(word), [str(c) for c in choices], n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _one_line(text: object, limit: int = 200) -> str:
    """One line of what can be seen: control and direction characters, which could redraw a terminal, are spelt out."""
    text = " ".join(str(text).split())[: 2 * limit]
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= limit else text[: limit - 3] + "..."
