"""A cell of a sheet is never code, a way out of a folder, a shell command, HTML or a formula: refused, or inert."""

import pytest
import yaml

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
