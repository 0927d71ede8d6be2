"""The run as a Workflow Run RO-Crate: what went in, what ran, with which settings, and what came out, by checksum.

Profile: https://w3id.org/ro/wfrun/workflow/0.5, on RO-Crate 1.1. The crate holds no participant's row and no read, and
no name of a file that belongs to one participant: inputs, and outputs that come one a library or plate, stand in it
by role. It holds no time of day, so that the same run gives the same bytes; the profile's startTime, endTime and
agent are recommended, not required, and left out.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rocrate.model.computationalworkflow import ComputationalWorkflow
from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

import hpaxis
from hpaxis.report.provenance import by_role, config_digest, settings_digest, sha256

if TYPE_CHECKING:
    import pandas as pd

    from hpaxis.settings import Config

PROFILES = (
    ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5"),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
)
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
WORKFLOW = "workflow/Snakefile"
# What makes the code of a run: checksummed as one, wherever it lies and whether or not it is under git.
CODE = ("Snakefile", "workflow", "scripts", "resources")
LEFT_OUT = ("__pycache__", ".snakemake")


def run_crate(
    config: Config,
    inputs: pd.DataFrame,
    outputs: pd.DataFrame,
    plans: pd.DataFrame,
    software: Sequence[tuple[str, str]],
    code: str,
    git: Mapping[str, Any] | None = None,
) -> str:
    """Return the metadata of a run as JSON text.

    ``config``: with its defaults. ``inputs`` and ``outputs``: tables of `provenance.checksum_table`; an output whose
    role begins with ``each`` stands for one file per library or plate and is listed by role only. ``plans``: DataFrame
    model, status, hash, locked_hash (each model's plan). ``software``: list of (name, version). ``code``: SHA-256 of
    the code (`code_digest`). ``git``: dict commit, changed (`git_state`), or None without git.
    """
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(TERMS)
    crate.name = config.study.title
    crate.description = f"One run of hpaxis {hpaxis.__version__}. {config.study.question}"
    crate.license = config.study.licence
    crate.root_dataset["datePublished"] = config.study.published or hpaxis.__released__
    crate.root_dataset["conformsTo"] = [_entity(crate, at, "CreativeWork", name=n, version=v) for at, n, v in PROFILES]

    workflow = _workflow(crate, software, code, git)
    given = [_given(crate, *row) for row in _inputs(config, inputs, plans)]
    made = [_made(crate, name, digest, said) for name, digest, said in _outputs(outputs)]
    workflow["input"] = [parameter for parameter, _ in given]
    run = _entity(
        crate,
        "#run",
        "CreateAction",
        name="Run of hpaxis",
        description="From reads and plates to tables, figures and the report",
        instrument=workflow,
        object=[value for _, value in given],
        result=made,
        actionStatus="http://schema.org/CompletedActionStatus",
    )
    crate.root_dataset["mentions"] = [run]
    return json.dumps(crate.metadata.generate(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


UNPACKED = ".snakemake/hpaxis/source"


def code_digest(root: Path) -> str:
    """Return the SHA-256 over the relative paths and contents of the code below ``root``."""
    root = Path(root)
    files = [root / part for part in CODE if (root / part).is_file()]
    for part in CODE:
        files += [p for p in (root / part).rglob("*") if p.is_file()]
    within = {p: p.relative_to(root) for p in files}  # the folders above may have any name
    kept = [p for p in files if not any(n in LEFT_OUT or n.endswith(".egg-info") for n in within[p].parts)]
    lines = sorted(f"{sha256(p)}  {within[p].as_posix()}\n" for p in kept)
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


def git_state(root: Path) -> dict[str, Any] | None:
    """Return commit and whether the code differs from it, as a dict, or None if ``root`` is no git work tree's top.

    A folder that the workflow unpacked from a git address (workflow/rules/common.smk) has its commit as its name.
    """
    if Path(root).parent.match(UNPACKED):
        return {"commit": Path(root).name, "changed": False}

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != Path(root).resolve():
            return None
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "--", *CODE))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _workflow(
    crate: ROCrate, software: Sequence[tuple[str, str]], code: str, git: Mapping[str, Any] | None
) -> ComputationalWorkflow:
    language = _entity(crate, "#snakemake", "ComputerLanguage", name="Snakemake", version=dict(software)["snakemake"])
    workflow = crate.add(ComputationalWorkflow(crate, dest_path=WORKFLOW))
    crate.mainEntity = workflow
    workflow["name"] = "hpaxis"
    workflow["version"] = hpaxis.__version__
    workflow["programmingLanguage"] = language
    workflow["conformsTo"] = _entity(
        crate, "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE", "CreativeWork",
        name="Bioschemas ComputationalWorkflow", version="1.0-RELEASE",
    )  # fmt: skip
    workflow["softwareRequirements"] = [
        _entity(crate, f"#software-{name.lower()}", "SoftwareApplication", name=name, softwareVersion=version)
        for name, version in sorted(software)
    ]
    identifiers = [_value(crate, "#code", "code (SHA-256 of its files)", f"sha256:{code}")]
    if git is not None:
        said = f"{git['commit']}{' with uncommitted changes' if git['changed'] else ''}"
        identifiers.append(_value(crate, "#git", "git commit", said))
    workflow["identifier"] = identifiers
    return workflow


def _inputs(config: Config, inputs: pd.DataFrame, plans: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Name, value and what to say of it, of everything that decides what a run computes."""
    for row in by_role(inputs).itertuples():
        yield row.role, f"sha256:{row.sha256}", f"{row.files} files, {row.bytes} bytes"
    yield "config", f"sha256:{config_digest(config)}", "The config with its defaults, as sorted JSON"
    yield "settings", f"sha256:{settings_digest(config)}", "The config without its paths and simulation, as sorted JSON"
    yield "seed", str(config.seed), "Seed of everything random"
    for row in plans.itertuples():
        locked = row.locked_hash if isinstance(row.locked_hash, str) else "none"
        yield f"plan-{row.model}", f"sha256:{row.hash}", f"{row.status}; locked plan: {locked}"


def _given(crate: ROCrate, name: str, value: str, said: str) -> tuple[ContextEntity, ContextEntity]:
    """An input as the workflow's parameter and the value it had."""
    parameter = _entity(crate, f"#parameter-{name}", "FormalParameter", name=name, additionalType="PropertyValue")
    held = _value(crate, f"#input-{name}", name, value, said)
    parameter["workExample"], held["exampleOfWork"] = held, parameter
    return parameter, held


def _outputs(outputs: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Name, checksum and what to say of it, of each file, or of each role of files that belong to one participant."""
    single = ~outputs["role"].str.startswith("each ")
    for row in outputs[single].itertuples():
        yield row.file, row.sha256, f"{row.bytes} bytes"
    for row in by_role(outputs[~single]).itertuples():
        yield row.role, row.sha256, f"{row.files} files, {row.bytes} bytes; the SHA-256 of their sorted checksums"


def _made(crate: ROCrate, name: str, digest: str, said: str) -> ContextEntity:
    return _value(crate, f"#output-{name.replace(' ', '-')}", name, f"sha256:{digest}", said)


def _value(crate: ROCrate, at: str, name: str, value: str, said: str | None = None) -> ContextEntity:
    more = {} if said is None else {"description": said}
    return _entity(crate, at, "PropertyValue", name=name, value=value, **more)


def _entity(crate: ROCrate, at: str, kind: str, **properties: Any) -> ContextEntity:
    entity = crate.add(ContextEntity(crate, at, properties={"@type": kind}))
    for key, value in properties.items():
        entity[key] = value
    return entity
