"""hpaxis as a module of another workflow, as the catalogue of Snakemake workflows means it."""

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.workflow
OUTER = """
configfile: "study/config.yaml"


module hpaxis:
    snakefile:
        {code}
    config:
        config


use rule * from hpaxis as hpaxis_*


rule outer:
    default_target: True
    input:
        "results/report/checksums.tsv",
    output:
        "outer.txt",
    shell:
        "wc -l < {{input}} > {{output}}"
"""


def test_another_workflow_imports_every_rule_and_runs_one(study, tmp_path):
    checkout = study.copy_to(tmp_path / "checkout")
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "study").symlink_to(checkout.folder / "study")
    (outer / "Snakefile").write_text(OUTER.format(code=f'"{checkout.folder}/workflow/Snakefile"'))
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def snakemake(*arguments):
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
        return subprocess.run(command, cwd=outer, env=environment, capture_output=True, text=True, timeout=300)

    planned = snakemake("--dry-run", "--quiet", "host", "--", "hpaxis_report")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "hpaxis_fit_model" in planned.stdout + planned.stderr
    done = snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    assert int((outer / "outer.txt").read_text()) > 50


def test_a_module_from_a_git_address_runs_without_a_checkout(study, tmp_path):
    """The clone that Snakemake would fetch is put where it keeps it; the files of one commit are unpacked once."""
    checkout, outer = study.copy_to(tmp_path / "checkout"), tmp_path / "outer"
    outer.mkdir()
    (checkout.folder / "study").rename(outer / "study")
    git = ["git", "-C", str(checkout.folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "as it stands"]):
        subprocess.run([*git, *arguments], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    clone = tmp_path / "cache/snakemake/snakemake/source-cache/snakemake-git-cache/github.com/someone/hpaxis"
    subprocess.run(["git", "clone", "-q", "--bare", str(checkout.folder), str(clone)], check=True)
    shutil.rmtree(checkout.folder)
    code = f'github("someone/hpaxis", path="workflow/Snakefile", commit="{commit}")'
    (outer / "Snakefile").write_text(OUTER.format(code=code))
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    done = subprocess.run(command, cwd=outer, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int((outer / "outer.txt").read_text()) > 50
    assert [path.name for path in (outer / ".snakemake/hpaxis/source").iterdir()] == [commit]
