"""The reviewer's bundle: one archive with what a reviewer may see, and the check of it.

A shared bundle holds the counts (with libraries numbered), the tables without a participant, the report, the crate
and the config. A participants' bundle also holds the sheets, the plates and every table, so that all of it can be
run again from counts. Reads are in neither.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.report.privacy import Cells, counts_few, without_counts
from hpaxis.report.provenance import sha256
from hpaxis.report.read import NAMES, read_results
from hpaxis.sheet_files import read_rows
from hpaxis.sheets import empty_sheet, read_sheet, sheet_schema
from hpaxis.sizes import zip_problems
from hpaxis.tables import FLOAT_FORMAT, read_table, whole_file

if TYPE_CHECKING:
    from hpaxis.settings import Config

MANIFEST = "manifest.tsv"
# Columns that name a person, a sample of one, or a row of a sheet; a table that has one is not shared.
PERSONAL = frozenset({"participant_id", "dyad_id", "library_id", "hair_id", "key", "sample", "subject"})
# Counts by arm and step: the report shows them with small cells withheld, the table does not.
SMALL_CELLS = frozenset({"cohort/attrition.tsv", "cortisol/plate_by_arm.tsv"})
# Who lacks a timepoint would follow from the n of these, beside that of the model.
COMPLEMENTS = frozenset({"change.tsv"})
# Tables of a model that hold no number of people, and are in every bundle.
STATED = frozenset({"plan", "refused"})
# Tables that a shared bundle leaves out, or has without their counts, because they count few people.
WITHHELD = "withheld.tsv"
LEFT_OUT, WITHOUT_COUNTS = "left out", "without counts of people"
README = """# Reviewer's bundle of one hpaxis run

{what}

