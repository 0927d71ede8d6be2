"""The whole workflow on a small study: what comes out, what reruns, and that the bytes are the same each time."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from hpaxis.tables import read_table

pytestmark = pytest.mark.workflow
CONFIG = ("--configfile", "study/config.yaml")
_spec = importlib.util.spec_from_file_location("same_bytes", Path(__file__).parents[1] / "executors" / "same_bytes.py")
same_bytes = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(same_bytes)


def jobs(done):
    """The jobs that a dry run plans: rule to count."""
    lines = done.stdout.splitlines()
    if "job" not in " ".join(lines):
        return {}
    start = max(i for i, line in enumerate(lines) if line.startswith("job ") and "count" in line)
    rows = [line.split() for line in lines[start + 2 :]]
    planned = Counter()
    for row in rows[: next(i for i, r in enumerate(rows) if r[:1] == ["total"])]:
        planned[re.sub(r"_batch_\d+$", "", row[0])] += int(row[1])
    return dict(planned)


def test_one_run_makes_every_table_between_stages(finished):
    results = finished.folder / "results"
    libraries = read_table(results / "methylation" / "libraries.tsv")
    sheet = read_table(finished.folder / "study" / "libraries.tsv")
    assert sorted(libraries["library_id"]) == sorted(sheet["library_id"])
    analysis = read_table(results / "cohort" / "analysis.tsv")
    people = read_table(finished.folder / "study" / "participants.tsv")
    assert sorted(analysis["participant_id"]) == sorted(people["participant_id"])
    assert analysis["participant_id"].str.len().eq(5).all()
    audit = read_table(results / "cohort" / "join_audit.tsv")
    for name in ("participants", "libraries", "hair", "plates"):
        rows = len(read_table(finished.folder / "study" / f"{name}.tsv"))
        assert (audit["sheet"] == name).sum() == rows, name
    page = (results / "report" / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    for model in ("competence", "cortisol"):
        table = read_table(results / "moderation" / model / "coefficients.tsv")
        assert len(table) >= 4


def test_tests_of_one_whole_run_share_a_worker(finished, request):
    """A pytest that keeps its names elsewhere than pytest-xdist looks loses the groups, and runs the workflow twice."""
    if not request.config.getoption("loadgroup", False):
        pytest.skip("not distributed by group")
    assert request.node.nodeid.endswith("@finished")


def test_a_second_run_does_nothing(finished):
    done = finished.snakemake(*CONFIG, "--dry-run")
    assert "Nothing to be done" in done.stdout + done.stderr


def test_both_snakefiles_plan_the_same_jobs(study):
    root = jobs(study.snakemake(*CONFIG, "--dry-run"))
    nested = jobs(study.snakemake("-s", "workflow/Snakefile", *CONFIG, "--dry-run"))
    assert root == nested
    assert root["count_amplicon_reads"] >= 2


@pytest.mark.parametrize(
    "module, runs, keeps",
    [
        ("moderation/slopes.py", {"fit_model"}, {"count_amplicon_reads", "build_cohort", "quantify_plates"}),
        ("cohort/join.py", {"build_cohort", "fit_model"}, {"count_amplicon_reads", "quantify_plates"}),
    ],
)
def test_an_edited_module_reruns_what_depends_on_it(finished, tmp_path, module, runs, keeps):
    checkout = finished.copy_to(tmp_path / "checkout")
    path = checkout.folder / "scripts" / "hpaxis" / module
    path.write_text(path.read_text() + "\n# edited\n")
    planned = jobs(checkout.snakemake(*CONFIG, "--dry-run"))
    assert runs <= planned.keys()
    assert not keeps & planned.keys()


def test_a_changed_model_reruns_that_model_only(finished, tmp_path):
    checkout = finished.copy_to(tmp_path / "checkout")
    config = checkout.folder / "study" / "config.yaml"
    text = config.read_text()
    assert "  cortisol:\n" in text
    config.write_text(text.replace("  cortisol:\n", "  cortisol:\n    covariates: [age_months]\n"))
    planned = jobs(checkout.snakemake(*CONFIG, "--dry-run"))
    assert planned.get("fit_model") == 1
    assert "build_cohort" not in planned


def test_one_core_another_folder_locale_and_time_zone_give_the_same_bytes(study, finished, tmp_path):
    checkout = study.copy_to(tmp_path / "elsewhere" / "a folder with spaces")
    shutil.rmtree(checkout.folder / "study" / "truth")  # what a run never reads
    checkout.snakemake(*CONFIG, in_process=True, LC_ALL="C", TZ="Pacific/Auckland", PYTHONHASHSEED="7")
    assert same_bytes.differences(finished.folder / "results", checkout.folder / "results") == []


def test_a_killed_run_resumes_to_the_same_bytes(study, finished, tmp_path):
    checkout = study.copy_to(tmp_path / "checkout")
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *CONFIG]
    run = subprocess.Popen(
        command, cwd=checkout.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    counted = checkout.folder / "results" / "methylation" / "counts"
    deadline = time.monotonic() + 120
    while not (counted.is_dir() and len(list(counted.glob("*.tsv"))) >= 5) and time.monotonic() < deadline:
        time.sleep(0.1)
    # The whole process group at once: no job gets a chance to tidy up.
    assert run.poll() is None
    os.killpg(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert not (checkout.folder / "results" / "report" / "report.html").exists()
    checkout.snakemake("--unlock", *CONFIG)
    checkout.snakemake(*CONFIG, in_process=True)
    assert same_bytes.differences(finished.folder / "results", checkout.folder / "results") == []


def test_every_rule_has_log_benchmark_and_environment(root):
    for path in sorted((root / "workflow" / "rules").glob("*.smk")):
        for rule in path.read_text().split("\nrule ")[1:]:
            if "script:" not in rule and "shell:" not in rule:
                continue  # a stage's target: it only collects
            name = rule.split(":")[0]
            for word in ("log:", "benchmark:", "conda:"):
                assert f"    {word}" in rule, f"{path.name}: {name} has no {word}"


def test_snakemake_lint_finds_nothing(study):
    done = study.snakemake("--lint", *CONFIG, ok=None)
    said = done.stdout + done.stderr
    assert "Congratulations" in said, said[-4000:]


def test_finished_run_leaves_no_partial_file(finished):
    results = finished.folder / "results"
    hidden = {p.relative_to(results).as_posix() for p in results.rglob(".*") if p.is_file()}
    # Snakemake's own, in the two folders that are outputs as a whole.
    assert hidden == {f"methylation/{folder}/.snakemake_timestamp" for folder in ("calls", "methylpy")}


def test_a_laboratory_with_hair_only_plans_its_stage(study, tmp_path):
    checkout = study.copy_to(tmp_path / "checkout")
    config = yaml.safe_load((checkout.folder / "study" / "config.yaml").read_text())
    del config["sheets"]["libraries"], config["models"]
    (checkout.folder / "hair.yaml").write_text(yaml.safe_dump(config))
    planned = jobs(checkout.snakemake("cortisol", "--configfile", "hair.yaml", "--dry-run"))
    assert {"quantify_plates", "collect_cortisol"} <= planned.keys()
    assert "count_amplicon_reads" not in planned
