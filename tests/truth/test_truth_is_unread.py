"""The truth can be moved away: no job reads it."""

import re
import shutil
from pathlib import Path

import inprocess

ROOT = Path(__file__).parents[2]


def test_no_job_takes_the_truth_as_input(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    plan = inprocess.snakemake("-s", ROOT / "Snakefile", "-n", "--forceall", folder=tmp_path)
    assert plan.returncode == 0, plan.stderr
    blocks = re.split(r"\n(?=(?:local)?(?:rule|checkpoint) )", plan.stdout)
    jobs = [block for block in blocks if re.match(r"(?:local)?(?:rule|checkpoint) ", block)]
    planned = {re.match(r"\S+ (\w+)", job).group(1) for job in jobs}
    assert {"estimate_methylation", "collect_cortisol", "build_cohort", "fit_model", "write_report"} <= planned
    readers = {re.match(r"\S+ (\w+)", job).group(1) for job in jobs if _line_of(job, "input", "simulation/truth")}
    writers = {re.match(r"\S+ (\w+)", job).group(1) for job in jobs if _line_of(job, "output", "simulation/truth")}
    # The targets ask for it to be made, and the demo's page shows it beside the estimate; nothing else names it.
    assert readers <= {"all", "simulation", "write_report"} and writers == {"simulate_truth"}


def test_no_module_outside_the_simulator_names_the_truth():
    modules = [p for p in (ROOT / "scripts").rglob("*.py") if "simulat" not in p.as_posix()]
    assert len(modules) > 40
    named = {p.name for p in modules if "simulation/truth" in p.read_text(encoding="utf-8")}
    assert named <= {"answer.py"}  # the address of the true value on the demo's page


def _line_of(job, kind, name):
    return any(line.strip().startswith(f"{kind}:") and name in line for line in job.splitlines())
