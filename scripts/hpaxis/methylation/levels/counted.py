"""One library of which molecules were counted: conversion, templates, depth. It fulfils `measured.Measured`."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from hpaxis.methylation.counting.cycles import cycle_bias
from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.contexts import context_columns, context_reasons
from hpaxis.methylation.levels.conversion import Mixture, fit_mixture
from hpaxis.methylation.levels.crosstalk import Leak, subtract_leak
from hpaxis.methylation.levels.gates import gate
from hpaxis.methylation.panels.panel import Panel
from hpaxis.methylation.panels.variants import mask_notes, masked_cpgs

CROWDED = 0.1  # then about one template in twenty has its UMI in common with another


@dataclass(frozen=True)
class Counted:
    """One library of molecules: what `measured.Measured` asks for, its tables, molecules by amplicon and templates.

    ``mixture``: its kinds of molecules, None where they are too few to tell failed ones; ``bias``: what its M-bias
    says; ``leak``: what it holds of other libraries (`crosstalk.find_leaks`), None where that is not known.
    """

    row: object
    panel: Panel
    counts: pd.DataFrame
    reads: pd.Series
    parts: list
    templates: float
    conversion: estimate.Rate
    mixture: Mixture | None
    bias: list
    masked: np.ndarray
    excluded: np.ndarray
    notes: list
    leak: Leak | None = None
    rho: float = 0.0
    curves: dict = field(default_factory=dict)
    assay: str = "reads"
    lacking: str = "deep enough"
    unknown: str = "its conversion is unknown"

    @property
    def depth(self):
        """Effective depth of each CpG, n T / (n + T): n molecules tell no more than the T templates they copy."""
        depth = self.counts["depth"].to_numpy(dtype=float)
        per_part = [np.full(len(m.known.T), estimate.duplication(m, self.templates)) for m in self.parts]
        return depth / np.concatenate(per_part)

    def split(self, matrix):
        """Rows of a matrix, one a CpG of the panel, by amplicon."""
        return np.split(matrix, np.cumsum([m.known.shape[1] for m in self.parts])[:-1])

    @property
    def covered(self):
        """Reads may show every CpG."""
        return np.ones(len(self.counts), dtype=bool)

    def usable(self, settings):
        """CpGs that are deep enough."""
        return self.depth >= settings["depth_fail"]

    def shares(self, weights, confidence):
        """`estimate.Shares` of weighted sets of CpGs, less what molecules of other libraries add."""
        split = self.split(weights)
        shares = estimate.observed_shares(self.parts, split, self.conversion, self.templates)
        return subtract_leak(shares, self, split, confidence)

    def levels(self, weights, over, confidence):
        """`estimate.Estimate` of weighted sets of CpGs."""
        return estimate.correct(self.shares(weights, confidence), self.conversion, over, confidence)

    def table(self):
        """One row per CpG with its counts."""
        return self.counts.copy()

    def flags(self, settings):
        """Which CpGs are not deep enough."""
        low = self.depth < settings["depth_warn"]
        return list(np.select([~self.usable(settings), low], ["depth_fail", "depth_low"], default=""))

    @property
    def failed(self):
        """Share of molecules whose conversion failed: `estimate.Rate`; NaN where it is not known."""
        if self.mixture is None:
            return estimate.Rate(np.nan, np.nan, np.nan)
        share = self.mixture.failed
        trials = self.mixture.trials / max(estimate.duplication(m, self.templates) for m in self.parts)
        return estimate.Rate(share, share * (1 - share) / trials, trials)

    def summary(self, settings):
        """Reads, templates, depths, failed molecules and leaks."""
        failed, confidence = self.failed, settings["confidence"]
        failed_limits = failed.limits(confidence)
        return {
            **{c: int(self.reads[c]) for c in estimate.LIBRARY_COLUMNS},
            "template_copies": umi_families(self.reads) if np.isinf(self.templates) else self.templates,
            "median_depth": float(np.median(self.counts["depth"])),
            "effective_depth": float(np.median(self.depth)),
            "failed_molecules": failed.value,
            "failed_molecules_low": float(failed_limits[0]),
            "failed_molecules_high": float(failed_limits[1]),
            "overdispersion": self.rho,
            **context_columns(self, confidence),
            "leaked_share": np.nan if self.leak is None else self.leak.share,
            "leaked_share_low": np.nan if self.leak is None else self.leak.low,
            "leaked_share_high": np.nan if self.leak is None else self.leak.high,
        }

    def blank(self, typical, settings):
        """A control without template is judged by its molecules beside those of the study's libraries."""
        passed = int(self.reads["passed"])
        if typical == 0:
            return ("warn", f"{passed} molecules passed in a control without template") if passed else ("pass", None)
        share = passed / typical
        reason = f"{passed} molecules passed, {100 * share:.3g} % of the median study library's"
        for rank in ("fail", "warn"):
            if share > settings[f"no_template_{rank}"]:
                return rank, reason
        return "pass", None

    def stop(self, summary):
        """No molecule passed."""
        return None if summary["passed"] else f"none of {summary['pairs_in']} read pairs passed"

    def doubts(self, summary, settings):
        """Failed molecules, depth and templates."""
        found = []
        for rank in ("fail", "warn"):
            if summary["failed_molecules"] > settings[f"failed_molecules_{rank}"]:
                what = f"conversion failed on {100 * summary['failed_molecules']:.3g} % of the molecules"
                found.append((rank, f"{what}, above {100 * settings[f'failed_molecules_{rank}']:.3g} %"))
                break
        found += gate(summary["effective_depth"], "depth", settings, lambda v: f"{v:.4g} molecules")
        if np.isnan(self.templates) and self.row.kind == "study":
            what = "template copies unknown (no input_ng): the interval assumes every molecule is its own"
            found.append(("pass", what))
        elif summary["effective_depth"] < 0.5 * summary["median_depth"]:
            copies = f"{summary['median_depth']:.4g} molecules are copies of {self.templates:.4g} templates"
            found.append(("warn", copies))
        return found

    def signs(self):
        """M-bias, crowded UMIs, and non-conversion that differs by context."""
        return [("warn", reason) for reason in [*self.bias, *self._crowded(), *context_reasons(self)]]

    def _crowded(self):
        """What short UMIs lose: templates that have theirs by chance in common, of so many that there can be."""
        pattern = getattr(self.row, "umi", None)
        if pd.isna(pattern) or pattern == "name":
            return []
        kinds, families = 4.0 ** pattern.count("N"), umi_families(self.reads)
        if families <= CROWDED * kinds:
            return []
        return [f"{families} families of molecules, where there are {kinds:.0f} UMIs: templates share UMIs by chance"]


