"""References written from the schemas: of the config, by `python -m hpaxis.reference`; of tables, with `outputs`.

With `settings`, the types of the config's keys, for the type checker.
"""

import sys
from collections.abc import Mapping
from typing import Any

import yaml

from hpaxis.schemas import config_schema, load
from hpaxis.shipped import SCHEMAS

SHEETS = ("libraries", "participants", "hair", "saliva_cortisol", "plates")


def reference() -> str:
    """Return config/README.md: every key of the config and every column of the sheets, from the schemas."""
    lines = [
        "# Configuration reference",
        "",
        "*Written by `make reference` from `workflow/schemas`; a test keeps it in step.*",
        "",
        "A study is one config file and its sheets. Give another study with `--configfile my_study.yaml`; the demo's",
        "`config.yaml` is then not read at all. Unknown keys and columns are errors.",
        "",
        "## Keys of the config",
        "",
        "| key | type | default | meaning |",
        "| --- | --- | --- | --- |",
        *_key_rows(config_schema()),
        "",
        "## Sheets",
        "",
        "Tab-separated UTF-8 text with a header row; `NA` or an empty cell for missing. Columns that are not required",
        "may be left out.",
    ]
    for name in SHEETS:
        schema = load(f"sheets/{name}")
        lines += ["", f"### {schema['title']}", "", schema["description"].strip(), ""]
        lines += ["| column | required | type | default | meaning |", "| --- | --- | --- | --- | --- |"]
        for column, part in schema["properties"].items():
            required = "yes" if column in schema["required"] else "no"
            meaning = _cell(part["description"]) + _bounds(part)
            lines.append(f"| {column} | {required} | {_type(part)} | {_default(part)} | {meaning} |")
    return "\n".join(lines) + "\n"


def outputs() -> str:
    """Return the Markdown of every table that a run writes, from its schema: file, a row, columns, missing values."""
    schemas = [load(path.stem) for path in sorted(SCHEMAS.glob("*.schema.yaml"))]
    lines = [
        "# Outputs: a data dictionary",
        "",
        "Every table of the stages below `results/` that has a schema in `workflow/schemas`; it is checked against the",
        "schema when it is written. `cohort/analysis.tsv` has the study's own columns. Tables are tab-separated UTF-8",
        "text with a header row; `NA` stands for missing. Numbers have ten significant digits. `{library}`,",
        "`{plate}` and `{model}` stand for names of the study. Written by `python -m hpaxis.reference outputs`.",
    ]
    stages: dict[str, list[dict[str, Any]]] = {}
    for schema in schemas:
        title = str(schema["title"])
        stages.setdefault(title.split("/")[0] if "/" in title else "other", []).append(schema)
    for stage, found in stages.items():
        lines += ["", f"## {stage[0].upper()}{stage[1:]}"]
        for schema in sorted(found, key=lambda s: str(s["title"])):
            lines += ["", f"### `{schema['title']}`", "", _cell(schema.get("description", "")), ""]
            lines += ["| column | type | may be missing | meaning |", "| --- | --- | --- | --- |"]
            for column, part in schema["properties"].items():
                kinds = part.get("type", [])
                kinds = [kinds] if isinstance(kinds, str) else kinds
                shown = " or ".join(k for k in kinds if k != "null") or _type(part)
                missing = "yes" if "null" in kinds or None in part.get("enum", ()) else "no"
                lines.append(
                    f"| `{column}` | {shown} | {missing} | {_cell(part.get('description', ''))}{_bounds(part)} |"
                )
            for pattern, part in schema.get("patternProperties", {}).items():
                meaning = _cell(part.get("description", ""))
                lines.append(f"| names like `{_cell(pattern)}` | {_type(part)} | yes | {meaning} |")
    return "\n".join(lines) + "\n"


def settings() -> str:
    """Return settings.pyi: a class for each section of the config, with the type of every key."""
    lines = [
        '"""The keys of each section of the config. Written by `make reference` from `workflow/schemas`."""',
        "",
        "from collections.abc import Iterator, Mapping",
        "from typing import Any, Self",
        "",
        "class Settings(Mapping[str, Any]):",
        "    def __init__(self, values: Mapping[str, Any]) -> None: ...",
        "    def __getitem__(self, key: str) -> Any: ...",
        "    def __iter__(self) -> Iterator[str]: ...",
        "    def __len__(self) -> int: ...",
        "    def __or__(self, other: Mapping[str, Any]) -> Self: ...",
    ]
    return "\n".join([*lines, *_class("Config", config_schema())]) + "\n"


def _class(name: str, schema: Mapping[str, Any]) -> list[str]:
    """Return the lines of a section's class, after those of the sections in it."""
    inner: list[str] = []
    own = ["", f"class {name}(Settings):"]
    for key, part in schema["properties"].items():
        own.append(f"    {key}: {_annotation(key, part, inner)}")
    return [*inner, *own]


def _annotation(key: str, part: Mapping[str, Any], inner: list[str]) -> str:
    """Return the Python type of a key; the classes that it needs are added to ``inner``."""
    names = {"string": "str", "number": "float", "integer": "int", "boolean": "bool", "null": "None"}
    kinds = part.get("type") or [{str: "string", float: "number"}[type(v)] for v in part.get("enum", ())]
    found = [_annotation(key, other, inner) for other in part.get("anyOf", ())]
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind == "array":
            found.append(f"list[{_annotation(key, part.get('items', {}), inner)}]")
        elif kind == "object" and "properties" in part:
            found.append("".join(word.title() for word in key.split("_")) + "Settings")
            inner += _class(found[-1], part)
        elif kind == "object":
            found.append(f"dict[str, {_annotation(key.removesuffix('s'), part['additionalProperties'], inner)}]")
        else:
            found.append(names[kind])
    return " | ".join(dict.fromkeys(found)) or "Any"


def _key_rows(schema: Mapping[str, Any], prefix: str = "") -> list[str]:
    rows = []
    for key, part in schema.get("properties", {}).items():
        name = f"{prefix}{key}"
        needed = " (required)" if key in schema.get("required", ()) else ""
        nested = bool(part.get("properties"))
        default = "" if nested else _default(part)
        rows.append(
            f"| `{name}`{needed} | {_type(part)} | {default} | {_cell(part.get('description', ''))}{_bounds(part)} |"
        )
        rows += _key_rows(part, f"{name}.")
    other = schema.get("additionalProperties")
    if isinstance(other, dict) and other.get("properties"):
        rows += _key_rows(other, f"{prefix}NAME.")
    return rows


def _type(part: Mapping[str, Any]) -> str:
    kind = part.get("type", "")
    if "enum" in part:
        return " / ".join(str(v) for v in part["enum"])
    if kind == "array":
        return f"list of {_type(part.get('items', {})) or 'values'}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _default(part: Mapping[str, Any]) -> str:
    if "default" not in part:
        return ""
    text = yaml.safe_dump(part["default"], default_flow_style=True).strip().removesuffix("...").strip()
    return f"`{text}`"


def _bounds(part: Mapping[str, Any]) -> str:
    said = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    words = [f"{word} {part[rule]}" for rule, word in said.items() if rule in part]
    return f" ({', '.join(words)})" if words else ""


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


if __name__ == "__main__":
    written = {"outputs": outputs, "settings": settings}.get("".join(sys.argv[1:]), reference)
    print(written(), end="")
