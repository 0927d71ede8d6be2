"""The moderation stage on its own: python -m hpaxis.moderation fit | lock | check-statistics | power."""

import argparse
import sys
from pathlib import Path

import yaml

from hpaxis import schemas
from hpaxis.moderation import KINDS, fit
from hpaxis.moderation.lock import write_lock
from hpaxis.moderation.power import design_power, detectable_f2
from hpaxis.moderation.statistics_check import check_statistics
from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.tables import read_table, write_table

SHOWN = ("predictor_by_arm", "coefficients", "slopes", "slope_differences", "region", "region_fdr", "fit", "used")


def main(arguments=None):
    """Run one command; returns the exit status, 1 where an input is at fault."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _fit(options):
    data = read_table(options.table)
    result = fit(
        data.set_index(options.id) if options.id else data,
        outcome=options.outcome, predictor=options.predictor, moderator=options.moderator,
        covariates=options.covariate, covariance=options.covariance, reference=options.reference,
        standardise=options.standardise, cluster=options.cluster,
    )  # fmt: skip
    if options.out:
        for name in SHOWN:
            write_table(getattr(result, name), options.out / f"{name}.tsv")
    for name in ("predictor_by_arm", "coefficients", "slopes", "region"):
        print(f"{name}\n{getattr(result, name).to_string(index=False)}\n")


def _lock(options):
    config = yaml.safe_load(options.config.read_text(encoding="utf-8"))
    config = schemas.with_defaults(config, schemas.config_schema())
    path = config["moderation"]["lock"]
    if path is None:
        raise_if_any([Problem(str(options.config), "names no lock", "give its path", column="moderation.lock")])
    write_lock(path, config["models"], config["moderation"], config["arms"])
    print(f"locked {', '.join(config['models'])} in {path}: put it under version control before arms are joined")


def _check(options):
    claims = read_table(options.claims, text=schemas.load("printed_statistics.schema")["properties"])
    table = check_statistics(claims)
    if options.out:
        write_table(table, options.out)
    print(table.to_string(index=False))


def _power(options):
    table = design_power(
        options.n,
        options.draws,
        options.seed,
        options.skewed,
        options.reliability,
        options.covariates,
        options.covariance,
    )
    terms = 2 * len(options.n) + options.covariates
    print(table.to_string(index=False))
    found = detectable_f2(sum(options.n), terms, len(options.n) - 1)
    print(f"80 % power under normal theory at f2 = {found:.3f}")


def _parser():
    parser = argparse.ArgumentParser(prog="python -m hpaxis.moderation", description=__doc__)
    commands = parser.add_subparsers(required=True)

    one = commands.add_parser("fit", help="fit one model on a table (TSV)")
    one.add_argument("table", type=Path)
    for name in ("outcome", "predictor", "moderator"):
        one.add_argument(f"--{name}", required=True)
    one.add_argument("--covariate", action="append", default=[], help="may be given several times")
    one.add_argument("--covariance", choices=KINDS, default="HC3")
    one.add_argument("--reference", help="reference arm")
    one.add_argument("--standardise", action="append", default=[], help="outcome, predictor, moderator or covariates")
    one.add_argument("--cluster", help="column of clusters, for CR2")
    one.add_argument("--id", help="column that names the rows")
    one.add_argument("--out", type=Path, help="folder for all tables")
    one.set_defaults(run=_fit)

    lock = commands.add_parser("lock", help="write the plan lock that the config names")
    lock.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    lock.set_defaults(run=_lock)

    check = commands.add_parser("check-statistics", help="recompute printed statistics from each other")
    check.add_argument("claims", type=Path, help="TSV: name, F, df1, df2, R2, dR2, b, SE, t, df, p, low, high")
    check.add_argument("--out", type=Path)
    check.set_defaults(run=_check)

    power = commands.add_parser("power", help="power of a planned study")
    power.add_argument("n", type=int, nargs="+", help="people in each arm, the reference first")
    power.add_argument("--covariance", choices=[k for k in KINDS if k != "CR2"], default="HC3")
    power.add_argument("--reliability", type=float, default=1.0, help="of the predictor")
    power.add_argument("--covariates", type=int, default=0, help="how many")
    power.add_argument("--skewed", action="store_true", help="log-normal predictor")
    power.add_argument("--draws", type=int, default=4000)
    power.add_argument("--seed", type=int, default=1)
    power.set_defaults(run=_power)
    return parser


if __name__ == "__main__":
    sys.exit(main())
