import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hpaxis.figures import save
from hpaxis.moderation import fit
from hpaxis.moderation.figures import plot_floodlight, plot_model, plot_slopes
from hpaxis.moderation.run import run_model
from hpaxis.schemas import load, with_defaults

ARMS = ["control", "treatment"]
ENTRY = with_defaults(
    {"outcome": "competence", "predictor": "region_mean_beta", "standardise": ["outcome", "predictor"]},
    load("config/model"),
)


@pytest.fixture(scope="module")
def tables(dyads):
    settings = with_defaults(
        {"draws": 199, "power_draws": 200, "multiverse": {"draws": 199}}, load("config/moderation")
    )
    return run_model("competence", dyads, ENTRY, settings, ARMS, 1)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def spans(axis):
    """The shaded stretches of an axis, as (start, end)."""
    return sorted((p.get_x(), p.get_x() + p.get_width()) for p in axis.patches)


def test_slopes_show_every_complete_case_at_its_place(tables):
    axis = plot_model(tables, ENTRY)["slopes"].axes[0]
    drawn = np.concatenate([c.get_offsets() for c in axis.collections if len(c.get_offsets()) > 1])
    expected = tables["points"][["predictor", "outcome_adjusted"]].to_numpy(float)
    assert np.array(sorted(map(tuple, drawn))) == pytest.approx(np.array(sorted(map(tuple, expected))))
    texts = [t.get_text() for t in axis.get_legend().get_texts()]
    assert [t.split(":")[0] for t in texts] == ["control (n = 21)", "treatment (n = 21)"]
    assert axis.get_xlabel() == "region mean methylation (SD)"
    # Counts of people stand in the table of the region, where few of them can be withheld.
    shaded = tables["region"].iloc[0]["observed_kind"] != "none"
    assert axis.get_title(loc="left") == "n = 42" + ("; shaded: arms differ, over the whole range" if shaded else "")


def test_shading_is_the_region_within_the_observed_range(tables):
    own = tables["region"].iloc[0]
    figures = plot_model(tables, ENTRY)
    expected = {
        "outside": [(own["minimum"], own["observed_low"]), (own["observed_high"], own["maximum"])], "none": [],
    }.get(own["observed_kind"], [(own["observed_low"], own["observed_high"])])  # fmt: skip
    for name in ("slopes", "effects"):
        assert np.array(spans(figures[name].axes[0])) == pytest.approx(np.array(sorted(expected)))


@pytest.mark.parametrize(
    ("kind", "low", "high", "expected"),
    [
        ("outside", 2, 4, [(0, 2), (4, 10)]), ("inside", 2, 4, [(2, 4)]), ("none", np.nan, np.nan, []),
        ("above", 4, 10, [(4, 10)]), ("all", 0, 10, [(0, 10)]),
    ],
)  # fmt: skip
def test_each_kind_of_region_is_shaded_where_it_is(anorexia, kind, low, high, expected):
    result = fit(anorexia[anorexia["Treat"] != "FT"], outcome="Postwt", predictor="Prewt", moderator="Treat")
    region = result.region.assign(observed_kind=kind, observed_low=low, observed_high=high, minimum=0.0, maximum=10.0)
    axis = plot_slopes(result.lines, result.points, result.slopes, region, "x", "y").axes[0]
    assert spans(axis) == expected


def test_floodlight_of_three_arms_tells_n_for_each_pair(anorexia):
    result = fit(anorexia, outcome="Postwt", predictor="Prewt", moderator="Treat")
    region = pd.concat([result.region, result.region_fdr])
    axes = plot_floodlight(result.effects, region, result.points, "x", "y").axes
    titles = [a.get_title(loc="left") for a in axes]
    assert titles[0] == "Cont\u00a0\u2212\u00a0CBT"
    numbered = anorexia.assign(Treat=anorexia["Treat"].map({"CBT": "1", "Cont": "2", "FT": "3"}))
    result = fit(numbered, outcome="Postwt", predictor="Prewt", moderator="Treat")
    region = pd.concat([result.region, result.region_fdr])
    axes = plot_floodlight(result.effects, region, result.points, "x", "y", column="Treat").axes
    assert axes[0].get_title(loc="left") == "Treat 2\u00a0\u2212\u00a0Treat 1"
    ticks = next(line for line in axes[0].lines if line.get_marker() == "|")
    assert len(ticks.get_xdata()) == 55


def test_continuous_moderator_has_its_lines_and_floodlight(states):
    result = fit(states, outcome="Income", predictor="Illiteracy", moderator="Murder")
    region = pd.concat([result.region, result.region_fdr])
    slopes = plot_slopes(result.lines, result.points, result.slopes, region, "x", "y").axes[0]
    assert [t.get_text().split(":")[0] for t in slopes.get_legend().get_texts()] == [
        "mean - 1 SD",
        "mean",
        "mean + 1 SD",
    ]
    flood = plot_floodlight(result.effects, region, result.points, "Murder", "slope").axes[0]
    ticks = next(line for line in flood.lines if line.get_marker() == "|")
    assert sorted(ticks.get_xdata()) == pytest.approx(sorted(states["Murder"]))


def test_influence_and_specification_curve_show_every_row(tables):
    figures = plot_model(tables, ENTRY)
    left, right = figures["influence"].axes
    assert sum(len(c.get_offsets()) for c in right.collections) == 42
    assert left.get_xlabel() == "case left out, in order (n = 42)"
    top, bottom = figures["versions"].axes
    fitted = tables["multiverse"]["estimate"].notna().sum()
    assert top.get_title(loc="left").startswith(f"treatment\u00a0\u2212\u00a0control: {fitted} versions")
    assert sum(len(line.get_xdata()) for line in bottom.lines) == fitted * 3
    assert figures["power"].axes[0].get_xlabel() == "f² of the interaction"


def test_figures_are_the_same_bytes_each_time(tables, tmp_path):
    for run in ("a", "b"):
        for name, figure in plot_model(tables, ENTRY).items():
            save(figure, tmp_path / run / f"{name}.svg")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_refused_model_has_figures_that_say_so(dyads):
    settings = with_defaults({}, load("config/moderation"))
    refused = run_model("m", dyads.assign(region_mean_beta=0.02), ENTRY, settings, ARMS, 1)
    for figure in plot_model(refused, ENTRY).values():
        assert "the model was refused" in figure.axes[0].texts[0].get_text()