def read_sample(row, panel, tables, settings):
    """`Counted` of a row of the sheet and its `calls.LibraryCalls`."""
    sizes = {name: len(panel.cpg_offsets(name)) for name in panel.references}
    cells = tables.conversion
    mixture = fit_mixture(cells["unconverted"], cells["sites"], cells["count"])
    parts = [estimate.read_molecules(tables.patterns, name, size, mixture) for name, size in sizes.items()]
    if umi_families(tables.reads.iloc[0]) is None:
        templates = estimate.template_copies(
            float(row.input_ng), settings["copies_per_ng"], settings["template_recovery"], settings["amplification_cv"]
        )
    else:
        # Every family is a template of its own: nothing is counted twice.
        templates = np.inf
    whole = parts if mixture is None else [
        _all_molecules(cells[cells["amplicon"] == name], part, mixture) for name, part in zip(sizes, parts)
    ]  # fmt: skip
    conversion = estimate.non_conversion(whole, templates)
    masked = masked_cpgs(panel, settings["snp_frequency"])
    return Counted(
        row=row,
        panel=panel,
        counts=tables.counts,
        reads=tables.reads.iloc[0],
        parts=parts,
        templates=templates,
        conversion=conversion,
        mixture=mixture,
        bias=[] if tables.cycles is None else cycle_bias(tables.cycles),
        masked=masked,
        excluded=masked & (settings["snp_action"] == "exclude"),
        notes=mask_notes(panel, settings),
    )


def umi_families(reads):
    """Templates that UMIs tell apart; None without UMIs."""
    found = reads.get("umi_families")
    return None if found is None or pd.isna(found) else int(found)


def _all_molecules(cells, part, mixture):
    """The amplicon's molecules by their conversion alone, those left out for it included; as deep as its CpGs."""
    unconverted, sites, count = (cells[c].to_numpy(dtype=float) for c in ("unconverted", "sites", "count"))
    empty = np.zeros((len(cells), 1))
    known = np.full((len(cells), 1), part.total / max(count.sum(), 1))
    weight = mixture.weight(unconverted, sites)
    return replace(part, methylated=empty, known=known, unconverted=unconverted, sites=sites, count=count,
                   weight=weight, excess=0.0)  # fmt: skip
