"""A reviewer's bundle checked, and what it allows run again: what is equal and what differs."""

import subprocess
import sys
import tempfile
from pathlib import Path

from hpaxis.report.bundle import crate_faults, rerun_targets, statistics_faults, unpack
from hpaxis.shipped import SNAKEFILE


def verify_bundle(bundle, cores=2):
    """Check a bundle, print what was found, and return the lines of what differs.

    A bundle with participants' rows is run again from counts, plates and sheets. Raises `InputError` if the file is no
    bundle.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        faults = unpack(bundle, folder)
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
    return faults


def _rerun(folder, cores):
    targets = rerun_targets(folder)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--cores", str(cores)]
    command += ["--configfile", "config.yaml", "--quiet", "rules", "host", "--", *(f"results/{t}" for t in targets)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-20:]
        return ["the bundle does not run", *(f"    {line}" for line in said)]
    other = [n for n in targets if (folder / "results" / n).read_bytes() != (folder / "tables" / n).read_bytes()]
    print(f"run again from counts, plates and sheets: {len(targets) - len(other)} of {len(targets)} tables are equal "
          "to the byte")  # fmt: skip
    return [f"other bytes when run again: {name}" for name in other]
