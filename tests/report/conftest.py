"""A small study by hand, in the shape of the tables between stages, with its models really fitted."""

import numpy as np
import pandas as pd
import pytest

from hpaxis import schemas
from hpaxis.moderation.run import run_model
from hpaxis.report.models import ModelResult
from hpaxis.report.run import Run

ARMS = ["control", "treatment"]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72"><g id="a"><path d="M 0 0 L 9 9"/></g></svg>'
FIGURES = ("slopes", "effects", "influence", "versions", "power")
STANDARDISED = {"outcome": "competence", "predictor": "region_mean_beta", "standardise": ["outcome", "predictor"]}


@pytest.fixture
def config():
    """The config of the small study, defaults filled."""
    given = {
        "study": {"title": "A small study", "question": "Does treatment buffer?"},
        "seed": 7,
        "moderation": {"draws": 199, "error_draws": 100, "power_draws": 200, "multiverse": {"draws": 199}},
        "sheets": {"libraries": "config/libraries.tsv", "participants": "config/participants.tsv"},
        "arms": ARMS,
        "report": {"smallest_cell": 0},
        "models": {"second": {**STANDARDISED, "covariates": ["age_months"]}, "main": {**STANDARDISED, "primary": True}},
    }
    return schemas.with_defaults(given, schemas.config_schema())


@pytest.fixture
def analysis():
    """Forty children and forty parents; child 10001 lacks methylation, 10004 the outcome."""
    rng = np.random.default_rng(3)
    n = 40
    arm = np.array(ARMS)[np.arange(n) % 2]
    x = rng.normal(0.028, 0.006, n)
    z = (x - 0.028) / 0.006
    y = 15 + 3 * np.where(arm == "control", -0.4, 0.5) * z + rng.normal(0, 2.2, n)
    children = pd.DataFrame({
        "participant_id": [f"1{i:04d}" for i in range(n)],
        "dyad_id": [f"{i:03d}" for i in range(n)],
        "role": "child",
        "timepoint": "month12",
        "arm": arm,
        "competence": y.round(),
        "age_months": rng.integers(12, 36, n).astype(float),
        "region_mean_beta": x,
        "region_mean_beta_se": 0.001,
        "cortisol_pg_per_mg": rng.lognormal(1.7, 0.6, n),
        "cortisol_censored": "none",
        "cortisol_limit_pg_per_mg": np.nan,
    })  # fmt: skip
    children.loc[1, "region_mean_beta"] = np.nan
    children.loc[4, "competence"] = np.nan
    low = children["cortisol_pg_per_mg"] < 3
    children.loc[low, ["cortisol_pg_per_mg", "cortisol_censored", "cortisol_limit_pg_per_mg"]] = [np.nan, "below", 3.0]
    children["region_mean_m"] = np.log2(children["region_mean_beta"] / (1 - children["region_mean_beta"]))
    children["region_mean_m_se"] = 0.05
    children["log_cortisol_limit"] = np.log(children["cortisol_limit_pg_per_mg"])
    children["log_cortisol"] = np.log(children["cortisol_pg_per_mg"])
    parents = children.assign(role="parent", participant_id="2" + children["participant_id"].str[1:])
    return pd.concat([children, parents], ignore_index=True)


@pytest.fixture
def attrition():
    """Flow of the small study: one child of treatment lacks a library, seven parents of control lack hair."""
    rows = []
    for role in ("child", "parent"):
        for arm in ARMS:
            lost = int(role == "child" and arm == "treatment")
            bald = 7 if (role, arm) == ("parent", "control") else 0
            rows += [
                (role, "enrolment", "enrolled", arm, 20, 20, "NA"),
                (role, "methylation", "saliva", arm, 20, 20 - lost, "no saliva library" if lost else "NA"),
                (role, "methylation", "methylation", arm, 20 - lost, 20 - lost, "NA"),
                (role, "cortisol", "hair", arm, 20, 20 - bald, "no hair sample" if bald else "NA"),
                (role, "cortisol", "cortisol", arm, 20 - bald, 20 - bald, "NA"),
            ]
    return pd.DataFrame(rows, columns=["population", "chain", "step", "arm", "n_before", "n_after", "reason"])


@pytest.fixture
def audit():
    """What became of a few rows."""
    rows = [
        ("participants", 2, "10000", "10000", "used", None),
        ("libraries", 2, "L10000", "10000", "used", None),
        ("libraries", 3, "L10001", "10001", "left out", "failed quality: median depth 60 is below 100"),
        ("libraries", 4, "C0-1", None, "control", "control_0: used for correction and quality, not joined"),
    ]
    return pd.DataFrame(rows, columns=["sheet", "row", "key", "participant_id", "status", "reason"])


