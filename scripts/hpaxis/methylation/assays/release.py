"""What a study can share instead of reads: counts of molecules, and the way back in from them."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.methylation.assays.coverage import find_format, read_coverage, splitting_report
from hpaxis.methylation.counting.calls import FATES, LibraryCalls, conversion_table, counts_table, patterns_table
from hpaxis.methylation.counting.cycles import COLUMNS as CYCLES
from hpaxis.methylation.counting.leads import COLUMNS as LEADS
from hpaxis.methylation.counting.sites import COLUMNS as SITES
from hpaxis.methylation.counting.sites import LIBRARY_COLUMNS as CLONES
from hpaxis.methylation.counting.tallies import COLUMNS as TALLIED
from hpaxis.methylation.counting.umis import COLUMNS as UMI_COLUMNS
from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.tables import read_table

MOLECULES = ("library_id", "amplicon", "pattern", "unconverted", "sites", "count")
CONVERSION = ("library_id", "amplicon", "unconverted", "sites", "count")
CPGS = ("library_id", "cpg_id", "methylated", "unmethylated")
WHOLE = (*TALLIED, "stretches", *CLONES, "lead_1", "lead_2", *UMI_COLUMNS, "spike_methylated", "spike_unmethylated")
SPIKE = ("spike_methylated", "spike_unmethylated")
UNKNOWN = (*TALLIED, "t_error_by_quality", "stretches", *CLONES, *LEADS, *UMI_COLUMNS, *SPIKE)
OPTIONAL = ("other", "non_cpg_unconverted", "non_cpg_converted")


def release_tables(tables):
    """The shareable tables of a study: ``cpgs``, ``molecules``, ``conversion``, ``cycles``, ``sites``, ``reads``.

    ``tables``: library_id → `LibraryCalls`. They hold no sequence and no name of a read. ``molecules``,
    ``conversion``, ``cycles`` and ``sites`` carry all that the estimates need: read back by `read_counts` they give
    the same results.
    """
    names = sorted(tables)
    if not names:
        columns = {"cpgs": CPGS, "molecules": MOLECULES, "conversion": CONVERSION,
                   "cycles": ("library_id", *CYCLES), "sites": ("library_id", *SITES),
                   "reads": ("library_id",)}  # fmt: skip
        return {name: pd.DataFrame(columns=list(of)) for name, of in columns.items()}
    molecules = [tables[name].patterns.assign(library_id=name)[list(MOLECULES)] for name in names]
    conversion = [tables[name].conversion.assign(library_id=name)[list(CONVERSION)] for name in names]
    return {
        "cpgs": pd.concat([tables[name].counts for name in names], ignore_index=True),
        "molecules": pd.concat(molecules, ignore_index=True),
        "conversion": pd.concat(conversion, ignore_index=True),
        "cycles": _of_all({name: tables[name].cycles for name in names}, CYCLES),
        "sites": _of_all({name: tables[name].sites for name in names}, SITES),
        "reads": _whole(pd.concat([tables[name].reads for name in names], ignore_index=True)),
    }


def _of_all(tables, columns):
    known = [table.assign(library_id=name) for name, table in tables.items() if table is not None and len(table)]
    columns = ["library_id", *columns]
    return pd.concat(known, ignore_index=True)[columns] if known else pd.DataFrame(columns=columns)


def _whole(reads):
    """Counts as whole numbers, though a library may lack some."""
    return reads.astype(dict.fromkeys(WHOLE, "Int64"))


def read_counts(path, library_id, panel):
    """One library from a table of counts of many; returns `LibraryCalls`.

    The table has either the columns of a release's ``molecules.tsv`` (then ``reads.tsv`` beside it, if there, says
    where the library's read pairs went, ``conversion.tsv`` how its molecules were converted, ``cycles.tsv`` what each
    cycle showed, and ``sites.tsv`` each cytosine outside CpGs), or
    ``library_id, cpg_id, methylated, unmethylated`` and, where known, ``other`` and the counts of cytosines outside
    CpGs, ``non_cpg_unconverted`` and ``non_cpg_converted``, the same on each of a library's rows. From the latter,
    CpGs count as independent of each other, since the molecules that the counts are from are not known. Raises
    `InputError` with every problem. Counts by coordinate that another pipeline wrote are read as `coverage` says.
    """
    kind = find_format(path)
    if kind is not None:
        rows, origin = read_coverage(path, kind, panel)
        if "non_cpg_converted" not in rows.columns and (report := splitting_report(path, library_id)):
            rows = rows.assign(non_cpg_unconverted=report[0], non_cpg_converted=report[1])
            origin = replace(origin, conversion="the run's splitting report")
        return replace(counts_of_cpgs(rows, library_id, panel), origin=origin)
    table = _read(path)
    if set(MOLECULES) <= set(table.columns):
        rows = _library_rows(table, library_id, path)
        _check_molecules(rows, panel, path)
        patterns = rows[list(MOLECULES[1:])].reset_index(drop=True)
    elif set(CPGS) <= set(table.columns):
        rows = _library_rows(table, library_id, path)
        _check_cpgs(rows, panel, path)
        patterns = _single_cpg_molecules(rows, panel)
    else:
        wanted = f"its columns are {', '.join(MOLECULES)}; or {', '.join(CPGS)}"
        remedy = f"{wanted}; or give counts as Bismark, MethylDackel, methylKit or modkit write them"
        raise InputError(Problem(str(path), "is no table of counts", remedy, 1))
    counts = counts_table(patterns, panel, library_id)
    if "other" in rows.columns and "cpg_id" in rows.columns:
        counts["other"] = counts["cpg_id"].map(rows.set_index("cpg_id")["other"]).fillna(0).astype("int64")
    reads = _reads_row(Path(path).with_name("reads.tsv"), library_id, patterns, counts)
    conversion = _conversion(Path(path).with_name("conversion.tsv"), library_id, patterns, panel)
    cycles = _beside(Path(path).with_name("cycles.tsv"), library_id, CYCLES, ("methylated", "unmethylated"))
    sites = _beside(Path(path).with_name("sites.tsv"), library_id, SITES, ("unconverted", "converted"))
    return LibraryCalls(counts, patterns, reads, conversion, cycles, sites=sites)


def _read(path):
    try:
        return read_table(path)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        what = "is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else "is no table: its rows differ in length"
        raise InputError(Problem(str(path), what, "save it as tab-separated UTF-8 text")) from None


def counts_of_cpgs(rows, library_id, panel):
    """`LibraryCalls` of counts by CpG without molecules: ``rows`` as `read_counts` takes them, for one library."""
    return calls_of_patterns(_single_cpg_molecules(rows, panel), library_id, panel)


def calls_of_patterns(patterns, library_id, panel):
    """`LibraryCalls` of molecules of which no more is known than their patterns (`calls.PATTERN_COLUMNS`)."""
    counts = counts_table(patterns, panel, library_id)
    reads = _reads_row(Path("none"), library_id, patterns, counts)
    conversion, none = _conversion(Path("none"), library_id, patterns, panel), Path("none")
    cycles = _beside(none, library_id, CYCLES, ("methylated", "unmethylated"))
    sites = _beside(none, library_id, SITES, ("unconverted", "converted"))
    return LibraryCalls(counts, patterns, reads, conversion, cycles, sites=sites)


def _library_rows(table, library_id, path):
    rows = table[table["library_id"] == library_id]
    if rows.empty:
        raise InputError(
            Problem(str(path), "has no row in this table", "add its counts", None, "library_id", library_id)
        )
    return rows


def _check_molecules(rows, panel, path):
    sizes = {name: len(panel.cpg_offsets(name)) for name in panel.references}
    problems = []
    for i, row in zip(rows.index, rows.itertuples()):
        if row.amplicon not in sizes:
            problems.append(
                Problem(str(path), "is not in the panel", "correct the name", i + 2, "amplicon", row.amplicon)
            )
        elif not re.fullmatch(f"[01x.]{{{sizes[row.amplicon]}}}", str(row.pattern)):
            what = f"is no pattern of {sizes[row.amplicon]} CpGs"
            problems.append(Problem(str(path), what, "use one of 1, 0, x and . a CpG", i + 2, "pattern", row.pattern))
    raise_if_any(problems + _check_numbers(rows, ("unconverted", "sites", "count"), path))


def _check_cpgs(rows, panel, path):
    known = set(panel.cpgs["cpg_id"])
    problems = [
        Problem(str(path), "is not in the panel", "correct the id", i + 2, "cpg_id", rows.loc[i, "cpg_id"])
        for i in rows.index[~rows["cpg_id"].isin(known)]
    ]
    problems += [
        Problem(str(path), "stands twice for this library", "keep one row", i + 2, "cpg_id", rows.loc[i, "cpg_id"])
        for i in rows.index[rows["cpg_id"].duplicated()]
    ]
    numbers = [c for c in (*CPGS[2:], *OPTIONAL) if c in rows.columns]
    raise_if_any(problems + _check_numbers(rows, numbers, path))


def _check_numbers(rows, columns, path):
    problems = []
    for column in columns:
        values = pd.to_numeric(rows[column], errors="coerce")
        for i in rows.index[~((values >= 0) & (values % 1 == 0))]:
            remedy = "give a whole number of 0 or more"
            problems.append(Problem(str(path), "is no count", remedy, i + 2, column, str(rows.loc[i, column])))
    return problems


def _single_cpg_molecules(rows, panel):
    """Molecules that each show one CpG, or one cytosine outside CpGs: what counts without molecules amount to."""
    place = {}
    for name in panel.references:
        ids = panel.cpgs.loc[panel.cpgs["amplicon"] == name, "cpg_id"]
        place |= {cpg: (name, i, len(ids)) for i, cpg in enumerate(ids)}
    found = []
    for row in rows.itertuples():
        name, i, size = place[row.cpg_id]
        for letter, count in (("1", row.methylated), ("0", row.unmethylated)):
            if count:
                found.append((name, "." * i + letter + "." * (size - i - 1), 0, 0, int(count)))
    if set(OPTIONAL[1:]) <= set(rows.columns):
        name, _, size = place[rows["cpg_id"].iloc[0]]
        for unconverted, column in enumerate(("non_cpg_converted", "non_cpg_unconverted")):
            if rows[column].iloc[0]:
                found.append((name, "." * size, unconverted, 1, int(rows[column].iloc[0])))
    return patterns_table(found, list(panel.references))


def _conversion(path, library_id, patterns, panel):
    """Molecules by their conversion; without a release's table, those that passed."""
    rows = patterns
    if path.is_file():
        table = read_table(path)
        if set(CONVERSION) <= set(table.columns) and (table["library_id"] == library_id).any():
            rows = table[table["library_id"] == library_id]
            raise_if_any(_check_numbers(rows, CONVERSION[2:], path))
    return conversion_table(rows[list(CONVERSION[1:])], list(panel.references))


