"""Does 5 % mean 5 % at n = 44? Error rates and coverage of every method, written to docs/calibration_moderation.md.

Usage: calibrate_moderation.py [--cores 2] [--simulations 4000] [--draws 999] [--out docs/calibration_moderation.md]
The same table whatever the cores: every chunk of simulations has its own seed.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from hpaxis.moderation.batches import many_designs, studentiser, t_and_f, weighted_coefficients
from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.diagnostics import SKEW
from hpaxis.moderation.linear import fit_linear
from hpaxis.moderation.region import STEPS, johnson_neyman, observed_region
from hpaxis.moderation.resample import (
    acceleration,
    bca_interval,
    bootstrap_counts,
    left_out_counts,
    permuted_outcomes,
    share_reaching,
    units,
    wild_outcomes,
)
from hpaxis.moderation.seeds import generator
from hpaxis.tables import whole_file

N_PER_ARM, ALPHA, CHUNK, SEED = 22, 0.05, 100, 20240112
ARM = np.repeat(["control", "treatment"], N_PER_ARM)
CELLS = [(x, v) for x in ("normal", "skewed") for v in ("equal", "dependent")]
ANALYTIC = ("OLS", "HC0", "HC1", "HC2", "HC3", "HC4")
DRAWN = ("restricted wild bootstrap", "Freedman-Lane", "percentile bootstrap", "BCa bootstrap")
WHAT = {
    ("normal", "equal"): "normal predictor, equal variance",
    ("normal", "dependent"): "normal predictor, variance depends on it",
    ("skewed", "equal"): "skewed predictor, equal variance",
    ("skewed", "dependent"): "skewed predictor, variance depends on it",
}


def draw(predictor, variance, size, rng):
    """Return predictor and outcome, each (size, n): no slope and no arm effect, so that every rejection is wrong."""
    shape = (size, 2 * N_PER_ARM)
    x = rng.standard_normal(shape) if predictor == "normal" else rng.exponential(size=shape) - 1
    sd = np.ones(shape) if variance == "equal" else 0.1 + np.abs(x)
    return x, sd * rng.standard_normal(shape)


def simulate(cell, chunk, size, draws):
    """Return how often each event happened among ``size`` simulated studies: event to count."""
    rng = generator(SEED, "calibration", *cell, chunk)
    x, y = draw(*cell, size, rng)
    treated = (ARM == "treatment").astype(float)
    X = np.stack([np.ones_like(x), x, np.broadcast_to(treated, x.shape), x * treated], axis=2)
    events = {"skew warned": int((np.abs(stats.skew(x, axis=1)) > SKEW).sum())}
    for kind in ANALYTIC:
        events |= analytic(kind, X, y, x)
    template = build_design(pd.DataFrame({"y": y[0], "x": x[0], "arm": ARM}), Spec("y", "x", "arm"))
    for i in range(size):
        design = replace(template, X=X[i], y=y[i])
        for name, happened in drawn(design, draws, rng).items():
            events[name] = events.get(name, 0) + int(happened)
    return events


def analytic(kind, X, y, x):
    """Events of one covariance: interaction rejected, slope covered, zero effect of the arm called one."""
    df = X.shape[1] - X.shape[2]
    critical = stats.t.isf(ALPHA / 2, df)
    b, V = many_designs(X, y, kind)
    t = b / np.sqrt(np.einsum("Njj->Nj", V))
    slope = b[:, 1] + b[:, 3]
    slope_se = np.sqrt(V[:, 1, 1] + V[:, 3, 3] + 2 * V[:, 1, 3])
    found = {"any": 0, "any fdr": 0}
    for i in range(len(y)):
        C = V[i][np.ix_([2, 3], [2, 3])]
        for name, value in (("any", critical), ("any fdr", fdr_critical(b[i, 2:], C, x[i], df))):
            region = johnson_neyman(b[i, 2:], C, value)
            found[name] += observed_region(*region, x[i])["observed_kind"] != "none"
    return {
        f"{kind}|interaction": int((np.abs(t[:, 3]) > critical).sum()),
        f"{kind}|slope covered": int((np.abs(slope / slope_se) <= critical).sum()),
        f"{kind}|region at a given value": int((np.abs(t[:, 2]) > critical).sum()),
        f"{kind}|region anywhere": found["any"],
        f"{kind}|region anywhere, FDR": found["any fdr"],
    }


@cache
def fdr_levels(df):
    """Return the critical t of the levels i / m alpha, i from 1 to m = STEPS + 1."""
    return stats.t.isf(np.arange(1, STEPS + 2) / (STEPS + 1) * ALPHA / 2, df)


def fdr_critical(b, C, x, df):
    """Esarey and Sumner's critical t, as `hpaxis.moderation.region.fdr_critical_t`, from two coefficients."""
    z = np.linspace(x.min(), x.max(), STEPS + 1)
    t = np.abs(b[0] + b[1] * z) / np.sqrt(C[0, 0] + 2 * z * C[0, 1] + z**2 * C[1, 1])
    # The rule on p is one on t: the i-th largest t against the critical t of level i / m alpha.
    critical = fdr_levels(df)
    passed = np.flatnonzero(np.sort(t)[::-1] >= critical)
    return critical[passed[-1] if len(passed) else 0]


