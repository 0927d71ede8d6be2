"""Is the plate good? Each check gives a verdict, a reason and a remedy; and a table of what to run again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from hpaxis.cortisol.assay import CURVE_COLUMNS, cv_percent, disagreement
from hpaxis.cortisol.curve import CurveError, fit_curve
from hpaxis.rows import Row, rows_of
from hpaxis.settings import CortisolSettings

if TYPE_CHECKING:
    from hpaxis.cortisol.curve import Variance
    from hpaxis.cortisol.plate import PlateResult

COLUMNS = ("plate_id", "check", "subject", "value", "limit", "verdict", "reason", "remedy", "wells")
RERUN_COLUMNS = ("plate_id", "role", "sample", "wells", "concentration", "cv_percent", "reason", "action")
RANK = {"pass": 0, "warn": 1, "fail": 2}
# A well this many SDs from its group's median is named.
OUTLYING_SD = 3.5
APART_SD = 4.0  # and this many from the plate without it, before it explains a failure
FAILED_LEVELS = 0.25  # share of standards outside the recovery limits at which the curve fails
MINIMUM_PLATES = 4  # plates before a control is compared with the other plates
NOT_PARALLEL_P = 0.01  # of a dilution series whose concentrations differ beyond their errors
MASK_REMEDY = "mask it in the layout (column mask) with the reason that the bench notes give; without a reason keep it"


def check_quality(
    result: PlateResult,
    settings: CortisolSettings,
    ranges: pd.DataFrame | None = None,
    explain: bool = True,
    plate: pd.Series | None = None,
) -> pd.DataFrame:
    """Run every check of one plate.

    ``result``: hpaxis.cortisol.plate.PlateResult; ``settings``: the config's cortisol section; ``ranges``: DataFrame
    control, low, high (in the kit's unit) of the plate's lot, or None; ``explain``: whether a plate that fails is
    evaluated again without each of its standard wells in turn, to name the one that explains the failure; ``plate``:
    the plate's row of plates.tsv, or None.
    Returns DataFrame, one row per check and subject: plate_id, check, subject, value, limit, verdict (pass, warn,
    fail), reason, remedy, wells.
    """
    plate_id = result.summary["plate_id"].iloc[0]
    if result.curve is None:
        remedy = "check layout and reader file; if they are right, run the plate again"
        rows = [_row("curve", None, np.nan, np.nan, "fail", result.failure, remedy)]
    else:
        rows = [
            *_curve(result, settings),
            *_standards(result),
            *_zero_wells(result, settings),
            *_limits(result, settings),
            *_controls(result, settings, ranges),
            *_extraction_blanks(result),
            *_spikes(result, settings),
            *_parallelism(result, settings),
            *_position(result, settings),
        ]
    rows += [*_masked(result), *_duplicates(result, settings), *_expiry(plate)]
    if explain and any(row[4] == "fail" for row in rows):
        rows.append(_one_bad_well(result, settings, ranges))
    table = pd.DataFrame(rows, columns=COLUMNS[1:])
    table.insert(0, "plate_id", plate_id)
    return table


def verdict(quality: pd.DataFrame) -> tuple[str, str | None]:
    """Return the plate's worst verdict and its reasons in one line (None when it passes).

    Samples whose replicates disagree are the samples' matter, and do not speak against the plate.
    """
    quality = quality[quality["check"] != "duplicate_cv"]
    if quality.empty:
        return "pass", None
    worst = max(quality["verdict"], key=RANK.get)
    reasons = quality.loc[quality["verdict"].map(RANK) > 0].sort_values(
        "verdict", key=lambda v: -v.map(RANK), kind="stable"
    )
    return worst, "; ".join(dict.fromkeys(reasons["reason"])) or None


def _verdict_of(result: PlateResult, settings: CortisolSettings, ranges: pd.DataFrame | None) -> tuple[str, str | None]:
    checks = check_quality(result, settings, ranges, explain=False)
    return verdict(checks[checks["check"] != "masked_well"])


def _one_bad_well(
    result: PlateResult, settings: CortisolSettings, ranges: pd.DataFrame | None
) -> tuple[float | str | None, ...]:
    """Name the standard well without which a failed plate would not fail, and say what changes."""
    wells = result.wells
    tried = wells.loc[wells["role"].isin(["standard", "b0", "nsb"]) & wells["response"].notna(), "well"]
    found = []
    for well in tried if result.curve is not None else ():
        if not _stands_apart(result, well):
            continue
        other = result.without(well)
        if other.curve is None:
            continue
        state, _ = _verdict_of(other, settings, ranges)
        if state != "fail":
            found.append((RANK[state], other.curve.residual_sd, well, state, other))
    if not found:
        reason = "no single standard, B0 or NSB well explains the failure"
        return _row("one_bad_well", None, np.nan, np.nan, "warn", reason, "repeat the plate", None)
    _, _, well, state, other = min(found, key=lambda f: f[:3])
    change = _changes(result.estimates, other.estimates)
    row = wells.set_index("well").loc[well]
    named = f"standard {row['nominal']:g}" if row["role"] == "standard" else row["role"].upper()
    moved = (
        "no value was known before"
        if change.empty
        else (f"samples change by {change.abs().median():.0f} % in the median and {change.abs().max():.0f} % at most")
    )
    reason = f"well {well} ({named}) explains the failure: without it the plate's verdict is {state}, and {moved}"
    largest = change.abs().max() if len(change) else np.nan
    return _row("one_bad_well", well, largest, np.nan, "warn", reason, MASK_REMEDY, well)


def _stands_apart(result: PlateResult, well: str) -> bool:
    """Whether a well lies far from what the plate says without it: beyond 4 SD, the curve's own error included."""
    wells = result.wells
    row = wells.set_index("well").loc[well]
    if row["role"] == "standard":
        points = result.curve.points
        here = (points["concentration"] == row["nominal"]) & (points["response"] == row["response"])
        rest = points.drop(index=points.index[here][:1])
        try:
            curve = fit_curve(
                rest["concentration"], rest["response"], result.curve.model, result.curve.weights, result.curve.variance
            )
        except CurveError:
            return False
        expected = float(curve.response(row["nominal"]))
        sd = float(np.sqrt(curve.prediction_variance(np.array([row["nominal"]]), 1)[0]))
    else:
        same = wells.loc[(wells["role"] == row["role"]) & (wells["well"] != well), "response"].dropna()
        if same.empty:
            return False
        expected = same.median()
        sd = float(np.sqrt(result.curve.variance(expected) * (1 + 1 / len(same))))
    return bool(abs(row["response"] - expected) > APART_SD * sd)


def _changes(before: pd.DataFrame, after: pd.DataFrame) -> pd.Series:
    """Change of each sample's concentration in %, where both are known."""
    keys = ["sample", "dilution"]
    both = before[before["role"] == "sample"].merge(after[after["role"] == "sample"], on=keys, suffixes=("", "_after"))
    return (100 * (both["concentration_after"] / both["concentration"] - 1)).dropna()


def _masked(result: PlateResult) -> list[tuple[float | str | None, ...]]:
    """Wells that the layout masks, each with its reason; a mask without consequences still has to be reported."""
    masked = result.wells[result.wells["mask"].notna()]
    rows = []
    for row in rows_of(masked):
        # The report shows this line, so it names no hair sample.
        named = f" {row.sample}" if row.role in ("standard", "control") and isinstance(row.sample, str) else ""
        reason = f"well {row.well} ({row.role}{named}) is masked by hand: {row.mask}"
        remedy = "report it; the reason is in the layout"
        rows.append(_row("masked_well", row.well, np.nan, np.nan, "warn", reason, remedy, row.well))
    return rows


def _expiry(plate: pd.Series | None) -> list[tuple[float | str | None, ...]]:
    """Whether the lot had expired when the plate was run; nothing where the sheet does not give both days."""
    day, end = (getattr(plate, name, None) for name in ("date", "expiry"))
    if not (isinstance(day, str) and isinstance(end, str)):
        return []
    late = (date.fromisoformat(day) - date.fromisoformat(end)).days
    lot = getattr(plate, "lot", None)
    named = f"lot {lot}" if isinstance(lot, str) else "the lot"
    reason = f"{named} expired on {end}, {late} day{'' if late == 1 else 's'} before the plate was run"
    remedy = "use a lot in date, or show by controls that it still reads right"
    return [_row("lot_expiry", None, float(late), 0.0, "warn" if late > 0 else "pass", reason, remedy)]


def _limits(result: PlateResult, settings: CortisolSettings) -> list[tuple[float | str | None, ...]]:
    """Whether the plate has limits of quantification at all."""
    summary = result.summary.iloc[0]
    known = np.isfinite(summary["lloq"])
    reason = "no standard above the limit of detection reads back within 80-120 % with a CV of at most "
    reason += f"{settings.lloq_cv_max_percent:g} %: the plate has no limit of quantification"
    return [_row("lloq", None, summary["lloq"], np.nan, "pass" if known else "warn", reason, "see standard_recovery")]


def _extraction_blanks(result: PlateResult) -> list[tuple[float | str | None, ...]]:
    """An extract of no hair should hold nothing that can be distinguished from B0."""
    estimates, lod = result.estimates, result.summary["lod"].iloc[0]
    rows = []
    for row in rows_of(estimates[estimates["role"] == "extraction_blank"]):
        remedy = "look for carry-over, dirty tubes or cross-reacting residue; "
        if row.censored == "above":
            high, what = True, "lies above the highest standard: it cannot be subtracted"
            remedy += "measure it again at a higher dilution"
        else:
            high = row.concentration > lod
            what = f"reads {row.concentration:.3g} {row.unit}, above the limit of detection"
            remedy += "cortisol.extraction_blank says whether it is subtracted"
        reason = f"extraction blank {row.sample} {what}"
        state = "warn" if high else "pass"
        rows.append(_row("extraction_blank", row.sample, row.concentration, lod, state, reason, remedy, row.wells))
    return rows


def rerun_table(result: PlateResult, settings: CortisolSettings, state: str | None = None) -> pd.DataFrame:
    """Return what the bench must run again: DataFrame with columns ``RERUN_COLUMNS``, one row per sample and dilution.

    Every reason of a row is listed. A sample that another dilution on the plate settles is not. ``state``: the
    plate's verdict, worked out if None; every sample of a plate that failed is to be run again.
    """
    state = _verdict_of(result, settings, None)[0] if state is None else state
    table = _reasons(result, settings)
    again, rows = [], list(rows_of(table))
    # A name may be absent (extracts of no hair): those of one role are one group, after the others.
    keys = [(row.role, not isinstance(row.sample, str), str(row.sample)) for row in rows]
    for key in sorted(set(keys)):
        role, places = key[0], [i for i, other in enumerate(keys) if other == key]
        series = parallelism(table.iloc[places]) if role == "sample" and len(places) > 1 else None
        uneven = series is not None and series["p"] < NOT_PARALLEL_P and series["cv"] > settings.parallelism_max_percent
        group = [rows[i] for i in places]
        for row in group:
            reasons, actions = list(row.reasons), list(row.actions)
            if uneven and row.censored == "none":
                reasons.append(f"its dilutions are not parallel (CV {series['cv']:.0f} %)")
                actions.append("measure where the series is flat, or extract with less matrix")
            elif state != "fail" and not all(other.reasons for other in group):
                continue  # another dilution has settled it
            if state == "fail" and role in ("sample", "pool", "spiked") and "no_curve" not in row.flags:
                reasons.append("its plate failed")
                actions.append("repeat the plate, or mask the well that explains the failure")
            if reasons:
                again.append((
                    row.plate_id, role, row.sample, row.wells, row.concentration, row.cv_percent, "; ".join(reasons),
                    "; ".join(dict.fromkeys(actions)),
                ))  # fmt: skip
    return pd.DataFrame(again, columns=RERUN_COLUMNS)


def parallelism(group: pd.DataFrame) -> dict | None:
    """Compare the concentrations of one sample's dilutions, each times its dilution; None for fewer than two.

    Returns dict: cv (%), slope (of ln concentration by ln dilution), p (chi-square of the differences against the
    errors of curve and wells; the dilutions share the curve).
    """
    if len(group) < 2:
        return None
    factors = group["dilution"].fillna(1)
    known = (group["censored"] == "none") & group["concentration"].notna()
    neat, factors, se = (
        (group["concentration"] * factors)[known],
        factors[known],
        (group["se"] / group["concentration"])[known],
    )
    if len(neat) < 2 or factors.nunique() < 2:
        return None
    logs = np.log(neat)
    shared = group.reindex(columns=list(CURVE_COLUMNS))[known].fillna(0.0).to_numpy(dtype=float)
    p = stats.chi2.sf(disagreement(logs, se, shared)[0], len(neat) - 1)
    return {"cv": cv_percent(neat), "slope": float(np.polyfit(np.log(factors), logs, 1)[0]), "p": float(p)}


def _reasons(result: PlateResult, settings: CortisolSettings) -> pd.DataFrame:
    """The estimates of a plate with, for each, why it is to be run again and what to do."""
    table = result.estimates.copy()
    reasons, actions = [], []
    for row in rows_of(table):
        mine = _row_reasons(row, row.flags.split(";"), settings)
        reasons.append([why for why, _ in mine])
        actions.append([what for _, what in mine])
    table["reasons"], table["actions"] = reasons, actions
    return table


def _row_reasons(row: Row, flags: Sequence[str], settings: CortisolSettings) -> list[tuple[str, str]]:
    if row.role == "extraction_blank":
        return []
    if "no_curve" in flags:
        return [("the plate has no standard curve", "repeat the whole plate")]
    if row.n_wells == 0:
        return [("no well has a value", "repeat in duplicate")]
    found = []
    if row.censored == "above":
        found.append(("above the highest standard", "dilute the extract further and repeat in duplicate"))
    if "replicate_off_curve" in flags:
        found.append(("one of the wells lies beyond the curve", "repeat in duplicate"))
    if "discordant" in flags:
        found.append(("its wells differ beyond the plate's own error", "repeat in duplicate"))
    if row.cv_percent > settings.duplicate_cv_rerun_percent and row.censored == "none":
        found.append((f"wells differ by a CV of {row.cv_percent:.0f} %", "repeat in duplicate"))
    if row.n_wells == 1:
        found.append(("only one well has a value", "repeat in duplicate"))
    if "outside_binding" in flags and row.censored == "none":
        found.append(("outside the percent bound that is allowed", "dilute or concentrate the extract and repeat"))
    return found


def with_ranges(estimates: pd.DataFrame, ranges: pd.DataFrame | None) -> pd.DataFrame:
    """Return estimates with ``range_low`` and ``range_high``: what the lot gives for each control (NA without).

    ``ranges``: DataFrame control, low, high of the plate's lot, or None; names are compared without regard to case.
    """
    given = {} if ranges is None else {r.control.lower(): (r.low, r.high) for r in rows_of(ranges)}
    named = estimates["sample"].where(estimates["role"] == "control").fillna("").str.lower()
    low, high = ([given.get(name, (np.nan, np.nan))[end] for name in named] for end in (0, 1))
    return estimates.assign(range_low=np.array(low, dtype=float), range_high=np.array(high, dtype=float))


def _by_range(row: Row, found: float) -> tuple[str, str | None]:
    """Verdict and reason of a control that reads ``found`` (times its dilution), by its lot's range."""
    if row.range_low <= found <= row.range_high:
        return "pass", None
    outside = f"{row.range_low:g}-{row.range_high:g}"
    return "fail", f"control {row.sample} reads {found:.4g} {row.unit}, outside {outside} of its lot"


def control_table(estimates: pd.DataFrame, settings: CortisolSettings) -> pd.DataFrame:
    """Follow every control over the plates (Levey-Jennings).

    ``estimates``: the control rows of all plates, with ``range_low`` and ``range_high`` where lots give a range, which
    then comes before recovery and before the other plates. Returns DataFrame, one row per control on a plate:
    plate_id, kit, control, nominal, concentration (times its dilution), cv_percent, recovery_percent, mean, sd (over
    all plates of the kit), z (against the other plates: their mean, and their SD for one more plate), verdict, reason.
    """
    rows = []
    controls = estimates[estimates["role"] == "control"]
    missing = {c: np.nan for c in ("range_low", "range_high") if c not in controls}
    controls = controls.assign(**missing)
    controls["concentration"] = controls["concentration"] * controls["dilution"].fillna(1)
    for (kit, name), group in controls.groupby(["kit", "sample"], sort=True):
        values = group["concentration"]
        for row in rows_of(group.sort_values("plate_id")):
            others = values.drop(row.Index).dropna()
            z = p = np.nan
            if len(others) >= MINIMUM_PLATES - 1 and others.std() > 0:
                z = (row.concentration - others.mean()) / (others.std() * np.sqrt(1 + 1 / len(others)))
                p = 2 * stats.t.sf(abs(z), len(others) - 1)
            recovery = 100 * row.concentration / row.nominal if row.nominal > 0 else np.nan
            state, reason = _control_verdict(row, recovery, p, settings)
            lower, upper, source = _chart_limits(row.nominal, others, settings)
            if np.isfinite(row.range_low):
                lower, upper, source = row.range_low, row.range_high, "lot"
                if np.isfinite(row.concentration) and row.censored == "none":
                    state, reason = _by_range(row, row.concentration)
            rows.append((
                row.plate_id, kit, name, row.nominal, row.concentration, row.cv_percent, recovery, values.mean(),
                values.std(), z, lower, upper, source, state, reason,
            ))  # fmt: skip
    return pd.DataFrame(rows, columns=[
        "plate_id", "kit", "control", "nominal", "concentration", "cv_percent", "recovery_percent", "mean", "sd", "z",
        "lower_limit", "upper_limit", "limits_from", "verdict", "reason",
    ]).sort_values(["kit", "control", "plate_id"], ignore_index=True)  # fmt: skip


def _chart_limits(nominal: float, others: pd.Series, settings: CortisolSettings) -> tuple[float, float, str]:
    """Limits of a control chart for one plate: 3 SD of the other plates, or of recovery until there are enough."""
    if len(others) >= MINIMUM_PLATES - 1 and others.std() > 0:
        p = 1 - stats.norm.sf(3)
        half = stats.t.ppf(p, len(others) - 1) * others.std() * np.sqrt(1 + 1 / len(others))
        return others.mean() - half, others.mean() + half, "other plates"
    if nominal > 0:
        low, high = settings.recovery_low_percent, settings.recovery_high_percent
        return nominal * low / 100, nominal * high / 100, "recovery"
    return np.nan, np.nan, "none"


def inter_assay(controls: pd.DataFrame, settings: CortisolSettings) -> pd.DataFrame:
    """Check each control's CV over the plates of its kit; rows as `check_quality`, with plate_id ``all``."""
    rows, limit = [], settings.inter_assay_cv_max_percent
    for (kit, name), group in controls.groupby(["kit", "control"], sort=True):
        cv = cv_percent(group["concentration"])
        if np.isnan(cv):
            continue
        bad = cv > limit
        reason = f"control {name} varies by a CV of {cv:.1f} % over {len(group)} plates of {kit}"
        remedy = "look for a drifting plate in the control chart" if bad else None
        rows.append(
            _row(
                "inter_assay_cv", f"{kit} {name}", cv, limit, "warn" if bad else "pass", reason if bad else None, remedy
            )
        )
    table = pd.DataFrame(rows, columns=COLUMNS[1:])
    table.insert(0, "plate_id", "all")
    return table


def plate_by_arm(measurements: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Count hair samples by plate and arm: DataFrame plate_id, arm, samples, with a row for every pair."""
    table = pd.crosstab(measurements["plate_id"], measurements["arm"]).reindex(columns=list(arms), fill_value=0)
    return table.rename_axis(columns="arm").stack().rename("samples").reset_index()


def aliased(counts: pd.DataFrame) -> bool:
    """Whether arms cannot be told from plates: some arm is linked with the rest by no plate, nor by way of others."""
    here = counts[counts["samples"] > 0]
    present = set(here["arm"])
    linked, grew = set(sorted(present)[:1]), True
    while grew:
        plates = set(here.loc[here["arm"].isin(linked), "plate_id"])
        reached = set(here.loc[here["plate_id"].isin(plates), "arm"])
        grew, linked = reached != linked, reached
    return linked != present


def _row(
    check: str,
    subject: str | None,
    value: float,
    limit: float,
    state: str,
    reason: str | None = None,
    remedy: str | None = None,
    wells: str | None = None,
) -> tuple[float | str | None, ...]:
    passed = state == "pass"
    return (check, subject, value, limit, state, None if passed else reason, None if passed else remedy, wells)


def _curve(result: PlateResult, settings: CortisolSettings) -> list[tuple[float | str | None, ...]]:
    levels = result.curve.back_calculated()
    low, high = settings.recovery_low_percent, settings.recovery_high_percent
    off = levels[~levels["recovery_percent"].between(low, high)]
    rows = []
    share = len(off) / len(levels)
    state = "fail" if share > FAILED_LEVELS else ("warn" if len(off) else "pass")
    listed = ", ".join(f"{r.concentration:g} ({r.recovery_percent:.0f} %)" for r in rows_of(off))
    rows.append(_row(
        "standard_recovery", None, 100 * (1 - share), 100 * (1 - FAILED_LEVELS), state,
        f"standards read back outside {low:g}-{high:g} %: {listed}",
        "check these wells for swapped rows or pipetting; repeat the plate if it fails",
        ";".join(_standard_wells(result, off["concentration"])) or None,
    ))  # fmt: skip
    rows.append(_row(
        "curve_identified", result.curve.model, np.nan, np.nan, "pass" if result.curve.identified else "warn",
        "; ".join(result.curve.notes), "use more standards, or the 4PL",
    ))  # fmt: skip
    means = result.curve.points.groupby("concentration")["response"].mean()
    falling = result.curve.theta[0] > result.curve.theta[3]
    steps = np.diff(means) if falling else -np.diff(means)
    sd = np.sqrt(result.curve.variance(means.to_numpy()))
    wrong = np.flatnonzero(steps > 3 * np.hypot(sd[1:], sd[:-1]) / np.sqrt(2))
    pairs = ", ".join(f"{means.index[i]:g} and {means.index[i + 1]:g}" for i in wrong)
    rows.append(_row(
        "standard_order", None, float(len(wrong)), 0.0, "fail" if len(wrong) else "pass",
        f"standards {pairs} are out of order", "wells were swapped on the plate or in the layout: correct the layout",
        ";".join(_standard_wells(result, [means.index[j] for i in wrong for j in (i, i + 1)])) or None,
    ))  # fmt: skip
    return rows


def _standard_wells(result: PlateResult, concentrations: pd.Series | Sequence[float]) -> list[str]:
    wells = result.wells
    return list(wells.loc[(wells["role"] == "standard") & wells["nominal"].isin(list(concentrations)), "well"])


def _outlying(wells: pd.DataFrame, variance: Variance) -> list[str]:
    """Names of wells that lie far from their group's median; both of a pair, since either may be the outlier."""
    response = wells["response"].to_numpy(dtype=float)
    known = np.isfinite(response)
    if known.sum() < 2:
        return []
    middle = np.median(response[known])
    sd = np.sqrt(variance(middle))
    away = np.abs(response - middle) > OUTLYING_SD * sd * (1 / np.sqrt(2) if known.sum() == 2 else 1)
    return list(wells["well"].to_numpy()[known & away])


def _standards(result: PlateResult) -> list[tuple[float | str | None, ...]]:
    rows = []
    standards = result.wells[result.wells["role"] == "standard"]
    for nominal, group in standards.groupby("nominal", sort=True):
        named = _outlying(group, result.curve.variance)
        if named:
            rows.append(_row(
                "standard_replicates", f"{nominal:g}", cv_percent(group["response"]), np.nan, "warn",
                f"wells {', '.join(named)} of standard {nominal:g} disagree beyond the plate's own error",
                "give the bad well the role empty if the bench notes explain it; else keep it", ";".join(named),
            ))  # fmt: skip
    return rows or [_row("standard_replicates", None, np.nan, np.nan, "pass")]


def _zero_wells(result: PlateResult, settings: CortisolSettings) -> list[tuple[float | str | None, ...]]:
    rows, wells = [], result.wells
    summary = result.summary.iloc[0]
    for role in ("b0", "nsb"):
        group = wells[wells["role"] == role]
        if group["response"].notna().sum() == 0:
            if summary["signal"] == "percent_bound":
                rows.append(_row(
                    f"{role}_wells", role, 0.0, 1.0, "warn", f"there is no {role.upper()} well with a value",
                    f"give the plate {role.upper()} wells, or correct the layout",
                ))  # fmt: skip
            continue
        named = _outlying(group, result.curve.variance)
        rows.append(_row(
            f"{role}_wells", role, cv_percent(group["signal"]), np.nan, "warn" if named else "pass",
            f"{role.upper()} wells {', '.join(named)} lie apart from the others",
            "give the bad well the role empty if the bench notes explain it", ";".join(named) or None,
        ))  # fmt: skip
    share, limit = summary["nsb_percent_of_b0"], settings.nsb_max_percent
    if np.isfinite(share):
        high, negative = share > limit, summary["nsb_signal"] < 0
        reason = "NSB is below the blank" if negative else f"NSB is {share:.1f} % of B0"
        rows.append(_row(
            "nsb_share", None, share, limit, "warn" if high or negative else "pass", reason,
            "look for poor washing or a substrate that has turned",
        ))  # fmt: skip
    return rows


def _control_verdict(row: Row, recovery: float, p: float, settings: CortisolSettings) -> tuple[str, str | None]:
    low, high = settings.recovery_low_percent, settings.recovery_high_percent
    if row.censored != "none" or np.isnan(row.concentration):
        return "fail", f"control {row.sample} has no concentration within the standards"
    if np.isfinite(recovery) and not low <= recovery <= high:
        return "fail", f"control {row.sample} reads {recovery:.0f} % of its nominal concentration"
    for limit, state in ((3, "fail"), (2, "warn")):
        if np.isfinite(p) and p < 2 * stats.norm.sf(limit):
            return state, f"control {row.sample} lies beyond {limit} SD of the other plates"
    return "pass", None


def _controls(
    result: PlateResult, settings: CortisolSettings, ranges: pd.DataFrame | None = None
) -> list[tuple[float | str | None, ...]]:
    low, high = settings.recovery_low_percent, settings.recovery_high_percent
    rows = []
    controls = with_ranges(result.estimates[result.estimates["role"] == "control"], ranges)
    for row in rows_of(controls):
        found = row.concentration * (1 if np.isnan(row.dilution) else row.dilution)
        recovery = 100 * found / row.nominal if row.nominal > 0 else np.nan
        state, reason = _control_verdict(row, recovery, np.nan, settings)
        limit = low if recovery < 100 else high
        if np.isfinite(row.range_low) and np.isfinite(found):
            state, reason = _by_range(row, found)
        remedy = "check the control's lot and the standards' dilution; repeat the plate if it is out again"
        rows.append(_row("control_recovery", row.sample, recovery, limit, state, reason, remedy, row.wells))
    if controls.empty:
        rows.append(_row(
            "control_recovery", None, np.nan, np.nan, "warn", "the plate has no control wells",
            "put a low and a high control on every plate",
        ))  # fmt: skip
    return rows


def _spikes(result: PlateResult, settings: CortisolSettings) -> list[tuple[float | str | None, ...]]:
    """Recovery of what was added to a sample: (spiked - unspiked) / added."""
    low, high = settings.recovery_low_percent, settings.recovery_high_percent
    estimates, rows = result.estimates, []
    for row in rows_of(estimates[estimates["role"] == "spiked"]):
        same = estimates[(estimates["role"] == "sample") & (estimates["sample"] == row.sample)]
        same = same[same["dilution"].fillna(1) == (1 if np.isnan(row.dilution) else row.dilution)]
        recovery = np.nan
        if len(same) == 1:
            recovery = 100 * (row.concentration - same["concentration"].iloc[0]) / row.nominal
        if np.isnan(recovery):
            state, reason = "warn", f"the spike in {row.sample} cannot be judged: no value with or without it"
            remedy = "measure the sample with and without the spike at one dilution, within the standards"
        else:
            state = "pass" if low <= recovery <= high else "warn"
            reason, remedy = f"{recovery:.0f} % of the spike in {row.sample} was found", "look for a matrix effect"
        rows.append(
            _row(
                "spike_recovery",
                row.sample,
                recovery,
                low if recovery < 100 else high,
                state,
                reason,
                remedy,
                row.wells,
            )
        )
    return rows


def _parallelism(result: PlateResult, settings: CortisolSettings) -> list[tuple[float | str | None, ...]]:
    """Concentrations of a dilution series, each times its dilution, must agree."""
    rows, limit = [], settings.parallelism_max_percent
    usable = result.estimates[
        result.estimates["role"].isin(["sample", "control", "pool"]) & (result.estimates["censored"] == "none")
    ]
    for (role, sample), group in usable.groupby(["role", "sample"], sort=True):
        series = parallelism(group)
        if series is None:
            continue
        cv, slope = series["cv"], series["slope"]
        reason = f"the dilution series of {role} {sample} is not parallel to the standards (CV {cv:.0f} %, "
        reason += f"{100 * (2**slope - 1):+.0f} % for each doubling of the dilution)"
        rows.append(_row(
            "parallelism", sample, cv, limit, "warn" if cv > limit else "pass", reason,
            "use the dilutions at which the series is flat, or extract with less matrix", ";".join(group["wells"]),
        ))  # fmt: skip
    return rows


def _position(result: PlateResult, settings: CortisolSettings) -> list[tuple[float | str | None, ...]]:
    """Edge effect, and drift over rows and columns, within replicate groups: contents cancel, position stays."""
    roles = ["standard", "b0", "control", "pool", "sample", "spiked"]
    wells = result.wells[result.wells["role"].isin(roles)].dropna(subset=["response"])
    group = wells.groupby(["role", "sample", "dilution", "nominal"], dropna=False).ngroup()
    mean = wells["response"].groupby(group).transform("mean")
    size = wells["response"].groupby(group).transform("size")
    use = (size > 1) & (mean > 5 * np.sqrt(result.curve.variance.constant))
    wells, group, share = wells[use], group[use], (100 * (wells["response"] / mean - 1))[use]
    row_index = wells["well"].str[0].map("ABCDEFGHIJKLMNOP".index).astype(float)
    column_index = wells["well"].str[1:].astype(float)
    small = (row_index < 8).all() and (column_index <= 12).all()
    last_row, last_column = ("H", 12) if small else ("P", 24)
    edge = (wells["well"].str[0].isin(["A", last_row]) | column_index.isin([1, last_column])).astype(float)
    rows = []
    for name, position, span in (
        ("edge", edge, 1.0),
        ("rows", row_index, "ABCDEFGHIJKLMNOP".index(last_row)),
        ("columns", column_index, last_column - 1),
    ):
        centred = position - position.groupby(group).transform("mean")
        df = group[centred != 0].nunique()
        if df < 6:
            continue
        # A bad pair would pass for a gradient: Huber's weights on pair differences.
        slope, p = _robust_slope(centred.to_numpy(), share.to_numpy(), df)
        effect, limit = slope * span, settings.position_max_percent
        bad = abs(effect) > limit and p < 0.01
        what = {
            "edge": "wells at the edge differ",
            "rows": "the response drifts over the rows",
            "columns": "the response drifts over the columns",
        }[name]
        rows.append(_row(
            "position", name, effect, limit, "warn" if bad else "pass", f"{what} by {effect:+.1f} % (p = {p:.2g})",
            "even out temperature and timing; spread replicates over the plate",
        ))  # fmt: skip
    return rows


def _robust_slope(x: NDArray[np.float64], y: NDArray[np.float64], df: int) -> tuple[float, float]:
    """Slope through the origin with Huber weights, and its two-sided p with ``df`` degrees of freedom."""
    weight = np.ones_like(y)
    for _ in range(20):
        slope = np.sum(weight * x * y) / np.sum(weight * x * x)
        residual = y - slope * x
        scale = np.median(np.abs(residual)) / 0.6745
        if scale == 0:
            break
        weight = np.minimum(1, 1.345 * scale / np.maximum(np.abs(residual), 1e-12))
    spread = np.sum(weight * residual**2) / df
    se = np.sqrt(spread / np.sum(weight * x * x))
    return slope, float(2 * stats.t.sf(abs(slope) / se, df)) if se > 0 else 1.0


def _duplicates(result: PlateResult, settings: CortisolSettings) -> list[tuple[float | str | None, ...]]:
    warn, rerun = settings.duplicate_cv_warn_percent, settings.duplicate_cv_rerun_percent
    samples = result.estimates[(result.estimates["role"] == "sample") & (result.estimates["censored"] == "none")]
    rows = []
    for row in rows_of(samples[samples["cv_percent"] > warn]):
        again = row.cv_percent > rerun
        rows.append(_row(
            "duplicate_cv", row.sample, row.cv_percent, rerun if again else warn, "warn",
            f"{row.sample}: wells differ by a CV of {row.cv_percent:.0f} %",
            "repeat in duplicate" if again else "keep; its interval says how far it can be trusted", row.wells,
        ))  # fmt: skip
    mean = samples["cv_percent"].mean()
    rows.append(_row(
        "intra_assay_cv", None, mean, warn, "warn" if mean > warn else "pass",
        f"samples' wells differ by a mean CV of {mean:.0f} %", "check pipetting and washing; run the samples again",
    ))  # fmt: skip
    return rows
