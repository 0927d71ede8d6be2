"""The search for counts of few people in what may be shared: by code that shares nothing with what withholds them.

Any whole number from 1 to 4 is held to count people, unless its column is known to count something else (`NOT_PEOPLE`);
so is what such a number is short of the n beside it. Searched are the tables of a bundle, the tables,
sentences and CSV of a page, the texts of figures, and Word files.
"""

import base64
import io
import json
import re
import zipfile
from pathlib import Path

import docx
import pandas as pd

SMALLEST = 5
# Whole numbers that count no people: versions, degrees of freedom, tests, groups of wells, tubes per person, and what
# the laboratory made or ran again: standards, controls, libraries (the number of samples is always shown).
NOT_PEOPLE = re.compile(
    r"versions?|df\d?|effective_tests|groups|per_subject|p_holm|draws|failed|page|rank|studies|free|seed|level|month\w*|"
    r"columns|effects|doses|df_\w+|runs|plates|wells|replicates|curves|parameters|order|\d+|.*(?:percent|_se|_sd)|"
    r"Standards|Libraries|Years|\d+% controls|n_replicated|moderator|at|arm|Arm|reference|Files|Rows|Used|"
    r"low|high|estimate|statistic|value|minimum|maximum|margin|limit|total|count|position|pos|length|p|t|power|weight|"
    r"mean|median|sd|q\d+|share|sessions|cost\w*|events\w*|bytes|own_\w+|band_\w+|observed_\w+|arm_\w+|reference_\w+"
)
SENTENCE = re.compile(
    r"(?<![\w.,–-])(?<!1 to )(\d+)(?: of (\d+))? (?:people|children|parents|participants|persons|mothers|infants)\b"
)
# The numbers enrolled and analysed are always shown, as CONSORT asks.
SHOWN = re.compile(r"\d+ of \d+ \w+ are complete cases|from 1 to \d+ people")
# Where an arm's number enrolled may stand again, when none of it was lost.
FLOW = re.compile(r"n|n[ _](?:before|after)|stays")
HEADS = re.compile(r"(?i)n\b.*|people|left out|missing|censored|below / above limits|used")


def is_few(n, shown=frozenset()):
    """Whether a number counts few people and is not ``shown`` in any case."""
    return n == n and float(n).is_integer() and 0 < n < SMALLEST and n not in shown


def table_faults(table, where, enrolled=frozenset()):
    """Columns of a table with counts of few people, or with all but few of the n beside them.

    ``enrolled``: the numbers enrolled by arm, which are always shown.
    """
    faults = []
    if {"check", "count", "total"} <= set(table):
        # Of the strip's checks, these two count people; the others count versions or predictors.
        own = table[table["check"].isin(["single_deletions", "region"])]
        for check, n, total in own[["check", "count", "total"]].itertuples(index=False):
            if is_few(n) or is_few(total - n):
                faults.append(f"{where}, {check}: {n:g} of {total:g}")
    for column in table:
        if table[column].dtype.kind not in "if" or NOT_PEOPLE.fullmatch(str(column)):
            continue
        counts = table[column].dropna()
        if not len(counts) or not (counts == counts.round()).all():
            continue
        shown = enrolled if FLOW.fullmatch(str(column)) else frozenset()
        faults += [f"{where}, {column}: {n:g}" for n in counts.unique() if is_few(n, shown)]
        if "n" in table and column not in ("n", "sign_flips"):
            rest = (table["n"] - table[column]).dropna()
            faults += [f"{where}, {column}: all but {n:g} of n" for n in rest.unique() if is_few(n)]
    return faults


def text_faults(text, where):
    """Sentences that count few people, or all but few."""
    faults = []
    for match in SENTENCE.finditer(SHOWN.sub("", text)):
        n, total = int(match[1]), int(match[2] or 0)
        if is_few(n) or (total and is_few(total - n)):
            faults.append(f"{where}: …{text[max(0, match.start() - 40) : match.end() + 30]}…")
    return faults


def svg_faults(text, where, enrolled=frozenset()):
    """Texts of a drawing that count few: ``n = 3``, ``(3)`` aside, which counts libraries."""
    said = re.findall(r"<text[^>]*>(.*?)</text>", text, re.S)
    plain = [re.sub(r"<[^>]+>", "", t) for t in said]
    return [f"{where}: {t}" for t in plain for n in re.findall(r"\bn ?= ?(\d+)", t) if is_few(int(n), enrolled)]


