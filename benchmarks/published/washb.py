"""WASH Benefits Bangladesh: NR3C1 exon 1F and cortisol in a cluster-randomised trial, and what a reading of zero is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from page import Section, absent, interval, table

from hpaxis.moderation import fit
from hpaxis.moderation.censored import fit_tobit
from hpaxis.moderation.covariance import covariance
from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.linear import least_squares, t_table

ARMS = ("Control", "Nutrition + WSH")
# Readings of zero in either arm, as the published numbers of readings and their means imply.
ZEROS = {"t3_gcr_mean": (16, 23), "t3_gcr_cpg12": (118, 184)}
WHAT = {"t3_gcr_mean": "mean of exon 1F", "t3_gcr_cpg12": "CpG 12 (NGFI-A)"}
SALIVA = ["t3_saa_z01", "t3_saa_z02", "t3_cort_z01", "t3_cort_z03"]
CLUSTERS_PER_BLOCK = 8
DRAWS = 10
PUBLISHED = {"t3_gcr_cpg12": "-0.0421 (-0.0816, -0.0025), p .037", "t3_gcr_mean": "-0.00099 (-0.0197, 0.0177)"}


def section(folder: Path) -> Section:
    """Reproduce the published table, then ask the same readings other questions."""
    path = folder / "washb" / "wbb-eed-stress-data.RDS"
    found = Section(
        "WASH Benefits Bangladesh (NCT01590095)",
        "public repository washb-eed-substudies/eed-stress, commit 29d61eab, `final-data/wbb-eed-stress-data.RDS`, to "
        "be put in `washb/`. Its licence is not stated: nothing of it is in this repository. Published: Lin et "
        "al. 2024, "
        "Nature Communications 15:3572.",
        missing=absent([path]),
    )
    if found.missing:
        return found
    data = read(path)
    lines = found.lines
    lines += ["The file gives strict logits, in which a reading of zero is missing. The published analysis keeps the "
              "zeros, on the scale logit(.025 + .95 p). How many there are follows from the published numbers of "
              "readings.", "", "### The published table, reproduced", ""]  # fmt: skip
    lines += reproduced(data)
    lines += ["### The difference between the arms, and what a zero is taken to be", "",
              "Nutrition + WSH less control; 95 % intervals by blocks (CR2; censored regression: jackknife over "
              "blocks). "
              "283 children with a mean of the region and no reading of CpG 12 are those with a zero there. The file "
              "does not say which of the children without either had zeros: they are drawn at random among those "
              f"with saliva, {DRAWS} times, and rows are means over the draws.", ""]  # fmt: skip
    lines += differences(data)
    lowest = data.loc[data["t3_gcr_cpg12"] > 0, "t3_gcr_cpg12"].min()
    step = float(scaled(lowest) - scaled(0.0))
    lines += ["Why they differ: the published intervals come from the trial's own estimator, which is not run "
              "again here; "
              "the differences are those of the means on its scale (for the region, to .0001). On that scale a zero of "
              f"CpG 12 lies {step:.2f} below its lowest reading, {100 * lowest:.2f} %: about one SD of all "
              "readings. The "
              "difference there is for the most part one in how many readings are zero (last row); among the readings "
              "above the floor the sign is the opposite, with an interval on both sides of 0.", "",
              "### NR3C1 × arm → cortisol reactivity", "",
              "Outcome: the residual of the second cortisol reading on the first (`t3_residual_cort`); outcome and "
              "predictor in SDs; CR2 by blocks; children whose zero cannot be placed are left out.", ""]  # fmt: skip
    lines += moderated(data)
    lines += ["No conclusion is drawn here beyond the numbers."]
    return found


def read(path: Path) -> pd.DataFrame:
    """The two arms, with block, and readings as shares; zeros that can be placed are zero."""
    import pyreadr

    data = pyreadr.read_r(str(path))[None]
    data = data[data["tr"].isin(ARMS)].reset_index(drop=True)
    data["tr"] = data["tr"].astype(str)
    data["block"] = (data["clusterid"].astype(int) - 1) // CLUSTERS_PER_BLOCK + 1
    for name in ZEROS:
        logits = data[name].to_numpy(dtype=float)
        data[name] = np.where(np.isnan(logits), np.nan, 1 / (1 + np.exp(-np.nan_to_num(logits))))
    data["strict"] = np.log(data["t3_gcr_cpg12"] / (1 - data["t3_gcr_cpg12"]))
    data.loc[data["t3_gcr_mean"].notna() & data["t3_gcr_cpg12"].isna(), "t3_gcr_cpg12"] = 0.0
    return data


def scaled(share: np.ndarray) -> np.ndarray:
    """The published scale."""
    squeezed = 0.025 + 0.95 * share
    return np.log(squeezed / (1 - squeezed))


def reproduced(data: pd.DataFrame) -> list[str]:
    """Numbers of readings, means and SDs; they depend on how many zeros there are, not on whose they are."""
    rows = []
    for name, zeros in ZEROS.items():
        parts = []
        for arm, number in zip(ARMS, zeros):
            mine = data.loc[data["tr"] == arm, name]
            parts.append(np.concatenate([mine[mine > 0], np.zeros(number)]))
        for label, shares in zip((*ARMS, "both"), (*parts, np.concatenate(parts))):
            values = scaled(shares)
            cells = len(shares), np.count_nonzero(shares == 0), f"{values.mean():.6f}", f"{values.std(ddof=1):.6f}"
            rows.append((WHAT[name], label, *cells, f"{100 * shares.mean():.3f}", f"{100 * shares.std(ddof=1):.3f}"))
    lines = table(["reading", "arm", "n", "zeros", "mean, published scale", "SD", "mean, %", "SD, %"], rows)
    return [*lines, "Published: .383 % (SD .310, n 742) and .834 % (SD .948, n 722); on the published scale -3.389245 "
            "(.247725), -3.431334 (.257611) and -3.411747 (.253755) for CpG 12, -3.527693 and -3.528775 for the mean.",
            ""]  # fmt: skip


def drawn(data: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The data with the zeros that cannot be placed drawn among the children with saliva and no reading."""
    data = data.copy()
    candidates = data["t3_gcr_mean"].isna() & data[SALIVA].notna().any(axis=1)
    for k, arm in enumerate(ARMS):
        mine = rng.permutation(np.flatnonzero(candidates & (data["tr"] == arm)))[: ZEROS["t3_gcr_mean"][k]]
        data.loc[mine, "t3_gcr_mean"] = 0.0
        left = ZEROS["t3_gcr_cpg12"][k] - int(((data["tr"] == arm) & (data["t3_gcr_cpg12"] == 0)).sum())
        data.loc[rng.permutation(mine)[:left], "t3_gcr_cpg12"] = 0.0
    return data


