"""A built wheel holds all that a study needs: it is installed elsewhere and runs there, without the repository."""

import os
import shutil
import subprocess
import sys

import pytest

PARTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "workflow", "scripts", "resources")


@pytest.fixture(scope="module")
def installed(root, tmp_path_factory):
    """A function that runs Python in an empty folder, with the wheel of this code installed and no checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    for part in PARTS:
        copy = shutil.copytree if (root / part).is_dir() else shutil.copy
        copy(root / part, folder / "source" / part)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "source"]
    subprocess.run(build, check=True, capture_output=True)
    shutil.rmtree(folder / "source")
    (wheel,) = folder.glob("hpaxis-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, capture_output=True)
    (folder / "work").mkdir()

    def run(*arguments):
        env = {**os.environ, "PYTHONPATH": str(folder / "site")}
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=folder / "work", env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    run.folder = folder
    return run


def test_the_installed_package_is_the_wheel(installed):
    said = installed("-c", "import hpaxis.shipped as s; print(s.__file__, s.SNAKEFILE.is_file(), s.KITS.is_file())")
    assert said.split() == [str(installed.folder / "site" / "hpaxis" / "shipped.py"), "True", "True"]
    assert (installed.folder / "site" / "bin" / "hpaxis").is_file()


def test_a_study_is_made_checked_and_run_from_the_wheel(installed, root):
    small = ["--dyads", "12", "--pairs", "50", "--cores", "1"]
    installed("-m", "hpaxis", "simulate", "--configfile", root / "config" / "config.yaml", "--out", "study", *small)
    assert "no problems" in installed("-m", "hpaxis", "check", "--configfile", "study/config.yaml")
    snakefile = installed.folder / "site" / "hpaxis" / "shipped" / "workflow" / "Snakefile"
    installed("-m", "snakemake", "-s", snakefile, "--configfile", "study/config.yaml", "--cores", "1", "plot_cortisol")
    figures = installed.folder / "work" / "results" / "report" / "figures" / "cortisol"
    assert {path.name for path in figures.iterdir()} == {"curves.svg", "plates.svg", "controls.svg", "samples.svg"}
