"""Templates counted from molecules, conversion along the amplicon, and what else a library shows of how it was made.

Truth comes from `hpaxis.simulation.templates`, which shares no assumption with the estimate but the chemistry: copies
are log-normal, failures differ by molecule and place, and PCR makes chimeras.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.levels.completion import Completion
from hpaxis.methylation.levels.controls import exchanged_columns
from hpaxis.methylation.levels.intact import copied_reasons, copy_reasons, pair_reasons, same_molecules
from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.methylation.levels.profile import SiteCounts, fit_profile, site_factors
from hpaxis.methylation.levels.templates import (
    Barcode,
    _log_bessel,
    _poisson_inverse_gaussian,
    count_templates,
    known_input,
)
from hpaxis.methylation.panels.panel import read_panel
from hpaxis.schemas import load, with_defaults
from hpaxis.shipped import PANELS
from hpaxis.simulation.reads import panel_amplicon
from hpaxis.simulation.templates import (
    Tube,
    calls_of,
    draw_reads,
    draw_templates,
    failure_shape,
    files_of,
    simulate_calls,
    simulate_files,
)

PANEL = read_panel(PANELS / "nr3c1_exon1f")
AMPLICON = panel_amplicon(PANEL)
SETTINGS = with_defaults({}, load("config/methylation"))
OTHERS = AMPLICON.other_offsets


def levels(rng, mean=0.04):
    return np.clip(rng.gamma(4, mean / 4, AMPLICON.offsets.size), 0.002, 0.3)


def site_counts(tube, rng):
    reads, _ = draw_reads(draw_templates(AMPLICON, tube, rng)[0], tube, rng)
    noise = rng.random((len(reads), OTHERS.size)) < tube.error / 3
    x = (reads[:, OTHERS] ^ noise).sum(axis=0).astype(float)
    return SiteCounts(x, np.full(OTHERS.size, float(tube.reads)), tube.error / 3)


def sheet(names, **columns):
    rows = {"library_id": names, "participant_id": names, "timepoint": "t", "kind": "study", "panel": PANEL.name,
            "expected_percent": np.nan, "plate": "p", "well": None, "input_ng": np.nan}  # fmt: skip
    return pd.DataFrame(rows | columns)


@pytest.mark.parametrize(("templates", "e"), [(100, 0.003), (300, 0.01), (1000, 0.03)])
def test_templates_are_counted_within_their_limits(templates, e):
    """Six libraries: the limits hold the templates of even copies in five or more; in median within a factor of two."""
    rng = np.random.default_rng(templates)
    tubes = [Tube(levels(rng), templates, 1500, copies_cv=cv, non_conversion=e, slope=2) for cv in (0.3, 0.7, 1.1) * 2]
    counts = [site_counts(tube, rng) for tube in tubes]
    profile = fit_profile(counts, OTHERS, AMPLICON.offsets, AMPLICON.sequence.size)
    held, ratios = 0, []
    for i, tube in enumerate(tubes):
        barcode = Barcode(counts[i], *site_factors(profile, counts, i))
        found = count_templates([barcode], np.nan, np.nan, 0.99)
        true = templates / (1 + tube.copies_cv**2)
        held += found.low <= true <= found.high
        ratios.append(found.effective / true)
        assert found.low < found.effective < found.high and found.source == "reads"
    assert held >= 5 and 0.5 < np.median(ratios) < 2


def test_without_failures_little_is_known_and_an_input_helps():
    counts = SiteCounts(np.zeros(99), np.full(99, 1500.0), 0.0)
    nothing = Barcode(counts, np.ones(99), np.zeros(99))
    alone = count_templates([nothing], np.nan, np.nan, 0.95)
    assert alone.thin and alone.high / alone.low > 100
    helped = count_templates([nothing], 3000.0, 6000.0, 0.95)
    assert not helped.thin and helped.source == "reads and input" and helped.high <= 6500
    assert alone.effective < helped.effective < 3000
    assert count_templates([], np.nan, np.nan, 0.95).source == "unknown"
    assert known_input(303.0, 1.0).effective == pytest.approx(151.5)
    # Nothing is lost where no molecule is a copy of another, nor where the number is taken as known.
    assert abs(helped.reach(1, 0.95) - 1) < 0.001 and known_input(303.0, 1.0).reach(1500, 0.95) == 1
    # What is known of q says how far an error reaches: drawn from the mixture, so many lie beyond as are to.
    rng = np.random.default_rng(5)
    q, weight = alone.chances
    error = rng.normal(size=400_000) * np.sqrt((1 + 1500 * rng.choice(q, 400_000, p=weight)) / 1500)
    reach = alone.reach(1500, 0.95) * 1.959964 * np.sqrt((1 + 1500 / alone.effective) / 1500)
    assert np.mean(np.abs(error) > reach) == pytest.approx(0.05, abs=0.002)


def test_counts_with_long_tailed_copies_are_those_of_the_textbook():
    """Poisson with an inverse Gaussian mean, by numerical integration; the Bessel functions against scipy's."""
    from scipy.integrate import quad
    from scipy.special import kve
    from scipy.stats import invgauss, poisson

    for mean, shape in ((3.0, 2.0), (40.0, 12.0), (0.4, 1.0)):
        density = invgauss(mean / shape, scale=shape).pdf
        for x in (0, 1, 2, 3, 7, 60):
            true = quad(lambda m, x=x, f=density: poisson.pmf(x, m) * f(m), 0, np.inf, epsabs=1e-14, limit=500)[0]
            assert np.exp(_poisson_inverse_gaussian(x, mean, shape)) == pytest.approx(true, rel=1e-4, abs=1e-12)
    order, z = np.meshgrid(np.arange(12) + 0.5, [0.01, 0.3, 2.0, 40.0, 3000.0])
    assert np.allclose(_log_bessel(order, z), np.log(kve(order, z)), atol=1e-4)