def difference(data: pd.DataFrame, values: np.ndarray, side: np.ndarray | None = None) -> tuple[float, float, float]:
    """Difference of the arms with its interval; ``side``: -1 where the value is only known to be below."""
    known = ~np.isnan(values)
    rows = data[known].reset_index(drop=True)
    arm = (rows["tr"] == ARMS[1]).to_numpy(dtype=float)
    X, y = np.column_stack([np.ones(len(arm)), arm]), values[known]
    if side is None:
        beta, residuals = least_squares(X, y)
        found = covariance("CR2", X, residuals, rows["block"].to_numpy())
    else:
        frame = rows.assign(y=y, row=np.arange(len(y), dtype=float))
        template = build_design(frame, Spec("y", "row", "tr", cluster="block", reference=ARMS[0]))
        tobit = fit_tobit(replace(template, X=X, y=y), side[known], "HC3")
        beta, found = tobit.beta, tobit.cov
    C = np.array([[0.0, 1.0]])
    row = t_table(C @ beta, np.sqrt(found.variance(C)), found.df(C), 0.05).iloc[0]
    return row["estimate"], row["low"], row["high"]


def treatments(name: str) -> dict[str, tuple[Callable, int]]:
    """What a zero is taken to be: how a draw of the data becomes values and sides, and digits."""

    def reading(data):
        return data[name].to_numpy(dtype=float)

    def positive(data):
        return np.where(reading(data) > 0, reading(data), np.nan)

    def floor(data):
        return np.nanmin(positive(data))

    def below(data):
        return np.where(reading(data) == 0, -1, 0)

    def at_floor(data, share):
        return np.where(reading(data) == 0, share * floor(data), reading(data))

    def seen(data):
        return np.where(np.isnan(reading(data)), np.nan, 100.0 * (reading(data) > 0))

    return {
        "zero, on the published scale": (lambda d: (scaled(reading(d)), None), 4),
        "censored below the lowest reading, published scale": (lambda d: (scaled(at_floor(d, 1)), below(d)), 4),
        "missing, published scale": (lambda d: (scaled(positive(d)), None), 4),
        "missing, strict logit": (lambda d: (np.log(positive(d) / (1 - positive(d))), None), 4),
        "zero, in percentage points": (lambda d: (100 * reading(d), None), 4),
        "half the lowest reading, in points": (lambda d: (100 * at_floor(d, 0.5), None), 4),
        "censored below the lowest reading, in points": (lambda d: (100 * at_floor(d, 1), below(d)), 4),
        "share of children above the floor, in points": (lambda d: (seen(d), None), 1),
    }


