"""Snakemake in a process forked from one that has imported it, with every script run in that process.

The same jobs and files as by Snakemake's own command on one core, without a start of Python for each of them, which
takes longer than the work. The first process holds libraries alone, no code of hpaxis: a checkout runs its own.
"""

import logging
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
LIBRARIES = [
    "snakemake.cli", "snakemake.api", "snakemake.script", "sqlmodel", "boto3", "numpy", "pandas", "scipy.stats",
    "scipy.optimize", "scipy.interpolate", "statsmodels.api", "matplotlib.pyplot", "matplotlib.backends.backend_svg",
    "seaborn", "pysam", "parasail", "jsonschema", "openpyxl", "docx",
]  # fmt: skip
forked = multiprocessing.get_context("forkserver")
forked.set_forkserver_preload(LIBRARIES)


def snakemake(*arguments, folder, timeout=500, umask=-1, **environment):
    """Run Snakemake in ``folder``; returns what `subprocess.run` does. Raises TimeoutExpired after ``timeout`` s.

    With an ``environment`` of its own, such as a locale, the process is a new Python, which alone takes all of it.
    """
    arguments, folder = [*map(str, arguments)], str(folder)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if environment:
        command = [sys.executable, __file__, *arguments]
        return subprocess.run(command, cwd=folder, umask=umask, env={**os.environ, **environment}, timeout=timeout,
                              capture_output=True, text=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        texts = [Path(place, name) for name in ("stdout", "stderr")]
        environment = {**os.environ, "XDG_CACHE_HOME": place}
        process = forked.Process(target=_run, args=(arguments, folder, environment, umask, texts))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["snakemake", *arguments], timeout)
        said = [path.read_text(encoding="utf-8", errors="replace") if path.is_file() else "" for path in texts]
    return subprocess.CompletedProcess(["snakemake", *arguments], process.exitcode, *said)


def _run(arguments, folder, environment, umask, texts):
    for number, path in enumerate(texts, start=1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", encoding="utf-8", buffering=1, closefd=False) for n in (1, 2))
    if umask >= 0:
        os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # What the tests themselves import is not what the study runs.
    sys.path[:] = [folder, *(path for path in sys.path if Path(path) != SCRIPTS)]
    _main(arguments)


def _main(arguments):
    from snakemake.cli import main
    from snakemake.script import PythonScript

    PythonScript.execute_script = _execute_here
    sys.argv = ["snakemake", *arguments]
    main(arguments)


def _execute_here(self, fname, edit=False):
    """Run the script file, preamble included, as Snakemake's shell command would."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.Formatter.converter, warnings.filters[:], sys.path[:]
    root.handlers[:] = []  # `logging.basicConfig` of the job then opens the job's own log
    begun = time.monotonic()
    sys.path.insert(0, self.path.get_basedir().get_path_or_uri(secret_free=True))
    try:
        runpy.run_path(fname, run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"{self.rulename} exited with {ended.code}") from None
    finally:
        if self.bench_record is not None:
            self.bench_record.running_time, self.bench_record.process_gone = time.monotonic() - begun, True
        for handler in root.handlers:
            handler.close()
        logging.captureWarnings(False)
        root.handlers[:], root.level, logging.Formatter.converter, warnings.filters[:], sys.path[:] = before


if __name__ == "__main__":
    _main(sys.argv[1:])
