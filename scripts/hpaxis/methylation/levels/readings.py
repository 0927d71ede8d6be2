"""One library that a pyrosequencer read: readings with the instrument's error. It fulfils `measured.Measured`."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpaxis.methylation.assays import censored
from hpaxis.methylation.assays.instrument import ERROR_COLUMNS, InstrumentError, instrument_error, usable
from hpaxis.methylation.assays.instrument_export import CONTROL_LABEL
from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.uncounted import Uncounted
from hpaxis.methylation.panels.variants import mask_notes, masked_cpgs
from hpaxis.settings import MethylationSettings

INSTRUMENT_COLUMNS = ("panel", *ERROR_COLUMNS, "floor", "censored_share", "n_controls", "conversion_mean",
                      "conversion_sd")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Readings(Uncounted):
    """One library of readings: what `measured.Measured` asks for, and what the instrument wrote.

    ``rows``: its readings that count (`instrument.usable`) at the panel's CpGs; ``qualities``: all words of quality at
    each CpG, failed readings included, None where it was not read at all; ``covered``: CpGs that the study's assays
    read.
    """

    rows: pd.DataFrame
    qualities: list
    error: InstrumentError
    assay: str = "pyrosequencing"
    lacking: str = "have a reading"
    unknown: str = "too few readings stand above the instrument's floor to tell the level"
    measured_as: str = "positions with a reading"

    def usable(self, settings):
        """CpGs with a reading that counts."""
        return self.panel.cpgs["cpg_id"].isin(self.rows["cpg_id"]).to_numpy()

    def shares(self, weights, confidence):
        """Mean readings of each weighted set of CpGs and their variance; NaN where a CpG of the set has no reading."""
        means = [self._mean(column, None) for column in np.transpose(weights)]
        p, variance, df = (np.array([m[i] for m in means]) for i in (0, 1, 4))
        zeros = np.zeros(len(p))
        return estimate.Shares(p, variance, zeros, zeros * np.nan, df)

    def levels(self, weights, over, confidence):
        """b = (p - e) / (1 - e - g) with a first-order error.

        The interval is by Student's t with the instrument's d.f., or by likelihood where readings are censored.
        """
        p, variance, down, up, df = np.transpose([self._mean(c, confidence) for c in np.transpose(weights)])
        e, g = self.conversion, over.value
        scale = 1 - e.value - g
        beta = (p - e.value) / scale
        rest = (1 - beta) ** 2 * e.variance + beta**2 * over.variance
        reach = np.array([estimate.quantile(confidence, n) for n in df]) ** 2 * rest
        low, high = (np.sqrt(side**2 + reach) / scale for side in (down, up))
        return estimate.Estimate(p, beta, np.sqrt(variance + rest) / scale, beta - low, beta + high)

    def _mean(self, column, confidence):
        """Weighted mean of readings: value, variance, reach of its interval down and up, d.f.; NaN where unknown."""
        cpgs = self.panel.cpgs["cpg_id"].to_numpy()[column > 0]
        rows = self.rows[self.rows["cpg_id"].isin(cpgs)]
        if not len(cpgs) or rows["cpg_id"].nunique() < len(cpgs):
            return (np.nan,) * 5
        by_cpg = rows.groupby("cpg_id")["level"]
        place = dict(zip(self.panel.cpgs["cpg_id"], column))
        each = (rows["cpg_id"].map(place) / by_cpg.transform("size")).to_numpy()
        values, about = rows["level"].to_numpy(), by_cpg.transform("mean").to_numpy()
        variance, df = self.error.variance(rows["run"], each, about)
        reach = estimate.quantile(confidence, df) * np.sqrt(variance) if confidence else np.nan
        if not rows["censored"].any():
            return each @ values, variance, reach, reach, df
        ratios = rows["cpg_id"].map(self.error.profile).fillna(1.0).to_numpy()
        sd = self.error.sd(about)
        drop = censored.drop_for(confidence, df) if confidence else None
        found = censored.mean_level(
            values, rows["censored"], sd, each, ratios / (each @ ratios), self.error.spread, rows["cpg_id"], drop
        )
        # What the run's positions share does not shrink with their number, censored or not.
        shared = max(variance - np.sum(np.square(each * sd)), 0.0)
        more = shared * estimate.quantile(confidence, df) ** 2 if confidence else np.nan
        down, up = (np.sqrt(side**2 + more) for side in (found.level - found.low, found.high - found.level))
        return found.level, found.se**2 + shared, down, up, df

    def flags(self, settings):
        """CpGs that were not read, and what the instrument says of those that were."""
        flags, below = [], set(self.rows.loc[self.rows["censored"], "cpg_id"])
        for cpg, qualities, known in zip(self.panel.cpgs["cpg_id"], self.qualities, self.usable(settings)):
            here = ["not_measured"] if qualities is None else []
            here += [f"quality_{q}" for q in ("check", "failed") if qualities and q in qualities]
            here += ["no_reading"] if not here and not known else []
            here += ["below_floor"] if cpg in below else []
            flags.append(";".join(here))
        return flags

    def stop(self, summary):
        """No reading counts."""
        return None if summary["n_cpgs"] else "no position has a reading that passed"

    def doubts(self, summary, settings):
        """The instrument's own judgement, and whether there is a conversion control."""
        found = []
        for word in ("failed", "check"):
            n = sum(word in (qualities or ()) for qualities in self.qualities)
            if n:
                found.append(("warn", f"positions of quality {word.capitalize()}: {n}"))
        if below := int(self.rows["censored"].sum()):
            share = f"{below} of {len(self.rows)} readings"
            found.append(("pass", f"{share} below the instrument's floor, {100 * self.error.floor:.3g} %: censored"))
        missing = int((self.covered & ~self.excluded & ~self.usable(settings)).sum())
        if np.isnan(summary["region_mean_beta"]):
            why = f"{missing} CpGs of its assays have no reading" if missing else self.unknown
            found.append(("warn", f"region mean: {why}"))
        if self.conversion.assumed:
            found.append(("warn", "no conversion control position: conversion taken as complete"))
        return found

    def signs(self):
        """What is not known of the instrument."""
        if "independent" in self.error.shared_source:
            return [("pass", "errors of positions taken as independent: no replicate runs tell what they share")]
        return []


