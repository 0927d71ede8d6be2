"""What a study was read as, in lines for a person: each sheet, each declared column, and how files were taken."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.cortisol.finished import read_finished
from hpaxis.cortisol.kits import read_kits
from hpaxis.report.numbers import plural
from hpaxis.rows import rows_of
from hpaxis.study.study import SHEETS, Study

# Factors by which a number in another unit differs: months and years, a decimal point, percent, g and mg.
FACTORS = (10.0, 12.0, 100.0, 1000.0)
FEWEST = 8  # values that a spread is judged from
NAMED = 5  # rows that a line names
FAR = 30.0  # times the median: beyond what hair cortisol of people spans, short of a factor of 1,000


def described(study: Study) -> list[str]:
    """Return a line for each sheet, for each declared column of the participants, and for the libraries by assay."""
    lines = []
    for name in SHEETS:
        path, table = study.config.sheets[name], getattr(study, name)
        if path is not None:
            how = "; ".join(table.attrs.get("read", []))
            lines.append(f"{name}: {path}, {plural(len(table), 'row')}{f' ({how})' if how else ''}")
    for column, kind in study.config.cohort.columns.items():
        if column in study.participants.attrs.get("absent", ()):
            lines.append(f"  {column}: {kind}, declared in the config, and no column of the sheet")
        elif column in study.participants:
            lines.append(f"  {column}: {_column(study.participants[column], kind)}")
    own = study.libraries[study.libraries["kind"] == "study"]
    for (assay, timepoint), rows in own.groupby(["assay", "timepoint"], dropna=False):
        lines.append(f"  {plural(len(rows), 'library', 'libraries')} of assay {assay} at {timepoint}")
    if len(study.hair):
        mass, length = study.hair["mass_mg"], study.hair["segment_to_cm"] - study.hair["segment_from_cm"]
        lines.append(f"  hair: {_span(mass)} mg, segments {_span(length)} cm long")
    return [*lines, *_doubtful(study), *_rare_timepoints(study), *_finished(study), *_unanswerable(study)]


def _rare_timepoints(study: Study) -> list[str]:
    """Return timepoints that few of the study's own libraries have: a slip of typing, or a sample taken elsewhere."""
    counts = study.libraries.loc[study.libraries["kind"] == "study", "timepoint"].value_counts()
    return [
        f"look at timepoint {timepoint}: {n} of {plural(int(counts.sum()), 'library', 'libraries')} only"
        for timepoint, n in counts.items()
        if n <= 0.1 * counts.max()
    ]


def _finished(study: Study) -> list[str]:
    """Return finished cortisol values far from the others, and hair samples without a value where all are finished."""
    settings, values, every = study.config.cortisol, [], True
    kits = read_kits(settings.kits)
    for row in rows_of(study.plates):
        kit = kits.get(row.kit)
        if kit is None or not kit.finished or not Path(row.reader_file).is_file():
            every = False
            continue
        table = read_finished(row.reader_file, kit, row.plate_id, study.hair, settings)
        values.append(table.assign(plate_id=row.plate_id))
    if not values:
        return []
    table = pd.concat(values, ignore_index=True)
    lines = []
    for plate, own in table.groupby("plate_id", sort=False):
        known = own["cortisol_pg_per_mg"].dropna()
        if found := _two_units(known):
            lines.append(f"look at {plate}: {len(found[0])} of {len(known)} values are about {found[1]:g} times "
                         f"{found[2]} than the others; are they in another unit?")  # fmt: skip
            continue
        ratio = known / known.median()
        far = own.loc[ratio[(ratio > FAR) | (ratio < 1 / FAR)].index, "hair_id"]
        if len(known) >= FEWEST and len(far):
            verb = "is" if len(far) == 1 else "are"
            lines.append(f"look at {plate}: {_some(list(far))} {verb} more than {FAR:g} times as high or low as the "
                         f"median, {known.median():.3g} pg/mg")  # fmt: skip
    without = sorted(set(study.hair["hair_id"].dropna()) - set(table["hair_id"])) if every else []
    if without:
        lines.append(f"look at hair: {_some(without)} {'has' if len(without) == 1 else 'have'} no value in any table")
    return lines


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
    within 60 % (medians of few values differ by chance).
    """
    known = values[values > 0].sort_values()
    steps = [b / a for a, b in pairwise(known)]
    if len(known) < FEWEST or not steps or max(steps) < 2:
        return None
    at = int(np.argmax(steps)) + 1
    ratio = float(known.iloc[at:].median() / known.iloc[:at].median())
    close = [factor for factor in FACTORS if abs(np.log(ratio / factor)) < np.log(1.6)]
    if not close or sorted(steps)[-2] ** 2 > max(steps):
        return None
    factor = min(close, key=lambda factor: abs(np.log(ratio / factor)))
    low, high = known.index[:at], known.index[at:]
    return (low, factor, "smaller") if len(low) <= len(high) else (high, factor, "larger")


def _rows(rows: pd.Series) -> str:
    """The first rows of a sheet, and how many more."""
    return f"row{'s' if len(rows) > 1 else ''} {_some([str(int(row)) for row in sorted(rows)])}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


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
