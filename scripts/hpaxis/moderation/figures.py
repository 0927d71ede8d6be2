"""Figures of a moderation, drawn from its tables: slopes, floodlight, influence, specification curve and power."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from hpaxis.figures import COLOURS, GREY, LINES, MARKERS, arm_styles, tell, use_style
from hpaxis.labels import column_label, contrast_label, level_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHADE = "#0072B2"


FIGURES = ("slopes", "effects", "influence", "versions", "power")


def plot_model(
    tables: Mapping[str, pd.DataFrame], entry: Mapping[str, Any], names: Sequence[str] = FIGURES, people: bool = True
) -> dict[str, Figure]:
    """Return figures of a model by name: slopes, effects, influence, versions, power, or those in ``names``.

    ``tables`` are the model's, by name, as `run_model` gives them; ``entry`` its entry in the config. A refused
    model has figures that say so. Without ``people`` nobody is drawn as a point or mark of their own.
    """
    if len(tables["refused"]):
        return {name: plot_refused(len(tables["refused"])) for name in names}
    unit = {role: " (SD)" if role in entry["standardise"] else "" for role in ("outcome", "predictor", "moderator")}
    outcome, predictor, moderator = (column_label(entry[role]) + unit[role] for role in unit)
    arms = tables["region"]["across"].iloc[0] != entry["moderator"]
    across = predictor if arms else moderator
    effect = "difference of arms" if arms else f"slope of {column_label(entry['predictor'])}"
    draw = {
        "slopes": lambda: plot_slopes(
            tables["lines"],
            tables["points"],
            tables["slopes"],
            tables["region"],
            predictor,
            outcome,
            people,
            entry["moderator"],
        ),
        "effects": lambda: plot_floodlight(
            tables["effects"], tables["region"], tables["points"], across, effect, people, entry["moderator"]
        ),
        "influence": lambda: _or_nothing(plot_influence, tables["influence"]),
        "versions": lambda: _or_nothing(plot_specifications, tables["multiverse"], tables["multiverse_joint"]),
        "power": lambda: _or_nothing(plot_power, tables["power"], tables["detectable"]),
    }
    return {name: draw[name]() for name in names}


def _or_nothing(plot: Callable[..., Any], *tables: pd.DataFrame) -> Figure:
    """The figure of a part, or words where that part was refused."""
    if any(table.empty for table in tables):
        return plot_refused(0, "No figure: this part could not be computed; the warnings say why.")
    return plot(*tables)


def plot_slopes(
    lines: pd.DataFrame,
    points: pd.DataFrame,
    slopes: pd.DataFrame,
    region: pd.DataFrame,
    predictor: str,
    outcome: str,
    people: bool = True,
    column: str = "arm",
) -> Figure:
    """Draw each arm's line (or the lines at moderator values) with its band and the people behind it.

    ``lines``, ``points``, ``slopes`` and ``region`` are the model's tables (region: the simultaneous row of two
    arms is shaded within the observed range); ``predictor`` and ``outcome`` label the axes.
    Without ``people`` their points are left out. ``column`` is the moderator.
    """
    use_style()
    figure, axis = plt.subplots(figsize=(5.2, 4.1))
    values = list(dict.fromkeys(lines["moderator"]))
    arms = points["moderator"].isin(values).all()
    styles = arm_styles(values)
    shown = _headline(region)
    if arms and len(shown) == 1:
        _shade(axis, shown.iloc[0])
    rows = slopes.set_index("moderator")
    for value in values:
        line, style = lines[lines["moderator"] == value], styles[value]
        label = _line_label(value, rows.loc[value], arms, column)
        axis.fill_between(line["predictor"], line["low"], line["high"], color=style["color"], alpha=0.15, linewidth=0)
        axis.plot(line["predictor"], line["estimate"], color=style["color"], linestyle=style["linestyle"], label=label)
        if arms and people:
            own = points[points["moderator"] == value]
            drawn = axis.scatter(own["predictor"], own["outcome_adjusted"], s=22, color=style["color"],
                                 marker=style["marker"], alpha=0.75, linewidths=0)  # fmt: skip
            tell(
                drawn,
                [
                    f"{level_label(value, column)}: {x:.2f}, {y:.2f}"
                    for x, y in zip(own["predictor"], own["outcome_adjusted"])
                ],
            )
    if people and not arms:
        axis.scatter(points["predictor"], points["outcome_adjusted"], s=18, color=GREY, alpha=0.7, linewidths=0)
    shaded = arms and len(shown) == 1 and shown.iloc[0]["observed_kind"] != "none"
    axis.set_title(f"n = {len(points)}{'; shaded: arms differ, over the whole range' if shaded else ''}", fontsize=9.5)
    axis.set(xlabel=predictor, ylabel=outcome)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=1)
    return figure


def _headline(region: pd.DataFrame) -> pd.DataFrame:
    """The regions that hold over the whole range, or the pointwise ones of a table that has no others."""
    simultaneous = region["adjustment"] == "simultaneous"
    return region[simultaneous] if simultaneous.any() else region[region["adjustment"] == "none"]


def line_labels(tables: Mapping[str, pd.DataFrame], entry: Mapping[str, Any]) -> list[str]:
    """Return what the figure of slopes says beside each line, in the order of the table of slopes."""
    slopes = tables["slopes"]
    arms = tables["region"]["across"].iloc[0] != entry["moderator"]
    return [_line_label(row["moderator"], row, arms, entry["moderator"]) for _, row in slopes.iterrows()]


def _line_label(value: object, row: pd.Series, arms: bool, column: str) -> str:
    name = f"{level_label(value, column)} (n = {int(row['n'])})" if arms else f"{row['at']}: {float(value):.3g}"
    estimate, low, high = (f"{row[k]:.2f}".replace("-", "\u2212") for k in ("estimate", "low", "high"))
    return f"{name}: slope {estimate} [{low}, {high}]"


def _shade(axis: Axes, row: pd.Series) -> None:
    """Shade where the effect is significant within the observed range."""
    low, high, minimum, maximum = row["observed_low"], row["observed_high"], row["minimum"], row["maximum"]
    spans = {"outside": [(minimum, low), (high, maximum)], "none": []}.get(row["observed_kind"], [(low, high)])
    for start, end in spans:
        axis.axvspan(start, end, color=SHADE, alpha=0.09, linewidth=0)


def plot_floodlight(
    effects: pd.DataFrame,
    region: pd.DataFrame,
    points: pd.DataFrame,
    across: str,
    effect: str,
    people: bool = True,
    column: str = "arm",
) -> Figure:
    """Draw the effect over the observed range with its band, shaded where it differs from zero, n on each side.

    ``effects``, ``region`` and ``points`` are the model's tables; one row of axes for each contrast. ``across``
    labels what the effect is drawn over, ``effect`` the effect itself. Without ``people`` their marks are left out.
    ``column`` is the moderator.
    """
    use_style()
    contrasts = list(dict.fromkeys(effects["contrast"]))
    figure, axes = plt.subplots(
        len(contrasts), 1, figsize=(5.4, 0.7 + 3.1 * len(contrasts)), squeeze=False, sharex=True
    )
    arms = set(points["moderator"].astype(str)) & {p for c in contrasts for p in c.split(" - ")}
    values = points["predictor"] if arms else points["moderator"].astype(float)
    for axis, contrast in zip(axes[:, 0], contrasts, strict=True):
        rows = effects[effects["contrast"] == contrast]
        own = _headline(region[region["contrast"] == contrast]).iloc[0]
        pointwise = region[(region["contrast"] == contrast) & (region["adjustment"] == "none")].iloc[0]
        fdr = region[(region["contrast"] == contrast) & (region["adjustment"] == "fdr")]
        _shade(axis, own)
        axis.fill_between(rows["value"], rows["band_low"], rows["band_high"], color=GREY, alpha=0.25, linewidth=0,
                          label="band over the whole range")  # fmt: skip
        for side in ("low", "high"):
            label = "pointwise interval" if side == "low" else None
            axis.plot(rows["value"], rows[side], color="black", linewidth=0.7, linestyle=":", label=label)
        axis.plot(rows["value"], rows["estimate"], color="black", linewidth=1.4)
        axis.axhline(0, color=GREY, linewidth=0.8)
        here = values[points["moderator"].astype(str).isin(contrast.split(" - "))] if arms else values
        if people:
            marks = np.full(len(here), 0.015)
            axis.plot(here, marks, "|", color="black", markersize=7, transform=axis.get_xaxis_transform())
        for end in ("low", "high"):
            if own["minimum"] < own[end] < own["maximum"]:
                axis.axvline(own[end], color=SHADE, linewidth=1)
            if own["minimum"] < pointwise[end] < own["maximum"]:
                axis.axvline(pointwise[end], color=GREY, linewidth=0.8, linestyle=":")
            if len(fdr) and own["minimum"] < fdr.iloc[0][end] < own["maximum"]:
                axis.axvline(fdr.iloc[0][end], color=COLOURS[1], linewidth=1, linestyle="--")
        axis.set_title(contrast_label(contrast, column), fontsize=9.5)
        axis.set_ylabel(effect)
    axes[-1, 0].set_xlabel(across)
    handles, names = axes[0, 0].get_legend_handles_labels()
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncols": 2}
    axes[-1, 0].legend(handles, names, fontsize=7.5, frameon=False, **place)
    return figure


def plot_forest(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Draw the interaction of each model under each treatment of the data, with its interval, one row each.

    ``table`` has model, treatment, reported, term, estimate, low and high; ``titles`` maps a model to its name in
    words. What is reported is filled, the other treatments are open.
    """
    use_style()
    if table.empty:
        return plot_refused(1)
    groups = table.groupby(["model", "term"], sort=False)
    several = table.groupby("model", sort=False)["term"].nunique() > 1
    figure, axis = plt.subplots(figsize=(5.4, 0.9 + 0.19 * (len(table) + groups.ngroups)))
    y, places, names = 0.0, [], []
    for (model, term), rows in groups:
        axis.text(0.0, y, titles[model] + (f": {term}" if several[model] else ""), fontweight="bold", fontsize=8.5,
                  va="center", transform=axis.get_yaxis_transform())  # fmt: skip
        y += 1
        for row in rows.itertuples():
            style = {"color": "black", "linewidth": 1.3} if row.reported else {"color": GREY, "linewidth": 0.9}
            axis.plot((row.low, row.high), (y, y), **style)
            drawn = axis.scatter([row.estimate], [y], s=26, marker="s" if row.reported else "o", zorder=3,
                                 facecolors=style["color"] if row.reported else "white",
                                 edgecolors=style["color"])  # fmt: skip
            tell(drawn, [f"{titles[model]}, {row.treatment}: {row.estimate:.2f} [{row.low:.2f}, {row.high:.2f}]"])
            places.append(y)
            names.append(row.treatment)
            y += 1
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.set_yticks(places, names, fontsize=8)
    axis.set_ylim(y - 0.3, -0.7)
    axis.xaxis.set_major_locator(MaxNLocator(6))
    axis.set_xlabel("b₃: difference between slopes, with its interval")
    return figure


