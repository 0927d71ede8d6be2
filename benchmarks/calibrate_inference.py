"""Do joint tests, mediation, regions and verdicts err as seldom as they say? Written to docs/calibration_inference.md.

Usage: calibrate_inference.py [--cores 2] [--studies 2000] [--only multiverse] [--out docs/calibration_inference.md]
The same page whatever the cores: every study has its own seed. --only makes one part; what is made is kept in
build/calibration, and the page holds the parts that are there.
"""

import argparse
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.linear import fit_linear
from hpaxis.moderation.mediation import mediation_table
from hpaxis.moderation.multiverse import OUTLIERS, joint_tests, tamed
from hpaxis.moderation.region import johnson_neyman, region_table
from hpaxis.moderation.reliability import regression_calibration, simex, simex_withheld
from hpaxis.moderation.seeds import generator
from hpaxis.moderation.slopes import effects
from hpaxis.moderation.verdict import arm_contrasts, intervals, judge
from hpaxis.tables import whole_file

ALPHA, SEED, DRAWS = 0.05, 20240112, 199
ARMS = ["control", "treatment"]
MARGIN = 0.3


# What is simulated. A cell's arms and families are always the same, so that its design is built once, by `template`,
# and each study puts its own predictor and outcome into it.


def numbers(cell, rng, n=44):
    """Predictor (normal or exponential) and outcome (n,), no interaction or slope; error SD 1 or 0.1 + |predictor|."""
    z = rng.exponential(1, n) if "skewed" in cell else rng.normal(0, 1, n)
    return z, rng.normal(0, 1, n) * (0.1 + np.abs(z) if "unequal" in cell else 1)


def clustered(cell, rng):
    """12 families of 4, intraclass correlation .64 of predictor and outcome, no interaction; six families an arm.

    Partially nested: the 24 people of the control arm have no family.
    """
    family = FAMILIES
    z, y = (rng.normal(size=12)[family] * 0.8 + rng.normal(size=48) * 0.6 for _ in range(2))
    if "nested" in cell:
        alone = family % 2 == 0
        z[alone], y[alone] = rng.normal(size=24), rng.normal(size=24)
    return z, y


FAMILIES = np.repeat(np.arange(12), 4)


@cache
def template(n, families=""):
    """The design of n people in two arms, alternating; or of the 12 families, partially nested if they are."""
    arm = np.array(ARMS)[FAMILIES % 2 if families else np.arange(n) % 2]
    data = pd.DataFrame({"y": np.arange(n) % 7 * 1.0, "x": np.arange(n) % 5 * 1.0, "arm": arm})
    if families:
        alone = "nested" in families and arm == "control"
        data["family"] = np.where(alone, None, np.char.add("f", FAMILIES.astype(str)).astype(object))
    spec = Spec("y", "x", "arm", reference="control", cluster="family" if families else None)
    return build_design(data.set_index(pd.Index([f"{k:03d}" for k in range(n)], name="participant_id")), spec)


def filled(design, x, y, kept=slice(None)):
    """A template with a study's own predictor and outcome, on the rows ``kept``."""
    treated = design.X[:, design.moderator_columns[0]]
    x, y, arm = x[kept], y[kept], treated[kept]
    X = np.column_stack([np.ones(len(x)), x, arm, x * arm])
    return replace(design, X=X, y=y, data=design.data if isinstance(kept, slice) else design.data[kept])


# What is asked of each study: a dictionary of events that happened.


def multiverse_study(cell, rng, seed):
    """Joint tests over 2 scales, 2 covariances and 3 outlier rules (CR2 alone with clusters)."""
    with_clusters = "families" in cell
    z, y = clustered(cell, rng) if with_clusters else numbers(cell, rng)
    design = template(len(z), cell if with_clusters else "")
    kinds = ["CR2"] if with_clusters else ["HC3", "HC4"]
    fits, last = [], (None, [])
    for version in versions(design, z, y):
        last = last if version is last[0] else (version, [fit_linear(version, kind) for kind in kinds])
        fits += last[1]
    joint = joint_tests(fits, DRAWS, generator(SEED, "joint", seed), ALPHA)
    events = {f"joint: {s}": p <= ALPHA for s, p in zip(joint["statistic"], joint["p"], strict=True)}
    own = fits[0].contrasts(np.eye(4)[fits[0].design.interactions])["p"].iloc[0]
    return events | {"the model's own test": own < ALPHA}


