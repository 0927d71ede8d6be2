"""Small studies from reads (and plates) to a model, through the workflow as it is shipped."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import second
import yaml
from lines import Line, within
from scipy.stats import binom, t

from hpaxis.config import read_config
from hpaxis.shipped import PANELS, ROOT, SNAKEFILE
from hpaxis.simulation.study import with_size, write_study
from hpaxis.tables import read_table

FIRST, SECOND = "simulator", "second generator"
PANEL = "nr3c1_exon1f"


def run_workflow(folder: Path, config: Path, targets: list[str], cores: int) -> Path:
    """Run targets of the workflow in a folder; returns its results."""
    command = [sys.executable, "-m", "snakemake", "-s", str(SNAKEFILE), "--quiet", "all", "--cores", str(cores)]
    command += ["--directory", str(folder), "--configfile", str(config), "--", *targets]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the workflow failed in {folder}:\n{done.stderr[-3000:]}")
    return folder / "results"


def first_study(folder: Path, seed: int, dyads: int, pairs: int, cores: int) -> list[Line]:
    """The shipped simulator: methylation, conversion, cortisol and interaction against the truth."""
    config = read_config(ROOT / "config" / "config.yaml")
    config["models"] = {"competence": {k: v for k, v in config["models"]["competence"].items() if k != "family"}}
    config.pop("plan", None)
    # So few dyads carry a model only if none is lost.
    config["simulation"] = config["simulation"] | {"failing_libraries": False, "missing_percent": 0}
    write_study(with_size(config, "config", dyads, pairs, seed), folder / "study", cores)
    results = run_workflow(folder, folder / "study" / "config.yaml", ["cohort", "moderation"], cores)
    truth = folder / "study" / "truth"
    found = read_table(results / "methylation" / "libraries.tsv").merge(
        read_table(truth / "tubes.tsv"), on="library_id", suffixes=("", "_true")
    )
    found = found[(found["kind"] == "study") & (found["verdict"] != "fail")]
    lines = levels(FIRST, found["region_mean_beta"], found["region_mean_beta_se"], found["region_mean_beta_low"],
                   found["region_mean_beta_high"], found["region_mean"])  # fmt: skip
    lines.append(conversion(FIRST, found["non_conversion"], found["non_conversion_true"]))
    people = read_table(results / "cohort" / "analysis.tsv").merge(
        read_table(truth / "people.tsv")[["participant_id", "cortisol_pg_per_mg"]],
        on="participant_id",
        suffixes=("", "_true"),
    )
    people = people[people["cortisol_censored"] == "none"].dropna(subset=["cortisol_pg_per_mg", "cortisol_low"])
    held = (people["cortisol_low"] <= people["cortisol_pg_per_mg_true"]) & (
        people["cortisol_pg_per_mg_true"] <= people["cortisol_high"]
    )
    lines.append(coverage("cortisol of a person in its 95 % interval", FIRST, held))
    ratio = np.log(people["cortisol_pg_per_mg"] / people["cortisol_pg_per_mg_true"])
    lines.append(within("median error of cortisol", FIRST, 100 * ratio.median(), -8, 8, 1, " %"))
    wanted = read_table(truth / "coefficients.tsv").query("model == 'competence' and term == 'interaction:treatment'")
    lines.append(interaction(FIRST, results / "moderation" / "competence", float(wanted["standardised"].iloc[0])))
    return lines


def second_study(
    folder: Path, seed: int, children: int, pairs: int, cores: int, confounded: bool = False
) -> list[Line]:
    """The second generator, through the same workflow."""
    truth = second.write_study(folder / "study", PANELS / PANEL, children, pairs, seed, confounded)
    config = {
        "sheets": {name: f"study/{name}.tsv" for name in ("libraries", "participants")},
        "arms": ["control", "treatment"], "cohort": {"columns": {"score": "number"}}, "seed": seed,
        "models": {"score": {"outcome": "score", "predictor": "region_mean_beta", "moderator": "arm",
                             "standardise": ["predictor"]}},
    }  # fmt: skip
    sheet = pd.read_csv(folder / "study" / "libraries.tsv", sep="\t", dtype="str")
    for column in ("fastq_1", "fastq_2"):
        sheet[column] = "study/" + sheet[column]
    sheet.assign(panel=PANEL).to_csv(folder / "study" / "libraries.tsv", sep="\t", index=False)
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    targets = ["cohort"] if confounded else ["cohort", "moderation"]
    results = run_workflow(folder, folder / "config.yaml", targets, cores)
    found = read_table(results / "methylation" / "libraries.tsv").sort_values("library_id")
    if confounded:
        counts = [read_table(results / "methylation" / "counts" / f"{name}.tsv") for name in found["library_id"]]
        raw = np.array([(table["methylated"] / table["depth"]).mean() for table in counts])
        return conversion_by_arm(raw, found["region_mean_beta"].to_numpy(dtype=float), truth)
    lines = levels(SECOND, found["region_mean_beta"], found["region_mean_beta_se"], found["region_mean_beta_low"],
                   found["region_mean_beta_high"], truth["level"])  # fmt: skip
    lines.append(conversion(SECOND, found["non_conversion"], truth["failure"]))
    sd = read_table(results / "cohort" / "analysis.tsv")["region_mean_beta"].std(ddof=1)
    wanted = 10 * (second.SLOPES["treatment"] - second.SLOPES["control"]) * sd / 0.006
    lines.append(interaction(SECOND, results / "moderation" / "score", wanted))
    return lines


def levels(generator, estimate, se, low, high, truth) -> list[Line]:
    """Recovered methylation: error in points, and coverage."""
    estimate, se, low, high, truth = (np.asarray(values, dtype=float) for values in (estimate, se, low, high, truth))
    error = 100 * (estimate - truth)
    bound = 3 * 100 * np.sqrt(np.mean(se**2)) / np.sqrt(len(error)) + 0.02
    what = f"mean error of a region's level, {len(error)} libraries"
    lines = [within(what, generator, error.mean(), -bound, bound, 3, " points")]
    return [*lines, coverage("level of a region in its 95 % interval", generator, (low <= truth) & (truth <= high))]


def coverage(what: str, generator: str, held) -> Line:
    """Share held; the least allowed is what 95 % gives in all but one of 1,000 studies of that size."""
    held = np.asarray(held, dtype=bool)
    least = binom.ppf(0.001, len(held), 0.95)
    return within(f"{what} ({held.sum()} of {len(held)})", generator, held.mean(), least / len(held), 1.0, 2)


def conversion(generator, estimate, truth) -> Line:
    """Recovered share of cytosines that failed to convert."""
    error = 100 * (np.asarray(estimate, dtype=float) - np.asarray(truth, dtype=float))
    return within("median error of non-conversion", generator, float(np.median(error)), -0.05, 0.05, 3, " points")


def interaction(generator, folder: Path, truth: float) -> Line:
    """One study's interaction against the truth, in its own standard errors."""
    row = read_table(folder / "slope_differences.tsv").iloc[0]
    z, limit = (row["estimate"] - truth) / row["se"], t.isf(0.0005, row["df"])
    what = f"interaction {row['estimate']:.2f} (truth {truth:.2f}), in standard errors from it"
    return within(what, generator, float(z), -limit, limit, 2)


def conversion_by_arm(raw: np.ndarray, corrected: np.ndarray, truth: dict) -> list[Line]:
    """Arms that differ in conversion only: raw levels differ, corrected ones do not."""
    treated = truth["arm"] == "treatment"
    lines = []
    for what, found in (("raw", raw), ("corrected", corrected)):
        rest = 100 * (found - truth["level"])
        difference = rest[treated].mean() - rest[~treated].mean()
        se = np.sqrt(rest[treated].var(ddof=1) / treated.sum() + rest[~treated].var(ddof=1) / (~treated).sum())
        name = f"conversion confounded with the arm: false difference of {what} levels"
        if what == "raw":
            must = "beyond 3 standard errors of 0, or the check could not fail"
            lines.append(Line(name, SECOND, f"{difference:.2f} points", must, abs(difference) > 3 * se))
        else:
            lines.append(within(name, SECOND, difference, -3 * se - 0.05, 3 * se + 0.05, 2, " points"))
    return lines
