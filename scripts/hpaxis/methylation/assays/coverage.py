"""Counts that other pipelines wrote, by coordinate: Bismark, MethylDackel, methylKit, bedMethyl, methylpy, dnmtools.

A CpG stands in such a table under its C on the plus strand, under its C on the minus strand one base further, or under
both; counted from 0 or from 1. What a table does is found by laying its rows over the panel's CpGs, never assumed from
the name of the file, and is said (`Origin`).
"""

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.methylation.panels.panel import Panel
from hpaxis.problems import InputError, Problem, raise_if_any

CHUNK = 250_000
BYTES_TO_LOOK_AT = 1 << 16
LEAST_FITTING = 0.9
ORIGIN_COLUMNS = ("library_id", "file_format", "first_base", "strands", "rows", "panel_rows", "other_rows", "cpgs",
                  "conversion", "note")  # fmt: skip
# Names of files in the output of nf-core/methylseq and of the tools themselves, best first.
ENDINGS = (
    r"\.CX_report\.txt(\.gz)?", r"\.CpG_report\.txt(\.gz)?", r"\.bismark\.cov(\.gz)?", r"(_CpG)?\.bedGraph(\.gz)?",
    r"(_CpG)?\.methylKit(\.gz)?", r"\.bedmethyl(\.gz)?",
)  # fmt: skip


@dataclass(frozen=True)
class Format:
    """How a pipeline writes counts.

    ``columns``: place of chrom, pos and, where they are given, strand, context; ``first_base``: 0 or 1 as its manual
    says; ``counts``: how the two numbers come from a chunk's columns; ``skip``: rows before the first; ``exact``:
    whether the numbers are counts, not a percentage of a depth.
    """

    name: str
    chrom: int
    pos: int
    first_base: int
    used: tuple
    counts: object
    strand: int | None = None
    context: int | None = None
    skip: int = 0
    exact: bool = True


@dataclass(frozen=True)
class Origin:
    """What was found of a table of counts: ``strands`` is apart, merged or one."""

    file_format: str
    first_base: int
    strands: str
    rows: int
    panel_rows: int
    other_rows: int
    cpgs: int
    conversion: str
    note: str | None


def _of_share(depth, percent):
    depth = depth.astype(float)
    methylated = np.round(depth * percent.astype(float) / 100)
    return methylated, depth - methylated


def find_format(path: str | Path) -> Format | None:
    """The format of a file of counts by coordinate; None for a table of another kind, such as hpaxis' own.

    Raises `InputError` for a file that is empty, no text, or a known format without counts.
    """
    lines = first_lines(path)
    skip = 0
    while skip < len(lines) and (lines[skip].startswith(("track", "browser", "#")) or not lines[skip].strip()):
        skip += 1
    if skip == len(lines):
        raise InputError(Problem(str(path), "holds no row", "give the file that holds the counts"))
    cells = lines[skip].rstrip("\r\n").split("\t")
    if cells[:4] == ["chrBase", "chr", "base", "strand"]:
        return Format("methylKit", 1, 2, 1, (4, 5), _of_share, strand=3, skip=skip + 1, exact=False)
    found = _by_cells(cells, skip)
    if found is None and len(cells) == 4 and _whole(cells[1]) and _whole(cells[2]):
        what = "is a bedGraph of percentages, without counts"
        remedy = "give the file of the same run that holds counts: .bismark.cov.gz, or MethylDackel's _CpG.bedGraph"
        raise InputError(Problem(str(path), what, remedy))
    return found


