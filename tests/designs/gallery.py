"""Write the gallery of the templates' reports, docs/gallery.md, from the runs that templates.py left.

python tests/designs/gallery.py [--runs build/templates] [--site build/site/reports]

Of each design: its question, what its report answers, one figure of it (docs/gallery/NAME.svg), and where the whole
report is on the site, to which reports are copied. A design that was not run keeps what the page has of it, and is
named.
"""

import argparse
import json
import re
import shutil
from pathlib import Path

import yaml

from hpaxis.designs.catalogue import CONFIG, DESIGNS

ROOT = Path(__file__).resolve().parents[2]
# The figure that stands for a design where no model's slopes do.
FIGURES = ("slopes.svg", "gene.svg", "samples.svg", "curves.svg", "precision.svg", "conversion.svg")
HEAD = """# A gallery of reports

*Written by `make gallery`, which runs each template of `hpaxis init` as its page says and takes a figure and the answer
from its report. The inputs are simulated. Below `build/site/reports` it leaves each report whole.*
"""


def answer_of(results):
    """The sentence with which a report answers, as plain text; None for a page without one."""
    path = results / "report" / "report.json"
    if not path.is_file():
        return None
    page = json.loads(path.read_text(encoding="utf-8"))
    lead = next((b["text"] for b in page["answer"] if b and b.get("lead")), None)
    text = lead["markup"] if isinstance(lead, dict) else lead
    return re.sub(r"<[^>]+>", "", text) if text else None


def figure_of(results, primary):
    """The figure that shows best what a design is about; the primary model's lines, where there is a model."""
    found = sorted((results / "report" / "figures").rglob("*.svg"))
    for name in FIGURES:
        own = [p for p in found if p.name == name]
        own = [p for p in own if p.parent.name == primary] or own
        if own:
            return own[0]
    return found[0]


def sections_of(text):
    """The page's sections by title, each as it stands."""
    found = re.split(r"^## ", text, flags=re.M)[1:]
    return {section.split("\n", 1)[0]: f"## {section.rstrip()}\n" for section in found}


def main():
    """Copy figures and reports, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "templates")
    parser.add_argument("--site", type=Path, default=ROOT / "build" / "site" / "reports")
    asked = parser.parse_args()
    pictures = ROOT / "docs" / "gallery"
    pictures.mkdir(exist_ok=True)
    asked.site.mkdir(parents=True, exist_ok=True)
    page, parts, kept = ROOT / "docs" / "gallery.md", [HEAD], []
    before = sections_of(page.read_text(encoding="utf-8")) if page.is_file() else {}
    for name, design in DESIGNS.items():
        study = asked.runs / name / "my_study"
        title = re.search(r"^# (.*)$", (ROOT / f"docs/howto/{name}.md").read_text(encoding="utf-8"), re.M)[1]
        report = next((p for p in ("report", "validation") if (study / f"results/report/{p}.html").is_file()), None)
        if report is None:
            kept.append(name)
            parts += [before[title]] if title in before else []
            continue
        config = yaml.safe_load((study / CONFIG).read_text(encoding="utf-8"))
        models = config.get("models") or {}
        primary = next((m for m, entry in models.items() if entry.get("primary")), next(iter(models), None))
        shutil.copyfile(study / f"results/report/{report}.html", asked.site / f"{name}.html")
        picture = figure_of(study / "results", primary)
        shutil.copyfile(picture, pictures / f"{name}.svg")
        parts.append(f"## {title}\n\n*{design.about[0].upper()}{design.about[1:]}* ([how to](howto/{name}.md)).\n")
        said = answer_of(study / "results")
        if models and said:
            question = config["study"].get("question")
            parts.append((f"> {question}\n>\n" if question else "") + f"> {said}\n")
        elif said:
            parts.append(f"> {said}\n")
        about = re.sub(r"[_-]", " ", picture.stem)
        parts.append(f"![{config['study']['title']}: {about}](gallery/{name}.svg)\n")
    page.write_text("\n".join(parts), encoding="utf-8")
    print(f"{len(DESIGNS) - len(kept)} reports: docs/gallery.md, {asked.site}")
    if kept:
        print(f"not run, so kept as they were: {', '.join(kept)}")


if __name__ == "__main__":
    main()
