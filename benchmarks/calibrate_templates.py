"""Do intervals hold the truth where reads stand for few templates? Studies by both simulators, input unknown.

python benchmarks/calibrate_templates.py      writes docs/calibration_templates.md
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.methylation.panels.panel import read_panel
from hpaxis.schemas import load, with_defaults
from hpaxis.shipped import PANELS, ROOT
from hpaxis.simulation.reads import Chemistry, Library, amplify_templates, panel_amplicon, random_stream
from hpaxis.simulation.templates import Tube, calls_of, draw_reads, draw_templates, failure_shape, simulate_calls
from hpaxis.tables import whole_file

SIMULATORS = ("chain", "copula")
TEMPLATES, FAILURES = (100, 300, 1000, 10_000), (0.0005, 0.003, 0.01, 0.03)
SPREADS, LIBRARIES, READS, SEED, ERROR = (0.3, 0.7, 1.0, 1.3), 16, 1700, 1, 1e-3
# Variants: studies of libraries of 100 templates, every second one heterozygous at a CpG.
VARIANT_TEMPLATES, VARIANT_STUDIES = 100, 6
# Studies for the error at CpG 1-4, where a study's libraries share one shape; libraries for what callers can reach.
SHAPE_E, SHAPE_STUDIES, REACH_LIBRARIES = 0.01, 3, 40
# How failure of conversion differs between the libraries of a study by `chain` (SD of its logarithm); by `copula` not.
LIBRARIES_DIFFER = 0.2
FIRST = slice(0, 4)
MEASURED = ("study", "level", "perfect", "known", "drawn", "beta", "low", "high", "T", "e", "cv", "true", "estimated",
            "first", "warned", "thin")  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """What others read of the same molecules: means over CpGs (fractions).

    ``perfect``: who knows which are methylated; ``known``: who sees what stays unconverted and knows how often each CpG
    fails, but not on which molecules, and ``first``, the same at CpG 1-4; ``drawn``: the templates' own mean.
    """

    perfect: float
    first: float
    known: float
    drawn: float

    @classmethod
    def of(cls, methylated, stays, failure, drawn):
        """From methylated CpGs and those that stay (molecules × CpGs), and the chance of failure at each CpG."""
        known = (stays.mean(axis=0) - failure) / (1 - failure)
        return cls(float(methylated.mean()), float(known[FIRST].mean()), float(known.mean()), drawn)


def flat_error():
    """By how much CpG 1-4 fail more often than cytosines do on average, by `chain`."""
    amplicon = Bench().amplicon
    shape = failure_shape(amplicon.sequence.size, 2)
    return float(shape[amplicon.offsets[FIRST]].mean() / shape[amplicon.other_offsets].mean() - 1)


class Bench:
    """The panel, its amplicon and the settings."""

    def __init__(self):
        self.panel = read_panel(PANELS / "nr3c1_exon1f")
        self.amplicon = panel_amplicon(self.panel)
        # Libraries of few templates are too shallow to be used; here they are looked at nevertheless.
        self.settings = with_defaults({}, load("config/methylation")) | {"depth_fail": 5}

    def levels(self, rng, mean=0.05):
        """A level for each CpG of one person."""
        size = self.amplicon.offsets.size
        return np.clip(rng.gamma(4, mean / 4, size), 0.002, 0.3) * rng.choice([0.4, 0.6, 1.0])

    def estimate(self, calls):
        """`StudyEstimates` of a study of these libraries, of which nothing else is known."""
        names = list(calls)
        sheet = pd.DataFrame({"library_id": names, "participant_id": names, "timepoint": "t", "kind": "study",
                              "panel": self.panel.name, "expected_percent": np.nan, "plate": "p", "well": None,
                              "input_ng": np.nan})  # fmt: skip
        return estimate_study(sheet, {self.panel.name: self.panel}, calls, self.settings)

    def chain(self, name, tube, stream):
        """Calls of a library by `hpaxis.simulation.templates`, and what others read of it (`Reader`)."""
        calls, _ = simulate_calls(self.amplicon, self.panel, name, tube, stream())
        return calls, self.chain_reader(name, tube, stream)

    def chain_reader(self, _, tube, stream):
        """`Reader` of a library by `chain`: the same draws again, for which template each read is a copy of."""
        rng = stream()
        stays, methylated = draw_templates(self.amplicon, tube, rng)
        _, chosen = draw_reads(stays, tube, rng)
        drawn = float(methylated.mean())
        sites = self.amplicon.offsets
        shape = failure_shape(self.amplicon.sequence.size, tube.slope)
        failure = tube.non_conversion * shape[sites] / shape[self.amplicon.other_offsets].mean()
        return Reader.of(methylated[chosen], stays[chosen][:, sites], failure, drawn)

    def copula(self, name, tube, stream):
        """The same by `hpaxis.simulation.reads`: gamma-distributed copies, a normal copula, even failures."""
        (stays, copy_of, rng), truth = self._copies(name, tube, stream)
        calls = calls_of(stays[copy_of], self.amplicon, self.panel, name, ERROR, rng)
        return calls, self._copula_reader(stays, copy_of, truth, tube)

    def copula_reader(self, name, tube, stream):
        """`Reader` of a library by `copula`."""
        (stays, copy_of, _), truth = self._copies(name, tube, stream)
        return self._copula_reader(stays, copy_of, truth, tube)

    def _copies(self, name, tube, stream):
        """Templates, which each read is a copy of, and the generator; and the templates without failures and losses."""
        made = []
        for e, failed in ((tube.non_conversion, 0.002), (0.0, 0.0)):
            library = Library(name, tube.levels, own=tube.reads, templates=tube.templates, non_conversion=e,
                              failed=failed)  # fmt: skip
            rng = stream()
            products, copy_of = amplify_templates(self.amplicon, [library], tube.templates, tube.reads,
                                                  Chemistry(amplification_cv=tube.copies_cv), rng)  # fmt: skip
            made.append((products == ord("C"), copy_of, rng))
        return made[0], made[1][0]

    def _copula_reader(self, stays, copy_of, truth, tube):
        sites = self.amplicon.offsets
        # Without failures and losses the same draws leave the cytosines that are methylated.
        # What failed as a whole is seen outside CpGs.
        sound = stays[:, self.amplicon.other_offsets].mean(axis=1) < 0.25
        seen = stays[copy_of][sound[copy_of]][:, sites]
        drawn = float(truth[:, sites].mean())
        return Reader.of(truth[copy_of][:, sites], seen, tube.non_conversion, drawn)


def draw_tube(bench, rng, i, cell):
    """The i-th library of a study."""
    simulator, templates, e = cell
    levels = bench.levels(rng)
    differ = rng.lognormal(0, LIBRARIES_DIFFER) if simulator == "chain" else 1
    return Tube(levels, templates, READS, clump=0.6, copies_cv=SPREADS[i % len(SPREADS)],
                non_conversion=e * differ, slope=2, chimeras=0.02, error=ERROR)  # fmt: skip


def measure_reach(cell):
    """Errors of the two callers that know more, on libraries that nobody estimates: one row per library."""
    bench, rows = Bench(), []
    for i in range(REACH_LIBRARIES):
        seed = (SEED, "reach", *cell, i)
        tube = draw_tube(bench, random_stream(*seed), i, cell)
        reader = getattr(bench, f"{cell[0]}_reader")("L", tube, partial(random_stream, *seed, "L"))
        level = tube.levels.mean()
        rows.append((cell[2], abs(reader.perfect - level), abs(reader.known - level)))
    print("reach:", *cell, flush=True)
    return pd.DataFrame(rows, columns=["e", "perfect", "known"])


def measure(cell, studies, seed=SEED):
    """One row per library of one simulator, number of templates and rate of failure (`MEASURED`, fractions)."""
    simulator, templates, e = cell
    first_seed = seed
    bench, rows = Bench(), []
    for study in range(studies):
        seed = (first_seed, simulator, templates, e, study)
        rng = random_stream(*seed)
        calls, known = {}, {}
        for i in range(LIBRARIES):
            name = f"L{i:03d}"
            tube = draw_tube(bench, rng, i, cell)
            calls[name], reader = getattr(bench, simulator)(name, tube, partial(random_stream, *seed, name))
            known[name] = tube, reader
        found = bench.estimate(calls)
        table = found.libraries.set_index("library_id")
        for name, (tube, reader) in known.items():
            row = table.loc[name]
            first = found.calls[name]["beta_unclipped"].iloc[FIRST].mean() - reader.first
            reasons = row["reasons"] or ""
            row_of = [row[f"region_mean_beta{part}"] for part in ("", "_low", "_high")]
            rows.append((study, tube.levels.mean(), reader.perfect, reader.known, reader.drawn, *row_of, templates, e,
                         tube.copies_cv, templates / (1 + tube.copies_cv**2), row["template_copies"], first,
                         "variant" in reasons, "cannot be counted" in reasons))  # fmt: skip
    table = pd.DataFrame(rows, columns=list(MEASURED)).assign(simulator=simulator)
    held = table["level"].between(table["low"], table["high"]).mean()
    print(f"{simulator}, {templates} templates, e {100 * e:g} %: {100 * held:.0f} % of {len(table)} hold", flush=True)
    return table


def measure_variants(kind, mean, studies=VARIANT_STUDIES):
    """How many of how many libraries with a variant are warned, and of those without: one row."""
    bench, with_it, without = Bench(), [], []
    for study in range(studies):
        rng = random_stream(SEED, "variants", kind, mean, study)
        calls = {}
        # CpGs differ, people in all of them alike and in each a little.
        profile = rng.gamma(20, mean / 20, bench.amplicon.offsets.size)
        for i in range(LIBRARIES):
            levels = np.clip(profile * rng.gamma(100, 1 / 100) * rng.gamma(400, 1 / 400, profile.size), 0.002, 0.95)
            name, cpg = f"L{i:03d}", int(rng.integers(4, levels.size - 4))
            tube = Tube(levels, VARIANT_TEMPLATES, READS, clump=0.6, copies_cv=SPREADS[i // 2 % len(SPREADS)],
                        non_conversion=0.01, slope=2, chimeras=0.02, error=ERROR,
                        **({kind: cpg} if i % 2 else {}))  # fmt: skip
            calls[name], _ = simulate_calls(bench.amplicon, bench.panel, name, tube, rng)
        reasons = bench.estimate(calls).libraries.set_index("library_id")["reasons"].fillna("")
        for i, name in enumerate(calls):
            (with_it if i % 2 else without).append("variant" in reasons[name])
    print(f"variants: {kind} at {100 * mean:g} %", flush=True)
    return {"kind": kind, "mean": mean, "n": len(with_it), "found": sum(with_it), "others": len(without),
            "warned": sum(without)}  # fmt: skip


PAGE = """# Intervals where reads stand for few templates

