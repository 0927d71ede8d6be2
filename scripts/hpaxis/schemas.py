"""The schemas in workflow/schemas: one source of defaults, checks and documentation."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import yaml

from hpaxis.settings import Settings
from hpaxis.shipped import SCHEMAS

# So that a config can be written again.
yaml.SafeDumper.add_representer(Settings, yaml.SafeDumper.represent_dict)

STAGES = ("methylation", "cortisol", "cohort", "moderation", "programme", "report", "simulation")
# libyaml where PyYAML has it: a job of a model reads some forty schemas, a third of a second without it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def load(name: str) -> dict[str, Any]:
    """Read ``workflow/schemas/{name}.yaml``; treat the result as read-only."""
    return yaml.load((SCHEMAS / f"{name}.yaml").read_text(encoding="utf-8"), _LOADER)


def config_schema() -> dict[str, Any]:
    """Return the schema of the whole config, with each stage's section in its place."""
    schema = deepcopy(load("config"))
    for stage in STAGES:
        schema["properties"][stage] = deepcopy(load(f"config/{stage}"))
    schema["properties"]["models"]["additionalProperties"] = deepcopy(load("config/model"))
    return schema


def with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return ``value`` with every default of ``schema`` filled in, at every depth of objects.

    Objects whose keys the schema knows come as `Settings`.
    """
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    for key, part in schema.get("properties", {}).items():
        if key not in filled and "default" in part:
            filled[key] = deepcopy(part["default"])
        if key in filled:
            filled[key] = with_defaults(filled[key], part)
    other = schema.get("additionalProperties")
    if isinstance(other, dict):
        for key in filled.keys() - schema.get("properties", {}).keys():
            filled[key] = with_defaults(filled[key], other)
    return Settings(filled) if "properties" in schema else filled
