"""What of a study its plan lock binds: title, settings, sheets, panels and version; and writing the lock."""

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from hpaxis.config import FILES
from hpaxis.methylation.panels.panel import DECIDING, panel_folder
from hpaxis.moderation.lock import chosen, digest, recorded_runs, write_lock
from hpaxis.problems import InputError, Problem
from hpaxis.schemas import config_schema
from hpaxis.study.study import Study
from hpaxis.tables import read_table

# Sections of the config that change numbers; the report's, the bundle's and the demo's own do not.
SECTIONS = ("methylation", "cortisol", "cohort", "moderation")


# Paths, and how an export's positions are named: a bundle of the study gives these otherwise and means the same data.
ELSEWHERE = {*FILES, ("methylation", "pyrosequencing", "alias_scheme")}
PEOPLE = ("library_id", "participant_id", "timepoint", "kind", "expected_percent")


def facts(study: Study) -> dict[str, Any]:
    """Return what a lock holds of a study beside its models: study, settings, inputs and code.

    Settings are hashed by section, as far as they differ from the defaults, which the version stands for. Sheets are
    hashed by what they say of people, samples and plates (paths of files aside), panel folders by the bytes of what
    numbers come from: a place that only a figure shows, or a check of the reference, changes no plan.
    """
    config, schema = study.config, config_schema()["properties"]
    settings: dict[str, str] = {"seed": digest(config.seed), "arms": digest(config.arms)}
    for name in SECTIONS:
        settings[name] = digest(_bound(config[name], schema[name], (name,)))
    inputs = {
        "participants": _table(study.participants, study.participants.columns),
        "libraries": _table(study.libraries, PEOPLE),
        "hair": _table(study.hair, study.hair.columns),
        "plates": _table(study.plates, [c for c in study.plates.columns if not c.endswith("_file")]),
    }
    if not study.saliva_cortisol.empty:
        inputs["saliva_cortisol"] = _table(study.saliva_cortisol, study.saliva_cortisol.columns)
    for name in ("kits", "control_ranges"):
        path = config.cortisol[name]
        if path is not None:
            inputs[name] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    folders = [panel_folder(name) for name in study.libraries["panel"].dropna().unique()]
    inputs["panels"] = digest(sorted(_folder(folder) for folder in folders if folder.is_dir()))
    return {"study": config.study.title, "settings": settings, "inputs": inputs, "code": version("hpaxis")}


def _bound(section: Mapping[str, Any], schema: Mapping[str, Any], at: tuple[str, ...]) -> dict[str, Any]:
    """Return what a section chooses beside its defaults, at any depth, without what stands in ELSEWHERE."""
    bound = {}
    for key, value in chosen(section, schema).items():
        here = (*at, key)
        if here in ELSEWHERE:
            continue
        if any(path[:-1] == here for path in ELSEWHERE):
            value = _bound(value, schema["properties"][key], here)
            if not value:
                continue
        bound[key] = value
    return bound


def mask(study: Study) -> int | None:
    """Return the seed by which arms are shuffled while a lock is asked for and not there; None where they are shown."""
    lock = study.config.moderation.lock
    return None if lock is None or Path(lock).exists() else study.config.seed


def _folder(folder: Path) -> str:
    files = [folder / name for name in sorted(DECIDING) if (folder / name).is_file()]
    return hashlib.sha256(b"".join(p.name.encode() + p.read_bytes() for p in files)).hexdigest()


def _table(table: pd.DataFrame, columns: Iterable[str]) -> str:
    own = sorted(c for c in columns if c in table.columns and c != "row")  # their order says nothing
    return hashlib.sha256(table[own].to_csv(index=False, float_format="%.10g").encode()).hexdigest()


def lock_study(study: Study, config_file: str, results: str | Path = "results") -> str:
    """Write the lock that a study's config names, and its readable plan; return the lock's path.

    Unmasked runs that the study's log records, or that stand in ``results``, are counted in it: a plan that is locked
    after them is not confirmatory. Raises `InputError` where the config names no lock, and as `write_lock` does.
    """
    path = study.config.moderation.lock
    if path is None:
        raise InputError(Problem(config_file, "names no lock", "give its path", column="moderation.lock"))
    runs = max(recorded_runs(path), _unmasked(Path(results)))
    write_lock(path, study.models, study.config.moderation, study.config.arms, facts(study), runs)
    return str(path)


def _unmasked(results: Path) -> int:
    """How many models' results on true arms stand in a results folder."""
    plans = sorted(results.glob("moderation/*/plan.tsv"))
    return sum(1 for plan in plans if str(read_table(plan)["masked"].iloc[0]) != "True")