*Written by `make calibration` (`benchmarks/calibrate_templates.py`). Molecules come straight from the two simulators, without reads:
{reads} a library, studies of {libraries}, no `input_ng`, copies with a CV of .3, .7, 1.0 and 1.3. `chain` is `hpaxis.simulation.templates`:
log-normal copies, a CpG repeats its left neighbour or not, failure of conversion differs by molecule and is twice as high at the start of
the amplicon, and differs between the libraries of a study (SD of its logarithm .2), 2 % of reads are chimeras. `copula` is
`hpaxis.simulation.reads`: gamma copies, a normal copula, even failure, alike in all libraries, .2 % of molecules failed as a whole. Region mean, in points of percent methylation; every cell has streams of its own.*

The 95 % interval holds the level of the DNA in **{coverage:.1f} %** of {n} libraries (standard error {chance:.1f}).

| part | libraries | interval holds the level |
| --- | --: | --: |
{parts}

Error against that of a perfect caller, which knows which CpGs of each read are methylated: mean absolute error {own:.3f} points, against {perfect:.3f}; {ratio:.2f}
times as large. Errors are differences from the level of the DNA; which templates happened to reach PCR makes up the larger part of either. A CpG that
failed looks like a methylated one, so no method can know on which templates the CpGs failed. How much of the distance that makes is what a third
caller shows: it sees what stays unconverted, and is told how often each CpG fails. Nobody who has to learn that from the reads can expect to be closer; its
distance from the perfect caller is of {reach} libraries for each e, that of hpaxis of {per_e}.