def versions(design, z, y):
    """The designs of 2 scales x 3 outlier rules, standardised as the multiverse does; one design where none is out."""
    beta = np.clip(0.03 + 0.004 * z, 0.002, 0.5)
    for x in (beta, np.log2(beta / (1 - beta))):
        untouched = None
        for rule in OUTLIERS:
            own_y, own_x = tamed(y, rule), tamed(x, rule)
            if untouched is not None and np.array_equal(own_y, y) and np.array_equal(own_x, x):
                yield untouched
                continue
            kept = np.isfinite(own_y) & np.isfinite(own_x)
            kept = slice(None) if kept.all() else kept
            version = filled(design, standardised(own_x, kept), standardised(own_y, kept), kept)
            untouched = untouched or version
            yield version


def standardised(values, kept):
    """z scores of the rows kept, SD with n - 1."""
    return (values - values[kept].mean()) / values[kept].std(ddof=1)


def mediation_study(cell, rng, seed):
    """The mediator does nothing (b = 0); the arm moderates its own direct effect and the mediator."""
    n = int(cell.split()[-1])
    design = template(n)
    treated, w = design.X[:, design.moderator_columns[0]], rng.normal(size=n)
    mediator = 0.8 * treated * w + rng.normal(size=n)
    y = -0.4 * w + 0.8 * treated * w + rng.normal(0, 0.9, n)
    table = mediation_table(filled(design, w, y), mediator, "first", 499, np.random.default_rng(seed))
    index = table[table["quantity"].str.startswith("index")]
    return {f"index of PROCESS 8: {r.method}": r.low > 0 or r.high < 0 for r in index.itertuples()}


def region_study(cell, rng, seed):
    """Is any of the observed range significant where the arms are alike?"""
    linear = fit_linear(filled(template(44), *numbers(cell, rng)), "HC3")
    return {
        name: region_table(linear, adjustment, seed)["observed_kind"].iloc[0] != "none"
        for name, adjustment in (("simultaneous", "simultaneous"), ("pointwise", "none"), ("FDR", "fdr"))
    }


def family_region_study(cell, rng, seed):
    """The same with families and CR2, simultaneous alone."""
    linear = fit_linear(filled(template(48, cell), *clustered(cell, rng)), "CR2")
    return {"simultaneous": region_table(linear, "simultaneous", seed)["observed_kind"].iloc[0] != "none"}


def end_study(cell, rng, seed):
    """Does the interval of an end of the region hold the true one, where the arms' slopes are -.6 and 1.6?

    The true end is where the true difference of the arms is the critical t times its true standard error, for the
    study's own predictor. Asked of ends that are seen within the data.
    """
    families = "families" in cell
    x, e = clustered(cell, rng) if families else numbers(cell, rng)
    design = template(len(x), cell if families else "")
    treated = design.X[:, design.moderator_columns[0]]
    fit = fit_linear(filled(design, x, e + np.where(treated == 1, 1.6, -0.6) * x), "CR2" if families else "HC3")
    row = region_table(fit).iloc[0]
    contrast = effects(fit.design)[0][1]
    C = np.array([contrast(0.0), contrast(1.0) - contrast(0.0)])
    half = C @ np.linalg.pinv(fit.design.X)
    true_cov, held = half @ error_covariance(cell, x) @ half.T, []
    for end in ("low", "high"):
        if np.isfinite(row[f"observed_{end}"]) and not np.isnan(row[f"{end}_from"]):
            t = fit.cov.critical(contrast(row[f"observed_{end}"])[None], ALPHA)[0]
            low, high, kind = johnson_neyman(np.array([0.0, 2.2]), true_cov, t)
            above = (row["observed_kind"], end) in (("outside", "high"), ("above", "low"))
            true = (high if above else low) if kind == "outside" else (np.inf if above else -np.inf)
            held.append(row[f"{end}_from"] <= true <= row[f"{end}_to"])
    return {"an end is seen": bool(held), "its interval holds it": np.mean(held) if held else None}


def error_covariance(cell, x):
    """The covariance of the errors (n, n) that `numbers` and `clustered` draw."""
    if "families" not in cell:
        return np.diag((0.1 + np.abs(x)) ** 2 if "unequal" in cell else np.ones(len(x)))
    together = np.where(FAMILIES[:, None] == FAMILIES, 0.64, 0.0) + 0.36 * np.eye(48)
    alone = FAMILIES % 2 == 0
    if "nested" in cell:
        together[np.ix_(alone, alone)] = np.eye(24)
    return together