def read_pyrosequenced(
    sheet: pd.DataFrame, panels: dict, readings: pd.DataFrame, settings: MethylationSettings
) -> tuple[list[Readings], pd.DataFrame]:
    """`Readings` of every library of assay pyrosequencing, and the table of the instrument (`INSTRUMENT_COLUMNS`).

    ``sheet``: their rows of the libraries sheet; ``panels``, name → `Panel`; ``readings``, see
    `pyrosequencing.read_exports`; ``settings``, the config's methylation section.
    """
    samples, instruments = [], []
    kinds = sheet.set_index("library_id")["kind"]
    telling = readings[readings["library_id"].map(kinds) != "no_template"]
    error = instrument_error(telling, settings.pyrosequencing)
    for name, libraries in sheet.sort_values("library_id").groupby("panel", sort=True):
        panel, here = panels[name], readings[readings["library_id"].isin(libraries["library_id"])]
        rates, (mean, spread, n) = conversion_rates(telling[telling["library_id"].isin(here["library_id"])], error)
        counting = usable(here[here["cpg_id"] != CONTROL_LABEL], error.floor)
        whole = {
            "panel": name, "floor": error.floor, "censored_share": float(counting["censored"].mean()),
            "n_controls": n, "conversion_mean": 1 - mean, "conversion_sd": spread,
        }  # fmt: skip
        instruments += [whole | row for row in error.table()]
        masked = masked_cpgs(panel, settings.snp_frequency)
        covered = panel.cpgs["cpg_id"].isin(here["cpg_id"]).to_numpy()
        by_library = dict(list(here.groupby("library_id")))
        for row in libraries.itertuples():
            mine = by_library.get(row.library_id, here.iloc[:0])
            mine = mine[mine["cpg_id"] != CONTROL_LABEL]
            words = {cpg: set(group["quality"].dropna()) for cpg, group in mine.groupby("cpg_id")}
            samples.append(
                Readings(
                    row=row,
                    panel=panel,
                    rows=usable(mine, error.floor),
                    qualities=[words.get(c) for c in panel.cpgs["cpg_id"]],
                    error=error,
                    conversion=rates.get(row.library_id, estimate.ASSUMED),
                    covered=covered,
                    masked=masked,
                    excluded=masked & (settings.snp_action == "exclude"),
                    notes=mask_notes(panel, settings),
                )
            )
    return samples, pd.DataFrame(instruments, columns=list(INSTRUMENT_COLUMNS))


def conversion_rates(readings, error):
    """Non-conversion of each library from its control position: library_id → `estimate.Rate`; and (mean, SD, n).

    One reading's error is larger than what conversion differs by, so a library's value is drawn towards the study's
    mean by as much as its reading is noise (empirical Bayes; Efron and Morris, 1973).
    """
    controls = usable(readings, error.floor)
    controls = controls[controls["cpg_id"] == CONTROL_LABEL]
    if controls["censored"].any():
        variance = np.square(error.position_sd[0]) + np.square(error.shared_sd[0])
        found, mean, spread = censored.shrunken_rates(
            controls["library_id"], controls["level"], controls["censored"], np.full(len(controls), variance)
        )
        rates = {n: estimate.Rate(float(v), float(s), np.nan, error.df[0]) for n, (v, s) in found.items()}
        return rates, (float(max(mean, 0.0)), spread, len(rates))
    names, values, noise = [], [], []
    for library, rows in controls.groupby("library_id"):
        weights = np.full(len(rows), 1 / len(rows))
        names.append(library)
        values.append(rows["level"].mean())
        noise.append(error.variance(rows["run"], weights, rows["level"])[0])
    if not names:
        return {}, (np.nan, np.nan, 0)
    values, noise = np.array(values), np.array(noise)
    spread = max(values.var(ddof=1) - noise.mean(), 0.0) if len(values) > 1 else 0.0
    weights = 1 / (spread + noise)
    mean, mean_variance = np.average(values, weights=weights), 1 / weights.sum()
    kept = spread / (spread + noise)
    rates = np.clip(mean + kept * (values - mean), 0, 1)
    variances = kept * noise + (1 - kept) ** 2 * mean_variance
    found = {n: estimate.Rate(float(v), float(s), np.nan, error.df[0]) for n, v, s in zip(names, rates, variances)}
    return found, (float(mean), float(np.sqrt(spread)), len(names))
