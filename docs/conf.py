"""How the pages become a site (`make site`); they are Markdown that reads as well without one."""

import re
from pathlib import Path

from pygments.lexers.special import TextLexer

project = "hpaxis"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "config/README.md",
    "docs/*.md",
    "docs/howto/*.md",
    "docs/explanation/*.md",
]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "hpaxis"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False


def setup(app):
    """Let the sidebar hold the pages that the index links to, and then the rest."""
    app.connect("source-read", add_contents)
    app.add_lexer("mermaid", TextLexer)  # pictures that GitHub draws; here their text
    app.connect("build-finished", make_accessible)


def make_accessible(app, error):
    """Name the theme's sidebar, and let code and tables that scroll sideways be reached by the tab key (WCAG 2.1.1)."""
    for path in () if error else Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        text = text.replace('<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="Contents">')
        text = text.replace("<pre", '<pre tabindex="0"')
        text = text.replace('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper')
        path.write_text(text, encoding="utf-8")


def add_contents(app, name, source):
    """Write what the sidebar is made of under the index: Markdown itself has no word for it."""
    if name != root_doc:
        return
    linked = re.findall(r"\]\(([\w./]+)\.md", source[0])
    pages = [page.removeprefix("../") if page.startswith("../") else "docs/" + page for page in linked]
    rest = sorted(app.env.found_docs - set(pages) - {root_doc})
    entries = ["Quick start </README>" if page == "README" else f"/{page}" for page in dict.fromkeys(pages + rest)]
    contents = "\n".join(entries)
    source[0] += f"\n```{{toctree}}\n:hidden:\n\n{contents}\n```\n"