def reliability_study(cell, rng, seed):
    """200 people, slopes -.4 and .4, error SD .8, the predictor measured with known errors: both corrections of b3."""
    reliabilities = [float(part) for part in cell.split(" and ")]
    design, x = template(200), rng.normal(size=200)
    treated = design.X[:, design.moderator_columns[0]] == 1
    mean = np.where(treated, *[np.sqrt((1 - r) / r) for r in reliabilities[::-1]])
    error = mean * np.sqrt(rng.gamma(8, 1 / 8, 200))
    y = np.where(treated, 0.4, -0.4) * x + rng.normal(0, 0.8, 200)
    fit = fit_linear(filled(design, x + error * rng.normal(size=200), y), "HC3")
    C = np.eye(4)[fit.design.interactions]
    found = {"regression calibration": regression_calibration(fit, error, C, 200, rng)[0]}
    found["SIMEX"] = simex(fit, error, C, 50, rng)
    events = {"SIMEX: shown": simex_withheld(fit.design, error) is None}
    for how, table in found.items():
        row = table.iloc[0]
        events |= {f"{how}: mean": row["estimate"], f"{how}: coverage": row["low"] <= 0.8 <= row["high"]}
    return events


# Slopes of (control, treatment) in SD per SD of the error, and the verdicts that are true of them.
TRUTHS = {
    "perfect buffering (-.8, 0)": (-0.8, 0.0, {"buffered", "weaker with treatment"}),
    "reversal (-.5, .5)": (-0.5, 0.5, {"reversed"}),
    "weaker (-.9, -.4)": (-0.9, -0.4, {"weaker with treatment"}),
    "stronger (-.3, -.9)": (-0.3, -0.9, {"stronger with treatment"}),
    "equal (-.5, -.5)": (-0.5, -0.5, {"alike within the margin"}),
    "none (0, 0)": (0.0, 0.0, {"alike within the margin"}),
}
SILENT = {"nothing shown"}
DIFFER = "slopes differ, form open"


def verdict_study(cell, rng, seed):
    """Normal predictor and error, n people in two arms, margin .3: the verdict, and whether it is wrong."""
    truth, n = cell.rsplit(", n ", 1)
    control, treatment, right = TRUTHS[truth]
    design, z = template(int(n)), rng.normal(size=int(n))
    y = np.where(design.arm == "control", control, treatment) * z + rng.normal(size=int(n))
    fit = fit_linear(filled(design, z, y), "HC3")
    contrasts = arm_contrasts(design, "treatment", "control")
    contrasts["difference"] = contrasts["arm"] - contrasts["reference"]
    said = judge(intervals(fit, contrasts, ALPHA, MARGIN), ALPHA)
    true = right | SILENT | ({DIFFER} if control != treatment else set())
    return {"wrong": said not in true, said: True}


PARTS = {
    "multiverse": (multiverse_study, (
        "normal predictor, equal variance", "normal predictor, unequal variance", "skewed predictor, equal variance",
        "12 families of 4", "12 families of 4, partially nested",
    )),
    "mediation": (mediation_study, ("n 44", "n 200")),
    "region": (region_study, (
        "normal predictor, equal variance", "normal predictor, unequal variance", "skewed predictor, equal variance",
    )),
    "family_region": (family_region_study, ("12 families of 4", "12 families of 4, partially nested")),
    "ends": (end_study, (
        "normal predictor, equal variance", "normal predictor, unequal variance", "skewed predictor, equal variance",
        "12 families of 4", "12 families of 4, partially nested",
    )),
    "reliability": (reliability_study, ("0.9 and 0.9", "0.8 and 0.8", "0.9 and 0.55", "0.55 and 0.55")),
    "verdict": (verdict_study, tuple(f"{truth}, n {n}" for truth in TRUTHS for n in (44, 100, 200))),
}  # fmt: skip


def simulate(job):
    """Run the studies ``start`` to ``stop`` of one cell; returns sums of events, and in how many each is missing."""
    part, cell, start, stop = job
    sums, lacking = Counter(), Counter()
    for i in range(start, stop):
        rng = generator(SEED, "inference", part, cell, i)
        for event, happened in PARTS[part][0](cell, rng, i).items():
            sums[event] += 0 if happened is None else float(happened)
            lacking[event] += happened is None
    return sums, lacking


