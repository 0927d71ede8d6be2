"""One row of a table, as a type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd


class Row(Protocol):
    """A row of a table as `pandas.DataFrame.itertuples` gives it: its columns are attributes."""

    def __getattr__(self, name: str, /) -> Any:
        """Return the value in a column."""


def rows_of(table: pd.DataFrame) -> Iterator[Row]:
    """Return the rows of a table; what a column holds is not checked, which saves mypy the many types of a cell."""
    return table.itertuples()
