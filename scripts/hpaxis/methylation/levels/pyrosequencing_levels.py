"""Levels from a pyrosequencer's readings: its own error from replicates, conversion from its control position.

A reading is y = level + (an error that all positions of its run share) + (an error of its own). Both are estimated from
libraries run in several wells, so positions of one run are not taken as independent. Everything is a fraction here.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpaxis.methylation.assays.pyrosequencer_export import CONTROL_LABEL
from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.bias import NONE, calibrate
from hpaxis.methylation.levels.samples import ALL
from hpaxis.methylation.levels.standards import calibration, error_of, extrapolated, known_level
from hpaxis.methylation.panels.variants import mask_notes, masked_cpgs
from hpaxis.problems import InputError, Problem

# A standard deviation from fewer degrees of freedom is too poorly known (at 10, by about a fifth) to carry an interval.
MIN_DF = 10
LIBRARY = ("library_id", "participant_id", "timepoint", "kind", "panel", "plate", "well")
INSTRUMENT_COLUMNS = ("panel", "position_sd", "shared_sd", "df", "n_replicated", "source", "n_controls",
                      "conversion_mean", "conversion_sd")  # fmt: skip
RANK = ("pass", "warn", "fail")


@dataclass(frozen=True)
class InstrumentError:
    """Standard deviations of one reading: its own and its run's; degrees of freedom; where both come from."""

    position_sd: float
    shared_sd: float
    df: float
    n_replicated: int
    source: str

    def variance(self, runs, weights):
        """Variance of a weighted sum of readings; ``runs``: which run each is of."""
        shared = pd.Series(weights).groupby(np.asarray(runs)).sum().to_numpy()
        return self.position_sd**2 * np.sum(np.square(weights)) + self.shared_sd**2 * np.sum(shared**2)


@dataclass(frozen=True)
class Measured:
    """What libraries of another assay add to a study: see `libraries.estimate_study`."""

    calls: dict
    library_rows: list
    index_rows: list
    limit_rows: list
    curve_rows: list
    standard_rows: list
    instrument: pd.DataFrame


def usable(readings):
    """Readings that count: of a CpG, with a number, not failed; as fractions, with the run that each is of."""
    # Without wells, a sample's second reading of a position is its second run.
    order = readings.groupby(["library_id", "assay", "cpg_id", "well"], dropna=False).cumcount().astype("str")
    names = [readings[c].astype("object").fillna("").astype("str") for c in ("assay", "well")]
    table = readings.assign(level=readings["percent"] / 100, run=names[0] + " " + names[1] + " " + order)
    return table[table["level"].notna() & (table["quality"] != "failed")]


def instrument_error(readings, settings):
    """`InstrumentError` of a study: as the config states it (percentage points), or from libraries in several wells.

    Within a library and assay, runs × positions: the interaction's mean square estimates the variance of a position,
    the runs' mean square less it, over the number of positions, the variance that a run's positions share (two-way
    analysis of variance). Raises `InputError` where neither the config nor enough replicates tell it.
    """
    found = usable(readings)
    found = found[found["cpg_id"] != CONTROL_LABEL]
    rest, df_rest, between, runs, replicated = 0.0, 0, [], 0, set()
    for (library, _), rows in found.groupby(["library_id", "assay"], dropna=False):
        grid = rows.pivot_table(index="run", columns="cpg_id", values="level").dropna(axis=1).to_numpy()
        r, k = grid.shape
        if r < 2 or k < 2:
            continue
        left = grid - grid.mean(axis=1, keepdims=True) - grid.mean(axis=0) + grid.mean()
        rest, df_rest = rest + np.sum(left**2), df_rest + (r - 1) * (k - 1)
        between.append((np.sum((grid.mean(axis=1) - grid.mean()) ** 2), r - 1, k))
        runs, replicated = runs + r - 1, replicated | {library}
    enough = runs >= MIN_DF
    stated, shared = settings["position_sd"], settings["shared_sd"]
    if stated is None and not enough:
        what = f"is not given, and {runs} replicate runs are too few to estimate it from"
        remedy = f"run at least {MIN_DF} libraries in two wells, or state the SD of one position in percentage points"
        raise InputError(Problem("config", what, remedy, column="methylation.pyrosequencing.position_sd"))
    own = stated / 100 if stated is not None else float(np.sqrt(rest / df_rest))
    if shared is not None:
        common = shared / 100
    elif enough:
        variance = rest / df_rest
        common = float(np.sqrt(max(sum(ss - df * variance / k for ss, df, k in between) / runs, 0.0)))
    else:
        common = 0.0
    told = ["config" if stated is not None else "replicates"]
    told.append("config" if shared is not None else "replicates" if enough else "none: taken as independent")
    df = runs if "replicates" in told else np.inf
    return InstrumentError(own, common, df, len(replicated), f"position: {told[0]}; shared: {told[1]}")


