import dataclasses

import pandas as pd
import pytest

from hpaxis.report.limits import detectable_f2, limits_section


def said(section):
    return "\n".join(section.blocks[1].items)


@pytest.fixture
def limits(config, fitted, libraries, sheet):
    def ask(samples=None, results=None, snps=0, panel_checked=False, **changes):
        changed = config | {"report": config["report"] | changes.pop("report", {})} | changes
        return said(limits_section(changed, results or fitted(), libraries, samples, sheet, snps, panel_checked))

    return ask


# G*Power's convention, lambda = f2 n: 80 % power at n = 44 with three predictors, one tested, needs .187 (design figure).
def test_detectable_effect_at_44():
    assert round(detectable_f2(44, 4, 0.05), 3) == 0.187


def test_more_people_find_smaller_effects():
    assert detectable_f2(200, 4, 0.05) < detectable_f2(100, 4, 0.05) < detectable_f2(44, 4, 0.05)


def test_what_holds_is_said(limits):
    text = limits()
    for part in (
        "rests on 38 people",
        "main: 2",
        "2 interactions are tested",
        "not compared with a genome",
        "SNP mask is empty",
        "cell mix of the saliva was not measured",
        "saliva was prepared twice",
        "Hair cortisol was not measured",
        "not known to be measured before randomisation",
    ):
        assert part in text
    assert "simulated" not in text and "Not sequenced" not in text


def test_what_does_not_hold_is_not_said(limits):
    text = limits(snps=3, panel_checked=True, report={"saliva_taken": "before_randomisation"})
    assert "genome" not in text and "SNP mask" not in text and "randomisation" not in text


def test_simulated_people_are_named_so(limits):
    assert "do not exist" in limits(simulation={})


def test_censored_hair_is_counted(limits):
    samples = pd.DataFrame({"censored": ["none", "below", "above"]})
    assert "2 hair samples of 3 lie beyond" in limits(samples=samples)
    assert "lie beyond" not in limits(samples=samples.assign(censored="none"))


def test_a_measured_cell_mix_counts_only_where_a_model_has_it(limits, fitted, config):
    assert "second and main do not adjust" not in limits(report={"cell_mix": "age_months"})
    assert "but main does not adjust for it" in limits(report={"cell_mix": "age_months"})


def test_missing_controls_are_named(config, fitted, libraries, sheet):
    study = libraries[libraries["kind"] == "study"]
    text = said(limits_section(config, fitted(), study, None, sheet, 0, False))
    assert "Not sequenced" in text and "0% control" in text and "100% control" in text


def test_a_prepared_pair_lifts_the_limit_on_replicates(config, fitted, libraries, sheet):
    twice = pd.concat([sheet, sheet.iloc[:1]])
    assert "prepared twice" not in said(limits_section(config, fitted(), libraries, None, twice, 0, False))


def test_refused_models_leave_no_gap(config, fitted, libraries, sheet):
    results = [dataclasses.replace(r, tables={}, problems=("too few",)) for r in fitted()]
    text = said(limits_section(config, results, libraries, None, sheet, 0, False))
    assert "rests on" not in text and "interactions are tested" in text


@pytest.mark.parametrize(("leverage", "told"), [(0.9, True), (0.2, False)])
def test_a_high_leverage_is_told(fitted, limits, leverage, told):
    results = []
    for r in fitted():
        fit = r.tables["fit"].copy()
        fit.loc[fit["statistic"] == "max_leverage", "value"] = leverage
        results.append(dataclasses.replace(r, tables=r.tables | {"fit": fit}))
    assert ("leverage is .90, above three times" in limits(results=results)) == told
