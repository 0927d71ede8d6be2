"""How right is a methylation level? Simulated libraries of known level and conversion, through reads and back.

python benchmarks/calibrate_methylation.py --libraries 300 --cores 2      writes docs/calibration_methylation.md
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind

from hpaxis import schemas
from hpaxis.methylation.counting.calls import ReadFilters
from hpaxis.methylation.panels.panel import read_panel
from hpaxis.simulation.reads import panel_amplicon
from hpaxis.simulation.recovery import compare_run, measure_run, simulate_run
from hpaxis.tables import whole_file, write_table

ROOT = Path(__file__).parents[1]
LEVELS = (0, 0.5, 1, 2, 4, 8)
NON_CONVERSION = (0, 0.5, 1, 2, 3)
# A run of about one plate: every run has its own two 0 % and two 100 % controls.
RUN = 92
PAIRS = 1160
ARM_RUNS = 40


class Bench:
    """The panel, the settings and the machine, and one measured run at a time."""

    def __init__(self, cores):
        self.panel = read_panel(ROOT / "resources" / "panels" / "nr3c1_exon1f")
        self.amplicon = panel_amplicon(self.panel)
        self.settings = schemas.with_defaults({}, schemas.load("config/methylation"))
        self.filters = ReadFilters(**{k: self.settings[k] for k in ReadFilters.__dataclass_fields__})
        self.cores = cores

    def run(self, levels, non_conversion, seed):
        """Simulate and measure one run; returns `recovery.compare_run` with levels in percent."""
        libraries, sheet = simulate_run(levels, non_conversion, self.amplicon, seed, PAIRS)
        found = measure_run(libraries, sheet, self.amplicon, self.panel, self.settings, seed, self.filters, self.cores)
        table = compare_run(libraries, found)
        return 100 * table.drop(columns="covered").astype(float), table["covered"], found


def grid(bench, libraries):
    """Every library of the grid of levels and non-conversion; each run mixes all cells, as a real run mixes people."""
    cells = np.array([(level, e) for level in LEVELS for e in NON_CONVERSION], float)
    order = np.random.default_rng(1).permutation(np.tile(np.arange(len(cells)), libraries))
    tables = []
    for seed, start in enumerate(range(0, order.size, RUN)):
        chosen = cells[order[start : start + RUN]]
        table, covered, found = bench.run(chosen[:, 0], chosen[:, 1], 1000 + seed)
        passed = found.libraries.set_index("library_id")["passed"].reindex(table.index)
        tables.append(table.assign(level=chosen[:, 0], e=chosen[:, 1], covered=covered, passed=passed))
        print(f"run {seed + 1} of {-(-order.size // RUN)}", flush=True)
    return pd.concat(tables, ignore_index=True)


def cell_table(rows, by):
    """Mean error, its standard error, mean absolute error and coverage of each cell."""
    rows = rows.assign(error=rows["estimate"] - rows["true"], raw_error=rows["raw"] - rows["true"])
    rows["absolute"] = rows["error"].abs()
    groups = rows.groupby(by)
    return pd.DataFrame({
        "libraries": groups.size(),
        "raw_error": groups["raw_error"].mean(),
        "mean_error": groups["error"].mean(),
        "mean_error_se": groups["error"].sem(),
        "mean_absolute_error": groups["absolute"].mean(),
        "coverage_percent": 100 * groups["covered"].mean(),
    }).reset_index()  # fmt: skip


def arms(bench, runs=ARM_RUNS):
    """Studies of 44 whose arms have the very same true levels, and differ in conversion (.3 and 1.4 %).

    One row for raw and one for corrected levels: mean difference between arms and its SD over studies, and how often t
    tests of the arms, on the levels and on their errors, fall below .05. Errors are free of the differences between
    people, so a test on them sees the least fault of the correction.
    """
    rows = []
    for seed in range(runs):
        rng = np.random.default_rng([7, seed])
        levels = np.tile(rng.gamma((2.8 / 0.6) ** 2, 0.6**2 / 2.8, 22), 2)
        arm = np.repeat([0, 1], 22)
        table, _, _ = bench.run(levels, np.where(arm == 1, 1.4, 0.3), 9000 + seed)
        for name in ("raw", "estimate"):
            values, errors = table[name].to_numpy(), (table[name] - table["true"]).to_numpy()
            tests = [ttest_ind(v[arm == 1], v[arm == 0]).pvalue < 0.05 for v in (values, errors)]
            rows.append((name, values[arm == 1].mean() - values[arm == 0].mean(), *tests))
        print(f"arms: study {seed + 1} of {runs}", flush=True)
    groups = pd.DataFrame(rows, columns=["levels", "difference", "by_level", "by_error"]).groupby("levels", sort=False)
    return pd.DataFrame({
        "studies": groups.size(),
        "difference": groups["difference"].mean(),
        "sd": groups["difference"].std(),
        "found_percent": 100 * groups["by_level"].mean(),
        "error_percent": 100 * groups["by_error"].mean(),
    })  # fmt: skip


def markdown(table, formats):
    """A table as Markdown; ``formats``: column to (heading, format)."""
    heads = [head for head, _ in formats.values()]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --: |" * len(heads)]
    for row in table.to_dict("records"):
        lines.append("| " + " | ".join(form.format(row[c]) for c, (_, form) in formats.items()) + " |")
    return "\n".join(lines)


CELL = {
    "raw_error": ("error of raw", "{:+.3f}"),
    "mean_error": ("error of corrected", "{:+.3f}"),
    "mean_error_se": ("± (SE)", "{:.3f}"),
    "mean_absolute_error": ("mean absolute error", "{:.3f}"),
    "coverage_percent": ("95 % interval holds the truth", "{:.1f} %"),
}
PAGE = """# How right is a methylation level?

