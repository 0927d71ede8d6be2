import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hpaxis.cohort.figures import measures, plot_distributions, plot_flow
from hpaxis.figures import save
from hpaxis.methylation.figures.levels import cpg_levels, plot_concordance, plot_conversion_depth, plot_cpg_levels
from hpaxis.report.privacy import WITHHELD, shown_flow

ARMS = ["control", "treatment"]
GATES = {"conversion": (0.98, 0.99), "depth": (100, 500)}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def points(axis):
    """All points of an axis, n × 2."""
    found = [c.get_offsets() for c in axis.collections if hasattr(c, "get_sizes") and len(c.get_sizes())]
    return np.concatenate([np.ma.getdata(f) for f in found if len(f)]) if found else np.empty((0, 2))


def texts(figure):
    found = [t.get_text() for a in figure.axes for t in a.texts]
    return found + [t.get_text() for legend in figure.legends for t in legend.get_texts()]


def test_every_library_has_its_point_in_both_panels(libraries):
    figure = plot_conversion_depth(libraries, GATES)
    top, bottom = figure.axes
    assert len(points(top)) == len(points(bottom)) == len(libraries)
    known = libraries["non_conversion"].notna()
    drawn = np.sort(points(top)[:, 1])
    assert np.isin(np.round(100 * (1 - libraries.loc[known, "non_conversion"]), 9), np.round(drawn, 9)).all()
    # What cannot be estimated stands on the edge, below every other.
    assert drawn[0] < 100 * (1 - libraries["non_conversion"].max())
    assert sorted(points(bottom)[:, 1])[-1] == libraries["effective_depth"].max()
    gates = {line.get_ydata()[0] for line in top.lines if line.get_ydata()[0] == line.get_ydata()[1]}
    assert {98.0, 99.0} <= {round(g, 6) for g in gates}
    assert "fail (1)" in texts(figure) and "warn (1)" in texts(figure)


def test_no_library_at_all_still_draws(libraries):
    figure = plot_conversion_depth(libraries.iloc[:0], GATES)
    assert figure.axes[1].get_xlabel() == "No libraries"


def test_cpg_levels_count_people_once():
    calls = pd.DataFrame({
        "library_id": ["L1", "L2", "L3", "L4", "L1", "L3"],
        "cpg_id": ["b", "b", "b", "b", "a", "a"],
        "beta": [0.02, 0.04, 0.05, 0.10, 0.01, np.nan],
    })  # fmt: skip
    people = pd.DataFrame({
        "library_id": ["L1", "L2", "L3", "L4"],
        "participant_id": ["p1", "p1", "p2", "p3"],  # two libraries of one person
        "role": "child",
        "arm": ["control", "control", "control", "treatment"],
    })  # fmt: skip
    levels = cpg_levels(calls, people)
    first = levels.iloc[0]
    assert (first["cpg_id"], first["arm"], first["n"]) == ("b", "control", 2)
    assert first["mean"] == pytest.approx(0.04)  # of 0.03 and 0.05
    low, high = stats.t.interval(0.95, 1, 0.04, np.std([0.03, 0.05], ddof=1) / np.sqrt(2))
    assert (first["low"], first["high"]) == (pytest.approx(low), pytest.approx(high))
    assert levels["cpg_id"].tolist() == ["b", "b", "a"]  # as the amplicon has them
    assert levels.iloc[1][["n", "mean"]].tolist() == [1, 0.10] and np.isnan(levels.iloc[1]["low"])


def test_cpg_levels_are_drawn_by_population_and_arm(levels):
    both = pd.concat([levels, levels.assign(population="parent")])
    figure = plot_cpg_levels(both, ARMS, {"child": "Children"})
    assert [a.get_title(loc="left") for a in figure.axes] == ["Children", "parent"]
    assert len(points(figure.axes[0])) == len(levels)
    assert set(np.round(points(figure.axes[0])[:, 1], 6)) == set(np.round(100 * levels["mean"], 6))
    empty = plot_cpg_levels(levels.iloc[:0], ARMS)
    assert "no library passed" in texts(empty)


