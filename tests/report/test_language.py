"""Phrases that must not return: in documents, captions, the config reference and what the pages say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PHRASES = (
    r"\bmend(?:ed|s|ing)?\b", r"\btells? nothing\b", r"\btold by row\b", r"must not tell\b", r"\ban own one\b",
    r"\bis warned of\b", r"\bare warned of\b", r"\bfor ever\b", r"nothing is to be done", r"\bat the begin of\b",
    r"\bEnrolled were\b", r"\bcounts? not at all\b", r"\bWhere what is\b", r"\bis no panel\b",
    r"\b(?:one|a) row a (?!of)\w+", r"changes are told\b", r"damage, not forgery", r"files of the future",
    r"by another way\b", r"what single people do", r"a pass may carry", r"\bstands in row\b", r"Where what stands",
    r"\b(?:off|of) the begin\b", r"\bfalls? away\b", r"\bplace nothing\b", r"\btwice running\b", r"\blone read\b",
    r"\b(?:record|letter|sign|job|row) a (?:merged |family|CpG|molecule|person|cluster|library|plate)",
    r"\bfile after file by\b", r"\bcalled like the\b", r"\bin its own name\b", r"\bwhat tells the arm\b",
    r"\bhas no two ends\b",
    r"\b(?:one SD|one unit) more\b", r"\bonly that is said\b", r"\bwhich is said\b",
    r"\bnothing is silent\b", r"\bno word\b",
    r"\bwithout a word\b", r"\bcannot be told\b", r"\bmargin that is none\b",
    r"\bstands? in (?:one|the) (?:cell|column|layout)\b",
    r"\bgo together\.\*\*", r"\bis said to be missing\b", r"\bone a line\b", r"\b\d+ bytes a read\b",
    r"\bdifferences are meant\b", r"\bholds? for who\b", r"\bfor who ran\b", r"are left aside\b",
)  # fmt: skip
AMERICAN = (
    r"\bcolor(?!s?=|_|\"|:)\b",
    r"\brandomiz",
    r"\bstandardiz",
    r"\bnormaliz",
    r"\banalyz",
    r"\bbehavior\b",
    r"\bgray\b",
)
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "workflow/report").glob("*.rst")),
    *sorted((ROOT / "scripts/hpaxis/report").rglob("*.py")),
]


def lines_of(path):
    """Lines of prose: the table of what to avoid, code and references aside."""
    code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            code = not code
        if code or (path.name == "CONTRIBUTING.md" and line.startswith("| ")) or path.name == "references.py":
            continue
        yield number, line


@pytest.mark.parametrize("phrases", [PHRASES, AMERICAN], ids=["phrases", "spelling"])
def test_what_must_not_return(phrases):
    pattern = re.compile("|".join(phrases))
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in DOCUMENTS
        for number, line in lines_of(path)
        if (match := pattern.search(line))
    ]
    assert found == []


# What error lines and docstrings of the whole library said before.
CORRECTED = re.compile(
    r"\bmend(?:ed|s|ing)?\b|\bat the begin of\b|\bone row an? [a-z]+|\bstands in row\b|\bis no panel\b"
    r"|which there is not"
)


def test_the_library_says_it_in_plain_english_too():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in sorted((ROOT / "scripts").rglob("*.py"))
        for number, line in lines_of(path)
        if (match := CORRECTED.search(line))
    ]
    assert found == []


def test_the_test_sees_a_phrase(tmp_path):
    (tmp_path / "x.md").write_text("Nothing runs until it is mended.\n```\nmend\n```\n")
    pattern = re.compile("|".join(PHRASES))
    assert [n for n, line in lines_of(tmp_path / "x.md") if pattern.search(line)] == [1]


def test_terms_of_the_pages_are_in_the_glossary():
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = (
        "M-bias", "effective depth", "PDR", "epipolymorphism", "haplotype load", "over-conversion", "MOVER", "SIMEX",
        "hat value", "Johnson–Neyman region", "multiverse", "plan lock", "B0", "NSB", "%B/B0", "LLOQ",
    )  # fmt: skip
    for term in terms:
        assert f"| {term}" in glossary, term
