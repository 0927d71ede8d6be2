"""Run the methylation stage on a folder of reads with a reference, and print known against estimated methylation.

Usage: python scripts/run_real.py DATA [OUT] [CORES]
"""

import subprocess
import sys
from pathlib import Path

from hpaxis.methylation.assays.real import prepare_study, summarise_study
from hpaxis.problems import InputError
from hpaxis.tables import write_table

ROOT = Path(__file__).resolve().parents[1]


def main(data, out="real", cores="2"):
    """Prepare the study, run its methylation stage, write and print the table."""
    out = Path(out)
    try:
        config = prepare_study(data, out)
    except InputError as error:
        sys.exit(str(error))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow" / "Snakefile")]
    command += ["--configfile", str(config), "--cores", cores, "--quiet", "rules", "host", "--", "methylation"]
    if subprocess.run(command).returncode:
        sys.exit(1)
    table = summarise_study(out)
    write_table(table, out / "estimates.tsv")
    print(table.round(2).set_index("library_id").T.to_string(na_rep="-"))
    print(f"\nwritten to {out / 'estimates.tsv'}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