def conversion_rates(readings, error):
    """Non-conversion of each library from its control position: library_id → `estimate.Rate`; and (mean, SD, n).

    One reading's error is larger than what conversion differs by, so a library's value is drawn towards the study's
    mean by as much as its reading is noise (empirical Bayes; Efron and Morris, 1973).
    """
    controls = usable(readings)
    controls = controls[controls["cpg_id"] == CONTROL_LABEL]
    names, values, noise = [], [], []
    for library, rows in controls.groupby("library_id"):
        weights = np.full(len(rows), 1 / len(rows))
        names.append(library)
        values.append(rows["level"].mean())
        noise.append(error.variance(rows["run"], weights))
    if not names:
        return {}, (np.nan, np.nan, 0)
    values, noise = np.array(values), np.array(noise)
    spread = max(values.var(ddof=1) - noise.mean(), 0.0) if len(values) > 1 else 0.0
    weights = 1 / (spread + noise)
    mean, mean_variance = np.average(values, weights=weights), 1 / weights.sum()
    kept = spread / (spread + noise)
    rates = np.clip(mean + kept * (values - mean), 0, 1)
    variances = kept * noise + (1 - kept) ** 2 * mean_variance
    found = {n: estimate.Rate(float(v), float(s), np.nan, error.df) for n, v, s in zip(names, rates, variances)}
    return found, (float(mean), float(np.sqrt(spread)), len(names))


UNKNOWN = estimate.Rate(0.0, 0.0, np.inf)


def level(rows, cpgs, error, conversion, over, confidence, curve=NONE):
    """Corrected mean over CpGs of a library's usable readings: dict raw, beta, se, low, high, from_over; NaN for none.

    b = (p - e) / (1 - e - g) with a first-order error; the interval is by Student's t with the instrument's d.f.. Then
    it goes through the inverse of ``curve``.
    """
    rows = rows[rows["cpg_id"].isin(cpgs)]
    if rows.empty or rows["cpg_id"].nunique() < len(cpgs):
        return dict.fromkeys(("raw", "beta", "se", "low", "high", "from_over"), np.nan)
    weights = 1 / rows.groupby("cpg_id")["level"].transform("size").to_numpy() / len(cpgs)
    e, g = conversion.value, over.value
    scale = 1 - e - g
    p = float(weights @ rows["level"].to_numpy())
    beta = (p - e) / scale
    from_over = beta**2 * over.variance / scale**2
    own = error.variance(rows["run"], weights) + (1 - beta) ** 2 * conversion.variance
    se = float(np.sqrt(own / scale**2 + from_over))
    reach = estimate.quantile(confidence, error.df) * se
    values = (np.array([v]) for v in (p, beta, se, beta - reach, beta + reach))
    found = calibrate(estimate.Estimate(*values), curve, confidence)
    parts = {part: float(getattr(found, part)[0]) for part in ("raw", "beta", "se", "low", "high")}
    return parts | {"from_over": from_over / float(curve.slope(found.beta[0])) ** 2}