def page_faults(page, where, enrolled=frozenset()):
    """Sentences and cells of a stored page (report.json)."""
    faults = []

    def plain(value):
        return re.sub(r"<[^>]+>", "", value["markup"]) if isinstance(value, dict) else str(value)

    def walk(block):
        if block is None:
            return
        for inner in block.get("blocks") or ():
            walk(inner)
        for key in ("text", "note", "alt"):
            if block.get(key):
                faults.extend(text_faults(plain(block[key]), where))
        for item in block.get("items") or ():
            faults.extend(text_faults(plain(item), where))
        for check in block.get("checks") or ():
            faults.extend(text_faults(plain(check["said"]), where))
        if block.get("block") == "Table":
            title = plain(block["title"])
            people = [i for i, c in enumerate(block["columns"]) if i and HEADS.fullmatch(plain(c).strip())]
            if re.search(r"(?i)librar|plate|well|caller|sheet|input|flag|control|curve|tube", title):
                return
            for row in block["rows"]:
                for i in people:
                    shown = enrolled if FLOW.fullmatch(plain(block["columns"][i])) else frozenset()
                    cell = re.sub(r"\d+–\d+", "", plain(row[i]))
                    numbers = [int(n.replace(",", "")) for n in re.findall(r"(?<![\w.])\d[\d,]*(?![\w.])", cell)]
                    faults.extend(
                        f"{where}, “{title}”, {plain(row[0])}, {plain(block['columns'][i])}: {cell}"
                        for n in numbers if is_few(n, shown)
                    )  # fmt: skip

    for block in [*page["answer"], *page["notices"], *(b for s in page["sections"] for b in s["blocks"])]:
        walk(block)
    return faults


def offered_faults(html, where, enrolled=frozenset()):
    """The CSV that a page offers from inside."""
    faults = []
    for name, coded in re.findall(r'download="([^"]+\.csv)" href="data:text/csv;charset=utf-8;base64,([^"]+)"', html):
        if re.search(r"librar|plate|well|caller|sheet|input|flag|control|curve|tube|sample|kind", name):
            continue
        table = pd.read_csv(io.BytesIO(base64.b64decode(coded)), encoding="utf-8-sig", na_values=["NA"])
        faults += table_faults(table, f"{where}, {name}", enrolled)
    return faults


def word_faults(data, where):
    """Paragraphs of a Word file."""
    document = docx.Document(io.BytesIO(data))
    return [fault for p in document.paragraphs for fault in text_faults(p.text, where)]


def file_faults(name, data, enrolled=frozenset()):
    """Faults of one file by its kind."""
    if name.endswith(".svg"):
        return svg_faults(data.decode("utf-8"), name, enrolled)
    if name.endswith("report.json"):
        return page_faults(json.loads(data), name, enrolled)
    if name.endswith(".html"):
        return offered_faults(data.decode("utf-8"), name, enrolled)
    if name.endswith(".docx"):
        return word_faults(data, name)
    if name.endswith((".md", ".tex")):
        return text_faults(data.decode("utf-8"), name)
    of_people = not re.search(
        r"(?:^|/)(?:counts|methylation|cortisol|submission)/|geo|sra|dbgap|manifest|withheld", name
    )
    if name.endswith((".tsv", ".csv")) and of_people and data.strip():
        separator = "," if name.endswith(".csv") else "\t"
        table = pd.read_csv(io.BytesIO(data), sep=separator, na_values=["NA"], keep_default_na=False)
        return table_faults(table, name, enrolled)
    return []


def complete_cases(results, models):
    """{model: (n of complete cases, df)} where few people of a model have a value that is censored."""
    found = {}
    for name in models:
        folder = Path(results) / "moderation" / name
        if not (folder / "sensitivity.tsv").is_file():
            continue
        rows = pd.read_csv(folder / "sensitivity.tsv", sep="\t")
        own, reported = rows[rows["method"] == "complete cases"], rows[rows["role"] == "primary"]
        if len(own) and len(reported) and is_few(abs(own["n"].iloc[0] - reported["n"].iloc[0])):
            found[name] = (own["n"].iloc[0], own["df"].iloc[0])
    return found


def complement_faults(name, data, hidden):
    """Tables of a model that tell the n of its complete cases, by n or by degrees of freedom."""
    faults = []
    match = re.fullmatch(r"tables/moderation/([^/]+)/[^/]+\.tsv", name)
    if match and match[1] in hidden:
        n, df = hidden[match[1]]
        table = pd.read_csv(io.BytesIO(data), sep="\t", na_values=["NA"], keep_default_na=False)
        for column, secret in (("n", n), ("df", df), ("df2", df), ("value", n)):
            if column in table and (pd.to_numeric(table[column], errors="coerce") == secret).any():
                faults.append(f"{name}, {column}: {secret:g} of complete cases")
    return faults


def enrolled_by_arm(results):
    """The numbers enrolled in the arms of a study."""
    flow = pd.read_csv(Path(results) / "cohort" / "attrition.tsv", sep="\t")
    return frozenset(flow.loc[flow["step"] == "enrolled", "n_after"])


def few_in_bundle(path, study):
    """Counts of few people in every file of a shared bundle of a study."""
    models = [p.name for p in (Path(study) / "results" / "moderation").glob("*") if p.is_dir()]
    hidden, faults = complete_cases(Path(study) / "results", models), []
    enrolled = enrolled_by_arm(Path(study) / "results")
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            faults += file_faults(name, data, enrolled) + complement_faults(name, data, hidden)
    return faults
