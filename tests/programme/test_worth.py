"""What a treatment is worth: arithmetic by hand, and known truth."""

import numpy as np
import pandas as pd
import pytest

from hpaxis.problems import InputError
from hpaxis.programme.worth import acceptability, cost_effectiveness, costs, net_benefit, plane, social_return


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(3)
    n = 400
    table = pd.DataFrame({"arm": np.repeat(["control", "treatment"], n // 2), "x": rng.normal(size=n)})
    treated = table["arm"] == "treatment"
    table["cost"] = rng.gamma(4, 50, n) + treated * 300
    table["effect"] = rng.normal(size=n) + treated * (1.0 - 0.4 * table["x"])
    return table


def test_costs_are_units_times_prices():
    data = pd.DataFrame({"visits": [2, 0, np.nan], "calls": [1, 4, 1]})
    prices = pd.DataFrame({"item": ["visits", "calls"], "unit_price": [90.0, 10.0]})
    assert costs(data, prices).tolist()[:2] == [190.0, 40.0]
    assert np.isnan(costs(data, prices)[2])
    with pytest.raises(InputError, match="is not a column"):
        costs(data, prices.assign(item=["visits", "letters"]))


def test_plane_and_ratio(people):
    draws = plane(people, "cost", "effect", ["control", "treatment"], 2000, np.random.default_rng(1))
    table = cost_effectiveness(draws).set_index("quantity")
    means = people.groupby("arm")[["cost", "effect"]].mean()
    difference = means.loc["treatment"] - means.loc["control"]
    assert table.loc["incremental cost", "estimate"] == pytest.approx(difference["cost"])
    assert table.loc["cost per unit of effect", "estimate"] == pytest.approx(difference["cost"] / difference["effect"])
    assert table.loc["incremental cost", "low"] < 300 < table.loc["incremental cost", "high"]
    assert table.loc["cost per unit of effect", "low"] < 300 < table.loc["cost per unit of effect", "high"]
    curve = acceptability(draws, [0, 300, 5000]).set_index("willingness")["probability"]
    assert curve[0] == 0
    assert 0.1 < curve[300] < 0.9
    assert curve[5000] > 0.99


def test_a_ratio_across_quadrants_has_no_interval(people):
    even = people.assign(effect=np.random.default_rng(2).normal(size=len(people)))
    draws = plane(even, "cost", "effect", ["control", "treatment"], 500, np.random.default_rng(1))
    row = cost_effectiveness(draws).set_index("quantity").loc["cost per unit of effect"]
    assert np.isnan(row["low"])
    assert "quadrants" in row["note"]


def test_net_benefit_regression_is_the_difference_of_means_and_can_be_moderated(people):
    arms = net_benefit(people, "cost", "effect", [1000.0]).set_index("term")
    nb = 1000 * people["effect"] - people["cost"]
    by_hand = nb[people["arm"] == "treatment"].mean() - nb[people["arm"] == "control"].mean()
    assert arms.loc["arm[treatment]", "estimate"] == pytest.approx(by_hand)
    product = net_benefit(people, "cost", "effect", [1000.0], "x").set_index("term").loc["x:arm[treatment]"]
    assert product["low"] < -400 < product["high"]  # 1000 x -.4, as simulated


def account(**changes):
    row = {
        "outcome": "calmer families", "quantity": 30, "quantity_low": 20, "quantity_high": 40, "value": 1000.0,
        "value_low": 500.0, "value_high": 1500.0, "years": 3, "deadweight": 0.2, "attribution": 0.1,
        "displacement": 0.0, "drop_off": 0.3, "source": "by hand", "price_year": 2025,
    }  # fmt: skip
    return pd.DataFrame([row | changes])


def test_social_return_by_hand():
    """30 x 1000 x .8 x .9, falling by .3 a year, discounted at 3.5 % from the first year on."""
    table, ratio, tornado = social_return(account(), 20000, 0.035, 4000, np.random.default_rng(1))
    year = 30 * 1000 * 0.8 * 0.9
    by_hand = year / 1.035 + 0.7 * year / 1.035**2 + 0.49 * year / 1.035**3
    assert table["present_value"].iloc[0] == pytest.approx(by_hand)
    assert ratio["ratio"].iloc[0] == pytest.approx(by_hand / 20000)
    assert ratio["low"].iloc[0] < by_hand / 20000 < ratio["high"].iloc[0]
    assert tornado["input"].tolist() == ["value", "quantity"]
    assert tornado.loc[0, "ratio_low"] == pytest.approx(by_hand / 40000)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"deadweight": 20}, "is not a share"), ({"quantity_low": 35}, "is not between"), ({"years": 0}, "whole number")],
)
def test_an_account_that_cannot_be_right_is_refused(changes, said):
    with pytest.raises(InputError, match=said):
        social_return(account(**changes), 20000, 0.035, 100, np.random.default_rng(1))
