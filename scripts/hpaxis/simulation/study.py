"""A simulated study on disk: sheets, reads, plates and truth, the same bytes from the same settings and seed."""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from hpaxis.config import checked_config
from hpaxis.cortisol.kits import kit_named
from hpaxis.methylation.panels.panel import panel_folder, read_panel
from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.settings import SimulationSettings
from hpaxis.simulation.cohort import Cohort, default_settings, library_plan, simulate_cohort
from hpaxis.simulation.exports import export_assays, write_exports
from hpaxis.simulation.plates import SimulatedPlate, simulate_plates
from hpaxis.simulation.reads import (
    Amplicon,
    Chemistry,
    Library,
    panel_amplicon,
    random_stream,
    simulate_reads,
    write_fastq,
)
from hpaxis.tables import whole_file, write_table

SHEETS = ("participants", "libraries", "hair", "plates")


@dataclass(frozen=True)
class Simulation:
    """A study before it is written: what was asked for and its cohort; plates are made when asked for.

    ``folder``: where the sheets say that reads and plates are.
    """

    settings: SimulationSettings
    seed: int
    amplicon: Amplicon
    cohort: Cohort
    folder: str

    @cached_property
    def plates(self) -> list[SimulatedPlate]:
        """The plates that measure the hair samples, as `plates.SimulatedPlate`."""
        arms = self.cohort.people[["participant_id", "arm"]]
        hair = self.cohort.hair.merge(self.cohort.samples, on=["hair_id", "participant_id"])
        return simulate_plates(hair.merge(arms, on="participant_id"), kit_named(self.settings.kit), self.seed)

    @property
    def libraries(self) -> list[Library]:
        """Every library as `reads.Library`, in the order of the sheet."""
        tubes = self.cohort.tubes.to_dict("records")
        levels = self.cohort.levels["level"].to_numpy().reshape(len(tubes), -1)
        return [library_plan(tube, row) for tube, row in zip(tubes, levels, strict=True)]

    def sheet(self, name: str) -> pd.DataFrame:
        """Return one of the `SHEETS`."""
        if name != "plates":
            return getattr(self.cohort, name)
        stem = f"{self.folder}/plates"
        return pd.DataFrame({
            "plate_id": [p.plate_id for p in self.plates],
            "kit": [p.kit for p in self.plates],
            "reader_file": [f"{stem}/{p.plate_id}.txt" for p in self.plates],
            "layout_file": [f"{stem}/{p.plate_id}_layout.tsv" for p in self.plates],
        })  # fmt: skip


def simulate(config: Mapping[str, Any], folder: str = "results/simulation") -> Simulation:
    """Simulate the study of a config that has a section ``simulation``, up to the tubes.

    Raises `InputError` as `simulate_cohort` does.
    """
    settings = default_settings(**config["simulation"])
    amplicon = panel_amplicon(read_panel(panel_folder(settings.panel)))
    cohort = simulate_cohort(
        settings, config["seed"], amplicon, config["arms"], config["cohort"]["timepoint"], reads=f"{folder}/reads"
    )
    return Simulation(settings, config["seed"], amplicon, cohort, folder)