def test_conversion_along_the_amplicon_is_learnt_where_it_is_uneven_and_flat_where_it_is_not():
    rng = np.random.default_rng(3)
    for slope, tolerance in ((1.0, 0.06), (2.5, 0.15)):
        counts = [site_counts(Tube(levels(rng), 3000, 1500, non_conversion=0.01, slope=slope), rng) for _ in range(12)]
        found = fit_profile(counts, OTHERS, AMPLICON.offsets, AMPLICON.sequence.size)
        shape = failure_shape(AMPLICON.sequence.size, slope)
        true = (shape / shape[OTHERS].mean())[AMPLICON.offsets]
        assert np.abs(found.cpgs / true - 1).max() < tolerance
        error = np.sqrt(np.diag(found.covariance))
        assert (np.abs(found.cpgs - true) < 4 * error + 0.01).all() and found.between == 0


@pytest.mark.long
def test_intervals_hold_the_level_without_input_ng_and_few_templates_are_named():
    """Two studies of 12 libraries of 100-1,000 templates: at least 20 of 24 95 % intervals hold the level asked for.

    Binomial(24, .95) is below 20 once in 170. Taking every molecule for its own holds it in about half.
    """
    rng = np.random.default_rng(11)
    held, few = 0, 0
    for study in range(2):
        tubes = {f"L{i}": Tube(levels(rng), (100, 300, 1000)[i % 3], 1500, copies_cv=1.0, non_conversion=0.006,
                               slope=2, chimeras=0.02) for i in range(12)}  # fmt: skip
        tables = {n: simulate_calls(AMPLICON, PANEL, n, t, np.random.default_rng([study, i]))[0]
                  for i, (n, t) in enumerate(tubes.items())}  # fmt: skip
        rows = estimate_study(sheet(list(tubes)), {PANEL.name: PANEL}, tables, SETTINGS).libraries
        rows = rows.set_index("library_id").loc[list(tubes)]
        true = pd.Series({n: t.levels.mean() for n, t in tubes.items()})
        held += int(true.between(rows["region_mean_beta_low"], rows["region_mean_beta_high"]).sum())
        few += int(rows["reasons"].str.contains("stand for about").sum())
        # No library has a variant.
        assert not rows["reasons"].str.contains("variant").any()
        assert (rows["effective_depth"] <= rows["median_depth"]).all()
        few_ones = [n for n, t in tubes.items() if t.templates == 100]
        assert (rows.loc[few_ones, "effective_depth"] < 150).all() and (rows.loc[few_ones, "verdict"] != "pass").all()
    assert held >= 20 and few >= 20


