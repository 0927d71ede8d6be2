"""The plan lock: what was decided before arms were seen, and runs on shuffled arms until it was.

A lock binds: it holds each model's entry, hashes of all settings that change a number, of the sheets and the panels,
hpaxis' version and the study's title. What ran is confirmatory if, and only if, all of it is as it was locked, and no
unmasked run was recorded before. Runs are recorded in a log beside the lock, each line with the hash of the one before.
docs/moderation.md says what a lock cannot prove.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpaxis.moderation.seeds import generator
from hpaxis.problems import InputError, Problem
from hpaxis.schemas import load, with_defaults
from hpaxis.settings import ModerationSettings
from hpaxis.tables import whole_file

FORMAT = 2
# Settings of the moderation section that are part of each model's own hash.
LOCKED_SETTINGS = ("alpha", "minimum_per_arm")
CONFIRMATORY, EXPLORATORY, MASKED = "confirmatory", "exploratory", "masked"
DATA_CHANGED, TOO_LATE = "data changed after the lock", "locked after results existed"
COLUMNS = ["model", "primary", "status", "reason", "hash", "locked_hash", "masked"]
# What a readable plan says of every model, whether it is a default or not.
SHOWN = (
    "outcome", "predictor", "moderator", "reference", "covariates", "population", "keep", "scale", "standardise",
    "covariance", "cluster", "smallest_slope",
)  # fmt: skip
# Columns of an entry that may reveal the arm by themselves, and go with it under a mask.
TELLING = ("moderator", "dose", "received", "cluster", "group")
# Equal values that lie in one arm each by chance: fewer than so many say nothing of who is in which arm.
CHANCE = 10


def digest(value: object) -> str:
    """Return the SHA-256 of a value as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def chosen(value: Mapping, schema: Mapping) -> dict:
    """Return what a mapping says beside its schema's defaults: a new key at its default is no change of a plan."""
    defaults = with_defaults({}, schema)
    return {key: v for key, v in value.items() if key not in defaults or v != defaults[key]}


def planned(entry: dict) -> dict:
    """Return what is locked of a model's entry: its choices, without the title."""
    return {k: v for k, v in chosen(entry, load("config/model")).items() if k != "title"}


def plan_hash(entry: Mapping[str, Any], settings: Mapping[str, Any], arms: Sequence[str]) -> str:
    """Return the hash of one model: its choices without the title, locked settings and the order of arms."""
    locked = {k: settings[k] for k in LOCKED_SETTINGS}
    return digest({"entry": planned(entry), "settings": locked, "arms": list(arms)})


def write_lock(
    path: Path | str,
    models: Mapping[str, Mapping[str, Any]],
    settings: ModerationSettings,
    arms: Sequence[str],
    facts: Mapping[str, Any] | None = None,
    runs: int = 0,
) -> None:
    """Write the lock of all ``models`` and a readable plan (markdown) beside it.

    ``facts`` are the study's (see `hpaxis.study.plan.facts`); ``runs``: how many unmasked runs were recorded before.
    Raises `InputError` if a lock exists, since it is written once, and for plans that decide nothing: no model, or
    several and none of them primary.
    """
    problems = []
    if Path(path).exists():
        remedy = "keep it; a changed plan needs a new lock file, and its results are exploratory until then"
        problems.append(Problem(str(path), "exists already", remedy))
    if not models:
        problems.append(Problem(str(path), "would lock no model", "plan at least one model under models"))
    elif len(models) > 1 and not any(entry["primary"] for entry in models.values()):
        remedy = "mark the one that answers the question: primary: true"
        problems.append(Problem(str(path), "would lock several models, none of them primary", remedy))
    if problems:
        raise InputError(problems)
    content = {
        "format": FORMAT,
        "models": {name: plan_hash(entry, settings, arms) for name, entry in sorted(models.items())},
        "plan": {name: planned(entry) for name, entry in sorted(models.items())},
        "unmasked_runs_before": runs,
        **(facts or {}),
    }
    with whole_file(path) as part:
        part.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    with whole_file(plan_path(path)) as part:
        part.write_text(plan_text(content, arms, settings), encoding="utf-8")


def plan_path(path: Path | str) -> Path:
    """Return the path of the readable plan beside a lock."""
    return Path(path).with_suffix(".md")