| e | caller that knows e at each CpG / perfect caller | hpaxis / perfect caller | hpaxis / caller that knows e, same libraries |
| --- | --: | --: | --: |
{ratios}

CpG 1-4, where `chain` fails most often: mean difference from the caller that knows e at each CpG, in points, with its standard error over
studies where there are several, since libraries of a study share one shape. Of e of 1 % there are {shape_studies} further studies of other seeds; without any correction for position the difference would be about
{flat:.2f} points at e of 1 %.

| e | 100 templates | 300 | 1,000 | 10,000 | all |
| --- | --: | --: | --: | --: | --: |
{firsts}

A study of 16 libraries of 100 templates, 59 of even copies, at e of 1 % has some 900 failures in all from which to estimate a shape, of which a fifth lie beside
CpG 1-4: shapes that bend so little cannot be distinguished from flat ones, and are shrunk to flat.

| simulator | templates | e, % | libraries | interval holds the level | holds the mean of the templates drawn | width | templates of even copies, true | estimated (median) | cannot be counted | error beside a perfect caller's | error of CpG 1-4 |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |
{rows}

Where hardly a cytosine fails (e of .05 %: 99 cytosines and 100 templates make five failures in all) the molecules say little of how many
templates there were. The posterior of their number is then wide, and so is the interval: it holds the truth more often than it says where
templates were many. Such libraries say that their templates cannot be counted; `input_ng` or UMIs narrow them.

