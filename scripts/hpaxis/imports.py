"""What a script runs: the modules that it imports, found from the imports themselves, and what these read by name.

A job is given one digest of these files: an edited module reruns the jobs that import it, at any depth, and no other.
Named as inputs they would be looked up and summed by Snakemake for every job, some forty each. Imports inside
functions count, and so do the ``__init__`` files of packages on the way. Schemas and templates count where a module
that reads such files names them in a string. Statements are found by pattern, since every planning asks for them and
parsing takes seconds; a test compares them with the parser's.
"""

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hpaxis.settings import Settings
from hpaxis.shipped import ROOT, SCHEMAS

PACKAGE = "hpaxis"
# Modules whose importers name schemas: the schema of a table, of a sheet, of a section of the config.
READERS = frozenset({f"{PACKAGE}.schemas", f"{PACKAGE}.sheets", f"{PACKAGE}.tables"})
TEMPLATES = (".html", ".css")
STRING = re.compile(r'"([\w./-]{1,80})"')
# As in f"methylation_{name}": the name is one of the module's other strings.
PREFIX = re.compile(r'f"(\w+_)\{\w+\}"')
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]+)|import[ \t]+([^\n#]+))", re.MULTILINE
)
# What only the type checker reads is not run.
TYPES = re.compile(r"^if TYPE_CHECKING:\n(?:(?:[ \t][^\n]*)?\n)+", re.MULTILINE)
DEFINED = re.compile(r"^(?:(?:async )?def|class)[ ]+(\w+)|^((?:\w+, )*\w+)(?:: [^=\n]+)? = ", re.MULTILINE)


def files_of(script: Path) -> list[Path]:
    """Return the files that a script depends on, sorted: modules, schemas and templates.

    Raises ImportError for an import of this package that
    leads to no module, which could not be followed.
    """
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _named(path)
    return sorted(found - {script})


def code_of(script: Path) -> str:
    """Return one short digest of what a script runs, by the names and the bytes of its files."""
    digest = hashlib.blake2b(digest_size=12)
    for path in files_of(script):
        digest.update(path.name.encode() + b"\0" + _digest(path))
    return digest.hexdigest()


@cache
def _digest(path: Path) -> bytes:
    return hashlib.blake2b(path.read_bytes(), digest_size=12).digest()


def keys_of(script: Path, settings: Settings) -> Settings:
    """Return the settings that a script or a module that it imports reads, at every depth of sections.

    A job that is given these alone does not run again when another key changes. A key counts as read wherever an
    attribute or a string has its name, or strings have both parts of it, which one such as f"{name}_warn" may put
    together, so that none is missed.
    """
    paths = [path for path in [script, *files_of(script)] if path.suffix == ".py"]
    attributes, strings = (set[str]().union(*found) for found in zip(*map(_read, paths)))

    def read(key: str) -> bool:
        parts = key.split("_")
        pairs = (("_".join(parts[:i]), "_".join(parts[i:])) for i in range(1, len(parts)))
        return key in attributes | strings or any(first in strings and second in strings for first, second in pairs)

    def kept(value: Any) -> Any:
        return Settings({k: kept(v) for k, v in value.items() if read(k)}) if isinstance(value, Settings) else value

    return kept(settings)


@cache
def _read(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return the attributes that a module reads, of whatever object, and the words of its strings."""
    text = path.read_text(encoding="utf-8")
    strings = re.findall(r"""["'}](\w+)["'{]""", text)
    return frozenset(re.findall(r"\.(\w+)", text)), frozenset(word.strip("_") for word in strings)


def imported(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each import that a module's text runs: ``(module, names taken from it)``."""
    for module, names, plain in IMPORT.findall(TYPES.sub("", text)):
        words = re.sub(r"#[^\n]*", "", names or plain).strip("() \t\n")
        taken = tuple(word.split()[0] for word in words.split(",") if word.strip())
        yield from [(module, taken)] if module else [(name, ()) for name in taken]


@cache
def _named(path: Path) -> tuple[Path, ...]:
    """Return the files that one module names, by import or by string."""
    if path.suffix != ".py":
        return ()
    text = path.read_text(encoding="utf-8")
    modules = {name for module, taken in imported(text) for name in _modules(module, taken)}
    files = [file for name in sorted(modules) for file in _files(name)]
    strings = set(STRING.findall(text))
    files += [path.parent / s for s in sorted(strings) if s.endswith(TEMPLATES) and (path.parent / s).is_file()]
    if modules & READERS:
        schemas = _schemas()
        named = strings | {f"{prefix}{s}" for prefix in PREFIX.findall(text) for s in strings}
        files += [schemas[s] for s in sorted(named & schemas.keys())]
    return tuple(files)


def _modules(module: str, taken: tuple[str, ...]) -> Iterator[str]:
    """Yield the modules that one import runs, of this package and beside the scripts."""
    if module.split(".")[0] != PACKAGE and _file(module) is None:
        return
    yield module
    for name in taken:
        if _file(f"{module}.{name}") is not None:
            yield f"{module}.{name}"
        elif name not in _defined(module):
            raise ImportError(f"{module} does not define {name}, so that what runs is not known")


@cache
def _file(name: str) -> Path | None:
    inside = name.split(".")[0] == PACKAGE
    place = (Path(__file__).parents[1] if inside else ROOT / "scripts").joinpath(*name.split("."))
    return next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)


def _files(name: str) -> Iterator[Path]:
    """Yield the file of a module, and the ``__init__`` of each package that it lies in."""
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        file = _file(".".join(parts[:i]))
        if file is not None:
            yield file
        elif i == len(parts):
            raise ImportError(f"there is no module {name}")


@cache
def _defined(module: str) -> frozenset[str]:
    """Return the names that a module defines or imports at its top level."""
    file = _file(module)
    if file is None:
        raise ImportError(f"there is no module {module}")
    text = file.read_text(encoding="utf-8")
    names = {name for _, taken in imported(text) for name in taken}
    return frozenset(names.union(*(re.findall(r"\w+", " ".join(found)) for found in DEFINED.findall(text))))


@cache
def _schemas() -> dict[str, Path]:
    """Return the schemas by every name that code calls them by: `config/model`, `hair` for `sheets/hair`, ..."""
    paths = {p.relative_to(SCHEMAS).as_posix().removesuffix(".yaml"): p for p in sorted(SCHEMAS.rglob("*.yaml"))}
    shorter = {name.removesuffix(".schema").removeprefix("sheets/"): path for name, path in paths.items()}
    return {**shorter, **paths}
