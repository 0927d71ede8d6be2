"""What plates alone say of an assay: standards, limits, precision by level, parallelism, recovery and position effects.

Nothing here knows a participant: samples are names in a layout. Concentrations are in the kit's unit.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from hpaxis.cortisol import quality
from hpaxis.cortisol.assay import cv_percent
from hpaxis.settings import CortisolSettings

LEVELS = ("run", "plate", "well")
REPEATED = ("control", "pool")
STANDARD_COLUMNS = (
    "kit", "nominal", "unit", "n_plates", "n_wells", "recovery_percent", "recovery_min_percent", "recovery_max_percent",
    "intra_cv_percent", "inter_cv_percent",
)  # fmt: skip
LIMIT_COLUMNS = ("kit", "unit", "limit", "n_plates", "lowest", "median", "highest")
PRECISION_COLUMNS = (
    "kit", "role", "sample", "dilution", "unit", "n_runs", "n_plates", "n_wells", "mean", "intra_cv_percent",
    "intra_low", "intra_high", "plate_cv_percent", "run_cv_percent", "inter_cv_percent", "inter_low", "inter_high",
    "total_cv_percent", "note",
)  # fmt: skip
PARALLEL_COLUMNS = (
    "plate_id", "kit", "role", "sample", "dilutions", "cv_percent", "change_percent_per_doubling", "p", "verdict",
)  # fmt: skip
RECOVERY_COLUMNS = (
    "plate_id", "kit", "what", "sample", "recovery_percent", "concentration", "unit", "verdict", "reason",
)  # fmt: skip


def validate(plates: Mapping[str, pd.DataFrame], settings: CortisolSettings) -> dict[str, pd.DataFrame]:
    """Return the tables of a validation from all plates' rows.

    Parameters
    ----------
    plates : summary, wells, estimates, quality and rerun of all plates, as `quantify_plate` and
        `hpaxis.cortisol.quality` give them.
    settings : the config's cortisol section.

    Returns
    -------
    dict of curves, standards, limits, precision, parallelism, recovery, controls, position, quality and rerun.
    """
    summary, wells, estimates, checks = (plates[name] for name in ("summary", "wells", "estimates", "quality"))
    controls = quality.control_table(estimates, settings)
    kits = summary.set_index("plate_id")[["kit", "unit", "run"]]
    return {
        "curves": summary,
        "standards": standard_table(wells, kits),
        "limits": limit_table(summary),
        "precision": precision_table(wells, kits),
        "parallelism": parallelism_table(estimates, settings),
        "recovery": recovery_table(checks, kits),
        "controls": controls,
        "position": checks[checks["check"] == "position"].reset_index(drop=True),
        "quality": pd.concat([checks, quality.inter_assay(controls, settings)], ignore_index=True),
        "rerun": plates["rerun"],
    }


def standard_table(wells: pd.DataFrame, kits: pd.DataFrame) -> pd.DataFrame:
    """Return each standard over the plates: recovery, CV of its wells on a plate (root mean square), CV over plates.

    ``kits``: kit and unit by plate_id. CVs are of back-calculated concentrations.
    """
    known = wells[(wells["role"] == "standard") & wells["concentration"].notna() & (wells["nominal"] > 0)]
    known = known.join(kits, on="plate_id")
    rows = []
    for (kit, nominal, unit), group in known.groupby(["kit", "nominal", "unit"], sort=True):
        by_plate = group.groupby("plate_id")["concentration"]
        means = by_plate.mean()
        recovery = 100 * means / nominal
        rows.append((
            kit, nominal, unit, len(means), len(group), recovery.mean(), recovery.min(), recovery.max(),
            _root_mean_square(by_plate.agg(cv_percent)), cv_percent(means),
        ))  # fmt: skip
    return pd.DataFrame(rows, columns=list(STANDARD_COLUMNS))


def _root_mean_square(values: pd.Series) -> float:
    known = values.dropna().to_numpy(dtype=float)
    return float(np.sqrt(np.mean(known**2))) if known.size else np.nan


def limit_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the limits of detection and quantification over the plates of each kit."""
    rows = []
    for (kit, unit), group in summary.groupby(["kit", "unit"], sort=True):
        for name in ("lod", "lloq", "uloq"):
            known = group[name].dropna()
            rows.append((kit, unit, name, len(known), known.min(), known.median(), known.max()))
    return pd.DataFrame(rows, columns=list(LIMIT_COLUMNS))


