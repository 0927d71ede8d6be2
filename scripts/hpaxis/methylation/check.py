"""What libraries.tsv, its panels and its files say, before anything runs. Each check returns problems, none raises."""

import hashlib
import os
import re
import zlib
from itertools import islice

import pandas as pd
from xopen import xopen

from hpaxis.methylation.assays.inputs import check_counts, check_library_files
from hpaxis.methylation.counting.apart import confused_amplicons, read_length
from hpaxis.methylation.counting.chemistry import NATIVE, TURNED
from hpaxis.methylation.counting.reads import check_read_files
from hpaxis.methylation.counting.umis import umi_lengths
from hpaxis.methylation.panels.cell_types import check_cell_types
from hpaxis.methylation.panels.panel import panel_folder, read_panel
from hpaxis.problems import InputError, Problem, closest
from hpaxis.sheets import paths_of
from hpaxis.shipped import PANELS

# Which file columns an assay needs.
FILES = {"amplicon": ("fastq_1", "fastq_2"), "counts": ("counts",), "pyrosequencing": ("export",),
         "levels": ("levels",), "genome": ("bam", "fastq_1", "fastq_2")}  # fmt: skip
# A file that holds many libraries may stand in many rows; reads belong to one.
MANY_LIBRARIES = ("counts", "export", "levels")
# What bcl2fastq and BCL Convert call a lane in the name of a file.
LANE = re.compile(r"_L00\d_")
# Fewer copies of the genome than this give no library.
FEWEST_COPIES = 15
# Two libraries never begin with as many reads of the same names and bases.
FIRST_READS = 8


def check_panels(libraries, sheet):
    """Return the problems of every panel that a library names; ``sheet``: the path of libraries.tsv."""
    problems = []
    first = libraries.dropna(subset=["panel"]).drop_duplicates("panel")
    for row in first.itertuples():
        folder = panel_folder(row.panel)
        if not os.path.isdir(folder):
            shipped = sorted(p.name for p in PANELS.iterdir() if p.is_dir())
            remedy = f"use a shipped panel ({', '.join(shipped)}) or the path of a panel folder"
            problems.append(Problem(sheet, "is not a panel", remedy, row.row, "panel", row.panel))
            continue
        try:
            read_panel(folder)
        except InputError as error:
            problems += error.problems
    return problems + check_cell_types(libraries)


