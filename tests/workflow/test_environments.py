"""The conda environments and the extra locks hold what requirements.lock holds."""

import re
import tomllib

import pytest
import yaml

# Where conda-forge or bioconda call a package by another name.
CONDA_NAMES = {
    "isal": "python-isal",
    "matplotlib": "matplotlib-base",
    "parasail": "parasail-python",
    "seaborn": "seaborn-base",
    "snakemake": "snakemake-minimal",
}


def locked(path):
    """Name to version of every package in a lock."""
    return dict(re.findall(r"^([a-z0-9_.-]+)==([^ ;]+)", path.read_text(), re.MULTILINE))


def direct(root):
    """The names of the direct dependencies."""
    with open(root / "pyproject.toml", "rb") as file:
        lines = tomllib.load(file)["project"]["dependencies"]
    return [re.match(r"[A-Za-z0-9_-]+", line).group().lower() for line in lines]


def test_environment_yml_holds_the_lock(root):
    lock = locked(root / "requirements.lock")
    environment = yaml.safe_load((root / "environment.yml").read_text())
    wanted = {f"{CONDA_NAMES.get(name, name)} ={lock[name]}" for name in direct(root)}
    assert set(environment["dependencies"]) == wanted | {"python =3.11"}


@pytest.mark.parametrize("without", ["snakemake"])
def test_rule_environments_hold_the_lock(root, without):
    lock = locked(root / "requirements.lock")
    wanted = {f"{CONDA_NAMES.get(n, n)} ={lock[n]}" for n in direct(root) if n != without} | {"python =3.11"}
    found = sorted((root / "workflow" / "envs").glob("*.yaml"))
    assert found
    for path in found:
        assert set(yaml.safe_load(path.read_text())["dependencies"]) == wanted, path.name


@pytest.mark.parametrize("extra", ["test", "slurm", "site", "check"])
def test_other_locks_only_add_to_the_first(root, extra):
    lock, more = locked(root / "requirements.lock"), locked(root / f"requirements-{extra}.lock")
    assert {name: more.get(name) for name in lock} == lock


def test_every_locked_package_has_hashes_and_no_address(root):
    for path in root.glob("requirements*.lock"):
        text = path.read_text()
        assert "://" not in text
        entries = re.split(r"\n(?=[a-z0-9])", text.strip())
        assert all("--hash=sha256:" in entry for entry in entries)
        assert len(entries) > 50
