"""One plate: from optical densities and a layout to concentrations with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpaxis.cortisol import assay
from hpaxis.cortisol.curve import Curve, CurveError, compare_models, fit_curve, pooled_variance
from hpaxis.cortisol.layout import zero_as_b0
from hpaxis.settings import CortisolSettings

if TYPE_CHECKING:
    from hpaxis.cortisol.kits import Kit
    from hpaxis.cortisol.readers.cells import PlateRead
    from hpaxis.report.run import Run
    from hpaxis.rows import Row

LEVEL = 0.95
# Of the settings, what a plate's limits need; the config's defaults.
LIMITS = CortisolSettings({"lloq_cv_max_percent": 20.0, "binding_low_percent": None, "binding_high_percent": None})
MEASURED = ("control", "pool", "sample", "spiked", "extraction_blank")  # roles whose concentration is asked for
ESTIMATE_COLUMNS = (
    "plate_id", "kit", "unit", "role", "sample", "dilution", "nominal", "wells", "n_wells", "response",
    "concentration", "low", "high", "se", "cv_percent", "censored", "flags", *assay.CURVE_COLUMNS,
)  # fmt: skip


@dataclass(frozen=True)
class PlateResult:
    """What one plate gives.

    ``curve``: the fitted `Curve`, or None where the standards cannot carry one; then ``failure`` says why.
    ``summary``: one row, see workflow/schemas/cortisol_curves.schema.yaml. ``wells``: one row per used well.
    ``estimates``: one row per sample, control or spiked sample at one dilution, in the kit's unit, not multiplied by
    its dilution; `CURVE_COLUMNS` are what its error shares with the others of the plate (`Curve.shared_error`).
    ``models``: the 4PL/5PL comparison.
    """

    curve: Curve | None
    failure: str
    summary: pd.DataFrame
    wells: pd.DataFrame
    estimates: pd.DataFrame
    models: pd.DataFrame
    inputs: tuple = ()

    def without(self, well: str) -> PlateResult:
        """Evaluate the plate again as if ``well`` were masked."""
        plate_id, read, layout, kit, settings, run = self.inputs
        layout = layout.assign(mask=layout["mask"].where(layout["well"] != well, "left out"))
        return quantify_plate(plate_id, read, layout, kit, settings, run)


def quantify_plate(
    plate_id: str,
    read: PlateRead,
    layout: pd.DataFrame,
    kit: Kit,
    settings: CortisolSettings | None = None,
    run: Run | None = None,
) -> PlateResult:
    """Evaluate one plate.

    Parameters
    ----------
    plate_id : str.
    read : hpaxis.cortisol.readers.PlateRead, the reading of this plate.
    layout : DataFrame of `read_layout`.
    kit : hpaxis.cortisol.kits.Kit.
    settings : dict with `LIMITS`, the config's cortisol section; its defaults if None.
    run : str, the run that the plate belongs to; a run of its own if None.

    Returns
    -------
    PlateResult. A plate whose standards carry no curve has no concentrations, and says so; it does not raise.
    """
    settings = LIMITS if settings is None else settings
    layout = layout if "mask" in layout else layout.assign(mask=None)
    layout = zero_as_b0(layout)
    wells = layout.merge(read.wells, on="well", how="left")
    wells["status"] = wells["status"].fillna("blank")
    wells["signal"] = wells["value"]
    masked = wells["mask"].notna()
    wells.loc[masked, "value"], wells.loc[masked, "status"] = np.nan, "masked"
    scale = _scale(wells, kit)
    wells["response"] = scale.response(wells["value"])
    groups = _replicates(wells)
    variance = pooled_variance(groups["mean"], groups["variance"], groups["n"] - 1)
    curve, failure, models = None, scale.failure, None
    if not failure:
        x, y = _curve_points(wells, kit)
        try:
            curve = fit_curve(x, y, kit.model, kit.weights, variance)
            models = compare_models(x, y, kit.weights, variance, curve)
        except CurveError as error:
            failure = str(error)
    wells["concentration"] = np.nan if curve is None else curve.invert(wells["response"].to_numpy())
    fitted = np.nan if curve is None else curve.response(wells["nominal"].to_numpy())
    wells["residual"] = np.where(wells["role"] == "standard", wells["response"] - fitted, np.nan)
    wells["recovery_percent"] = _recovery(wells)
    wells["flags"] = [_well_flags(row, curve) for row in wells.itertuples()]
    estimates = _estimates(plate_id, wells, curve, kit, scale, settings)
    # A number is shown where the curve says one: standards, and what lies within them.
    shown = wells["role"].eq("standard") | (wells["role"].isin(MEASURED) & wells["flags"].eq(""))
    wells["concentration"] = wells["concentration"].where(shown & np.isfinite(wells["concentration"]))
    wells.insert(0, "plate_id", plate_id)
    return PlateResult(
        curve=curve,
        failure=failure,
        summary=_summary(plate_id, read, kit, curve, models, scale, wells, settings, run),
        wells=wells[[
            "plate_id", "well", "role", "sample", "dilution", "nominal", "signal", "response", "concentration",
            "recovery_percent", "residual", "flags", "mask",
        ]],
        estimates=estimates,
        models=models if models is not None else pd.DataFrame(),
        inputs=(plate_id, read, layout, kit, settings, run),
    )  # fmt: skip


@dataclass(frozen=True)
class _Scale:
    """What turns a signal into a response: plate means (NaN where there are no such wells), or why nothing can."""

    percent: bool
    b0: float
    nsb: float
    blank: float
    failure: str

    def response(self, signal: pd.Series) -> NDArray[np.float64] | pd.Series:
        """Blank subtracted, and percent bound where the kit asks for it."""
        if self.failure:
            return signal * np.nan
        net = signal if np.isnan(self.blank) else signal - self.blank
        return assay.percent_bound(net, self.b0, 0.0 if np.isnan(self.nsb) else self.nsb) if self.percent else net


def _scale(wells: pd.DataFrame, kit: Kit) -> _Scale:
    mean = {role: wells.loc[wells["role"] == role, "value"].mean() for role in ("blank", "nsb", "b0")}
    blank = 0.0 if np.isnan(mean["blank"]) else mean["blank"]
    b0, nsb = mean["b0"] - blank, mean["nsb"] - blank
    percent, failure = kit.signal == "percent_bound", ""
    if percent and np.isnan(b0):
        failure = "there is no B0 well with a value, so percent bound cannot be worked out"
    elif percent and b0 <= (0.0 if np.isnan(nsb) else nsb):
        failure = f"B0 ({b0:.4g}) is not above NSB ({nsb:.4g}): check the layout, or the conjugate was left out"
    return _Scale(percent, b0, nsb, mean["blank"], failure)


def _curve_points(wells: pd.DataFrame, kit: Kit) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    usable = wells[wells["status"] == "ok"]
    standards = usable[usable["role"] == "standard"]
    x, y = standards["nominal"].to_numpy(), standards["response"].to_numpy()
    if kit.zero_in_fit:
        zero = usable.loc[usable["role"] == "b0", "response"].to_numpy()
        x, y = np.concatenate([x, np.zeros(len(zero))]), np.concatenate([y, zero])
    return x, y


def _replicates(wells: pd.DataFrame) -> pd.DataFrame:
    """Replicate groups on the response: role, sample, dilution, nominal, n, mean, variance."""
    keys = ["role", "sample", "dilution", "nominal"]
    usable = wells[(wells["status"] == "ok") & wells["role"].isin(["standard", "b0", *MEASURED])]
    groups = usable.groupby(keys, dropna=False, sort=True)["response"].agg(n="size", mean="mean", variance="var")
    return groups[groups["n"] > 1].reset_index()


def _recovery(wells: pd.DataFrame) -> pd.Series:
    known = wells["role"].isin(["standard", "control"]) & (wells["nominal"] > 0)
    return (100 * wells["concentration"] / wells["nominal"]).where(known & np.isfinite(wells["concentration"]))


def _well_flags(row: Row, curve: Curve | None) -> str:
    flags = []
    if row.status != "ok":
        flags.append(row.status)
    elif curve is not None and row.role in MEASURED:
        if row.concentration < curve.lowest:
            flags.append("below_standards")
        elif row.concentration > curve.highest:
            flags.append("above_standards")
    return ";".join(flags)


def _estimates(
    plate_id: str, wells: pd.DataFrame, curve: Curve | None, kit: Kit, scale: _Scale, settings: CortisolSettings
) -> pd.DataFrame:
    """One row per sample, control or spiked sample at one dilution."""
    measured = wells[wells["role"].isin(MEASURED)]
    columns = {c: measured[c].to_numpy() for c in ("status", "concentration", "response", "well")}
    usable = columns["status"] == "ok"
    grouped = measured.groupby(["role", "sample", "dilution", "nominal"], dropna=False, sort=True)
    numbers, keys = grouped.ngroup().to_numpy(), measured[["role", "sample", "dilution", "nominal"]].to_numpy(object)
    rows, responses = [], []
    for number in range(grouped.ngroups):
        places = np.flatnonzero(numbers == number)
        ok = places[usable[places]]
        flags = sorted(set(columns["status"][places]) - {"ok"})
        if len(ok) == 1:
            flags.append("single_well")
        concentrations, signals = columns["concentration"][ok], columns["response"][ok]
        if np.isfinite(concentrations).any() and not (np.isfinite(concentrations) & (concentrations > 0)).all():
            flags.append("replicate_off_curve")
        rows.append({
            "plate_id": plate_id,
            "kit": kit.kit,
            "unit": kit.unit,
            **dict(zip(("role", "sample", "dilution", "nominal"), keys[places[0]])),
            "wells": ";".join(columns["well"][places]),
            "n_wells": len(ok),
            "response": signals.mean() if len(ok) else np.nan,
            "cv_percent": assay.cv_percent(concentrations[concentrations > 0]),
            "flags": flags,
        })  # fmt: skip
        responses.append(signals)
    derived = ("concentration", "low", "high", "se", "censored", *assay.CURVE_COLUMNS)
    table = pd.DataFrame(rows, columns=[c for c in ESTIMATE_COLUMNS if c not in derived])
    if curve is None:
        found = pd.DataFrame(dict.fromkeys(("estimate", "low", "high", "se"), np.nan), index=table.index)
        found["censored"] = "none"
        table["flags"] = [[*flags, "no_curve"] for flags in table["flags"]]
    else:
        replicates = np.full((len(rows), max((len(r) for r in responses), default=1) or 1), np.nan)
        for i, values in enumerate(responses):
            replicates[i, : len(values)] = values
        found = curve.concentration(replicates, level=LEVEL)
        discordant = curve.discordance(replicates) > 1
        table["flags"] = [flags + ["discordant"] * bool(bad) for flags, bad in zip(table["flags"], discordant)]
    inside = found["estimate"].notna().to_numpy()
    shared = np.full((len(found), len(assay.CURVE_COLUMNS)), np.nan)
    if inside.any():
        shared[inside] = curve.shared_error(found["estimate"].to_numpy()[inside])
    found[list(assay.CURVE_COLUMNS)] = shared
    table = pd.concat([table, found.rename(columns={"estimate": "concentration"})], axis=1)
    # Where the sample lies beyond the standards, so may its wells.
    inside = table["censored"] == "none"
    table["flags"] = [
        [f for f in flags if ok or f != "replicate_off_curve"] for flags, ok in zip(table["flags"], inside)
    ]
    outside = _outside_binding(table["response"], kit, scale, settings)
    table["flags"] = [flags + ["outside_binding"] * bool(out) for flags, out in zip(table["flags"], outside)]
    missing = table["n_wells"] == 0
    table["flags"] = [";".join(flags + ["no_value"] * bool(none)) for flags, none in zip(table["flags"], missing)]
    return table[list(ESTIMATE_COLUMNS)]


def _outside_binding(response: pd.Series, kit: Kit, scale: _Scale, settings: CortisolSettings) -> NDArray[np.bool_]:
    """Whether each mean response lies outside the percent bound that the settings allow."""
    low, high = settings.binding_low_percent, settings.binding_high_percent
    if (low is None and high is None) or scale.failure or kit.rising or np.isnan(scale.b0):
        return np.zeros(len(response), dtype=bool)
    floor = 0.0 if np.isnan(scale.nsb) else scale.nsb
    bound = response if scale.percent else assay.percent_bound(response, scale.b0, floor)
    return ((bound < low) if low is not None else False) | ((bound > high) if high is not None else False)


def _summary(
    plate_id: str,
    read: PlateRead,
    kit: Kit,
    curve: Curve | None,
    models: pd.DataFrame | None,
    scale: _Scale,
    wells: pd.DataFrame,
    settings: CortisolSettings,
    run: Run | None,
) -> pd.DataFrame:
    """The plate's row in curves.tsv, without its verdict."""
    usable = wells[wells["status"] == "ok"]
    b0 = usable.loc[usable["role"] == "b0", "response"]
    row = {
        "plate_id": plate_id, "run": run or plate_id, "kit": kit.kit, "analyte": kit.analyte, "unit": kit.unit,
        "reader": read.reader,
        "reader_plate": " / ".join(read.plates) or None, "reading": read.reading, "signal": kit.signal,
        "model": kit.model, "weights": kit.weights, "zero_in_fit": "yes" if kit.zero_in_fit else "no",
        "b0_signal": scale.b0, "nsb_signal": scale.nsb, "blank_signal": scale.blank,
        "nsb_percent_of_b0": 100 * scale.nsb / scale.b0, "b0_cv_percent": assay.cv_percent(b0),
        "n_standards": np.nan, "n_wells": np.nan,
    }  # fmt: skip
    for name in ("a", "b", "c", "d", "g"):
        row[name] = row[f"{name}_se"] = np.nan
    row |= dict.fromkeys((
        "residual_sd", "r_squared", "well_sd_constant", "well_cv_percent", "well_df", "lowest_standard",
        "highest_standard", "recovery_min_percent", "recovery_max_percent", "lod", "lloq", "uloq", "aicc_4pl",
        "aicc_5pl", "p_5pl",
    ), np.nan)  # fmt: skip
    row["notes"] = None
    if curve is not None:
        sizes = wells[usable_samples(wells)].groupby(["sample", "dilution"], dropna=False).size()
        replicates = int(sizes.median()) if len(sizes) else 2
        row |= _curve_fields(curve, models, b0, replicates, settings.lloq_cv_max_percent)
    return pd.DataFrame([row])


