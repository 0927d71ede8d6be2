"""Every design runs from its how-to page to its report, and nothing on the report is about something else."""

import base64
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from hpaxis.cli import main
from hpaxis.designs.catalogue import CONFIG, DESIGNS, write_design
from hpaxis.study import load_study
from hpaxis.tables import read_table

sys.path.insert(0, str(Path(__file__).parent))
import inprocess
import tracing

ROOT = Path(__file__).resolve().parents[2]
HOWTO = ROOT / "docs" / "howto"
# Sections of the page that a design has beside participants, limits, methods and provenance.
SALIVA, HAIR, MODELS, SERIES = {"methylation"}, {"cortisol"}, {"predictor", "moderation"}, {"series"}
SECTIONS = {
    "dyads": SALIVA | HAIR | MODELS,
    "three_arms": HAIR | MODELS,
    "methylation": SALIVA,
    "hair": HAIR,
    "laboratory": HAIR,
    "saliva_series": HAIR | MODELS | SERIES,
    "questionnaires": MODELS,
    "pyrosequencing": SALIVA | MODELS,
    "two_genes": SALIVA | MODELS,
    "genome_bam": SALIVA | MODELS,
    "counts": SALIVA | MODELS,
    "timepoints": SALIVA | MODELS,
    "clusters": MODELS,
    "lanes": SALIVA,
    "programme": MODELS,
    "two_programmes": MODELS,
}
WORDS = {  # what a page without the section must not speak of, the sentence on what was not measured aside
    "methylation": r"methylation|saliva|librar|CpG|bisulfite|conversion",
    "cortisol": r"\bhair\b|ELISA|Tobit",
    "moderation": r"Moderation|interaction|p value",
}


class Page(HTMLParser):
    """Headings with the text that follows each, prose, tables and sections of a report."""

    def __init__(self, text):
        super().__init__()
        self.sections, self.headings, self.prose, self.tables = set(), [], [], []
        self._open, self._skip = [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag in ("style", "svg", "nav", "title"):
            self._skip += 1
        if self._skip:
            return
        if tag == "section":
            self.sections.add(attributes["id"])
        if tag in ("h2", "h3"):
            self.headings.append([tag, "", ""])
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag in ("p", "li", "figcaption", "caption"):
            self.prose.append("")
        self._open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("style", "svg", "nav", "title"):
            self._skip -= 1
        elif not self._skip and tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        if self._skip or not data.strip():
            return
        within = set(self._open)
        if within & {"h2", "h3"}:
            self.headings[-1][1] += data
        elif self.headings:
            self.headings[-1][2] += data
        if within & {"td", "th"}:
            self.tables[-1][-1][-1] += data
        elif within & {"p", "li", "figcaption", "caption"}:
            self.prose[-1] += data


def empty_headings(page):
    """Headings with nothing below: an h2 may go on with its h3."""
    following = [*(h[0] for h in page.headings[1:]), "end"]
    return [
        title for (tag, title, text), after in zip(page.headings, following)
        if not text.strip() and not (tag == "h2" and after == "h3")
    ]  # fmt: skip


def snakemake(*arguments, folder):
    """Run Snakemake in ``folder``, its scripts in its own process; returns what it printed."""
    done = inprocess.snakemake(*arguments, folder=folder)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]
    return done.stdout + done.stderr


