"""Snakemake with every script run in Snakemake's own process: the same jobs and files, without a start of Python each.

`python tests/inprocess.py ARGUMENTS` takes Snakemake's arguments and is for tests on one core: scripts share
the process, one after the other.
"""

import logging
import runpy
import sys
import time
import warnings

from snakemake.cli import main
from snakemake.script import PythonScript


def execute_here(self, fname, edit=False):
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


PythonScript.execute_script = execute_here

if __name__ == "__main__":
    main(sys.argv[1:])
