"""What a study was read as, in lines for a person: each sheet, each declared column, and how files were taken."""

from itertools import pairwise

import numpy as np
import pandas as pd

from hpaxis.study.study import SHEETS, Study

# Factors by which a number in another unit differs: months and years, a decimal point, percent, g and mg.
FACTORS = (10.0, 12.0, 100.0, 1000.0)
FEWEST = 8  # values that a spread is judged from
NAMED = 5  # rows that a line names


def described(study: Study) -> list[str]:
    """Return a line for each sheet, for each declared column of the participants, and for the libraries by assay."""
    lines = []
    for name in SHEETS:
        path, table = study.config.sheets[name], getattr(study, name)
        if path is not None:
            how = "; ".join(table.attrs.get("read", []))
            lines.append(f"{name}: {path}, {len(table)} rows{f' ({how})' if how else ''}")
    for column, kind in study.config.cohort.columns.items():
        if column in study.participants.attrs.get("absent", ()):
            lines.append(f"  {column}: {kind}, declared in the config, and no column of the sheet")
        elif column in study.participants:
            lines.append(f"  {column}: {_column(study.participants[column], kind)}")
    own = study.libraries[study.libraries["kind"] == "study"]
    for (assay, timepoint), rows in own.groupby(["assay", "timepoint"], dropna=False):
        lines.append(f"  {len(rows)} libraries of assay {assay} at {timepoint}")
    if len(study.hair):
        mass, length = study.hair["mass_mg"], study.hair["segment_to_cm"] - study.hair["segment_from_cm"]
        lines.append(f"  hair: {_span(mass)} mg, segments {_span(length)} cm long")
    return [*lines, *_doubtful(study), *_unanswerable(study)]


def _span(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return "of unknown size," if low != low else f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _doubtful(study: Study) -> list[str]:
    """Return numbers to look at: one group a unit's factor from the other, or a few far from the rest.

    Children and parents are looked at apart. Neither is refused: a score may have two modes, and a person may be far
    from the others.
    """
    people, lines = study.participants, []
    for column, kind in study.config.cohort.columns.items():
        if kind != "number" or column not in people:
            continue
        for _, group in people.groupby("role", dropna=False):
            values = pd.to_numeric(group[column], errors="coerce").dropna()
            if len(values) < FEWEST:
                continue
            if found := _two_units(values):
                odd, factor, how = found
                at = _rows(group.loc[odd, "row"])
                lines.append(f"look at {column}: the values in {at} are about {factor:g} times {how} than the others; "
                             "are they in another unit?")  # fmt: skip
                continue
            quartiles = np.percentile(values, (25, 75))
            reach = 3 * max(quartiles[1] - quartiles[0], 0.1 * np.abs(quartiles).max())
            far = values[(values < quartiles[0] - reach) | (values > quartiles[1] + reach)]
            if 0 < len(far) <= 0.1 * len(values):
                rest = values.drop(far.index)
                lines.append(f"look at {column}: the values in {_rows(group.loc[far.index, 'row'])} lie far from the "
                             f"others, {rest.min():g} to {rest.max():g}")  # fmt: skip
    return lines


def _two_units(values: pd.Series) -> tuple[pd.Index, float, str] | None:
    """Return (the smaller group, by what factor, and how it differs) where positive values are in two groups.

    A gap is wider than any within a group and at least twofold, and the medians differ by a factor of `FACTORS`, to
    within a quarter.
    """
    known = values[values > 0].sort_values()
    steps = [b / a for a, b in pairwise(known)]
    if len(known) < FEWEST or not steps or max(steps) < 2:
        return None
    at = int(np.argmax(steps)) + 1
    ratio = float(known.iloc[at:].median() / known.iloc[:at].median())
    close = [factor for factor in FACTORS if abs(np.log(ratio / factor)) < np.log(1.25)]
    if not close or sorted(steps)[-2] ** 2 > max(steps):
        return None
    factor = min(close, key=lambda factor: abs(np.log(ratio / factor)))
    low, high = known.index[:at], known.index[at:]
    return (low, factor, "smaller") if len(low) <= len(high) else (high, factor, "larger")


def _rows(rows: pd.Series) -> str:
    """The first rows of a sheet, and how many more."""
    shown = [str(int(row)) for row in sorted(rows)[:NAMED]]
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(shown)}{more}"


def _unanswerable(study: Study) -> list[str]:
    """Return what the sheets show already of models that will have no answer: columns that do not vary, empty arms."""
    people, lines = study.participants, []
    for arm in study.config.arms:
        if not (people["arm"] == arm).any():
            lines.append(f"nobody is in arm {arm}")
    for name, entry in study.models.items():
        for part in ("outcome", "predictor"):
            column = entry[part]
            role = entry["population"] if entry["population"] in ("child", "parent") else None
            for other in ("parent", "child"):
                if isinstance(column, str) and column.startswith(f"{other}_"):
                    column, role = column.removeprefix(f"{other}_"), other
            if column not in study.config.cohort.columns or column not in people:
                continue
            known = people.loc[people["role"] == role if role else people["role"].notna(), column].dropna()
            whom = {"child": "children", "parent": "parents"}.get(str(role), "participants")
            if known.empty:
                lines.append(f"model {name}: {part} {column} has no value for the {whom}: it will have no answer")
            elif known.nunique() == 1:
                lines.append(f"model {name}: {part} {column} is the same for all {whom}: it will have no answer")
    return lines


def _column(values: pd.Series, kind: str) -> str:
    """What a declared column holds."""
    known = values.dropna()
    absent = f", {len(values) - len(known)} missing"
    if known.empty:
        return f"{kind}, no value"
    if kind == "number":
        return f"number from {known.min():g} to {known.max():g}{absent}"
    levels = known.value_counts()
    least, most = int(levels.min()), int(levels.max())
    each = f"{least} to {most}" if least < most else f"{most}"
    return f"category of {len(levels)} levels, {each} people each{absent}"
