"""A study: its config, its sheets and its panels, read once and checked against each other.

`load_study` is called when the workflow is planned. It collects every problem it can find before any
work starts and raises one `InputError`; what it returns can be relied on.
"""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from hpaxis import schemas
from hpaxis.config import check_config
from hpaxis.identifying import identifying_problems, tellable
from hpaxis.methylation.panels.panel import panel_folder
from hpaxis.problems import InputError, Problem, closest, raise_if_any
from hpaxis.sheets import empty_sheet, read_sheet, sheet_schema
from hpaxis.shipped import PANELS

# Which file columns an assay needs.
FILES = {"amplicon": ("fastq_1", "fastq_2"), "counts": ("counts",), "pyrosequencing": ("export",),
         "genome": ("bam", "fastq_1", "fastq_2")}  # fmt: skip
# A file that holds many libraries may stand in many rows; reads belong to one.
MANY_LIBRARIES = ("counts", "export")


@dataclass(frozen=True)
class Study:
    """A checked study: the config with defaults filled, and each sheet as a typed table."""

    config: dict
    libraries: pd.DataFrame
    participants: pd.DataFrame
    hair: pd.DataFrame
    plates: pd.DataFrame

    @property
    def models(self):
        """The models of the config: name to entry, in the config's order."""
        return self.config["models"]

    def library_ids(self, kind=None, assay=None):
        """Return library ids, sorted, of one kind or assay where asked for."""
        table = self.libraries
        if kind is not None:
            table = table[table["kind"] == kind]
        if assay is not None:
            table = table[table["assay"] == assay]
        return sorted(table["library_id"])

    # Snakemake asks for these again and again: a thousand libraries are planned in seconds when they are kept.
    @cached_property
    def _library_rows(self):
        return {row["library_id"]: row for row in self.libraries.to_dict("records")}

    @cached_property
    def _panel_files(self):
        folders = {name: panel_folder(name) for name in self.libraries["panel"].unique()}
        return {name: sorted(os.path.relpath(p) for p in f.iterdir() if p.is_file()) for name, f in folders.items()}

    def library(self, library_id):
        """Return the row of a library, as a dict."""
        return self._library_rows[library_id]

    def fastq(self, library_id):
        """Return the one or two FASTQ paths of a library."""
        row = self.library(library_id)
        return [row[c] for c in FILES["amplicon"] if pd.notna(row[c])]

    def lanes(self, library_id):
        """Return how many files, or pairs of files, a library's reads come in."""
        return max(1, len(self.fastq(library_id)) // (2 if pd.notna(self.library(library_id)["fastq_2"]) else 1))

    def umi(self, library_id):
        """Return the pattern of a library's UMIs; None without."""
        pattern = self.library(library_id)["umi"]
        return pattern if pd.notna(pattern) else None

    def exports(self, library_ids):
        """Return the paths of the exports of some libraries, sorted, each once."""
        from hpaxis.methylation.assays.pyrosequencing import export_paths

        return sorted({path for name in library_ids for path in export_paths(self.library(name)["export"])})

    def people_of_libraries(self):
        """Return participant, dyad and role of each study library, None where not known; by library id, sorted."""
        columns = ["dyad_id", "role"]
        people = self.participants.set_index("participant_id")[columns]
        found = self.libraries[self.libraries["kind"] == "study"].join(people, on="participant_id")
        rows = found.set_index("library_id")[["participant_id", *columns]].sort_index()
        rows = rows.astype(object).where(rows.notna(), None)
        return {name: list(values) for name, values in zip(rows.index, rows.to_numpy().tolist())}

    def panel(self, library_id):
        """Return the folder of a library's panel."""
        return panel_folder(self.library(library_id)["panel"])

    def panel_files(self, library_id):
        """Return the files of a library's panel, sorted; as paths from the working folder, so that both may move."""
        return self._panel_files[self.library(library_id)["panel"]]

    def context(self):
        """Return what the study's shareable summaries say of it: panel, assay, timepoint and design, as text."""
        own = self.libraries[self.libraries["kind"] == "study"]
        known = {key: "; ".join(sorted(own[key].dropna().unique())) or "none" for key in ("panel", "assay")}
        return {**known, "timepoint": self.config["cohort"]["timepoint"], "design": self.config["study"]["design"]}

    def plate_ids(self):
        """Return the ids of the cortisol plates, sorted."""
        return sorted(self.plates["plate_id"])

    def plate(self, plate_id):
        """Return the row of a plate."""
        return self.plates.set_index("plate_id", drop=False).loc[plate_id]


def read_study(config, config_file="config"):
    """Read config and sheets. Returns ``(study, problems)``; the study is None if it cannot be built."""
    problems = check_config(config, config_file)
    if problems:
        return None, problems
    config = schemas.with_defaults(config, schemas.config_schema())
    sheets = {}
    for name in ("libraries", "participants", "hair", "plates"):
        path = config["sheets"][name]
        schema = sheet_schema(name, config["cohort"]["columns"] if name == "participants" else None)
        if path is None:
            sheets[name] = empty_sheet(schema)
        else:
            sheets[name], found = read_sheet(path, schema)
            problems += found
    return Study(config=config, **sheets), problems


def load_study(config, config_file="config", made_by_workflow=None, cache=None):
    """Read a study and check all of it.

    ``made_by_workflow``: a folder whose files the workflow itself makes (the demo's reads), which are not
    asked for. ``cache``: a file that remembers which input files were read through without a problem.
    Raises `InputError` with every problem of the config, the sheets, the panels and the files.
    """
    study, problems = read_study(config, config_file)
    if study is not None:
        made = (str(Path(made_by_workflow)) + "/") if made_by_workflow else None
        identifying = check_identifying(study)
        problems += identifying
        problems += check_panels(study)
        problems += check_models(study, config_file)
        # What joins sheets and files repeats ids, as values or as hints: not while one of them may be a name.
        if not identifying:
            problems += check_across(study)
            problems += check_files(study, made, cache)
    raise_if_any(problems)
    return study


def check_across(study):
    """Return the problems between the sheets."""
    return [
        *_check_participants(study),
        *_check_libraries(study),
        *_check_hair(study),
        *_check_plates(study),
        *_check_coverage(study),
    ]


def _check_participants(study):
    path, arms, table = study.config["sheets"]["participants"], study.config["arms"], study.participants
    problems = []
    for row in table.itertuples():
        if pd.notna(row.arm) and row.arm not in arms:
            remedy = f"use one of the config's arms: {', '.join(arms)}{closest(row.arm, arms)}"
            problems.append(Problem(path, "is not an arm of this study", remedy, row.row, "arm", tellable(row.arm)))
    for dyad, members in table.dropna(subset=["dyad_id"]).groupby("dyad_id"):
        for role in ("child", "parent"):
            if (members["role"] == role).sum() > 1:
                what = f"has more than one {role}"
                remedy = "a dyad is one child and one parent: correct dyad_id or role"
                problems.append(Problem(path, what, remedy, int(members["row"].iloc[-1]), "dyad_id", dyad))
        if members["arm"].nunique() > 1:
            remedy = "members of a dyad are randomised together: correct one of them"
            problems.append(Problem(path, "is in two arms", remedy, int(members["row"].iloc[-1]), "dyad_id", dyad))
    return problems


def _check_libraries(study):
    path, table = study.config["sheets"]["libraries"], study.libraries
    people = set(study.participants["participant_id"])
    problems, used_files, used_wells = [], {}, {}
    for row in table.itertuples():

        def add(what, remedy, column, value=None, at=row.row):
            problems.append(Problem(path, what, remedy, at, column, value))

        if row.kind == "study":
            if pd.isna(row.participant_id):
                add("is missing", "a study library needs the participant it comes from", "participant_id")
            elif row.participant_id not in people:
                hint = closest(row.participant_id, people)
                add("is not in participants.tsv", f"add the participant or correct the id{hint}", "participant_id",
                    row.participant_id)  # fmt: skip
            if pd.isna(row.timepoint):
                add("is missing", "a study library needs its timepoint", "timepoint")
        elif pd.notna(row.participant_id):
            add(
                "is named for a library that is not of kind study",
                "write NA",
                "participant_id",
                row.participant_id,
            )
        if row.kind == "standard" and pd.isna(row.expected_percent):
            add("is missing", "a standard needs its known methylation", "expected_percent")
        if pd.isna(row.panel):
            add("is missing", "name the panel", "panel")
        if pd.notna(row.umi) and row.assay != "amplicon":
            add(f"is given, but assay {row.assay} has no reads", "write NA or correct the assay", "umi", row.umi)
        elif pd.notna(row.umi) and "," in row.umi and pd.isna(row.fastq_2):
            add("names bases of read 2, which there is not", "correct umi or fastq_2", "umi", row.umi)
        needed = FILES.get(row.assay, ())
        aligned_here = row.assay == "genome" and pd.notna(row.fastq_1)
        if needed and pd.isna(getattr(row, needed[0])) and not aligned_here:
            add("is missing", f"assay {row.assay} needs this file", needed[0])
        elif aligned_here and pd.notna(row.bam):
            add("is given beside fastq_1", "give the aligned reads or the FASTQ files, not both", "bam", row.bam)
        for column in ("fastq_1", "fastq_2", "bam", *MANY_LIBRARIES):
            name = getattr(row, column)
            if pd.isna(name):
                continue
            if column not in needed:
                add(
                    f"is given, but assay {row.assay} does not read it",
                    "write NA or correct the assay",
                    column,
                    name,
                )
            elif column not in MANY_LIBRARIES and name in used_files:
                add(
                    f"is used in row {used_files[name]} already",
                    "give each library its own file",
                    column,
                    name,
                )
            used_files.setdefault(name, row.row)
        if pd.notna(row.plate) and pd.notna(row.well) and row.assay != "pyrosequencing":
            well = (row.plate, _well(row.well))
            if well in used_wells:
                add(f"is used in row {used_wells[well]} already", "a well holds one library: correct plate or well",
                    "well", f"{row.plate} {row.well}")  # fmt: skip
            used_wells.setdefault(well, row.row)
    return problems


def _check_hair(study):
    path, table = study.config["sheets"]["hair"], study.hair
    people = set(study.participants["participant_id"])
    problems = []
    for row in table.itertuples():
        if pd.notna(row.participant_id) and row.participant_id not in people:
            remedy = f"add the participant or correct the id{closest(row.participant_id, people)}"
            problems.append(
                Problem(path, "is not in participants.tsv", remedy, row.row, "participant_id", row.participant_id)
            )
        if row.methanol_recovered_ml > row.methanol_added_ml:
            what = f"is more than the {row.methanol_added_ml:g} mL added"
            remedy = "correct methanol_added_ml or methanol_recovered_ml"
            problems.append(Problem(path, what, remedy, row.row, "methanol_recovered_ml", row.methanol_recovered_ml))
        if row.segment_to_cm <= row.segment_from_cm:
            remedy = "give the segment from the scalp outwards"
            problems.append(
                Problem(path, "is not beyond segment_from_cm", remedy, row.row, "segment_to_cm", row.segment_to_cm)
            )
    return problems


def _check_plates(study):
    from hpaxis.cortisol.kits import read_kits

    sheets, problems = study.config["sheets"], []
    if (sheets["hair"] is None) != (sheets["plates"] is None):
        given, other = ("plates", "hair") if sheets["hair"] is None else ("hair", "plates")
        problems.append(
            Problem(
                str(sheets[given]),
                f"is given without {other}.tsv",
                f"give both, or neither: sheets.{other} in the config",
            )
        )
    try:
        kits = read_kits(study.config["cortisol"]["kits"])
    except InputError as error:
        return [*problems, *error.problems]
    for row in study.plates.itertuples():
        if pd.notna(row.kit) and row.kit not in kits:
            remedy = f"use a row of the kit table ({', '.join(sorted(kits))}) or add one{closest(row.kit, kits)}"
            problems.append(Problem(sheets["plates"], "is not a known kit", remedy, row.row, "kit", row.kit))
    return problems


def _check_coverage(study):
    """A participant without saliva or hair is an error unless the sheet says that it is missing."""
    path, problems = study.config["sheets"]["participants"], []
    saliva = set(study.libraries.loc[study.libraries["kind"] == "study", "participant_id"].dropna())
    hair = set(study.hair["participant_id"].dropna())
    saliva = saliva if study.config["sheets"]["libraries"] is not None else None
    hair = hair if study.config["sheets"]["hair"] is not None else None
    for row in study.participants.itertuples():
        said = set(str(row.missing).split(";")) if pd.notna(row.missing) else set()
        for what, have, sheet in (("saliva", saliva, "libraries.tsv"), ("hair", hair, "hair.tsv")):
            if have is None or pd.isna(row.participant_id):
                continue
            if row.participant_id not in have and what not in said:
                noun = "library" if what == "saliva" else "hair sample"
                remedy = f"add the row to {sheet}, or write {what} in the column missing"
                problems.append(Problem(path, f"has no {noun}", remedy, row.row, "participant_id", row.participant_id))
            if row.participant_id in have and what in said:
                remedy = f"remove the word, or the row in {sheet}"
                problems.append(
                    Problem(
                        path,
                        f"is said to be missing, but stands in {sheet}",
                        remedy,
                        row.row,
                        "missing",
                        what,
                    )
                )
    return problems


def check_identifying(study):
    """Return the problems of cells that look like a name or a date, without repeating them."""
    sheets = {name: getattr(study, name) for name in ("participants", "libraries", "hair")}
    clusters = {entry["cluster"] for entry in study.models.values()}
    return identifying_problems(sheets, study.config["sheets"], study.config["cohort"]["columns"], clusters)


def check_panels(study):
    """Return the problems of every panel that a library names."""
    from hpaxis.methylation.levels.cell_mix import check_cell_types
    from hpaxis.methylation.panels.panel import read_panel

    problems = []
    first = study.libraries.dropna(subset=["panel"]).drop_duplicates("panel")
    for row in first.itertuples():
        folder = panel_folder(row.panel)
        if not os.path.isdir(folder):
            shipped = sorted(p.name for p in PANELS.iterdir() if p.is_dir())
            remedy = f"use a shipped panel ({', '.join(shipped)}) or the path of a panel folder"
            problems.append(
                Problem(study.config["sheets"]["libraries"], "is no panel", remedy, row.row, "panel", row.panel)
            )
            continue
        try:
            read_panel(folder)
        except InputError as error:
            problems += error.problems
    return problems + check_cell_types(study.libraries)


def check_models(study, config_file="config"):
    """Return the problems of the models, as far as they can be told before there are data."""
    from hpaxis.cohort import analysis_columns
    from hpaxis.moderation.checks import check_model, check_settings

    columns = analysis_columns(study)
    if columns is None:
        return []
    problems = []
    for name, entry in study.models.items():
        problems += check_model(name, entry, columns=columns, arms=study.config["arms"], config_file=config_file)
    problems += check_settings(study.config["moderation"], study.models, columns, config_file)
    return problems


def check_files(study, made=None, cache=None):
    """Return the problems of the input files: missing, damaged, empty, or at odds with the sheets.

    Files whose size and time are in the ``cache`` were read through before without a problem.
    """
    from hpaxis.cortisol.check import check_plate
    from hpaxis.methylation.assays.inputs import check_library_files
    from hpaxis.methylation.assays.pyrosequencing import export_paths
    from hpaxis.methylation.counting.reads import check_read_files

    known = _read_cache(cache)
    unknown_kits = {p.row for p in _check_plates(study)}
    problems, sheet = [], study.config["sheets"]["libraries"]
    for row in study.libraries.itertuples():
        paths = []
        for column in FILES.get(row.assay, ()):
            cell = getattr(row, column)
            names = [] if pd.isna(cell) else export_paths(cell) if column == "export" else [cell]
            for name in names:
                if made and name.startswith(made):
                    continue
                if not os.path.isfile(name):
                    problems.append(Problem(sheet, "does not exist", "correct the path", row.row, column, name))
                else:
                    paths.append(name)
        if paths and (row.assay == "amplicon" or (row.assay == "genome" and pd.isna(row.bam))):
            signature = {p: _signature(p) for p in paths}
            if all(known.get(p) == s for p, s in signature.items()):
                continue
            found = check_read_files(paths, may_be_empty=row.kind == "no_template")
            problems += found
            if not found:
                known.update(signature)
    problems += check_library_files(study.libraries, study.config["methylation"], sheet)
    for row in study.plates.itertuples():
        names = [n for n in (row.reader_file, row.layout_file) if pd.notna(n) and not (made and n.startswith(made))]
        absent = [n for n in names if not os.path.isfile(n)]
        for name in absent:
            problems.append(
                Problem(
                    study.config["sheets"]["plates"],
                    "does not exist",
                    "correct the path",
                    row.row,
                    value=name,
                )
            )
        if names and not absent and row.row not in unknown_kits:
            problems += check_plate(row, study.hair, study.config)
    _write_cache(cache, known)
    return problems


def _well(name):
    return f"{name[0]}{int(name[1:])}" if name[1:].isdecimal() else name


def _signature(path):
    info = Path(path).stat()
    return [info.st_size, info.st_mtime_ns]


def _read_cache(path):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (TypeError, OSError, ValueError):
        return {}


def _write_cache(path, known):
    if path is not None and known:
        from hpaxis.tables import whole_file

        with whole_file(path) as part:
            part.write_text(json.dumps(known, indent=0, sort_keys=True), encoding="utf-8")