## Variants
Warnings of a variant in the {n} libraries above, none of which has one: **{false}** ({false_share:.2f} %).

Studies of {libraries} libraries of {variant_templates} templates, e 1 %, every second library heterozygous at one CpG:

| variant | level of the CpGs | found | warned without one |
| --- | --: | --: | --: |
{variants}

A G that reads A shows on every molecule, at any level. A C that is a T reads as an unmethylated CpG: it shows only on molecules whose CpGs
around are methylated, so not at a few percent.
"""  # noqa: E501


def _per_study(cell):
    """Mean error of CpG 1-4 over numbers of templates, in points, with its standard error where studies are several."""
    means = 100 * cell.groupby(["T", "study"])["first"].mean()
    of_templates, number = means.groupby("T").mean(), means.groupby("T").size()
    if number.min() < 2:
        return f"{of_templates.mean():+.2f}"
    return f"{of_templates.mean():+.2f} ± {np.sqrt((means.groupby('T').var() / number).mean() / len(number)):.2f}"


def write_page(rows, shapes, reach, variants, path):
    """Write the page from the rows of `measure`, also of further ``shapes``, `measure_reach` and `measure_variants`."""
    rows = rows.assign(**{f"holds_{n}": rows[n].between(rows["low"], rows["high"]) for n in ("level", "drawn")},
                       own=100 * (rows["beta"] - rows["level"]).abs(),
                       ideal=100 * (rows["perfect"] - rows["level"]).abs(),
                       informed=100 * (rows["known"] - rows["level"]).abs())  # fmt: skip
    parts = []
    for column, form in (
        ("simulator", "{}"),
        ("T", "{:,} templates"),
        ("e", "e of {:.2%}"),
        ("cv", "CV of copies {:g}"),
    ):
        for value, cell in rows.groupby(column, sort=True):
            parts.append(f"| {form.format(value)} | {len(cell)} | {100 * cell['holds_level'].mean():.1f} % |")
    ratios, firsts = [], []
    for e, cell in rows.groupby("e"):
        own, ideal, informed = (cell[c].mean() for c in ("own", "ideal", "informed"))
        mine = reach[reach["e"] == e]
        limit = f"{mine['known'].mean() / mine['perfect'].mean():.2f}" if len(mine) else f"{informed / ideal:.2f}"
        ratios.append(f"| {100 * e:g} % | {limit} | {own / ideal:.2f} | {own / informed:.2f} |")
        mine = pd.concat([cell[cell["simulator"] == "chain"], shapes[shapes["e"] == e]])
        cells = (_per_study(part) for part in [*(part for _, part in mine.groupby("T")), mine])
        firsts.append(f"| {100 * e:g} % | {' | '.join(cells)} |")
    lines = []
    for (simulator, templates, e), cell in rows.groupby(["simulator", "T", "e"]):
        lines.append(
            f"| {simulator} | {templates:,} | {100 * e:g} | {len(cell)} | {100 * cell['holds_level'].mean():.0f} % | "
            f"{100 * cell['holds_drawn'].mean():.0f} % | {100 * (cell['high'] - cell['low']).mean():.2f} | "
            f"{cell['true'].median():,.0f} | {cell['estimated'].median():,.0f} | {100 * cell['thin'].mean():.0f} % | "
            f"{cell['own'].mean() / cell['ideal'].mean():.2f} | "
            f"{100 * cell['first'].mean():+.2f} |"
        )
    names = {"lacks_c": "C/T at the CpG's C", "lacks_g": "G/A at the CpG's G"}
    found = [
        f"| {names[v['kind']]} | {100 * v['mean']:g} % | {v['found']} of {v['n']} | {v['warned']} of {v['others']} |"
        for v in variants
    ]
    held, n = rows["holds_level"].mean(), len(rows)
    text = PAGE.format(
        reads=f"{READS:,}",
        libraries=LIBRARIES,
        coverage=100 * held,
        n=f"{n:,}",
        chance=100 * np.sqrt(held * (1 - held) / n),
        parts="\n".join(parts),
        own=rows["own"].mean(),
        perfect=rows["ideal"].mean(),
        reach=f"{len(reach) // reach['e'].nunique():,}",
        per_e=len(rows) // rows["e"].nunique(),
        shape_studies=len(shapes[["T", "study"]].drop_duplicates()),
        flat=100 * SHAPE_E * flat_error(),
        ratio=rows["own"].mean() / rows["ideal"].mean(),
        ratios="\n".join(ratios),
        firsts="\n".join(firsts),
        rows="\n".join(lines),
        false=int(rows["warned"].sum()),
        false_share=100 * rows["warned"].mean(),
        variant_templates=VARIANT_TEMPLATES,
        variants="\n".join(found),
    )
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def main():
    """Simulate and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1, help="studies in each cell")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration_templates.md")
    parser.add_argument("--rows", type=Path, help="keep every library's row in this table")
    parser.add_argument("--kept", type=Path, help="take the libraries' rows from a table that --rows kept")
    given = parser.parse_args()
    cells = list(product(SIMULATORS, TEMPLATES, FAILURES))
    with ProcessPoolExecutor(given.cores) as pool:
        if given.kept:
            rows = pd.read_csv(given.kept, sep="\t")
        else:
            rows = pd.concat(pool.map(measure, cells, [given.studies] * len(cells)), ignore_index=True)
        kinds = [("lacks_g", 0.04), ("lacks_c", 0.6)]
        if given.rows:
            rows.to_csv(given.rows, sep="\t", index=False)
        sloped = [("chain", templates, SHAPE_E) for templates in TEMPLATES]
        shapes = pd.concat(pool.map(measure, sloped, [SHAPE_STUDIES] * len(sloped), [SEED + 1] * len(sloped)))
        shapes["study"] += given.studies
        reach = pd.concat(pool.map(measure_reach, cells), ignore_index=True)
        variants = list(pool.map(measure_variants, *zip(*kinds)))
    write_page(rows, shapes, reach, variants, given.out)


if __name__ == "__main__":
    main()
