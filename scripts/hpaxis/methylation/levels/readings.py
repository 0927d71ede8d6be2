"""One library that a pyrosequencer read: readings with the instrument's error. It fulfils `measured.Measured`."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hpaxis.methylation.assays.instrument import InstrumentError, instrument_error, usable
from hpaxis.methylation.assays.pyrosequencer_export import CONTROL_LABEL
from hpaxis.methylation.levels import estimate
from hpaxis.methylation.panels.panel import Panel
from hpaxis.methylation.panels.variants import mask_notes, masked_cpgs

INSTRUMENT_COLUMNS = ("panel", "position_sd", "shared_sd", "df", "n_replicated", "source", "n_controls",
                      "conversion_mean", "conversion_sd")  # fmt: skip


@dataclass(frozen=True)
class Readings:
    """One library of readings: what `measured.Measured` asks for, and what the instrument wrote.

    ``rows``: its readings that count (`instrument.usable`) at the panel's CpGs; ``qualities``: all words of quality at
    each CpG, failed readings included, None where it was not read at all; ``covered``: CpGs that the study's assays
    read.
    """

    row: object
    panel: Panel
    rows: pd.DataFrame
    qualities: list
    error: InstrumentError
    conversion: estimate.Rate
    covered: np.ndarray
    masked: np.ndarray
    excluded: np.ndarray
    notes: list
    rho: float = 0.0
    curves: dict = field(default_factory=dict)
    assay: str = "pyrosequencing"
    lacking: str = "have a reading"

    @property
    def depth(self):
        """A light signal has no depth."""
        return np.full(len(self.panel.cpgs), np.nan)

    def usable(self, settings):
        """CpGs with a reading that counts."""
        return self.panel.cpgs["cpg_id"].isin(self.rows["cpg_id"]).to_numpy()

    def shares(self, weights, confidence):
        """Mean readings of each weighted set of CpGs and their variance; NaN where a CpG of the set has no reading."""
        place = self.panel.cpgs["cpg_id"].reset_index(drop=True)
        at = self.rows["cpg_id"].map(pd.Series(place.index, index=place)).to_numpy(dtype=int)
        share = 1 / self.rows.groupby("cpg_id")["level"].transform("size").to_numpy()
        known = self.usable(None)
        p, variance = [], []
        for column in np.transpose(weights):
            whole = known[column > 0].all()
            each = share * column[at]
            p.append(each @ self.rows["level"].to_numpy() if whole else np.nan)
            variance.append(self.error.variance(self.rows["run"], each) if whole else np.nan)
        zeros = np.zeros(len(p))
        return estimate.Shares(np.array(p), np.array(variance), zeros, zeros * np.nan, self.error.df)

    def levels(self, weights, over, confidence):
        """b = (p - e) / (1 - e - g) with a first-order error; interval by Student's t with the instrument's d.f.."""
        shares = self.shares(weights, confidence)
        e, g = self.conversion, over.value
        scale = 1 - e.value - g
        beta = (shares.p - e.value) / scale
        variance = shares.variance + (1 - beta) ** 2 * e.variance + beta**2 * over.variance
        se = np.sqrt(variance) / scale
        reach = estimate.quantile(confidence, self.error.df) * se
        return estimate.Estimate(shares.p, beta, se, beta - reach, beta + reach)

    def table(self):
        """One row per CpG; there are no molecules, so counts and depth are NA."""
        table = self.panel.cpgs[["amplicon", "cpg_id", "chrom", "pos", "strand"]].copy()
        table.insert(0, "library_id", self.row.library_id)
        for column in ("methylated", "unmethylated", "other", "depth"):
            table[column] = pd.array([pd.NA] * len(table), dtype="Int64")
        return table

    def flags(self, settings):
        """CpGs that were not read, and what the instrument says of those that were."""
        flags = []
        for qualities, known in zip(self.qualities, self.usable(settings)):
            here = ["not_measured"] if qualities is None else []
            here += [f"quality_{q}" for q in ("check", "failed") if qualities and q in qualities]
            here += ["no_reading"] if not here and not known else []
            flags.append(";".join(here))
        return flags

    def summary(self, settings):
        """No molecules: nothing of its own."""
        return dict.fromkeys(estimate.LIBRARY_COLUMNS, pd.NA)

    def blank(self, typical, settings):
        """A control without template should read nothing."""
        n = int(self.usable(settings).sum())
        return ("warn", f"positions with a reading in a control without template: {n}") if n else ("pass", None)

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
        if self.conversion.assumed:
            found.append(("warn", "no conversion control position: conversion taken as complete"))
        return found

    def signs(self):
        """What is not known of the instrument."""
        if self.error.shared_sd == 0 and "independent" in self.error.source:
            return [("pass", "errors of positions taken as independent: no replicate runs tell what they share")]
        return []


def read_pyrosequenced(
    sheet: pd.DataFrame, panels: dict, readings: pd.DataFrame, settings: dict
) -> tuple[list[Readings], pd.DataFrame]:
    """`Readings` of every library of assay pyrosequencing, and the table of the instrument (`INSTRUMENT_COLUMNS`).

    ``sheet``: their rows of the libraries sheet; ``panels``, name → `Panel`; ``readings``, see
    `pyrosequencing.read_exports`; ``settings``, the config's methylation section.
    """
    samples, instruments = [], []
    kinds = sheet.set_index("library_id")["kind"]
    telling = readings[readings["library_id"].map(kinds) != "no_template"]
    error = instrument_error(telling, settings["pyrosequencing"])
    for name, libraries in sheet.sort_values("library_id").groupby("panel", sort=True):
        panel, here = panels[name], readings[readings["library_id"].isin(libraries["library_id"])]
        rates, (mean, spread, n) = conversion_rates(telling[telling["library_id"].isin(here["library_id"])], error)
        instruments.append({
            "panel": name, "position_sd": error.position_sd, "shared_sd": error.shared_sd, "df": error.df,
            "n_replicated": error.n_replicated, "source": error.source, "n_controls": n, "conversion_mean": 1 - mean,
            "conversion_sd": spread,
        })  # fmt: skip
        masked = masked_cpgs(panel, settings["snp_frequency"])
        covered = panel.cpgs["cpg_id"].isin(here["cpg_id"]).to_numpy()
        by_library = dict(list(here.groupby("library_id")))
        for row in libraries.itertuples():
            mine = by_library.get(row.library_id, here.iloc[:0])
            mine = mine[mine["cpg_id"] != CONTROL_LABEL]
            words = {cpg: set(group["quality"].dropna()) for cpg, group in mine.groupby("cpg_id")}
            samples.append(Readings(
                row=row, panel=panel, rows=usable(mine), qualities=[words.get(c) for c in panel.cpgs["cpg_id"]],
                error=error, conversion=rates.get(row.library_id, estimate.ASSUMED), covered=covered, masked=masked,
                excluded=masked & (settings["snp_action"] == "exclude"), notes=mask_notes(panel, settings),
            ))  # fmt: skip
    return samples, pd.DataFrame(instruments, columns=list(INSTRUMENT_COLUMNS))


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
