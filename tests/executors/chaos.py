"""Harm runs of a small study at random points, rerun, and compare the bytes with a run left in peace.

python tests/executors/chaos.py --points 50 --seed 1 [--faults kill_workflow,disk_full]     (or `make test-chaos`)

Each run meets every fault once, in random order and at random points, and is rerun each time. After each fault,
whatever stands under its final name in results/ must be whole: the bytes of the undisturbed run, unless Snakemake
itself has marked it incomplete. At the end all bytes must be those of the undisturbed run.
Disk full and read-only need root on Linux (they mount), clock jump needs Debian's faketime.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "workflow"), str(HERE.parents[1] / "scripts")]

from conftest import new_checkout, small_config  # noqa: E402
from same_bytes import differences, digests  # noqa: E402

COMMAND = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "rules", "--configfile", "study/config.yaml"]
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


@dataclass
class Run:
    """One Snakemake run in a process group of its own, and the folder it runs in."""

    folder: Path
    environment: dict = field(default_factory=dict)

    def __post_init__(self):
        self.log = open(self.folder / "chaos.log", "ab")  # noqa: SIM115 (closed in `end`)
        self.process = subprocess.Popen(
            COMMAND, cwd=self.folder, stdout=self.log, stderr=self.log, start_new_session=True,
            env={**os.environ, "XDG_CACHE_HOME": str(self.folder / ".cache"), **self.environment},
        )  # fmt: skip

    def wait_for(self, files):
        """Wait until results/ holds so many files, or the run has ended; say whether it still runs."""
        while self.process.poll() is None:
            if count(self.folder / "results") >= files:
                return True
            time.sleep(0.05)
        return False

    def jobs(self):
        """The process ids of the jobs (scripts) that run now."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                group = int((path / "stat").read_text().rsplit(")", 1)[1].split()[2])
                words = (path / "cmdline").read_bytes()
            except (OSError, ValueError):
                continue
            if group == self.process.pid and b".snakemake/scripts/" in words:
                found.append(int(path.name))
        return sorted(found)

    def kill(self):
        """SIGKILL to the whole group: neither Snakemake nor a job can tidy up. Say whether it came in time."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.end() == -signal.SIGKILL

    def end(self):
        """Wait for the end and return the exit status."""
        status = self.process.wait()
        self.log.close()
        return status


def count(folder):
    """How many whole files a folder holds; what is still being written has a name with a leading dot."""
    return sum(not name.startswith(".") for _, _, names in os.walk(folder) for name in names)


# Each fault lets a run go on in `folder`, harms it once `files` files are there, and returns with no process left:
# whether it struck before the run was done.
def kill_workflow(folder, files, chance):
    """SIGKILL of Snakemake and every job."""
    run = Run(folder)
    if run.wait_for(files):
        time.sleep(chance.uniform(0, 1))
    return run.kill()


def kill_job(folder, files, chance):
    """SIGKILL of one job, as an out-of-memory killer does."""
    run, struck = Run(folder), False
    running = run.wait_for(files)
    while running and not struck and run.process.poll() is None:
        for job in chance.sample(jobs := run.jobs(), min(1, len(jobs))):
            time.sleep(chance.uniform(0, 0.5))
            with suppress(ProcessLookupError):
                os.kill(job, signal.SIGKILL)
                struck = True
    return run.end() != 0 and struck


def disk_full(folder, files, chance):
    """results/ on a tmpfs with little space left."""
    results, kept = folder / "results", folder / "kept"
    results.mkdir(exist_ok=True)
    used = sum(-(-p.stat().st_size // 4096) * 4 for p in results.rglob("*") if p.is_file())
    results.rename(kept)
    results.mkdir()
    space = f"size={used + chance.randint(40, 1500)}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", space, "tmpfs", str(results)], check=True)
    try:
        shutil.copytree(kept, results, dirs_exist_ok=True)
        status = Run(folder).end()
        shutil.rmtree(kept)
        shutil.copytree(results, kept)
    finally:
        subprocess.run(["umount", str(results)], check=True)
    results.rmdir()
    kept.rename(results)
    return status != 0


def read_only(folder, files, chance):
    """results/ turns read-only in the middle of the run."""
    results = folder / "results"
    results.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", str(results), str(results)], check=True)
    try:
        run = Run(folder)
        running = run.wait_for(files)
        # Busy while a file is being written: again, until a moment comes.
        while subprocess.run(["mount", "-o", "remount,ro,bind", str(results)], stderr=subprocess.DEVNULL).returncode:
            if run.process.poll() is not None:
                running = False
                break
        status = run.end()
    finally:
        subprocess.run(["umount", str(results)], check=True)
    return running and status != 0


def clock_jump(folder, files, chance):
    """Killed while the clock stood days off: the next run sees files of the future, or of the past."""
    days = chance.choice([-400, -1, 1, 400])
    run = Run(folder, {"LD_PRELOAD": FAKETIME, "FAKETIME": f"{days:+d}d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    run.wait_for(files)
    struck = run.kill()
    # Snakemake refuses outputs that are older than inputs from the future; docs/hpc.md says to date them now.
    now = time.time()
    for path in folder.rglob("*"):
        if path.stat(follow_symlinks=False).st_mtime > now:
            os.utime(path, (now, now), follow_symlinks=False)
    return struck


FAULTS = {f.__name__: f for f in (kill_workflow, kill_job, disk_full, read_only, clock_jump)}
# What each needs beside Python.
POSSIBLE = {
    "disk_full": lambda: sys.platform == "linux" and os.geteuid() == 0,
    "read_only": lambda: sys.platform == "linux" and os.geteuid() == 0,
    "clock_jump": lambda: Path(FAKETIME).exists(),
}


def marked_incomplete(folder):
    """The outputs that Snakemake itself knows it must make again."""
    import base64

    names = (p.name for p in (folder / ".snakemake" / "incomplete").glob("**/*") if p.is_file())
    return {base64.b64decode(name + "==", altchars=b"-_").decode(errors="replace") for name in names}


def partial_files(folder, whole):
    """Files under their final name that are not the undisturbed run's, and that nobody has marked, nor their folder."""
    marked = marked_incomplete(folder)
    found = digests(folder / "results") if (folder / "results").exists() else {}
    return [
        name
        for name, digest in found.items()
        if not Path(name).name.startswith(".")
        and whole.get(name) != digest
        and not marked & {f"results/{name}", f"results/{Path(name).parent}"}
    ]


