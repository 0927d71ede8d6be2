import dataclasses

import pandas as pd
import pytest

from hpaxis.report.limits import limits_section
from hpaxis.report.privacy import Cells


def said(section):
    return "\n".join(section.blocks[1].items)


@pytest.fixture
def limits(config, fitted, libraries, sheet):
    def ask(samples=None, results=None, snps=0, genome="unchecked", cells=None, **changes):
        changed = config | {k: (config[k] | v if k in config else v) for k, v in changes.items()}
        return said(
            limits_section(changed, results or fitted(), libraries, samples, sheet, snps, genome, cells or Cells(0))
        )

    return ask


def test_what_holds_is_said(limits):
    text = limits()
    for part in (
        "rests on 38 children (19 control and 19 treatment)",
        "main: 38 of 40",
        "2 interactions are tested on this page, in 2 models",
        "not compared with a genome",
        "SNP mask is empty",
        "cell mix of the saliva was not measured",
        "saliva was prepared twice",
        "Hair cortisol was not measured",
        "measured after randomisation",
    ):
        assert part in text
    assert "simulated" not in text and "Not sequenced" not in text


def test_what_does_not_hold_is_not_said(limits):
    text = limits(snps=3, genome="same", moderation={"predictor_after_randomisation": False})
    assert "genome" not in text and "SNP mask" not in text and "randomisation" not in text


def test_a_panel_that_differs_from_its_genome_is_named(limits):
    text = limits(genome="differs")
    assert "differs from the genome" in text and "not compared with a genome" not in text


def test_simulated_people_are_named_so(limits):
    assert "do not exist" in limits(simulation={})


def test_censored_hair_is_counted(limits):
    samples = pd.DataFrame({"censored": ["none", "below", "above"]})
    assert "2 of 3 hair samples lie beyond the assay’s limits" in limits(samples=samples)
    assert "1–4 of 3 hair samples" in limits(samples=samples, cells=Cells(5))
    assert "lie beyond" not in limits(samples=samples.assign(censored="none"))


def test_a_measured_cell_mix_counts_only_where_a_model_has_it(limits, fitted, config):
    assert "second and main do not adjust" not in limits(report={"cell_mix": "age_months"})
    assert "but main does not adjust for it" in limits(report={"cell_mix": "age_months"})


def test_missing_controls_are_named(config, fitted, libraries, sheet):
    study = libraries[libraries["kind"] == "study"]
    text = said(limits_section(config, fitted(), study, None, sheet, 0, "unchecked", Cells(0)))
    assert "Not sequenced" in text and "0% control" in text and "100% control" in text


def test_a_prepared_pair_lifts_the_limit_on_replicates(config, fitted, libraries, sheet):
    twice = pd.concat([sheet, sheet.iloc[:1]])
    assert "prepared twice" not in said(
        limits_section(config, fitted(), libraries, None, twice, 0, "unchecked", Cells(0))
    )


def test_refused_models_leave_no_gap(config, fitted, libraries, sheet):
    results = [dataclasses.replace(r, tables={}, problems=("too few",)) for r in fitted()]
    text = said(limits_section(config, results, libraries, None, sheet, 0, "unchecked", Cells(0)))
    assert "rests on" not in text and "interactions are tested" not in text


@pytest.mark.parametrize(
    ("simulated", "told"),
    [(0.25, "f² = 0.25 is found with 80% power"), (float("nan"), "no simulated interaction reaches 80% power")],
)
def test_the_detectable_effect_is_simulated_where_it_can_be(fitted, limits, simulated, told):
    results = []
    for r in fitted():
        table = pd.DataFrame([{"power": 0.8, "f2_simulated": simulated, "f2_exact": 0.187}])
        results.append(dataclasses.replace(r, tables=r.tables | {"detectable": table}))
    assert told in limits(results=results)
    assert "0.19" not in limits(results=results)  # normal theory knows nothing of the measurement's error


def test_warnings_of_the_primary_model_are_told_once(fitted, limits):
    results = []
    for r in fitted():
        rows = [("sign_flips", "leaving out one row turns the sign", "do not claim a direction"),
                ("rows_left_out", "2 rows lack a value", "see used.tsv")]  # fmt: skip
        table = pd.DataFrame(rows, columns=["code", "what", "remedy"])
        results.append(dataclasses.replace(r, tables=r.tables | {"warnings": table}))
    text = limits(results=results)
    assert "The primary model warns: leaving out one row turns the sign (do not claim a direction)." in text
    assert "2 rows lack a value" not in text


def test_interactions_of_a_family_are_counted(fitted, limits):
    results = []
    for r in fitted():
        family = pd.DataFrame({"predictor": list("abcde")})
        results.append(dataclasses.replace(r, tables=r.tables | {"family": family}))
    assert "10 interactions are tested on this page, in 2 models and their families" in limits(results=results)


def test_a_measure_of_the_baseline_was_taken_before_whatever_the_others(limits, fitted):
    results = fitted()
    before = tuple(
        dataclasses.replace(r, entry=r.entry | {"predictor": f"{r.entry['predictor']}_baseline"}) for r in results
    )
    assert "measured after randomisation" in limits(results=results)
    assert "measured after randomisation" in limits(results=(*before[:1], *results[1:]))
    assert "measured after randomisation" not in limits(results=before)