def shares(part, studies, cores, kept):
    """Write the mean of each event in each cell of a part to ``kept``: cells by events, with the studies done.

    Written after every round of CHUNK studies in each cell, so that a run that is stopped leaves equal cells.
    """
    cells = PARTS[part][1]
    totals, lacking = ({cell: Counter() for cell in cells} for _ in range(2))
    with ProcessPoolExecutor(cores) as pool:
        for start in range(0, studies, CHUNK):
            stop = min(start + CHUNK, studies)
            done = pool.map(simulate, [(part, cell, start, stop) for cell in cells])
            for cell, (sums, lacks) in zip(cells, done, strict=True):
                totals[cell].update(sums)
                lacking[cell].update(lacks)
            asked = stop - pd.DataFrame(lacking).T.fillna(0)
            found = (pd.DataFrame(totals).T.fillna(0) / asked).assign(studies=stop)
            with whole_file(kept) as written:
                found.to_csv(written, sep="\t", index_label="cell")
    print(found.round(3).to_string(), flush=True)


CHUNK = 100
TEXT = {
    "multiverse": (
        "Joint tests over a multiverse, where there is no interaction",
        f"Versions: beta and M value, HC3 and HC4, three outlier rules, {DRAWS} draws; with families CR2 alone. "
        "44 people, or 48 in 12 families (intraclass correlation .64). A share of .04 to .06 is wanted.",
    ),
    "mediation": (
        "Index of moderated mediation, where the mediator does nothing",
        "The arm moderates the mediator and its own direct effect; the default equation keeps the latter (PROCESS 8). "
        "499 draws. A share of .03 to .07 is wanted.",
    ),
    "region": (
        "Region of significance that is not empty, where the arms are alike",
        "44 people, HC3. A share of .04 to .06 is wanted of the simultaneous region, which is the headline.",
    ),
    "family_region": (
        "The same with families",
        "48 people in 12 families (intraclass correlation .64), CR2. A share of .04 to .06 is wanted.",
    ),
    "ends": (
        "Intervals of the ends of a region",
        "Slopes of -.6 and 1.6 in units of the error's SD, pointwise region; 44 people with HC3, or 48 in 12 families "
        "with CR2. The true end is where the true difference of the arms is the critical t times its true standard "
        "error. .95 is wanted.",
    ),
    "reliability": (
        "Corrections for measurement error of the predictor",
        "200 people, slopes -.4 and .4 (b3 = .8), reliabilities in control and treatment as the rows say. SIMEX is "
        "computed here in every study; the report shows it only in the share beside it. A mean of .8 and a "
        "coverage of .95 are wanted.",
    ),
    "verdict": (
        "Verdicts on known truths",
        f"Slopes in SD of the error per SD of the predictor (control, treatment), margin {MARGIN:g}, HC3, normal "
        "errors. Wrong is a verdict that is not true of the slopes; saying nothing, or that the slopes differ where "
        "they do, is not wrong. At most .05 is wanted; where the slopes are equal it is the level of the test of their "
        "difference, which takes more studies than elsewhere to tell from .05.",
    ),
}


def page(results):
    """Return the Markdown page from each part's frame of shares, with a column of studies."""
    lines = ["# Calibration of joint tests, mediation, regions and verdicts", "",
             "Written by `make calibration`; do not edit.", ""]  # fmt: skip
    for part, frame in results.items():
        title, text = TEXT[part]
        studies = int(frame["studies"].iloc[0])
        error = np.sqrt(0.05 * 0.95 / studies)
        shown = frame.drop(columns="studies")
        lines += [f"## {title}", "", f"{text} {studies:,} simulated studies in each cell; the simulation error of a "
                  f"share of .05 is {error:.3f} (one standard error).", ""]  # fmt: skip
        lines += ["| | " + " | ".join(shown.columns) + " |", "| --- |" + " ---: |" * len(shown.columns)]
        for cell, row in zip(shown.index, shown.to_numpy(), strict=True):
            lines.append(f"| {cell} | " + " | ".join(f"{v:.3f}" for v in row) + " |")
        lines.append("")
    return "\n".join(lines)


def main():
    """Simulate and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--studies", type=int, help="of each cell; 2,000, of verdicts 10,000")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--out", type=Path, default=Path("docs/calibration_inference.md"))
    arguments = parser.parse_args()
    kept = Path("build/calibration")
    kept.mkdir(parents=True, exist_ok=True)
    for part in [arguments.only] if arguments.only else PARTS:
        studies = arguments.studies or (10_000 if part == "verdict" else 2000)
        shares(part, studies, arguments.cores, kept / f"{part}.tsv")
    files = {part: kept / f"{part}.tsv" for part in PARTS if (kept / f"{part}.tsv").exists()}
    results = {part: pd.read_csv(path, sep="\t", index_col="cell") for part, path in files.items()}
    with whole_file(arguments.out) as written:
        written.write_text(page(results), encoding="utf-8")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
