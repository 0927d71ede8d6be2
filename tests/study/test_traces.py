"""Somebody who withdrew leaves nothing behind; results that no sheet names and inputs that changed are told."""

import base64
import shutil

import pandas as pd
import pytest
import yaml

from hpaxis.cli import main
from hpaxis.designs.catalogue import write_design
from hpaxis.report.provenance import checksum_table
from hpaxis.tables import write_table


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A study from a template, with files as a run leaves them: 001 has library L00101 in them."""
    folder = tmp_path_factory.mktemp("traces") / "my_study"
    write_design("counts", folder)
    results = folder / "results"
    libraries = pd.read_csv(folder / "libraries.tsv", sep="\t", dtype="str")
    for library in libraries["library_id"]:
        write_table(pd.DataFrame({"library_id": [library], "n": [1]}), results / f"methylation/counts/{library}.tsv")
        (results / "methylation/bam").mkdir(exist_ok=True)
        (results / f"methylation/bam/{library}.bam").write_bytes(b"BAM")
        (folder / "logs/read_counts").mkdir(parents=True, exist_ok=True)
        (folder / f"logs/read_counts/{library}.log").write_text("INFO 3 molecules\n")
    audit = libraries.assign(sheet="libraries", key=libraries["library_id"])
    write_table(audit[["sheet", "key", "participant_id"]], results / "cohort/join_audit.tsv")
    write_table(libraries[["participant_id"]].assign(y=0.00101), results / "cohort/analysis.tsv")
    write_table(pd.DataFrame({"statistic": ["n"], "value": [0.00101]}), results / "moderation/main/fit.tsv")
    (results / "bundle").mkdir()
    (results / "bundle/participants.zip").write_bytes(b"PK")
    first = libraries["library_id"][0]
    note = base64.b64encode(f"results/methylation/counts/{first}.tsv".encode(), altchars=b"-_").decode()
    (folder / ".snakemake/metadata").mkdir(parents=True)
    (folder / ".snakemake/metadata" / note).write_text("{}")
    inputs = [("sheets", "participants.tsv"), ("reads", "counts/cpgs.tsv")]
    return folder, inputs


@pytest.fixture
def study(written, tmp_path, monkeypatch):
    folder, inputs = written
    shutil.copytree(folder, tmp_path / "my_study")
    monkeypatch.chdir(tmp_path / "my_study")
    write_table(checksum_table(inputs), "results/report/checksums.tsv")
    return tmp_path / "my_study"


def drop(study, sheet, column, value):
    path = study / f"{sheet}.tsv"
    table = pd.read_csv(path, sep="\t", dtype="str", keep_default_na=False)
    table[table[column] != value].to_csv(path, sep="\t", index=False)


def forget(*arguments):
    return main(["forget", "00101", "--configfile", "my_study.yaml", *arguments])


def test_everything_of_a_person_is_listed_and_nothing_touched(study, capsys):
    assert forget() == 0
    listed = capsys.readouterr().out
    expected = """participants.tsv, row 2|libraries.tsv, row 2|counts/L00101.tsv|bam/L00101.bam|
        logs/read_counts/L00101.log|cohort/analysis.tsv|bundle/participants.zip|.snakemake/metadata"""
    for part in map(str.strip, expected.split("|")):
        assert part in listed
    # 0.00101 is no id, and another child's files are no trace.
    assert "moderation/main" not in listed and "L00201" not in listed
    assert (study / "results/methylation/bam/L00101.bam").is_file()


def test_a_person_whom_a_sheet_names_is_not_deleted(study, capsys):
    assert forget("--yes") == 1
    assert "participants.tsv, row 2: still names the participant" in capsys.readouterr().err
    assert (study / "results/methylation/bam/L00101.bam").is_file()


def test_a_person_taken_out_of_the_sheets_leaves_nothing(study, capsys):
    for sheet in ("participants", "libraries"):
        drop(study, sheet, "participant_id", "00101")
    assert main(["check", "--configfile", "my_study.yaml"]) == 0
    assert "named by no sheet any more: results/methylation/bam/L00101.bam" in capsys.readouterr().out
    assert forget("--yes") == 0
    assert "nothing is left" in capsys.readouterr().out
    assert not [p for p in study.rglob("*L00101*") if p.is_file()]
    assert not (study / "results/cohort/analysis.tsv").exists()
    assert (study / "results/methylation/bam/L00201.bam").is_file()
    assert not list((study / ".snakemake/metadata").iterdir())
    assert forget() == 1
    assert "is in no sheet and in no result" in capsys.readouterr().err


def test_check_says_what_was_read_and_what_changed_whatever_its_date(study, capsys):
    import os

    assert main(["check", "--configfile", "my_study.yaml"]) == 0
    said = capsys.readouterr().out
    assert "participants: participants.tsv, 14 rows" in said and "competence: number from" in said
    assert "14 libraries of assay counts at month12" in said and "changed since" not in said
    text = (study / "participants.tsv").read_text()
    (study / "participants.tsv").write_text(text.replace("control", "treatment", 1))
    os.utime(study / "participants.tsv", (0, 0))
    assert main(["check", "--configfile", "my_study.yaml"]) == 0
    assert "changed since the report: participants.tsv" in capsys.readouterr().out


def test_a_template_config_is_valid_yaml_with_comments(study):
    text = (study / "my_study.yaml").read_text()
    assert text.startswith("# ") and yaml.safe_load(text)["sheets"]["participants"] == "participants.tsv"
