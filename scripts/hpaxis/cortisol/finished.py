"""Concentrations that are finished already (LC-MS/MS, other laboratories), and bridges between platforms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hpaxis import schemas
from hpaxis.cortisol import assay
from hpaxis.cortisol.kits import MOLAR_MASS
from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.quantiles import normal_quantile, student_quantile
from hpaxis.settings import CortisolSettings
from hpaxis.sheets import read_sheet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.cortisol.kits import Kit

MINIMUM_PAIRS = 8  # hair samples measured on both platforms, below which no bridge is built


WORDS = ("<lod", "<loq", "<lloq", "nd", "n.d.", "blq", "bloq", "bld", "bdl")
OTHERS = tuple(sorted(set(MOLAR_MASS) - {"cortisol"}, key=str.lower))


def read_finished(
    path: Path | str,
    kit: Kit,
    plate_id: str,
    hair: pd.DataFrame | None = None,
    settings: CortisolSettings | None = None,
) -> pd.DataFrame:
    """Read a table of finished concentrations (workflow/schemas/cortisol_finished.yaml).

    Returns DataFrame with the columns of `hpaxis.cortisol.samples.MEASUREMENT_COLUMNS`. The interval is log-normal,
    from cv_percent; without it there is none. Values of a kit in another unit than pg/mg are of the extract: ``hair``
    (hair.tsv with its defaults) turns them into pg/mg, and ``settings`` give the error of volumes and mass.
    Raises `InputError` with every fault of the table.
    """
    table, problems = read_sheet(path, schemas.load("cortisol_finished"))
    column, fault = _value_column(table, kit, path)
    try:
        found = _values(table, column, path)
    except InputError as error:
        problems = [*problems, *error.problems]
    raise_if_any([*problems, *fault])
    if kit.unit != "pg/mg":
        found = _per_mg(found, kit, hair, settings, path)
    return _measurements(found, kit, plate_id)


def read_other_analytes(path: Path | str, kit: Kit, plate_id: str) -> pd.DataFrame:
    """Return the other analytes that a table of finished values in pg/mg holds: plate_id, hair_id, analyte and the
    columns of a measurement; without rows where there are none. Raises `InputError` as `read_finished`."""
    table, problems = read_sheet(path, schemas.load("cortisol_finished"))
    raise_if_any(problems)
    parts = []
    for analyte in OTHERS:
        column = f"{analyte}_pg_per_mg"
        if table[column].notna().any():
            # The limits and the CV of the table are those of cortisol.
            bare = table.assign(lloq_pg_per_mg=np.nan, uloq_pg_per_mg=np.nan, cv_percent=np.nan)
            parts.append(_measurements(_values(bare, column, path), kit, plate_id).assign(analyte=analyte))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _value_column(table: pd.DataFrame, kit: Kit, path: Path | str) -> tuple[str, list[Problem]]:
    """The column that holds the values, in the unit of the kit."""
    given = [c for c in ("cortisol_pg_per_mg", "cortisol_ng_per_g", "concentration") if table[c].notna().any()]
    expected = "concentration" if kit.unit != "pg/mg" else "cortisol_pg_per_mg"
    if not given:
        return expected, []
    if len(given) > 1:
        remedy = "keep the one in the kit's unit"
        return expected, [Problem(str(path), f"gives the values twice, as {' and '.join(given)}", remedy)]
    if (given[0] == "concentration") != (expected == "concentration"):
        remedy = f"kit {kit.kit} is in {kit.unit}: name the column {expected}, or choose another kit in plates.tsv"
        return expected, [Problem(str(path), "is in another unit than the kit", remedy, column=given[0])]
    return given[0], []


def _values(table: pd.DataFrame, column: str, path: Path | str) -> pd.DataFrame:
    """Numbers, limits and censoring of one column: DataFrame hair_id, number, censored, limit, log_se, cv_percent."""
    text = table[column].fillna("").str.replace(r"\s", "", regex=True)
    word = text.str.lower().isin(WORDS)
    sign = text.where(~word, "").str.extract(r"^([<>])", expand=False).fillna("")
    number = pd.to_numeric(text.where(~word, "").str.lstrip("<>"), errors="coerce")
    problems = []
    for row, at in zip(table.itertuples(), table.index):
        if number[at] <= 0 and sign[at] == "":
            remedy = "write <limit for a value below the limit of quantification"
            problems.append(Problem(str(path), "is not above zero", remedy, row.row, column, f"{number[at]:g}"))
        if word[at] and np.isnan(row.lloq_pg_per_mg):
            remedy = "give the limit: write it as <0.5, or fill the column lloq_pg_per_mg"
            problems.append(
                Problem(str(path), "is below a limit that the table does not give", remedy, row.row, column, text[at])
            )
    cv = table["cv_percent"].dropna()
    if len(cv) and 0 < cv.max() <= 1:
        what, remedy = (
            f"never exceeds {cv.max():g}",
            "give percent, such as 8 for a CV of 8 %; these are probably fractions",
        )
        problems.append(Problem(str(path), what, remedy, None, "cv_percent"))
    raise_if_any(problems)
    below = word | (sign == "<") | (number < table["lloq_pg_per_mg"])
    above = (sign == ">") | (number > table["uloq_pg_per_mg"])
    limit = np.select([sign != "", below, above], [number, table["lloq_pg_per_mg"], table["uloq_pg_per_mg"]], np.nan)
    return pd.DataFrame({
        "hair_id": table["hair_id"],
        "number": number.where(~(below | above)),
        "censored": np.select([below, above], ["below", "above"], "none"),
        "limit": limit,
        "log_se": np.sqrt(np.log1p((table["cv_percent"] / 100) ** 2)),
        "cv_percent": table["cv_percent"],
    })  # fmt: skip


def _per_mg(
    found: pd.DataFrame, kit: Kit, hair: pd.DataFrame | None, settings: CortisolSettings | None, path: Path | str
) -> pd.DataFrame:
    """Turn concentrations of the extract into pg/mg by the rows of hair.tsv."""
    if hair is None:
        raise ValueError(f"values in {kit.unit} need hair.tsv")
    sheet = hair.set_index("hair_id").reindex(found["hair_id"]).reset_index(drop=True)
    chemistry = {c: sheet[c].to_numpy() for c in ("methanol_added_ml", "methanol_recovered_ml", "reconstitution_ml")}
    scale = kit.in_pg_per_ml * sheet["dilution"].to_numpy()
    mass, spike, recovery = (sheet[c].to_numpy() for c in ("mass_mg", "spike_pg", "recovery"))
    values = {
        name: assay.hair_cortisol(found[name].to_numpy() * scale, mass, **chemistry, spike_pg=spike, recovery=recovery)
        for name in ("number", "limit")
    }
    problems = [
        Problem(str(path), "holds less than the spike that hair.tsv says was added", "check spike_pg", value=hair_id)
        for hair_id, value in zip(found["hair_id"], values["number"])
        if value <= 0
    ]
    raise_if_any(problems)
    error = found["log_se"]
    if settings is not None:
        volumes = assay.volume_cv(settings.volume_cv_percent, sheet["dilution"].to_numpy() > 1)
        error = np.sqrt(error**2 + volumes**2 + (settings.mass_sd_mg / mass) ** 2)
    once = np.hypot(volumes, settings.mass_sd_mg / mass) if settings is not None else np.nan
    limits = np.maximum(values["limit"], 0.0)
    return found.assign(number=values["number"], limit=limits, log_se=error, log_se_extract=once)


def _measurements(found: pd.DataFrame, kit: Kit, plate_id: str) -> pd.DataFrame:
    """The columns of a measurement from numbers, limits and errors."""
    below, above = found["censored"] == "below", found["censored"] == "above"
    number, limit, log_se = found["number"], found["limit"], found["log_se"]
    spread = np.exp(normal_quantile(0.975) * log_se)
    flags = np.where(number.notna() & log_se.isna(), "no_interval", "")
    return pd.DataFrame({
        "plate_id": plate_id,
        "hair_id": found["hair_id"],
        "platform": kit.kit,
        "cortisol_pg_per_mg": number,
        "cortisol_low": np.select([below, above], [0.0, limit], number / spread),
        "cortisol_high": np.select([below, above], [limit, np.inf], number * spread),
        "log_se": log_se.where(number.notna()),
        "cv_percent": found["cv_percent"],
        "n_wells": np.nan,
        "censored": found["censored"],
        "limit_pg_per_mg": limit,
        "flags": np.where(number.isna() & ~below & ~above, "no_value", flags),
        "run": plate_id,
        "log_se_extract": found.get("log_se_extract", np.nan),
        **dict.fromkeys(assay.CURVE_COLUMNS, np.nan),
    })  # fmt: skip


def bridge(
    source: NDArray[np.float64] | pd.Series,
    target: NDArray[np.float64] | pd.Series,
    log_se_source: NDArray[np.float64] | pd.Series | None = None,
    log_se_target: NDArray[np.float64] | pd.Series | None = None,
) -> dict[str, float]:
    """Regress one platform on another by Deming regression on the natural log.

    ``source``, ``target``: arrays of n values > 0 (pg/mg) of the same hair samples. The ratio of the two error
    variances comes from the mean squared standard errors of ln(value) where both are given, and is 1 otherwise.

    Returns dict: n, intercept, slope, their standard errors and covariance (jackknife over samples), residual_sd
    (of ln target around the line), source_log_se (root mean square, NaN where not given), error_ratio, lowest and
    highest (range of ``source``), r.
    Raises ValueError with fewer than 8 pairs or no spread.
    """
    x, y = np.log(np.asarray(source, dtype=float)), np.log(np.asarray(target, dtype=float))
    n = len(x)
    if n < MINIMUM_PAIRS:
        raise ValueError(f"{n} hair samples were measured on both platforms, and a bridge needs {MINIMUM_PAIRS}")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("the samples measured on both platforms all have the same value")
    error_x, error_y = _mean_square(log_se_source), _mean_square(log_se_target)
    ratio = error_y / error_x if error_x > 0 and error_y > 0 else 1.0
    intercept, slope = _deming(x, y, ratio)
    left_out = np.array([_deming(np.delete(x, i), np.delete(y, i), ratio) for i in range(n)])
    deviation = left_out - left_out.mean(axis=0)
    covariance = (n - 1) / n * deviation.T @ deviation
    residual = y - intercept - slope * x
    return {
        "n": n,
        "intercept": intercept,
        "intercept_se": np.sqrt(covariance[0, 0]),
        "slope": slope,
        "slope_se": np.sqrt(covariance[1, 1]),
        "covariance": covariance[0, 1],
        "residual_sd": np.sqrt(np.sum(residual**2) / (n - 2)),
        "source_log_se": np.sqrt(error_x),
        "error_ratio": ratio,
        "lowest": float(np.exp(x.min())),
        "highest": float(np.exp(x.max())),
        "r": float(np.corrcoef(x, y)[0, 1]),
    }


def convert(measurements: pd.DataFrame, line: dict[str, float], target: str) -> pd.DataFrame:
    """Convert measurements of a source platform to ``target`` by a `bridge`.

    Values outside the range of the bridge's own samples, and censored ones beyond it, are not converted: they keep
    no number and the flag beyond_bridge. The interval carries the error of the line, the scatter around it, and the
    amount by which the value's own error exceeds that of the bridge's samples. Errors shared through the curve or the
    extract are multiplied by the slope; that of the extract is never above the whole.
    """
    out = measurements.copy()
    values = measurements["cortisol_pg_per_mg"]
    inside = values.between(line["lowest"], line["highest"])
    limits = measurements["limit_pg_per_mg"].between(line["lowest"], line["highest"])
    censored = measurements["censored"] != "none"
    log_value = np.log(values)
    moved = line["intercept"] + line["slope"] * log_value
    variance = (
        line["intercept_se"] ** 2 + 2 * log_value * line["covariance"] + (log_value * line["slope_se"]) ** 2
        + line["residual_sd"] ** 2
        + line["slope"] ** 2 * (measurements["log_se"] ** 2 - line["source_log_se"] ** 2).clip(lower=0).fillna(0)
    )  # fmt: skip
    half = student_quantile(0.975, line["n"] - 2) * np.sqrt(variance)
    out["cortisol_pg_per_mg"] = np.exp(moved).where(inside)
    out["cortisol_low"] = np.exp(moved - half).where(inside)
    out["cortisol_high"] = np.exp(moved + half).where(inside)
    out["log_se"] = np.sqrt(variance).where(inside)
    # Errors that are shared, with others of the curve or with other measurements of the extract, follow the line.
    for column in {*assay.CURVE_COLUMNS, "log_se_extract"} & set(measurements):
        out[column] = (line["slope"] * measurements[column]).where(inside)
    if "log_se_extract" in measurements:
        out["log_se_extract"] = np.minimum(out["log_se_extract"], out["log_se"])
    kept = censored & limits
    limit = np.exp(line["intercept"] + line["slope"] * np.log(measurements["limit_pg_per_mg"]))
    out["limit_pg_per_mg"] = limit.where(kept)
    for column, side, end in (("cortisol_low", "below", 0.0), ("cortisol_high", "above", np.inf)):
        out.loc[kept & (measurements["censored"] == side), column] = end
    out.loc[kept & (measurements["censored"] == "below"), "cortisol_high"] = limit
    out.loc[kept & (measurements["censored"] == "above"), "cortisol_low"] = limit
    out.loc[censored & ~limits, "censored"] = "none"
    lost = ~(inside | kept)
    names = measurements["platform"]
    out["platform"] = target
    out["flags"] = [
        ";".join(f for f in (flags, "beyond_bridge" if gone else f"bridged_from_{name}") if f)
        for flags, gone, name in zip(measurements["flags"].fillna(""), lost, names)
    ]
    return out


def _mean_square(log_se: NDArray[np.float64] | pd.Series | None) -> float:
    known = np.array([] if log_se is None else log_se, dtype=float)
    known = known[np.isfinite(known)]
    return float(np.mean(known**2)) if known.size else np.nan


def _deming(x: NDArray[np.float64], y: NDArray[np.float64], ratio: float) -> tuple[float, float]:
    """Intercept and slope of Deming regression; ``ratio`` = error variance of y / that of x."""
    mx, my = x.mean(), y.mean()
    sxx, syy, sxy = np.sum((x - mx) ** 2), np.sum((y - my) ** 2), np.sum((x - mx) * (y - my))
    difference = syy - ratio * sxx
    slope = (difference + np.sqrt(difference**2 + 4 * ratio * sxy**2)) / (2 * sxy)
    return my - slope * mx, slope


# Fewer values may all be unusual by chance; a wrong unit shifts all of them at least this fold.
FEWEST_OUTSIDE, FOLD_OUTSIDE = 5, 10


def outside_usual(values: pd.Series, settings: CortisolSettings) -> tuple[str, bool] | None:
    """Return what is odd about a platform's concentrations (pg/mg): all lie on one side of the usual range.

    ``(words, whether even FOLD_OUTSIDE times beyond it)``; None where some lie inside, or there are too few to tell.
    """
    known, low, high = values.dropna(), settings.usual_low_pg_per_mg, settings.usual_high_pg_per_mg
    if len(known) < FEWEST_OUTSIDE or (low <= known.max() and known.min() <= high):
        return None
    below = known.max() < low
    where = f"below {low:g}" if below else f"above {high:g}"
    far = known.max() < low / FOLD_OUTSIDE if below else known.min() > high * FOLD_OUTSIDE
    return f"all {len(known)} values lie {where} pg/mg, half of them around {known.median():.3g}", bool(far)


UNUSUAL_REMEDY = (
    "look for a wrong unit, dilution or mass; where values are right, set cortisol.usual_low_pg_per_mg and "
    "usual_high_pg_per_mg"
)
