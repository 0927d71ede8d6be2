"""Check a reviewer's bundle, run again what can be run from it, and say what is equal and what differs.

Usage: python scripts/verify_bundle.py BUNDLE [CORES]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from hpaxis.problems import InputError
from hpaxis.report.bundle import crate_faults, rerun_targets, statistics_faults, unpack

ROOT = Path(__file__).resolve().parents[1]


def main(bundle, cores="2"):
    """Print what was found; return 0 if all of it agrees, else 1."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            faults = unpack(bundle, folder)
        except InputError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"manifest: {'all files are as listed' if not faults else f'{len(faults)} files are not as listed'}")
        compared, found = crate_faults(folder)
        faults += found
        print(f"crate: {compared - len(found)} of {compared} outputs in the bundle have the checksum the crate tells")
        recomputed, found = statistics_faults(folder)
        faults += found
        print(f"statistics: {recomputed - len(found)} of {recomputed} t, p and intervals follow from their parts")
        if (folder / "sheets").is_dir():
            faults += _rerun(folder, cores)
            print("not run again: reads, and what needs their bases (the second caller's agreement)")
        else:
            print("not run again: without participants' rows neither cohort nor models can be computed anew; "
                  "counts are there, but their libraries are nobody's. Ask for a participants' bundle.")  # fmt: skip
        for fault in faults:
            print(f"DIFFERS  {fault}")
        print("equal" if not faults else f"{len(faults)} differences")
        return int(bool(faults))


def _rerun(folder, cores):
    targets = rerun_targets(folder)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow" / "Snakefile"), "--cores", cores]
    command += [
        "--configfile",
        "config.yaml",
        "--quiet",
        "rules",
        "host",
        "--",
        *(f"results/{name}" for name in targets),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-20:]
        return ["the bundle does not run", *(f"    {line}" for line in said)]
    other = [n for n in targets if (folder / "results" / n).read_bytes() != (folder / "tables" / n).read_bytes()]
    print(f"run again from counts, plates and sheets: {len(targets) - len(other)} of {len(targets)} tables are equal "
          "to the byte")  # fmt: skip
    return [f"other bytes when run again: {name}" for name in other]


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