@pytest.fixture
def libraries():
    """Twenty study libraries, of which one failed and one has a warning, and controls."""
    rng = np.random.default_rng(4)
    ids = [f"L1{i:04d}" for i in range(20)]
    table = pd.DataFrame({
        "library_id": [*ids, "C0-1", "C100-1", "S03-1", "NTC-1"],
        "participant_id": [*(i[1:] for i in ids), None, None, None, None],
        "kind": ["study"] * 20 + ["control_0", "control_100", "standard", "no_template"],
        "pairs_in": 2000, "merged": 1900, "on_target": 1800, "passed": 1700,
        "non_conversion": rng.uniform(0.003, 0.008, 24),
        "median_depth": rng.integers(900, 1500, 24).astype(float),
        "effective_depth": 700.0,
        "region_mean_beta": rng.uniform(0.02, 0.04, 24),
        "verdict": "pass",
        "reasons": None,
    })  # fmt: skip
    table.loc[1, ["median_depth", "verdict", "reasons"]] = [60.0, "fail", "median depth 60 is below 100"]
    table.loc[2, ["non_conversion", "verdict", "reasons"]] = [0.0123, "warn", "conversion 98.77 % is below 99 %"]
    table.loc[23, ["non_conversion", "region_mean_beta", "median_depth", "passed"]] = [np.nan, np.nan, 0, 0]
    for end, factor in (("low", 0.8), ("high", 1.2)):
        table[f"non_conversion_{end}"] = table["non_conversion"] * factor
        table[f"region_mean_beta_{end}"] = table["region_mean_beta"] * factor
    return table


@pytest.fixture
def sheet(libraries):
    """The sheet of those libraries."""
    return libraries[["library_id", "participant_id", "kind"]].assign(
        timepoint="month12", assay="amplicon", expected_percent=[np.nan] * 22 + [3.0, np.nan]
    )


@pytest.fixture
def levels():
    """Three CpGs by arm."""
    rows = [("child", c, a, 10, 0.02 + 0.001 * i, 0.015, 0.027) for i, c in enumerate(("c1", "c2", "c3")) for a in ARMS]
    return pd.DataFrame(rows, columns=["population", "cpg_id", "arm", "n", "mean", "low", "high"])


@pytest.fixture
def concordance(libraries):
    """Both callers on the study's libraries; the third differs."""
    study = libraries[libraries["kind"] == "study"]
    table = pd.DataFrame({
        "library_id": study["library_id"],
        "passed": 12_000,
        "compared": 10_000,
        "hpaxis_mean": study["region_mean_beta"],
        "methylpy_mean": study["region_mean_beta"] - 0.0002,
        "difference": 0.0002,
        "difference_se": 0.0009,
        "discordant_calls": 3,
        "flag": None,
    })  # fmt: skip
    table.loc[2, ["difference", "flag"]] = [0.0071, "beyond sampling error"]
    return table


@pytest.fixture
def fitted(config, analysis):
    """Return a function that fits every model of a config on a table and gives the results."""

    def fit(config=config, analysis=analysis):
        results = []
        for name, entry in config["models"].items():
            tables = model_tables(name, entry, analysis, config)
            results.append(ModelResult(name, entry, tables, dict.fromkeys(FIGURES, SVG)))
        return tuple(results)

    return fit


FITTED = {}


def model_tables(name, entry, analysis, config):
    """Return the tables of one model as the moderation stage makes them, with few draws; the same fit is kept."""
    key = repr((name, entry, config["arms"], pd.util.hash_pandas_object(analysis).sum()))
    if key not in FITTED:
        arms = [*config["arms"], *sorted(set(analysis["arm"]) - set(config["arms"]))]
        FITTED[key] = run_model(name, analysis, entry, config["moderation"], arms, config["seed"])
    return FITTED[key]


@pytest.fixture
def checksums():
    """Three files of two roles."""
    rows = [("sheets", "a.tsv", 10, "a" * 64), ("reads", "L10000_R1.fastq.gz", 5, "c" * 64),
            ("reads", "L10000_R2.fastq.gz", 6, "b" * 64)]  # fmt: skip
    return pd.DataFrame(rows, columns=["role", "file", "bytes", "sha256"])


@pytest.fixture
def run(config, analysis, attrition, audit, libraries, sheet, levels, concordance, fitted, checksums):
    """The whole small study, without hair."""
    return Run(
        config=config,
        sheet=sheet,
        libraries=libraries,
        levels=levels,
        concordance=concordance,
        cortisol=None,
        analysis=analysis,
        attrition=attrition,
        audit=audit,
        results=fitted(),
        figures={
            "cohort": {"flow": SVG, "distributions": SVG},
            "methylation": {"conversion": SVG, "cpgs": SVG, "concordance": SVG},
            "cortisol": {},
        },
        checksums=checksums,
        software=[("hpaxis", "0.1.0"), ("numpy", "2.4.6")],
    )