def check_sheets(study):
    """Return the problems of libraries.tsv: rows that contradict themselves, each other or participants.tsv."""
    path, table = study.config.sheets.libraries, study.libraries
    people = set(study.participants["participant_id"])
    problems, used_files, used_lanes, used_wells = [], {}, {}, {}
    fractions, chemistries = _fractions(table), {}
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
        copies = row.input_ng * study.config.methylation.copies_per_ng
        if 0 < copies < FEWEST_COPIES and row.kind != "no_template":
            what = f"holds {copies:.2g} copies of the genome: is it in micrograms?"
            add(what, "give nanograms, or NA where the input is not known", "input_ng", f"{row.input_ng:g}")
        if row.kind == "standard" and row.row in fractions:
            what = "looks like a fraction: no standard of the study is above 1 %"
            add(what, "give percent: 25 for a quarter", "expected_percent", f"{row.expected_percent:g}")
        if row.kind == "standard" and pd.isna(row.expected_percent):
            add("is missing", "a standard needs its known methylation", "expected_percent")
        if pd.isna(row.panel):
            remedy = "name the panel"
            remedy += "; for figures of the whole genome alone, run hpaxis genome" if row.assay == "genome" else ""
            add("is missing", remedy, "panel")
        if pd.notna(row.umi) and row.assay != "amplicon":
            add(f"is given, but assay {row.assay} has no reads", "write NA or correct the assay", "umi", row.umi)
        elif pd.notna(row.umi) and "," in row.umi and pd.isna(row.fastq_2) and row.interleaved != "yes":
            add("names bases of read 2, but there is no fastq_2", "correct umi or fastq_2", "umi", row.umi)
        _check_chemistry(row, chemistries, add)
        if (
            row.interleaved == "yes"
            and row.assay in ("amplicon", "genome")
            and (pd.isna(row.fastq_1) or pd.notna(row.fastq_2))
        ):
            what = "is yes, but fastq_2 is given" if pd.notna(row.fastq_2) else "is yes, but there is no fastq_1"
            add(what, "name the file with both mates in fastq_1 alone", "interleaved", "yes")
        needed = FILES.get(row.assay, ())
        aligned_here = row.assay == "genome" and pd.notna(row.fastq_1)
        if needed and pd.isna(getattr(row, needed[0])) and not aligned_here:
            add("is missing", f"assay {row.assay} needs this file", needed[0])
        elif aligned_here and pd.notna(row.bam):
            add("is given beside fastq_1", "give the aligned reads or the FASTQ files, not both", "bam", row.bam)
        lanes = [len(paths_of(getattr(row, c))) for c in ("fastq_1", "fastq_2") if pd.notna(getattr(row, c))]
        if len(set(lanes)) > 1:
            what = f"names {lanes[1]} files where fastq_1 names {lanes[0]}"
            add(what, "name one file of each mate for each lane, in the same order", "fastq_2", row.fastq_2)
        for column in ("fastq_1", "fastq_2", "bam", *MANY_LIBRARIES):
            cell = getattr(row, column)
            if pd.isna(cell):
                continue
            if column not in needed:
                what = f"is given, but assay {row.assay} does not read it"
                add(what, "write NA or correct the assay", column, cell)
                continue
            for name in paths_of(cell) if column not in MANY_LIBRARIES else ():
                file = _real(name)  # however the path is written
                lane = LANE.sub("_L_", file)
                if column == "fastq_1" and lane != file and used_lanes.setdefault(lane, row.row) != row.row:
                    remedy = "name all lanes of a library in one cell, separated by semicolons: they are one sample"
                    add(f"looks like another lane of the library in row {used_lanes[lane]}", remedy, column, name)
                if file in used_files:
                    remedy = (
                        "give each library its own files; lanes of one library go in one cell, separated by semicolons"
                    )
                    add(f"is used in row {used_files[file]} already", remedy, column, name)
                used_files.setdefault(file, row.row)
        if pd.notna(row.plate) and pd.notna(row.well) and row.assay != "pyrosequencing":
            well = (row.plate, _well(row.well))
            if well in used_wells:
                add(f"is used in row {used_wells[well]} already", "a well holds one library: correct plate or well",
                    "well", f"{row.plate} {row.well}")  # fmt: skip
            used_wells.setdefault(well, row.row)
    return problems


def _check_chemistry(row, chemistries, add):
    """Report a chemistry that the row's assay cannot have, or that differs from that of the panel's other libraries."""
    sequenced = row.assay in ("amplicon", "genome", "counts")
    if not sequenced and row.chemistry in (*TURNED, NATIVE):
        what = f"is given, but assay {row.assay} takes levels as its file says"
        add(what, "write NA", "chemistry", row.chemistry)
    elif row.chemistry == NATIVE and (row.assay == "amplicon" or (row.assay == "genome" and pd.isna(row.bam))):
        add("needs aligned reads with MM and ML tags", "give assay genome and the column bam", "chemistry", NATIVE)
    elif sequenced and pd.notna(row.panel):
        first = chemistries.setdefault(row.panel, (row.chemistry, row.row))
        if first[0] != row.chemistry:
            what = f"differs from {first[0]} in row {first[1]}, of the same panel: controls speak for one chemistry"
            add(what, "give each chemistry a panel and study of its own", "chemistry", row.chemistry)


def _fractions(table):
    """Return the rows of standards whose percentages are all fractions: three or more, from 0 to 1, one above .1."""
    standards = table[(table["kind"] == "standard") & table["expected_percent"].notna()]
    percents = standards["expected_percent"]
    if percents.nunique() < 3 or percents.max() > 1 or percents.max() <= 0.1:
        return set()
    return set(standards["row"])