def usable_samples(wells: pd.DataFrame) -> pd.Series:
    """Whether each well is a sample's and has a value."""
    return (wells["status"] == "ok") & (wells["role"] == "sample")


def _curve_fields(
    curve: Curve, models: pd.DataFrame, b0: pd.Series, replicates: int, cv_max: float
) -> dict[str, float]:
    points, levels = curve.points, curve.back_calculated()
    total = np.sum(
        points["weight"] * (points["response"] - np.average(points["response"], weights=points["weight"])) ** 2
    )
    lod = limit_of_detection(curve, b0)
    found = curve.concentration(curve.response(levels["concentration"].to_numpy()), replicates)
    precise = 100 * found["se"] / found["estimate"] <= cv_max
    # Below the limit of detection nothing is quantified, however well a standard reads back.
    above_lod = np.isnan(lod) | (levels["concentration"] >= lod)
    good = levels[levels["recovery_percent"].between(80, 120) & precise.to_numpy() & above_lod]
    by_model = models.set_index("model")
    fields = {
        "n_standards": len(levels),
        "n_wells": len(points),
        "residual_sd": curve.residual_sd,
        "r_squared": 1 - np.sum(points["weight"] * points["residual"] ** 2) / total,
        "well_sd_constant": np.sqrt(curve.variance.constant),
        "well_cv_percent": 100 * np.sqrt(curve.variance.quadratic),
        "well_df": curve.variance.df,
        "lowest_standard": curve.lowest,
        "highest_standard": curve.highest,
        "recovery_min_percent": levels["recovery_percent"].min(),
        "recovery_max_percent": levels["recovery_percent"].max(),
        "lod": lod,
        "lloq": good["concentration"].min(),
        "uloq": good["concentration"].max(),
        "aicc_4pl": by_model.loc["4PL", "aicc"],
        "aicc_5pl": by_model.loc["5PL", "aicc"],
        "p_5pl": by_model.loc["5PL", "p"],
        "notes": "; ".join(f"{row.model}: {row.note}" for row in models.itertuples() if row.note) or None,
    }
    for row in curve.parameters.itertuples():
        fields[row.name], fields[f"{row.name}_se"] = row.estimate, row.se
    return fields


def limit_of_detection(curve: Curve, b0: NDArray[np.float64] | pd.Series) -> float:
    """Return the concentration at which the response lies 3 SD below B0 (above, for a rising curve).

    The middle of B0 is its median and the SD that of the plate's variance function, which all replicates of the
    plate carry: one bad B0 well moves neither. NaN without B0 wells, or where that response is on no curve.
    """
    if len(b0) == 0:
        return np.nan
    middle = float(np.median(b0))
    direction = np.sign(curve.theta[3] - curve.theta[0])
    found = float(curve.invert(middle + direction * 3 * np.sqrt(curve.variance(middle))))
    return found if 0 < found < np.inf else np.nan
