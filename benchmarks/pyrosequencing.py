"""How a pyrosequencer's levels keep their promises: simulated readings with a floor, and real titrations.

usage: python benchmarks/pyrosequencing.py 100             (studies; prints the table of docs/methylation.md)
       python benchmarks/pyrosequencing.py DATA_FOLDER     (tables of Bock and others 2016: the public repository
                                                           epigen/methylation-biomarker-benchmark)
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from hpaxis.methylation.assays.instrument import band, instrument_error, usable
from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.bias import excess_scatter
from hpaxis.methylation.levels.readings import Readings
from hpaxis.schemas import load, with_defaults

SETTINGS = with_defaults({}, load("config/methylation")).pyrosequencing
LEVELS, LIBRARIES, N_CPGS = (0.4, 0.8, 3.0, 10.0, 50.0), 16, 13
# Bock and others 2016: one pyrosequencing run against its replicate, below 5 %, at 5-20 %, 20-80 % and above.
ERRORS = np.array([0.76, 1.87, 2.81, 2.47])
TITRATIONS = {
    "partly methylated DNA": ([f"IVM_{i}" for i in range(1, 7)], [0, 0.01, 0.1, 0.5, 0.75, 1]),
    "cell line in blood": (["B_96050", "B_83366", "B_39141", "B_77007", "B_14129", "B_33773"],
                           [0, 0.0001, 0.001, 0.01, 0.1, 1]),
}  # fmt: skip
ASSAYS = ("Pyroseq_1", "Pyroseq_2", "Pyroseq_3", "Pyroseq_4", "Pyroseq_5")


def simulate(rng, spread=0.3):
    """Readings of two runs per library, negative ones written as 0, and each library's true mean (percent)."""
    rows, truth = [], {}
    for i, mean in enumerate(np.repeat(LEVELS, LIBRARIES)):
        name, level = f"S{i:03d}", max(mean + rng.normal(0, spread * mean), 0.02)
        truth[name] = mean, level
        for well in ("A1", "B1"):
            seen = np.clip(level + rng.normal(0, ERRORS[band(mean / 100)], N_CPGS), 0, 100).round(2)
            rows += [(name, well, "a", f"c{c:02d}", v, "passed") for c, v in enumerate(seen)]
    return pd.DataFrame(rows, columns=["library_id", "well", "assay", "cpg_id", "percent", "quality"]), truth


def calibrate(studies):
    """Bias and coverage of the 13-CpG mean by true level."""
    panel = SimpleNamespace(cpgs=pd.DataFrame({"cpg_id": [f"c{c:02d}" for c in range(N_CPGS)]}))
    found = {level: [] for level in LEVELS}
    for seed in range(studies):
        readings, truth = simulate(np.random.default_rng(seed))
        error = instrument_error(readings, SETTINGS)
        for name, rows in usable(readings, error.floor).groupby("library_id"):
            sample = Readings(
                row=None,
                panel=panel,
                rows=rows,
                qualities=[],
                error=error,
                conversion=estimate.ASSUMED,
                covered=None,
                masked=None,
                excluded=None,
                notes=[],
            )
            e = sample.levels(np.full((N_CPGS, 1), 1 / N_CPGS), estimate.ASSUMED, 0.95)
            mean, level = truth[name]
            found[mean].append((100 * e.beta[0] - level, e.low[0] <= level / 100 <= e.high[0]))
    print("| true level | libraries | bias, points | 95 % intervals that hold the truth |\n| --- | --- | --- | --- |")
    for level, values in found.items():
        bias, held = np.transpose(values)
        print(f"| {level:g} % | {len(bias)} | {bias.mean():+.3f} | {held.mean():.3f} |")


