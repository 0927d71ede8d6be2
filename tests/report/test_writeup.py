"""The write-up: every sentence from the run's facts, every citation in the bibliography, the same bytes each time."""

import dataclasses
import io
import re
import zipfile

import pytest
from docx import Document

from hpaxis.moderation.statistics_check import check_statistics
from hpaxis.report.models import in_order
from hpaxis.report.numbers import fixed, interval, p_phrase, significant
from hpaxis.report.writeup import text
from hpaxis.report.writeup.checklists import GIVEN, LISTS, MISSING, facts, filled
from hpaxis.report.writeup.folder import writeup_files
from hpaxis.report.writeup.formats import tex
from hpaxis.report.writeup.references import REFERENCES, bibtex, full
from hpaxis.report.writeup.submission import GAP, checksums, submission_files


@pytest.fixture
def whole(run):
    software = [("hpaxis", "0.1.0"), ("CPython", "3.11"), ("snakemake", "9.27.1")]
    sheet = run.sheet.assign(participant_id=run.sheet["participant_id"])
    return dataclasses.replace(run, software=software, sheet=sheet)


def test_results_are_the_numbers_of_the_tables(whole):
    said = " ".join(t for _, ts in text.results_text(whole) for t in ts)
    main = in_order(whole.results)[0]
    b3 = main.differences.iloc[0]
    assert f"b₃ = {fixed(b3['estimate'])}, 95% CI {interval(b3['low'], b3['high'])}" in said
    assert f"p {p_phrase(b3['p'])}" in said and significant(main.raw(b3["estimate"])) in said
    assert "40 children (20 control and 20 treatment)" in said and "1 of 20 libraries was excluded" in said
    versions = main.tables["multiverse"]["estimate"].dropna()
    assert f"from {fixed(versions.min())} to {fixed(versions.max())}" in said


def test_methods_follow_the_settings(whole):
    def said(run):
        return " ".join(t for _, ts in text.methods(run) for t in ts)

    assert "Standard errors were HC3" in said(whole) and "199 draws each" in said(whole)
    assert "every result is exploratory" in said(whole) and "Tobit" not in said(whole)
    entries = [dataclasses.replace(r, entry=r.entry | {"covariance": "OLS"}) for r in whole.results]
    assert "Standard errors were OLS with" in said(dataclasses.replace(whole, results=tuple(entries)))


def test_every_citation_is_in_the_bibliography_and_every_entry_is_cited(whole):
    files = writeup_files(whole)
    cited = set(re.findall(r"@([a-z]+\d+)", files["manuscript.md"].decode()))
    entries = set(re.findall(r"^@\w+\{(\w+),", files["references.bib"].decode(), flags=re.M))
    assert cited == entries and cited <= set(REFERENCES)
    for key in entries:
        assert full(key) in files["manuscript.md"].decode()
    tex_cited = set(",".join(re.findall(r"\\citep\{([^}]*)\}", files["manuscript.tex"].decode())).split(","))
    assert tex_cited == entries
    assert bibtex(["tobin1958"]).count("{") == bibtex(["tobin1958"]).count("}")


def test_word_has_the_same_sentences_tables_and_references(whole):
    files = writeup_files(whole)
    document = Document(io.BytesIO(files["manuscript.docx"]))
    said = "\n".join(p.text for p in document.paragraphs)
    for _, paragraphs in text.results_text(whole):
        for paragraph in paragraphs:
            assert paragraph in said
    assert "(Gelman & Stern, 2006)" in said and "[@" not in said
    assert len(document.tables) >= 4
    main = in_order(whole.results)[0]
    cells = [c.text for t in document.tables for row in t.rows for c in row.cells]
    assert fixed(main.differences["estimate"].iloc[0]) in cells


