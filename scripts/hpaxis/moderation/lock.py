"""The plan lock: what was decided before arms were seen, and runs on shuffled arms until it was.

A lock file holds a hash of each model's entry and of the settings that change its numbers. It is written from
the config alone. What ran is confirmatory if, and only if, its hash stands in the lock.
"""

import hashlib
import json
from pathlib import Path

import pandas as pd

from hpaxis.moderation.seeds import generator
from hpaxis.problems import InputError, Problem
from hpaxis.tables import whole_file

# Settings that change what a model's tables say; draws, figures and exploratory parts do not.
LOCKED_SETTINGS = ("alpha", "minimum_per_arm")


def plan_hash(entry, settings, arms):
    """Return the hash of one model: its entry without the title, locked settings and the order of arms."""
    plan = {
        "entry": {k: v for k, v in entry.items() if k != "title"},
        "settings": {k: settings[k] for k in LOCKED_SETTINGS},
        "arms": list(arms),
    }
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_lock(path, models, settings, arms):
    """Write the lock of all ``models``; raises `InputError` if one exists: a lock is written once."""
    if Path(path).exists():
        remedy = "keep it; a changed plan needs a new lock file, and its results are exploratory until then"
        raise InputError(Problem(str(path), "exists already", remedy))
    content = {"models": {name: plan_hash(entry, settings, arms) for name, entry in sorted(models.items())}}
    with whole_file(path) as part:
        part.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def lock_config(config, config_file):
    """Write the lock that a config (defaults filled) names; return its path.

    Raises `InputError` where it names none, and as `write_lock` does.
    """
    path = config["moderation"]["lock"]
    if path is None:
        raise InputError(Problem(config_file, "names no lock", "give its path", column="moderation.lock"))
    write_lock(path, config["models"], config["moderation"], config["arms"])
    return path


def read_lock(path):
    """Return the locked hashes by model, or None where there is no lock file.

    Raises `InputError` if it is no lock.
    """
    if path is None or not Path(path).exists():
        return None
    try:
        return dict(json.loads(Path(path).read_text(encoding="utf-8"))["models"])
    except (ValueError, KeyError, TypeError) as error:
        remedy = "restore it from version control"
        raise InputError(Problem(str(path), "is not a plan lock", remedy)) from error


def plan_table(name, entry, settings, arms, locked):
    """Return one row: model, status (confirmatory, exploratory, masked), reason, hash, locked_hash, masked.

    ``locked`` as `read_lock` gives it. Without ``settings["lock"]`` everything is exploratory; with it, and no
    lock file yet, the run is masked: its arms are shuffled.
    """
    own = plan_hash(entry, settings, arms)
    masked = settings["lock"] is not None and locked is None
    theirs = (locked or {}).get(name)
    if masked:
        status, reason = "masked", "no lock yet: arms are shuffled and no number here is a result"
    elif settings["lock"] is None:
        status, reason = "exploratory", "the study has no plan lock"
    elif theirs is None:
        status, reason = "exploratory", "the model is not in the lock"
    elif theirs != own:
        status, reason = "exploratory", "the model differs from what was locked"
    else:
        status, reason = "confirmatory", "the model is as it was locked"
    columns = ["model", "primary", "status", "reason", "hash", "locked_hash", "masked"]
    return pd.DataFrame([(name, entry["primary"], status, reason, own, theirs, masked)], columns=columns)


def shuffle_arms(table, seed):
    """Return the participants' table with arms shuffled between dyads: members of a dyad stay together.

    Numbers by arm stay; who is in which arm is not what it was. The same seed gives the same shuffle.
    """
    unit = table["dyad_id"].where(table["dyad_id"].notna(), table["participant_id"])
    first = table.assign(unit=unit).drop_duplicates("unit").sort_values("unit")
    shuffled = generator(seed, "mask").permutation(first["arm"].to_numpy())
    arms = dict(zip(first["unit"], shuffled, strict=True))
    return table.assign(arm=[arms[u] for u in unit])
