"""From a pyrosequencer's export to readings of the study's libraries at the panel's CpGs."""

from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd

from hpaxis.identifying import tellable
from hpaxis.methylation.assays.instrument import instrument_error
from hpaxis.methylation.assays.instrument_export import CONTROL_LABEL, plain_well, position_number, read_export
from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.tables import read_table

POSITIONS = ("assay", "position", "cpg_id")
READINGS = ("library_id", "well", "assay", "cpg_id", "percent", "quality", "below")
ROWS = ("library_id", "export", "row", "status", "reason")


def read_exports(libraries, panels, settings, sheet):
    """Read the exports of all libraries of assay pyrosequencing.

    Parameters: ``libraries``, their rows of the libraries sheet; ``panels``, name → `Panel`; ``settings``, the config's
    section methylation.pyrosequencing; ``sheet``, the sheet's path, for problems. Returns ``(readings, rows)``:
    `READINGS`, one row per library, well and position (``cpg_id`` is ``control`` for the conversion control), and
    `ROWS`, what became of each row of each export, without the sample's name. Raises `InputError` with every problem.

    A library's rows are those whose sample is its library_id, in the well that the sheet names or in any.
    """
    problems, readings, used, tables = [], [], defaultdict(dict), {}
    positions = _read_positions(settings.positions, panels, problems)
    unit = settings.unit
    plates = sorted({path for cell in libraries["export"] for path in export_paths(cell)})
    alone = _one_assay(plates, panels)
    for row in libraries.itertuples():
        for path in export_paths(row.export):
            if (path, row.panel) not in tables:
                tables[path, row.panel] = _read_mapped(
                    path, panels[row.panel], positions, settings.alias_scheme, alone, unit, problems
                )
            table = tables[path, row.panel]
            mine = None if table is None else _rows_of(row, table, path, sheet, problems)
            if mine is None:
                continue
            used[path] |= dict.fromkeys(mine["row"].astype(int), row.library_id)
            if len(plates) > 1:
                number = plates.index(path) + 1
                mine = mine.assign(well=[f"P{number}" if pd.isna(w) else f"P{number}:{w}" for w in mine["well"]])
            readings.append(mine.assign(library_id=row.library_id)[list(READINGS)])
    raise_if_any(list(dict.fromkeys(problems)))
    found = pd.concat(readings, ignore_index=True) if readings else pd.DataFrame(columns=list(READINGS))
    found = found.sort_values(["library_id", "well", "assay", "cpg_id"], kind="stable", ignore_index=True)
    return found, _account(tables, used)


def _one_assay(paths, panels):
    """Whether all exports are of one assay: they say the same name, or there is one export, without any."""
    names = set()
    for path in paths:
        try:
            table = read_export(path, known=_names(panels.values()))
        except InputError:
            continue  # said where it is read
        numbers = frozenset(n for n in map(position_number, table["label"].unique()) if n is not None)
        named = table["assay"].dropna().unique()
        names |= {(name, None) for name in named} or {(None, numbers)}
    return len(names) <= 1


def _names(panels):
    """What exports may call CpGs: their ids and aliases."""
    return frozenset(n for p in panels for n in [*p.cpgs["cpg_id"], *p.aliases["alias"].dropna()])


def export_paths(cell):
    """The paths of a library's exports: its runs may lie on several plates, separated by semicolons."""
    return [path.strip() for path in cell.split(";") if path.strip()]


def _rows_of(library, table, path, sheet, problems):
    """A library's rows of an export, in the well that the sheet names or in any; None where there are none."""
    mine = table[table["sample"] == library.library_id]
    if mine.empty:
        what, remedy = f"is no sample of {path}", "name the sample in the export like the library, or correct the path"
        problems.append(Problem(sheet, what, remedy, library.row, "library_id", library.library_id))
        return None
    if pd.isna(library.well) or mine["well"].isna().all():
        return mine
    here = mine[mine["well"] == plain_well(library.well)]
    if here.empty:
        what = f"is not where {path} has the sample ({', '.join(sorted(mine['well'].dropna().unique()))})"
        remedy = "correct the well, or write NA to take every well of the sample"
        problems.append(Problem(sheet, what, remedy, library.row, "well", library.well))
        return None
    return here


