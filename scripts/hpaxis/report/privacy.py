"""What may leave the laboratory: counts of few people are withheld everywhere, ids are replaced by numbers.

The policy, in one place. The number enrolled and the number analysed, by arm, are always shown, as CONSORT asks; so is
the number of samples. Everything between them that would single out from 1 to ``smallest - 1`` people is withheld or
given as a range, together with what it would follow from (the complementary cells): a total less the other cells, the
n after a step, the same step in the other arms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from hpaxis.report.numbers import MISSING, count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WITHHELD = "withheld"
# Columns that count people in tables that name none; `n` beside one is the number that it is a part of.
PEOPLE_COUNTS = ("n_below", "n_between", "n_above", "n_significant", "missing", "censored", "sign_flips", "people",
                 "subjects")  # fmt: skip
# Checks of robustness.tsv whose count is one of people.
PEOPLE_CHECKS = ("single_deletions", "region")
# Notes of the stages that begin with a number of people: ``1 outcome values known only as beyond a limit``.
LEADING = re.compile(r"^(\d+) (?=(?:rows?|outcome values?|values?|people|cases?)\b)")


@dataclass(frozen=True)
class Cells:
    """Counts of people as text, by the smallest count that may be shown; 0 shows every count."""

    smallest: int

    @property
    def all_shown(self) -> bool:
        """Whether every count may be shown."""
        return self.smallest < 3  # a range from 1 to 1 would hide nothing

    def small(self, n: float) -> bool:
        """Whether a count of people must not be shown."""
        return not self.all_shown and n == n and 0 < n < self.smallest

    def people(self, n: float | None) -> str:
        """Return a count, or the range that a small one lies in."""
        if n is None or n != n:
            return MISSING
        return f"1–{self.smallest - 1}" if self.small(n) else count(n)

    def known(self, n: int, total: int) -> str:
        """Return how many of ``total`` have something, or `WITHHELD` where few have it or few lack it."""
        return WITHHELD if self.small(n) or self.small(total - n) else count(n)

    def part(self, n: float, total: float) -> str:
        """Return ``14 of 40``; with few on either side, only the range that the count lies in."""
        if self.small(n):
            return f"1–{self.smallest - 1} of {count(total)}"
        if self.small(total - n):
            return f"{count(total - self.smallest + 1)}–{count(total - 1)} of {count(total)}"
        return f"{count(n)} of {count(total)}"

    def parts(self, counts: Sequence[int]) -> list[str]:
        """Return counts that add up to a known total: with a small one among them, all as the range or `WITHHELD`."""
        if not any(self.small(n) for n in counts):
            return [count(n) for n in counts]
        return [self.people(n) if self.small(n) or n == 0 else WITHHELD for n in counts]

    def note(self, text: str) -> str:
        """Return a note of a stage without a small count of people at its start."""
        found = LEADING.match(str(text))
        return str(text)[found.end() :] if found and self.small(int(found[1])) else str(text)


def counts_few(table: pd.DataFrame, cells: Cells) -> bool:
    """Whether a table (a data frame) counts few people, or all but few: in a column of people, or in a note."""
    if cells.all_shown:
        return False
    for column in PEOPLE_COUNTS:
        if column in table and pd.api.types.is_numeric_dtype(table[column]):
            counts = table[column].dropna()
            rest = table["n"] - table[column] if "n" in table and column != "sign_flips" else counts[:0]
            if any(map(cells.small, [*counts, *rest.dropna()])):
                return True
    if {"check", "count", "total"} <= set(table):
        own = table[table["check"].isin(PEOPLE_CHECKS)]
        if any(map(cells.small, [*own["count"].dropna(), *(own["total"] - own["count"]).dropna()])):
            return True
    texts = [c for c in ("note", "what") if c in table]
    return any(cells.note(text) != str(text) for c in texts for text in table[c].dropna())


def without_counts(table: pd.DataFrame, cells: Cells) -> pd.DataFrame:
    """Return a model's table (a data frame) that counts few people without its counts, to be shared beside the others.

    Counts of people are NA in every row, and the count of a check that has few with what follows from it; notes lose
    the number that they begin with. Rows and all other numbers stay.
    """
    table = table.copy()
    for column in PEOPLE_COUNTS:
        if column in table:
            table[column] = float("nan")
    if {"check", "count", "total"} <= set(table):
        table.loc[table["check"].isin(PEOPLE_CHECKS), ["count", "value"]] = float("nan")
    for column in ("note", "what"):
        if column in table:
            shown = [text if pd.isna(text) else cells.note(text) for text in table[column]]
            changed = pd.Series(shown, table.index).ne(table[column]) & table[column].notna()
            if "value" in table:
                table.loc[changed, "value"] = float("nan")
            table[column] = shown
    return table


def few_beside(tables: Mapping[str, pd.DataFrame], cells: Cells) -> bool:
    """Whether few people lie on one side of a place that the page gives, so that no figure may show who lies where.

    ``tables``: those of one model, by name.
    """
    return any(
        counts_few(tables[name], cells) for name in ("region", "sensitivity_region", "verdict") if name in tables
    )


def shown_flow(attrition: pd.DataFrame, smallest: int) -> pd.DataFrame:
    """Return the flow as text: population, chain, step, arm, ``stays``, ``left``, ``reason``.

    ``attrition`` is cohort/attrition.tsv. Where a step of a chain loses from 1 to ``smallest - 1`` people in any arm,
    the steps of that chain are withheld in every arm of the population: what is left of one would follow from the
    others, and that an arm alone is withheld would reveal that it lost somebody.
    """
    cells = Cells(smallest)
    shown = attrition[["population", "chain", "step", "arm", "reason"]].copy()
    shown["stays"] = [count(n) for n in attrition["n_after"]]
    lost = attrition["n_before"] - attrition["n_after"]
    shown["left"] = [count(n) for n in lost]
    enrolment = attrition["chain"].eq("enrolment")
    for _, steps in attrition[~enrolment].groupby(["population", "chain"], sort=False):
        whole = steps.groupby("arm")["n_before"].first() - steps.groupby("arm")["n_after"].last()
        if any(cells.small(n) for n in [*lost[steps.index], *whole]):
            shown.loc[steps.index, ["left", "stays", "reason"]] = WITHHELD
    return shown[["population", "chain", "step", "arm", "stays", "left", "reason"]]


def shown_ids(ids: NDArray[np.object_] | pd.Series | Sequence[str], noun: str, real: bool) -> list[str]:
    """Return ids as they are where ``real``, else numbered in their order: ``library 1``, ``library 2``."""
    return [str(i) for i in ids] if real else [f"{noun} {n}" for n in range(1, len(ids) + 1)]