def estimate_pyrosequencing(sheet, panels, readings, settings):
    """Levels of every library of assay pyrosequencing: `Measured`.

    ``sheet``: their rows of the libraries sheet; ``panels``, name → `Panel`; ``readings``, see
    `pyrosequencing.read_exports`; ``settings``, the config's methylation section.
    """
    calls, library_rows, index_rows, limit_rows, instruments = {}, [], [], [], []
    curve_rows, standard_rows = [], []
    kinds = sheet.set_index("library_id")["kind"]
    telling = readings[readings["library_id"].map(kinds) != "no_template"]
    error = instrument_error(telling, settings["pyrosequencing"])
    confidence = settings["confidence"]
    for name, libraries in sheet.sort_values("library_id").groupby("panel", sort=True):
        panel, here = panels[name], readings[readings["library_id"].isin(libraries["library_id"])]
        rates, (mean, spread, n) = conversion_rates(telling[telling["library_id"].isin(here["library_id"])], error)
        instruments.append({
            "panel": name, "position_sd": error.position_sd, "shared_sd": error.shared_sd, "df": error.df,
            "n_replicated": error.n_replicated, "source": error.source, "n_controls": n, "conversion_mean": 1 - mean,
            "conversion_sd": spread,
        })  # fmt: skip
        counted = {library: usable(rows) for library, rows in here.groupby("library_id")}
        masked = set(panel.cpgs["cpg_id"][masked_cpgs(panel, settings["snp_frequency"])])
        excluded = masked if settings["snp_action"] == "exclude" else set()
        measured = set(here["cpg_id"]) - {CONTROL_LABEL}
        over = _over_conversion(libraries, counted, measured - excluded, error, rates, confidence)
        points_of = _points(libraries, panel, counted, measured - excluded, error, rates, over, settings)
        curves, found_curves, found_standards = calibration(name, panel, "pyrosequencing", points_of, settings)
        curve_rows, standard_rows = curve_rows + found_curves, standard_rows + found_standards
        blanks = {}
        for row in libraries.itertuples():
            rows = counted.get(row.library_id, here.iloc[:0])
            rows = rows[rows["cpg_id"] != CONTROL_LABEL]
            rate = rates.get(row.library_id)

            def found(cpgs, index=ALL, rows=rows, rate=rate, over=over, curves=curves):
                return level(rows, cpgs, error, rate or UNKNOWN, over, confidence, curves[index])

            table = _calls(row.library_id, panel, here[here["library_id"] == row.library_id], found, masked)
            calls[row.library_id] = table
            summary = _library_row(row, table, excluded, rate, over, found, confidence)
            indices, unmeasured = _index_rows(row, panel, table, measured, excluded, found, settings)
            notes = extrapolated(curves[ALL], summary["region_mean_beta"]) if row.kind == "study" else []
            judged = _verdict(row, summary, table, rate, error, unmeasured, notes, settings)
            summary["verdict"], summary["reasons"] = judged
            summary["reasons"] = "; ".join(filter(None, [summary["reasons"], *mask_notes(panel, settings)])) or None
            library_rows.append(summary)
            blanks[row.library_id] = indices
            if row.kind == "study":
                failed = summary["verdict"] == "fail"
                nothing = dict.fromkeys(("beta", "se", "low", "high", "from_over"), np.nan)
                index_rows += [r | nothing | {"reason": summary["reasons"]} if failed else r for r in indices]
        limit_rows += _limit_inputs(name, panel, libraries, blanks)
    instrument = pd.DataFrame(instruments, columns=list(INSTRUMENT_COLUMNS))
    return Measured(calls, library_rows, index_rows, limit_rows, curve_rows, standard_rows, instrument)


def _points(libraries, panel, counted, measured, error, rates, over, settings):
    """What `standards.calibration` asks of a panel's libraries: standards with a reading at all that is measured."""
    cpgs = panel.cpgs["cpg_id"].to_numpy()

    def points_of(members):
        wanted, found = [c for c in cpgs[members] if c in measured], {}
        for row in libraries.itertuples():
            known, rate = known_level(row), rates.get(row.library_id, UNKNOWN)
            if known is None or row.library_id not in counted or 1 - rate.value < settings["conversion_fail"]:
                continue
            value = level(counted[row.library_id], wanted, error, rate, over, settings["confidence"])
            if np.isfinite(value["beta"]):
                found[row.library_id] = known, value["beta"], error_of(known, value["se"], settings)
        return found

    return points_of