`manifest.tsv` names every file with its SHA-256. `report/report.html` is the answer, `report/crate` the run as an
RO-Crate, `tables/` the numbers behind both, `counts/` the molecules that methylation was estimated from, and
`config.yaml` every setting. `hpaxis verify this.zip` checks the bundle and says what is equal.
"""
SHARED = "It holds no reads, no participant's row and no id of a participant, library or hair sample."
PARTICIPANTS = (
    "It holds participants' rows under their pseudonyms, and plate readers' files as they are: not for publication. "
    "It holds no reads."
)


def bundle_files(
    config: Config,
    tables: Mapping[str, Path | str],
    report: Mapping[str, Path | str],
    counts: Mapping[str, Path | str],
    participants: bool,
) -> dict[str, bytes]:
    """Return the content of each file of a bundle, as a dict of name to bytes.

    ``tables`` and ``report``: dicts of name (below the results and the report folder) to path. ``counts``: dict
    cpgs, molecules, reads to the path of the release. ``participants``: whether rows of participants go in.
    """
    smallest = config.report.smallest_cell
    withheld = {} if participants else withheld_names(config, tables, report, smallest)
    what = PARTICIPANTS if participants else SHARED
    files = {"README.md": README.format(what=what + _said(withheld)).encode("utf-8")}
    if withheld:
        files[WITHHELD] = _tsv(pd.DataFrame(sorted(withheld.items()), columns=["table", "what"]))
    sheet = _libraries(config)
    own = sheet[sheet["kind"] == "study"]
    for name, path in report.items():
        if f"report/{name}" not in withheld:
            files[f"report/{name}"] = Path(path).read_bytes()
    for name, path in tables.items():
        if withheld.get(name) == WITHOUT_COUNTS:
            files[f"tables/{name}"] = _tsv(without_counts(read_table(path, text=NAMES), Cells(smallest)))
        elif participants or (name not in SMALL_CELLS and is_shareable(path) and name not in withheld):
            files[f"tables/{name}"] = Path(path).read_bytes()
    released = {name: read_table(path) for name, path in counts.items()}
    if not participants:
        released = numbered(released, set(own["library_id"]))
    for name, table in released.items():
        files[f"counts/{name}.tsv"] = _tsv(table)
    if participants:
        config, inputs = _inputs(config)
        files |= inputs
    kept = {key: value for key, value in config.items() if key not in ("pathvars", "simulation")}
    files["config.yaml"] = yaml.safe_dump(kept, sort_keys=False).encode("utf-8")
    return files


def withheld_names(
    config: Config, tables: Mapping[str, Path | str], report: Mapping[str, Path | str], smallest: int
) -> dict[str, str]:
    """Tables and figures that a shared bundle does not have whole because they count few people: name to what is done.

    A table of a model is there without its counts (`WITHOUT_COUNTS`), so that its other numbers can be compared; others
    are left out. Where the n of complete cases, beside the n reported, would reveal how few people have a censored
    value, so would n and degrees of freedom in every table of that model, and the points of its figures: all are left
    out, and of the figures only what the page itself draws is kept.
    """
    found = {n: WITHOUT_COUNTS if of_model(n) and Path(n).name not in COMPLEMENTS else LEFT_OUT
             for n, p in tables.items() if is_shareable(p) and few_people(p, smallest)}  # fmt: skip
    cells = Cells(smallest)
    if cells.all_shown:
        return found
    own = [p for n, p in tables.items() if of_model(n)]
    page = Path(report["report.json"]).read_text(encoding="utf-8")
    for result in read_results(own, config.models):
        if result.refused or not result.hides_complete(cells):
            continue
        here = f"moderation/{result.name}/"
        found |= {n: LEFT_OUT for n, p in tables.items() if n.startswith(here) and is_shareable(p)
                  and Path(n).stem not in STATED}  # fmt: skip
        drawn = [f"report/{n}" for n in report if n.startswith(f"figures/models/{result.name}/")]
        found |= {n: LEFT_OUT for n in drawn if n not in page}
    return found


def of_model(name: str) -> bool:
    """Whether a table, by its name below the results, is one of a model, not one made for print."""
    return name.startswith("moderation/") and name.endswith(".tsv") and "/apa/" not in name


def is_shareable(path: Path | str) -> bool:
    """Whether a table names no participant, library, hair sample or row of a sheet in its columns."""
    header = Path(path).read_text(encoding="utf-8").split("\n", 1)[0].split("\t")
    return not PERSONAL & set(header)


def few_people(path: Path | str, smallest: int) -> bool:
    """Whether a table counts from 1 to ``smallest - 1`` people somewhere, or all but as few (`counts_few`).

    A table whose n would reveal such a count beside another's (`COMPLEMENTS`) does too.
    """
    cells = Cells(smallest)
    if cells.all_shown:
        return False
    if Path(path).name in COMPLEMENTS:
        return True
    return counts_few(read_table(path), cells)


def withheld_tables(folder: Path) -> dict[str, str]:
    """Return what a bundle says it does not have whole because it counts few people: name to what was done."""
    path = Path(folder) / WITHHELD
    if not path.is_file():
        return {}
    table = read_table(path, text=("table", "what"))
    return dict(zip(table["table"], table["what"], strict=True))


def _said(withheld: Mapping[str, str]) -> str:
    said = ""
    for what, sentence in ((LEFT_OUT, "Left out"), (WITHOUT_COUNTS, "Without their counts of people")):
        names = [name for name, done in sorted(withheld.items()) if done == what]
        said += f" {sentence}, since these are few: {', '.join(names)}." if names else ""
    return said


def numbered(released: dict[str, pd.DataFrame], own: set[str]) -> dict[str, pd.DataFrame]:
    """Return the released tables with the libraries in ``own`` numbered, in an order that their ids do not reveal."""
    if "molecules" not in released:  # a study without saliva
        return released
    content = {}
    for measured in (released["molecules"], released.get("pyrosequencing", released["molecules"])):
        for library, rows in measured[measured["library_id"].isin(own)].groupby("library_id"):
            content.setdefault(library, hashlib.sha256(_tsv(rows.drop(columns="library_id"))).hexdigest())
    names = {library: f"library-{i:04d}" for i, library in enumerate(sorted(content, key=content.get), start=1)}
    # A library without a molecule has no row to be ordered by, and none in the other tables that matters.
    known = {name: table[~table["library_id"].isin(own - set(names))] for name, table in released.items()}
    return {
        name: table.assign(library_id=table["library_id"].replace(names)).sort_values("library_id", kind="stable")
        for name, table in known.items()
    }


def write_bundle(path: Path, files: Mapping[str, bytes]) -> None:
    """Write the archive, with a manifest; the same files give the same bytes."""
    rows = [(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in sorted(files.items())]
    manifest = _tsv(pd.DataFrame(rows, columns=["file", "bytes", "sha256"]))
    with whole_file(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted({**files, MANIFEST: manifest}.items()):
            archive.writestr(zipfile.ZipInfo(name), data)


def unpack(path: Path, folder: Path) -> list[str]:
    """Unpack a bundle; return what its manifest finds at fault, as lines.

    Raises `InputError` if it is no bundle, names a file outside ``folder``, or would unpack a hundredfold.
    """
    folder = Path(folder).resolve()
    raise_if_any(zip_problems(path, largest=None))
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/")]
            outside = [n for n in names if not (folder / n).resolve().is_relative_to(folder)]
            if outside or MANIFEST not in names:
                what = "names files outside of itself" if outside else "has no manifest"
                raise InputError(Problem(str(path), what, "give a bundle that hpaxis wrote"))
            archive.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(Problem(str(path), "cannot be read as a bundle", "give the path of a bundle")) from error
    manifest = read_table(folder / MANIFEST, text=("file", "sha256")).set_index("file")["sha256"]
    faults = [f"missing: {name}" for name in sorted(set(manifest.index) - set(names))]
    faults += [f"not in the manifest: {name}" for name in sorted(set(names) - set(manifest.index) - {MANIFEST})]
    faults += [f"changed: {n}" for n in sorted(set(names) & set(manifest.index)) if sha256(folder / n) != manifest[n]]
    return faults


def crate_faults(folder: Path) -> tuple[int, list[str]]:
    """Return (outputs compared, lines of those that differ): the crate's checksums against the bundle's files."""
    crate = yaml.safe_load((Path(folder) / "report" / "crate" / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    compared, faults = 0, []
    withheld = withheld_tables(folder)  # the crate has the checksums of these tables with their counts
    for entity in crate["@graph"]:
        name = entity.get("name", "")
        if name in withheld:
            continue
        path = Path(folder) / (name if name.startswith("report/") else f"tables/{name}")
        if entity["@id"].startswith("#output-") and path.is_file():
            compared += 1
            if entity["value"] != f"sha256:{sha256(path)}":
                faults.append(f"not as the crate says: {name}")
    return compared, faults


def statistics_faults(folder: Path) -> tuple[int, list[str]]:
    """Return (numbers recomputed, lines of those that differ): t, p and intervals of every table of estimates.

    t = estimate / se; p from Student's t with df, two-sided; the interval reaches as far on either side, by the same
    t. Tolerance: tables have 10 digits, so 1e-7 of the number.
    """
    recomputed, faults = 0, []
    for path in sorted(Path(folder).glob("tables/moderation/*/*.tsv")):
        if path.stem not in ("coefficients", "slopes", "slope_differences"):
            continue
        table = read_table(path).dropna(subset=["estimate", "se", "t", "df", "p", "low", "high"])
        table = table[table["se"] > 0]
        if "sided" in table:
            table = table[table["sided"].astype("str").isin(["two", "2", "two-sided"])]
        half = (table["high"] - table["low"]) / 2
        for what, told, expected in (
            ("t", table["t"], table["estimate"] / table["se"]),
            ("p", table["p"], 2 * stats.t.sf(table["t"].abs(), table["df"])),
            ("interval", table["low"] + half, table["estimate"]),
        ):
            near = np.isclose(told, expected, rtol=1e-6, atol=1e-9)
            recomputed += len(near)
            faults += [
                f"{what} does not follow: {path.parent.name}/{path.name}, row {i + 2}" for i in table.index[~near]
            ]
    return recomputed, faults


def rerun_targets(folder: Path) -> list[str]:
    """Return the tables of a participants' bundle that counts, plates and sheets are enough to make again."""
    names = [p.relative_to(Path(folder) / "tables").as_posix() for p in Path(folder).glob("tables/**/*.tsv")]
    # The second caller needs molecules with their bases.
    return sorted(n for n in names if n != "methylation/concordance.tsv" and "/apa/" not in n)


