"""Links between the pages lead somewhere, and what the pages tell to run is there."""

import re

import pytest

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]+)?\)")
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "config/README.md", "docs/*.md")


def pages(root):
    return [page for pattern in PAGES for page in sorted(root.glob(pattern))]


def anchors(page):
    """The headings of a page as a reader's browser is sent to them."""
    titles = re.findall(r"^#+ +(.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_leads_to_a_file_and_a_heading(root):
    dead = []
    for page in pages(root):
        for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
            aim = (page.parent / target).resolve() if target else page
            if not aim.exists() or (anchor and anchor[1:] not in anchors(aim)):
                dead.append(f"{page.relative_to(root)}: {target}{anchor}")
    assert dead == []


def test_every_page_is_reached_from_the_first(root):
    reached, left = set(), [root / "README.md"]
    while left:
        page = left.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            links = LINK.findall(page.read_text(encoding="utf-8"))
            left += [(page.parent / target).resolve() for target, _ in links if target]
    assert [p.name for p in pages(root) if p.resolve() not in reached] == []


@pytest.mark.parametrize("pattern", [r"\bmake ([a-z][a-z-]+)\b", r"\b((?:benchmarks|scripts|tests)/[\w/]+\.(?:py|sh))"])
def test_every_command_told_is_there(root, pattern):
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.M))
    told = [
        (page.name, name)
        for page in pages(root)
        for block in re.findall(r"```.*?```|`[^`\n]+`", page.read_text(encoding="utf-8"), re.S)
        for name in re.findall(pattern, block)
    ]
    assert told
    assert [(page, name) for page, name in told if name not in targets and not (root / name).exists()] == []
