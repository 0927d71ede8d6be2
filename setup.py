"""What the package takes along: the workflow, its entry points and resources, which a checkout has beside it."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "hpaxis", "*.egg-info", ".*")


class BuildWithWorkflow(build_py):
    """Copy what `hpaxis.shipped` looks for into the built package; an editable install reads the checkout's own."""

    def run(self):
        """Build the modules, then copy."""
        super().run()
        if not self.editable_mode:
            shipped = Path(self.build_lib) / "hpaxis" / "shipped"
            for name in ("workflow", "resources", "scripts"):
                shutil.copytree(name, shipped / name, ignore=LEFT_OUT, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithWorkflow})
