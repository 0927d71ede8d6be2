from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hpaxis.cohort.figures import measures, plot_distributions, plot_flow
from hpaxis.figures import save
from hpaxis.methylation.figures.gene import cpg_effects, plot_gene
from hpaxis.methylation.figures.levels import (
    cpg_levels,
    cpg_persons,
    plot_concordance,
    plot_conversion_depth,
    plot_cpg_levels,
)
from hpaxis.methylation.panels.panel import panel_folder, read_panel
from hpaxis.methylation.panels.places import amplicon_maps, read_features
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


@pytest.fixture(scope="module")
def measured():
    """Calls of 40 people and their libraries: CpG 3 of the shipped panel differs by 8 points, the others do not."""
    panel = read_panel(panel_folder("nr3c1_exon1f"))
    rng = np.random.default_rng(11)
    people = pd.DataFrame({"library_id": [f"L{i}" for i in range(40)], "participant_id": [f"P{i}" for i in range(40)],
                           "role": "child", "arm": ARMS * 20})  # fmt: skip
    ids = list(panel.cpgs["cpg_id"])
    beta = rng.normal(0.2, 0.02, (40, len(ids)))
    beta[1::2, 2] += 0.08
    calls = pd.DataFrame({"library_id": np.repeat(people["library_id"], len(ids)), "cpg_id": ids * 40,
                          "beta": beta.ravel()})  # fmt: skip
    return panel, calls, people


def test_differences_of_each_cpg_are_welchs_with_intervals_that_hold_together(measured):
    _, calls, people = measured
    effects = cpg_effects(cpg_persons(calls, people), ARMS)
    wide = calls.pivot(index="library_id", columns="cpg_id", values="beta").loc[people["library_id"]]
    treated = (people["arm"] == "treatment").to_numpy()
    for row in effects.itertuples():
        found = stats.ttest_ind(wide[row.cpg_id][treated], wide[row.cpg_id][~treated], equal_var=False)
        own = found.confidence_interval(1 - 0.05 / 47)
        assert (row.difference / row.se, row.df) == pytest.approx((found.statistic, found.df))
        assert (row.low, row.high) == pytest.approx((own.low, own.high))
    excluded = effects[(effects["low"] > 0) | (effects["high"] < 0)]
    assert list(excluded["cpg_id"]) == ["NR3C1_1F_CpG03"] and set(effects["n"]) == {40}


def test_simultaneous_intervals_hold_the_truth_together():
    """200 studies of 12 correlated CpGs without an effect: all intervals hold zero in at least 95 % of them.

    Tolerance: three binomial standard errors of 200 draws at 95 %.
    """
    rng = np.random.default_rng(5)
    held = 0
    half = np.sqrt(0.6) * rng.normal(size=(200, 20, 1)) + np.sqrt(0.4) * rng.normal(size=(200, 20, 12))
    for study in half:
        rows = [("child", f"c{j}", ARMS[i % 2], f"P{i}", study[i, j]) for j in range(12) for i in range(20)]
        persons = pd.DataFrame(rows, columns=["population", "cpg_id", "arm", "participant_id", "beta"])
        effects = cpg_effects(persons, ARMS)
        held += ((effects["low"] <= 0) & (effects["high"] >= 0)).all()
    assert held >= 200 * 0.95 - 3 * np.sqrt(200 * 0.95 * 0.05)


def test_a_person_without_a_partner_in_the_other_arm_has_no_interval(measured):
    _, calls, people = measured
    few = people[(people["arm"] == "control") | (people["library_id"] == "L1")]
    effects = cpg_effects(cpg_persons(calls, few), ARMS)
    assert len(effects) == 47 and effects[["se", "low", "high"]].isna().all().all()
    assert cpg_effects(cpg_persons(calls, people[people["arm"] == "control"]), ARMS).empty


def test_the_gene_has_every_cpg_at_its_place_with_probes_and_names_of_the_literature(measured):
    panel, calls, people = measured
    maps = amplicon_maps(panel, read_features(panel_folder("nr3c1_exon1f")))
    levels, effects = cpg_levels(calls, people), cpg_effects(cpg_persons(calls, people), ARMS)
    figure = plot_gene(levels, effects, maps, ARMS, {"child": "Children"})
    top, differences, tracks = figure.axes
    places = panel.cpgs["pos"].to_numpy(float)
    assert set(points(top)[:, 0]) == set(places) and set(points(differences)[:, 0]) == set(places)
    assert sorted(points(differences)[:, 1]) == pytest.approx(sorted(100 * effects["difference"]))
    assert top.get_xlim()[0] > top.get_xlim()[1]  # minus strand: sense to the right
    named = {t.get_text(): t.xy[0] for t in tracks.texts if t.get_text()}
    probes = panel.aliases[panel.aliases["scheme"] == "illumina_probe"]
    at = dict(zip(panel.cpgs["cpg_id"], places, strict=True))
    assert {named[r.alias] for r in probes.itertuples()} == {at[r.cpg_id] for r in probes.itertuples()}
    assert named["13"] == at["NR3C1_1F_CpG47"] and named["end of exon 1F"] == 143403986
    rows = [t.get_text() for t in tracks.get_yticklabels()]
    assert any("NGFI-A" in r or "Ngfi" in r for r in rows) and "Gene" in rows
    assert "no library passed" in texts(plot_gene(levels.iloc[:0], effects.iloc[:0], maps, ARMS))


def test_amplicons_with_different_tracks_keep_their_rows_apart(measured):
    """Two amplicons, the second with a track more: each site stands in the row that bears its track's name."""
    panel, calls, people = measured
    (first,) = amplicon_maps(panel)
    more = pd.DataFrame([("own_scheme", "k1", *[min(first.places.values())] * 2)], columns=first.sites.columns)
    second = replace(first, name="again", sites=pd.concat([more, first.sites], ignore_index=True))
    levels = cpg_levels(calls, people)
    figure = plot_gene(levels, cpg_effects(cpg_persons(calls, people), ARMS), [first, second], ARMS)
    left, right = figure.axes[-2:]
    rows = [label.get_text() for label in left.get_yticklabels()]
    assert rows.count("Own scheme") == 1
    named = {text.get_text(): text.xy[1] for text in left.texts if text.get_text()}
    assert named == {name: row for name, row in {t.get_text(): t.xy[1] for t in right.texts}.items() if name in named}
    assert "k1" not in named and [rows[int(t.xy[1])] for t in right.texts if t.get_text() == "k1"] == ["Own scheme"]