def test_reads_of_the_second_simulator_are_read_right(tmp_path):
    rng = np.random.default_rng(2)
    tube = Tube(levels(rng), 400, 600, non_conversion=0.004, indels=0.05, chimeras=0.02, stretches=0.03)
    truth = simulate_files(AMPLICON, tube, files_of(tmp_path, "L"), rng)
    calls = count_library(files_of(tmp_path, "L"), PANEL, "L")
    row = calls.reads.iloc[0]
    assert row["passed"] + row["unconverted"] >= 0.99 * tube.reads and row["gapped"] > 5 and row["stretches"] > 3
    assert calls.sites["unconverted"].sum() == row["non_cpg_unconverted"]
    counts = calls.counts
    level = (counts["methylated"] / counts["depth"]).mean()
    assert level == pytest.approx(truth, abs=0.012)
    # Mates of one molecule agree at CpGs as well as elsewhere.
    assert row["overlap_cpgs"] > 1000 and row["overlap_cpgs_differ"] < 0.01 * row["overlap_cpgs"]


def sample(reads, primers=True, **counts):
    """As much of a counted library as its reads are judged by."""
    amplicons = pd.DataFrame({"forward_primer": ["TTTG" if primers else None]})
    table = pd.DataFrame({"methylated": [50] * 10, "depth": [1000] * 10} | counts)
    row = {"on_target": 1000, "passed": 1000} | reads
    return SimpleNamespace(reads=pd.Series(row), counts=table, panel=SimpleNamespace(amplicons=amplicons),
                           row=SimpleNamespace(kind="study", umi=None))  # fmt: skip


def test_mates_that_disagree_at_cpgs_fail_and_mates_that_err_do_not():
    whole = {"overlap_cpgs": 5000, "overlap_cpgs_differ": 10, "overlap_t": 5000, "overlap_t_differ": 9}
    assert pair_reasons(sample(whole)) == []
    ((rank, reason),) = pair_reasons(sample(whole | {"overlap_cpgs_differ": 480}))
    assert rank == "fail" and "out of step" in reason
    # Poor reads differ everywhere; at 0 % nothing can be told.
    assert pair_reasons(sample(whole | {"overlap_cpgs_differ": 480, "overlap_t_differ": 470})) == []
    assert pair_reasons(sample(whole, methylated=[0] * 10)) == []


def test_discordant_pairs_undeclared_umis_stretches_and_clones_are_told():
    ranks = [pair_reasons(sample({"discordant": n}))[0][0] for n in (60, 300)]
    assert ranks == ["warn", "fail"] and pair_reasons(sample({"discordant": 40})) == []
    lead = {"lead_1": 8, "lead_share_1": 0.97, "lead_letters_1": 3.9}
    assert "UMI" in pair_reasons(sample(lead))[0][1]
    assert pair_reasons(sample(lead | {"lead_letters_1": 1.1})) == [] and pair_reasons(sample(lead, False)) == []
    told = copy_reasons(sample({"stretches": 30, "clone_molecules": 250, "clone_compared": 1000}))
    assert [rank for rank, _ in told] == ["warn", "warn"]
    assert "2.9 % of the molecules keep a stretch" in told[0][1] and "25 % of the molecules share" in told[1][1]
    assert copy_reasons(sample({"stretches": 3, "clone_molecules": 20, "clone_compared": 1000})) == []


def test_an_input_that_the_molecules_contradict_is_not_used():
    """Some 570 templates of even copies; an input in the wrong unit holds 60."""
    rng = np.random.default_rng(9)
    counts = [site_counts(Tube(levels(rng), 600, 1500, copies_cv=0.2, non_conversion=0.02), rng) for _ in range(3)]
    profile = fit_profile(counts, OTHERS, AMPLICON.offsets, AMPLICON.sequence.size)
    barcode = Barcode(counts[0], *site_factors(profile, counts, 0))
    alone = count_templates([barcode], np.nan, np.nan, 0.95)
    wrong = count_templates([barcode], 20.0, 60.0, 0.95)
    right = count_templates([barcode], 500.0, 1500.0, 0.95)
    assert wrong.held == 60 and wrong.source == "reads" and wrong.effective == alone.effective
    assert right.held is None and right.source == "reads and input" and 300 < right.effective < 1000


def test_a_shuffled_copy_of_a_library_fails_with_its_original():
    rng = np.random.default_rng(10)
    tube = Tube(levels(rng, 0.1), 500, 400)
    tables = {name: simulate_calls(AMPLICON, PANEL, name, tube, np.random.default_rng(seed))[0]
              for name, seed in (("A", 1), ("B", 1), ("C", 2))}  # fmt: skip
    assert same_molecules(tables) == {"A": ["B"], "B": ["A"]}
    assert copied_reasons(["B"])[0][0] == "fail" and copied_reasons(None) == []
    few = {name: replace(table, patterns=table.patterns.head(20)) for name, table in tables.items()}
    assert same_molecules(few) == {}


