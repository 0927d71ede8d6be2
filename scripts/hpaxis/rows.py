"""One row of a table, as a type."""

from typing import Any, Protocol


class Row(Protocol):
    """A row of a table as `pandas.DataFrame.itertuples` gives it: its columns are attributes."""

    def __getattr__(self, name: str, /) -> Any:
        """Return the value in a column."""
