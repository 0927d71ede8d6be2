"""Levels that another laboratory finished: arrays, EpiTYPER, high-resolution melting, or any method with an error.

A long table has one row per library and CpG: ``library_id``, ``cpg_id`` and the level in a column that names its unit
(`UNITS`), where known its standard error in the same unit (``se_percent``, ...). A wide one, as array pipelines write
it, has a row per probe and a column per library; the config says its unit. What a row measures may be a CpG, an alias
such as an array probe, several CpGs joined by ``;`` (a unit of EpiTYPER, whose fragments hold several), or an index
of the panel (a region). Rows that repeat a library and unit are replicates.
"""

import re

import numpy as np
import pandas as pd

from hpaxis.identifying import tellable
from hpaxis.methylation.assays.coverage import first_lines
from hpaxis.methylation.assays.instrument import MIN_DF, band, by_band
from hpaxis.methylation.panels.panel import Panel
from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.settings import LevelsSettings

UNITS = ("percent", "fraction", "m_value")
COLUMNS = ("library_id", "unit", "cpg_ids", "level", "se", "df", "n")
# EPIC v2 adds the design of a probe to its name.
DESIGN = re.compile(r"(cg\d{8})_[TB][CO]\d+$")


def read_levels(libraries: pd.DataFrame, panels: dict, settings: LevelsSettings, sheet: str) -> pd.DataFrame:
    """Levels of all libraries of assay levels: `COLUMNS`, one row per library and unit, as fractions.

    Parameters: ``libraries``, their rows of the libraries sheet; ``panels``, name → `Panel`; ``settings``, the config's
    section methylation.levels (``unit`` of wide tables, ``sd`` in percentage points); ``sheet``, the sheet's path, for
    problems. ``cpg_ids`` are joined by ``;``. A unit's error is the stated one, or that of replicates, pooled over the
    study by bands of levels. Raises `InputError` with every problem, also where nothing tells the error.
    """
    problems, found = [], []
    for (path, name), rows in libraries.groupby(["levels", "panel"], sort=True):
        try:
            table = _long(path, settings.unit, set(rows["library_id"]))
            known = _names(panels[name])
            for row in rows.itertuples():
                mine = table[table["library_id"] == row.library_id]
                if mine.empty:
                    what, remedy = f"has no level in {path}", "name the library there like here, or correct the path"
                    problems.append(Problem(sheet, what, remedy, row.row, "library_id", row.library_id))
                    continue
                found.append(_units(mine, known, path, problems))
        except InputError as error:
            problems += error.problems
    raise_if_any(list(dict.fromkeys(problems)))
    return _with_errors(pd.concat(found, ignore_index=True), settings)


def check_levels(libraries: pd.DataFrame, panels: dict, settings: LevelsSettings, sheet: str) -> list[Problem]:
    """Return every problem that would stop `read_levels`."""
    try:
        read_levels(libraries, panels, settings, sheet)
    except InputError as error:
        return error.problems
    return []


def _names(panel: Panel) -> dict[str, str]:
    """What a table may call the panel's CpGs → their ids joined by ``;``."""
    names = {}
    for alias, rows in panel.aliases.groupby("alias"):
        if rows["cpg_id"].nunique() == 1:
            names[str(alias)] = rows["cpg_id"].iloc[0]
    names |= {cpg: cpg for cpg in panel.cpgs["cpg_id"]}
    order = {cpg: i for i, cpg in enumerate(panel.cpgs["cpg_id"])}
    for index, rows in panel.indices.groupby("index", sort=False):
        names.setdefault(index, ";".join(sorted(rows["cpg_id"], key=order.get)))
    return names


def _long(path, unit, libraries):
    """Rows library_id, name, level and se (fractions), row (of the file)."""
    lines = first_lines(path)
    mark = next((m for m in "\t;," if m in lines[0]), "\t")
    header = [c.strip().strip('"') for c in lines[0].split(mark)]
    try:
        if "library_id" in header:
            table = pd.read_csv(path, sep=mark, dtype="str", keep_default_na=False, na_values=["NA", ""])
            return _of_long(table, path)
        wide = [c for c in header if c in libraries]
        if not wide:
            what = "has neither a column library_id nor columns named like the libraries"
            raise InputError(Problem(str(path), what, "see docs/methylation.md, finished levels", 1))
        if unit is None:
            remedy = f"say {', '.join(UNITS[:-1])} or {UNITS[-1]} in methylation.levels.unit"
            raise InputError(Problem(str(path), "has columns of libraries, whose unit nothing says", remedy, 1))
        # R writes no name over row names: then the header is one cell shorter.
        table = pd.read_csv(path, sep=mark, dtype="str", keep_default_na=False, na_values=["NA", ""], index_col=0)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError):
        raise InputError(Problem(str(path), "is no table of text", "save it as tab-separated UTF-8 text")) from None
    table = table[[c for c in table.columns if c in libraries]]
    table.index = table.index.astype("str")
    rows = np.repeat(np.arange(2, len(table) + 2), table.shape[1])
    names = np.repeat(table.index.to_numpy(), table.shape[1])
    flat = pd.DataFrame({"library_id": np.tile(table.columns, len(table)), "cpg_id": names,
                         unit: table.to_numpy().ravel()})  # fmt: skip
    return _of_long(flat.assign(row=rows), path)


