"""Thresholds of the config, each with what falling below it means."""

from collections.abc import Callable

from hpaxis.settings import MethylationSettings


def gate(value: float, name: str, settings: MethylationSettings, show: Callable[[float], str]) -> list[tuple[str, str]]:
    """What a value below one of its thresholds (``{name}_fail``, ``_warn``, ``_target``) means: one reason or none."""
    for level, rank in (("fail", "fail"), ("warn", "warn"), ("target", "pass")):
        limit = settings[f"{name}_{level}"]
        if value < limit:
            what = "median effective depth" if name == "depth" else name
            return [(rank, f"{what} {show(value)}, below {show(limit)}{' (target)' if level == 'target' else ''}")]
    return []