def plot_influence(influence: pd.DataFrame, labels: bool = False) -> Figure:
    """Draw b3 with each case left out, in order, and Cook's distance against leverage.

    ``influence`` is the model's table (the first product term is drawn); flagged cases are triangles.
    ``labels`` writes the ids of flagged cases beside them.
    """
    use_style()
    table = influence[influence["term"] == influence["term"].iloc[0]].sort_values("estimate_without", ignore_index=True)
    flagged = table["flags"].astype(str).str.contains("cook|dfbetas|sign")
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.6), width_ratios=(1.3, 1))
    rank = np.arange(1, len(table) + 1)
    left.errorbar(rank, table["estimate_without"], yerr=1.96 * table["se_without"], fmt="none", ecolor=GREY, alpha=0.5,
                  linewidth=0.8)  # fmt: skip
    for axis, x, y in ((left, rank, table["estimate_without"]), (right, table["leverage"], table["cooks_d"])):
        axis.scatter(np.asarray(x)[~flagged], y[~flagged], s=16, color=COLOURS[0], linewidths=0)
        axis.scatter(np.asarray(x)[flagged], y[flagged], s=34, color=COLOURS[1], marker="^", linewidths=0)
        if labels:
            for i in np.flatnonzero(flagged):
                axis.annotate(str(table.iloc[i, 0]), (np.asarray(x)[i], y[i]), fontsize=7, xytext=(3, 3),
                              textcoords="offset points")  # fmt: skip
    left.axhline(0, color=GREY, linewidth=0.8)
    left.set(xlabel=f"case left out, in order (n = {len(table)})", ylabel="b₃ without it, ± 1.96 SE")
    right.set(xlabel="leverage", ylabel="Cook’s distance")
    return figure


