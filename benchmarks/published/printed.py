"""Printed moderation results: R's data sets, and the published study whose statistics contradict each other."""

from pathlib import Path

import pandas as pd
from page import Section, table

from hpaxis.moderation import fit
from hpaxis.moderation.statistics_check import check_statistics
from hpaxis.schemas import load
from hpaxis.shipped import ROOT
from hpaxis.tables import read_table

DATA = ROOT / "tests" / "data" / "moderation"


def sections(folder: Path) -> list[Section]:
    """Both; neither needs the folder."""
    return [regions(), claims()]


def regions() -> Section:
    """Coefficients and regions of significance."""
    states, cars = (pd.read_csv(DATA / f"{name}.tsv", sep="\t") for name in ("state_x77", "mtcars"))
    rows = []
    for frame, names, kind, digits, printed in (
        (states, ("Income", "Illiteracy", "Murder"), "OLS", 3, "-6.374, 8.407"),
        (states, ("Income", "Illiteracy", "Murder"), "HC3", 3, "-3.338, 8.140"),
        (cars, ("mpg", "hp", "wt"), "OLS", 2, "3.69, 5.90"),
        (cars, ("mpg", "hp", "wt"), "HC3", 3, "3.689, 7.089"),
    ):
        result = fit(frame, outcome=names[0], predictor=names[1], moderator=names[2], covariance=kind)
        low, high = result.region.loc[0, ["low", "high"]]
        own = f"{low:.{digits}f}, {high:.{digits}f}"
        rows.append((f"{names[0]} ~ {names[1]} × {names[2]}", kind, printed, own, "yes" if own == printed else "no"))
    found = Section("Regions of significance that R prints", "R's data sets state.x77 and mtcars, in this repository.")
    found.lines = [*table(["model", "errors", "printed region", "hpaxis", "same"], rows),
                   "R's interactions takes the FDR-adjusted t from the classical covariance even with robust "
                   "errors; hpaxis "
                   "takes all from one covariance, and differs there (see moderation.md)."]  # fmt: skip
    return found


def claims() -> Section:
    """The published study's printed statistics."""
    printed = read_table(DATA / "printed_statistics.tsv", text=load("printed_statistics.schema")["properties"])
    checked = check_statistics(printed)
    checked = checked[checked["verdict"] == "contradicts"]
    found = Section(
        "A printed moderation result (Ribaudo et al., SSWR 2024, Paper 52358)",
        "the printed statistics, in this repository (`tests/data/moderation/printed_statistics.tsv`).",
    )
    rows = checked[["claim", "statistic", "printed", "recomputed", "from"]].to_numpy().tolist()
    found.lines = [
        "What `hpaxis claims` finds to contradict; all other printed statistics agree with each other.", "",
        *table(["claim", "statistic", "printed", "recomputed", "from"],
               [(a, b, c, f"{float(d):.3g}", e) for a, b, c, d, e in rows]),
        "What a study with those of the statistics that agree would have been told is on the page "
        "[The published study rebuilt](rebuilt.md).",
    ]  # fmt: skip
    return found
