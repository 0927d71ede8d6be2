import base64
import dataclasses
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from hpaxis.report.blocks import Section, Table, numbered
from hpaxis.report.build import build_page
from hpaxis.report.methylation import reason_kind
from hpaxis.report.numbers import bounded, fixed, interval, p_value, percent

VOID = {"meta", "link", "br", "img", "input", "hr", "path", "use", "rect", "image"}


def cells_of_csv(page):
    """The CSV of each table and figure that offers one, by its file’s name."""
    found = re.findall(r'download="([^"]+)" href="data:text/csv;charset=utf-8;base64,([^"]+)"', page)
    return {name: pd.read_csv(io.BytesIO(base64.b64decode(data))) for name, data in found}


class Outline(HTMLParser):
    """Collects what the tests ask of a page: tags, ids, links, headings, text; and complains of wrong nesting."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.headings, self.text, self.wrong = [], [], [], [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "a":
            self.links.append(attributes["href"])
        if tag in ("h1", "h2", "h3"):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", "".join(self.text))


@pytest.fixture
def page(run):
    return build_page(run)


def row_of(page, head):
    """Cells of the first table row that begins with ``head``."""
    body = re.search(rf'<th scope="row">{re.escape(head)}</th>(.*?)</tr>', page).group(1)
    return [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", body)]


def test_the_page_is_sound_html(page):
    outline = Outline(page)
    assert page.startswith("<!DOCTYPE html>") and not outline.open and not outline.wrong
    assert len(outline.ids) == len(set(outline.ids))
    within = [link for link in outline.links if not link.startswith("data:text/csv")]
    assert within and all(link.startswith("#") and link[1:] in outline.ids for link in within)
    assert outline.headings[0] == 1 and outline.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))
    names = {tag for tag, _ in outline.tags}
    assert {"header", "nav", "main", "section", "figure", "caption", "thead"} <= names


def test_every_figure_has_a_text_and_every_cell_a_header(page):
    outline = Outline(page)
    drawings = [a for tag, a in outline.tags if tag == "svg"]
    # Cohort 2, methylation 3, and the primary model's five.
    assert len(drawings) == 5 + 5
    assert all(a["role"] == "img" and len(a["aria-label"]) > 30 for a in drawings)
    assert all("scope" in a for tag, a in outline.tags if tag == "th")
    viewport = next(a for tag, a in outline.tags if a.get("name") == "viewport")
    assert "width=device-width" in viewport["content"]


def test_the_page_reaches_nowhere(page):
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert len(scripts) == 1 == page.count("<script")
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#39;", "'")
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    for reach in ("fetch(", "XMLHttpRequest", "WebSocket", "import(", "eval(", "innerHTML", "localStorage", "cookie"):
        assert reach not in scripts[0]
    bare = page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert "http" not in re.sub(r"base64,[^\"]*", "", bare) and "@import" not in page
    assert not re.search(r'(?:src|href)="(?!#|data:text/csv)', page)
    assert not re.search(r"url\((?!#)", page)


def test_no_person_stands_on_the_page(run, page):
    people = set(run.analysis["participant_id"]) | set(run.sheet.loc[run.sheet["kind"] == "study", "library_id"])
    words = set(re.findall(r"\w+", Outline(page).words))
    assert not people & words
    named = build_page(
        dataclasses.replace(run, config=run.config | {"report": run.config["report"] | {"library_ids": True}})
    )
    assert "L10001" in named


def test_the_same_run_gives_the_same_bytes(run, page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert build_page(run) == page
    assert str(tmp_path) not in page
    assert not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", page)


def test_numbers_of_the_primary_model_are_those_of_its_tables(run, page):
    main = next(r for r in run.results if r.entry["primary"])
    primary = page[page.index('id="model-main"') :]
    for _, row in main.tables["slopes"].iterrows():
        cells = row_of(primary, f"Slope in {row['moderator']}")
        assert cells[0] == str(int(row["n"]))
        assert cells[1:4] == [fixed(row["estimate"]), fixed(row["se"]), interval(row["low"], row["high"])]
        assert cells[6] == p_value(row["p"]).replace("<", "&lt;")
    b3 = main.tables["slope_differences"].iloc[0]
    cells = row_of(primary, "Difference: treatment\u00a0−\u00a0control")
    assert cells[1:4] == [fixed(b3["estimate"]), fixed(b3["se"]), interval(b3["low"], b3["high"])]
    assert row_of(page, "main (primary)")[3] == fixed(b3["estimate"])
    assert f">{bounded(main.fit('r2'), 3)}<" in primary
    ols = main.tables["coefficients"].query("covariance == 'OLS' and term == 'region_mean_beta:arm[treatment]'").iloc[0]
    assert row_of(primary, "region mean methylation × treatment")[6] == fixed(ols["se"])


def test_numbers_of_the_libraries_are_those_of_their_table(run, page):
    flagged = run.libraries.iloc[1]
    assert row_of(page, "median depth")[0] == "1" and "Library 1" not in page
    assert "conversion" in page and flagged["verdict"] == "fail"
    control = run.libraries.set_index("library_id").loc["S03-1"]
    cells = row_of(page, "S03-1")
    assert cells[1] == "3%" and cells[2].startswith(percent(control["region_mean_beta"]))
    assert "60 single calls of all differ" in page and "1 library is flagged" in page
    assert "20 study libraries, 18 passed, 1 passed with a warning and 1 failed" in page


def test_the_primary_model_comes_first_and_all_are_shown(page):
    assert page.index('id="model-main"') < page.index('id="model-second"')
    assert page.index('id="predictor"') < page.index('id="moderation"')


def test_tables_and_figures_are_numbered_without_gaps(page):
    for word in ("Table", "Figure"):
        found = [int(n) for n in re.findall(rf'aria-label="{word} (\d+): ', page)]
        assert found == list(range(1, len(found) + 1))


def test_markup_in_the_data_stays_text(run):
    bad = "<script>alert(1)</script>"
    libraries = run.libraries.replace({"C0-1": bad})
    libraries.loc[1, "reasons"] = bad
    sheet = run.sheet.replace({"C0-1": bad})
    config = run.config | {"study": run.config.study | {"title": bad, "question": f"{bad}?"}}
    audit = run.audit.assign(reason=bad)
    page = build_page(dataclasses.replace(run, libraries=libraries, sheet=sheet, config=config, audit=audit))
    assert page.count("<script") == 1
    assert page.count("&lt;script&gt;") >= 4
    assert not Outline(page).wrong


def test_a_reason_without_its_numbers_is_words():
    kinds = {
        "conversion 98.77 %, below 99 %": "conversion",
        "median effective depth 273.5 molecules, below 500 molecules": "median effective depth",
        "3 molecules passed, 1.5 % of the median study library's": "molecules passed",
        "12 % of molecules failed conversion, above 5 %": "of molecules failed conversion",
    }
    assert {reason: reason_kind(reason) for reason in kinds} == kinds


def test_few_people_are_withheld_where_asked_for(run):
    config = run.config | {"report": run.config["report"] | {"smallest_cell": 5}}
    page = Outline(build_page(dataclasses.replace(run, config=config))).words
    assert "withheld" in page
    assert "Why the others are not is withheld" in page
    assert "1–4" in page
    assert "withheld" not in Outline(build_page(run)).words


# What a study may lack: each gives a whole page that says so.


def test_a_model_that_was_refused_gives_its_reason(run):
    refused = [
        dataclasses.replace(r, tables={}, figures={}, problems=("models.second: arm control has 3 complete rows",))
        if r.name == "second"
        else r
        for r in run.results
    ]
    page = build_page(dataclasses.replace(run, results=tuple(refused)))
    assert "arm control has 3 complete rows" in page
    assert row_of(page, "second")[1] == "refused"
    assert "b₃" in Outline(page).words


def test_every_model_refused(run):
    refused = tuple(dataclasses.replace(r, tables={}, figures={}, problems=("too few rows",)) for r in run.results)
    words = Outline(build_page(dataclasses.replace(run, results=refused))).words
    assert "The question cannot be answered" in words and "No model could be fitted" in words


def test_no_library_passed(run):
    libraries = run.libraries.assign(verdict="fail", reasons="no reads", non_conversion=np.nan, median_depth=0.0)
    page = build_page(
        dataclasses.replace(run, libraries=libraries, levels=run.levels.iloc[:0], concordance=run.concordance.iloc[:0])
    )
    words = Outline(page).words
    assert "No study library passed" in words and "no CpG has a level" in words
    assert "has no call to compare with" in words


def test_no_controls(run):
    study = run.libraries[run.libraries["kind"] == "study"]
    words = Outline(build_page(dataclasses.replace(run, libraries=study))).words
    assert "No control library was sequenced" in words


def test_an_arm_without_people(run):
    config = run.config | {"arms": ["control", "treatment", "waiting"]}
    words = Outline(build_page(dataclasses.replace(run, config=config))).words
    assert "Nobody is in arm waiting" in words


def test_no_hair(run, page):
    assert "Hair cortisol was not measured" in page and '<section id="cortisol"' not in page
    nobody = run.analysis.assign(cortisol_pg_per_mg=np.nan, cortisol_censored=None, cortisol_limit_pg_per_mg=np.nan)
    assert "Hair cortisol by arm" not in build_page(dataclasses.replace(run, analysis=nobody))


def test_no_saliva(run):
    """Nothing of the page is about methylation, where no library was measured and no model reads any."""
    entry = run.results[0].entry | {"predictor": "aces"}
    results = tuple(dataclasses.replace(r, entry=entry) for r in run.results)
    analysis = run.analysis.drop(columns=[c for c in run.analysis if c.startswith("region_mean")])
    analysis = analysis.assign(cortisol_censored=None)
    attrition = run.attrition[run.attrition["chain"] == "enrolment"]
    nothing = {"libraries": None, "levels": None, "concordance": None, "sheet": run.sheet.iloc[:0]}
    audit = run.audit[run.audit["sheet"] == "participants"]
    tables = {"attrition": attrition, "analysis": analysis, "audit": audit}
    page = build_page(dataclasses.replace(run, results=results, **tables, **nothing))
    assert '<section id="methylation"' not in page and "saliva" not in Outline(page).words.lower()
    assert "Methylation and hair cortisol were not measured" in page


def test_no_models(run):
    page = build_page(dataclasses.replace(run, results=(), config=run.config | {"models": {}}))
    words = Outline(page).words
    assert "No model was planned" in words and "Moderation" not in words
    assert run.config["study"]["question"] not in words


def test_a_column_without_anything_is_left_out():
    table = Table("A title", ("What", "Lost", "Left"), (("a", "–", "3"), ("b", "–", "–")))
    shown = numbered([Section("key", "Title", (table,))])[0].blocks[0]
    assert shown.columns == ("What", "Left") and shown.rows == (("a", "3"), ("b", "–"))


def test_all_values_censored(run, hair):
    below = run.analysis.assign(cortisol_pg_per_mg=np.nan, cortisol_censored="below", cortisol_limit_pg_per_mg=2.0)
    samples = hair["samples"].assign(cortisol_pg_per_mg=np.nan, censored="below", limit_pg_per_mg=2.0)
    page = build_page(dataclasses.replace(run, analysis=below, cortisol=hair | {"samples": samples}))
    assert "No hair sample has a concentration" in page
    assert "&lt;2.00 [&lt;2.00, &lt;2.00]" in page


def test_a_study_of_children_alone(run):
    children = run.analysis[run.analysis["role"] == "child"]
    attrition = run.attrition[run.attrition["population"] == "child"]
    words = Outline(build_page(dataclasses.replace(run, analysis=children, attrition=attrition))).words
    assert "40 children" in words and "40 parents" not in words


# Hair


def test_cortisol_numbers_are_those_of_its_tables(run, hair):
    page = build_page(dataclasses.replace(run, cortisol=hair))
    assert row_of(page, "P01")[2:7] == ["8", "93–111", ".9986", "28.3", "31.2"]
    assert row_of(page, "high")[1:3] == ["648", "674"]
    assert "Of 3 hair samples, 1 has a concentration" in page
    assert "1 lies below and 1 above" in page


def test_hair_ids_stay_inside_unless_asked_for(run, hair):
    words = Outline(build_page(dataclasses.replace(run, cortisol=hair))).words
    assert not re.search(r"H1000\d", words)
    assert "1 hair sample flagged" in words and "series of control high" in words
    assert "control high reads 130 %" in words
    config = run.config | {"report": run.config["report"] | {"library_ids": True}}
    named = Outline(build_page(dataclasses.replace(run, cortisol=hair, config=config))).words
    assert "H10000: wells differ" in named and "Every hair sample" in named


def test_nothing_flagged_is_said_so(run, hair):
    clean = hair | {
        "quality": hair["quality"].assign(verdict="pass"),
        "samples": hair["samples"].assign(flags=None),
        "rerun": hair["rerun"].iloc[:0],
        "controls": hair["controls"].iloc[:0],
    }
    words = Outline(build_page(dataclasses.replace(run, cortisol=clean))).words
    for said in ("Every check of every plate passed", "No hair sample carries a flag", "Nothing needs to be run again"):
        assert said in words
    assert "No plate has a control" in words


@pytest.fixture
def hair():
    """Cortisol tables of one plate and three samples."""
    curve = {
        "plate_id": "P01", "kit": "elisa", "unit": "pg/mL", "model": "4PL", "weights": "none", "n_standards": 8,
        "recovery_min_percent": 92.96, "recovery_max_percent": 110.6, "r_squared": 0.998617, "lod": 28.32,
        "lloq": 31.25, "uloq": 4000.0, "verdict": "warn",
    }  # fmt: skip
    samples = pd.DataFrame({
        "hair_id": ["H10000", "H10001", "H10002"],
        "cortisol_pg_per_mg": [4.7, np.nan, np.nan],
        "cortisol_low": [3.9, 0.0, 30.0],
        "cortisol_high": [5.5, 2.0, np.inf],
        "cv_percent": [4.3, np.nan, np.nan],
        "censored": ["none", "below", "above"],
        "limit_pg_per_mg": [np.nan, 2.0, 30.0],
        "flags": ["cv_rerun", "censored_below", None],
    })  # fmt: skip
    quality = pd.DataFrame(
        [
            ("P01", "duplicate_cv", "H10000", "warn", "H10000: wells differ by a CV of 53 %", "repeat in duplicate"),
            ("all", "sample_on_no_plate", "H10009", "warn", "H10009 stands on no plate", "add it to a layout"),
            ("P01", "parallelism", "high", "warn", "the series of control high is not parallel", "use less matrix"),
            ("P01", "control_recovery", "high", "fail", "control high reads 130 % of its nominal", "repeat"),
            ("P01", "position", "edge", "pass", None, None),
        ],
        columns=["plate_id", "check", "subject", "verdict", "reason", "remedy"],
    )
    controls = pd.DataFrame([{
        "control": "high", "plate_id": "P01", "nominal": 648.1, "concentration": 673.6, "cv_percent": 2.8,
        "recovery_percent": 103.9, "z": np.nan, "verdict": "pass", "reason": None,
    }])  # fmt: skip
    rerun = pd.DataFrame([{
        "plate_id": "P01", "role": "sample", "sample": "H10000", "wells": "F9;F10", "reason": "wells differ",
        "action": "repeat in duplicate",
    }])  # fmt: skip
    return {
        "curves": pd.DataFrame([curve]), "samples": samples, "quality": quality, "controls": controls, "rerun": rerun,
    }  # fmt: skip


def test_every_table_names_its_file_and_offers_it(page):
    tables = re.findall(r'<figure class="table[^>]*>.*?</figure>', page, flags=re.DOTALL)
    assert len(tables) > 20
    for table in tables:
        assert re.search(r"Source: <code>[a-z_0-9/*.-]+\.(?:tsv|csv|svg)</code>", table) or "Versions" in table, table[
            :200
        ]
        assert 'download="table-' in table
    for figure in re.findall(r'<figure id="[^"]*" class="drawn".*?</figure>', page, flags=re.DOTALL):
        assert "Source: <code>report/figures/" in figure


def test_csv_has_the_tables_numbers_in_full(run, page):
    main = next(r for r in run.results if r.entry["primary"])
    offered = cells_of_csv(page)
    name = next(n for n in offered if "coefficients-of-model-main" in n)
    own = main.own_coefficients()
    assert offered[name]["estimate"].tolist() == pytest.approx(own["estimate"].tolist(), rel=1e-9)
    assert not any({"participant_id", "library_id", "hair_id"} & set(table.columns) for table in offered.values())