def precision_table(wells: pd.DataFrame, kits: pd.DataFrame) -> pd.DataFrame:
    """Return the precision of every control and pool, and of all samples' replicates together.

    Components of variance of single wells (run, plate in run, well) by the analysis of variance, as in
    `variance_components`; CVs are their roots in % of the mean. ``inter_cv_percent`` is of plates and runs together
    (between assays), ``total_cv_percent`` of a single well in any run. Intervals are chi-square's, with
    Satterthwaite's degrees of freedom for the sums. Concentrations are multiplied by their dilution.
    """
    known = wells[wells["concentration"].notna()].join(kits, on="plate_id")
    known = known.assign(value=known["concentration"] * known["dilution"].fillna(1))
    rows = []
    repeated = known[known["role"].isin(REPEATED)]
    for key, group in repeated.groupby(["kit", "role", "sample", "dilution", "unit"], dropna=False, sort=True):
        rows.append((*key, *_precision(group)))
    samples = known[known["role"] == "sample"]
    for (kit, unit), group in samples.groupby(["kit", "unit"], sort=True):
        by_sample = group.groupby(["plate_id", "sample", "dilution"], dropna=False)["value"]
        cvs, sizes = by_sample.agg(cv_percent), by_sample.size()
        cvs, sizes = cvs[sizes > 1], sizes[sizes > 1]
        if cvs.empty:
            continue
        df = float((sizes - 1).sum())
        pooled = float(np.sqrt(np.sum((sizes - 1) * cvs**2) / df))
        low, high = _interval(pooled, df)
        note = f"{len(cvs)} samples in replicate, pooled"
        rows.append((
            kit, "sample", None, np.nan, unit, group["run"].nunique(), group["plate_id"].nunique(), int(sizes.sum()),
            np.nan, pooled, low, high, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, note,
        ))  # fmt: skip
    return pd.DataFrame(rows, columns=list(PRECISION_COLUMNS))


def _precision(group: pd.DataFrame) -> tuple[float | str | None, ...]:
    """The columns of `PRECISION_COLUMNS` from runs on, for one control or pool."""
    y, mean = group["value"].to_numpy(dtype=float), group["value"].mean()
    found, degrees, notes = variance_components(y, group["run"], group["plate_id"])

    def cv(value: float) -> float:
        return 100 * np.sqrt(value) / mean

    within = cv(found["well"]) if "well" in found else np.nan
    between = {k: v for k, v in found.items() if k != "well"}
    inter = cv(sum(between.values())) if between else np.nan
    total = cv(sum(found.values())) if found else np.nan
    return (
        group["run"].nunique(), group["plate_id"].nunique(), len(y), mean, within,
        *_interval(within, degrees.get("well", 0)), cv(found["plate"]) if "plate" in found else np.nan,
        cv(found["run"]) if "run" in found else np.nan, inter, *_interval(inter, degrees.get("between", 0)), total,
        "; ".join(notes) or None,
    )  # fmt: skip


