"""The keys of each section of the config. Written by `make reference` from `workflow/schemas`."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

class Settings(Mapping[str, Any]):
    def __init__(self, values: Mapping[str, Any]) -> None: ...
    def __getitem__(self, key: str) -> Any: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __or__(self, other: Mapping[str, Any]) -> Self: ...

class StudySettings(Settings):
    title: str
    question: str
    design: str
    licence: str
    published: str | None

class SheetsSettings(Settings):
    libraries: str | None
    participants: str | None
    hair: str | None
    plates: str | None
    saliva_cortisol: str | None

class PriorSettings(Settings):
    mean: float
    sd: float
    source: str

class ModelSettings(Settings):
    title: str
    outcome: str
    predictor: str
    moderator: str
    reference: str | None
    covariates: list[str]
    population: str
    keep: dict[str, list[Any]]
    scale: str
    standardise: list[str]
    covariance: str
    cluster: str | None
    slopes_at: Any
    impute: bool
    auxiliary: list[str]
    family: list[str]
    mediator: str | None
    mediated_stage: str
    mediated_direct: bool
    mechanism: str | None
    smallest_slope: float | None
    dose: str | None
    received: str | None
    outcome_kind: str
    weights: str | None
    group: str | None
    priors: dict[str, PriorSettings]
    primary: bool

class GenomeSettings(Settings):
    fasta: str | None
    adapter: str
    spike_in: str | None
    methylated_spike_in: str | None
    min_probability: float
    min_mapping_quality: int
    remove_duplicates: bool
    ignored_cycles: list[int]
    all_cpgs: bool

class LevelsSettings(Settings):
    unit: str | None
    sd: float | None

class PyrosequencingSettings(Settings):
    positions: str | None
    alias_scheme: str | None
    unit: str | None
    floor: float | None
    position_sd: float | list[float] | None
    shared_sd: float | None

class MethylationSettings(Settings):
    min_base_quality: int
    min_usable: float
    min_identity: float
    max_unconverted: float
    failed_molecules_warn: float
    failed_molecules_fail: float
    conversion_fail: float
    conversion_warn: float
    conversion_target: float
    depth_fail: float
    depth_warn: float
    depth_target: float
    min_cpg_share: float
    confidence: float
    copies_per_ng: float
    template_recovery: float
    amplification_cv: float
    overdispersion: str | float
    calibration: str
    standard_cv: float
    over_conversion_warn: float
    libraries_per_job: int
    small_library_mb: float
    second_caller_molecules: int | str
    genome: GenomeSettings
    levels: LevelsSettings
    pyrosequencing: PyrosequencingSettings
    no_template_warn: float
    no_template_fail: float
    snp_frequency: float
    snp_action: str

class CortisolSettings(Settings):
    kits: str | None
    duplicate_cv_warn_percent: float
    duplicate_cv_rerun_percent: float
    recovery_low_percent: float
    recovery_high_percent: float
    nsb_max_percent: float
    inter_assay_cv_max_percent: float
    position_max_percent: float
    parallelism_max_percent: float
    volume_cv_percent: float
    mass_sd_mg: float
    low_mass_mg: float
    usual_low_pg_per_mg: float
    usual_high_pg_per_mg: float
    plates_per_job: int
    failed_plates: str
    run_cv_percent: float | None
    lloq_cv_max_percent: float
    binding_low_percent: float | None
    binding_high_percent: float | None
    control_ranges: str | None
    extraction_blank: str
    hair_growth_cm_per_month: float
    awakening_minutes: float | None
    awakening_first_minutes: float
    series_span_percent: float
    bridge_to: str | None

class CohortSettings(Settings):
    timepoint: str
    baseline: str
    platform: str
    columns: dict[str, str]
    missing: list[float]
    not_missing: list[float]
    names: dict[str, str]
    dictionary: str | None

class MultiverseSettings(Settings):
    predictors: list[str]
    scales: list[str]
    covariates: list[list[str]]
    covariances: list[str]
    outliers: list[str]
    rows: dict[str, dict[str, list[Any]]]
    draws: int

class ModerationSettings(Settings):
    alpha: float
    minimum_per_arm: int
    draws: int
    imputations: int
    error_draws: int
    power_draws: int
    predictor_after_randomisation: bool
    after_randomisation: list[str]
    lock: str | None
    multiverse: MultiverseSettings

class PoolSettings(Settings):
    model: str
    name: str
    studies: dict[str, str]
    across_designs: bool

class WorthSettings(Settings):
    effect: str
    cost: str | None
    prices: str | None
    population: str
    willingness: list[float]
    predictor: str | None
    draws: int

class SocialReturnSettings(Settings):
    outcomes: str
    investment: float
    discount: float
    draws: int

class ProgrammeSettings(Settings):
    pool: PoolSettings | None
    worth: WorthSettings | None
    social_return: SocialReturnSettings | None

class ReportSettings(Settings):
    library_ids: bool
    smallest_cell: int
    cell_mix: str | None

class SimulationSettings(Settings):
    dyads: int
    pairs_per_library: int
    panel: str
    kit: str
    slopes: list[float]
    r_squared: float
    cortisol_slopes: list[float]
    region_mean_percent: float
    region_sd_percent: float
    highest_percent: float
    dyad_correlation: float
    molecule_correlation_bp: float
    non_conversion_percent: list[float]
    failed_molecules_percent: float
    over_conversion_percent: float
    pcr_bias: float
    dimers_percent: float
    off_target_percent: float
    hopped_percent: float
    low_quality_percent: float
    indel_percent: float
    amplification_cv: float
    input_ng: float
    template_recovery: float
    missing_percent: float
    failing_libraries: bool

class Config(Settings):
    study: StudySettings
    seed: int
    sheets: SheetsSettings
    arms: list[str]
    models: dict[str, ModelSettings]
    pathvars: dict[str, str]
    methylation: MethylationSettings
    cortisol: CortisolSettings
    cohort: CohortSettings
    moderation: ModerationSettings
    programme: ProgrammeSettings
    report: ReportSettings
    simulation: SimulationSettings
