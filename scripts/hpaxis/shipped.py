"""Where what comes with hpaxis lies: the workflow with its schemas, the kits and the panels.

In a checkout these are the folders ``workflow/`` and ``resources/`` of the repository; in an installed package, copies
that the build put inside it (see ``setup.py``).
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
ROOT = _PACKAGE / "shipped" if (_PACKAGE / "shipped").is_dir() else _PACKAGE.parents[1]
SNAKEFILE = ROOT / "workflow" / "Snakefile"
SCHEMAS = ROOT / "workflow" / "schemas"
PANELS = ROOT / "resources" / "panels"
KITS = ROOT / "resources" / "kits.tsv"
