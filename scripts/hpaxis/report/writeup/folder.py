"""All files of the write-up folder, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpaxis.report.answer import lines_table
from hpaxis.report.blocks import Section, every_block, numbered
from hpaxis.report.build import page_blocks
from hpaxis.report.cohort import table_one
from hpaxis.report.describe import describe_study
from hpaxis.report.models import in_order
from hpaxis.report.moderation import coefficient_table, overview_table, slope_table
from hpaxis.report.page import block_csv, file_name
from hpaxis.report.privacy import Cells
from hpaxis.report.writeup.checklists import LISTS, MISSING, facts, filled
from hpaxis.report.writeup.formats import latex, markdown, word, word_list
from hpaxis.report.writeup.plan import preregistration
from hpaxis.report.writeup.references import bibtex
from hpaxis.report.writeup.text import citations, methods, results_text

if TYPE_CHECKING:
    from hpaxis.report.blocks import Table
    from hpaxis.report.run import Run

README = """# Write-up of one run

- `manuscript.docx`, `.md`, `.tex`: Methods and Results, worded from this run's tables, settings and versions.
  `references.bib` has what they cite. Edit them: the workflow writes them again only when the run changes.
- `figures/`: at 85 mm (single column) and 175 mm (double), letters of 7 pt and more, as PDF and as PNG at 300 dpi.
- `supplement/`: every table of the report as CSV.
- `checklists/`: CONSORT 2025 with CONSORT-SPI, STROBE-ME, and lists for DNA methylation and hair cortisol. What the run
  gives is marked as given; what is missing is named.
- `preregistration.md`: the plan as text.
- `submission/`: sheets for GEO and SRA, with checksums. Not for publication: it has rows of participants' libraries.

{missing}
"""


def writeup_files(run: Run) -> dict[str, bytes]:
    """Return name to content (bytes) of every text file of the folder; figures and submission sheets come separately.

    ``run`` is `hpaxis.report.build.Run`.
    """
    title = run.config.study.title
    parts = [("Methods", methods(run)), ("Results", results_text(run))]
    files = {
        "manuscript.md": markdown(title, parts).encode("utf-8"),
        "manuscript.tex": latex(title, parts).encode("utf-8"),
        "manuscript.docx": word(title, parts, tables(run)),
        "references.bib": bibtex(citations([s for _, sections in parts for s in sections])).encode("utf-8"),
        "preregistration.md": preregistration(run.config).encode("utf-8"),
    }
    places, gaps = facts(run), []
    for name, (heading, items) in LISTS.items():
        rows = filled(items, places)
        gaps.append(f"{heading}: {sum(r[3] == MISSING for r in rows)} of {len(rows)} items are for the authors.")
        columns = ("item", "topic", "where", "status")
        text = "\n".join("\t".join(row) for row in [columns, *rows]) + "\n"
        files[f"checklists/{name}.tsv"] = text.encode("utf-8")
        files[f"checklists/{name}.docx"] = word_list(heading, "Filled by hpaxis from one run.", columns, rows)
    (_, _, first, sections, _), _ = page_blocks(run)
    for block in every_block(numbered([Section("answer", "", tuple(first)), *sections])):
        if block.kind == "table":
            files[f"supplement/{file_name(block)}"] = block_csv(block).encode("utf-8")
    files["README.md"] = README.format(missing="\n".join(gaps)).encode("utf-8")
    return files


def tables(run: Run) -> list[Table]:
    """Return the APA tables of the document: Table 1, the primary model, and the interaction in every model."""
    cells = Cells(run.config.report.smallest_cell)
    described = describe_study(run.config, run.attrition, run.analysis, run.results)
    found = [table_one(described["table1"], run.config.arms, cells)] if len(described["table1"]) else []
    fitted = [r for r in in_order(run.results) if not r.refused] if run.results else []
    if fitted:
        primary = fitted[0]
        found += [] if primary.hides_complete(cells) else [coefficient_table(primary)]
        found += [slope_table(primary), lines_table(primary, None), overview_table(fitted, cells)]
    return [numbered([Section("", "", (t,))])[0].blocks[0] for t in found]
