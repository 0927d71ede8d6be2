"""A cell of a sheet is never code, a way out of a folder, a shell command, HTML or a formula: refused, or inert."""

import re
import shutil

import pytest
import yaml

from hpaxis.methylation.panels.panel import read_panel
from hpaxis.problems import InputError
from hpaxis.study import load_study

pytestmark = pytest.mark.workflow
PAYLOADS = {
    "shell": '"; touch pwned; "',
    "substitution": "$(touch pwned)",
    "backticks": "`touch pwned`",
    "pipe": "x|touch pwned",
    "traversal": "../../../pwned",
    "absolute": "/etc/passwd",
    "html": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "formula": "=cmd|' /C calc'!A0",
    "plus formula": "+1+cmd",
    "at formula": "@SUM(1)",
    "wildcard": "{library}",
    "path variable": "<results>/pwned",
    "template": "{{ config }}",
    "long": "A" * 100_000,
    "nul": "a\x00b",
    "escape": "\x1b[2Jx",
    "bidi": "\u202egpj.x",
    "zero width": "00\u200b101",
    "option": "-rf",
    "dots": "..",
}
TEXT = {
    "libraries": ("library_id", "participant_id", "timepoint", "kind", "assay", "plate", "well"),
    "participants": ("participant_id", "dyad_id", "role", "missing", "sex"),
    "hair": ("hair_id", "participant_id", "timepoint"),
    "plates": ("plate_id",),
}
# What is held against the config, the kits and the disk. A path may lead anywhere that the user may read: it is only
# ever opened, as data; what it leads to is refused for what it holds.
LOOKED_UP = {
    "libraries": ("panel", "fastq_1", "fastq_2"),
    "participants": ("arm",),
    "hair": (),
    "plates": ("reader_file", "kit"),
}

NAMES_REFUSED = (
    "html",
    "formula",
    "plus formula",
    "at formula",
    "escape",
    "bidi",
    "zero width",
    "option",
    "long",
)
FORMULAS = re.compile(r"[=+@＝＋－＠\t\r-].")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*(e[+-]?\d+)?|inf)$")


@pytest.mark.parametrize("columns", [TEXT, LOOKED_UP], ids=["form", "looked up"])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_sheet_takes_it_in_any_column(study, tmp_path, monkeypatch, payload, columns):
    monkeypatch.chdir(study.folder)
    config = yaml.safe_load((study.folder / "study" / "config.yaml").read_text())
    planted = set()
    for sheet in TEXT:
        header, *rows = [line.split("\t") for line in (study.folder / f"study/{sheet}.tsv").read_text().splitlines()]
        for i, column in enumerate(columns[sheet]):
            row = rows[i % len(rows)]
            row[header.index(column)] = PAYLOADS[payload]
            planted.add((f"{sheet}.tsv", i % len(rows) + 2))
        config["sheets"][sheet] = str(tmp_path / f"{sheet}.tsv")
        text = "\n".join("\t".join(row) for row in [header, *rows]) + "\n"
        (tmp_path / f"{sheet}.tsv").write_bytes(text.encode("utf-8"))
    with pytest.raises(InputError) as refused:
        load_study(config)
    lines = str(refused.value).split("\n")
    assert len(lines) == len(refused.value.problems)
    assert all(line.isprintable() and len(line) < 1500 for line in lines)
    told = {(p.file.rpartition("/")[2], p.row) for p in refused.value.problems}
    if columns is LOOKED_UP and payload in ("absolute", "dots"):
        # They are there, and are refused for what they hold, by their own name.
        assert any(p.file.startswith(("/etc/passwd", "../")) for p in refused.value.problems), str(refused.value)
        told |= {("libraries.tsv", row) for row in (2, 3, 4)}
    assert planted - told == set()
    assert not list(tmp_path.rglob("pwned*")) and not list(study.folder.rglob("pwned*"))


