"""A study made of a folder of reads and a reference, so that data of any origin run through the same rules."""

import re
from pathlib import Path

import pandas as pd
import yaml

from hpaxis.methylation.panels.panel import make_panel, write_panel
from hpaxis.problems import Problem, raise_if_any
from hpaxis.tables import read_table, write_table

NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]+")
# As sequencers (bcl2fastq, BCL Convert) and archives name read files: sample, its number, lane, mate, part.
NAMED = re.compile(r"(?P<name>.+?)(?:_S\d+)?(?:_L\d{3})?_R?(?P<mate>[12])(?:_\d{3})?\.f(?:ast)?q(?:\.gz)?")
EXPECTED = re.compile(r"(?<![0-9])(\d{1,3}(?:\.\d+)?)pct", re.IGNORECASE)
# Such sets are often shallow, and cover only part of their reference: levels are shown from this depth on.
DEPTH = 10


def prepare_study(data, out):
    """Write a panel, the sheets and a config for a folder of reads; return the config's path.

    ``data`` holds ``reference.fa``, pairs of reads (or read 1 alone) as `NAMED` has them, lanes of one name together,
    and, where primers are known, ``primers.tsv`` (amplicon, forward_primer, reverse_primer). Every library is measured
    on its own: none serves as another's control. Raises `InputError` for what is missing.
    """
    data, out = Path(data), Path(out)
    found = find_reads(data)
    remedy = "name read files NAME_R1.fastq.gz, or as the sequencer does, NAME_S1_L001_R1_001.fastq.gz"
    problems = [] if found else [Problem(str(data), "holds no *_R1.fastq.gz", remedy)]
    problems += [
        Problem(str(data), f"has {len(two)} files of read 2 where read 1 has {len(one)}", "give lanes both", value=n)
        for n, (one, two) in found.items() if two and len(one) != len(two)
    ]  # fmt: skip
    reference = data / "reference.fa"
    if not reference.is_file():
        problems.append(Problem(str(reference), "is missing", "add the amplicons' genomic sequences"))
    raise_if_any(problems)
    primers = data / "primers.tsv"
    panel = out / "panel"
    write_panel(make_panel(reference, primers if primers.is_file() else None), panel)
    libraries = [_library(name, *paths, panel) for name, paths in found.items()]
    write_table(pd.DataFrame(libraries), out / "libraries.tsv")
    people = [{"participant_id": row["library_id"], "role": "child", "arm": "all"} for row in libraries]
    write_table(pd.DataFrame(people), out / "participants.tsv")
    config = out / "config.yaml"
    config.write_text(yaml.safe_dump(_config(out), sort_keys=False), encoding="utf-8")
    return config


def find_reads(data):
    """Name → files of read 1 and of read 2, lanes in order, of the read files of a folder."""
    found = {}
    for path in sorted(Path(data).iterdir()):
        if named := NAMED.fullmatch(path.name):
            found.setdefault(named["name"], ([], []))[int(named["mate"]) - 1].append(path)
    return {name: mates for name, mates in sorted(found.items()) if mates[0]}


def _library(name, first, second, panel):
    library = NOT_IN_IDS.sub("-", name)[:40]
    return {
        "library_id": library,
        "participant_id": library,
        "timepoint": "once",
        "kind": "study",
        "panel": str(panel),
        "fastq_1": ";".join(map(str, first)),
        "fastq_2": ";".join(map(str, second)) or None,
        "expected_percent": expected_percent(name),
    }


def expected_percent(name):
    """Known methylation, in percent, as a file name says it (``000pct``, ``12.5pct``); None when it does not."""
    found = EXPECTED.search(name)
    return float(found.group(1)) if found and float(found.group(1)) <= 100 else None


def _config(out):
    return {
        "study": {"title": "Reads of a folder", "question": "What is the methylation of each library?"},
        "sheets": {"libraries": str(out / "libraries.tsv"), "participants": str(out / "participants.tsv")},
        "arms": ["all"],
        "methylation": {"depth_fail": DEPTH, "depth_warn": DEPTH, "depth_target": DEPTH, "min_cpg_share": 0.01},
        # A study must name a model; the methylation stage does not run it.
        "pathvars": {name: str(out / name) for name in ("results", "logs", "benchmarks")},
    }


def summarise_study(out):
    """Known against estimated methylation of each library, in percent, and how many of its pairs were used.

    ``weighted``: all calls together, the figure other tools report; ``mean``: over CpGs; ``corrected``: that mean less
    non-conversion, with its interval.
    """
    results = Path(out) / "results" / "methylation"
    libraries = read_table(results / "libraries.tsv")
    rows = []
    for row in libraries.itertuples():
        calls = read_table(results / "calls" / f"{row.library_id}.cpg.tsv")
        methylpy = read_table(results / "methylpy" / f"{row.library_id}.tsv")
        rows.append({
            "library_id": row.library_id,
            "pairs": row.pairs_in,
            "used_percent": 100 * row.passed / row.pairs_in if row.pairs_in else float("nan"),
            "cpgs": int((calls["depth"] > 0).sum()),
            "calls": int(calls["depth"].sum()),
            "expected_percent": expected_percent(row.library_id),
            "weighted_percent": 100 * calls["methylated"].sum() / max(calls["depth"].sum(), 1),
            "methylpy_percent": 100 * methylpy["methylated"].sum() / max(methylpy["depth"].sum(), 1),
            "mean_percent": 100 * row.region_mean_beta_raw,
            "corrected_percent": 100 * row.region_mean_beta,
            "low_percent": 100 * row.region_mean_beta_low,
            "high_percent": 100 * row.region_mean_beta_high,
            "conversion_percent": 100 * (1 - row.non_conversion),
        })  # fmt: skip
    return pd.DataFrame(rows)
