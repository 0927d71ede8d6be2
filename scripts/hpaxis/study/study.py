"""A study as it is written: its config and its sheets, read once."""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from hpaxis.config import check_config
from hpaxis.methylation.panels.panel import panel_folder
from hpaxis.problems import Problem
from hpaxis.schemas import config_schema, with_defaults
from hpaxis.settings import Config
from hpaxis.sheets import empty_sheet, participants_schema, paths_of, read_sheet, sheet_schema

# Of simulated reads, compressed.
BYTES_PER_PAIR = 150
SHEETS = ("libraries", "participants", "hair", "plates", "saliva_cortisol")


@dataclass(frozen=True)
class Study:
    """A study: the config with defaults filled, and each sheet as a typed table."""

    config: Config
    libraries: pd.DataFrame
    participants: pd.DataFrame
    hair: pd.DataFrame
    plates: pd.DataFrame
    saliva_cortisol: pd.DataFrame

    @property
    def laboratory(self) -> bool:
        """Whether it is no study of people but the validation of an assay: plates alone."""
        return self.config.sheets.participants is None

    @property
    def models(self) -> dict[str, Any]:
        """The models of the config: name to entry, in the config's order."""
        return self.config.models

    def turned(self) -> list[str]:
        """Return the amplicon libraries whose methylated cytosines read T, sorted."""
        from hpaxis.methylation.counting.chemistry import TURNED

        table = self.libraries
        return sorted(table.loc[(table["assay"] == "amplicon") & table["chemistry"].isin(TURNED), "library_id"])

    def library_ids(self, kind: str | None = None, assay: str | None = None) -> list[str]:
        """Return library ids, sorted, of one kind or assay where asked for."""
        table = self.libraries
        if kind is not None:
            table = table[table["kind"] == kind]
        if assay is not None:
            table = table[table["assay"] == assay]
        return sorted(table["library_id"])

    # Snakemake asks for these again and again: a thousand libraries are planned in seconds when they are kept.
    @cached_property
    def _library_rows(self) -> dict[str, dict[str, Any]]:
        return {str(row["library_id"]): row for row in self.libraries.to_dict("records")}  # type: ignore[misc]

    @cached_property
    def _panel_files(self) -> dict[str, list[str]]:
        folders = {name: panel_folder(name) for name in self.libraries["panel"].unique()}
        return {name: sorted(os.path.relpath(p) for p in f.iterdir() if p.is_file()) for name, f in folders.items()}

    def library(self, library_id: str) -> dict[str, Any]:
        """Return the row of a library, as a dict."""
        return self._library_rows[library_id]

    def fastq(self, library_id: str) -> list[str]:
        """Return a library's FASTQ paths: mates 1 of all its lanes, then mates 2 of all lanes where there are any."""
        row = self.library(library_id)
        return [path for c in ("fastq_1", "fastq_2") if pd.notna(row[c]) for path in paths_of(row[c])]

    def lanes(self, library_id: str) -> int:
        """Return how many files, or pairs of files, a library's reads come in."""
        return max(1, len(self.fastq(library_id)) // (2 if pd.notna(self.library(library_id)["fastq_2"]) else 1))

    def counting(self, library_id: str) -> dict[str, Any]:
        """Return what counting needs to know of an amplicon library: id, files, lanes, UMIs, chemistry."""
        return {
            "library": library_id, "files": len(self.fastq(library_id)), "lanes": self.lanes(library_id),
            "umi": self.umi(library_id), "chemistry": self.library(library_id)["chemistry"],
            "interleaved": self.library(library_id)["interleaved"] == "yes",
        }  # fmt: skip

    def batches(self, made: str | None = None) -> dict[str, list[str]]:
        """Return the amplicon libraries that are counted by one job, by the batch's name; see `counting.batches`.

        ``made``: folder whose reads the workflow makes: their size is taken from the simulation's settings, before and
        after they are there.
        """
        from hpaxis.methylation.counting.batches import batches

        settings = self.config.methylation
        found: dict[str, list[str]] = {}
        for panel in sorted(self.libraries["panel"].dropna().unique()):
            rows = self.libraries[(self.libraries["panel"] == panel) & (self.libraries["assay"] == "amplicon")]
            sizes = {name: self._bytes(name, made) for name in rows["library_id"]}
            parts = batches(sizes, settings.libraries_per_job, settings.small_library_mb * 1e6)
            found.update({f"{len(found) + i:03d}": names for i, names in enumerate(parts.values(), start=1)})
        return found

    def _bytes(self, library_id: str, made: str | None) -> float:
        paths = self.fastq(library_id)
        if made is not None and all(path.startswith(f"{made}/") for path in paths):
            return BYTES_PER_PAIR * self.config.simulation.pairs_per_library
        return sum(os.path.getsize(path) if os.path.isfile(path) else math.inf for path in paths)

    def files(self, column: str, library_ids: list[str]) -> list[str]:
        """Return the paths that a column of libraries.tsv names for some libraries, sorted, each once."""
        return sorted({self.library(name)[column] for name in library_ids})

    def counts(self, library_id: str) -> str:
        """Return the file of counts of a library, which may lie in the folder that the sheet names."""
        from hpaxis.methylation.assays.coverage import counts_file

        return counts_file(self.library(library_id)["counts"], library_id)

    def umi(self, library_id: str) -> str | None:
        """Return the pattern of a library's UMIs; None without."""
        pattern = self.library(library_id)["umi"]
        return pattern if pd.notna(pattern) else None

    def exports(self, library_ids: Iterable[str]) -> list[str]:
        """Return the paths of the exports of some libraries, sorted, each once."""
        from hpaxis.methylation.assays.pyrosequencing import export_paths

        return sorted({path for name in library_ids for path in export_paths(self.library(name)["export"])})

    def brought(self) -> dict[str, list[str]]:
        """Return every file that the study brought, by its role, as the study names it: sorted, each once.

        Roles: ``sheets``; ``tables``, which the config names beside them; ``genome``; ``panels``, their files as paths
        from the working folder; ``reads``, with counts, readings and finished levels; ``plates``, with layouts and
        finished concentrations. The plan lock is none of them: the study makes it here.
        """
        config, libraries = self.config, self.libraries
        programme = config.programme
        pool, worth, social = (programme[part] or {} for part in ("pool", "worth", "social_return"))
        found: dict[str, list[str | None]] = {
            "sheets": list(config.sheets.values()),
            "tables": [
                config.cohort.dictionary, config.cortisol.kits, config.cortisol.control_ranges,
                config.methylation.pyrosequencing.positions, worth.get("prices"), social.get("outcomes"),
                *pool.get("studies", {}).values(),
            ],
            "genome": [config.methylation.genome.fasta],
            "panels": [path for name in self.library_ids() for path in self.panel_files(name)],
            "reads": [
                *(path for name in self.library_ids() for path in self.fastq(name)),
                *libraries["bam"].dropna(), *libraries["levels"].dropna(),
                *(self.counts(name) for name in self.library_ids(assay="counts")),
                *self.exports(self.library_ids(assay="pyrosequencing")),
            ],
            "plates": [*self.plates["reader_file"].dropna(), *self.plates["layout_file"].dropna()],
        }  # fmt: skip
        return {role: sorted({path for path in paths if path}) for role, paths in found.items()}

    def people_of_libraries(self) -> dict[str, list[str | None]]:
        """Return participant, dyad and role of each study library, None where not known; by library id, sorted."""
        columns = ["dyad_id", "role"]
        people = self.participants.set_index("participant_id")[columns]
        found = self.libraries[self.libraries["kind"] == "study"].join(people, on="participant_id")
        rows = found.set_index("library_id")[["participant_id", *columns]].sort_index()
        rows = rows.astype(object).where(rows.notna(), None)
        return {name: list(values) for name, values in zip(rows.index, rows.to_numpy().tolist())}

    def panel(self, library_id: str) -> Path:
        """Return the folder of a library's panel."""
        return panel_folder(self.library(library_id)["panel"])

    def panel_files(self, library_id: str) -> list[str]:
        """Return the files of a library's panel, sorted; as paths from the working folder, so that both may move."""
        return self._panel_files[self.library(library_id)["panel"]]

    def context(self) -> dict[str, str]:
        """Return what the study's shareable summaries say of it: panel, assay, timepoint and design, as text."""
        own = self.libraries[self.libraries["kind"] == "study"]
        # Counts come from reads, here or elsewhere: a study that is run again from its counts says the same.
        assay = own["assay"].replace(dict.fromkeys(("amplicon", "genome", "counts"), "reads"))
        known = {
            key: "; ".join(sorted(column.dropna().unique())) or "none"
            for key, column in (("panel", own["panel"]), ("assay", assay))
        }
        return {**known, "timepoint": self.config.cohort.timepoint, "design": self.config.study.design}

    def plate_ids(self) -> list[str]:
        """Return the ids of the cortisol plates, sorted."""
        return sorted(self.plates["plate_id"])

    def plate(self, plate_id: str) -> pd.Series:
        """Return the row of a plate."""
        return self.plates[self.plates["plate_id"] == plate_id].iloc[0]


def read_study(config: dict[str, Any], config_file: str = "config") -> tuple[Study | None, list[Problem]]:
    """Read config and sheets. Returns ``(study, problems)``; the study is None if it cannot be built."""
    problems = check_config(config, config_file)
    if problems:
        return None, problems
    settings: Config = with_defaults(config, config_schema())
    sheets = {}
    for name in SHEETS:
        path = settings.sheets[name]
        schema = participants_schema(settings.cohort) if name == "participants" else sheet_schema(name)
        if path is None:
            sheets[name] = empty_sheet(schema)
        else:
            sheets[name], found = read_sheet(path, schema)
            problems += found
    return Study(config=settings, **sheets), problems
