"""From a model's entry in the config to its names and its rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpaxis.moderation.design import MINIMUM_PER_ARM, Spec, is_factor

if TYPE_CHECKING:
    from hpaxis.settings import ModerationSettings

LOG2 = np.log(2)


def spec_of(
    entry: Mapping[str, Any], arms: Sequence[str] = (), alpha: float = 0.05, minimum_per_arm: int = MINIMUM_PER_ARM
) -> Spec:
    """Return the `Spec` of a config entry with its defaults filled; ``arms`` are the config's, reference first."""
    reference = entry["reference"]
    if reference is None and entry["moderator"] == "arm" and arms:
        reference = arms[0]
    return Spec(
        outcome=entry["outcome"],
        predictor=scaled_name(entry["predictor"], entry["scale"]),
        moderator=entry["moderator"],
        covariates=tuple(entry["covariates"]),
        reference=reference,
        standardise=tuple(entry["standardise"]),
        cluster=entry["cluster"],
        weights=entry["weights"],
        alpha=alpha,
        minimum_per_arm=minimum_per_arm,
    )


# What the pipeline measures in saliva and hair, which were taken when the config says so.
_MEASURED = re.compile(
    r"(.+)_(beta|m|se|fraction)(?:_change)?|.*cortisol.*"
    r"|(?:parent_|child_)?saliva_(?:log_auc_g|auc_g|auc_i|awakening|rise)(?:_change)?"
)


def measured_after(column: str, settings: ModerationSettings, columns: Iterable[str] | None = None) -> bool:
    """Whether a column was measured after the arms were drawn: by the config's list, or in a sample taken then.

    Where the table's ``columns`` are given, y_m is of a sample only if y_beta is among them, a fraction only if its
    error is, and an error as its value is.
    """
    if column in settings.after_randomisation:
        return True
    found = _MEASURED.fullmatch(column)
    if not settings.predictor_after_randomisation or found is None or at_baseline(column):
        return False
    stem, form = found.groups()
    if form in (None, "beta") or columns is None:
        return True
    if form == "se":
        return stem in columns and measured_after(stem, settings, columns)
    return (f"{stem}_beta" if form == "m" else f"{column}_se") in columns


def at_baseline(column: str) -> bool:
    """Whether a column holds a measure of the baseline, before the arms were drawn (see `cohort.baseline`)."""
    return column.removesuffix("_se").endswith("_baseline")


def scaled_name(name: str, scale: str) -> str:
    """Return the column of an index on a scale: beta as named, else its M value or the logit made from that."""
    if scale == "beta":
        return name
    return f"{name.removesuffix('_beta')}_{'m' if scale == 'm_value' else 'logit'}"


def model_rows(
    table: pd.DataFrame, entry: Mapping[str, Any], arms: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ``(data, left_out)`` for a model entry, from the table of participants.

    ``data``: the population's rows that the entry keeps, indexed by participant_id, the arm as a categorical in
    the config's order, and the logit of the predictor where that scale is asked for (the M value times ln 2).
    ``left_out``: participant_id and reason of the population's other rows.
    """
    data = table if entry["population"] == "all" else table[table["role"] == entry["population"]]
    data = data.set_index("participant_id")
    if entry["scale"] == "logit":
        m_value = scaled_name(entry["predictor"], "m_value")
        if m_value in data:
            data = data.assign(**{scaled_name(entry["predictor"], "logit"): data[m_value] * LOG2})
    reasons = pd.Series("", index=data.index)
    for column, values in entry["keep"].items():
        column_values = data[column]
        wanted = [str(v) for v in values] if is_factor(column_values) else values
        out = ~column_values.isin(wanted) & (reasons == "")
        reasons[out] = f"not kept: {column}"
    if arms and "arm" in data:
        data = data.assign(arm=pd.Categorical(data["arm"], categories=list(arms)))
    left_out = pd.DataFrame({"participant_id": data.index, "included": False, "reason": reasons.to_numpy()})
    return data[(reasons == "").to_numpy()], left_out[left_out["reason"] != ""]


def entry_columns(entry: Mapping[str, Any]) -> list[str]:
    """Return every column of the participants' table that an entry reads, each once."""
    names = [entry["outcome"], entry["predictor"], entry["moderator"], *entry["covariates"], *entry["keep"]]
    if entry["scale"] != "beta":
        names.append(scaled_name(entry["predictor"], "m_value"))
    names += entry["family"] + entry["auxiliary"]
    single = ("cluster", "mediator", "mechanism", "dose", "received", "group", "weights")
    names += [entry[key] for key in single if entry[key] is not None]
    return list(dict.fromkeys(names))