def _over_conversion(libraries, counted, measured, error, rates, confidence):
    """g from the 100 % controls of a panel, as for reads; 0 without one."""
    found = []
    for row in libraries[libraries["kind"] == "control_100"].itertuples():
        rows = counted.get(row.library_id)
        cpgs = measured & set(rows["cpg_id"]) if rows is not None else set()
        if not cpgs:
            continue
        expected = 1.0 if pd.isna(row.expected_percent) else float(row.expected_percent) / 100
        rate = rates.get(row.library_id, UNKNOWN)
        seen = level(rows, cpgs, error, UNKNOWN, UNKNOWN, confidence)
        shares = estimate.Shares(*(np.array([v]) for v in (seen["raw"], seen["se"] ** 2, 0.0, np.nan)))
        found.append(estimate.over_conversion(shares, rate, expected))
    return estimate.pool_over_conversion(found)


def _calls(library, panel, rows, found, masked):
    """The library's CpG table; there are no molecules, so counts and depth are NA."""
    table = panel.cpgs[["amplicon", "cpg_id", "chrom", "pos", "strand"]].copy()
    table.insert(0, "library_id", library)
    for column in ("methylated", "unmethylated", "other", "depth"):
        table[column] = pd.array([pd.NA] * len(table), dtype="Int64")
    table["effective_depth"] = np.nan
    levels = pd.DataFrame([found([cpg]) for cpg in table["cpg_id"]], index=table.index)
    table["beta_raw"] = levels["raw"]
    table["beta"] = np.clip(levels["beta"], 0, 1)
    table["beta_unclipped"], table["beta_se"] = levels["beta"], levels["se"]
    table["beta_low"], table["beta_high"] = np.clip(levels["low"], 0, 1), np.clip(levels["high"], 0, 1)
    flags = []
    for cpg, value in zip(table["cpg_id"], levels["beta"]):
        qualities = set(rows.loc[rows["cpg_id"] == cpg, "quality"].dropna())
        here = ["not_measured"] if not (rows["cpg_id"] == cpg).any() else []
        here += [f"quality_{q}" for q in ("check", "failed") if q in qualities]
        here += ["no_reading"] if not here and np.isnan(value) else []
        here += ["clipped"] if value < 0 or value > 1 else []
        here += ["variant"] if cpg in masked else []
        flags.append(";".join(here) or None)
    table["flags"] = pd.Series(flags, index=table.index, dtype="str")
    return table


def _library_row(row, table, excluded, rate, over, found, confidence):
    known = table.loc[table["beta_unclipped"].notna() & ~table["cpg_id"].isin(excluded), "cpg_id"]
    region = found(list(known))
    reach = estimate.quantile(confidence, rate.df) * np.sqrt(rate.variance) if rate else np.nan
    summary = {c: getattr(row, c) for c in LIBRARY} | dict.fromkeys(estimate.LIBRARY_COLUMNS, pd.NA)
    return summary | {
        "non_conversion": rate.value if rate else np.nan,
        "non_conversion_low": max(rate.value - reach, 0.0) if rate else np.nan,
        "non_conversion_high": min(rate.value + reach, 1.0) if rate else np.nan,
        "over_conversion": over.value,
        "over_conversion_se": np.sqrt(over.variance),
        "template_copies": np.nan,
        "median_depth": np.nan,
        "effective_depth": np.nan,
        "n_cpgs": len(known),
        "expected_percent": row.expected_percent,
        "region_mean_beta_raw": region["raw"],
        "region_mean_beta": region["beta"],
        "region_mean_beta_se": region["se"],
        "region_mean_beta_low": region["low"],
        "region_mean_beta_high": region["high"],
    }


