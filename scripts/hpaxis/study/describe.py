"""What a study was read as, in lines for a person: each sheet, each declared column, and how files were taken."""

import pandas as pd

from hpaxis.study.study import SHEETS, Study


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
    return [*lines, *_unanswerable(study)]


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
