"""What a treatment is worth: cost-effectiveness by bootstrap, net benefit by regression, and social return.

Cost-effectiveness plane and acceptability curve: Van Hout and others (1994); net-benefit regression: Hoch, Briggs &
Willan (2002), through the same `fit` as every model, so that methylation can moderate value for money. Prices, their
years and sources are the user's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpaxis.moderation.covariance import covariance
from hpaxis.moderation.design import INTERCEPT, MINIMUM_PER_ARM, factor_levels
from hpaxis.moderation.linear import contrast_table, least_squares
from hpaxis.moderation.model import fit
from hpaxis.moderation.seeds import generator
from hpaxis.problems import InputError, Problem
from hpaxis.settings import WorthSettings

SHARES = ("deadweight", "attribution", "displacement", "drop_off")


def costs(data: pd.DataFrame, prices: pd.DataFrame) -> pd.Series:
    """Return each row's cost: the sum of units times unit price over the items of ``prices`` (item, unit_price).

    An item is a column of ``data`` with the units received. A row with a missing unit has no cost (NaN).
    """
    missing = [i for i in prices["item"] if i not in data]
    if missing:
        raise InputError([Problem("prices", "is not a column of the analysis table", "correct the item", column="item",
                                  value=i) for i in missing])  # fmt: skip
    units = data[list(prices["item"])].to_numpy(float)
    return pd.Series(units @ prices["unit_price"].to_numpy(float), index=data.index, name="cost")


def value_arms(
    analysis: pd.DataFrame, settings: WorthSettings, arms: Sequence[str], seed: int, prices: pd.DataFrame | None = None
) -> dict[str, pd.DataFrame]:
    """Return the tables of the programme's worth section: cost_effectiveness, plane, acceptability, net_benefit.

    ``analysis``: cohort/analysis.tsv; ``settings``: the section with its defaults; ``arms``: the reference first.
    Rows without cost or effect are left out and counted; each arm needs five. Raises `InputError` otherwise.
    """
    rows = analysis[analysis["role"] == settings.population].set_index("participant_id")
    cost = settings.cost or "cost"
    if prices is not None:
        rows = rows.assign(cost=costs(rows, prices))
    enrolled = rows["arm"].value_counts()
    used = [cost, settings.effect, *([settings.predictor] if settings.predictor else [])]
    rows = rows.dropna(subset=[*used, "arm"])
    counts = rows["arm"].value_counts()
    few = [a for a in arms if counts.get(a, 0) < MINIMUM_PER_ARM]
    if few:
        raise InputError([
            Problem("programme.worth", f"has {counts.get(a, 0)} rows with cost and effect",
                    f"an arm needs {MINIMUM_PER_ARM}: see what is missing", column="arm", value=a) for a in few
        ])  # fmt: skip
    draws = plane(rows, cost, settings.effect, arms, settings.draws, generator(seed, "worth"))
    willingness = sorted(settings.willingness)
    return {
        "cost_effectiveness": pd.concat(
            [cost_effectiveness(draws), _people(arms, counts, enrolled)], ignore_index=True
        ),
        "plane": draws,
        "acceptability": acceptability(draws, willingness),
        "net_benefit": net_benefit(rows, cost, settings.effect, willingness, settings.predictor, reference=arms[0]),
    }


def _people(arms: Sequence[str], counts: pd.Series, enrolled: pd.Series) -> pd.DataFrame:
    """Rows of cost_effectiveness that say how many people of each arm have cost and effect."""
    return pd.DataFrame({
        "contrast": list(arms), "quantity": "people with cost and effect", "estimate": [float(counts[a]) for a in arms],
        "note": [f"of {enrolled[a]}" for a in arms],
    })  # fmt: skip


def plane(
    data: pd.DataFrame, cost: str, effect: str, arms: Sequence[str], draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Return bootstrap draws of incremental cost and effect of each other arm against the first.

    ``data``: complete rows with an ``arm``; people are drawn within arm, cost and effect together. Columns: contrast,
    draw (0: the data themselves), cost, effect.
    """
    parts = []
    means = {}
    for arm in arms:
        values = data.loc[data["arm"] == arm, [cost, effect]].to_numpy(float)
        picks = rng.integers(0, len(values), (draws, len(values)))
        means[arm] = np.vstack([values.mean(axis=0), values[picks].mean(axis=1)])
    for arm in arms[1:]:
        difference = means[arm] - means[arms[0]]
        parts.append(pd.DataFrame({"contrast": f"{arm} - {arms[0]}", "draw": np.arange(draws + 1),
                                   "cost": difference[:, 0], "effect": difference[:, 1]}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def cost_effectiveness(draws: pd.DataFrame, alpha: float = 0.05) -> pd.DataFrame:
    """Return incremental cost, effect and their ratio with percentile intervals, and the shares of the quadrants.

    ``draws``: as `plane` gives them. Columns: contrast, quantity, estimate, low, high, note. The ratio's interval is
    given only where all draws lie where more effect costs more: across quadrants a ratio means nothing (Briggs &
    Fenn, 1998), and the acceptability curve says what it cannot.
    """
    rows = []
    for contrast, table in draws.groupby("contrast", sort=False):
        own, drawn = table[table["draw"] == 0].iloc[0], table[table["draw"] > 0]
        for name, quantity in (("cost", "incremental cost"), ("effect", "incremental effect")):
            low, high = drawn[name].quantile([alpha / 2, 1 - alpha / 2])
            rows.append((contrast, quantity, own[name], low, high, ""))
        one_side = bool(((drawn["effect"] > 0) & (drawn["cost"] > 0)).all())
        ratios = (
            (drawn["cost"] / drawn["effect"]).quantile([alpha / 2, 1 - alpha / 2]) if one_side else (np.nan, np.nan)
        )
        note = "" if one_side else "no interval: draws lie in several quadrants; read the acceptability curve"
        rows.append((contrast, "cost per unit of effect", own["cost"] / own["effect"], *ratios, note))
        for quantity, inside in (
            ("share dearer and better", (drawn["cost"] > 0) & (drawn["effect"] > 0)),
            ("share cheaper and better", (drawn["cost"] <= 0) & (drawn["effect"] > 0)),
            ("share dearer and worse", (drawn["cost"] > 0) & (drawn["effect"] <= 0)),
            ("share cheaper and worse", (drawn["cost"] <= 0) & (drawn["effect"] <= 0)),
        ):
            rows.append((contrast, quantity, inside.mean(), np.nan, np.nan, "of the bootstrap draws"))
    return pd.DataFrame(rows, columns=["contrast", "quantity", "estimate", "low", "high", "note"])


def acceptability(draws: pd.DataFrame, willingness: Sequence[float]) -> pd.DataFrame:
    """Return, for each willingness to pay per unit of effect, the share of draws with a positive net benefit.

    Columns: contrast, willingness, probability, net_benefit (of the data themselves).
    """
    rows = []
    for contrast, table in draws.groupby("contrast", sort=False):
        own, drawn = table[table["draw"] == 0].iloc[0], table[table["draw"] > 0]
        for w in willingness:
            benefit = w * drawn["effect"] - drawn["cost"]
            rows.append((contrast, float(w), float((benefit > 0).mean()), float(w * own["effect"] - own["cost"])))
    return pd.DataFrame(rows, columns=["contrast", "willingness", "probability", "net_benefit"])


def net_benefit(data: pd.DataFrame, cost: str, effect: str, willingness: Sequence[float], predictor: str | None = None,
                kind: str = "HC3", reference: str | None = None) -> pd.DataFrame:  # fmt: skip
    """Return the regression of net benefit (willingness x effect - cost) on the arm, at each willingness to pay.

    With ``predictor`` the arm's net benefit may depend on it: the product term says whether the treatment is worth
    more for those who have more of it. Columns: willingness, then the coefficient table's.
    """
    parts = []
    for w in willingness:
        rows = data.assign(net_benefit=w * data[effect] - data[cost])
        if predictor is not None:
            table = fit(rows, outcome="net_benefit", predictor=predictor, moderator="arm", covariance=kind,
                        reference=reference).coefficients  # fmt: skip
        else:
            table = _by_arm(rows, kind, reference)
        table.insert(0, "willingness", float(w))
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _by_arm(rows: pd.DataFrame, kind: str, reference: str | None) -> pd.DataFrame:
    """The arms' net benefit without a predictor: indicators against the reference."""
    levels = factor_levels(rows["arm"], reference)
    X = np.column_stack([np.ones(len(rows)), *((rows["arm"] == a).to_numpy(float) for a in levels[1:])])
    beta, residuals = least_squares(X, rows["net_benefit"].to_numpy(float))
    cov = covariance(kind, X, residuals, labels=rows.index.to_numpy(), source="worth")
    table = contrast_table(beta, cov, np.eye(len(levels)), 0.05)
    table.insert(0, "term", [INTERCEPT, *(f"arm[{a}]" for a in levels[1:])])
    return table.assign(covariance=kind, sided="two")


def social_return(
    outcomes: pd.DataFrame, investment: float, discount: float, draws: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return ``(table, ratio, tornado)`` of a social-return account.

    ``outcomes``: one row per outcome with the columns of `hpaxis.programme.check.RETURN_COLUMNS`: how many people or
    units, the proxy value of one in the price year, how many years it lasts, and the shares (0 to 1) that would have
    happened anyway (deadweight), that others brought about (attribution), that moved elsewhere (displacement), and
    that is lost each year after the first (drop_off). ``investment``: what was put in; ``discount``: rate per year;
    the value of year t is divided by (1 + discount)^t (Cabinet Office, A guide to social return on investment, 2012).

    ``table``: present value per outcome. ``ratio``: present value / investment with the 95 % interval of ``draws``
    independent triangular draws between low and high of each quantity and value. ``tornado``: the ratio at low and
    high of each input alone, widest first.
    """
    _check_return(outcomes, investment, discount)
    present = _present_value(outcomes, outcomes["quantity"], outcomes["value"], discount)
    table = outcomes.assign(present_value=present, share=present / present.sum())
    drawn = np.zeros(draws)
    for i, row in enumerate(outcomes.to_dict("records")):
        quantity, value = (_triangular(row, part, draws, rng) for part in ("quantity", "value"))
        drawn += _present_value(outcomes.iloc[[i]], quantity, value, discount) / investment
    low, high = np.quantile(drawn, [0.025, 0.975])
    total = present.sum()
    ratio = pd.DataFrame([{"present_value": total, "investment": investment, "ratio": total / investment, "low": low,
                           "high": high, "discount": discount, "draws": draws}])  # fmt: skip
    rows = []
    for i, row in enumerate(outcomes.to_dict("records")):
        for part in ("quantity", "value"):
            ends = []
            for end in ("low", "high"):
                changed = outcomes[["quantity", "value"]].astype(float).copy()
                changed.iloc[i, changed.columns.get_loc(part)] = row[f"{part}_{end}"]
                total = _present_value(outcomes, changed["quantity"], changed["value"], discount).sum()
                ends.append(total / investment)
            rows.append((row["outcome"], part, row[f"{part}_low"], row[f"{part}_high"], *ends))
    tornado = pd.DataFrame(rows, columns=["outcome", "input", "from", "to", "ratio_low", "ratio_high"])
    order = (tornado["ratio_high"] - tornado["ratio_low"]).abs().sort_values(ascending=False, kind="stable").index
    return table, ratio, tornado.loc[order].reset_index(drop=True)


def _present_value(
    outcomes: pd.DataFrame,
    quantity: NDArray[np.float64] | pd.Series,
    value: NDArray[np.float64] | pd.Series,
    discount: float,
) -> NDArray[np.float64]:
    """Present value of each row; ``quantity`` and ``value`` may be draws of one row."""
    kept = (1 - outcomes[list(SHARES[:3])].to_numpy(float)).prod(axis=1)
    years, lost = outcomes["years"].to_numpy(int), outcomes["drop_off"].to_numpy(float)
    factor = np.array([
        (((1 - share) ** np.arange(n)) / (1 + discount) ** np.arange(1, n + 1)).sum()
        for n, share in zip(years, lost, strict=True)
    ])  # fmt: skip
    return np.asarray(quantity, float) * np.asarray(value, float) * kept * factor


def _triangular(row: Mapping[str, Any], part: str, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    low, mode, high = (float(row[name]) for name in (f"{part}_low", part, f"{part}_high"))
    return np.full(draws, mode) if low == high else rng.triangular(low, mode, high, draws)


def _check_return(outcomes: pd.DataFrame, investment: float, discount: float) -> None:
    problems = []

    def add(what: str, remedy: str, column: str, value: str | None = None) -> None:
        problems.append(Problem("social return", what, remedy, column=column, value=value))

    for row in outcomes.to_dict("records"):
        for part in ("quantity", "value"):
            if not row[f"{part}_low"] <= row[part] <= row[f"{part}_high"]:
                add("is not between its low and its high", "correct the range", part, row["outcome"])
        for share in SHARES:
            if not 0 <= row[share] <= 1:
                add("is not a share between 0 and 1", "write 0.2 for 20 %", share, row["outcome"])
        if not (row["years"] >= 1 and float(row["years"]).is_integer()):
            what, remedy = "is not a whole number of years from 1 on", "give the years that the outcome lasts"
            add(what, remedy, "years", row["outcome"])
    if not investment > 0:
        add("is not positive", "give what was put in, in the currency of the values", "investment", investment)
    if not 0 <= discount < 1:
        add("is not a rate between 0 and 1", "write 0.035 for 3.5 %", "discount", discount)
    if problems:
        raise InputError(problems)