def _beside(path, library_id, columns, numbers):
    """The library's rows of a release's table; none without it."""
    if path.is_file():
        table = read_table(path)
        if {"library_id", *columns} <= set(table.columns):
            rows = table[table["library_id"] == library_id]
            raise_if_any(_check_numbers(rows, numbers, path))
            return rows[list(columns)].reset_index(drop=True)
    return pd.DataFrame(columns=list(columns))


def _reads_row(path, library_id, patterns, counts):
    if path.is_file():
        reads = read_table(path)
        reads = reads[reads["library_id"] == library_id].reset_index(drop=True)
        if len(reads) == 1:
            # A release of an earlier version lacks what was not tallied then.
            return _whole(reads.reindex(columns=list(dict.fromkeys([*reads.columns, *UNKNOWN]))))
    whole = patterns["pattern"].str.strip(".").str.len() > 1
    passed = int(patterns.loc[whole, "count"].sum()) if whole.any() else int(counts["depth"].max())
    unconverted = int((patterns["unconverted"] * patterns["count"]).sum())
    sites = int((patterns["sites"] * patterns["count"]).sum())
    row = {"library_id": library_id, "pairs_in": passed, **dict.fromkeys(FATES, 0), "passed": passed}
    row |= {"on_target": passed, "merged": 0, "gapped": 0, "forward": 0, "reverse": 0}
    row |= {"non_cpg_unconverted": unconverted, "non_cpg_converted": sites - unconverted}
    return pd.DataFrame([row | dict.fromkeys(UNKNOWN, np.nan)])
