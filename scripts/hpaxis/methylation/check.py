"""What libraries.tsv, its panels and its files say, before anything runs. Each check returns problems, none raises."""

import os

import pandas as pd

from hpaxis.methylation.assays.inputs import check_library_files
from hpaxis.methylation.assays.pyrosequencing import export_paths
from hpaxis.methylation.counting.reads import check_read_files
from hpaxis.methylation.levels.cell_mix import check_cell_types
from hpaxis.methylation.panels.panel import panel_folder, read_panel
from hpaxis.problems import InputError, Problem, closest
from hpaxis.shipped import PANELS

# Which file columns an assay needs.
FILES = {"amplicon": ("fastq_1", "fastq_2"), "counts": ("counts",), "pyrosequencing": ("export",),
         "genome": ("bam", "fastq_1", "fastq_2")}  # fmt: skip
# A file that holds many libraries may stand in many rows; reads belong to one.
MANY_LIBRARIES = ("counts", "export")


def check_panels(libraries, sheet):
    """Return the problems of every panel that a library names; ``sheet``: the path of libraries.tsv."""
    problems = []
    first = libraries.dropna(subset=["panel"]).drop_duplicates("panel")
    for row in first.itertuples():
        folder = panel_folder(row.panel)
        if not os.path.isdir(folder):
            shipped = sorted(p.name for p in PANELS.iterdir() if p.is_dir())
            remedy = f"use a shipped panel ({', '.join(shipped)}) or the path of a panel folder"
            problems.append(Problem(sheet, "is no panel", remedy, row.row, "panel", row.panel))
            continue
        try:
            read_panel(folder)
        except InputError as error:
            problems += error.problems
    return problems + check_cell_types(libraries)


def check_sheets(study):
    """Return the problems of libraries.tsv: rows that contradict themselves, each other or participants.tsv."""
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


def check_files(study, made=None, checked=None):
    """Return the problems of the files that libraries.tsv names: missing, damaged, empty, or at odds with the sheet.

    ``made``: prefix of paths that the workflow itself makes; ``checked``: the `CheckedFiles` to skip and fill.
    """
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
            if checked is not None and checked.hold(paths):
                continue
            found = check_read_files(paths, may_be_empty=row.kind == "no_template")
            problems += found
            if checked is not None and not found:
                checked.add(paths)
    return problems + check_library_files(study.libraries, study.config["methylation"], sheet)


def _well(name):
    return f"{name[0]}{int(name[1:])}" if name[1:].isdecimal() else name