*Written by `make calibration`, from reads and back: each library is simulated as FASTQ, then counted and corrected as
in a study. Errors are in points of percent methylation.*

{n} libraries of NR3C1 exon 1F, a median of {passed:.0f} molecules each, in runs of {run} with two 0 %, two
100 % and two no-template controls: {each} a cell. Every library has over-conversion .6 %, about .2 % of molecules that
failed to convert, .2 %
reads of other libraries of its run, dimers, off-target products, unequal PCR copies and sequencing errors
(docs/simulation.md). The level is the mean over all 47 CpGs.

- Mean error of the corrected level over all libraries: **{bias:+.3f}** points (SE {bias_se:.3f}); the cell furthest
  from 0: {worst:+.3f} (SE {worst_se:.3f}).
- The interval holds the truth in **{coverage:.1f} %** of all libraries; {inside} of {cells} cells lie between 93 and
  97 %, where chance alone gives a cell of {each} libraries a standard error of {chance:.1f}.
- Mean absolute error where non-conversion is at most 1 %: {mae:.3f} points in the worst cell.

## By level
{by_level}

## By level and non-conversion
{by_cell}

At 0 % with perfect conversion hardly any unconverted base is seen, so the few reads that hopped in from other libraries
({hopped}) weigh most. The no-template controls show how many they are, and what
they add is subtracted with its error: the interval holds the truth in {at_zero:.0f} % there. It can hardly miss
it from above: at the edge of what is possible it errs on one side only.

## When conversion differs between the arms
{studies} studies of 44 with the very same true levels in both arms, but non-conversion of 0.3 % in one and 1.4 % in the
other:

{by_arm}

Raw levels show an effect of the arm that is not there; corrected ones do not. A test at 5 % on errors must find a
difference in 5 % of the studies, with a standard error of {arm_chance:.0f} points here.

## What it does not show
The reads come from this project's own simulator: an error that simulator and caller share stays hidden. How little a
molecule tells depends on how alike its CpGs are. Here their correlation falls with distance (e-fold in 8 bases of the
copula); if neighbours over 40 bases were alike, errors at the same depth would be about 1.7 times as large, and the
intervals as much wider, since they are computed from molecules.
"""


def write_page(rows, arm_table, path):
    """Write the page and, beside it, the grid as a table."""
    by_cell, by_level = cell_table(rows, ["level", "e"]), cell_table(rows, ["level"])
    each = int(by_cell["libraries"].min())
    modest = by_cell[by_cell["e"] <= 1]
    level, e = {"level": ("level, %", "{:g}")}, {"e": ("non-conversion, %", "{:g}")}
    arm_form = {
        "levels": ("levels", "{}"), "difference": ("mean difference between arms", "{:+.3f}"),
        "sd": ("its SD over studies", "{:.3f}"), "found_percent": ("t test on levels below .05", "{:.0f} %"),
        "error_percent": ("t test on errors below .05", "{:.0f} %"),
    }  # fmt: skip
    names = {"raw": "raw", "estimate": "corrected"}
    perfect = by_cell.set_index(["level", "e"])
    text = PAGE.format(
        n=len(rows),
        passed=rows["passed"].median(),
        run=RUN,
        each=each,
        bias=(rows["estimate"] - rows["true"]).mean(),
        bias_se=(rows["estimate"] - rows["true"]).sem(),
        worst=by_cell.loc[by_cell["mean_error"].abs().idxmax(), "mean_error"],
        worst_se=by_cell.loc[by_cell["mean_error"].abs().idxmax(), "mean_error_se"],
        coverage=100 * rows["covered"].mean(),
        inside=int(by_cell["coverage_percent"].between(93, 97).sum()),
        cells=len(by_cell),
        chance=100 * np.sqrt(0.95 * 0.05 / each),
        arm_chance=100 * np.sqrt(0.95 * 0.05 / arm_table["studies"].iloc[0]),
        at_zero=perfect.loc[(0, 0), "coverage_percent"],
        hopped=".2 % of reads, some of them from the 100 % controls",
        mae=modest["mean_absolute_error"].max(),
        by_level=markdown(by_level, level | CELL),
        by_cell=markdown(by_cell, level | e | CELL),
        studies=int(arm_table["studies"].iloc[0]),
        by_arm=markdown(arm_table.reset_index().replace({"levels": names}), arm_form),
    )
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def main():
    """Run the grid and the arms, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libraries", type=int, default=300, help="libraries in each cell of the grid")
    parser.add_argument("--arms", type=int, default=ARM_RUNS, help="studies with conversion that differs by arm")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration_methylation.md")
    parser.add_argument("--rows", type=Path, help="keep every library's row in this table")
    given = parser.parse_args()
    bench = Bench(given.cores)
    rows = grid(bench, given.libraries)
    if given.rows:
        write_table(rows, given.rows)
    write_page(rows, arms(bench, given.arms), given.out)


if __name__ == "__main__":
    main()
