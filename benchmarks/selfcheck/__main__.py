"""Studies of known truth through hpaxis as it is installed here: one page, pass or fail per line.

Usage: python benchmarks/selfcheck [--full] [--cores 2] [--out build/selfcheck.md]

Exits 1 where a line fails. Two generators share no code and no assumption: the shipped simulator (`hpaxis.simulation`)
and the one in benchmarks/selfcheck/second.py, which imports nothing of hpaxis.
"""

import argparse
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import cohorts
import studies

from hpaxis.tables import whole_file

QUICK = {"studies": 1, "dyads": 12, "children": 16, "pairs": 600, "cohorts": 400}
FULL = {"studies": 8, "dyads": 44, "children": 40, "pairs": 2000, "cohorts": 4000}


def main() -> None:
    """Run the checks and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="more and larger studies: about an hour")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/selfcheck.md"))
    arguments = parser.parse_args()
    size, begin = FULL if arguments.full else QUICK, time.time()
    lines = [*cohorts.rates(size["cohorts"]), *cohorts.confounded(size["cohorts"])]
    with tempfile.TemporaryDirectory() as work:
        for i in range(size["studies"]):
            here, cores = Path(work), arguments.cores
            lines += studies.first_study(here / f"first{i}", 100 + i, size["dyads"], size["pairs"], cores)
            lines += studies.second_study(here / f"second{i}", 200 + i, size["children"], size["pairs"], cores)
            lines += studies.second_study(here / f"worse{i}", 300 + i, size["children"], size["pairs"], cores, True)
    failed = sum(not line.passed for line in lines)
    text = [
        "# Self-check", "",
        f"Written by `make selfcheck{' FULL=yes' if arguments.full else ''}`; do not edit. hpaxis {version('hpaxis')}, "
        f"{time.strftime('%Y-%m-%d', time.gmtime())}: {len(lines) - failed} of {len(lines)} lines pass.", "",
        "Each line is a study, or many, of known truth. Two generators share no code and no assumption: the shipped "
        "simulator, and a second one that imports nothing of hpaxis (beta-distributed levels, molecules as Markov "
        "chains, "
        "uneven copies, heavy-tailed outcomes). Bounds are three standard errors of the simulation, with what is "
        "stated in "
        "`benchmarks/selfcheck`. Lines called naive must be wrong: they show that the check could fail.", "",
        "| | checked | generator | found | must be |", "| --- | --- | --- | ---: | ---: |",
        *("| " + " | ".join(line.cells()) + " |" for line in lines), "",
    ]  # fmt: skip
    with whole_file(arguments.out) as part:
        part.write_text("\n".join(text), encoding="utf-8")
    print("\n".join(text))
    print(f"wrote {arguments.out} in {time.time() - begin:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
