"""The standards of a study: what each index of a panel reads on them, and the curve that follows."""

from collections.abc import Callable

import numpy as np

from hpaxis.methylation.levels.bias import LEAST_POINTS, NONE, choose, fit_curves, table_rows, with_scatter
from hpaxis.methylation.levels.estimate import Rate
from hpaxis.methylation.levels.measured import ALL, Measured, level
from hpaxis.settings import MethylationSettings

STANDARD_COLUMNS = ("panel", "index", "assay", "library_id", "known", "observed", "se")
# Beyond its molecules' error a standard is known no better than this (fraction): mixing, and what the model leaves out.
KNOWN_TO = 0.0005


def calibration(name, panel, assay, points_of, settings):
    """Curves of a panel: ``(index → CalibrationCurve, rows of calibration.tsv, rows of standards.tsv)``.

    ``points_of(members)``: library_id → (known, observed, error) of the standards that serve for some of the panel's
    CpGs (boolean, one a CpG); ``assay``: what they were measured by. `ALL` stands for the mean over all CpGs.
    Standards are controls at 0 and 100 % and libraries of kind standard. With fewer than `LEAST_POINTS` different
    percentages there is no curve, which the table says.
    """
    cpgs = panel.cpgs["cpg_id"].to_numpy()
    sets = {ALL: np.ones(len(cpgs), dtype=bool)}
    for index, members in panel.indices.groupby("index", sort=False):
        sets[index] = np.isin(cpgs, members["cpg_id"])
    curves, rows, standards = {}, [], []
    for index, members in sets.items():
        found = points_of(members)
        points = list(found.values())
        standards += [
            dict(zip(STANDARD_COLUMNS, (name, index, assay, *item, *point))) for *item, point in found.items()
        ]
        curve, found = NONE, [{"panel": name, "index": index, "method": "none", "n": len(points), "chosen": "yes"}]
        if settings.calibration == "none":
            found[0]["reason"] = "asked for"
        elif len({x for x, *_ in points}) < LEAST_POINTS:
            known = len({x for x, *_ in points})
            found[0]["reason"] = f"{known} known percentages, {LEAST_POINTS} are needed for a curve"
        else:
            fitted = fit_curves(*np.transpose(points))
            curve, reason = choose(fitted, settings.calibration)
            curve = with_scatter(curve, *np.transpose(points))
            found = table_rows(name, index, fitted, curve, reason)
        curves[index] = curve
        rows += [row | {"assay": assay} for row in found]
    return curves, rows, standards


def standard_points(samples: list[Measured], over: Rate, settings: MethylationSettings) -> Callable[[np.ndarray], dict]:
    """What `calibration` asks of the libraries of one panel and assay: standards that are usable at all the CpGs."""

    def points_of(members):
        found = {s.row.library_id: _point(s, members, over, settings) for s in samples}
        return {library: point for library, point in found.items() if point}

    return points_of


def known_level(row):
    """Known level of a control or standard, a fraction; None of other libraries."""
    kinds = {"control_0": 0.0, "control_100": 100.0, "standard": np.nan}
    if row.kind not in kinds:
        return None
    percent = float(row.expected_percent) if np.isfinite(float(row.expected_percent)) else kinds[row.kind]
    return percent / 100 if np.isfinite(percent) else None


def _point(sample, members, over, settings):
    """Known and observed level of one standard, and their error; None where it does not serve."""
    known, members = known_level(sample.row), members & ~sample.excluded & sample.covered
    if known is None or not members.any() or 1 - sample.conversion.value < settings.conversion_fail:
        return None
    if not sample.usable(settings)[members].all():
        return None
    found = level(sample, members, over, settings)
    if not np.isfinite(found.beta[0]):
        return None
    return known, float(found.beta[0]), error_of(known, float(found.se[0]), settings)


def error_of(known, se, settings):
    """How far a standard's level may lie from what is known of it: its own error, and that of its mixing."""
    return float(np.sqrt(se**2 + KNOWN_TO**2 + (settings.standard_cv * known * (1 - known)) ** 2))