def differences(data: pd.DataFrame) -> list[str]:
    """A table for CpG 12 and one for the region's mean."""
    draws = [drawn(data, np.random.default_rng(seed)) for seed in range(DRAWS)]
    lines = []
    for name in ("t3_gcr_cpg12", "t3_gcr_mean"):
        rows = [("published", PUBLISHED[name])]
        for label, (values, digits) in treatments(name).items():
            estimate, low, high = np.mean([difference(one, *values(one)) for one in draws], axis=0)
            rows.append((label, f"{estimate:.{digits}f} {interval(low, high, digits)}"))
        lines += [*table([f"{WHAT[name]}: a zero is", "difference (95 %)"], rows)]
    return lines


def moderated(data: pd.DataFrame) -> list[str]:
    """The moderation model under each reading of the zeros."""
    data = data.assign(
        region=100 * data["t3_gcr_mean"], region_scaled=scaled(data["t3_gcr_mean"]), cpg=100 * data["t3_gcr_cpg12"],
        cpg_scaled=scaled(data["t3_gcr_cpg12"]), seen=(data["t3_gcr_cpg12"] > 0).where(data["t3_gcr_cpg12"].notna()),
    )  # fmt: skip
    data["seen"] = data["seen"].astype(float)
    rows = []
    for column, label in (
        ("region", "mean of exon 1F, %"), ("region_scaled", "mean, published scale"), ("cpg", "CpG 12, %, zeros as 0"),
        ("cpg_scaled", "CpG 12, published scale, zeros as 0"), ("strict", "CpG 12, strict logit, zeros missing"),
        ("seen", "CpG 12 above the floor or not"),
    ):  # fmt: skip
        result = fit(data, outcome="t3_residual_cort", predictor=column, moderator="tr", reference=ARMS[0],
                     cluster="block", covariance="CR2", standardise=("outcome", "predictor"))  # fmt: skip
        slopes = result.slopes.set_index("moderator")
        cells = [f"{slopes.loc[a, 'estimate']:.3f} {interval(*slopes.loc[a, ['low', 'high']], 3)}" for a in ARMS]
        b3 = result.slope_differences.iloc[0]
        region = result.region.iloc[0]
        cells += [
            f"{b3['estimate']:.3f} {interval(b3['low'], b3['high'], 3)}",
            f"{b3['p']:.3f}",
            region["observed_kind"],
        ]
        rows.append((label, result.design.n, *cells))
    return table(["predictor", "n", "slope, control", "slope, Nutrition + WSH", "difference", "p", "region"], rows)