def variance_components(
    values: npt.ArrayLike, runs: pd.Series, plates: pd.Series
) -> tuple[dict[str, float], dict[str, float], list[str]]:
    """Return the variances of runs, plates in runs and wells, by the analysis of variance (Henderson's method 1).

    Sums of squares between runs, between plates in runs and within plates are set equal to what they are expected to
    be, which for equal numbers is the textbook's nested analysis of variance. A level that has no degrees of freedom is
    not estimated; a negative estimate is 0.

    Parameters
    ----------
    values : (n,) numbers; runs, plates : (n,) labels, a plate lying in one run.

    Returns
    -------
    ``(variances, degrees, notes)``: by level; degrees of freedom of ``well``, and Satterthwaite's of ``between`` (runs
    and plates together); what could not be estimated.
    """
    y = np.asarray(values, dtype=float)
    if len(y) < 2:
        return {}, {}, ["measured once"]
    labels = {"run": pd.factorize(runs)[0], "plate": pd.factorize(plates)[0], "well": np.arange(len(y))}
    if labels["plate"].max() == labels["run"].max():
        del labels["run"]  # one plate per run: they are one level
    projections = [np.full((len(y), len(y)), 1 / len(y))]
    design = {name: np.eye(codes.max() + 1)[codes] for name, codes in labels.items()}
    names, sums, degrees, forms = [], [], [], []
    for name, z in design.items():
        p = z @ np.diag(1 / z.sum(axis=0)) @ z.T
        form = p - projections[-1]
        df = round(np.trace(form))
        projections.append(p)
        if df > 0:
            names.append(name)
            forms.append(form)
            degrees.append(df)
            sums.append(float(y @ form @ y))
    expected = np.array([[np.trace(form @ design[j] @ design[j].T) for j in names] for form in forms])
    inverse = np.linalg.inv(expected)
    raw = inverse @ np.array(sums)
    found = {name: max(float(v), 0.0) for name, v in zip(names, raw)}
    freedom = {"well": float(degrees[names.index("well")])} if "well" in names else {}
    between = [i for i, name in enumerate(names) if name != "well"]
    if between:
        parts = inverse[between].sum(axis=0) * np.array(sums)
        spread = np.sum(parts**2 / np.array(degrees))
        freedom["between"] = float(np.sum(parts) ** 2 / spread) if spread > 0 else 0.0
    notes = [f"a negative variance of {n}s is 0" for n, v in zip(names, raw) if v < 0]
    if "plate" in labels and "plate" not in names and "run" not in names:
        notes.append("measured on one plate: nothing is known between assays")
    if "well" not in names:
        notes.append("one well on each plate: wells and plates are one level")
    return found, freedom, notes


def _interval(cv: float, df: float, level: float = 0.95) -> tuple[float, float]:
    """The interval of a CV (%) from the chi-square distribution of its variance; infinite where df is below 1."""
    if not np.isfinite(cv) or df <= 0 or cv == 0:
        return np.nan, np.nan
    low = cv * np.sqrt(df / stats.chi2.ppf((1 + level) / 2, df))
    tail = stats.chi2.ppf((1 - level) / 2, df)
    return float(low), float(cv * np.sqrt(df / tail)) if tail > 0 else np.inf


def parallelism_table(estimates: pd.DataFrame, settings: CortisolSettings) -> pd.DataFrame:
    """Return every dilution series: CV of concentrations times dilution, change per doubling, p."""
    rows, limit = [], settings.parallelism_max_percent
    usable = estimates[estimates["role"].isin(["sample", "control", "pool"]) & (estimates["censored"] == "none")]
    for key, group in usable.groupby(["plate_id", "kit", "role", "sample"], sort=True):
        series = quality.parallelism(group)
        if series is None:
            continue
        named = ";".join(f"{d:g}" for d in sorted(group["dilution"].fillna(1)))
        change = 100 * (2 ** series["slope"] - 1)
        rows.append((*key, named, series["cv"], change, series["p"], "warn" if series["cv"] > limit else "pass"))
    return pd.DataFrame(rows, columns=list(PARALLEL_COLUMNS))


def recovery_table(checks: pd.DataFrame, kits: pd.DataFrame) -> pd.DataFrame:
    """Return the recovery of controls and spikes in percent, and the concentration of extraction blanks, by plate.

    ``kits``: kit and unit by plate_id. A concentration is that of the extract in the well, NA where it is censored.
    """
    names = {"control_recovery": "control", "spike_recovery": "spike", "extraction_blank": "extraction blank"}
    here = checks[checks["check"].isin(names) & checks["subject"].notna()]
    blank = here["check"] == "extraction_blank"
    table = pd.DataFrame({
        "plate_id": here["plate_id"], "kit": here["plate_id"].map(kits["kit"]), "what": here["check"].map(names),
        "sample": here["subject"],
        "recovery_percent": here["value"].where(~blank), "concentration": here["value"].where(blank),
        "unit": here["plate_id"].map(kits["unit"]).where(blank),
        "verdict": here["verdict"], "reason": here["reason"],
    })  # fmt: skip
    return table.reindex(columns=list(RECOVERY_COLUMNS)).sort_values(["what", "sample", "plate_id"], ignore_index=True)
