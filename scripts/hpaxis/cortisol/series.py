"""Series of saliva cortisol: areas under the curve and the awakening response, with what measurement adds to them.

Each measure is linear in a day's concentrations, so that its error follows from theirs: what tubes have of their own
is independent, what all tubes of a run share is not. The formulas of the areas are those of Pruessner and others
(2003), Psychoneuroendocrinology 28:916-931.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from hpaxis.cortisol.assay import CURVE_COLUMNS
from hpaxis.cortisol.kits import pg_per_ml
from hpaxis.cortisol.reliability import icc
from hpaxis.cortisol.runs import RunVariance, run_of
from hpaxis.settings import CortisolSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

MEASURES = ("auc_g", "auc_i", "awakening", "rise")
TUBE_COLUMNS = (
    "saliva_id", "participant_id", "timepoint", "day", "minutes", "platform", "plate_id", "measurements", "runs",
    "nmol_per_l", "low", "high", "log_se", "log_se_within_run", "cv_percent", "censored", "limit_nmol_per_l", "flags",
    "used", "reason",
)  # fmt: skip
DAY_COLUMNS = (
    "participant_id", "timepoint", "platform", "day", "tubes", "values", "first_minutes", "last_minutes",
    *(f"{name}{part}" for name in MEASURES for part in ("", "_se")), "flags",
)  # fmt: skip
SERIES_COLUMNS = (
    "participant_id", "timepoint", "platform", "days", "tubes",
    *(f"{name}{part}" for name in MEASURES for part in ("", "_se", "_low", "_high", "_days", "_day_sd")),
    "log_auc_g", "log_auc_g_se", "flags",
)  # fmt: skip
FINISHED = "finished"  # the platform of concentrations that another laboratory gives
Z = float(stats.norm.ppf(0.975))


def trapezoid(minutes: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the weights, in hours, by which concentrations at rising ``minutes`` (n,) give the area under them."""
    hours = np.asarray(minutes, dtype=float) / 60
    step = np.diff(hours)
    return (np.concatenate([step, [0]]) + np.concatenate([[0], step])) / 2


def coefficients(
    minutes: npt.ArrayLike, known: npt.ArrayLike, awakening: float | None = 60, first: float = 15
) -> dict[str, npt.NDArray[np.float64] | None]:
    """Return what each measure of one day multiplies its concentrations by.

    Parameters
    ----------
    minutes : (n,) rising times of the tubes, in minutes since waking or since a task began.
    known : (n,) whether each tube has a concentration.
    awakening : minutes up to which tubes belong to the awakening response, or None.
    first : latest minute of the first tube for an awakening response.

    Returns
    -------
    dict of ``auc_g`` (area with respect to ground), ``auc_i`` (with respect to increase: less first value × time),
    both over all tubes; ``awakening`` (auc_i of the tubes of the awakening response) and ``rise`` (mean of its later
    tubes less the first): (n,) coefficients, or None where the tubes do not allow the measure. Areas need a value at
    the first and the last tube and go straight over a gap between; the awakening response needs every tube of it.
    """
    at, has = np.asarray(minutes, dtype=float), np.asarray(known, dtype=bool)
    found: dict[str, npt.NDArray[np.float64] | None] = dict.fromkeys(MEASURES)
    if len(at) > 1 and has[0] and has[-1]:
        ground = np.zeros(len(at))
        ground[has] = trapezoid(at[has])
        found["auc_g"] = ground
        found["auc_i"] = ground - _first(at) * (at[-1] - at[0]) / 60
    early = (at >= 0) & (at <= awakening) if awakening is not None else np.zeros(len(at), dtype=bool)
    if early.sum() > 1 and has[early].all() and at[early][0] <= first:
        start = int(np.flatnonzero(early)[0])
        area, rise = np.zeros(len(at)), np.zeros(len(at))
        area[early] = trapezoid(at[early])
        area[start] -= (at[early][-1] - at[early][0]) / 60
        rise[early] = 1 / (early.sum() - 1)
        rise[start] = -1
        found["awakening"], found["rise"] = area, rise
    return found


