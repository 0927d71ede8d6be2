"""What every entry point shares: its log file, and how it ends when an input is at fault."""

import logging
import sys
import time
from contextlib import contextmanager

from hpaxis.problems import InputError


def placed(cell, named, given):
    """Return a sheet's cell with the paths at which Snakemake gives the files that it names, which may be copies.

    ``named`` and ``given``: the same files, as the sheet names them and as Snakemake does.
    """
    places = dict(zip(named, given))
    return ";".join(places[path.strip()] for path in cell.split(";") if path.strip())


@contextmanager
def logged(path):
    """Send log records to ``path``; print input problems as lines, without a traceback, and exit 1."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(filename=path, filemode="w", level=logging.INFO, format="%(levelname)s %(message)s")
    logging.captureWarnings(True)
    try:
        yield logging.getLogger("hpaxis")
    except InputError as error:
        for problem in error.problems:
            logging.error("%s", problem)
            print(problem, file=sys.stderr)
        sys.exit(1)
    except Exception:
        logging.exception("the job failed")
        raise