def check_files(study, elsewhere, checked=None):
    """Return the problems of the files that libraries.tsv names: missing, damaged, empty, or at odds with the sheet.

    ``elsewhere``: the `Elsewhere` of files that are not asked for; ``checked``: the `CheckedFiles` to skip and fill.
    """
    problems, sheet, read, told, counted = [], study.config.sheets.libraries, [], {}, {}
    for row in study.libraries.itertuples():
        paths = []
        for column in FILES.get(row.assay, ()):
            cell = getattr(row, column)
            names = [] if pd.isna(cell) else [cell] if column in ("bam", "counts") else paths_of(cell)
            for name in names:
                if elsewhere.holds(name):
                    continue
                if not (os.path.isfile(name) or (column == "counts" and os.path.isdir(name))):
                    problems.append(Problem(sheet, "does not exist", "correct the path", row.row, column, name))
                else:
                    paths.append(name)
        if paths and row.assay == "counts":
            problems += check_counts(row, sheet, checked, counted)
        if paths and (row.assay == "amplicon" or (row.assay == "genome" and pd.isna(row.bam))):
            read.append((row, paths))
            if checked is not None and checked.hold(paths):
                continue
            lanes = max(1, len(paths_of(row.fastq_1)) if pd.notna(row.fastq_1) else 1)
            if len(paths) % lanes:
                continue  # the sheet is at fault, or a file is missing: said already
            interleaved = row.interleaved == "yes"
            found = check_read_files(paths, row.kind == "no_template", lanes, interleaved)
            if not found and row.assay == "amplicon":
                found = _check_apart(study, row, paths, lanes, sheet, told)
            problems += found
            if checked is not None and not found:
                checked.add(paths)
    problems += _same_reads(read, sheet)
    problems += check_library_files(study.libraries, study.config.methylation, sheet)
    return list(dict.fromkeys(problems))  # a table that many libraries name is at fault once


def _same_reads(read, sheet):
    """Libraries whose files begin with the same reads: a copy, or a part of a copy, under another name."""
    problems, seen = [], {}
    for row, paths in read:
        for path in paths:
            first = first_reads(path)
            if first is None:
                continue
            other, name = seen.setdefault(first, (row.row, path))
            if other != row.row and _real(name) != _real(path):
                what = f"begins with the same reads as {name} in row {other}"
                remedy = "give each library its own reads; one of the files is a copy of the other, or of a part of it"
                problems.append(Problem(sheet, what, remedy, row.row, "fastq_1", path))
                break
    return problems


def first_reads(path, records=FIRST_READS):
    """Return names and bases of a FASTQ file's first reads as one digest; None where it has fewer or is damaged."""
    try:
        with xopen(path, "rb", threads=0) as file:
            lines = list(islice(file, 4 * records))
    except (OSError, EOFError, ValueError, zlib.error):
        return None  # what is wrong with the file is said where it is read through
    if len(lines) < 4 * records:
        return None
    names = [line.split()[0] for line in lines[::4] if line.split()]
    return hashlib.blake2b(b"\n".join([*names, *lines[1::4]]), digest_size=16).digest()


def _real(path):
    """Where a path leads; a path that no file can have (its form is refused elsewhere) as it is."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return path


def _check_apart(study, row, paths, lanes, sheet, told):
    """Problems of a library whose reads are too short to tell its panel's amplicons apart.

    ``told`` remembers, for each panel, length and form of reads, which amplicons they confuse.
    """
    length = read_length(paths[::lanes], row.interleaved == "yes")
    # A UMI is no part of the amplicon.
    length -= max(umi_lengths(study.umi(row.library_id)), default=0)
    key = row.panel, length, len(paths) > lanes or row.interleaved == "yes"
    if key not in told:
        told[key] = _confused(*key)
    return [
        Problem(sheet, f"reads of {length} bases of amplicon {name} {what}",
                "sequence longer reads, or take one of the amplicons out of the panel", row.row, "panel", row.panel)
        for name, what in told[key].items()
    ]  # fmt: skip


def _confused(name, length, paired):
    """Amplicons of a panel that reads of a length confuse, each with what is said of it; none of a panel at fault."""
    if length <= 0 or not os.path.isdir(panel_folder(name)):
        return {}  # `check_panels` says what is wrong with a panel
    try:
        return confused_amplicons(read_panel(panel_folder(name)), length, paired)
    except InputError:
        return {}


def _well(name):
    return f"{name[0]}{int(name[1:])}" if name[1:].isdecimal() else name