def plan_text(content: dict, arms: Sequence[str], settings: ModerationSettings) -> str:
    """Return the plan as a page for a registry: study, each model's choices, settings, hashes."""
    lines = [f"# Plan of analysis: {content.get('study', 'study without a title')}", ""]
    lines += [f"Arms: {', '.join(arms)}; the first is the reference. Level {settings.alpha:g}, two-sided.", ""]
    if content["unmasked_runs_before"]:
        lines += [f"**{_late(content)} before this plan was locked: nothing here is confirmatory.**", ""]
    for name, entry in content["plan"].items():
        lines += [f"## {name}{' (primary)' if entry.get('primary') else ''}", ""]
        whole = with_defaults(entry, load("config/model"))
        shown = [*SHOWN, *(key for key in entry if key not in (*SHOWN, "primary"))]
        lines += [f"- {key}: {_words(whole[key])}" for key in shown]
        lines += [f"- hash: `{content['models'][name]}`", ""]
    for title, key in (("Settings other than the defaults", "settings"), ("Sheets and panels", "inputs")):
        if content.get(key):
            lines += [f"## {title}", "", *(f"- {name}: `{value}`" for name, value in content[key].items()), ""]
    lines += [f"hpaxis {content.get('code', 'of an unknown version')}.", ""]
    return "\n".join(lines)