def _by_cells(cells, skip):
    number = [_whole(c) for c in cells]
    if len(cells) == 6 and number[1] and number[2] and _real(cells[3]) and number[4] and number[5]:
        first = 1 if cells[1] == cells[2] else 0
        name = "Bismark coverage" if first or "." in cells[3] else "bedGraph with counts"
        return Format(name, 0, 1, first, (4, 5), lambda m, u: (m, u), skip=skip)
    strand = len(cells) > 2 and cells[2] in ("+", "-")
    if len(cells) >= 7 and number[1] and strand and number[3] and number[4] and cells[5] in ("CG", "CHG", "CHH"):
        return Format("Bismark report", 0, 1, 1, (3, 4), lambda m, u: (m, u), strand=2, context=5, skip=skip)
    if len(cells) == 7 and number[1] and strand and cells[3][:1] == "C" and number[4] and number[5]:
        return Format("methylpy allc", 0, 1, 1, (4, 5), lambda m, n: (m, n - m), strand=2, context=3, skip=skip)
    if len(cells) == 6 and number[1] and strand and _real(cells[4]) and number[5]:
        return Format("dnmtools counts", 0, 1, 0, (5, 4), lambda n, share: _of_share(n, 100 * share.astype(float)),
                      strand=2, context=3, skip=skip, exact=False)  # fmt: skip
    if len(cells) >= 18 and number[1] and number[2] and number[9] and number[11] and number[12]:
        # Bisulfite reads 5hmC as it reads 5mC: other modifications count as methylated.
        return Format("bedMethyl (modkit)", 0, 1, 0, (11, 12, 13), lambda m, u, o: (m + o, u), strand=5, context=3,
                      skip=skip)  # fmt: skip
    if len(cells) == 11 and number[1] and number[2] and number[9] and _real(cells[10]):
        return Format("bedMethyl", 0, 1, 0, (9, 10), _of_share, strand=5, skip=skip, exact=False)
    return None


def _whole(text):
    return text.isdecimal() and text.isascii()


def _real(text):
    return re.fullmatch(r"\d+(\.\d+)?([eE][-+]?\d+)?", text) is not None


def first_lines(path: str | Path) -> list[str]:
    """The first lines of a text file, plain or gzipped; raises `InputError` where it is none."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            data = file.read(BYTES_TO_LOOK_AT)
    except (OSError, EOFError):
        raise InputError(Problem(str(path), "cannot be read", "copy the file again; is it complete?")) from None
    if not data.strip():
        raise InputError(Problem(str(path), "is empty", "give the file that holds the counts"))
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(Problem(str(path), "is UTF-16 text", "save it as UTF-8 text"))
    if b"\x00" in data:
        raise InputError(Problem(str(path), "is no text", "give a table as text, plain or gzipped"))
    try:
        text = data.decode("utf-8-sig", errors="strict" if len(data) < BYTES_TO_LOOK_AT else "ignore")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(Problem(str(path), "is no UTF-8 text", "save it as UTF-8 text", line)) from None
    lines = text.splitlines()
    return lines if len(data) < BYTES_TO_LOOK_AT else lines[:-1]


def read_coverage(path: str | Path, kind: Format, panel: Panel) -> tuple[pd.DataFrame, Origin]:
    """Counts at the panel's CpGs, as `release.counts_of_cpgs` takes them, and their `Origin`.

    Rows outside the panel's amplicons are counted and left aside. Both strands of a CpG add up. Raises `InputError`
    where the panel has no coordinates, rows are no counts, or rows do not lie on the panel's CpGs.
    """
    places = panel.cpgs[["cpg_id", "amplicon", "chrom", "pos"]]
    if places["pos"].isna().any():
        what = f"has {int(places['pos'].isna().sum())} CpGs without coordinates"
        remedy = "counts by coordinate need a panel with coordinates"
        raise InputError(Problem(f"{panel.name}/cpgs.tsv", what, remedy))
    spans = [
        (_plain(rows["chrom"].iloc[0]), int(rows["pos"].min()) - 1, int(rows["pos"].max()) + 2)
        for _, rows in places.groupby("amplicon", sort=False)
    ]
    rows, total = _rows_within(path, kind, spans)
    if rows.empty:
        what = f"has none of its {total} rows in the panel's amplicons"
        remedy = f"give counts on the panel's build ({_where(spans)}), or the panel that they are of"
        raise InputError(Problem(str(path), what, remedy))
    is_cpg = rows["cpg"].to_numpy()
    cpg_rows, first_base = rows[is_cpg], kind.first_base
    fitting = {base: _fits(cpg_rows, places, base) for base in (0, 1)}
    if fitting[first_base].mean() < LEAST_FITTING and fitting[1 - first_base].mean() > fitting[first_base].mean():
        first_base = 1 - first_base
    fit = fitting[first_base]
    if len(cpg_rows) == 0 or fit.mean() < LEAST_FITTING:
        what = f"has {int((~fit).sum())} of {len(fit)} rows beside the panel's CpGs"
        raise InputError(Problem(str(path), what, f"give counts on the panel's build ({_where(spans)})"))
    used = cpg_rows[fit]
    used = used.assign(place=used["pos"] + (1 - first_base))
    key = {(_plain(r.chrom), int(r.pos) + d): (r.cpg_id, d) for r in places.itertuples() for d in (0, 1)}
    at = [key[c, p] for c, p in zip(used["chrom"], used["place"])]
    used = used.assign(cpg_id=[a[0] for a in at], minus=[a[1] for a in at])
    if used.duplicated(["chrom", "place", "strand"]).any():
        first = used[used.duplicated(["chrom", "place", "strand"])].iloc[0]
        raise InputError(
            Problem(str(path), "has this position twice", "keep one row", value=f"{first.chrom}:{first.pos}")
        )
    sums = used.groupby("cpg_id")[["methylated", "unmethylated"]].sum().astype("int64")
    table = places[["cpg_id"]].merge(sums, left_on="cpg_id", right_index=True, how="inner")
    outside = rows[~is_cpg]
    strands = "one" if used["minus"].nunique() == 1 else "apart"
    if strands == "one" and used["minus"].iloc[0] == 0 and kind.strand is None:
        strands = "one, or merged"
    notes = []
    if first_base != kind.first_base:
        notes.append(f"positions count from {first_base}, though {kind.name} counts from {kind.first_base}")
    if not kind.exact:
        notes.append("counts come from a percentage and a depth, rounded")
    if len(outside):
        table["non_cpg_unconverted"] = int(outside["methylated"].sum())
        table["non_cpg_converted"] = int(outside["unmethylated"].sum())
    conversion = f"{len(outside)} cytosines outside CpGs" if len(outside) else "not in this file"
    origin = Origin(kind.name, first_base, strands, total, len(rows), int((~fit).sum()), len(table), conversion,
                    "; ".join(notes) or None)  # fmt: skip
    return table.reset_index(drop=True), origin


def _plain(name):
    return re.sub(r"^chr", "", str(name))


def _where(spans):
    return ", ".join(f"chr{chrom}:{start}-{end}" for chrom, start, end in spans[:3])


def _fits(rows, places, base):
    """Which rows lie on the C of a panel's CpG, on either strand, if positions count from ``base``."""
    known = {(_plain(r.chrom), int(r.pos) + d - 1 + base) for r in places.itertuples() for d in (0, 1)}
    minus = {(_plain(r.chrom), int(r.pos) + base) for r in places.itertuples()}
    plus = {(_plain(r.chrom), int(r.pos) - 1 + base) for r in places.itertuples()}
    of = {"+": plus, "-": minus}
    return np.array(
        [(c, p) in of.get(s, known) for c, p, s in zip(rows["chrom"], rows["pos"], rows["strand"])], dtype=bool
    )