def _of_long(table, path):
    units = [u for u in UNITS if u in table.columns]
    if len(units) != 1 or "cpg_id" not in table.columns:
        what = "has no column cpg_id" if "cpg_id" not in table.columns else f"has {len(units)} columns of levels"
        remedy = "give library_id, cpg_id and one of percent, fraction, m_value; where known se_percent, and so on"
        raise InputError(Problem(str(path), what, remedy, 1))
    unit, problems = units[0], []
    rows = table["row"] if "row" in table.columns else pd.Series(np.arange(2, len(table) + 2), index=table.index)
    numbers = {}
    for column in (unit, f"se_{unit}"):
        text = table[column] if column in table.columns else pd.Series(pd.NA, index=table.index, dtype="object")
        numbers[column] = pd.to_numeric(text, errors="coerce")
        top = {"percent": 100, "fraction": 1, "m_value": np.inf}[unit]
        low = -np.inf if column == "m_value" else 0
        bad = (text.notna() & numbers[column].isna()) | (numbers[column] < low) | (numbers[column] > top)
        for i in table.index[bad.fillna(False)][:10]:
            remedy = f"give a {unit.replace('_', ' ')}" + ("" if np.isinf(top) else f" from 0 to {top}")
            problems.append(Problem(str(path), "is no level", remedy, int(rows[i]), column, tellable(str(text[i]))))
    raise_if_any(problems)
    level, se = numbers[unit].to_numpy(float), numbers[f"se_{unit}"].to_numpy(float)
    if unit == "percent":
        level, se = level / 100, se / 100
    elif unit == "m_value":
        level = 1 / (1 + 2.0**-level)
        se = se * np.log(2) * level * (1 - level)
    found = pd.DataFrame({"library_id": table["library_id"].to_numpy(), "name": table["cpg_id"].to_numpy(),
                          "level": level, "se": se, "row": rows.to_numpy()})  # fmt: skip
    return found[found["level"].notna()]


def _units(rows, known, path, problems):
    """One library's rows with ``unit`` and ``cpg_ids``; an array's other probes are left aside."""
    units = []
    for row in rows.itertuples():
        parts = [DESIGN.sub(r"\1", p.strip()) for p in re.split(r"[;+]", str(row.name)) if p.strip()]
        ids = [known.get(p) for p in parts]
        if None in ids:
            if not re.fullmatch(r"(cg|ch|rs|nv|ctl)[\w.]*\d+\w*", parts[0] if parts else ""):
                remedy = "use a cpg_id, an alias or an index of the panel; join several CpGs by ;"
                what, value = "is no CpG of the panel", tellable(str(row.name))
                problems.append(Problem(str(path), what, remedy, int(row.row), "cpg_id", value))
            units.append((None, None))
        else:
            units.append((";".join(parts), ";".join(dict.fromkeys(";".join(ids).split(";")))))
    found = rows.assign(unit=[u[0] for u in units], cpg_ids=[u[1] for u in units])
    found = found[found["unit"].notna()]
    if found.empty and not problems:
        what = f"has none of its {len(rows)} rows in the panel"
        problems.append(Problem(str(path), what, "give levels at the panel's CpGs", None, "library_id",
                                rows["library_id"].iloc[0]))  # fmt: skip
    return found


def _with_errors(table, settings):
    """One row per library and unit: mean, standard error, d.f., number of replicates."""
    squares, dof = np.zeros(4), np.zeros(4)
    groups = list(table.groupby(["library_id", "unit", "cpg_ids"], sort=True))
    for _, rows in groups:
        at, n = band([rows["level"].mean()])[0], len(rows)
        squares[at] += ((rows["level"] - rows["level"].mean()) ** 2).sum()
        dof[at] += n - 1
    stated = settings.sd
    own, df = (np.full(4, stated / 100), np.full(4, np.inf)) if stated is not None else (None, None)
    if own is None and dof.sum() >= MIN_DF:
        enough = dof >= MIN_DF
        if enough.any():
            own, df, _ = by_band(squares, dof, enough)
        else:
            own, df = np.full(4, np.sqrt(squares.sum() / dof.sum())), np.full(4, dof.sum())
    lacking = sorted({library for (library, _, _), rows in groups if rows["se"].isna().any()})
    if lacking and own is None:
        what = f"levels of {len(lacking)} libraries come without an error, and {int(dof.sum())} replicates tell none"
        columns = "se_percent (se_fraction, se_m_value)"
        remedy = f"give a column {columns}, at least {MIN_DF} replicates, or methylation.levels.sd"
        raise InputError(Problem("config", what, remedy, column="methylation.levels.sd"))
    out = []
    for (library, unit, cpgs), rows in groups:
        n, at = len(rows), band([rows["level"].mean()])[0]
        if rows["se"].notna().all():
            se, d = float(np.sqrt((rows["se"] ** 2).sum())) / n, np.inf
        else:
            se, d = float(own[at] / np.sqrt(n)), float(df[at])
        out.append((library, unit, cpgs, float(rows["level"].mean()), se, d, n))
    return pd.DataFrame(out, columns=list(COLUMNS))
