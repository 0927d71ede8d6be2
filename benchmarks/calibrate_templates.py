"""Do intervals hold the truth where reads stand for few templates? Studies by the second simulator, input unknown.

python benchmarks/calibrate_templates.py --studies 2      writes docs/calibration_templates.md
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.methylation.panels.panel import read_panel
from hpaxis.schemas import load, with_defaults
from hpaxis.shipped import PANELS, ROOT
from hpaxis.simulation.reads import panel_amplicon, random_stream
from hpaxis.simulation.templates import Tube, simulate_calls
from hpaxis.tables import whole_file

TEMPLATES, FAILURES = (100, 300, 1000, 10_000), (0.0005, 0.003, 0.01, 0.03)
SPREADS, LIBRARIES, READS, SEED = (0.3, 0.7, 1.0, 1.3), 16, 1700, 1
PAGE = """# Intervals where reads stand for few templates

*Written by `make calibration` (`benchmarks/calibrate_templates.py`): molecules straight from the second simulator
(`hpaxis.simulation.templates`), {reads} a library, in studies of {libraries} without `input_ng`. PCR copies are log-normal with a CV
of .3, .7, 1.0 or 1.3. Cells share their random streams, so their chance errors go together; failure of conversion differs by molecule and is twice as high at the start of the amplicon; 2 % of
reads are chimeras. Region mean, in points of percent methylation.*

The 95 % interval holds the level of the DNA in **{coverage:.1f} %** of {n} libraries (by CV of copies: {by_cv}).

| templates | e, % | libraries | interval holds the level | holds the mean of the templates drawn | width | templates of even copies, true | estimated (median) | error of CpG 1-4 (± SE) |
| --: | --: | --: | --: | --: | --: | --: | --: | --: |
{rows}
"""  # noqa: E501


def simulate(studies):
    """One row per library: what was asked for, what was drawn, and the estimate; fractions."""
    panel = read_panel(PANELS / "nr3c1_exon1f")
    amplicon = panel_amplicon(panel)
    # Libraries of few templates are too shallow to be used; here they are looked at nevertheless.
    settings = with_defaults({}, load("config/methylation")) | {"depth_fail": 5}
    tables = []
    for templates in TEMPLATES:
        for e in FAILURES:
            for study in range(studies):
                rng = np.random.default_rng([SEED, templates, int(e * 1e5), study])
                tubes = {}
                for i in range(LIBRARIES):
                    levels = np.clip(rng.gamma(4, 0.0125, 47), 0.002, 0.3) * rng.choice([0.4, 0.6, 1.0])
                    tubes[f"L{i:03d}"] = Tube(levels, templates, READS, clump=0.6, copies_cv=SPREADS[i % 4],
                                              non_conversion=e, slope=2, chimeras=0.02)  # fmt: skip
                tables.append(_measure(tubes, amplicon, panel, settings, study + 1000 * SEED))
            print(f"{templates} templates, e {100 * e:g} %", flush=True)
    return pd.concat(tables, ignore_index=True)


def _measure(tubes, amplicon, panel, settings, seed):
    calls, drawn = {}, {}
    for name, tube in tubes.items():
        calls[name], drawn[name] = simulate_calls(amplicon, panel, name, tube, random_stream(seed, "cover", name))
    sheet = pd.DataFrame({"library_id": list(tubes), "participant_id": list(tubes), "timepoint": "t", "kind": "study",
                          "panel": panel.name, "expected_percent": np.nan, "plate": "p", "well": None,
                          "input_ng": np.nan})  # fmt: skip
    found = estimate_study(sheet, {panel.name: panel}, calls, settings)
    table = found.libraries.set_index("library_id").loc[list(tubes)]
    first = {n: found.calls[n]["beta_unclipped"].iloc[:4].mean() - t.levels[:4].mean() for n, t in tubes.items()}
    return pd.DataFrame({
        "T": [t.templates for t in tubes.values()],
        "e": [t.non_conversion for t in tubes.values()],
        "cv": [t.copies_cv for t in tubes.values()],
        "asked": [t.levels.mean() for t in tubes.values()],
        "drawn": list(drawn.values()),
        "low": table["region_mean_beta_low"].to_numpy(),
        "high": table["region_mean_beta_high"].to_numpy(),
        "true": [t.templates / (1 + t.copies_cv**2) for t in tubes.values()],
        "estimated": table["template_copies"].to_numpy(),
        "first": list(first.values()),
    })  # fmt: skip


def write_page(rows, path):
    """Write the page from the rows of `simulate`."""
    rows = rows.assign(**{f"holds_{n}": rows[n].between(rows["low"], rows["high"]) for n in ("asked", "drawn")})
    lines = []
    for (templates, e), cell in rows.groupby(["T", "e"]):
        lines.append(
            f"| {templates:,} | {100 * e:g} | {len(cell)} | {100 * cell['holds_asked'].mean():.0f} % | "
            f"{100 * cell['holds_drawn'].mean():.0f} % | {100 * (cell['high'] - cell['low']).mean():.2f} | "
            f"{cell['true'].median():,.0f} | {cell['estimated'].median():,.0f} | "
            f"{100 * cell['first'].mean():+.2f} ± {100 * cell['first'].sem():.2f} |"
        )
    by_cv = ", ".join(f"{cv:g}: {100 * c:.1f} %" for cv, c in rows.groupby("cv")["holds_asked"].mean().items())
    text = PAGE.format(reads=READS, libraries=LIBRARIES, coverage=100 * rows["holds_asked"].mean(), n=len(rows),
                       by_cv=by_cv, rows="\n".join(lines))  # fmt: skip
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def main():
    """Simulate and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2, help="studies in each cell")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration_templates.md")
    given = parser.parse_args()
    write_page(simulate(given.studies), given.out)


if __name__ == "__main__":
    main()
