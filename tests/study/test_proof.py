"""What the commands that prove hpaxis are made of: a generator of its own, lines that can fail, a cohort as printed."""

import ast
import sys

import numpy as np
import pytest

from hpaxis.moderation import fit


@pytest.fixture
def benchmarks(root, monkeypatch):
    for folder in ("benchmarks", "benchmarks/selfcheck"):
        monkeypatch.syspath_prepend(str(root / folder))
    yield root / "benchmarks"
    for name in ("rebuilt", "lines", "second", "studies", "cohorts"):
        sys.modules.pop(name, None)


def test_the_second_generator_imports_nothing_of_hpaxis(benchmarks):
    tree = ast.parse((benchmarks / "selfcheck" / "second.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"csv", "gzip", "pathlib", "numpy"}


def test_the_second_generators_reads_are_what_was_drawn(benchmarks, root):
    """Level and failed conversion of 2,000 molecules, counted here by hand."""
    import second

    amplicon = second.Amplicon(root / "resources" / "panels" / "nr3c1_exon1f")
    molecules = second.library(amplicon, 0.03, 0.01, 2000, np.random.default_rng(3))
    bases = np.array([np.frombuffer(m, dtype="S1") for m in molecules])
    inside = slice(len(amplicon.forward), bases.shape[1] - len(amplicon.reverse))
    others = [i for i in amplicon.others if inside.start <= i < inside.stop]
    assert (bases[:, others] == b"C").mean() == pytest.approx(0.01, abs=0.001)
    # A CpG that fails to convert reads as methylated: .03 + .97 × .01. Templates are few: four standard errors.
    assert (bases[:, amplicon.cpgs[:-1]] == b"C").mean() == pytest.approx(0.0397, abs=0.004)
    assert len(amplicon.cpgs) == 47


def test_a_line_fails_where_a_level_is_off_and_passes_where_it_is_not(benchmarks):
    import studies

    truth = np.linspace(0.01, 0.04, 30)
    error = 0.001 * np.random.default_rng(1).standard_normal(30)
    for shift, passed in ((0.0, True), (0.002, False)):
        found = truth + error + shift
        lines = studies.levels("x", found, np.full(30, 0.001), found - 0.00196, found + 0.00196, truth)
        assert [line.passed for line in lines] == [passed, passed]


@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_the_rebuilt_cohort_has_the_printed_statistics(benchmarks, shape):
    import rebuilt

    result = fit(rebuilt.cohort(3, shape), outcome="competence", predictor="nr3c1", moderator="arm",
                 reference="control", covariance="OLS")  # fmt: skip
    values = result.fit.set_index("statistic")["value"]
    assert [round(values[k], 2) for k in ("r2", "delta_r2", "f_interaction")] == [0.17, 0.14, 6.77]
    assert result.slopes["estimate"].round(2).tolist() == [-0.37, 0.33]
    assert round(result.slopes.loc[0, "p"], 2) == 0.03 and result.slopes.loc[1, "p"] > 0.1
    assert round(result.slope_differences.loc[0, "p"], 3) == 0.013
    # What the printed omnibus test should have been.
    assert round(values["f_omnibus"], 2) == 2.73