def page_commands(name):
    """The commands of a how-to page, in order."""
    text = (HOWTO / f"{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder as awkward as a laboratory's own share: spaces and letters beyond ASCII."""
    folder = tmp_path / "Müller lab, Größe 2"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.workflow
@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_runs_from_its_page_to_its_report(name, here, capsys):
    for command in page_commands(name):
        arguments = [word.replace("$HPAXIS", str(ROOT)) for word in command[1:]]
        if command[0] == "cd":
            os.chdir(arguments[0])
        elif command[0] == "hpaxis":
            assert main(arguments) == 0, capsys.readouterr()
        else:
            assert command[0] == "snakemake"
            snakemake(*arguments, folder=Path.cwd())
    page = "validation" if name == "laboratory" else "report"
    read_page(name, Path(f"results/report/{page}.html").read_text(encoding="utf-8"))
    if page == "report":
        trace_pages(Path.cwd(), Path(CONFIG))


def trace_pages(folder, path):
    """Fail where a number of the page is in no table of the run, with every count shown and with few withheld."""
    config = load_study(yaml.safe_load(path.read_text(encoding="utf-8"))).config
    for smallest, page, trace in tracing.pages(folder, config):
        looked, faults = tracing.page_faults(trace, page)
        assert looked > 50 and not faults, (smallest, faults[:20])
        if smallest:
            assert not tracing.small_counts(page, smallest)


def read_page(name, text):
    """Fail where a report has a heading without anything, a number that is missing, or speaks of what was not done."""
    page = Page(text)
    assert page.sections & (SALIVA | HAIR | MODELS | SERIES) == SECTIONS[name]
    assert not empty_headings(page)
    lone = [text for text in page.prose if re.search(r"(?:^|[\s(])–(?:[\s).,;]|$)", text)]
    assert not lone, lone
    for table in page.tables:
        rows = table[1:]
        empty = [head for i, head in enumerate(table[0]) if i and rows and all(r[i] in ("–", "") for r in rows)]
        assert not empty, (empty, table[:3])
    said = " ".join(text for text in page.prose if "not measured" not in text)
    for section, words in WORDS.items():
        words = words.replace("saliva|", "") if section == "methylation" and page.sections & SERIES else words
        if section not in page.sections:
            assert not re.search(words, said, re.I), re.search(f".{{80}}(?:{words}).{{40}}", said, re.I)
    assert "Demo" not in said and not re.search(r"confirmatory", said)


@pytest.mark.parametrize("name", DESIGNS)
def test_a_template_has_a_page_and_no_more_than_it_needs(name, tmp_path):
    write_design(name, tmp_path / "study")
    text = (tmp_path / "study" / CONFIG).read_text(encoding="utf-8")
    config = yaml.safe_load(text)
    tables = {path.name for path in (tmp_path / "study").glob("*.tsv")}
    assert set(config["sheets"].values()) <= tables and all(name in text for name in tables)
    assert "report" not in config and "simulation" not in config and "lock" not in config.get("moderation", {})
    assert "Demo" not in config["study"]["title"]
    commands = page_commands(name)
    assert commands[0] == ["hpaxis", "init", name, "my_study"]
    assert f"howto/{name}.md" in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")


def test_the_tutorial_says_what_its_commands_say(here, capsys):
    """The study of the tutorial is made and checked, then its mistake is made: each line it quotes is printed."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    quoted = [block for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M) if not kind]
    read, refused = (block for block in quoted if not block.startswith(("make", "hpaxis")))
    assert main(["init", "dyads", "my_study"]) == 0
    os.chdir("my_study")
    assert main(["check", CONFIG]) == 0
    said = capsys.readouterr().out
    assert all(line in said for line in read.splitlines())
    sheet = Path("participants.tsv")
    lines = sheet.read_text(encoding="utf-8").splitlines(keepends=True)
    assert "\tparent\ttreatment\t" in lines[2]
    lines[2] = lines[2].replace("\ttreatment\t", "\ttreatmnt\t")
    sheet.write_text("".join(lines), encoding="utf-8")
    assert main(["check", CONFIG]) == 1
    assert capsys.readouterr().err.splitlines() == refused.splitlines()


def test_designs_are_listed_and_unknown_ones_refused(tmp_path, capsys):
    assert main(["init", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{name} " in listed for name in DESIGNS)
    assert main(["init", "dyad", str(tmp_path / "new")]) == 1
    assert "did you mean 'dyads'" in capsys.readouterr().err
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "data.tsv").write_text("mine")
    assert main(["init", "hair", str(tmp_path / "own")]) == 1
    assert "is not empty" in capsys.readouterr().err and len(list((tmp_path / "own").iterdir())) == 1


def test_a_template_is_the_same_each_time(tmp_path):
    for copy in ("a", "b"):
        write_design("hair", tmp_path / copy)
    files = [p.relative_to(tmp_path / "a") for p in sorted((tmp_path / "a").rglob("*")) if p.is_file()]
    assert files and all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


@pytest.mark.workflow
def test_an_edit_reruns_what_depends_on_it_whatever_its_date(here):
    """rsync -t and cp -p bring files that are older than the outputs; what they hold counts."""
    write_design("questionnaires", here / "study")
    study, sheet = here / "study", here / "study" / "participants.tsv"
    run = ("-s", str(ROOT / "workflow" / "Snakefile"), "--configfile", CONFIG, "--cores", "1")
    snakemake(*run, "--", "cohort", folder=study)
    assert "Nothing to be done" in snakemake(*run, "-n", "--", "cohort", folder=study)
    text = sheet.read_text(encoding="utf-8")
    sheet.write_text(
        text.replace("\t100\t", "\t101\t", 1) if "\t100\t" in text else text[:-3] + "7\n", encoding="utf-8"
    )
    os.utime(sheet, (0, 0))
    assert "build_cohort" in snakemake(*run, "-n", "--", "cohort", folder=study)


@pytest.mark.workflow
def test_an_interrupted_run_is_finished_by_the_same_command_from_the_study_folder(here):
    """A job is killed while it writes: its half-written output is made again, without another option."""
    write_design("questionnaires", here / "study")
    study, target = here / "study", here / "study" / "results" / "cohort" / "analysis.tsv"
    run = ("-s", str(ROOT / "workflow" / "Snakefile"), "--configfile", CONFIG, "--cores", "1")
    killed = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *run, "--", "cohort"],
        cwd=study, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    begun = time.monotonic()
    while not (started := [p for p in (study / ".snakemake" / "incomplete").glob("*") if p.is_file()]):
        assert killed.poll() is None and time.monotonic() - begun < 300
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    names = {base64.b64decode(path.name, altchars=b"-_").decode() for path in started}
    assert "results/cohort/analysis.tsv" in names
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("participant_id\n0010", encoding="utf-8")
    snakemake(*run, "--unlock", folder=study)
    snakemake(*run, "--", "cohort", folder=study)
    assert len(target.read_text(encoding="utf-8").splitlines()) > 10


@pytest.mark.workflow
def test_arms_are_masked_in_the_cohort_until_the_plan_is_locked(here, monkeypatch):
    """The config names a lock that is not there: analysis.tsv has shuffled arms; once it is written, the true ones."""
    write_design("questionnaires", here / "study")
    study, config = here / "study", here / "study" / CONFIG
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("moderation:", "moderation:\n  lock: plan_lock.json", 1), encoding="utf-8")
    run = ("-s", str(ROOT / "workflow" / "Snakefile"), "--configfile", CONFIG, "--cores", "1", "--", "cohort")

    def arms(path):
        return read_table(path, text=("participant_id",)).set_index("participant_id")["arm"].sort_index()

    truth, analysis = arms(study / "participants.tsv"), study / "results" / "cohort" / "analysis.tsv"
    snakemake(*run, folder=study)
    masked = arms(analysis)
    assert (masked != truth).mean() > 0.2 and masked.value_counts().to_dict() == truth.value_counts().to_dict()
    monkeypatch.chdir(study)
    assert main(["lock", CONFIG]) == 0
    snakemake(*run, folder=study)
    assert (arms(analysis) == truth).all()


@pytest.mark.workflow
def test_a_checkout_in_a_folder_with_a_space_runs(here):
    """Snakemake hands the path of its Python to a shell as it stands; links stand for both."""
    lab = here / "my lab"
    lab.mkdir()
    for part in ("workflow", "scripts", "resources"):
        (lab / part).symlink_to(ROOT / part)
    (lab / "venv").symlink_to(Path(sys.prefix))
    write_design("clusters", here / "study")
    command = [str(lab / "venv" / "bin" / "python"), "-m", "snakemake", "-s", str(lab / "workflow" / "Snakefile")]
    done = subprocess.run(
        [*command, "--configfile", CONFIG, "--cores", "1", "--", "cohort"],
        cwd=here / "study", capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (here / "study" / "results" / "cohort" / "analysis.tsv").is_file()
