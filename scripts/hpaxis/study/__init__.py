"""A study: its config and its sheets, read once; each stage checks what it will read."""

from hpaxis.study.check import load_study
from hpaxis.study.study import Study, read_study

__all__ = ["Study", "load_study", "read_study"]
