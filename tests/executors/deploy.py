"""Run a small study in every way that Snakemake users deploy a workflow, and compare the results byte for byte.

python tests/executors/deploy.py --design dyads [--ways git s3]

The study is a template of `hpaxis init`. It is run where it lies, and then: in another folder (--directory), as a
module of a workflow from a local path, as a module from a git address (a clone put where Snakemake keeps those that it
fetches), in the layout of the workflow catalogue, with the fs storage plugin on node-local scratch, and with a store
like Amazon's S3 (moto's server on this machine), where the data lie in the bucket alone.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from same_bytes import differences

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ["all"]
ADDRESS = "someone/hpaxis"
BUCKET = "hpaxis-test"
# What planning reads: on this machine in every way of deploying.
PLANNED = (".yaml", "libraries.tsv", "participants.tsv", "hair.tsv", "plates.tsv")
OUTER = """
configfile: "{config}"


module hpaxis:
    snakefile:
        {code}
    config:
        config


use rule * from hpaxis
"""


def snakemake(folder, *arguments, cores=2, **environment):
    """Run Snakemake in a folder for the targets; exits with what it printed where it fails."""
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--quiet", "all", *map(str, arguments)]
    command += ["--", *TARGETS]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        logs = sorted(Path(folder).rglob(".snakemake/log/*.log"))
        said = logs[-1].read_text(encoding="utf-8")[-6000:] if logs else ""
        sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-3000:]}{said}")


def write_study(design, folder):
    """Write the template; in a process of its own, in which no checkout is on the path but this one."""
    command = [sys.executable, "-m", "hpaxis", "init", design, str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": f"{ROOT}/scripts"})


def plain(study, work, cores):
    """The study's own folder, as the template says."""
    snakemake(study, "-s", ROOT / "workflow/Snakefile", "--configfile", "my_study.yaml", cores=cores)


def directory(study, work, cores):
    """Started elsewhere, with --directory."""
    arguments = ("-s", ROOT / "workflow/Snakefile", "--directory", study, "--configfile", study / "my_study.yaml")
    snakemake(work, *arguments, cores=cores)


def module(study, work, cores):
    """A module of another workflow, from a local path."""
    (study / "Snakefile").write_text(OUTER.format(config="my_study.yaml", code=f'"{ROOT}/workflow/Snakefile"'))
    snakemake(study, cores=cores)


def clone(work):
    """Put a clone of this checkout where Snakemake keeps those that it fetches; returns (commit, environment)."""
    cache, git = work / "cache", ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True, text=True).stdout:
        sys.exit("commit first: a git address gives what is committed")
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    place = cache / "snakemake/snakemake/source-cache/snakemake-git-cache/github.com" / ADDRESS
    subprocess.run(["git", "clone", "-q", "--bare", str(ROOT), str(place)], check=True)
    return commit, {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": ""}


def git(study, work, cores):
    """A module from a git address."""
    commit, environment = clone(work)
    code = f'github("{ADDRESS}", path="workflow/Snakefile", commit="{commit}")'
    (study / "Snakefile").write_text(OUTER.format(config="my_study.yaml", code=code))
    snakemake(study, cores=cores, **environment)


def catalogue(study, work, cores):
    """What snakedeploy writes for a workflow of the catalogue: workflow/Snakefile with a module, config/config.yaml."""
    commit, environment = clone(work)
    code = f'github("{ADDRESS}", path="workflow/Snakefile", commit="{commit}")'
    for name in ("workflow", "config"):
        (study / name).mkdir()
    (study / "my_study.yaml").rename(study / "config/config.yaml")
    (study / "workflow/Snakefile").write_text(OUTER.format(config="config/config.yaml", code=code))
    snakemake(study, cores=cores, **environment)


def fs(study, work, cores):
    """Node-local scratch: the fs plugin copies what a job reads there, and back what it writes."""
    scratch = work / "scratch"
    scratch.mkdir()
    snakemake(
        study, "-s", ROOT / "workflow/Snakefile", "--configfile", "my_study.yaml",
        "--default-storage-provider", "fs", "--local-storage-prefix", scratch,
        "--shared-fs-usage", "persistence", "software-deployment", "sources", "source-cache", cores=cores,
    )  # fmt: skip
    if not any(scratch.rglob("*")):
        sys.exit("nothing was ever on the scratch")


def s3(study, work, cores):
    """A store like S3: reads, plates and exports are in the bucket alone; results are fetched from it."""
    import boto3

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, keys = f"http://127.0.0.1:{port}", {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    server = subprocess.Popen(
        [str(Path(sys.executable).with_name("moto_server")), "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(240):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        store = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        store.create_bucket(Bucket=BUCKET)
        for path in sorted(p for p in study.rglob("*") if p.is_file() and not p.name.endswith(PLANNED)):
            store.upload_file(str(path), BUCKET, path.relative_to(study).as_posix())
            path.unlink()
        snakemake(
            study, "-s", ROOT / "workflow/Snakefile", "--configfile", "my_study.yaml",
            "--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{BUCKET}",
            "--storage-s3-endpoint-url", url, "--storage-s3-access-key", "test", "--storage-s3-secret-key", "test",
            cores=cores, AWS_DEFAULT_REGION="us-east-1",
        )  # fmt: skip
        if (study / "results").exists():
            sys.exit("results were written here, beside the storage")
        for page in store.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="results/"):
            for entry in page.get("Contents", []):
                place = study / entry["Key"]
                place.parent.mkdir(parents=True, exist_ok=True)
                store.download_file(BUCKET, entry["Key"], str(place))
    finally:
        server.terminate()
        server.wait()


WAYS = {way.__name__: way for way in (directory, module, git, catalogue, fs, s3)}


def main():
    """Run the study plainly, then in each way; exits 1 where a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--design", default="dyads")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--targets", nargs="+", default=["all"], help="rules, such as cortisol")
    parser.add_argument("--cores", type=int, default=2)
    given, faults = parser.parse_args(), 0
    TARGETS[:] = given.targets
    with tempfile.TemporaryDirectory(prefix="hpaxis-deploy-") as folder:
        for name in ("plain", *given.ways):
            work = Path(folder) / name
            work.mkdir()
            write_study(given.design, work / "study")
            before = time.monotonic()
            WAYS.get(name, plain)(work / "study", work, given.cores)
            seconds = time.monotonic() - before
            found = differences(Path(folder) / "plain/study/results", work / "study/results")
            faults += bool(found)
            print(f"{name}: {seconds:.0f} s, {'; '.join(found) or 'the same bytes'}", flush=True)
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
