"""What the programme section of a config asks for, checked before the first job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hpaxis.problems import InputError, Problem, closest, raise_if_any
from hpaxis.settings import ProgrammeSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Set


RETURN_COLUMNS = (
    "outcome", "quantity", "quantity_low", "quantity_high", "value", "value_low", "value_high", "years", "deadweight",
    "attribution", "displacement", "drop_off", "source", "price_year",
)  # fmt: skip
PRICE_COLUMNS = ("item", "unit_price", "currency", "price_year", "source")


def check_programme(
    settings: ProgrammeSettings, models: Mapping, columns: Sequence[str] | None, config_file: str = "config"
) -> list[Problem]:
    """Return the problems of the programme section: unknown models and columns, missing or unfit tables.

    ``columns``: names of the analysis table; None where they are not known.
    """
    problems: list[Problem] = []

    def add(key: str, what: str, remedy: str, value: object = None) -> None:
        problems.append(Problem(config_file, what, remedy, column=f"programme.{key}", value=value))

    pool, worth, social = settings.pool, settings.worth, settings.social_return
    if pool is not None:
        if pool.model not in models:
            add("pool.model", "is not a model of this study", f"name one of its models{closest(pool.model, models)}",
                pool.model)  # fmt: skip
        for name, path in pool.studies.items():
            if not Path(path).is_file():
                add(f"pool.studies.{name}", "does not exist", "give the path of its summary.tsv", path)
    if worth is not None:
        if (worth.cost is None) == (worth.prices is None):
            add("worth.cost", "and prices: one of them is needed", "name a column of costs or a table of prices")
        known = columns or ()
        for key in ("effect", "cost", "predictor"):
            if columns is not None and worth[key] is not None and worth[key] not in known:
                remedy = f"correct the name, or declare it under cohort.columns{closest(worth[key], known)}"
                add(f"worth.{key}", "is not a column of the analysis table", remedy, worth[key])
        if worth.prices is not None:
            problems += _check(read_prices, worth.prices)
    if social is not None:
        problems += _check(read_outcomes, social.outcomes)
    return problems


def read_prices(path: str | Path) -> pd.DataFrame:
    """Read a table of unit prices. Raises `InputError` with every problem, by row and column."""
    return _read(path, PRICE_COLUMNS, {"unit_price", "price_year"}, one_of=("currency", "price_year"))


def read_outcomes(path: str | Path) -> pd.DataFrame:
    """Read the outcomes of a social-return account. Raises `InputError` with every problem, by row and column."""
    numbers = set(RETURN_COLUMNS) - {"outcome", "source"}
    return _read(path, RETURN_COLUMNS, numbers, one_of=("price_year",))


def _check(reader: Callable[[str | Path], pd.DataFrame], path: str | Path) -> list[Problem]:
    try:
        reader(path)
    except InputError as error:
        return error.problems
    return []


def _read(path: str | Path, columns: Sequence[str], numbers: Set[str], one_of: Sequence[str] = ()) -> pd.DataFrame:
    name = str(path)
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError):
        raise InputError(Problem(name, "cannot be read", "save the table as tab-separated UTF-8 text")) from None
    problems = [Problem(name, "is missing", "add the column", column=c) for c in columns if c not in table]
    problems += [Problem(name, "is not a known column", f"remove it{closest(c, columns)}", column=c)
                 for c in table if c not in columns]  # fmt: skip
    if table.empty:
        problems.append(Problem(name, "has no rows", "add one row per item"))
    raise_if_any(problems)
    for column in columns:
        for row, value in enumerate(table[column], start=2):
            if value.strip() in ("", "NA"):
                problems.append(Problem(name, "is missing", "fill the cell", row, column))
            elif column in numbers and pd.isna(pd.to_numeric(value, errors="coerce")):
                problems.append(
                    Problem(name, "is not a number", "write a number with a decimal point", row, column, value)
                )
    for column in one_of:
        values = sorted(table[column].unique())
        if len(values) > 1:
            what = f"mixes {', '.join(values)}"
            problems.append(Problem(name, what, "convert all amounts to one of them first", column=column))
    raise_if_any(problems)
    return table.assign(**{c: pd.to_numeric(table[c]) for c in columns if c in numbers})