def _first(at: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([[1.0], np.zeros(len(at) - 1)])


def finished_tubes(sheet: pd.DataFrame) -> pd.DataFrame:
    """Return the tubes whose concentration stands in saliva_cortisol.tsv, with `TUBE_COLUMNS` as far as they go.

    A value's log-normal error is that of cv_percent; without it, it is not known.
    """
    here = sheet[sheet["cortisol_nmol_per_l"].notna()]
    text = here["cortisol_nmol_per_l"].str.replace(r"\s", "", regex=True)
    number = pd.to_numeric(text.str.lstrip("<>"), errors="coerce")
    below, above = text.str.startswith("<"), text.str.startswith(">")
    error = np.sqrt(np.log1p((here["cv_percent"] / 100) ** 2))
    value, inside = number.where(~(below | above)), ~(below | above)
    spread = np.exp(Z * error)
    return pd.DataFrame({
        "saliva_id": here["saliva_id"], "platform": FINISHED, "plate_id": None, "measurements": 1, "runs": 1,
        "nmol_per_l": value,
        "low": np.select([below, above], [0.0, number], value / spread),
        "high": np.select([below, above], [number, np.inf], value * spread),
        "log_se": error.where(inside), "log_se_within_run": error.where(inside), "cv_percent": here["cv_percent"],
        "censored": np.select([below, above], ["below", "above"], "none"), "limit_nmol_per_l": number.where(~inside),
        "flags": np.where(inside & error.isna(), "no_interval", ""),
    })  # fmt: skip


def neutral_extracts(sheet: pd.DataFrame) -> pd.DataFrame:
    """Return tubes as the rows of hair.tsv that give nmol/L in saliva where hair gives pg/mg: no volumes, no mass."""
    nothing = {"methanol_added_ml": 1.0, "methanol_recovered_ml": 1.0, "reconstitution_ml": 1.0, "mass_mg": 1.0}
    return pd.DataFrame({
        "hair_id": sheet["saliva_id"], "dilution": sheet["dilution"], **nothing, "spike_pg": 0.0,
        "recovery": pg_per_ml("nmol/L"), "volumes": 0,
    })  # fmt: skip


def tube_table(sheet: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Return every tube of the sheet with its concentration and whether a series uses it, with `TUBE_COLUMNS`.

    ``measured``: tubes of plates and finished ones, one row per tube and platform.
    """
    keys = sheet[["saliva_id", "participant_id", "timepoint", "day", "minutes"]]
    table = keys.merge(measured, on="saliva_id", how="left")
    table["censored"] = table["censored"].fillna("none")
    absent = table["platform"].isna()
    table["flags"] = np.where(absent, "no_value", table["flags"].fillna(""))
    known = table["nmol_per_l"].notna() | (table["censored"] == "below")
    above = table["censored"] == "above"
    table["used"] = np.where(known, "yes", "no")
    failed = table["flags"].str.split(";").map(lambda names: "plate_failed" in names) & ~known
    table["reason"] = np.select(
        [known & table["nmol_per_l"].notna(), known, above, failed, absent],
        ["", "below its limit: half of the limit, with an error that holds 0 and the limit",
         "above what could be measured: it has no upper end",
         "its plate failed (cortisol.failed_plates is leave_out)", "neither on a plate nor finished elsewhere"],
        "no concentration",
    )  # fmt: skip
    table = table.reindex(columns=list(TUBE_COLUMNS))
    return table.sort_values(["participant_id", "timepoint", "day", "minutes", "platform"], ignore_index=True)


def series_tables(
    tubes: pd.DataFrame,
    between: Mapping[str, RunVariance],
    runs: Mapping[str, str],
    settings: CortisolSettings,
    measured: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the measures of each day, and their means over the days of a participant's timepoint.

    Parameters
    ----------
    tubes : DataFrame of `tube_table`.
    between : variance between runs by platform.
    runs : run of each plate.
    settings : the config's cortisol section: awakening_minutes, awakening_first_minutes, series_span_percent.
    measured : measurements on plates (hair_id, plate_id, `CURVE_COLUMNS`), which say what the tubes of a plate share of
        its curve's error; or None, and those errors are taken as independent.

    Returns
    -------
    ``(days, series)`` with `DAY_COLUMNS` and `SERIES_COLUMNS`. Concentrations in nmol/L, areas in nmol/L × h. A tube
    below its limit counts as half of the limit, with the error of a uniform distribution below it. Standard errors are
    of measurement: tubes and runs. ``_low`` and ``_high`` are ends of the 95 % interval, NA where no error is known.
    """
    day_rows, rows = [], []
    # Tubes that have no value yet belong to the platform of their series.
    named = tubes.assign(platform=_filled(tubes))
    spans = _usual_spans(named)
    for (person, timepoint, platform), group in named.groupby(["participant_id", "timepoint", "platform"], sort=True):
        state = _Errors(group, between.get(platform), runs, measured)
        found: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in MEASURES}
        flags_of_all: list[str] = []
        for day, place in group.groupby("day", sort=True).indices.items():
            at = group["minutes"].to_numpy()[place]
            known = np.isfinite(state.value[place])
            parts = coefficients(at, known, settings.awakening_minutes, settings.awakening_first_minutes)
            flags = _day_flags(at, known, parts, spans[(timepoint, platform)], settings)
            if "span" in flags:
                parts |= {"auc_g": None, "auc_i": None}
            row = {"participant_id": person, "timepoint": timepoint, "platform": platform, "day": day}
            row |= {"tubes": len(at), "values": int(known.sum()), "first_minutes": at[0], "last_minutes": at[-1]}
            for name, part in parts.items():
                if part is None:
                    continue
                whole = np.zeros(len(group))
                whole[place] = part
                found[name].append(whole)
                row[name], row[f"{name}_se"] = state.of(whole)[:2]
            day_rows.append({**row, "flags": ";".join(flags)})
            flags_of_all += flags
        row = {"participant_id": person, "timepoint": timepoint, "platform": platform}
        row |= {"days": group["day"].nunique(), "tubes": len(group)}
        for name, parts_of_days in found.items():
            row |= _mean_over_days(name, parts_of_days, state)
        if row["auc_g"] > 0:
            row |= {"log_auc_g": np.log(row["auc_g"]), "log_auc_g_se": row["auc_g_se"] / row["auc_g"]}
        rows.append({**row, "flags": ";".join(dict.fromkeys(flags_of_all))})
    return pd.DataFrame(day_rows, columns=list(DAY_COLUMNS)), pd.DataFrame(rows, columns=list(SERIES_COLUMNS))


class _Errors:
    """Values of some tubes with the errors of linear combinations of them."""

    def __init__(
        self,
        tubes: pd.DataFrame,
        between: RunVariance | None,
        runs: Mapping[str, str],
        measured: pd.DataFrame | None = None,
    ) -> None:
        below = (tubes["censored"] == "below").to_numpy()
        limit = tubes["limit_nmol_per_l"].to_numpy(dtype=float)
        self.value = np.where(below, limit / 2, tubes["nmol_per_l"].to_numpy(dtype=float))
        total = tubes["log_se"].to_numpy(dtype=float) ** 2
        within = tubes["log_se_within_run"].to_numpy(dtype=float) ** 2
        named = [run_of(plates, runs) for plates in tubes["plate_id"]]
        on_plate = np.array([name is not None for name in named])
        self.run = _codes(named)
        self.plate = _codes([plates if isinstance(plates, str) else None for plates in tubes["plate_id"]])
        self.quantile = self.plate_quantile = Z
        shared, of_plate = np.zeros(len(tubes)), np.zeros(len(tubes))
        if between is not None:
            # What an item has of its own between runs stays with the tube; repeats that disagree hold all of it.
            left = np.maximum(total - within, 0)
            count = np.maximum(tubes["runs"].to_numpy(dtype=float), 1)
            shared = np.where(on_plate, np.minimum(between.shared / count, left), 0.0)
            count = np.maximum(tubes["measurements"].to_numpy(dtype=float), 1)
            of_plate = np.where(on_plate, np.minimum(between.plate / count, left - shared), 0.0)
            if between.shared > 0:
                self.quantile = max(between.shared_quantile(1), Z)
            if between.plate > 0 and between.plate_df > 0:
                self.plate_quantile = float(stats.t.ppf(0.975, between.plate_df))
        self.shared, self.of_plate = np.sqrt(np.nan_to_num(shared)), np.sqrt(np.nan_to_num(of_plate))
        self.curve = _curve_errors(tubes, measured)
        known = self.shared**2 + self.of_plate**2 + np.sum(self.curve**2, axis=1)
        self.own = np.where(below, limit**2 / 12, self.value**2 * np.maximum(total - known, 0.0))

    def of(self, weights: NDArray[np.float64]) -> tuple[float, float, float]:
        """Value, standard error and half of the 95 % interval of a linear combination (NaN where not known)."""
        used = weights != 0
        scaled = (weights * self.value)[used]
        value = float(np.sum(scaled))
        own = float(np.sum(weights[used] ** 2 * self.own[used]))
        own += sum(_of_groups(self.plate[used], scaled * column[used]) for column in self.curve.T)
        runs = _of_groups(self.run[used], scaled * self.shared[used])
        plates = _of_groups(self.plate[used], scaled * self.of_plate[used])
        half = np.sqrt(Z**2 * own + self.quantile**2 * runs + self.plate_quantile**2 * plates)
        return value, np.sqrt(own + runs + plates), float(half)


def _codes(names: Iterable[str | None]) -> NDArray[np.int64]:
    """Whole numbers of names, in the order in which they come; None is a name of its own."""
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return np.array([codes[name] for name in names])


def _of_groups(code: NDArray[np.int64], part: NDArray[np.float64]) -> float:
    """Variance of errors that are the same within groups: squares of the sums of their parts."""
    return float(np.sum(np.bincount(code, part) ** 2))


def _curve_errors(tubes: pd.DataFrame, measured: pd.DataFrame | None) -> NDArray[np.float64]:
    """What each tube shares of its plate's curve error (n × 5, ln); 0 of tubes on several plates or on none."""
    shared = np.zeros((len(tubes), len(CURVE_COLUMNS)))
    if measured is None or measured.empty:
        return shared
    known = measured.drop_duplicates(["hair_id", "plate_id"]).set_index(["hair_id", "plate_id"])[list(CURVE_COLUMNS)]
    keys = pd.MultiIndex.from_arrays([tubes["saliva_id"], tubes["plate_id"].fillna("")])
    found = known.reindex(keys).to_numpy(dtype=float)
    return np.where(tubes["censored"].eq("none").to_numpy()[:, None], np.nan_to_num(found), 0.0)


def _mean_over_days(name: str, parts: Sequence[NDArray[np.float64]], state: _Errors) -> dict[str, float]:
    if not parts:
        return {name: np.nan, f"{name}_se": np.nan, f"{name}_days": 0}
    value, error, half = state.of(np.mean(parts, axis=0))
    single = [state.of(part)[0] for part in parts]
    spread = float(np.std(single, ddof=1)) if len(single) > 1 else np.nan
    return {
        name: value, f"{name}_se": error, f"{name}_low": value - half, f"{name}_high": value + half,
        f"{name}_days": len(parts), f"{name}_day_sd": spread,
    }  # fmt: skip


def _filled(tubes: pd.DataFrame) -> list[str]:
    """The platform of each tube; of one without a value that of its participant's series, else the study's first."""
    known = tubes.dropna(subset=["platform"])
    own = known.groupby(["participant_id", "timepoint"])["platform"].first()
    usual = known["platform"].min() if len(known) else FINISHED
    return [
        p if isinstance(p, str) else own.get((person, timepoint), usual)
        for p, person, timepoint in zip(tubes["platform"], tubes["participant_id"], tubes["timepoint"])
    ]


def _usual_spans(tubes: pd.DataFrame) -> dict[tuple[str, str], float]:
    """The median time from first to last tube of a day, by timepoint and platform, in minutes."""
    by_day = tubes.groupby(["timepoint", "platform", "participant_id", "day"])["minutes"]
    span = by_day.max() - by_day.min()
    return span.groupby(level=["timepoint", "platform"]).median().to_dict()


def _day_flags(
    at: NDArray[np.float64],
    known: NDArray[np.bool_],
    parts: Mapping[str, NDArray[np.float64] | None],
    usual: float,
    settings: CortisolSettings,
) -> list[str]:
    flags = []
    if parts["auc_g"] is None:
        flags.append("ends_missing" if len(at) > 1 else "one_tube")
    elif not known.all():
        flags.append("gap")
    if usual > 0 and abs((at[-1] - at[0]) / usual - 1) > settings.series_span_percent / 100:
        flags.append("span")
    if settings.awakening_minutes is not None and parts["awakening"] is None:
        early = (at >= 0) & (at <= settings.awakening_minutes)
        if early.any() and at[early][0] > settings.awakening_first_minutes:
            flags.append("late_first_tube")
        else:
            flags.append("awakening_incomplete")
    return flags


RELIABILITY_COLUMNS = (
    "platform", "measure", "subjects", "measurements", "per_subject", "icc", "icc_low", "icc_high", "icc_mean", "note",
)  # fmt: skip


def day_reliability(days: pd.DataFrame) -> pd.DataFrame:
    """Return how well days of one person and timepoint agree, by platform and measure: ICC(1,1) and ICC(1,k)."""
    rows = []
    for platform, group in days.groupby("platform", sort=True):
        person = group["participant_id"] + " " + group["timepoint"]
        for name in MEASURES:
            row = {"platform": platform, "measure": name}
            try:
                found = icc(group[name].astype(float), person)
            except ValueError as error:
                rows.append(row | {"note": str(error).replace("subjects were measured", "people were measured")})
                continue
            rows.append(row | {
                "subjects": found["subjects"], "measurements": found["measurements"],
                "per_subject": found["per_subject"], "icc": found["icc"], "icc_low": found["low"],
                "icc_high": found["high"], "icc_mean": found["icc_mean"],
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(RELIABILITY_COLUMNS))


def measured_tubes(
    plates: Mapping[str, pd.DataFrame], sheet: pd.DataFrame, settings: CortisolSettings
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the tubes that plates measured, in nmol/L, as `samples.hair_measurements`; and the settings of saliva.

    ``plates``, ``sheet``, ``settings`` as of `collect_series`.
    """
    from hpaxis.cortisol import samples

    # Saliva is neither weighed nor taken up in a volume, and what is usual in hair says nothing of it.
    own = settings | {"mass_sd_mg": 0.0, "low_mass_mg": 0.0, "usual_low_pg_per_mg": 0.0}
    own |= {"usual_high_pg_per_mg": np.inf, "extraction_blank": "warn"}
    tubes = neutral_extracts(sheet)
    return samples.hair_measurements(plates["estimates"], plates["summary"], plates["quality"], tubes, own), own


def collect_series(
    plates: Mapping[str, pd.DataFrame],
    sheet: pd.DataFrame,
    participants: pd.DataFrame,
    arms: Sequence[str],
    settings: CortisolSettings,
) -> dict[str, pd.DataFrame]:
    """Bring all tubes together: ``dict`` of the tables tubes, days, series and reliability.

    Parameters
    ----------
    plates : dict of DataFrames, each all plates' rows: summary, estimates, quality; without rows where none was run.
    sheet : DataFrame of saliva_cortisol.tsv, defaults filled in.
    participants : DataFrame with participant_id and arm.
    arms : list of str, in the config's order.
    settings : dict, the config's cortisol section.

    Raises
    ------
    InputError where arms that share no plate cannot be told from plates.
    """
    from hpaxis.cortisol import quality, samples
    from hpaxis.problems import InputError

    measured, own = measured_tubes(plates, sheet, settings)
    people = sheet[["saliva_id", "participant_id"]].merge(participants[["participant_id", "arm"]], how="left")
    placed = measured.merge(people, left_on="hair_id", right_on="saliva_id")
    counts = quality.plate_by_arm(placed, arms)
    if len(placed) and quality.aliased(counts):
        raise InputError(samples.aliasing(counts))
    between = samples.run_variances(measured.assign(kind="saliva"), plates["estimates"], plates["summary"], own)
    table = samples.sample_table(measured, own, between).rename(columns={
        "hair_id": "saliva_id", "cortisol_pg_per_mg": "nmol_per_l", "cortisol_low": "low", "cortisol_high": "high",
        "limit_pg_per_mg": "limit_nmol_per_l",
    })  # fmt: skip
    columns = [c for c in TUBE_COLUMNS if c in table and c not in ("participant_id", "timepoint")]
    parts = [part for part in (table[columns], finished_tubes(sheet)) if len(part)]
    known = pd.concat(parts, ignore_index=True) if parts else table[columns]
    tubes = tube_table(sheet, known)
    runs = dict(zip(plates["summary"]["plate_id"], plates["summary"]["run"])) if len(plates["summary"]) else {}
    days, series = series_tables(tubes, between, runs, settings, measured)
    return {"saliva_tubes": tubes, "saliva_days": days, "saliva_series": series,
            "saliva_reliability": day_reliability(days)}  # fmt: skip
