"""What the commands `hpaxis fit` and `hpaxis claims` do with the files they are given."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpaxis import schemas
from hpaxis.moderation.model import Moderation, fit
from hpaxis.moderation.statistics_check import check_statistics
from hpaxis.problems import InputError, Problem, closest
from hpaxis.tables import read_given, write_table

SHOWN = ("predictor_by_arm", "coefficients", "slopes", "verdict", "region_simultaneous", "warnings")
WRITTEN = (*SHOWN, "region", "region_fdr", "slope_differences", "fit", "used")


def fit_file(path: Path, id: str | None, out: Path | None, **model: object) -> list[str]:
    """Fit the model of a table in a file (see `hpaxis.moderation.fit`); returns the main tables as text.

    ``id``: the column that names the rows. ``out``: a folder to write every table to.
    """
    named = [c for c in (id, model.get("cluster")) if c is not None]
    data = read_given(path, text=named)
    if id is not None and id not in data:
        raise InputError(
            Problem(str(path), "is not a column of the table", f"correct the name{closest(id, data)}", column=id)
        )
    result = fit(data.set_index(id) if id else data, source=str(path), **model)
    if out is not None:
        for name in WRITTEN:
            write_table(getattr(result, name), out / f"{name}.tsv")
    return [_shown(result, name) for name in SHOWN]


def _shown(result: Moderation, name: str) -> str:
    table = getattr(result, name)
    if name == "verdict":
        table = table.T.reset_index().set_axis(["", *table["contrast"]], axis=1)
    return f"{name}\n{'none' if table.empty else table.to_string(index=False)}\n"


def claims_file(path: Path, out: Path | None) -> pd.DataFrame:
    """Check the printed statistics of a file against each other; see `check_statistics`."""
    text: Sequence[str] = list(schemas.load("printed_statistics.schema")["properties"])
    table = check_statistics(read_given(path, text=text))
    if out is not None:
        write_table(table, out)
    return table
