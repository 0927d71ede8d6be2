"""A copy of the repository to run in, and a small study with reads, so that a test may change either."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import inprocess
import pytest
import yaml

PARTS = ("Snakefile", "workflow", "scripts", "resources", "profiles", "config", "environment.yml", "pyproject.toml")
LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "*.egg-info", ".snakemake", "results", "logs")


class Checkout:
    """A folder with its own copy of the code, in which Snakemake runs."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def snakemake(self, *arguments, ok=True, in_process=False, umask=-1, **environment):
        """Run Snakemake and return what it printed and its exit status; fail unless it ends as ``ok`` says.

        ``in_process`` spares each job the start of its own Python, and a plan has none; the first whole run and the
        killed one go without.
        """
        if in_process or {"-n", "--dry-run"} & {*arguments}:
            done = inprocess.snakemake("--cores", "1", *arguments, folder=self.folder, umask=umask, **environment)
        else:
            done = subprocess.run(
                [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
                cwd=self.folder,
                umask=umask,
                env={**os.environ, "XDG_CACHE_HOME": str(self.folder / ".cache"), **environment},
                capture_output=True,
                text=True,
                timeout=500,
            )
        if ok is not None:
            assert (done.returncode == 0) == ok, done.stdout[-3000:] + done.stderr[-6000:]
        return done

    def copy_to(self, folder):
        """Return another checkout with the same files, runs included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Checkout(folder)


def new_checkout(root, folder):
    """Copy the code of the repository to a folder."""
    folder.mkdir(parents=True)
    for part in PARTS:
        if (root / part).is_dir():
            shutil.copytree(root / part, folder / part, ignore=LEFT_BEHIND)
        else:
            shutil.copy(root / part, folder / part)
    return Checkout(folder)


def small_config(folder="study"):
    """The demo's config for 14 dyads, shallow libraries, two models and few draws."""
    config = yaml.safe_load(Path(__file__).parents[2].joinpath("config/config.yaml").read_text())
    config["models"] = {name: config["models"][name] for name in ("competence", "cortisol")}
    config["simulation"] = {"dyads": 14, "pairs_per_library": 300, "missing_percent": 5, "failing_libraries": False}
    config["moderation"] = {"draws": 199}
    return config


# Who must not be met again: written where instruments and people write such things, in the files of the small study.
CANARIES = ("Zebulon", "Quackenbush", "1987-06-05", "05.06.1987", "zebulon.q@example.org")
CANARY = "Zebulon Quackenbush, born 1987-06-05 (05.06.1987), zebulon.q@example.org"


def plant_canaries(folder):
    """Write a person into the comments of read names, and into what plate readers and pyrosequencers write."""
    for path in sorted((folder / "reads").glob("*.fastq.gz"))[:8]:
        lines = gzip.decompress(path.read_bytes()).decode("ascii").splitlines()
        lines[::4] = [f"{line} {CANARY}" for line in lines[::4]]
        path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode("ascii"), mtime=0))
    for path in sorted((folder / "plates").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        assert "Experiment File Path:\tsimulated" in text
        path.write_text(
            text.replace("Path:\tsimulated", f"Path:\tC:\\Users\\{CANARY}", 1), encoding="utf-8", newline=""
        )
    for path in sorted((folder / "exports").glob("*.txt")):
        text = path.read_text(encoding="utf-8").replace("Run Name;simulated", f"Run Name;{CANARY}", 1)
        assert CANARY in text
        someone = f"H12;first;{CANARIES[0]} {CANARIES[1]};{CANARY};2,00;Passed"
        path.write_text(f"{text}{someone}\r\n", encoding="utf-8", newline="")


def new_study(root, folder, assay="amplicon"):
    """A checkout with a small simulated study in study/, as a user's own would stand there; nothing has run yet."""
    from hpaxis.simulation.study import write_study

    checkout = new_checkout(root, folder / "checkout")
    before = os.getcwd()
    os.chdir(checkout.folder)
    try:
        write_study(small_config(), "study", assay=assay)
    finally:
        os.chdir(before)
    plant_canaries(checkout.folder / "study")
    plant_formula(checkout.folder / "study")
    return checkout


# What a spreadsheet would run: the name of a plate in a reader's file, and what hpaxis makes of it.
FORMULA, INERT = "=HYPERLINK('http://x.example','P01')", "_HYPERLINK('http://x.example','P01')"


def plant_formula(folder):
    """Call the first plate by a formula in its reader's file, and by its harmless name in plates.tsv."""
    header, first, *others = (folder / "plates.tsv").read_text(encoding="utf-8").splitlines()
    reader = Path(dict(zip(header.split("\t"), first.split("\t")))["reader_file"])
    reader = folder / "plates" / reader.name
    text = reader.read_text(encoding="utf-8")
    assert "Plate Number\tP01" in text
    reader.write_text(text.replace("Plate Number\tP01", f"Plate Number\t{FORMULA}", 1), encoding="utf-8", newline="")
    lines = [f"{header}\treader_plate", f"{first}\t{INERT}", *(f"{line}\tNA" for line in others)]
    (folder / "plates.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def checkouts(root):
    """A function that makes a checkout in a folder, without a study."""
    return lambda folder: new_checkout(root, folder)


@pytest.fixture(scope="session")
def study(root, tmp_path_factory):
    """The small study, its saliva sequenced as amplicons."""
    return new_study(root, tmp_path_factory.mktemp("workflow"))


@pytest.fixture(scope="session")
def pyrosequenced(root, tmp_path_factory):
    """The small study, its saliva read by a pyrosequencer, after one whole run."""
    checkout = new_study(root, tmp_path_factory.mktemp("pyrosequenced"), assay="pyrosequencing")
    checkout.snakemake(
        "--configfile", "study/config.yaml", "--", "all", "results/bundle/participants.zip", in_process=True
    )
    return checkout


@pytest.fixture(scope="session")
def finished(study, tmp_path_factory):
    """The same after one whole run."""
    checkout = study.copy_to(tmp_path_factory.mktemp("finished") / "checkout")
    checkout.first_run = checkout.snakemake("--configfile", "study/config.yaml")
    return checkout


@pytest.fixture(scope="session")
def canaries():
    """What nothing that a run writes may hold."""
    return CANARIES


@pytest.fixture(scope="session")
def formula():
    """What a plate of the study is called in its reader's file, and what hpaxis makes of it."""
    return FORMULA, INERT