def _rows_within(path, kind, spans):
    """Rows in the spans (chrom, pos, strand, methylated, unmethylated, cpg), and the number of all rows."""
    places = [kind.chrom, kind.pos, *kind.used, *(p for p in (kind.strand, kind.context) if p is not None)]
    dtypes = {kind.chrom: "str", kind.pos: "str"} | dict.fromkeys(places, "str")
    found, total = [], 0
    wanted = {chrom for chrom, _, _ in spans}
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        chunks = pd.read_csv(
            path, sep="\t", header=None, skiprows=kind.skip, usecols=sorted(set(places)), chunksize=CHUNK, comment=None,
            dtype=dtypes | {kind.pos: "int64", kind.chrom: "category"}, compression="gzip" if packed else None,
            keep_default_na=False, engine="c",
        )  # fmt: skip
        for chunk in chunks:
            total += len(chunk)
            names = {c: _plain(c) for c in chunk[kind.chrom].cat.categories}
            here = [c for c, plain in names.items() if plain in wanted]
            chunk = chunk[chunk[kind.chrom].isin(here)]
            if chunk.empty:
                continue
            chrom, pos = chunk[kind.chrom].astype(str).map(names), chunk[kind.pos]
            inside = np.zeros(len(chunk), dtype=bool)
            for name, start, end in spans:
                inside |= ((chrom == name) & (pos >= start) & (pos <= end)).to_numpy()
            if inside.any():
                found.append(chunk[inside].assign(chrom=chrom[inside]))
    except (ValueError, pd.errors.ParserError, EOFError, OSError) as error:
        text = str(error).splitlines()[0][:80]
        what = "holds a row that is no row of its format" if "EOF" not in text else "is cut short"
        raise InputError(Problem(str(path), f"{what} ({kind.name})", "write or copy the file again")) from None
    if not found:
        return pd.DataFrame(columns=["chrom", "pos", "strand", "methylated", "unmethylated", "cpg"]), total
    rows = pd.concat(found, ignore_index=True)
    numbers = [pd.to_numeric(rows[p], errors="coerce") for p in kind.used]
    bad = np.flatnonzero(np.any([n.isna() | (n < 0) for n in numbers], axis=0))
    raise_if_any([
        Problem(str(path), "is no count", "give a whole number of 0 or more",
        value=f"{rows['chrom'][i]}:{rows[kind.pos][i]}") for i in bad[:5]
    ])  # fmt: skip
    methylated, unmethylated = kind.counts(*numbers)
    strand = rows[kind.strand].replace({"F": "+", "R": "-"}) if kind.strand is not None else "."
    context = rows[kind.context] if kind.context is not None else pd.Series("CG", index=rows.index)
    cpg = context.str.upper().str.startswith(("CG", "CPG", "M", "H")) if kind.context is not None else True
    if kind.name.startswith("bedMethyl (modkit"):
        rows = rows.assign(
            strand=strand, methylated=methylated, unmethylated=unmethylated, cpg=True, pos=rows[kind.pos]
        )
        rows = rows[context.str.split(",").str[0] == "m"]
    else:
        rows = rows.assign(strand=strand, methylated=methylated, unmethylated=unmethylated, cpg=cpg, pos=rows[kind.pos])
    return rows[["chrom", "pos", "strand", "methylated", "unmethylated", "cpg"]].reset_index(drop=True), total