def test_reads_that_end_early_are_corrected_by_the_shape_at_the_sites_they_show():
    """Failure is four times as high at the start; two libraries show the first 150 bases, two the last 150."""
    rng, tables, first = np.random.default_rng(8), {}, np.arange(AMPLICON.sequence.size) < 150
    last = first[::-1]
    tube = Tube(np.full(AMPLICON.offsets.size, 0.02), 20_000, 1500, non_conversion=0.02, slope=4)
    for name, shown in {**{f"L{i}": None for i in range(8)}, "A0": first, "A1": first, "B0": last, "B1": last}.items():
        reads, _ = draw_reads(draw_templates(AMPLICON, tube, rng)[0], tube, rng)
        tables[name] = calls_of(reads, AMPLICON, PANEL, name, tube.error, rng, shown=shown)
    found = estimate_study(sheet(list(tables)), {PANEL.name: PANEL}, tables, SETTINGS)
    for name, table in found.calls.items():
        row = found.libraries.set_index("library_id").loc[name]
        levels = table["beta_unclipped"].dropna()
        assert levels.size == {"L": 47, "A": 22, "B": 13}[name[0]]
        assert levels.mean() == pytest.approx(0.02, abs=0.004), name  # four standard errors
        shape = failure_shape(AMPLICON.sequence.size, 4)
        own = OTHERS if name[0] == "L" else OTHERS[(first if name[0] == "A" else last)[OTHERS]]
        here = 0.02 * shape[own].mean() / shape[OTHERS].mean()
        assert row["non_conversion_drawn"] == pytest.approx(here, rel=0.06), name


def test_what_an_index_lacks_is_filled_in_from_libraries_that_have_it():
    rng = np.random.default_rng(4)
    profile = np.array([0.01, 0.02, 0.09, 0.04])
    table = profile * np.exp(rng.normal(0, 0.2, (12, 1))) + rng.normal(0, 0.001, (12, 4))
    wanted, used = np.ones(4, dtype=bool), np.array([True, True, False, True])
    ratio, scatter, number = Completion(table).factor(used, wanted)
    assert ratio == pytest.approx(0.04 / (0.07 / 3), rel=0.05) and number == 12
    assert 0 < np.sqrt(scatter) < 0.005
    assert Completion(table[:3]).factor(used, wanted) is None
    assert Completion(np.where(used, table, np.nan)).factor(used, wanted) is None


def test_exchanged_controls_fail_the_panel_and_no_level_is_absurd():
    rng = np.random.default_rng(6)
    wanted = {"S1": 0.05, "C0": 0.98, "C100": 0.003}
    tables = {n: simulate_calls(AMPLICON, PANEL, n, Tube(np.full(47, level), 5000, 600), rng)[0]
              for n, level in wanted.items()}  # fmt: skip
    kinds = ["study", "control_0", "control_100"]
    rows = sheet(list(wanted), kind=kinds, participant_id=["S1", np.nan, np.nan], timepoint=["t", np.nan, np.nan])
    found = estimate_study(rows, {PANEL.name: PANEL}, tables, SETTINGS)
    table = found.libraries.set_index("library_id")
    assert (table["verdict"] == "fail").all() and table["reasons"].str.contains("exchanged").all()
    assert table.loc["S1", "region_mean_beta"] == pytest.approx(0.05, abs=0.01)
    assert found.indices["region_mean_beta"].isna().all()
    assert (found.limits["lod"].dropna() < 1).all()


def test_a_library_of_counts_with_exchanged_columns_is_reported():
    sample = SimpleNamespace(row=SimpleNamespace(library_id="A"))
    others = {"B": 0.03, "C": 0.05, "D": 0.02}
    assert "97 % of its counts are methylated" in exchanged_columns(sample, others | {"A": 0.97})[0][1]
    assert exchanged_columns(sample, others | {"A": 0.97})[0][0] == "warn"
    assert exchanged_columns(sample, others | {"A": 0.04}) == [] == exchanged_columns(sample, others)
    # 60 % among 3 % is another tissue, or another sample, but no exchange.
    assert exchanged_columns(sample, others | {"A": 0.6}) == []
    every = exchanged_columns(sample, {"A": 0.97, "B": 0.96, "C": 0.98, "D": 0.95})
    assert every[0][0] == "pass" and "its columns are exchanged" in every[0][1]