def _index_rows(row, panel, table, measured, excluded, found, settings):
    """A row an index; and the indices that the study's assays do not measure, which is nobody's fault."""
    rows, unmeasured = [], []
    known = set(table.loc[table["beta_unclipped"].notna(), "cpg_id"])
    for index, members in panel.indices.groupby("index", sort=False):
        wanted = set(members["cpg_id"]) - excluded
        need = settings["min_cpg_share"] * len(wanted)
        used, reason = [c for c in members["cpg_id"] if c in known & wanted], None
        if not wanted:
            reason = f"{index}: variants destroy all of its CpGs"
        elif len(wanted & measured) < need:
            unmeasured.append(index)
            used = []
        elif len(used) < need:
            reason, used = f"{index}: {len(used)} of {len(wanted)} CpGs have a reading", []
        value = found(used, index)
        value.pop("raw")
        rows.append({"library_id": row.library_id, "participant_id": row.participant_id, "timepoint": row.timepoint,
                     "index": index, **value, "depth": np.nan, "reason": reason})  # fmt: skip
    return rows, unmeasured


def _verdict(row, summary, table, rate, error, unmeasured, notes, settings):
    flags = table["flags"].fillna("")
    if row.kind == "no_template":
        n = int(table["beta_raw"].notna().sum())
        return ("warn", f"positions with a reading in a control without template: {n}") if n else ("pass", None)
    if summary["n_cpgs"] == 0:
        return "fail", "no position has a reading that passed"
    found = []
    for word in ("failed", "check"):
        n = int(flags.str.contains(f"quality_{word}").sum())
        if n:
            found.append(("warn", f"positions of quality {word.capitalize()}: {n}"))
    if rate is None:
        found.append(("warn", "no conversion control position: conversion taken as complete"))
    else:
        for name, rank in (("fail", "fail"), ("warn", "warn"), ("target", "pass")):
            if 1 - rate.value < settings[f"conversion_{name}"]:
                limit = f"{100 * settings[f'conversion_{name}']:.4g} %{' (target)' if name == 'target' else ''}"
                found.append((rank, f"conversion {100 * (1 - rate.value):.4g} %, below {limit}"))
                break
    if error.shared_sd == 0 and "independent" in error.source:
        found.append(("pass", "errors of positions taken as independent: no replicate runs tell what they share"))
    found += notes
    if unmeasured:
        found.append(("pass", f"not measured by its assays: {', '.join(unmeasured)}"))
    known = {"control_0": 0.0, "control_100": 100.0}.get(row.kind, np.nan)
    known = known if pd.isna(row.expected_percent) else float(row.expected_percent)
    low, high = 100 * summary["region_mean_beta_low"], 100 * summary["region_mean_beta_high"]
    if row.kind == "control_100" and summary["over_conversion"] > settings["over_conversion_warn"]:
        found.append(("warn", f"100 % controls lose {100 * summary['over_conversion']:.3g} % of their methylation"))
    elif row.kind in ("control_0", "standard") and not (np.isnan(known) or low <= known <= high):
        rank = "warn" if row.kind == "control_0" else "pass"
        found.append((rank, f"known level {known:.4g} % is outside {low:.3g} to {high:.3g} %"))
    worst = max((rank for rank, _ in found), key=RANK.index, default="pass")
    return worst, "; ".join(reason for _, reason in found) or None


def _limit_inputs(name, panel, libraries, blanks):
    """What the limits of blank and detection of each index are made from: (panel, index, blanks, low standards)."""
    rows = []
    for index in dict.fromkeys(panel.indices["index"]):
        levels = {"blank": [], "low": []}
        for row in libraries.itertuples():
            low = row.kind == "standard" and 0 < float(row.expected_percent) <= 5
            kind = "blank" if row.kind == "control_0" else "low" if low else None
            if kind:
                found = next(r for r in blanks[row.library_id] if r["index"] == index)
                if not np.isnan(found["beta"]):
                    levels[kind].append((found["beta"], found["se"]))
        rows.append((name, index, levels["blank"], levels["low"]))
    return rows
