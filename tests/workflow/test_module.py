"""hpaxis as a module of another workflow, as the catalogue of Snakemake workflows means it."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.workflow
OUTER = """
configfile: "study/config.yaml"


module hpaxis:
    snakefile:
        "{code}/workflow/Snakefile"
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
    (outer / "Snakefile").write_text(OUTER.format(code=checkout.folder))
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
