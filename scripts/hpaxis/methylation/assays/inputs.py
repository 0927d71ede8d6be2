"""Checks of the files that libraries without amplicon reads name, before anything starts."""

import hashlib
import os
import shutil
from pathlib import Path

import pandas as pd

from hpaxis.methylation.assays.aligner import PROGRAM
from hpaxis.methylation.assays.coverage import counts_file, find_format
from hpaxis.methylation.assays.finished_levels import check_levels
from hpaxis.methylation.assays.genome import open_genome, place_panel
from hpaxis.methylation.assays.genome_bam import check_bam
from hpaxis.methylation.assays.modbam import check_modified
from hpaxis.methylation.assays.pyrosequencing import check_exports, export_paths
from hpaxis.methylation.assays.release import read_counts
from hpaxis.methylation.counting.chemistry import NATIVE
from hpaxis.methylation.panels.panel import panel_folder, read_panel
from hpaxis.problems import InputError, Problem


def check_library_files(libraries, settings, sheet):
    """Problems of pyrosequencers' exports and of aligned reads, where the files are there.

    ``libraries``: the sheet, as read; ``settings``: the config's methylation section; ``sheet``: the sheet's path.
    """
    return [
        *_check_pyrosequencing(libraries, settings, sheet),
        *_check_levels(libraries, settings, sheet),
        *_check_genome(libraries, settings, sheet),
    ]


# Fewer methylated reads, on fewer CpGs, may agree by chance.
ALIKE_READS, ALIKE_CPGS = 50, 5


def check_counts(row, sheet, checked=None, seen=None):
    """Problems of one library's counts, by reading them; ``checked``: files by coordinate not to read again.

    ``seen``: the counts of earlier rows, to which this one's are added: the same counts of two libraries are one.
    """
    if pd.isna(row.panel) or not os.path.isdir(panel_folder(row.panel)):
        return []  # said of the panel
    try:
        path = counts_file(row.counts, row.library_id)
    except InputError as error:
        return [Problem(sheet, p.what, p.remedy, row.row, "counts", p.file) for p in error.problems]
    try:
        own = find_format(path) is not None
        if not (own and checked is not None and checked.hold([path])):
            counts = read_counts(path, row.library_id, read_panel(panel_folder(row.panel))).counts
        else:
            counts = None
    except InputError as error:
        return error.problems
    if own and checked is not None:
        checked.add([path])
    what = hashlib.sha256(Path(path).read_bytes()).digest() if own else _alike(counts)
    if seen is None or what is None or seen.setdefault(what, (row.row, row.library_id))[0] == row.row:
        return []
    first = "has the counts of row {}, {}, read for read".format(*seen[what])
    remedy = "give each library its own counts; one of the two is a copy of the other"
    return [Problem(sheet, first, remedy, row.row, "counts", row.library_id)]


def _alike(counts):
    """What two libraries cannot have in common by chance: all their counts; None where there are too few to tell."""
    read = counts[counts["methylated"] + counts["unmethylated"] > 0]
    if len(read) < ALIKE_CPGS or read["methylated"].sum() < ALIKE_READS:
        return None
    return tuple(read[["cpg_id", "methylated", "unmethylated"]].itertuples(index=False, name=None))


def _panels(rows):
    """The panels that rows name; None where one is at fault, which its own check tells."""
    try:
        return {name: read_panel(panel_folder(name)) for name in rows["panel"].unique()}
    except (InputError, TypeError):
        return None


def _check_pyrosequencing(libraries, settings, sheet):
    rows = libraries[libraries["assay"] == "pyrosequencing"]
    if rows.empty or rows[["export", "panel"]].isna().any(axis=None):
        return []
    if not all(os.path.isfile(path) for cell in rows["export"] for path in export_paths(cell)):
        return []
    panels = _panels(rows)
    return [] if panels is None else check_exports(rows, panels, settings.pyrosequencing, sheet)


def _check_levels(libraries, settings, sheet):
    rows = libraries[libraries["assay"] == "levels"]
    if rows.empty or rows[["levels", "panel"]].isna().any(axis=None):
        return []
    if not all(os.path.isfile(path) for path in rows["levels"]):
        return []
    panels = _panels(rows)
    return [] if panels is None else check_levels(rows, panels, settings.levels, sheet)


def _check_genome(libraries, settings, sheet):
    rows = libraries[libraries["assay"] == "genome"]
    if rows.empty:
        return []
    problems, path = [], settings.genome.fasta
    for row in rows[rows["bam"].isna()].itertuples():
        if shutil.which(PROGRAM) is None:
            what = f"is to be aligned, but the program {PROGRAM} is not installed"
            remedy = f"install {PROGRAM} (Python package bsbolt), or align the reads and name the BAM in the column bam"
            problems.append(Problem(sheet, what, remedy, row.row, "fastq_1", row.fastq_1))
            break
    if path is None:
        problems.append(
            Problem("config", "is missing", "name the FASTA that genome libraries are aligned to",
                    column="methylation.genome.fasta")
        )  # fmt: skip
        return problems
    if not os.path.isfile(path):
        problems.append(Problem("config", "does not exist", "correct the path", None, "methylation.genome.fasta", path))
        return problems
    try:
        genome = open_genome(path)
    except InputError as error:
        return [*problems, *error.problems]
    for key in ("spike_in", "methylated_spike_in"):
        spike = settings.genome[key]
        if spike is not None and spike not in genome.references:
            remedy = "name the contig as the FASTA does, or leave the key out"
            what = "is no contig of the genome"
            problems.append(Problem("config", what, remedy, column=f"methylation.genome.{key}", value=spike))
    for panel in (_panels(rows) or {}).values():
        try:
            place_panel(panel, genome, path)
        except InputError as error:
            problems += error.problems
    native = set(rows.loc[rows["chemistry"] == NATIVE, "bam"])
    for name in dict.fromkeys(b for b in rows["bam"] if pd.notna(b) and os.path.isfile(b)):
        problems += check_bam(name, genome)
        if name in native and not problems:
            problems += check_modified(name, genome)
    return problems