def with_size(
    config: Mapping[str, Any],
    config_file: str,
    dyads: int | None = None,
    pairs: int | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Return a config, checked and with its defaults, for a study of another size or seed; None keeps the config's.

    Raises `InputError` where it has no section ``simulation``, or the schema forbids a value.
    """
    if config.get("simulation") is None:
        remedy = "name a config that has one, as config/config.yaml does"
        raise InputError(Problem(config_file, "has no section simulation", remedy))
    given = {"dyads": dyads, "pairs_per_library": pairs}
    simulation = config["simulation"] | {key: value for key, value in given.items() if value is not None}
    config = config | {"simulation": simulation} | ({} if seed is None else {"seed": seed})
    return checked_config(config, config_file)


def check_sheets(simulation: Simulation, paths: Mapping[str, str | Path]) -> None:
    """Raise `InputError` for every sheet in ``paths`` (name to path) that these settings did not write."""
    problems = []
    for name, path in paths.items():
        made = simulation.sheet(name).to_csv(sep="\t", index=False, na_rep="NA", float_format="%.10g")
        if Path(path).read_text(encoding="utf-8") != made:
            what = "is not what the simulator writes with these settings and seed"
            remedy = "run `hpaxis simulate --sheets`, or take the section simulation out of the config"
            problems.append(Problem(str(path), what, remedy))
    raise_if_any(problems)


def write_sheets(simulation: Simulation, paths: Mapping[str, str | Path]) -> None:
    """Write the `SHEETS` to ``paths`` (name to path, as the config has them)."""
    for name in SHEETS:
        write_table(simulation.sheet(name), paths[name])


def write_reads(simulation: Simulation, folder: str | Path, cores: int = 1) -> None:
    """Write ``{library_id}_R1.fastq.gz`` and ``_R2`` of every library; the bytes are the same for any ``cores``."""
    libraries = simulation.libraries
    write = partial(
        _write_library,
        libraries=libraries,
        amplicon=simulation.amplicon,
        chemistry=chemistry(simulation.settings),
        seed=simulation.seed,
        folder=Path(folder),
    )
    if cores == 1:
        list(map(write, range(len(libraries))))
        return
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(write, range(len(libraries)), chunksize=4))


def _write_library(
    index: int, libraries: list[Library], amplicon: Amplicon, chemistry: Chemistry, seed: int, folder: Path
) -> None:
    library = libraries[index]
    others = sorted(libraries, key=lambda d: d.library_id)
    donors = [d for d in others if d.library_id != library.library_id and d.own]
    blocks = simulate_reads(amplicon, library, random_stream(seed, "reads", library.library_id), donors, chemistry)
    write_fastq(blocks, *(folder / f"{library.library_id}_R{mate}.fastq.gz" for mate in (1, 2)))


def write_plates(simulation: Simulation, folder: str | Path) -> None:
    """Write what the plate reader exports, and each plate's layout."""
    for plate in simulation.plates:
        with whole_file(Path(folder) / f"{plate.plate_id}.txt") as part:
            part.write_text(plate.reader_text, encoding="utf-8", newline="")
        write_table(plate.layout, Path(folder) / f"{plate.plate_id}_layout.tsv")


def write_truth(simulation: Simulation, folder: str | Path) -> None:
    """Write what the pipeline never reads; only tests and the curious do."""
    for name, table in truth_tables(simulation).items():
        write_table(table, Path(folder) / f"{name}.tsv")


def truth_tables(simulation: Simulation) -> dict[str, pd.DataFrame]:
    """Return the truth by table: people, levels, indices, tubes, samples, wells, coefficients."""
    cohort = simulation.cohort
    panel = read_panel(panel_folder(simulation.settings.panel))
    members = cohort.levels.merge(panel.indices[["index", "cpg_id"]], on="cpg_id")
    indices = members.groupby(["library_id", "index"], as_index=False)["level"].mean()
    wells = pd.concat([p.truth for p in simulation.plates], ignore_index=True)
    return {
        "people": cohort.people,
        "levels": cohort.levels,
        "indices": indices,
        "tubes": cohort.tubes,
        "samples": cohort.samples,
        "wells": wells,
        "coefficients": cohort.coefficients,
    }


def write_study(config: Mapping[str, Any], folder: str | Path, cores: int = 1, assay: str = "amplicon") -> None:
    """Write a whole study to ``folder``: config.yaml, sheets, reads (or exports), plates and truth.

    ``config``: a config with a section ``simulation``; the one that is written has none, since its reads are
    there. Paths in it start with ``folder`` as given. ``assay``: amplicon, or pyrosequencing, which measures the same
    tubes at the CpGs of `exports.export_assays`; then the models' predictor is the index over these.
    """
    folder = Path(folder)
    simulation = simulate(config, folder.as_posix())
    if assay == "pyrosequencing":
        config = _pyrosequenced(simulation, config, folder)
    else:
        write_reads(simulation, folder / "reads", cores)
    write_plates(simulation, folder / "plates")
    write_truth(simulation, folder / "truth")
    paths = {name: (folder / f"{name}.tsv").as_posix() for name in SHEETS}
    write_sheets(simulation, paths)
    kept = {key: value for key, value in config.items() if key != "simulation"} | {"sheets": paths}
    with whole_file(folder / "config.yaml") as part:
        part.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")


def _pyrosequenced(simulation: Simulation, config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write the exports, name them in the sheet of libraries, and return a config that reads them."""
    panel = read_panel(panel_folder(simulation.settings.panel))
    cohort, sheet = simulation.cohort, simulation.cohort.libraries
    found = write_exports(cohort.levels, cohort.tubes, panel, simulation.seed, folder / "exports")
    sheet["assay"] = "pyrosequencing"
    sheet["export"] = [";".join(found[name]) for name in sheet["library_id"]]
    sheet[["fastq_1", "fastq_2", "well"]] = None
    positions = {"positions": (folder / "exports" / "positions.tsv").as_posix()}
    measured = {c for cpgs in export_assays(panel).values() for c in cpgs}
    indices = {name: set(rows["cpg_id"]) <= measured for name, rows in panel.indices.groupby("index", sort=False)}
    known = [f"{name}_beta" for name, whole in indices.items() if whole]
    models = {}
    for name, entry in config["models"].items():
        entry = {**entry, "predictor": entry["predictor"] if entry["predictor"] in known else known[0]}
        models[name] = entry | ({"family": known} if "family" in entry else {})
    methylation = {**config.get("methylation", {}), "pyrosequencing": positions}
    moderation = dict(config.get("moderation", {}), lock=None)
    if moderation.get("multiverse"):
        moderation["multiverse"] = {**moderation["multiverse"], "predictors": known}
    return {**config, "methylation": methylation, "models": models, "moderation": moderation}


def chemistry(settings: SimulationSettings) -> Chemistry:
    """Return what all libraries of a run share, from the config section."""
    return Chemistry(
        molecule_correlation_bp=settings.molecule_correlation_bp,
        amplification_cv=settings.amplification_cv,
        indels=settings.indel_percent / 100,
        low_quality=settings.low_quality_percent / 100,
    )
