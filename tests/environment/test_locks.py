"""Every lock resolves with the pip that Python 3.11 brings and with the newest; nothing is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))
OFFLINE = (
    "No matching distribution",
    "Failed to establish",
    "Connection",
    "Temporary failure",
    "Could not fetch",
    "timed out",
)


@pytest.fixture(scope="module")
def pips(tmp_path_factory):
    """An environment for each pip; skipped where no package can be fetched."""
    found = {}
    for name, wanted in (("23.2", "pip==23.2.1"), ("newest", "pip")):
        folder = tmp_path_factory.mktemp("pip") / "venv"
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
        python = folder / "bin" / "python"
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", wanted],
            capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        if done.returncode and any(words in done.stderr for words in OFFLINE):
            pytest.skip(f"no package registry can be reached, so no lock can be resolved: {done.stderr.strip()[-200:]}")
        assert done.returncode == 0, done.stderr
        found[name] = python
    return found


@pytest.mark.skipif("LOCKS" not in os.environ, reason="fetches every package of every lock: make check-locks")
@pytest.mark.parametrize("pip", ["23.2", "newest"])
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_resolves_with_all_its_hashes(lock, pip, pips):
    options = ["--dry-run", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    done = subprocess.run(
        [str(pips[pip]), "-m", "pip", "install", *options, "-r", str(ROOT / lock)],
        capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_keeps_extras(lock):
    """pytest-cov asks for coverage[toml]: pip refuses a pin without the extra where it must check hashes."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "--hash=sha256:" in text
    for package, extra in (("coverage", "toml"), ("moto", "server")):
        if f"\n{package}==" in f"\n{text}" or f"\n{package}[" in f"\n{text}":
            assert f"\n{package}[{extra}" in f"\n{text}" or f"{package}[" in text, (
                f"{lock} pins {package} without its extra"
            )
