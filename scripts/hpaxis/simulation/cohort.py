"""A dyad study with known truth: people, arms, methylation, cortisol, outcomes, and what was collected of them.

Everything is drawn on standardised scales, where the effects are stated, and then put on the scale of its
instrument. Each table has its own random stream, so that one more covariate changes no read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaincinv, ndtr

from hpaxis import schemas
from hpaxis.problems import Problem, raise_if_any
from hpaxis.settings import SimulationSettings
from hpaxis.simulation.reads import Amplicon, Library, random_stream

HAPLOID_COPIES_PER_NG = 303
READS = "results/simulation/reads"
# A whole score from 0 to 22, like BITSEA competence. The mean is set below that of a community sample of 2-year-olds,
# 17.8 with an SD of 2.9 (Kruizinga et al., 2013), as in a trial of families at risk.
COMPETENCE_MEAN, COMPETENCE_SD, COMPETENCE_RANGE = 16.0, 3.0, (0, 22)
# Natural log of hair cortisol in pg/mg: median 6, middle of the published 5-8.5 for children.
LOG_CORTISOL_MEAN, LOG_CORTISOL_SD = np.log(6.0), 0.5
# Standardised effects besides those of the config: treatment on sensitivity (over sessions), and what
# sensitivity and cortisol, each beyond methylation and arm, do to competence.
SENSITIVITY_BY_TREATMENT, COMPETENCE_BY_SENSITIVITY, COMPETENCE_BY_CORTISOL = 0.6, 0.25, -0.15
CORTISOL_BY_TREATMENT = -0.2
SENSITIVITY_MEAN, SENSITIVITY_SD = 4.2, 1.1
CONTROLS = (  # kind, id stem, expected percent, how many a plate of libraries
    ("control_0", "C0", 0.0, 2),
    ("control_100", "C100", 100.0, 1),
    ("standard", "S03", 3.0, 1),
    ("standard", "S05", 5.0, 1),
    ("standard", "S07", 7.0, 1),
    ("standard", "S10", 10.0, 1),
    ("no_template", "NTC", np.nan, 1),
)
PEOPLE = (
    "participant_id", "dyad_id", "role", "arm", "region_mean", "cortisol_pg_per_mg", "methylation_z",
    "log_cortisol_z", "sensitivity_z", "competence_z",
)  # fmt: skip
WELLS = [f"{row}{column:02d}" for column in range(1, 13) for row in "ABCDEFGH"]


@dataclass(frozen=True)
class Cohort:
    """The sheets of a simulated study and, beside them, its truth.

    Sheets: ``participants``, ``hair``, ``libraries``, with the columns of config/README.md. Truth:
    ``people`` (a participant: region_mean and cortisol_pg_per_mg without error, standardised parts),
    ``levels`` (a library and CpG: level, a fraction), ``tubes`` (a library: what the reads are made of),
    ``samples`` (a hair sample: cortisol_pg_per_mg), ``coefficients`` (a model's term: true value).
    """

    participants: pd.DataFrame
    hair: pd.DataFrame
    libraries: pd.DataFrame
    people: pd.DataFrame
    levels: pd.DataFrame
    tubes: pd.DataFrame
    samples: pd.DataFrame
    coefficients: pd.DataFrame


def default_settings(**changes: Any) -> SimulationSettings:
    """Return the config section ``simulation`` with its defaults, and ``changes``."""
    return schemas.with_defaults(changes, schemas.load("config/simulation"))


def simulate_cohort(
    settings: SimulationSettings,
    seed: int,
    amplicon: Amplicon,
    arms: Sequence[str] = ("control", "treatment"),
    timepoint: str = "month12",
    reads: str = READS,
) -> Cohort:
    """Simulate a study up to the tubes: sheets and truth, no reads and no plates yet.

    ``settings``: the config section `simulation`; ``amplicon``: see `reads.panel_amplicon`; ``reads``: the
    folder that the sheet of libraries names for their FASTQ. Raises `InputError` when the slopes do not fit
    the arms or explain more than the r_squared asked for.
    """
    raise_if_any(check_settings(settings, arms))
    people = simulate_people(settings, seed, arms)
    profile = _profile(amplicon, seed)
    levels = _person_levels(settings, seed, people, profile)
    people["region_mean"] = levels.mean(axis=1)
    people = simulate_outcomes(settings, seed, people, arms)
    lacking = _missing(settings, seed, people)
    libraries, tubes, matrix = _libraries(settings, seed, people, levels, lacking, timepoint, reads)
    hair = _hair(seed, people, lacking, timepoint)
    return Cohort(
        participants=_participants(seed, people, lacking),
        hair=hair.drop(columns="cortisol_pg_per_mg"),
        libraries=libraries,
        people=people[list(PEOPLE)],
        levels=pd.DataFrame({
            "library_id": np.repeat(libraries["library_id"].to_numpy(), len(amplicon.cpg_ids)),
            "cpg_id": np.tile(amplicon.cpg_ids, len(libraries)),
            "level": matrix.ravel(),
        }),
        tubes=tubes,
        samples=hair[["hair_id", "participant_id", "cortisol_pg_per_mg"]],
        coefficients=true_coefficients(settings, arms),
    )  # fmt: skip


def check_settings(settings: SimulationSettings, arms: Sequence[str]) -> list[Problem]:
    """Return what is wrong with the settings beyond their schema, as problems."""
    problems = []
    for key in ("slopes", "cortisol_slopes"):
        if len(settings[key]) != len(arms):
            what = f"has {len(settings[key])} values for {len(arms)} arms"
            problems.append(Problem("config", what, "give one slope an arm", column=f"simulation.{key}"))
    explained = np.mean(np.square(settings.slopes))
    if explained > settings.r_squared:
        what, remedy = f"is less than the slopes alone explain ({explained:.3f})", "raise it or lower the slopes"
        problems.append(Problem("config", what, remedy, column="simulation.r_squared", value=settings.r_squared))
    low, high = settings.non_conversion_percent
    if low > high:
        problems.append(
            Problem("config", "runs from high to low", "swap them", column="simulation.non_conversion_percent")
        )
    return problems


def arm_effects(settings: SimulationSettings, arms: Sequence[str]) -> np.ndarray:
    """Standardised effect of each arm on competence at mean methylation, spaced evenly, mean 0.

    Their variance is what ``r_squared`` leaves after the slopes.
    """
    spaced = np.linspace(-1, 1, len(arms)) if len(arms) > 1 else np.zeros(1)
    left = settings.r_squared - np.mean(np.square(settings.slopes))
    return spaced * np.sqrt(max(left, 0) / np.mean(spaced**2)) if len(arms) > 1 else spaced


def true_coefficients(settings: SimulationSettings, arms: Sequence[str]) -> pd.DataFrame:
    """True coefficients of the demo's child models, one row per term, outcome and predictor standardised.

    ``per_percent`` is the same in the outcome's own unit (score points, or log pg/mg) for a difference of one
    point of percent methylation, or between arms. Adjusted for log cortisol (model competence_cortisol), the
    slopes change by what passes through cortisol.
    """
    slopes, hair = np.array(settings.slopes), np.array(settings.cortisol_slopes)
    shift, hair_shift = arm_effects(settings, arms), _centred_arms(arms) * CORTISOL_BY_TREATMENT
    models = {
        "competence": (slopes, shift, COMPETENCE_SD, {}),
        "competence_cortisol": (
            slopes - COMPETENCE_BY_CORTISOL * hair,
            shift - COMPETENCE_BY_CORTISOL * hair_shift,
            COMPETENCE_SD,
            {"log_cortisol": (COMPETENCE_BY_CORTISOL, COMPETENCE_BY_CORTISOL / LOG_CORTISOL_SD * COMPETENCE_SD)},
        ),
        "cortisol": (hair, hair_shift, LOG_CORTISOL_SD, {}),
        "parent_competence": (slopes * settings.dyad_correlation, shift, COMPETENCE_SD, {}),
    }
    rows = []
    for model, (slope, arm, scale, others) in models.items():
        per_point = scale / settings.region_sd_percent
        for k, name in enumerate(arms):
            rows.append((model, f"slope:{name}", slope[k], slope[k] * per_point))
            if k:
                rows.append((model, f"interaction:{name}", slope[k] - slope[0], (slope[k] - slope[0]) * per_point))
                rows.append((model, f"arm:{name}", arm[k] - arm[0], (arm[k] - arm[0]) * scale))
        rows += [(model, term, *values) for term, values in others.items()]
    return pd.DataFrame(rows, columns=["model", "term", "standardised", "per_percent"])


def simulate_people(settings: SimulationSettings, seed: int, arms: Sequence[str]) -> pd.DataFrame:
    """Dyads, arms in permuted blocks, and the latent scores of everyone (``*_z``: standard normal)."""
    rng, dyads = random_stream(seed, "people"), settings.dyads
    width = max(3, len(str(dyads)))
    block = np.repeat(np.arange(len(arms)), 2)
    blocks = -(-dyads // block.size)
    arm = np.concatenate([rng.permutation(block) for _ in range(blocks)])[:dyads]
    if dyads % len(arms) == 0:  # the last, broken block is dealt evenly too
        tail = dyads % block.size
        arm[dyads - tail :] = rng.permutation(np.arange(tail) % len(arms))
    shared = settings.dyad_correlation
    child, parent = _pair(rng, dyads, shared), _pair(rng, dyads, shared)
    epithelial = rng.standard_normal((2, dyads))
    sessions = np.clip(np.rint(rng.normal(34, 9, dyads)), 4, 52)
    tables = []
    for m, (role, suffix) in enumerate((("child", "01"), ("parent", "02"))):
        dyad = [f"{i + 1:0{width}d}" for i in range(dyads)]
        tables.append(
            pd.DataFrame({
                "participant_id": [d + suffix for d in dyad],
                "dyad_id": dyad,
                "role": role,
                "arm_index": arm,
                "arm": np.array(arms)[arm],
                "sessions": np.where(arm > 0, sessions, 0),
                # A fifth of what people differ in is the mix of cells in their saliva.
                "epithelial_z": epithelial[m],
                "methylation_z": 0.2 * epithelial[m] + np.sqrt(1 - 0.2**2) * child[m],
                "cortisol_rest_z": parent[m],
            })
        )  # fmt: skip
    return pd.concat(tables).sort_values("participant_id", ignore_index=True)


def simulate_outcomes(
    settings: SimulationSettings, seed: int, people: pd.DataFrame, arms: Sequence[str]
) -> pd.DataFrame:
    """Add cortisol, caregiver sensitivity and competence, which follow from true methylation and arm.

    The predictor is the true region mean, standardised by the population's mean and SD; competence is on the
    child's row, sensitivity on the parent's.
    """
    rng = random_stream(seed, "outcomes")
    x = (100 * people["region_mean"] - settings.region_mean_percent) / settings.region_sd_percent
    arm = people["arm_index"].to_numpy()
    hair_slope, hair_shift = np.array(settings.cortisol_slopes)[arm], _centred_arms(arms) * CORTISOL_BY_TREATMENT
    hair_left = 1 - np.mean(np.square(settings.cortisol_slopes)) - np.mean(hair_shift**2)
    hair_rest = np.sqrt(hair_left) * people["cortisol_rest_z"]
    hair_z = hair_slope * x + hair_shift[arm] + hair_rest
    # Sensitivity rises with the sessions attended, so that the treatment works in part through it.
    dose = SENSITIVITY_BY_TREATMENT * (people["sessions"] / 34.0)
    by_dyad = dict(zip(sorted(people["dyad_id"].unique()), rng.standard_normal(people["dyad_id"].nunique())))
    own = people["dyad_id"].map(by_dyad)
    centre = SENSITIVITY_BY_TREATMENT * np.mean(np.arange(len(arms)) > 0)
    # Within an arm, competence follows the part of sensitivity that is the caregiver's own.
    left = 1 - settings.r_squared - COMPETENCE_BY_SENSITIVITY**2 - COMPETENCE_BY_CORTISOL**2 * hair_left
    competence = (
        np.array(settings.slopes)[arm] * x
        + arm_effects(settings, arms)[arm]
        + COMPETENCE_BY_SENSITIVITY * own
        + COMPETENCE_BY_CORTISOL * hair_rest
        + np.sqrt(max(left, 0)) * rng.standard_normal(len(people))
    )
    child = people["role"] == "child"
    return people.assign(
        log_cortisol_z=hair_z,
        cortisol_pg_per_mg=np.exp(LOG_CORTISOL_MEAN + LOG_CORTISOL_SD * hair_z),
        sensitivity_z=(dose - centre + own).where(~child),
        competence_z=competence.where(child),
    )


def library_plan(tube: Mapping[str, Any], levels: np.ndarray) -> Library:
    """Turn a row of ``tubes`` and its levels into a `reads.Library`."""
    names = {f.name for f in fields(Library)} - {"levels"}
    return Library(levels=np.asarray(levels), **{n: tube[n] for n in names})


def _centred_arms(arms: Sequence[str]) -> np.ndarray:
    treated = (np.arange(len(arms)) > 0).astype(float)
    return treated - treated.mean()


def _pair(rng: np.random.Generator, size: int, correlation: float) -> np.ndarray:
    """Two rows of standard normals with the given correlation."""
    first, second = rng.standard_normal((2, size))
    return np.stack([first, correlation * first + np.sqrt(1 - correlation**2) * second])


def _profile(amplicon: Amplicon, seed: int) -> np.ndarray:
    """Relative level of each CpG, mean 1: neighbours are alike, and some CpGs stand out."""
    rng = random_stream(seed, "profile", amplicon.name)
    kept = np.exp(-np.diff(amplicon.offsets) / 30)
    score = rng.standard_normal(amplicon.offsets.size)
    for j in range(1, score.size):
        score[j] = kept[j - 1] * score[j - 1] + np.sqrt(1 - kept[j - 1] ** 2) * score[j]
    profile = np.exp(0.4 * score)
    return profile / profile.mean()


def _person_levels(settings: SimulationSettings, seed: int, people: pd.DataFrame, profile: np.ndarray) -> np.ndarray:
    """True level of every CpG of everyone, a fraction: the person's mean × profile × the person's own pattern.

    Means are gamma distributed, which is positive and a little skewed, as small percentages are.
    """
    rng = random_stream(seed, "levels")
    mean, sd = settings.region_mean_percent / 100, settings.region_sd_percent / 100
    region = gammaincinv((mean / sd) ** 2, ndtr(people["methylation_z"].to_numpy())) * (sd**2 / mean)
    shape = profile * np.exp(rng.normal(0, 0.15, (len(people), profile.size)))
    shape /= shape.mean(axis=1, keepdims=True)
    return np.minimum(region[:, None] * shape, settings.highest_percent / 100)


def _missing(settings: SimulationSettings, seed: int, people: pd.DataFrame) -> dict[str, set]:
    """Which dyads lack what, or have a sample spoilt: name of the fault to dyad ids, no dyad twice.

    Faults are dealt to the arms in turn, so that what is missing does not differ by arm.
    """
    rng = random_stream(seed, "missing")
    dyads = people.drop_duplicates("dyad_id")
    dealt = [rng.permutation(group["dyad_id"]) for _, group in dyads.groupby("arm_index")]
    order = np.array([d for turn in zip_longest(*dealt) for d in turn if d is not None])
    share = settings.missing_percent / 100
    each = max(1, round(share * order.size)) if share else 0
    spoilt = int(settings.failing_libraries)
    counts = {
        "child_saliva": each,
        "competence": each,
        "unconverted": spoilt,
        "shallow": spoilt,
        "child_hair": each,
        "little_hair": spoilt,
        "parent_saliva": each,
        "parent_hair": each,
        "starved": spoilt,
    }
    ends = np.minimum(np.cumsum(list(counts.values())), order.size)
    return {name: set(part) for name, part in zip(counts, np.split(order, ends)[:-1])}


def _lacks(people: pd.DataFrame, lacking: dict[str, set[int]], sample: str) -> np.ndarray:
    """True where a participant has no sample of this kind."""
    role = people["role"].to_numpy()
    dyad = people["dyad_id"]
    absent = {r: dyad.isin(lacking[f"{r}_{sample}"]).to_numpy() for r in ("child", "parent")}
    return np.where(role == "child", absent["child"], absent["parent"])


def _participants(seed: int, people: pd.DataFrame, lacking: dict[str, set[int]]) -> pd.DataFrame:
    """The sheet: what a study knows of its participants."""
    rng = random_stream(seed, "covariates")
    child = (people["role"] == "child").to_numpy()
    size = len(people)
    score = np.rint(COMPETENCE_MEAN + COMPETENCE_SD * people["competence_z"]).clip(*COMPETENCE_RANGE)
    sensitivity = (SENSITIVITY_MEAN + SENSITIVITY_SD * people["sensitivity_z"]).clip(1, 7).round(1)
    missing = [
        ";".join(s for s, absent in zip(("saliva", "hair"), both) if absent) or np.nan
        for both in zip(_lacks(people, lacking, "saliva"), _lacks(people, lacking, "hair"))
    ]
    ages = np.where(child, rng.normal(30, 5, size).clip(18, 42), rng.normal(340, 60, size).clip(220, 520))
    return pd.DataFrame({
        "participant_id": people["participant_id"],
        "dyad_id": people["dyad_id"],
        "role": people["role"],
        "arm": people["arm"],
        "missing": missing,
        "competence": score.mask(people["dyad_id"].isin(lacking["competence"])),
        "age_months": np.rint(ages),
        "sex": np.where(child & (rng.random(size) < 0.5), "male", "female"),
        "sessions": people["sessions"],
        "caregiver_sensitivity": sensitivity,
        "epithelial_percent": (100 * ndtr(0.3 + 0.6 * people["epithelial_z"])).round(1),
        "hair_washes_per_week": np.where(child, rng.integers(1, 6, size), rng.integers(2, 8, size)),
        "aces": pd.Series(rng.binomial(10, 0.35, size), dtype="float64").mask(child),
    })  # fmt: skip


def _libraries(
    settings: SimulationSettings,
    seed: int,
    people: pd.DataFrame,
    levels: np.ndarray,
    lacking: dict[str, set[int]],
    timepoint: str,
    reads: str,
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """The sheet, the tubes and the levels (libraries × CpGs) of everyone's saliva and of the controls."""
    have = ~_lacks(people, lacking, "saliva")
    child = (people["role"] == "child").to_numpy()
    fault = np.full(len(people), "", object)
    for name in ("shallow", "unconverted", "starved"):
        fault[child & people["dyad_id"].isin(lacking[name]).to_numpy()] = name
    rows = [
        (f"L{p}", p, timepoint, "study", np.nan, f)
        for p, f in zip(people["participant_id"][have], fault[have], strict=True)
    ]
    plates = -(-len(rows) // (len(WELLS) - sum(c[3] for c in CONTROLS)))
    control_levels = []
    for kind, stem, percent, each in CONTROLS:
        for k in range(1, plates * each + 1):
            rows.append((f"{stem}-{k}", np.nan, np.nan, kind, percent, ""))
            control_levels.append(np.full(levels.shape[1], np.nan_to_num(percent) / 100))
    table = pd.DataFrame(
        rows, columns=["library_id", "participant_id", "timepoint", "kind", "expected_percent", "fault"]
    )
    matrix = np.concatenate([levels[have], control_levels])
    tubes = pd.DataFrame([_tube(settings, seed, row) for row in table.to_dict("records")])
    tubes["region_mean"] = matrix.mean(axis=1)
    plate, well = _wells(table, plates, seed)
    sheet = pd.DataFrame({
        "library_id": table["library_id"],
        "participant_id": table["participant_id"],
        "timepoint": table["timepoint"],
        "kind": table["kind"],
        "assay": "amplicon",
        "panel": settings.panel,
        "fastq_1": [f"{reads}/{i}_R1.fastq.gz" for i in table["library_id"]],
        "fastq_2": [f"{reads}/{i}_R2.fastq.gz" for i in table["library_id"]],
        "expected_percent": table["expected_percent"],
        "plate": plate,
        "well": well,
        "input_ng": tubes["input_ng"],
    })  # fmt: skip
    tubes.insert(1, "participant_id", table["participant_id"])
    return sheet, tubes.drop(columns="input_ng"), matrix


def _tube(settings: SimulationSettings, seed: int, row: Any) -> dict[str, Any]:
    """What is in one tube: DNA, templates, conversion, and how many read pairs of each kind come of it."""
    rng = random_stream(seed, "tube", row["library_id"])
    share = {k: settings[f"{k}_percent"] / 100 for k in ("dimers", "off_target", "hopped")}
    low, high = (v / 100 for v in settings.non_conversion_percent)
    # Drawn always and in one order, so that a fault in a tube changes nothing else of it.
    pairs = settings.pairs_per_library * rng.lognormal(0, 0.2)
    non_conversion = rng.uniform(low, high)
    failed = settings.failed_molecules_percent / 100 * rng.gamma(2, 0.5)
    over_conversion = settings.over_conversion_percent / 100 * rng.gamma(8, 1 / 8)
    input_ng = round(settings.input_ng * rng.lognormal(0, 0.25))
    junk = {k: share[k] * rng.gamma(4, 0.25) for k in share}
    if row["fault"] == "shallow":
        pairs *= 0.03
    if row["fault"] == "unconverted":
        non_conversion, failed = 0.027, 0.03
    if row["fault"] == "starved":
        input_ng, junk["dimers"] = 8, 0.2
    if row["kind"] == "no_template":
        pairs, input_ng, junk = pairs * 0.04, np.nan, {"dimers": 0.8, "off_target": 0.12, "hopped": 0.08}
    own = max(0.0, 1 - sum(junk.values())) if row["kind"] != "no_template" else 0.0
    weights = np.array([own, junk["hopped"], junk["dimers"], junk["off_target"]])
    counts = rng.multinomial(max(20, round(pairs)), weights / weights.sum())
    copies = 0 if row["kind"] == "no_template" else input_ng * HAPLOID_COPIES_PER_NG
    return {
        "library_id": row["library_id"],
        "input_ng": input_ng,
        "templates": int(rng.binomial(copies, settings.template_recovery)),
        **dict(zip(("own", "hopped", "dimer", "off_target"), counts.tolist())),
        "non_conversion": non_conversion,
        "failed": failed,
        "over_conversion": over_conversion,
        "pcr_bias": settings.pcr_bias,
        "fault": row["fault"] or np.nan,
    }


def _wells(table: pd.DataFrame, plates: int, seed: int) -> tuple[list[str], list[str]]:
    """Plate and well of each library: both members of a dyad anywhere, each plate with its own controls."""
    rng = random_stream(seed, "wells")
    plate = np.empty(len(table), int)
    study = np.flatnonzero(table["kind"] == "study")
    plate[study] = rng.permutation(np.arange(study.size) % plates)
    other = table[table["kind"] != "study"]
    for _, group in other.groupby(other["library_id"].str.rsplit("-", n=1).str[0], sort=False):
        plate[group.index] = np.arange(len(group)) % plates
    well = np.empty(len(table), object)
    for p in range(plates):
        here = np.flatnonzero(plate == p)
        well[here] = rng.permutation(WELLS)[: here.size]
    return [f"B{p + 1:02d}" for p in plate], well


def _hair(seed: int, people: pd.DataFrame, lacking: dict[str, set[int]], timepoint: str) -> pd.DataFrame:
    """Hair samples with the columns of the sheet and the true cortisol."""
    have = people[~_lacks(people, lacking, "hair")]
    rows = []
    for person in have.to_dict("records"):
        rng = random_stream(seed, "hair", person["participant_id"])
        child = person["role"] == "child"
        mass = rng.normal(18, 4) if child else rng.normal(25, 5)
        length = rng.choice([1.5, 2.0, 2.5, 3.0], p=[0.1, 0.2, 0.2, 0.5]) if child else 3.0
        little = child and person["dyad_id"] in lacking["little_hair"]
        rows.append({
            "hair_id": f"H{person['participant_id']}",
            "participant_id": person["participant_id"],
            "timepoint": timepoint,
            "mass_mg": 1.1 if little else round(float(np.clip(mass, 8, 40)), 1),
            "segment_from_cm": 0.0,
            "segment_to_cm": 1.0 if little else length,
            "methanol_added_ml": 1.5,
            "methanol_recovered_ml": round(float(rng.uniform(0.95, 1.1)), 2),
            "reconstitution_ml": 0.2,
            "dilution": 1,
            "cortisol_pg_per_mg": person["cortisol_pg_per_mg"],
        })  # fmt: skip
    return pd.DataFrame(rows)
