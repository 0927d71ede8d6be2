"""What a run leaves for the page; apart from the page, so that a change of its looks reruns only who draws it."""

from dataclasses import dataclass, field

import pandas as pd

from hpaxis.settings import Config


@dataclass(frozen=True)
class Run:
    """What a run leaves for the page.

    ``config`` has its defaults filled. ``sheet`` is the sheet of libraries, ``libraries`` and ``concordance`` the
    methylation stage's tables, ``levels`` the CpG levels by arm (None without saliva); ``cortisol`` maps names to the
    cortisol stage's tables (None without hair); ``analysis``, ``attrition`` and ``audit`` are the cohort's;
    ``results`` the models (`ModelResult`), none where none was planned; ``figures`` maps a stage to its figures' SVG
    text; ``checksums`` and ``software`` say what went in; ``snps`` counts the panels' masked positions; ``genome``
    says whether they agree with a genome; ``instrument`` is the error of a pyrosequencer, None without one;
    ``programme`` holds that stage's tables, empty without; ``truth`` a simulation's true coefficients; ``series`` the
    tables of saliva cortisol, None without; ``effects`` what the arms differ by at each CpG.
    """

    config: Config
    sheet: pd.DataFrame
    libraries: pd.DataFrame | None
    levels: pd.DataFrame | None
    concordance: pd.DataFrame | None
    cortisol: dict | None
    analysis: pd.DataFrame
    attrition: pd.DataFrame
    audit: pd.DataFrame
    results: tuple
    figures: dict
    checksums: pd.DataFrame
    software: list
    snps: int = 0
    genome: str = "unchecked"
    instrument: pd.DataFrame | None = None
    programme: dict = field(default_factory=dict)
    truth: pd.DataFrame | None = None
    series: dict | None = None
    effects: pd.DataFrame | None = None