def _inputs(config: Config) -> tuple[Config, dict[str, bytes]]:
    """The config with paths into the bundle, and the files it names: sheets, plates, kits, panels and the lock."""
    files, sheets = {}, {}
    moderation, cortisol = config.moderation, config.cortisol

    def keep(name: str, path: Path | str) -> str:
        files[name] = Path(path).read_bytes()
        return name

    for name, path in config.sheets.items():
        sheets[name] = path and keep(f"sheets/{name}{Path(path).suffix}", path)
    counted = {"assay": "counts", "counts": "counts/molecules.tsv"}
    # The table of readings names the well of an export, in which exports are one.
    measured = {"export": "counts/pyrosequencing.tsv", "well": "NA"}
    sheet = _libraries(config)
    panels = {}
    for panel in sheet["panel"].dropna().unique():
        if "/" in panel or Path(panel).is_dir():
            panels[panel] = f"panels/{re.sub(r'[^A-Za-z0-9_.-]+', '_', panel).strip('._')}"
            for path in sorted(p for p in Path(panel).iterdir() if p.is_file()):
                keep(f"{panels[panel]}/{path.name}", path)

    def library(row: Mapping[str, str]) -> dict[str, str]:
        unread = {column: "NA" for column in ("fastq_1", "fastq_2", "bam") if column in row}
        given = measured if row.get("assay") == "pyrosequencing" else counted
        return {**given, **unread, "panel": panels.get(row["panel"], row["panel"])}

    if sheets["libraries"]:
        files.pop(sheets["libraries"])
        sheets["libraries"] = "sheets/libraries.tsv"
        files["sheets/libraries.tsv"] = _rewritten(config.sheets["libraries"], "libraries", library)
    if sheets.get("plates"):

        def plate(row: Mapping[str, str]) -> dict[str, str]:
            given = {c: row[c] for c in ("reader_file", "layout_file") if row.get(c, "NA") not in ("", "NA")}
            return {c: keep(f"plates/{row['plate_id']}_{c}{Path(p).suffix}", p) for c, p in given.items()}

        files.pop(sheets["plates"])
        sheets["plates"] = "sheets/plates.tsv"
        files["sheets/plates.tsv"] = _rewritten(config.sheets["plates"], "plates", plate)
    if cortisol.kits:
        cortisol |= {"kits": keep("kits.tsv", cortisol.kits)}
    if cortisol.control_ranges:
        cortisol |= {"control_ranges": keep("control_ranges.tsv", cortisol.control_ranges)}
    cohort = config.cohort
    if cohort.dictionary:
        cohort |= {"dictionary": keep("dictionary.csv", cohort.dictionary)}
    if moderation.lock and Path(moderation.lock).exists():
        moderation |= {"lock": keep("plan_lock.json", moderation.lock)}
    named = config.methylation.pyrosequencing | {"positions": None, "alias_scheme": None}
    methylation = config.methylation | {"pyrosequencing": named}
    own = {"sheets": sheets, "methylation": methylation, "cortisol": cortisol, "moderation": moderation}
    own |= {"cohort": cohort, "programme": _programme(config.programme, keep)}
    return config | own, files