def check_exports(libraries, panels, settings, sheet):
    """Return every problem that would stop `read_exports` or leave the error of a reading unknown."""
    try:
        readings, _ = read_exports(libraries, panels, settings, sheet)
        instrument_error(readings, settings)
    except InputError as error:
        return error.problems
    return []


def _account(tables, used):
    rows = []
    for export in sorted({path for path, _ in tables}):
        lines = sorted({int(r) for (path, _), t in tables.items() if path == export for r in t["row"].unique()})
        for line in lines:
            library = used[export].get(line)
            status = ("used", None) if library else ("left out", "its sample or well is no library of the sheet")
            rows.append((library, export, line, *status))
    return pd.DataFrame(rows, columns=list(ROWS))


def _read_positions(path, panels, problems):
    """The study's own mapping of (assay, position) to a CpG; an assay of NA is any, a cpg_id of NA leaves it out."""
    if path is None:
        return {}
    try:
        table = read_table(path, text=POSITIONS)
    except (OSError, ValueError):
        problems.append(Problem(str(path), "cannot be read", "give a tab-separated table: " + ", ".join(POSITIONS)))
        return {}
    missing = [c for c in POSITIONS if c not in table.columns]
    for column in missing:
        problems.append(Problem(str(path), "column is missing", f"the columns are {', '.join(POSITIONS)}", 1, column))
    if missing:
        return {}
    known = {cpg for panel in panels.values() for cpg in panel.cpgs["cpg_id"]} | {CONTROL_LABEL}
    found = {}
    for i, row in enumerate(table.itertuples(index=False), start=2):
        key = (None if pd.isna(row.assay) else row.assay, _plain(row.position))
        if key in found:
            problems.append(Problem(str(path), "is mapped twice", "keep one row", i, "position", row.position))
        if pd.notna(row.cpg_id) and row.cpg_id not in known:
            remedy = f"give a cpg_id of the panel, or {CONTROL_LABEL} for the conversion control"
            problems.append(Problem(str(path), "is no CpG of the panels", remedy, i, "cpg_id", row.cpg_id))
        found[key] = None if pd.isna(row.cpg_id) else row.cpg_id
    return found


def _plain(label):
    number = position_number(label)
    return number if number is not None else str(label).strip()


def _read_mapped(path, panel, positions, scheme, alone, unit, problems):
    """An export with a column ``cpg_id``; None where it cannot be read or its positions cannot be told."""
    aliases = panel.aliases["alias"].dropna()
    own = {label for _, label in positions if isinstance(label, str)}
    try:
        table = read_export(path, known=frozenset([*panel.cpgs["cpg_id"], *aliases, *own]))
    except InputError as error:
        problems += error.problems
        return None
    found, table = _in_percent(table, unit, path)
    if found:
        problems.append(found)
        return None
    counts = table.groupby("assay", dropna=False)["label"].nunique()
    places, before = {}, len(problems)
    for (assay, label), rows in table.groupby(["assay", "label"], dropna=False, sort=False):
        first = rows.iloc[0]
        # An export without a column of assays is of the assay that its file is named after.
        name, one = (Path(path).stem if pd.isna(assay) else assay), alone and len(counts) == 1
        found = _resolve(name, label, panel, positions, scheme, one, table)
        if isinstance(found, str):
            places[assay if pd.notna(assay) else None, label] = found
        elif found is not None and rows["percent"].notna().any():
            what, remedy = found
            problems.append(Problem(str(path), what, remedy, int(first["row"]), first["column"], label))
    if len(problems) > before:
        return None
    keys = zip(table["assay"].where(table["assay"].notna(), None), table["label"])
    table = table.assign(cpg_id=[places.get((None if pd.isna(a) else a, label)) for a, label in keys])
    table = table[table["cpg_id"].notna()]
    for (line, cpg), n in Counter(zip(table["row"], table["cpg_id"])).items():
        if n > 1:
            remedy = "map each position to its own CpG"
            problems.append(Problem(str(path), "is read twice in one row", remedy, int(line), value=cpg))
    wells = table.dropna(subset=["well"]).groupby(["sample", "well", "assay", "cpg_id"], dropna=False)["row"]
    for (_, well, _, _), lines in wells:
        if lines.nunique() > 1:
            problems.append(Problem(str(path), f"duplicates row {lines.iloc[0]}, for the same sample, assay and "
                                    "position", "keep one row per well", int(lines.iloc[1]), "well", well))  # fmt: skip
            break
    return table


