"""Simulate a whole other study, or write the sheets of a config's own simulation.

python scripts/simulate_study.py --out DIR --dyads 200 --pairs 5000   a study in DIR: config, sheets, reads, plates
python scripts/simulate_study.py --sheets                             the sheets that config/config.yaml names
"""

import argparse
import sys
from pathlib import Path

import yaml

from hpaxis import schemas
from hpaxis.problems import InputError, raise_if_any
from hpaxis.simulation.study import simulate, write_sheets, write_study
from hpaxis.study import check_config


def main(arguments=None):
    """Read the command line and do what it asks; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="config/config.yaml", help="config with a section simulation")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="folder for the study")
    what.add_argument("--sheets", action="store_true", help="only write the sheets that the config names")
    parser.add_argument("--dyads", type=int, help="number of dyads instead of the config's")
    parser.add_argument("--pairs", type=int, help="read pairs of a middling library instead of the config's")
    parser.add_argument("--assay", default="amplicon", choices=["amplicon", "pyrosequencing"], help="of --out")
    parser.add_argument("--seed", type=int, help="seed instead of the config's")
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args(arguments)
    config = yaml.safe_load(Path(given.config).read_text(encoding="utf-8"))
    if config.get("simulation") is None:
        parser.error(f"{given.config} has no section simulation")
    for key, value in (("dyads", given.dyads), ("pairs_per_library", given.pairs)):
        if value is not None:
            config["simulation"][key] = value
    if given.seed is not None:
        config["seed"] = given.seed
    try:
        raise_if_any(check_config(config, given.config))
        config = schemas.with_defaults(config, schemas.config_schema())
        if given.sheets:
            write_sheets(simulate(config), config["sheets"])
        else:
            write_study(config, given.out, given.cores, given.assay)
            print(f"run it with: snakemake --cores {given.cores} --configfile {given.out / 'config.yaml'}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