def counts_file(cell: str, library_id: str) -> str:
    """The file that a cell of the column counts names: itself, or a library's file in a pipeline's output folder.

    A library's file begins with its id, followed by . _ or -; of several kinds the one that says most is taken. Raises
    `InputError` where there is none, or more than one of a kind.
    """
    folder = Path(cell)
    if not folder.is_dir():
        return cell
    begins = re.compile(re.escape(library_id) + r"(?:[._-].*)?")
    names = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.startswith(library_id))
    for ending in ENDINGS:
        found = [p for p in names if (m := re.fullmatch(f"(.*?)({ending})", p.name)) and begins.fullmatch(m[1])]
        if len(found) > 1:
            what = f"has {len(found)} files of this library: {', '.join(str(p.relative_to(folder)) for p in found[:3])}"
            raise InputError(
                Problem(cell, what, "name the file itself in the column counts", None, "counts", library_id)
            )
        if found:
            return found[0].as_posix()
    what = "has no file of counts whose name begins with the library's id"
    remedy = "name the file itself, or the library like the pipeline's sample"
    raise InputError(Problem(cell, what, remedy, None, "counts", library_id))


def splitting_report(path: str | Path, library_id: str) -> tuple[int, int] | None:
    """Unconverted and converted cytosines outside CpGs by Bismark's splitting report of the library; None without one.

    It is looked for beside the counts, and around the folder that a pipeline puts these in.
    """
    here = Path(path).parent
    nested = ("methylation_calls", "coverage", "bedGraph", "methylation_coverage", "stranded_CpG_report")
    folder = here.parent if here.name in nested else here
    found = sorted(folder.rglob(f"{library_id}[._-]*splitting_report.txt"))
    if len(found) != 1:
        return None
    numbers = {}
    for line in first_lines(found[0]):
        if m := re.match(r"Total (methylated C's|C to T conversions) in (CHG|CHH) context:\s+(\d+)", line):
            numbers.setdefault(m[1], []).append(int(m[3]))
    if sorted(map(len, numbers.values())) != [2, 2]:
        return None
    return sum(numbers["methylated C's"]), sum(numbers["C to T conversions"])


def origin_table(library_id: str, origin: Origin | None) -> pd.DataFrame:
    """One row for a library whose counts another pipeline wrote, none for another: `ORIGIN_COLUMNS`."""
    rows = [] if origin is None else [{"library_id": library_id, **vars(origin)}]
    return pd.DataFrame(rows, columns=list(ORIGIN_COLUMNS))


def origin_notes(table: pd.DataFrame) -> list[str]:
    """What a library's reasons say of where its counts come from."""
    notes = []
    for row in table.itertuples():
        strands = {"apart": "both strands added", "one": "one strand"}.get(row.strands, "strands merged, or one")
        text = f"counts from {row.file_format}: positions from {row.first_base}, {strands}"
        text += f", {row.other_rows} rows beside its CpGs left out" if row.other_rows else ""
        text += "" if pd.isna(row.note) else f"; {row.note}"
        notes.append(text)
    return notes
