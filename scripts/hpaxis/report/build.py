"""From a run's tables and figures to the page: sections in reading order, nothing computed that a stage computes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from hpaxis.report.answer import answer
from hpaxis.report.blocks import Notice
from hpaxis.report.cohort import cohort_section
from hpaxis.report.cortisol import cortisol_section
from hpaxis.report.describe import describe_study
from hpaxis.report.limits import limits_section
from hpaxis.report.methods import methods_section
from hpaxis.report.methylation import methylation_section
from hpaxis.report.moderation import moderation_section, predictor_section
from hpaxis.report.page import render
from hpaxis.report.privacy import Cells, counts_few
from hpaxis.report.programme import programme_section
from hpaxis.report.provenance import provenance_section
from hpaxis.report.series import series_section
from hpaxis.report.settings import gates

if TYPE_CHECKING:
    from hpaxis.report.blocks import Block, Section
    from hpaxis.report.run import Run
    from hpaxis.settings import Config


def build_page(run: Run) -> str:
    """Return the page of a run as text."""
    arguments, more = page_blocks(run)
    return render(*arguments, **more)


def page_blocks(
    run: Run,
) -> tuple[tuple[str, str | None, tuple[Block, ...], list[Section], tuple[Notice, ...]], dict[str, str]]:
    """Return the arguments of `hpaxis.report.page.render`, by place and by name."""
    config, report = run.config, run.config.report
    cells = Cells(report["smallest_cell"])
    samples = None if run.cortisol is None else run.cortisol["samples"]
    curves = None if run.cortisol is None else run.cortisol["curves"]
    described = describe_study(config, run.attrition, run.analysis, run.results)
    sections = [
        cohort_section(config.arms, run.attrition, run.audit, run.analysis, described, run.figures["cohort"], cells),
        run.libraries is not None
        and methylation_section(
            run.libraries,
            run.sheet,
            run.levels,
            run.concordance,
            gates(config.methylation),
            run.figures["methylation"],
            cells,
            report["library_ids"],
            run.instrument,
            described["arm_differences"],
            run.effects,
        ),
        run.cortisol is not None
        and cortisol_section(run.cortisol, run.figures["cortisol"], report["library_ids"], cells),
        run.series is not None and series_section(run.series, run.analysis, config.arms, cells),
        run.results and predictor_section(run.results, cells),
        run.results and moderation_section(run.results, cells, run.figures.get("moderation", {})),
        programme_section(run.programme, run.figures.get("programme", {}), cells),
        limits_section(config, run.results, run.libraries, samples, run.sheet, run.snps, run.genome, cells),
        methods_section(config, run.cortisol, sorted(run.sheet["assay"].unique())),
        provenance_section(run.checksums, config, run.software),
    ]
    first = answer(
        run.results,
        config.moderation.predictor_after_randomisation,
        cells,
        run.truth,
        run.libraries,
        curves,
    )
    question = config.study.question if run.results else None
    more = {} if run.results else {"heading": "What was measured"}
    sections = [replace(s, blocks=tuple(_offered(b, cells) for b in s.blocks)) for s in sections if s]
    first = tuple(_offered(b, cells) for b in first)
    return (config.study.title, question, first, sections, _notices(config)), more


def _offered(block: Block | None, cells: Cells) -> Block | None:
    """The block, with its cells as shown for CSV where its data would count few people; a figure then offers none."""
    if block is None:
        return None
    if block.kind == "fold":
        return replace(block, blocks=tuple(_offered(b, cells) for b in block.blocks))
    data = getattr(block, "data", None)
    return replace(block, data=None) if isinstance(data, pd.DataFrame) and counts_few(data, cells) else block


def _notices(config: Config) -> tuple[Notice, ...]:
    if "simulation" not in config:
        return ()
    return (Notice("Simulated data: none of these people exist. The page shows what hpaxis does with a known truth."),)