def test_what_is_pasted_passes_the_claims_check(whole):
    """Rows of every table of the Word file that hold b, SE, CI, t, df and p, and all sentences with t and p."""
    files = writeup_files(whole)
    claims = []
    for table in Document(io.BytesIO(files["manuscript.docx"])).tables:
        head, *rows = ([cell.text for cell in row.cells] for row in table.rows)
        own = [name for name in ("b", "b₃", "SE", "CI", "t", "df", "p") if name in head]
        for row in rows if {"SE", "p"} <= set(own) else []:
            cells = {name: row[head.index(name)] for name in own}
            low, high = cells.pop("CI").strip("[]").split(", ")
            claims.append(
                {("b" if name == "b₃" else name): v for name, v in cells.items()} | {"low": low, "high": high}
            )
    sentences = "b₃ = (.+?), 95% CI .(.+?), (.+?)., t.(.+?). = (.+?), p (.+?), two-sided"
    said_in = {"md": files["manuscript.md"].decode(), "docx": docx_text(files["manuscript.docx"]),
               "tex": printed(files["manuscript.tex"].decode())}  # fmt: skip
    for said in said_in.values():
        found = re.findall(sentences, said)
        assert len(found) == 2
        claims += [dict(zip(("b", "low", "high", "df", "t", "p"), row, strict=True)) for row in found]
    assert len(claims) >= 4 + 3 + 3 * 2
    verdicts = check_statistics(claims)["verdict"]
    assert set(verdicts) == {"agrees"} | ({"implied"} & set(verdicts))


def printed(source):
    """What LaTeX prints of the signs in a source. In text mode < and > are not these signs: none may stand there."""
    assert not re.search("[<>|]", re.sub(r"\$[^$]*\$", "", source))
    for command, sign in (("$-$", "−"), ("$_3$", "₃"), ("$<$", "<"), ("$>$", ">"), (r"\%", "%"), ("~", "\u00a0")):
        source = source.replace(command, sign)
    return source


def docx_text(data):
    return "\n".join(p.text for p in Document(io.BytesIO(data)).paragraphs)


def test_the_same_run_gives_the_same_bytes(whole):
    one, two = writeup_files(whole), writeup_files(whole)
    assert one == two
    with zipfile.ZipFile(io.BytesIO(one["manuscript.docx"])) as archive:
        assert {i.date_time[0] for i in archive.infolist()} == {2000}


def test_checklists_name_what_is_missing(whole):
    places = facts(whole)
    rows = filled(LISTS["consort_2025"][1], places)
    status = {item: s for item, _, _, s in rows}
    assert status["22a"] == GIVEN and status["1a"] == MISSING and status["3"] == MISSING and status["24"] == MISSING
    assert all(where == "–" for _, _, where, s in rows if s == MISSING)
    hair = filled(LISTS["hair_cortisol"][1], places)
    assert not any(item == "H3" and s == GIVEN for item, _, _, s in hair)  # a study without hair
    items = [item for item, *_ in LISTS["consort_2025"][1]]
    assert len(items) == len(set(items)) and {re.match(r"\d+", i)[0] for i in items} == {str(n) for n in range(1, 31)}


def test_submission_sheets_have_checksums_and_name_gaps(whole, tmp_path):
    path = tmp_path / "L10000_R1.fastq.gz"
    path.write_bytes(b"reads")
    files = submission_files(whole, {"L10000": [str(path)]}, {})
    assert checksums(path)[0] == 5 and checksums(tmp_path / "absent") == (GAP, GAP, GAP)
    assert checksums(path)[2] in files["geo_files.tsv"] and GAP in files["sra_metadata.tsv"]
    assert "single" in files["sra_metadata.tsv"] and "dbGaP" in files["README.md"]


def test_latex_is_escaped():
    assert tex("5% of p_bh & b₃ [@tobin1958; @rubin1987]") == r"5\% of p\_bh \& b$_3$ \citep{tobin1958,rubin1987}"


def test_the_supplement_has_every_table_of_the_page(whole):
    from hpaxis.report.build import build_page

    files = writeup_files(whole)
    offered = set(re.findall(r'download="(table-[^"]+)"', build_page(whole)))
    assert {f"supplement/{name}" for name in offered} == {n for n in files if n.startswith("supplement/")}