def plot_specifications(curve: pd.DataFrame, joint: pd.DataFrame) -> Figure:
    """Draw the specification curve: every version's b3 with its interval, and what each version chose.

    ``curve`` and ``joint`` are the model's multiverse tables; the first contrast is drawn. The legend explains every
    mark: intervals without and with zero, the model itself, and the choices below.
    """
    use_style()
    contrast = curve["contrast"].dropna().iloc[0] if curve["contrast"].notna().any() else None
    own_contrast = curve["contrast"].eq(contrast) & curve["estimate"].notna()
    table = curve[own_contrast].sort_values(["estimate", "version"], ignore_index=True)
    if table.empty:
        return plot_refused(0, "No version of the model could be fitted.")
    choices = [
        c for c in ("predictor", "scale", "covariates", "covariance", "outliers", "rows") if table[c].nunique() > 1
    ]
    marks = [(c, v) for c in choices for v in dict.fromkeys(table[c])]
    height = 3.4 + 0.19 * len(marks)
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(7.4, height), sharex=True, height_ratios=(2.4, 0.19 * len(marks) + 0.2)
    )
    rank = np.arange(1, len(table) + 1)
    clear = ((table["low"] > 0) | (table["high"] < 0)).to_numpy()
    for mask, colour, said in (
        (clear, "black", "interval without zero"),
        (~clear, GREY, "interval that holds zero"),
    ):
        if mask.any():
            top.errorbar(rank[mask], table["estimate"][mask], yerr=(table["high"] - table["estimate"])[mask], fmt="o",
                         markersize=3, color=colour, elinewidth=0.7, alpha=0.9, label=said)  # fmt: skip
    own = table["own"].eq(True).to_numpy()
    top.scatter(
        rank[own], table["estimate"][own], s=90, facecolors="none", edgecolors=COLOURS[1], linewidths=1.5, zorder=3,
        label="ringed: the model itself",
    )  # fmt: skip
    top.axhline(0, color=GREY, linewidth=0.8)
    share = joint[joint["contrast"] == contrast].set_index("statistic")
    text = "\n".join(f"{name} {row['observed']:.2f}, joint p {_p(row['p'])}" for name, row in share.iterrows())
    n = f"n = {int(table['n'].min())}" + (f"–{int(table['n'].max())}" if table["n"].min() < table["n"].max() else "")
    top.set_title(f"{contrast_label(str(contrast))}: {len(table)} versions, {n}\n{text}", fontsize=9)
    top.set_ylabel("b₃, outcome and\npredictor standardised")
    top.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=7.5, frameon=False, borderaxespad=0.2)
    for y, (choice, value) in enumerate(marks):
        chosen = (table[choice] == value).to_numpy()
        bottom.plot(rank[chosen], np.full(chosen.sum(), y), "|", color="black", markersize=5)
    bottom.set_yticks(range(len(marks)), [f"{c}: {_choice(c, v)}" for c, v in marks], fontsize=7.5)
    bottom.set_ylim(max(len(marks), 1) - 0.4, -0.6)
    bottom.set_xlabel("version, in order of its estimate; each stroke below it is a choice that it made")
    return figure


