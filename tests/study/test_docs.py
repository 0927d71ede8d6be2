"""Links between the pages lead somewhere, and what the pages tell to run is there."""

import re

import pytest

from hpaxis.designs.catalogue import DESIGNS

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


MADE = {
    "benchmark_amplicon_calling.md": "benchmark",
    "calibration_methylation.md": "calibration",
    "calibration_templates.md": "calibration",
    "calibration_moderation.md": "calibration",
    "calibration_inference.md": "calibration",
    "calibration_programme.md": "calibration",
    "calibration_cortisol.md": "calibration-cortisol",
    "published.md": "published",
    "rebuilt.md": "rebuilt",
    "gallery.md": "gallery",
}
PICTURES = {
    "answer.svg": "pictures",
    "gene.svg": "pictures",
    "benchmark_amplicon_calling.svg": "benchmark",
    **{f"gallery/{name}.svg": "gallery" for name in DESIGNS},
}


def recipe(root, target):
    """The scripts that a target of the Makefile runs."""
    lines = (root / "Makefile").read_text().split(f"\n{target}:")[1].split("\n\n")[0]
    scripts = [root / name for name in re.findall(r"\b(?:benchmarks|tests)/[\w/]+(?:\.py)?", lines)]
    return [file for path in scripts for file in ([path] if path.is_file() else sorted(path.glob("*.py")))]


@pytest.mark.parametrize(("page", "target"), MADE.items())
def test_a_page_of_figures_names_the_command_that_makes_it(root, page, target):
    """The page says which target, and what the target runs writes that page."""
    text = (root / "docs" / page).read_text(encoding="utf-8")
    assert re.search(rf"(Written|Made) by `make {target}\b", text)
    assert any(page in script.read_text(encoding="utf-8") for script in recipe(root, target))


def test_every_page_that_a_command_makes_is_listed(root):
    """A page that says a command made it, or that a benchmark writes, has its line above."""
    said = {p.name for p in (root / "docs").glob("*.md") if re.search(r"(Written|Made) by `make ", p.read_text()[:600])}
    ended = {p.name for p in (root / "docs").glob("*.md") if re.search(r"Made by `make [a-z]+`\.\n$", p.read_text())}
    assert said | ended == set(MADE)


def test_every_picture_is_made_by_the_command_that_is_listed(root):
    """What the target runs names the picture: the page's own name with another ending, or its folder."""
    docs, makefile = root / "docs", (root / "Makefile").read_text()
    assert {p.relative_to(docs).as_posix() for p in docs.rglob("*.svg")} == set(PICTURES)
    for picture, target in PICTURES.items():
        own = makefile.split(f"\n{target}:")[1].split("\n\n")[0]
        scripts = "".join(path.read_text(encoding="utf-8") for path in recipe(root, target))
        said = {f"docs/{picture}", *({"docs/gallery"} if "/" in picture else {picture.replace(".svg", ".md")})}
        assert f"docs/{picture}" in own or any(name in scripts for name in said), picture
