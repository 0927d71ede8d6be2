"""Where the numbers come from: checksums of the inputs by role, versions, the config's digest, and how to run again."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

import hpaxis
from hpaxis.config import without_files
from hpaxis.report.blocks import Commands, Heading, Paragraph, Section, Table
from hpaxis.report.numbers import count

if TYPE_CHECKING:
    from hpaxis.settings import Config

# The direct dependencies whose code touches a number or a figure; a test keeps them in step with pyproject.toml.
PACKAGES = (
    "cutadapt",
    "isal",
    "jinja2",
    "jsonschema",
    "matplotlib",
    "methylpy",
    "numpy",
    "openpyxl",
    "pandas",
    "parasail",
    "pyreadstat",
    "pysam",
    "python-calamine",
    "python-docx",
    "pyyaml",
    "scipy",
    "seaborn",
    "snakemake",
    "statsmodels",
    "xopen",
)
CHUNK = 1 << 20


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's content, as hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def checksum_table(
    files: Iterable[tuple[str, Path | str]], code: Path | str | None = None, places: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return one row per file: role, file (as named), bytes, sha256.

    ``files`` is an iterable of (role, path). Sorted by role, in the order of first mention, then by name. What
    lies in the resources of the folder ``code`` is named from there: the table is the same wherever hpaxis stands.
    ``places``: name to the path at which a file is opened, where that differs.
    """
    files = list(dict.fromkeys((role, str(path)) for role, path in files))
    rank = {role: i for i, role in enumerate(dict.fromkeys(role for role, _ in files))}
    named = sorted(((role, _name(path, code), path) for role, path in files), key=lambda f: (rank[f[0]], f[1]))
    opened = ((role, name, (places or {}).get(path, path)) for role, name, path in named)
    rows = [(role, name, Path(path).stat().st_size, sha256(path)) for role, name, path in opened]
    return pd.DataFrame(rows, columns=["role", "file", "bytes", "sha256"])


def _name(path: str, code: Path | str | None) -> str:
    """The path as given, or from the folder of the code where it lies inside."""
    whole = Path(path).resolve()
    inside = code is not None and whole.is_relative_to(Path(code).resolve() / "resources")
    return whole.relative_to(Path(code).resolve()).as_posix() if inside else path


def by_role(checksums: pd.DataFrame) -> pd.DataFrame:
    """Return one row per role: role, files, bytes, sha256, without any name of a file.

    A role with one file has that file's checksum; with several, the SHA-256 of their sorted checksums, one per line,
    so that neither their names nor their order matter.
    """
    rows = []
    for role, files in checksums.groupby("role", sort=False):
        digests = sorted(files["sha256"])
        joined = "".join(f"{digest}\n" for digest in digests)
        whole = digests[0] if len(digests) == 1 else hashlib.sha256(joined.encode("ascii")).hexdigest()
        rows.append((role, len(files), int(files["bytes"].sum()), whole))
    return pd.DataFrame(rows, columns=["role", "files", "bytes", "sha256"])


def config_digest(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the config with defaults filled, as JSON with sorted keys; where results go is left out."""
    kept = {key: value for key, value in config.items() if key != "pathvars"}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def settings_digest(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a config decides, whatever its files are called and wherever they lie.

    Without where results go, the simulation, the paths of sheets and of other files (`hpaxis.config.FILES`), and how
    positions of exports are named: a bundle has files of its own for those, and keeps everything else.
    """
    kept = without_files({k: v for k, v in config.items() if k not in ("pathvars", "simulation", "sheets")})
    methylation = dict(kept.get("methylation", {}))
    if "pyrosequencing" in methylation:
        read = methylation["pyrosequencing"]
        methylation["pyrosequencing"] = {k: v for k, v in read.items() if k not in ("alias_scheme", "unit")}
    return config_digest({**kept, "methylation": methylation})


def versions() -> list[tuple[str, str]]:
    """Return (name, version) of hpaxis, Python and the packages that touch a number; absent ones are left out."""
    python = ".".join(platform.python_version_tuple()[:2])  # a patch release changes no number
    found = [("hpaxis", hpaxis.__version__), (platform.python_implementation(), python)]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found


def provenance_section(checksums: pd.DataFrame, config: Config, software: Sequence[tuple[str, str]]) -> Section:
    """Return the section on versions and checksums.

    ``checksums`` comes from `checksum_table`, ``config`` is the study's with defaults, ``software`` from `versions`.
    """
    roles = tuple(
        (row.role, count(row.files), count(row.bytes), _hash(row.sha256)) for row in by_role(checksums).itertuples()
    )
    blocks = (
        Paragraph(
            "The same inputs, config and environment give the same tables and figures, byte for byte, on any number "
            "of cores."
        ),
        Table(
            "Inputs by role",
            ("Role", "Files", "Bytes", "SHA-256"),
            roles,
            frozenset({"SHA-256"}),
            "Of several files: the SHA-256 of their sorted checksums, one per line. Each file’s own checksum is in "
            "report/checksums.tsv among the results (file names may identify people: not for sharing).",
            source=("report/checksums.tsv",),
        ),
        Table(
            "Versions and settings",
            ("What", "Value"),
            (
                ("Config, with defaults (SHA-256)", _hash(config_digest(config))),
                ("Seed", str(config.seed)),
                *software,
            ),
            frozenset({"Value"}),
            "The lock file of hpaxis names every further package with its hash.",
        ),
        Heading("reproduce", "How to run this again"),
        Paragraph(
            "With the code of the version above, its environment, and the study’s inputs in place, in hpaxis’ folder:"
        ),
        Commands(_commands(config)),
        Paragraph(
            "A second run does nothing; after a change of an input, a config key or the code, only what depends on it "
            "runs again. The checksums above must come out equal for the numbers to."
        ),
    )
    return Section("provenance", "Versions, checksums, and how to reproduce this page", blocks)


def _commands(config: Config) -> tuple[str, ...]:
    if "simulation" in config:
        return ("make demo",)
    return ("snakemake --cores 2 --configfile my_study.yaml   # the study’s own config",)


def _hash(text: str) -> Markup:
    return Markup('<span class="hash">{}</span>').format(text)