def _choice(kind: str, value: object) -> object:
    """What a version chose, in words."""
    if kind == "predictor":
        return column_label(str(value))
    return {"drop_3sd": "left out beyond 3 SD", "winsorise": "pulled in to 3 SD"}.get(value, value)


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"= {value:.3f}".replace("0.", ".")


def plot_power(power: pd.DataFrame, detectable: pd.DataFrame) -> Figure:
    """Draw simulated power over f2, with normal theory beside it and the effect found with 80 % power."""
    use_style()
    figure, axis = plt.subplots(figsize=(5.6, 3.6))
    n, kind = int(power["n"].iloc[0]), power["covariance"].iloc[0]
    axis.errorbar(power["f2"], power["power"], yerr=1.96 * power["se"], color=COLOURS[0], marker=MARKERS[0],
                  label=f"simulated at this design, {kind} (n = {n})")  # fmt: skip
    axis.plot(power["f2"], power["exact"], color=GREY, linestyle=LINES[1], label="normal theory, no measurement error")
    axis.axhline(0.8, color=GREY, linewidth=0.8)
    found = detectable["f2_simulated"].iloc[0]
    if np.isfinite(found):
        axis.axvline(found, color=COLOURS[1], linewidth=1)
        axis.annotate(f"f² = {found:.2f}", (found, 0.5), xytext=(4, 0), textcoords="offset points", fontsize=9)
    axis.set(xlabel="f² of the interaction", ylabel="power", ylim=(0, 1.02))
    axis.legend(loc="lower right")
    return figure


def plot_refused(count: int, text: str | None = None) -> Figure:
    """Draw the place of a figure whose model was refused, or that has nothing to show: why, in words."""
    use_style()
    figure, axis = plt.subplots(figsize=(6.4, 1.2))
    axis.axis("off")
    text = text or f"No figure: the model was refused ({count} problem(s))."
    axis.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    return figure
