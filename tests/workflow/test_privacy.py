"""Nothing that tells who a person is gets out: not into logs, the report, the crate or the bundle, nor to a terminal.

The small study's files carry a person's name, birthday and address (see conftest.py). Everything that a whole run
writes is searched for them, for the participants' pseudonyms, and for stretches of reads.
"""

import gzip
import re
import shutil
import stat

import pytest
import yaml

from hpaxis.methylation.counting.reads import check_read_files
from hpaxis.problems import InputError
from hpaxis.study import load_study
from hpaxis.tables import read_table

pytestmark = pytest.mark.workflow
CONFIG = ("--configfile", "study/config.yaml")
# Private by design, and said so in docs/privacy.md: molecules of every library.
WITH_READS = "results/methylation/bam"
BASES = re.compile(r"[ACGTN]{30}", re.IGNORECASE)


def written(checkout, *folders):
    """Path below the checkout and content of each file that a run wrote, unpacked."""
    for folder in folders:
        paths = [p for p in sorted((checkout.folder / folder).rglob("*")) if p.is_file()]
        assert paths, folder
        for path in paths:
            data = path.read_bytes()
            if data[:2] == b"\x1f\x8b":
                data = gzip.decompress(data)
            yield str(path.relative_to(checkout.folder)), data.decode("utf-8", errors="replace")


def printed(checkout):
    yield "what the run printed", checkout.first_run.stdout + checkout.first_run.stderr


def test_a_person_in_the_inputs_is_met_nowhere_in_what_a_run_writes(finished, canaries):
    reads = next(iter(sorted((finished.folder / "study" / "reads").glob("*.gz"))))
    assert all(c in gzip.decompress(reads.read_bytes()).decode() for c in canaries)
    places = [*written(finished, "results", "logs", ".snakemake/log", ".snakemake/metadata"), *printed(finished)]
    assert len(places) > 200
    assert [(name, c) for name, text in places for c in canaries if c in text] == []


def test_reads_stand_in_the_bam_files_and_nowhere_else(finished):
    found = {name for name, text in written(finished, "results", "logs", ".snakemake/log") if BASES.search(text)}
    assert {name for name in found if not name.startswith(WITH_READS)} == set()
    assert not any(BASES.search(text) for _, text in printed(finished))
    # The search does find reads where they are.
    assert any(BASES.search(text) for _, text in written(finished, "study/reads"))


def pseudonyms(checkout):
    """A pattern for the ids of participants and of their libraries and hair samples, by themselves in a text."""
    sheets = {
        name: read_table(checkout.folder / "study" / f"{name}.tsv") for name in ("participants", "libraries", "hair")
    }
    people = sheets["participants"]["participant_id"]
    own = sheets["libraries"].dropna(subset=["participant_id"])["library_id"]
    return re.compile(rf"(?<![\w.])({'|'.join([*people, *own, *sheets['hair']['hair_id']])})(?!\w)")


def test_pseudonyms_stay_out_of_what_is_shared(finished):
    pattern = pseudonyms(finished)
    shared = [f"results/report/{part}" for part in ("report.html", "figures", "crate")]
    shared = [part for part in shared if (finished.folder / part).is_dir()]
    places = [*written(finished, *shared)]
    for page in ("report.html", "methylation_quality.html"):
        places.append((page, (finished.folder / "results/report" / page).read_text(encoding="utf-8")))
    assert {(name, found[0]) for name, text in places if (found := pattern.search(text))} == set()
    analysis = (finished.folder / "results/cohort/analysis.tsv").read_text()
    assert pattern.search(analysis), "the search does find pseudonyms where they are"


def test_participants_stay_out_of_logs(finished):
    people = read_table(finished.folder / "study" / "participants.tsv")["participant_id"]
    pattern = re.compile(rf"(?<![\w.])({'|'.join(people)})(?!\w)")
    places = [*written(finished, "logs", ".snakemake/log"), *printed(finished)]
    assert {(name, found[0]) for name, text in places if (found := pattern.search(text))} == set()


@pytest.mark.parametrize(
    "sheet, column, value",
    [
        ("participants", "participant_id", "Zebulon_Quackenbush"),
        ("participants", "participant_id", "Zebulon Quackenbush"),
        ("participants", "participant_id", "1987-06-05"),
        ("participants", "dyad_id", "Quackenbush"),
        ("participants", "arm", "Zebulon Quackenbush"),
        ("participants", "sex", "05.06.1987"),
        ("participants", "sex", "1987-06-05"),
        ("participants", "competence", "19870605"),
        ("participants", "competence", "05.06.1987"),
        ("libraries", "timepoint", "1987-06-05"),
        ("hair", "hair_id", "1987-06-05"),
    ],
)
def test_names_and_birthdays_are_refused_and_not_repeated(study, tmp_path, monkeypatch, canaries, sheet, column, value):
    # Only the sheets are damaged and only they are copied; what they name is read where it is.
    monkeypatch.chdir(study.folder)
    config = yaml.safe_load((study.folder / "study" / "config.yaml").read_text())
    source = study.folder / "study" / f"{sheet}.tsv"
    rows = [line.split("\t") for line in source.read_text().splitlines()]
    rows[1][rows[0].index(column)] = value
    config["sheets"][sheet] = str(tmp_path / f"{sheet}.tsv")
    (tmp_path / f"{sheet}.tsv").write_text("\n".join("\t".join(row) for row in rows) + "\n")
    with pytest.raises(InputError) as refused:
        load_study(config)
    said = str(refused.value)
    assert f"{sheet}.tsv, row 2, {column}:" in said
    assert [c for c in (*canaries, value) if c in said] == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) * 2 // 3],
        lambda text: text.replace("\n+\n", "\n-\n", 1),
        lambda text: text.replace("@", ">", 1),
        lambda text: text.split("\n", 4)[4],
        lambda text: text.replace("\n+\n", "ACGT\n+\n", 1),
    ],
)
def test_a_damaged_read_is_not_shown(study, tmp_path, canaries, damage):
    pair = [study.folder / "study" / "reads" / name for name in ("C0-1_R1.fastq.gz", "C0-1_R2.fastq.gz")]
    text = gzip.decompress(pair[0].read_bytes()).decode()
    assert canaries[0] in text
    broken = tmp_path / "broken.fastq"
    broken.write_text(damage(text))
    problems = check_read_files([broken, pair[1]])
    assert problems
    for problem in problems:
        assert not BASES.search(str(problem))
        assert [c for c in (*canaries, "@sim", text.split()[0]) if c in str(problem)] == []


def test_what_a_run_writes_has_the_permissions_asked_for(study, tmp_path):
    checkout = study.copy_to(tmp_path / "checkout")
    shutil.rmtree(checkout.folder / ".snakemake", ignore_errors=True)
    before = set(checkout.folder.rglob("*"))
    checkout.snakemake(*CONFIG, "--", "results/report/checksums.tsv", in_process=True, umask=0o077)
    new = [p for p in checkout.folder.rglob("*") if p not in before and "__pycache__" not in p.parts]
    assert any(p.name == "checksums.tsv" for p in new)
    modes = {str(p.relative_to(checkout.folder)): stat.S_IMODE(p.stat().st_mode) for p in new}
    # Snakemake gives some files of its own another mode, in a folder that nobody else may enter.
    assert modes[".snakemake"] == 0o700
    ours = {name: mode for name, mode in modes.items() if not name.startswith(".snakemake/")}
    assert {name: oct(mode) for name, mode in ours.items() if mode & 0o077} == {}