@pytest.mark.parametrize(
    "key, value",
    [
        ("models", {"../../x": {"outcome": "competence", "predictor": "region_mean_beta"}}),
        ("models", {"a{b}": {"outcome": "competence", "predictor": "region_mean_beta"}}),
        ("arms", ["control", "<b>treatment</b>"]),
        ("arms", ["control", "=cmd|x"]),
        ("cohort", {"timepoint": "month12", "columns": {"<script>": "number"}}),
        ("cohort", {"timepoint": "month12", "columns": {"../x": "category"}}),
    ],
)
def test_no_name_in_the_config_is_taken_either(study, monkeypatch, key, value):
    monkeypatch.chdir(study.folder)
    config = yaml.safe_load((study.folder / "study" / "config.yaml").read_text())
    with pytest.raises(InputError) as refused:
        load_study({**config, key: value})
    assert all(str(problem).isprintable() for problem in refused.value.problems)


def test_free_text_of_the_config_is_text_on_the_page(study, tmp_path):
    """Title and question are the study's own words; they reach the page, as words."""
    from markupsafe import escape

    from hpaxis.report.blocks import Paragraph, Section
    from hpaxis.report.page import render

    for payload in PAYLOADS.values():
        page = render(payload, payload, (Paragraph(payload),), [Section("s", payload, (Paragraph(payload),))])
        assert "<script>alert" not in page and "<img src=x" not in page
        assert str(escape(payload))[:50] in page


def test_no_cell_that_a_run_writes_is_a_formula(finished, formula):
    """A plate of the study is called by a formula in its reader's file."""
    planted, inert = formula
    results = finished.folder / "results"
    tables = [p for p in results.rglob("*.tsv") if p.is_file()]
    cells = [(p, cell) for p in tables for cell in re.split(r"[\t\n]", p.read_text(encoding="utf-8"))]
    assert inert in {cell for _, cell in cells}
    assert [(p.name, cell) for p, cell in cells if FORMULAS.match(cell) and not NUMBER.match(cell)] == []
    told = [p.name for p in results.rglob("*") if p.is_file() and planted.encode() in p.read_bytes()]
    assert told == []


@pytest.mark.parametrize("name", [payload for key, payload in PAYLOADS.items() if key in NAMES_REFUSED])
def test_controls_and_cpgs_cannot_be_named_so(study, tmp_path, monkeypatch, name):
    monkeypatch.chdir(study.folder)
    config = yaml.safe_load((study.folder / "study" / "config.yaml").read_text())
    header, first, *others = (study.folder / "study/plates.tsv").read_text().splitlines()
    at = header.split("\t").index("layout_file")
    layout = tmp_path / "layout.tsv"
    lines = (study.folder / first.split("\t")[at]).read_text().splitlines()
    row = next(i for i, line in enumerate(lines) if "\tcontrol\t" in line)
    cells = lines[row].split("\t")
    cells[lines[0].split("\t").index("sample")] = name
    lines[row] = "\t".join(cells)
    layout.write_text("\n".join(lines) + "\n", encoding="utf-8")
    plate = first.split("\t")
    plate[at] = str(layout)
    config["sheets"]["plates"] = str(tmp_path / "plates.tsv")
    (tmp_path / "plates.tsv").write_text("\n".join([header, "\t".join(plate), *others]) + "\n", encoding="utf-8")

    panel = tmp_path / "panel"
    shutil.copytree(study.folder / "resources" / "panels" / "nr3c1_exon1f", panel)
    table = (panel / "indices.tsv").read_text().splitlines()
    table[1] = "\t".join([name, *table[1].split("\t")[1:]])
    (panel / "indices.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as planned:
        load_study(config)
    assert [(p.file, p.row, p.column) for p in planned.value.problems] == [(str(layout), row + 1, "sample")]
    with pytest.raises(InputError) as refused:
        read_panel(panel)
    assert [(p.row, p.column) for p in refused.value.problems] == [(2, "index")]
    assert str(planned.value).isprintable() and str(refused.value).isprintable()
