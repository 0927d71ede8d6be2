"""What a study was read as, in lines for a person: each sheet, each declared column, and how files were taken."""

import pandas as pd

from hpaxis.study.study import SHEETS, Study


def described(study: Study) -> list[str]:
    """Return a line for each sheet, for each declared column of the participants, and for the libraries by assay."""
    lines = []
    for name in SHEETS:
        path, table = study.config["sheets"][name], getattr(study, name)
        if path is not None:
            how = "; ".join(table.attrs.get("read", []))
            lines.append(f"{name}: {path}, {len(table)} rows{f' ({how})' if how else ''}")
    for column, kind in study.config["cohort"]["columns"].items():
        if column in study.participants:
            lines.append(f"  {column}: {_column(study.participants[column], kind)}")
    own = study.libraries[study.libraries["kind"] == "study"]
    for (assay, timepoint), rows in own.groupby(["assay", "timepoint"], dropna=False):
        lines.append(f"  {len(rows)} libraries of assay {assay} at {timepoint}")
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
    return f"category of {len(levels)} levels, {int(levels.min())} to {int(levels.max())} people each{absent}"