def drawn(design, draws, rng):
    """Events of the resampling methods in one study, HC3 studentised: name to whether it happened."""
    fit = fit_linear(design, "HC3")
    student = studentiser(design, "HC3", design.interactions)
    t = abs(t_and_f(*student(design.y[None]))[0][0, 0])
    events = {}
    for name, make in (("restricted wild bootstrap", wild_outcomes), ("Freedman-Lane", permuted_outcomes)):
        null = np.abs(t_and_f(*student(make(fit, draws, rng)))[0][:, 0])
        events[f"{name}|interaction"] = share_reaching(null, t) <= ALPHA
    unit, stratum = units(design)
    C = np.array([[0, 0, 0, 1.0], [0, 1.0, 0, 1.0]])
    b = weighted_coefficients(design.X, design.y, bootstrap_counts(unit, stratum, draws, rng)) @ C.T
    left_out = weighted_coefficients(design.X, design.y, left_out_counts(unit, stratum)) @ C.T
    for j, (event, wrong) in enumerate((("interaction", True), ("slope covered", False))):
        kept = b[np.isfinite(b[:, j]), j]
        ends = {
            "percentile bootstrap": np.quantile(kept, [ALPHA / 2, 1 - ALPHA / 2]),
            "BCa bootstrap": bca_interval(C[j] @ fit.beta, kept, acceleration(left_out[:, j], stratum), ALPHA),
        }
        for name, (low, high) in ends.items():
            events[f"{name}|{event}"] = (low > 0 or high < 0) if wrong else low <= 0 <= high
    return events


def run(simulations, draws, cores):
    """Return the share of each event in each cell, with n: a frame of cells by events."""
    jobs = [(cell, chunk) for cell in CELLS for chunk in range(simulations // CHUNK)]
    with ProcessPoolExecutor(cores) as pool:
        counts = list(pool.map(_job, [(cell, chunk, draws) for cell, chunk in jobs]))
    totals = pd.DataFrame(counts, index=pd.MultiIndex.from_tuples([cell for cell, _ in jobs]))
    return totals.groupby(level=[0, 1], sort=False).sum() / (simulations // CHUNK * CHUNK)


def _job(arguments):
    cell, chunk, draws = arguments
    return simulate(cell, chunk, CHUNK, draws)


def page(shares, simulations, draws):
    """Return the Markdown page."""
    error = np.sqrt(0.05 * 0.95 / simulations)
    lines = [
        "# Calibration of the moderation stage",
        "",
        "Written by `make calibration`; do not edit. "
        f"Every cell is {simulations:,} simulated studies of {2 * N_PER_ARM} people in two arms of {N_PER_ARM}, "
        f"with no slope and no effect of the arm; resampling uses {draws:,} draws and statistics studentised with HC3. "
        f"The simulation error of a rate of .05 is {error:.3f} (one standard error).",
        "",
        "Predictor: standard normal, or exponential (skewness 2). Error SD: 1, or 0.1 + |predictor|.",
        "",
    ]
    lines += table("Interaction (b3) found at 5 % where there is none", shares, "interaction", (*ANALYTIC, *DRAWN))
    lines += table("95 % interval of a simple slope holds it", shares, "slope covered", (*ANALYTIC, *DRAWN[2:]))
    lines += table("Region of significance takes in one given value where the arms are alike", shares,
                   "region at a given value", ANALYTIC)  # fmt: skip
    lines += table("Region of significance takes in any value of the observed range where the arms are alike", shares,
                   "region anywhere", ANALYTIC)  # fmt: skip
    lines += table("The same with Esarey and Sumner's critical t", shares, "region anywhere, FDR", ANALYTIC)
    warned = ", ".join(f"{WHAT[cell]} {share:.2f}" for cell, share in shares["skew warned"].items())
    lines += [
        "## What the report says by itself",
        "",
        f"A study whose predictor has a skewness beyond {SKEW:g} is warned that robust errors may reject too often. "
        f"Share of the simulated studies so warned: {warned}.",
        "",
        "Covariates, unequal arms and other n are not in these tables.",
        "",
    ]
    return "\n".join(lines)


def table(title, shares, event, methods):
    """Return the lines of one table, methods by cells; rates beyond .04 to .06 (coverage .94 to .96) are marked."""
    lines = [f"## {title}", "", "| method | " + " | ".join(WHAT[c] for c in CELLS) + " |", "| --- |" + " ---: |" * 4]
    for method in methods:
        values = [shares.loc[cell, f"{method}|{event}"] for cell in CELLS]
        far = [abs(min(v, 1 - v) - ALPHA) > 0.01 + 1e-9 for v in values]
        cells = [f"{v:.3f}{' *' if f else ''}" for v, f in zip(values, far, strict=True)]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return [*lines, "", "\\* more than .01 from the nominal rate.", ""]


def main():
    """Simulate and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--simulations", type=int, default=4000)
    parser.add_argument("--draws", type=int, default=999)
    parser.add_argument("--out", type=Path, default=Path("docs/calibration_moderation.md"))
    arguments = parser.parse_args()
    shares = run(arguments.simulations, arguments.draws, arguments.cores)
    with whole_file(arguments.out) as part:
        part.write_text(page(shares, arguments.simulations, arguments.draws), encoding="utf-8")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
