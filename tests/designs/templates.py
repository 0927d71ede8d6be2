"""Run every template of `hpaxis init` as its how-to page says, trace its page, and bundle and verify it.

python tests/designs/templates.py [--design dyads ...] [--out build/templates] [--cores 2]
python tests/designs/templates.py --trace config/config.yaml      in the folder of a run, such as the demo's

For each design: the commands of docs/howto/NAME.md; every number of the page traced to the run's tables, with every
count shown and with few withheld; both bundles made, checked by `hpaxis verify`, and searched for counts of few people
(`cells.py`). A study that has run already is not run again, and one that was interrupted is finished. Prints one line
per design; exits 1 where one fails. The runs stay below --out, for `gallery.py`.
"""

import argparse
import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import time
import traceback
from pathlib import Path

import cells
import tracing
import yaml

from hpaxis.designs.catalogue import CONFIG, DESIGNS
from hpaxis.report.verify import verify_bundle
from hpaxis.study import load_study

ROOT = Path(__file__).resolve().parents[2]


def commands(name):
    """The commands of a how-to page, in order, as lists of words."""
    text = (ROOT / "docs" / "howto" / f"{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line.strip()]


def run(command, folder, cores):
    """Run a command of a page in a folder; raises `RuntimeError` with the end of what it printed."""
    words = [word.replace("$HPAXIS", str(ROOT)) for word in command]
    if words[0] == "hpaxis":
        words = [sys.executable, "-m", "hpaxis", *words[1:]]
    else:
        words = [sys.executable, str(ROOT / "tests" / "inprocess.py"), *words[1:]]
        words = [str(cores) if before == "--cores" else word for before, word in zip(["", *words], words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{(done.stdout + done.stderr)[-3000:]}")


def follow(name, out, cores):
    """Run a design as its page says; returns the study's folder."""
    study = out / name / "my_study"
    if any((study / "results" / "report" / f"{page}.html").is_file() for page in ("report", "validation")):
        return study
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    for command in commands(name):
        if command[0] == "cd":
            folder = folder / command[1]
        elif command[:2] != ["hpaxis", "init"] or not study.is_dir():
            run(command, folder, cores)
    return folder


def traced(study, config=CONFIG):
    """(numbers looked at, faults) of the page of a study that has run, at both smallest cells."""
    config = load_study(yaml.safe_load((study / config).read_text(encoding="utf-8"))).config
    looked, faults = 0, []
    for smallest, page, trace in tracing.pages(study, config):
        n, found = tracing.page_faults(trace, page)
        looked += n
        faults += [f"smallest_cell {smallest}: {fault}" for fault in found]
        if smallest:
            faults += [f"few people: {said}" for said in tracing.small_counts(page, smallest)]
    return looked, faults


def bundled(study, kind, cores):
    """Differences that verify finds in the bundle of a kind, and what it printed."""
    path = study / "results" / "bundle" / f"{kind}.zip"
    if not path.is_file():
        run(["snakemake", "-s", "$HPAXIS/workflow/Snakefile", "--configfile", CONFIG, "--cores", "1",
             f"results/bundle/{kind}.zip"], study, cores)  # fmt: skip
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        faults = verify_bundle(path, cores)
    return faults, said.getvalue()


def checked(name, study, cores):
    """What was looked at in a study that has run (the current folder), in words, and the faults found."""
    told, faults = [], []
    if name == "laboratory":  # its page is another, and it has no participants to bundle
        return told, faults
    looked, faults = traced(study)
    told.append(f"{looked} numbers traced")
    for kind in ("shared", "participants"):
        found, said = bundled(study, kind, cores)
        rerun = re.search(r"\d+ of \d+ tables", said)
        told.append(f"{kind} bundle " + ("differs" if found else "equal") + (f" ({rerun[0]})" if rerun else ""))
        faults += [f"{kind}: {fault}" for fault in found]
    return told, faults + cells.few_in_bundle(study / "results" / "bundle" / "shared.zip", study)


def main():
    """Run what is asked for, and report it line by line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--design", nargs="*", choices=list(DESIGNS), default=list(DESIGNS))
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "templates")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--only-run", action="store_true", help="run the studies, and check nothing")
    parser.add_argument("--trace", metavar="CONFIG", help="trace the page of the run in this folder, and nothing else")
    asked = parser.parse_args()
    if asked.trace:
        looked, faults = traced(Path(), asked.trace)
        print(f"{looked} numbers of the page traced, {len(faults)} faults", *faults, sep="\n  ")
        sys.exit(bool(faults))
    failed, out = 0, asked.out.resolve()
    for name in asked.design:
        begun, faults, told = time.monotonic(), [], []
        try:
            study = follow(name, out, asked.cores)
            with contextlib.chdir(study):
                if not asked.only_run:
                    told, faults = checked(name, study, asked.cores)
        except Exception as error:  # one design's failure must not hide the others
            faults.append(str(error) or traceback.format_exc())
        failed += bool(faults)
        took = time.monotonic() - begun
        print(f"{'FAIL' if faults else 'pass'}  {name}: {'; '.join(told)}  ({took:.0f} s)", flush=True)
        for fault in faults[:25]:
            print(f"        {fault}", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
