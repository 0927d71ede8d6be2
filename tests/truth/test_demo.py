"""The demo study through the library functions that its rules call: from reads and plates to the truth behind them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import binom

from hpaxis import schemas
from hpaxis.cohort import build_cohort
from hpaxis.cortisol.inputs import read_plate
from hpaxis.cortisol.kits import kit_named
from hpaxis.cortisol.plate import quantify_plate
from hpaxis.cortisol.quality import check_quality, rerun_table, verdict
from hpaxis.cortisol.samples import MEASUREMENT_COLUMNS, collect
from hpaxis.methylation.counting.calls import ReadFilters, count_library
from hpaxis.methylation.levels.libraries import StudyEstimates, estimate_study
from hpaxis.methylation.panels.panel import read_panel
from hpaxis.moderation.entries import model_rows, spec_of
from hpaxis.moderation.model import fit_spec
from hpaxis.simulation import study as studies
from hpaxis.study import read_study

ROOT = Path(__file__).parents[2]
PANEL = read_panel(ROOT / "resources" / "panels" / "nr3c1_exon1f")


def rate_is(hits, trials, rate, chance=0.001):
    """Whether a number of hits is one that the rate gives in all but ``chance`` of cases."""
    return binom.ppf(chance / 2, trials, rate) <= hits <= binom.ppf(1 - chance / 2, trials, rate)


@dataclass(frozen=True)
class Demo:
    config: dict
    simulation: studies.Simulation
    methylation: StudyEstimates
    cortisol: object
    cohort: object


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return run_demo()


def run_demo():
    text = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
    asked = yaml.safe_load(text)
    asked["sheets"] = {name: f"{name}.tsv" for name in studies.SHEETS}
    config = schemas.with_defaults(asked, schemas.config_schema())
    simulation = studies.simulate(config, "made")
    studies.write_sheets(simulation, config["sheets"])
    studies.write_reads(simulation, "made/reads")
    studies.write_plates(simulation, "made/plates")
    study, problems = read_study(asked)
    assert not problems
    methylation = measure_methylation(study, config["methylation"])
    cortisol = measure_cortisol(study, config)
    cohort = build_cohort(
        participants=study.participants,
        libraries=study.libraries,
        hair=study.hair,
        plates=study.plates,
        quality=methylation.libraries,
        indices=methylation.indices,
        samples=cortisol.samples,
        settings=config["cohort"],
        arms=config["arms"],
    )
    return Demo(config, simulation, methylation, cortisol, cohort)


def measure_methylation(study, settings):
    filters = ReadFilters(**{k: settings[k] for k in ReadFilters.__dataclass_fields__})
    counted = {i: count_library(study.fastq(i), PANEL, i, filters) for i in study.library_ids()}
    return estimate_study(study.libraries, {PANEL.name: PANEL}, counted, settings)


def measure_cortisol(study, config):
    settings, parts = config["cortisol"], {}
    for row in study.plates.itertuples():
        kit = kit_named(row.kit, settings["kits"])
        result = quantify_plate(row.plate_id, *read_plate(row, study.hair, kit), kit)
        quality = check_quality(result, settings)
        state, reasons = verdict(quality)
        tables = {
            "summary": result.summary.assign(verdict=state, reasons=reasons),
            "wells": result.wells,
            "estimates": result.estimates,
            "quality": quality,
            "rerun": rerun_table(result, settings),
        }
        for name, table in tables.items():
            parts.setdefault(name, []).append(table)
    plates = {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}
    finished = pd.DataFrame(columns=list(MEASUREMENT_COLUMNS))
    return collect(
        plates, finished, hair=study.hair, participants=study.participants, arms=config["arms"], settings=settings
    )


def test_every_methylation_index_is_within_its_interval_at_its_rate(demo):
    truth = studies.truth_tables(demo.simulation)["indices"]
    owner = demo.simulation.cohort.libraries.set_index("library_id")["participant_id"]
    truth = truth.assign(participant_id=truth["library_id"].map(owner)).dropna(subset=["participant_id"])
    estimates = demo.methylation.indices.set_index("participant_id")
    assert truth["index"].nunique() == 5
    for index, rows in truth.groupby("index"):
        level = rows.set_index("participant_id")["level"]
        here = estimates.dropna(subset=[f"{index}_beta"])
        level = level[here.index]
        covered = (here[f"{index}_beta_low"] <= level) & (level <= here[f"{index}_beta_high"])
        assert len(here) == 84  # 86 libraries, two of which fail
        assert rate_is(covered.sum(), len(covered), 0.95), index


def test_region_means_are_close_to_the_truth(demo):
    people = demo.simulation.cohort.people.set_index("participant_id")["region_mean"]
    estimates = demo.methylation.indices.set_index("participant_id")["region_mean_beta"].dropna()
    error = 100 * (estimates - people[estimates.index])
    assert error.abs().mean() < 0.15 and abs(error.mean()) < 0.05
    assert np.corrcoef(estimates, people[estimates.index])[0, 1] > 0.95


def test_standards_and_controls_read_what_they_are(demo):
    table = demo.methylation.libraries.set_index("library_id")
    known = {"C0-1": 0, "C0-2": 0, "S03-1": 3, "S05-1": 5, "S07-1": 7, "S10-1": 10, "C100-1": 100}
    for library_id, level in known.items():
        row = table.loc[library_id]
        assert abs(100 * row["region_mean_beta"] - level) < 3.3 * 100 * row["region_mean_beta_se"], library_id


def test_spoilt_libraries_get_the_verdict_they_deserve(demo):
    fault = demo.simulation.cohort.tubes.set_index("library_id")["fault"]
    table = demo.methylation.libraries.set_index("library_id")
    wanted = {"shallow": ("fail", "depth"), "unconverted": ("fail", "conversion"), "starved": ("warn", "templates")}
    for name, (state, word) in wanted.items():
        row = table.loc[fault[fault == name].index[0]]
        assert row["verdict"] == state and word in row["reasons"], row["reasons"]
    others = table[fault[table.index].isna() & (table["kind"] == "study")]
    assert set(others["verdict"]) <= {"pass", "warn"} and (others["verdict"] == "pass").mean() > 0.5
    assert table.loc["NTC-1", "verdict"] == "pass" and table.loc["NTC-1", "passed"] < 20


def test_cortisol_is_within_its_interval(demo):
    truth = demo.simulation.cohort.samples.set_index("hair_id")["cortisol_pg_per_mg"]
    samples = demo.cortisol.samples.set_index("hair_id")
    measured = samples[samples["censored"] == "none"]
    covered = truth[measured.index].between(measured["cortisol_low"], measured["cortisol_high"])
    assert len(measured) == 85
    # The interval allows for an imagined laboratory's weighing and pipetting; it may be wide, never narrow.
    assert covered.sum() >= binom.ppf(0.0005, 85, 0.95)
    ratio = np.log(measured["cortisol_pg_per_mg"] / truth[measured.index])
    assert abs(ratio.median()) < 0.03 and ratio.abs().median() < 0.06


def test_the_sample_too_small_to_measure_is_censored_not_guessed(demo):
    samples = demo.cortisol.samples.set_index("hair_id")
    hair = demo.simulation.cohort.hair.set_index("hair_id")
    small = hair.index[hair["mass_mg"] < 2][0]
    row = samples.loc[small]
    truth = demo.simulation.cohort.samples.set_index("hair_id").loc[small, "cortisol_pg_per_mg"]
    assert row["censored"] == "below" and np.isnan(row["cortisol_pg_per_mg"]) and truth < row["limit_pg_per_mg"]


def test_the_bad_wells_are_found(demo):
    bad = pd.concat([p.truth for p in demo.simulation.plates])
    bad = set(bad.loc[bad["bad"] == "yes", "sample"])
    assert len(bad) == len(demo.simulation.plates)
    assert bad <= set(demo.cortisol.rerun["sample"])


def test_everyone_is_accounted_for(demo):
    analysis = demo.cohort.analysis.set_index("participant_id")
    sheet = demo.simulation.cohort.participants.set_index("participant_id")
    assert set(analysis.index) == set(sheet.index)
    no_saliva = sheet["missing"].fillna("").str.contains("saliva")
    fault = demo.simulation.cohort.tubes.set_index("participant_id")["fault"]
    failed = analysis.index.isin(fault.index[fault.isin(["shallow", "unconverted"])])
    gone = analysis["region_mean_beta"].isna()
    assert (gone == (no_saliva[analysis.index] | failed)).all()


def test_the_interaction_is_within_its_interval(demo):
    config = demo.config
    entry = config["models"]["competence"]
    rows, _ = model_rows(demo.cohort.analysis, entry, config["arms"])
    result = fit_spec(rows, spec_of(entry, config["arms"]), entry["covariance"])
    row = result.coefficients.set_index("term").iloc[-1]
    truth = demo.simulation.cohort.coefficients.set_index(["model", "term"])["standardised"]
    assert row.name.startswith("region_mean_beta:")
    assert row["low"] <= truth["competence", "interaction:treatment"] <= row["high"]
    # What reads add: the same model on the levels without error gives nearly the same estimate.
    exact = demo.simulation.cohort.people.set_index("participant_id")["region_mean"]
    exact = rows.assign(region_mean_beta=exact[rows.index].where(rows["region_mean_beta"].notna()))
    best = fit_spec(exact, spec_of(entry, config["arms"]), entry["covariance"]).coefficients.set_index("term").iloc[-1]
    assert abs(row["estimate"] - best["estimate"]) < 0.5 * best["se"]