def _in_percent(table, unit, path):
    """``(problem, table)`` with readings in percent; a problem where they may be fractions, which nothing says."""
    read = table.loc[table["label"] != CONTROL_LABEL, "percent"].dropna()
    if unit == "fraction":
        above = table.index[table["percent"] > 1]
        if len(above):
            first = table.loc[above[0]]
            what = "is above 1, where methylation.pyrosequencing.unit says fraction"
            return Problem(str(path), what, "correct the unit or the reading", int(first["row"]), first["column"],
                           f"{first['percent']:g}"), table  # fmt: skip
        return None, table.assign(percent=100 * table["percent"])
    if unit is None and len(read) and 0 < read.max() <= 1:
        what = f"has no reading above 1 among {len(read)}: percentages, or fractions of 1"
        remedy = "say percent or fraction in methylation.pyrosequencing.unit"
        return Problem(str(path), what, remedy), table
    return None, table


def _resolve(assay, label, panel, positions, scheme, one_assay, table):
    """The CpG of a position, or (what, remedy), or None for one that the study leaves out."""
    plain, number = _plain(label), position_number(label)
    if (assay, plain) in positions:
        return positions[assay, plain]
    if (None, plain) in positions and (one_assay or number is None or label == CONTROL_LABEL):
        return positions[None, plain]
    if label == CONTROL_LABEL:
        return CONTROL_LABEL
    ids = list(panel.cpgs["cpg_id"])
    if label in ids:
        return label
    table_remedy = f"name its CpG in the table of methylation.pyrosequencing.positions, assay {tellable(assay)}"
    said = {str(label), *([str(number)] if number is not None else [])}
    aliases = panel.aliases[panel.aliases["alias"].isin(said)]
    if scheme is not None:
        size = panel.aliases.loc[panel.aliases["scheme"] == scheme, "cpg_id"].nunique()
        numbers = {position_number(p) for p in table.loc[table["label"] != CONTROL_LABEL, "label"].unique()}
        if str(label).strip().lower().startswith("pos") and len(numbers) < size:
            what = f"is one of {len(numbers)} positions, numbered by the instrument, where {scheme} has {size} CpGs"
            return f"{what}: the assay may start anywhere", table_remedy
        aliases = aliases[aliases["scheme"] == scheme]
        if aliases["cpg_id"].nunique() == 1 and (number is None or one_assay):
            return aliases["cpg_id"].iloc[0]
        return f"is no CpG of the scheme {scheme}" if one_assay else "may be another CpG in each assay", table_remedy
    if number is None and aliases["cpg_id"].nunique() == 1:
        return aliases["cpg_id"].iloc[0]
    if number is not None:
        numbers = {position_number(p) for p in table.loc[table["label"] != CONTROL_LABEL, "label"].unique()}
        if one_assay and numbers == set(range(1, len(ids) + 1)) and len(panel.references) == 1:
            return ids[number - 1]
        what = f"may be any CpG of the panel, which has {len(ids)}"
        return what, f"{table_remedy}, or name the panel's scheme in alias_scheme"
    return ("is a name of several CpGs" if len(aliases) else "is no CpG of the panel"), table_remedy