def titrations(folder):
    """Linear mixing between the ends of two titrations, by assay: with the error of repeats, and with accuracy too.

    Repeats of a run share conversion and PCR. What samples differ by beyond them, kappa p (1 - p), is estimated from
    every second locus of an assay's titration, as hpaxis does from standards (`bias.excess_scatter`), and tried on the
    others; the interval is Student's t by the loci that it comes from.
    """
    first, second = (_levels(folder, name) for name in ("Pyroseq_1", "Pyroseq_1_replicate"))
    both = pd.concat([first["meth"], second["meth"]], axis=1, join="inner").dropna()
    mean, difference = both.mean(axis=1), both.iloc[:, 0] - both.iloc[:, 1]
    at = band(mean / 100)
    sd = np.array([np.sqrt((difference[at == b] ** 2).mean() / 2) for b in range(4)])
    print("SD of a reading by band, points:", sd.round(2), "n", np.bincount(at, minlength=4))
    columns = ("assay", "titration", "loci", "mixtures", "held, repeats' error", "held, with accuracy (± SE)",
               "accuracy, SD at 50 %", "mean difference, points")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n| {' | '.join('---' for _ in columns)} |")
    for assay in ASSAYS:
        values = _levels(folder, assay)["meth"].unstack()
        for title, (names, shares) in TITRATIONS.items():
            if not set(names) <= set(values.columns) or values[names].dropna().empty:
                continue
            d, v, w = _deviations(values[names].dropna().to_numpy() / 100, np.array(shares), sd / 100)
            plain = np.abs(d) <= norm.ppf(0.975) * np.sqrt(v)
            half, wide, kappas = np.arange(len(d)) % 2, np.zeros_like(plain), []
            for i in (0, 1):
                mine, others = half == i, half != i
                kappas.append(excess_scatter(d[others].ravel(), v[others].ravel(), w[others].ravel(), d[others].size))
                t = student.ppf(0.975, others.sum() - 1)
                reach = norm.ppf(0.975) ** 2 * v[mine] + t**2 * kappas[-1] * w[mine]
                wide[mine] = np.abs(d[mine]) <= np.sqrt(reach)
            accuracy = 100 * np.sqrt(np.mean(kappas)) / 2
            chance = wide.mean(axis=1).std(ddof=1) / np.sqrt(len(wide))  # mixtures of a locus share its ends
            print(f"| {assay[-1]} | {title} | {len(d)} | {d.size} | {plain.mean():.2f} | "
                  f"{wide.mean():.2f} ± {chance:.2f} | "
                  f"{accuracy:.1f} | {100 * d.mean():+.2f} |")  # fmt: skip


def _deviations(values, shares, sd):
    """Mixtures less linear mixing (loci × mixtures), its variance by repeats, and p (1 - p) of mixture and ends."""
    inner = shares[1:-1]
    each = [
        values[:, 1:-1],
        np.repeat(values[:, :1], len(inner), axis=1),
        np.repeat(values[:, -1:], len(inner), axis=1),
    ]
    weights = [np.ones_like(inner), 1 - inner, inner]
    d = each[0] - weights[1] * each[1] - weights[2] * each[2]
    v = sum(w**2 * sd[band(x)] ** 2 for w, x in zip(weights, each))
    # A sample at 0 % has some error too.
    return d, v, sum(w**2 * np.maximum(x * (1 - x), 0.0005) for w, x in zip(weights, each))


def _levels(folder, name):
    table = pd.read_csv(Path(folder) / f"results_main_study_{name}.txt", sep="\t", dtype=str, encoding="latin-1")
    columns = [c for c in table.columns if c.endswith("_meth")]
    values = table.set_index("locus_identifier")[columns].apply(pd.to_numeric, errors="coerce")
    values.columns = [c.removesuffix("_meth") for c in columns]
    # One laboratory's table holds fractions.
    return (values if values.max(axis=None) > 1 else 100 * values).stack().to_frame("meth")


if __name__ == "__main__":
    titrations(sys.argv[1]) if Path(sys.argv[1]).is_dir() else calibrate(int(sys.argv[1]))
