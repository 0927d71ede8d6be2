"""What every entry point shares: its log file, and how it ends when an input is at fault."""

import logging
import sys
import time
from contextlib import contextmanager

from hpaxis.problems import InputError


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