def harm(names, study, whole, where, chance):
    """One run that meets every fault of `names` in random order, each rerun until the next, and then to its end.

    Returns the faults that struck, and what went wrong as a list of lines.
    """
    folder = where / "harmed"
    shutil.copytree(study.folder, folder, symlinks=True)
    struck, wrong = [], []
    points = sorted(chance.randrange(len(whole)) for _ in names)
    for name, point in zip(chance.sample(names, len(names)), points, strict=True):
        files = max(point, count(folder / "results") + 1)
        if FAULTS[name](folder, files, chance):
            struck.append(name)
        wrong += [f"{name}: partial but taken for whole: {p}" for p in partial_files(folder, whole)]
        subprocess.run([*COMMAND, "--unlock"], cwd=folder, check=True, capture_output=True)
    if Run(folder).end() != 0:
        wrong.append(f"the rerun failed: {(folder / 'chaos.log').read_text()[-800:]}")
    wrong += differences(study.results, folder / "results")
    shutil.rmtree(folder)
    return struck, wrong


def main():
    """Harm runs until enough faults struck and print a table of counts; exit 1 if one was not survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=50, help="faults to inject at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", default=",".join(FAULTS), help="which, by name")
    given = parser.parse_args()
    asked = given.faults.split(",")
    names = [n for n in asked if POSSIBLE.get(n, lambda: True)()]
    for name in sorted(set(asked) - set(names)):
        print(f"{name}: not possible on this machine (see --help)")
    injected, bad, rounds = Counter(), 0, 0
    with tempfile.TemporaryDirectory(prefix="hpaxis-chaos.") as scratch:
        study = peaceful(Path(scratch))
        whole = digests(study.results)
        while injected.total() < given.points:
            rounds += 1
            struck, wrong = harm(names, study, whole, Path(scratch), random.Random(f"{given.seed} {rounds}"))
            injected.update(struck)
            bad += bool(wrong)
            print(f"run {rounds}: {', '.join(struck)}: {'; '.join(wrong[:3]) or 'same bytes'}", flush=True)
    print("\nfault\tinjected")
    for name in names:
        print(f"{name}\t{injected[name]}")
    print(
        f"{injected.total()} faults in {rounds} runs; {rounds - bad} ended in the same bytes, {len(whole)} files each"
    )
    sys.exit(bool(bad))


def peaceful(where):
    """A checkout with a small study, and the results of a run that nothing disturbs beside it."""
    from hpaxis.simulation.study import write_study

    study = new_checkout(HERE.parents[1], where / "study")
    os.chdir(study.folder)
    write_study(smallest_config(), "study")
    done = where / "undisturbed"
    shutil.copytree(study.folder, done, symlinks=True)
    if Run(done).end() != 0:
        sys.exit((done / "chaos.log").read_text())
    study.results = done / "results"
    return study


def smallest_config():
    """The small study of the workflow's tests, with one model: fifty reruns take their time."""
    config = small_config()
    config["simulation"] |= {"dyads": 12, "pairs_per_library": 200}
    config["models"] = {"competence": config["models"]["competence"]}
    return config


if __name__ == "__main__":
    main()
