"""The config of a study: read, checked against its schema, and with its defaults filled in."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from hpaxis import schemas
from hpaxis.problems import Problem, closest, raise_if_any

# Settings that name a file of the study: a bundle has files of its own for them, and means the same data.
FILES = (
    ("methylation", "genome", "fasta"), ("methylation", "pyrosequencing", "positions"), ("cortisol", "kits"),
    ("cortisol", "control_ranges"), ("cohort", "dictionary"), ("moderation", "lock"),
    ("programme", "pool", "studies"), ("programme", "worth", "prices"), ("programme", "social_return", "outcomes"),
)  # fmt: skip


def without_files(config: Mapping[str, Any], at: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a config (or its section ``at``) without the paths of its `FILES`; of other studies the names stay."""
    kept: dict[str, Any] = {}
    for key, value in config.items():
        here = (*at, key)
        if here in FILES:
            if isinstance(value, Mapping):
                kept[key] = sorted(value)
        elif isinstance(value, Mapping) and any(path[: len(here)] == here for path in FILES):
            kept[key] = without_files(value, here)
        else:
            kept[key] = value
    return kept


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a config file as it is written; raises `InputError` where it is no YAML mapping."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        config = yaml.safe_load(text)
    except FileNotFoundError:
        raise_if_any([Problem(str(path), "does not exist", "give the path of your config, such as my_study.yaml")])
    except UnicodeDecodeError:
        raise_if_any([Problem(str(path), "is not UTF-8 text", "save it as UTF-8")])
    except (OSError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = None if mark is None else mark.line + 1
        raise_if_any([Problem(str(path), "cannot be read as YAML", "correct it; see config/README.md", where)])
    if not isinstance(config, dict):
        raise_if_any([Problem(str(path), "is not a config", "write `key: value` lines; see config/README.md")])
    raise_if_any(_twice(yaml.compose(text, yaml.SafeLoader), str(path)))
    return config


def keys_given_twice(path: str | Path) -> list[Problem]:
    """Return the keys that a config file gives twice, of which YAML would take the last without a word."""
    try:
        return _twice(yaml.compose(Path(path).read_text(encoding="utf-8"), yaml.SafeLoader), str(path))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []  # whoever reads the file says so


def _twice(node: Any, path: str, above: str = "") -> list[Problem]:
    """Return the keys that stand twice in a mapping, at any depth of a composed YAML document."""
    if isinstance(node, yaml.SequenceNode):
        return [problem for part in node.value for problem in _twice(part, path, above)]
    if not isinstance(node, yaml.MappingNode):
        return []
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = f"{above}{key.value}", key.start_mark.line + 1
        if name in lines:
            remedy = "keep one of the two; YAML would take the last"
            problems.append(Problem(path, f"duplicates row {lines[name]}", remedy, line, name))
        lines.setdefault(name, line)
        problems += _twice(value, path, f"{name}.")
    return problems


def checked_config(config: dict[str, Any], config_file: str = "config") -> dict[str, Any]:
    """Return a config with every default filled in; raises `InputError` with all that its schema forbids."""
    raise_if_any(check_config(config, config_file))
    return schemas.with_defaults(config, schemas.config_schema())


def check_config(config: dict[str, Any], config_file: str = "config") -> list[Problem]:
    """Return the problems of a config, one for each key at fault."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(schemas.config_schema())
    errors = sorted(validator.iter_errors(config), key=lambda e: [str(p) for p in e.absolute_path])
    found = dict.fromkeys(problem for error in errors for problem in _in_words(error, config_file))
    return [*found, *_whose(config, config_file)]


def _whose(config: dict[str, Any], config_file: str) -> list[Problem]:
    """Whether a config is a study's, with participants and arms, or the validation of an assay, with plates alone."""
    sheets = config.get("sheets") if isinstance(config, dict) else None
    if not isinstance(sheets, dict):
        return []  # the schema has said so
    given = [name for name in ("libraries", "hair", "saliva_cortisol") if sheets.get(name)]
    given = [f"sheets.{name}" for name in given] + [key for key in ("arms", "models") if config.get(key)]
    if sheets.get("participants"):
        remedy = "add the key; see config/README.md"
        return [] if config.get("arms") else [Problem(config_file, "is missing", remedy, column="arms")]
    if given or not sheets.get("plates"):
        remedy = "add the key; see config/README.md"
        if sheets.get("plates"):
            remedy = f"add the key; or leave {', '.join(given)} out, to validate an assay by its plates alone"
        return [Problem(config_file, "is missing", remedy, column="sheets.participants")]
    return []


def _in_words(error: Any, config_file: str) -> Iterable[Problem]:
    key = ".".join(str(p) for p in error.absolute_path)
    prefix = f"{key}." if key else ""
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for name in sorted(set(error.instance) - set(known), key=str):
            remedy = f"remove it{closest(name, known)}"
            yield Problem(config_file, "is not a known key", remedy, column=f"{prefix}{name}")
    elif error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                remedy = "add the key; see config/README.md"
                yield Problem(config_file, "is missing", remedy, column=f"{prefix}{name}")
    elif (
        error.validator == "type" and error.validator_value == "string" and not isinstance(error.instance, dict | list)
    ):
        said = {True: "yes, true or on", False: "no, false or off", None: "nothing"}
        what = said.get(error.instance, error.instance) if isinstance(error.instance, bool | None) else error.instance
        yield Problem(config_file, f"is read as {what}, and must be text", "write it in quotes", column=key or None)
    else:
        yield Problem(config_file, error.message, "see config/README.md for this key", column=key or None)