def _programme(programme: Any, keep: Callable[[str, Any], str]) -> Any:
    """The part on the programme with the tables that it names in the bundle: other studies, prices, outcomes."""
    pool = programme["pool"]
    if pool:
        numbered_studies = enumerate(pool["studies"].items(), start=1)
        kept = {name: keep(f"programme/study_{i}.tsv", path) for i, (name, path) in numbered_studies}
        programme |= {"pool": pool | {"studies": kept}}
    for part, key in (("worth", "prices"), ("social_return", "outcomes")):
        if programme[part]:
            programme |= {part: programme[part] | {key: keep(f"programme/{key}.tsv", programme[part][key])}}
    return programme


def _libraries(config: Config) -> pd.DataFrame:
    schema = sheet_schema("libraries")
    path = config.sheets.libraries
    return read_sheet(path, schema)[0] if path else empty_sheet(schema)


def _rewritten(path: str, stem: str, change: Callable[[dict[str, str]], dict[str, str]]) -> bytes:
    """A sheet as TSV with the columns of each row set as ``change(row)`` says; lines keep their numbers."""
    (header, *lines), _ = read_rows(path, stem=stem)
    names = [name.strip() for name in header]
    rows = [dict(zip(names, (c.strip() for c in line))) if any(c.strip() for c in line) else None for line in lines]
    rows = [row and {**row, **change(row)} for row in rows]
    columns = [*names, *dict.fromkeys(c for row in rows if row for c in row if c not in names)]
    out = ["\t".join(columns), *("\t".join(row.get(c, "NA") for c in columns) if row else "" for row in rows)]
    return ("\n".join(out) + "\n").encode("utf-8")


def _tsv(table: pd.DataFrame) -> bytes:
    buffer = io.StringIO()
    table.to_csv(buffer, sep="\t", index=False, na_rep="NA", float_format=FLOAT_FORMAT, lineterminator="\n")
    return buffer.getvalue().encode("utf-8")