def _words(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k} = {_words(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def read_lock(path: Path | str | None) -> dict[str, Any] | None:
    """Return what a lock holds, or None where there is no lock file; raises `InputError` if it is no lock."""
    if path is None or not Path(path).exists():
        return None
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return {**content, "models": dict(content["models"])}
    except (ValueError, KeyError, TypeError) as error:
        remedy = "restore it from version control"
        raise InputError(Problem(str(path), "is not a plan lock", remedy)) from error


def plan_table(
    name: str,
    entry: Mapping[str, Any],
    settings: ModerationSettings,
    arms: Sequence[str],
    locked: Mapping[str, Any] | None,
    facts: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return one row: model, primary, status, reason, hash, locked_hash, masked.

    ``locked`` as `read_lock` gives it, ``facts`` the study's as they are now. Without ``settings.lock`` everything
    is exploratory; with it, and no lock file yet, the run is masked: its arms are shuffled.
    """
    own = plan_hash(entry, settings, arms)
    theirs = (locked or {}).get("models", {}).get(name)
    masked = settings.lock is not None and locked is None
    if masked:
        status, reason = MASKED, "no lock yet: arms are shuffled and no number here is a result"
    elif settings.lock is None:
        status, reason = EXPLORATORY, "the study has no plan lock"
    else:
        status, reason = _standing(name, entry, own, theirs, locked, facts)
    return pd.DataFrame([(name, entry["primary"], status, reason, own, theirs, masked)], columns=COLUMNS)


def _standing(
    name: str,
    entry: Mapping[str, Any],
    own: str,
    theirs: str | None,
    locked: Mapping[str, Any],
    facts: Mapping[str, Any] | None,
) -> tuple[str, str]:
    """Status and reason of a model under a lock: the first thing that is not as it was locked."""
    facts = facts or {}
    if facts and locked.get("study") != facts["study"]:
        return EXPLORATORY, f"the lock is of another study, {locked.get('study', 'one without a title')}"
    if theirs is None:
        return EXPLORATORY, "the model is not in the lock"
    if theirs != own:
        return EXPLORATORY, f"the model differs from what was locked{_differing(planned(entry), locked, name)}"
    changed = _changed(locked.get("settings", {}), facts.get("settings", {}))
    if facts and changed:
        return EXPLORATORY, f"settings differ from what was locked: {', '.join(changed)}"
    if facts and locked.get("code") != facts["code"]:
        return EXPLORATORY, f"hpaxis {facts['code']} ran, {locked.get('code', 'an unknown version')} was locked"
    if locked.get("unmasked_runs_before", 0):
        return TOO_LATE, f"{_late(locked)} before the plan was locked"
    changed = _changed(locked.get("inputs", {}), facts.get("inputs", {}))
    if facts and changed:
        return DATA_CHANGED, f"the model is as it was locked, these are not: {', '.join(changed)}"
    if facts:
        return CONFIRMATORY, "model, settings, sheets, panels and version are as they were locked"
    return CONFIRMATORY, "the model is as it was locked"


def _late(locked: Mapping[str, Any]) -> str:
    runs = locked["unmasked_runs_before"]
    return "1 unmasked run was recorded" if runs == 1 else f"{runs} unmasked runs were recorded"


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))


def _differing(entry: Mapping[str, Any], locked: Mapping[str, Any], name: str) -> str:
    """The keys of an entry that are not as they were locked, in words; empty for locks without a readable plan."""
    if "plan" not in locked:
        return ""
    keys = _changed(locked["plan"].get(name, {}), entry)
    return f": {', '.join(keys or [*LOCKED_SETTINGS[:-1], f'{LOCKED_SETTINGS[-1]} or the order of arms'])}"


# The log of unmasked runs.


def log_path(lock: Path | str) -> Path:
    """Return the path of the log of unmasked runs of a study, beside its lock."""
    return Path(f"{lock}.runs")


def record_run(lock: Path | str, model: str, status: str, own: str, study: str) -> None:
    """Append an unmasked run of a model to the study's log; each line ends with the hash of it and of all before."""
    path = log_path(lock)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        log.seek(0)
        lines = log.read().splitlines()
        line = f"{len(lines) + 1}\t{model}\t{status}\t{own}\t{json.dumps(study)}"
        last = lines[-1].rpartition("\t")[2] if lines else ""
        log.write(f"{line}\t{hashlib.sha256((last + line).encode()).hexdigest()}\n")


def recorded_runs(lock: Path | str) -> int:
    """Return how many unmasked runs a study's log holds; raises `InputError` where a line was changed or removed."""
    path = log_path(lock)
    if not path.exists():
        return 0
    last = ""
    lines = path.read_text(encoding="utf-8").splitlines()
    for i, text in enumerate(lines, start=1):
        line, _, own = text.rpartition("\t")
        if own != hashlib.sha256((last + line).encode()).hexdigest() or not line.startswith(f"{i}\t"):
            remedy = "restore it from version control"
            raise InputError(Problem(str(path), "is not what hpaxis wrote: the log of runs only grows", remedy, row=i))
        last = own
    return len(lines)


# Masks.


def shuffle_arms(table: pd.DataFrame, seed: int, entry: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return the participants' table with arms shuffled between dyads: members of a dyad stay together.

    Numbers by arm stay; who is in which arm is not what it was. The same seed gives the same shuffle. With a model's
    ``entry``, what could reveal the arm goes with it: a moderator of any kind, dose, treatment received, clusters, kept
    rows, and every column of the model whose values do not overlap between arms.
    """
    columns = ["arm"] if entry is None else telling_columns(table, entry)
    return _shuffled(table, generator(seed, "mask"), columns)


def _shuffled(table: pd.DataFrame, rng: np.random.Generator, columns: Sequence[str]) -> pd.DataFrame:
    """The table with ``columns`` moved between dyads."""
    unit = dyads(table).to_numpy()
    order = np.unique(unit)
    source = dict(zip(order, rng.permutation(order), strict=True))
    role = table["role"].to_numpy() if "role" in table else np.full(len(table), "")
    of_member, of_unit = {}, {}
    for i, (u, r) in enumerate(zip(unit, role, strict=True)):
        of_member[u, r] = i
        of_unit.setdefault(u, i)
    rows = [of_member.get((source[u], r), of_unit[source[u]]) for u, r in zip(unit, role, strict=True)]
    return table.assign(**{c: table[c].to_numpy()[rows] for c in columns})


def dyads(table: pd.DataFrame) -> pd.Series:
    """Return what is shuffled as one: each row's dyad, or the participant who has none."""
    return table["dyad_id"].where(table["dyad_id"].notna(), table["participant_id"])


def masked_table(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the participants' table with arms shuffled, and with them every column that shows who is in which.

    What a masked study writes for people to read holds this table: with the arms as they are, anyone could look.
    """
    named = ("arm", "participant_id", "dyad_id", "role")
    telling = [c for c in table if c not in named and tells_arm(table[c], table["arm"], dyads(table))]
    return _shuffled(table, generator(seed, "mask", "table"), ["arm", *telling])


def telling_columns(table: pd.DataFrame, entry: Mapping[str, Any]) -> list:
    """Return the columns that go with the arm under a mask, arm first."""
    named = ["arm", *(entry[key] for key in TELLING if entry.get(key)), *entry["keep"]]
    single = (entry.get(key) for key in ("mediator", "mechanism", "weights"))
    others = [*entry["covariates"], *entry["auxiliary"], *(c for c in single if c)]
    named += [c for c in others if c in table and tells_arm(table[c], table["arm"], dyads(table))]
    return [c for c in dict.fromkeys(named) if c in table]


def tells_arm(column: pd.Series, arm: pd.Series, unit: pd.Series | None = None) -> bool:
    """Whether a column says who is in which arm: its values do not overlap between arms, or one arm has none.

    A value that members of a dyad share (``unit``) counts once.
    """
    there = column.notna().groupby(arm, observed=True).mean()
    if (there == 0).any() and (there > 0).any():
        return True
    known = column.notna() & arm.notna()
    if unit is not None:
        known &= ~pd.DataFrame({"unit": unit, "value": column}).duplicated()
    column, arm = column[known], arm[known]
    if column.nunique() < 2 or arm.nunique() < 2:
        return False
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > 2:
        ranges = sorted(column.groupby(arm, observed=True).agg(["min", "max"]).to_numpy().tolist())
        if all(a[1] < b[0] for a, b in pairwise(ranges)):
            return True
    several = column.value_counts()
    several = several[several > 1]
    if (several - 1).sum() < min(CHANCE, len(column) / 2):
        return False
    common = column.isin(several.index)
    return bool((arm[common].groupby(column[common], observed=True).nunique() == 1).all())
