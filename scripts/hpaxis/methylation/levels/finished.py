"""One library of levels that another laboratory finished. It fulfils `measured.Measured`."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.uncounted import Uncounted
from hpaxis.methylation.panels.variants import mask_notes, masked_cpgs
from hpaxis.settings import MethylationSettings


@dataclass(frozen=True, kw_only=True)
class Finished(Uncounted):
    """One library of finished levels: what `measured.Measured` asks for, and its units.

    ``units``: CpGs × units, what share of a CpG's level is the unit's (1, or less where several units hold the CpG);
    ``values``, ``variances`` and ``df`` of each unit. A unit of several CpGs is their mean, and stands for each of
    them.
    """

    units: np.ndarray
    values: np.ndarray
    variances: np.ndarray
    df: np.ndarray
    assay: str = "levels"
    lacking: str = "have a level"
    unknown: str = "no level is known"

    def usable(self, settings):
        """CpGs with a level."""
        return self.units.any(axis=1)

    def shares(self, weights, confidence):
        """Mean levels of weighted sets of CpGs; NaN where a CpG has none. CpGs of one unit are not independent."""
        each = weights.T @ self.units
        known = ~((weights > 0) & ~self.usable(None)[:, None]).any(axis=0) & (weights > 0).any(axis=0)
        variance = each**2 @ self.variances
        squares = (each**2 * self.variances) ** 2 @ (1 / self.df)
        df = np.divide(variance**2, squares, out=np.full(len(variance), np.inf), where=squares > 0)
        zeros = np.zeros(len(variance))
        p, variance = (np.where(known, v, np.nan) for v in (each @ self.values, variance))
        return estimate.Shares(p, variance, zeros, zeros * np.nan, df)

    def levels(self, weights, over, confidence):
        """b = (p - e) / (1 - e - g) with a first-order error; interval by Student's t."""
        shares, e, g = self.shares(weights, confidence), self.conversion, over.value
        scale = 1 - e.value - g
        beta = (shares.p - e.value) / scale
        se = np.sqrt(shares.variance + (1 - beta) ** 2 * e.variance + beta**2 * over.variance) / scale
        reach = estimate.quantile(confidence, shares.df) * se
        return estimate.Estimate(shares.p, beta, se, beta - reach, beta + reach)

    def flags(self, settings):
        """CpGs without a level, and those whose level is the mean of a unit of several."""
        several = self.units[:, self.units.astype(bool).sum(axis=0) > 1].any(axis=1)
        return list(np.select([~self.usable(settings), several], ["not_measured", "unit_mean"], default=""))

    def stop(self, summary):
        """There is no level."""
        return None if summary["n_cpgs"] else "has no level at the panel's CpGs"

    def doubts(self, summary, settings):
        """What is taken over as it came."""
        if self.conversion.assumed:
            return [("pass", "finished levels: not corrected for conversion here")]
        return []

    def signs(self):
        """Units that stand for several CpGs."""
        sizes = self.units.astype(bool).sum(axis=0)
        what = f"{(sizes > 1).sum()} of {len(sizes)} levels are means of several CpGs, and stand for each of them"
        return [("pass", what)] if (sizes > 1).any() else []


def read_finished(
    sheet: pd.DataFrame, panels: dict, table: pd.DataFrame, settings: MethylationSettings
) -> list[Finished]:
    """`Finished` of every library of assay levels.

    ``sheet``: their rows of the libraries sheet; ``table``: see `finished_levels.read_levels`; ``settings``, the
    config's methylation section.
    """
    samples = []
    of_library = dict(list(table.groupby("library_id")))
    for name, libraries in sheet.sort_values("library_id").groupby("panel", sort=True):
        panel = panels[name]
        ids = panel.cpgs["cpg_id"].to_numpy()
        masked = masked_cpgs(panel, settings.snp_frequency)
        members = {i: _members(of_library.get(i, table.iloc[:0]), ids) for i in libraries["library_id"]}
        covered = np.any([m.any(axis=1) for m in members.values()], axis=0)
        for row in libraries.itertuples():
            mine, units = of_library.get(row.library_id, table.iloc[:0]), members[row.library_id]
            held = units.sum(axis=1, keepdims=True)
            stated = getattr(row, "conversion_percent", np.nan)
            samples.append(
                Finished(
                    row=row,
                    panel=panel,
                    units=np.divide(units, held, out=np.zeros_like(units), where=held > 0),
                    values=mine["level"].to_numpy(float),
                    variances=mine["se"].to_numpy(float) ** 2,
                    df=mine["df"].to_numpy(float),
                    conversion=estimate.ASSUMED if pd.isna(stated) else estimate.Rate(1 - stated / 100, 0.0, np.inf),
                    covered=covered,
                    masked=masked,
                    excluded=masked & (settings.snp_action == "exclude"),
                    notes=mask_notes(panel, settings),
                )
            )
    return samples


def _members(rows, ids):
    """Which CpGs each unit holds: CpGs × units, 0 or 1."""
    held = [np.isin(ids, text.split(";")) for text in rows["cpg_ids"]]
    return np.transpose(held).astype(float) if held else np.zeros((len(ids), 0))
