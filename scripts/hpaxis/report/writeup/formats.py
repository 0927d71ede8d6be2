"""The same sections and tables as Markdown, LaTeX and Word."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from docx import Document
from docx.enum.text import WD_LINE_SPACING
from docx.shared import Pt

from hpaxis.report.writeup.references import full, short
from hpaxis.report.writeup.text import CITED, citations

if TYPE_CHECKING:
    from docx.document import Document as DocumentOf

    from hpaxis.report.blocks import Table

SPECIAL = {"\\": r"\textbackslash{}", "&": r"\&",
           "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
           "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}  # fmt: skip
SIGNS = {"−": "$-$", "₃": "$_3$", "²": "$^2$", "≥": "$\\ge$", "≤": "$\\le$", "×": "$\\times$", "Δ": "$\\Delta$",
         "’": "'", "–": "--", "“": "``", "”": "''", "√": "$\\surd$", "±": "$\\pm$", "\u00a0": "~",
         "<": "$<$", ">": "$>$", "|": "$|$"}  # fmt: skip


def keys_of(group: str) -> list[str]:
    """Return the keys of what stands between the brackets of a citation."""
    return [key.strip().lstrip("@") for key in group.split(";")]


def markdown(title: str, parts: Sequence[tuple[str, list[tuple[str, list[str]]]]]) -> str:
    """Return Pandoc Markdown: ``parts`` is a list of (name, sections), such as Methods and Results."""
    lines = [f"# {title}", ""]
    for name, sections in parts:
        lines += [f"## {name}", ""]
        for heading, paragraphs in sections:
            lines += [f"### {heading}", "", *(line for text in paragraphs for line in (text, ""))]
    cited = citations([section for _, sections in parts for section in sections])
    lines += ["## References", "", *(f"- {full(key)}" for key in sorted(cited, key=short))]
    return "\n".join(lines) + "\n"


def latex(title: str, parts: Sequence[tuple[str, list[tuple[str, list[str]]]]]) -> str:
    """Return a LaTeX document that cites from references.bib."""
    body = []
    for name, sections in parts:
        body.append(rf"\section{{{tex(name)}}}")
        for heading, paragraphs in sections:
            body.append(rf"\subsection{{{tex(heading)}}}")
            body += [tex(text) + "\n" for text in paragraphs]
    return "\n".join([
        r"\documentclass{article}", r"\usepackage[utf8]{inputenc}", r"\usepackage{natbib}",
        rf"\title{{{tex(title)}}}", r"\date{}", r"\begin{document}", r"\maketitle", *body,
        r"\bibliographystyle{apalike}", r"\bibliography{references}", r"\end{document}", "",
    ])  # fmt: skip


def tex(text: str) -> str:
    """Return text with LaTeX's own characters escaped, and citations as commands."""
    done, at = [], 0
    for found in CITED.finditer(text):
        done += [_escaped(text[at : found.start()]), rf"\citep{{{','.join(keys_of(found[1]))}}}"]
        at = found.end()
    return "".join([*done, _escaped(text[at:])])


def _escaped(text: str) -> str:
    return "".join(SIGNS.get(c, SPECIAL.get(c, c)) for c in text)


def cited_in_words(text: str) -> str:
    """Return text with citations as a reader sees them: ``(Gelman & Stern, 2006)``."""
    return CITED.sub(lambda found: f"({'; '.join(short(k) for k in keys_of(found[1]))})", text)


def word(title: str, parts: Sequence[tuple[str, list[tuple[str, list[str]]]]], tables: Sequence[Table] = ()) -> bytes:
    """Return a Word document as bytes: the sections, APA tables (`hpaxis.report.blocks.Table`), and the references."""
    document = Document()
    style = document.styles["Normal"]
    style.font.name, style.font.size = "Times New Roman", Pt(12)
    style.paragraph_format.line_spacing_rule = WD_LINE_SPACING.DOUBLE
    document.add_heading(title, 0)
    for name, sections in parts:
        document.add_heading(name, 1)
        for heading, paragraphs in sections:
            document.add_heading(heading, 2)
            for text in paragraphs:
                document.add_paragraph(cited_in_words(text))
    for number, table in enumerate(tables, start=1):
        document.add_page_break()
        _word_table(document, number, table)
    cited = citations([section for _, sections in parts for section in sections])
    document.add_heading("References", 1)
    for key in sorted(cited, key=short):
        document.add_paragraph(full(key))
    return _bytes(document)


def word_list(
    title: str, intro: str, columns: tuple[str, str, str, str], rows: Sequence[tuple[str, str, str, str]]
) -> bytes:
    """Return a Word document of one table, such as a checklist, as bytes."""
    document = Document()
    document.add_heading(title, 0)
    document.add_paragraph(intro)
    _grid(document, columns, rows)
    return _bytes(document)


def _word_table(document: DocumentOf, number: int, table: Table) -> None:
    head = document.add_paragraph()
    head.add_run(f"Table {number}").bold = True
    document.add_paragraph().add_run(table.title).italic = True
    _grid(document, table.columns, table.rows)
    if table.note:
        note = document.add_paragraph()
        note.add_run("Note. ").italic = True
        note.add_run(str(table.note))


def _grid(document: DocumentOf, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    grid = document.add_table(rows=1, cols=len(columns))
    grid.style = "Light List"
    for cell, text in zip(grid.rows[0].cells, columns, strict=True):
        cell.text = str(text)
    for row in rows:
        for cell, text in zip(grid.add_row().cells, row, strict=True):
            cell.text = str(text)
    for row in grid.rows:
        for cell in row.cells:
            for paragraph in cell.paragraphs:
                paragraph.paragraph_format.line_spacing = 1
                for run in paragraph.runs:
                    run.font.size = Pt(9)


def _bytes(document: DocumentOf) -> bytes:
    """The document without the time at which it was made, in files of a fixed date: the same text, the same bytes."""
    import datetime
    import zipfile

    fixed = datetime.datetime(2000, 1, 1)
    properties = document.core_properties
    properties.created = properties.modified = fixed
    properties.author, properties.last_modified_by, properties.revision = "hpaxis", "hpaxis", 1
    first, second = io.BytesIO(), io.BytesIO()
    document.save(first)
    with zipfile.ZipFile(first) as old, zipfile.ZipFile(second, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist(), key=lambda n: (n != "[Content_Types].xml", n)):
            new.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), old.read(name), zipfile.ZIP_DEFLATED)
    return second.getvalue()