def test_concordance_flags_stand_out_and_controls_get_their_panel(concordance):
    figure = plot_concordance(concordance)
    assert len(figure.axes) == 1
    assert "flagged (1)" in texts(figure) and "within sampling error (19)" in texts(figure)
    assert max(points(figure.axes[0])[:, 1]) == pytest.approx(0.71)
    concordance.loc[0, ["hpaxis_mean", "methylpy_mean"]] = 0.97
    left, right = plot_concordance(concordance).axes
    assert len(points(left)) == 19 and points(right)[:, 0] == pytest.approx([97.0])
    assert any("no library" in t for t in texts(plot_concordance(concordance.iloc[:0])))


def test_the_flow_shows_each_step_its_reason_and_who_is_analysed(attrition):
    analysed = pd.DataFrame({"model": "main", "title": "main", "population": "child", "arm": ARMS, "n": [19, 18]})
    received = pd.DataFrame({"population": "child", "arm": ARMS, "n": [20.0, np.nan], "withheld": [None, "yes"]})
    told = "\n\n".join(texts(plot_flow(shown_flow(attrition, 0), ARMS, analysed, received)))
    assert "Allocated to control\nn = 20\nreceived, n = 20" in told and "received, n withheld" in told
    assert "hair sample, n = 13\n  left out: 7 (no hair sample)" in told
    assert "saliva library, n = 19\n  left out: 1 (no saliva library)" in told
    assert "Analysed (complete cases):\nmain, n = 18" in told
    kept = "\n\n".join(texts(plot_flow(shown_flow(attrition, 5), ARMS, analysed, received)))
    assert f"saliva library, n {WITHHELD}\nlibrary passed quality, n {WITHHELD}" in kept
    assert "hair sample, n = 13\n  left out: 7" in kept and "left out: 1" not in kept and "n = 19\n  left" not in kept


def test_few_censored_values_cannot_be_counted_in_the_figure(analysis):
    few = int((analysis.loc[analysis["role"] == "child", "cortisol_censored"] == "below").sum())
    panels = measures(analysis, "region_mean")
    figure = plot_distributions(analysis, ARMS, panels, smallest=few + 2)
    assert len(points(figure.axes[1])) == 0 and len(figure.axes[1].lines) > 0
    assert [t.get_text() for t in figure.axes[1].get_xticklabels()] == ARMS


def test_a_flow_of_nobody_draws(attrition):
    assert texts(plot_flow(shown_flow(attrition.iloc[:0], 5), ARMS)) == []


def test_distributions_draw_every_person_and_censored_ones_at_their_limit(analysis):
    panels = measures(analysis, "region_mean")
    assert [p["column"] for p in panels] == ["region_mean_beta", "cortisol_pg_per_mg"]
    figure = plot_distributions(analysis, ARMS, panels)
    children, cortisol = figure.axes[0], figure.axes[1]
    assert len(points(children)) == 39  # one child has no methylation
    assert points(children)[:, 1].mean() == pytest.approx(100 * analysis["region_mean_beta"][:40].mean())
    censored = analysis[(analysis["role"] == "child") & (analysis["cortisol_censored"] == "below")]
    at_limit = points(cortisol)[points(cortisol)[:, 1] == 3.0]
    assert len(censored) > 0 and len(at_limit) == len(censored)
    assert [t.get_text() for t in cortisol.get_xticklabels()] == ["control\nn = 20", "treatment\nn = 20"]


def test_distributions_of_nothing_say_so(analysis):
    nothing = analysis.assign(region_mean_beta=np.nan, cortisol_censored=None)
    panels = measures(nothing, "region_mean")
    assert len(panels) == 1
    assert texts(plot_distributions(nothing, ARMS, panels)).count("no values") == 2


def test_figures_are_the_same_bytes_each_time(libraries, levels, tmp_path):
    for name in ("a", "b"):
        save(plot_conversion_depth(libraries.sample(frac=1, random_state=ord(name)), GATES), tmp_path / f"{name}.svg")
        save(plot_cpg_levels(levels, ARMS), tmp_path / f"{name}2.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a2.svg").read_bytes() == (tmp_path / "b2.svg").read_bytes()
    assert b"L10000" not in (tmp_path / "a.svg").read_bytes()
