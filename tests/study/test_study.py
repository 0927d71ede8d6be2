"""What is wrong with a study is found before anything runs, all of it at once."""

import dataclasses
import gzip
import os
import shutil
from pathlib import Path

import pytest
import yaml

from hpaxis.methylation.panels.panel import panel_folder
from hpaxis.problems import InputError
from hpaxis.study import load_study, read_study


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small simulated study on disk."""
    from hpaxis.simulation.study import write_study

    folder = tmp_path_factory.mktemp("made")
    config = yaml.safe_load((panel_folder("nr3c1_exon1f").parents[2] / "config/config.yaml").read_text())
    config["simulation"] = {"dyads": 12, "pairs_per_library": 50}
    before = os.getcwd()
    os.chdir(folder)
    try:
        write_study(config, "study")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def study(made, tmp_path, monkeypatch):
    """A copy that a test may damage; the working directory is above it, as when Snakemake runs."""
    shutil.copytree(made / "study", tmp_path / "study")
    monkeypatch.chdir(tmp_path)
    return Damaged(tmp_path / "study")


class Damaged:
    """Edits of a study's files, and what `load_study` says of them."""

    def __init__(self, folder):
        self.folder = folder
        self.config = yaml.safe_load((folder / "config.yaml").read_text())

    def cell(self, sheet, row, column, value):
        """Set a cell; ``row`` is the line in the file."""
        path = self.folder / f"{sheet}.tsv"
        lines = [line.split("\t") for line in path.read_text().splitlines()]
        lines[row - 1][lines[0].index(column)] = value
        path.write_text("\n".join("\t".join(cells) for cells in lines) + "\n")

    def get(self, sheet, row, column):
        lines = [line.split("\t") for line in (self.folder / f"{sheet}.tsv").read_text().splitlines()]
        return lines[row - 1][lines[0].index(column)]

    def row_of(self, sheet, column, test):
        """The line of the first row whose cell passes ``test``."""
        lines = [line.split("\t") for line in (self.folder / f"{sheet}.tsv").read_text().splitlines()]
        at = lines[0].index(column)
        return next(i for i, cells in enumerate(lines[1:], start=2) if test(cells[at]))

    def problems(self):
        """Every problem as its line; an empty list when the study is sound."""
        try:
            load_study(self.config, "study/config.yaml")
        except InputError as error:
            return [str(p) for p in error.problems]
        return []


def test_a_sound_study_has_no_problems(study):
    assert study.problems() == []


def test_unknown_column(study):
    path = study.folder / "hair.tsv"
    path.write_text(path.read_text().replace("mass_mg", "weight_mg", 1))
    lines = study.problems()
    assert any("study/hair.tsv, row 1: 'weight_mg' is not a known column; rename or remove" in x for x in lines)
    assert any("study/hair.tsv, row 1, mass_mg: has no such column; add the column" in x for x in lines)


def test_duplicate_id(study):
    study.cell("libraries", 3, "library_id", study.get("libraries", 2, "library_id"))
    first = study.get("libraries", 2, "library_id")
    assert (
        f"study/libraries.tsv, row 3, library_id: '{first}' duplicates row 2; put the lanes of one library into one "
        "row, their files separated by semicolons; give another preparation its own id, or delete one row"
    ) in study.problems()


def test_missing_fastq(study):
    name = study.get("libraries", 2, "fastq_2")
    os.remove(name)
    assert study.problems() == [f"study/libraries.tsv, row 2, fastq_2: '{name}' does not exist; correct the path"]


def test_truncated_gzip(study):
    name = study.get("libraries", 2, "fastq_1")
    with open(name, "rb+") as file:
        file.truncate(os.path.getsize(name) // 2)
    (line,) = study.problems()
    assert line.startswith(name)
    assert line.endswith(": the gzip stream ends early; copy or sequence the file again")


def test_mates_out_of_step(study):
    name = study.get("libraries", 2, "fastq_2")
    path = Path(name)
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[4:])))
    (line,) = study.problems()
    assert name in line
    assert "step" in line


def test_empty_library(study):
    for column in ("fastq_1", "fastq_2"):
        with open(study.get("libraries", 2, column), "wb") as file:
            file.write(gzip.compress(b""))
    lines = study.problems()
    assert len(lines) >= 1
    assert all("no reads" in line or "empty" in line for line in lines), lines


def test_arm_misspelt(study):
    study.cell("participants", 2, "arm", "contorl")
    lines = study.problems()
    assert (
        "study/participants.tsv, row 2, arm: 'contorl' is not an arm of this study; use one of the config's arms: "
        "control, treatment (did you mean 'control'?)"
    ) in lines


def test_mass_in_g(study):
    study.cell("hair", 2, "mass_mg", "0.0213")
    assert (
        "study/hair.tsv, row 2, mass_mg: '0.0213' is below 0.1; give the mass in mg (a value such as 0.02 is probably "
        "in g)"
    ) in study.problems()


def test_library_well_used_twice(study):
    for column in ("plate", "well"):
        study.cell("libraries", 3, column, study.get("libraries", 2, column))
    (line,) = study.problems()
    assert line.startswith("study/libraries.tsv, row 3, well: ")
    assert "is used in row 2 already; a well holds one library" in line


def test_cortisol_well_used_twice(study):
    layout = study.get("plates", 2, "layout_file")
    with open(layout) as file:
        lines = file.read().splitlines()
    wells = lines[0].split("\t").index("well")
    cells = lines[2].split("\t")
    cells[wells] = lines[1].split("\t")[wells]
    lines[2] = "\t".join(cells)
    with open(layout, "w") as file:
        file.write("\n".join(lines) + "\n")
    lines = study.problems()
    assert any(layout in x and "row 3" in x and "well" in x for x in lines), lines


def test_participant_without_a_library(study):
    row = study.row_of("participants", "missing", lambda cell: cell == "NA")
    person = study.get("participants", row, "participant_id")
    path = study.folder / "libraries.tsv"
    path.write_text("".join(x for x in path.read_text().splitlines(keepends=True) if f"\t{person}\t" not in x))
    assert study.problems() == [
        f"study/participants.tsv, row {row}, participant_id: '{person}' has no library; add the row to libraries.tsv, "
        "or write saliva in the column missing"
    ]


def test_said_to_be_missing_but_there(study):
    row = study.row_of("participants", "missing", lambda cell: cell == "NA")
    study.cell("participants", row, "missing", "saliva")
    (line,) = study.problems()
    assert "'saliva' is declared missing, but is in libraries.tsv; remove the word, or the row" in line


def test_panel_whose_primer_does_not_match_its_reference(study):
    shutil.copytree(panel_folder("nr3c1_exon1f"), study.folder / "panel")
    table = study.folder / "panel" / "amplicons.tsv"
    assert "TTTGAAGTTTTTTTAGAGGG" in table.read_text()
    table.write_text(table.read_text().replace("TTTGAAGTTTTTTTAGAGGG", "TTTGAAGTTTTTTTAGAGCC"))
    rows = len((study.folder / "libraries.tsv").read_text().splitlines())
    for row in range(2, rows + 1):
        study.cell("libraries", row, "panel", "study/panel")
    (line,) = study.problems()
    assert "TTTGAAGTTTTTTTAGAGCC" in line
    assert "amplicons.tsv, row 2, forward_primer" in line


def test_unknown_panel(study):
    study.cell("libraries", 2, "panel", "nr3c1_exon1h")
    assert any("'nr3c1_exon1h' is not a panel; use a shipped panel (nr3c1_exon1f)" in x for x in study.problems())


def test_unknown_config_key(study):
    study.config["cohort"]["timpoint"] = "month12"
    assert study.problems() == [
        "study/config.yaml, cohort.timpoint: is not a known key; remove it (did you mean 'timepoint'?)"
    ]


def test_missing_and_malformed_config_keys(study):
    del study.config["arms"]
    study.config["seed"] = -1
    lines = study.problems()
    assert "study/config.yaml, arms: is missing; add the key; see config/README.md" in lines
    assert any(x.startswith("study/config.yaml, seed: -1 is less than the minimum") for x in lines)


def test_a_model_that_names_no_column(study):
    study.config["models"]["competence"]["outcome"] = "competense"
    (line,) = study.problems()
    assert "study/config.yaml, models.competence" in line
    assert "competense" in line
    assert "did you mean" in line


@pytest.mark.parametrize(
    "sheet, column, value, said",
    [
        ("libraries", "participant_id", "99999", "is not in participants.tsv"),
        ("libraries", "participant_id", "NA", "a study library needs the participant"),
        ("libraries", "timepoint", "NA", "a study library needs its timepoint"),
        ("libraries", "expected_percent", "400", "is above 100"),
        ("libraries", "kind", "no_template", "is named for a library that is not of kind study"),
        ("libraries", "counts", "x.tsv", "assay amplicon does not read it"),
        ("libraries", "assay", "nanopore", "is not a known word"),
        ("libraries", "assay", "counts", "assay counts needs this file"),
        ("libraries", "panel", "../../etc", "is not a panel"),
        ("hair", "participant_id", "99999", "is not in participants.tsv"),
        ("hair", "methanol_recovered_ml", "9", "mL added"),
        ("participants", "dyad_id", "999999999999999999999999999999999999999999", "has a form that is not allowed"),
        ("plates", "kit", "no such kit", "kit"),
    ],
)
def test_one_cell_at_fault(study, sheet, column, value, said):
    path = study.folder / f"{sheet}.tsv"
    if column not in path.read_text().splitlines()[0].split("\t"):
        lines = path.read_text().splitlines()
        path.write_text("\n".join([lines[0] + f"\t{column}", *(x + "\tNA" for x in lines[1:])]) + "\n")
    study.cell(sheet, 2, column, value)
    assert any(said in line and line.startswith(f"study/{sheet}.tsv, row 2, ") for line in study.problems())


def test_a_dyad_in_two_arms(study):
    row = study.row_of("participants", "role", lambda cell: cell == "parent")
    arm = study.get("participants", row, "arm")
    study.cell("participants", row, "arm", "treatment" if arm == "control" else "control")
    (line,) = study.problems()
    assert "is in two arms; members of a dyad are randomised together" in line


def test_a_fastq_used_for_two_libraries(study):
    study.cell("libraries", 3, "fastq_1", study.get("libraries", 2, "fastq_1"))
    assert any("is used in row 2 already; give each library its own file" in x for x in study.problems())


def test_sound_files_are_remembered_and_looked_at_again_when_they_change(study, monkeypatch):
    from hpaxis.methylation import check

    looked = []
    real = check.check_read_files
    monkeypatch.setattr(check, "check_read_files", lambda *paths: looked.append(1) or real(*paths))
    cache = study.folder / "cache.json"
    load_study(study.config, cache=cache)
    first = len(looked)
    assert first > 20
    load_study(study.config, cache=cache)
    assert len(looked) == first
    name = study.get("libraries", 2, "fastq_1")
    os.utime(name, ns=(1, 1))
    load_study(study.config, cache=cache)
    assert len(looked) == first + 1


def test_everything_at_once(study):
    study.cell("participants", 2, "arm", "contorl")
    study.cell("hair", 2, "mass_mg", "0.02")
    os.remove(study.get("libraries", 2, "fastq_1"))
    study.cell("libraries", 3, "panel", "none")
    study.config["models"]["cortisol"]["predictor"] = "nothing"
    lines = study.problems()
    for said in ("contorl", "0.02", "does not exist", "is not a panel", "nothing"):
        assert any(said in line for line in lines), said
    assert all("\n" not in line for line in lines)


def test_umis_that_no_read_can_carry_are_told(study):
    path = study.folder / "libraries.tsv"
    header, *rows = path.read_text().splitlines()
    second = header.split("\t").index("fastq_2")
    patterns = ["NNNNNNNN,NNNNNNNN", "name", "ACGT"]
    cells = [row.split("\t") for row in rows]
    cells[0][second] = "NA"
    lines = [header + "\tumi"]
    lines += ["\t".join([*row, patterns[i] if i < 3 else "NA"]) for i, row in enumerate(cells)]
    path.write_text("\n".join(lines) + "\n")
    found = study.problems()
    what = "'NNNNNNNN,NNNNNNNN' names bases of read 2, but there is no fastq_2; correct umi or fastq_2"
    assert f"study/libraries.tsv, row 2, umi: {what}" in found
    assert len(found) == 2 and "row 4, umi: 'ACGT'" in found[1] + found[0]


def test_every_file_that_a_study_brought_is_known_by_its_role(study):
    """Whatever a sheet or the config names, each once; what a sheet's cell lists or a folder holds is taken apart."""
    folder = study.folder
    columns = ("fastq_1", "fastq_2", "bam", "counts", "levels", "export")
    given = {
        "A": ("amplicon", {"fastq_1": "a_1.fq;b_1.fq", "fastq_2": "a_2.fq;b_2.fq"}),
        "B": ("genome", {"bam": "b.bam"}),
        "C": ("counts", {"counts": "study/counted"}),
        "D": ("levels", {"levels": "levels.tsv"}),
        "E": ("levels", {"levels": "levels.tsv"}),
        "F": ("pyrosequencing", {"export": "e1.txt;e2.txt"}),
    }
    lines = ["\t".join(("library_id", "participant_id", "timepoint", "panel", "assay", *columns))]
    for name, (assay, cells) in given.items():
        named = [cells.get(column, "NA") for column in columns]
        lines.append("\t".join((name, "101", "t1", "nr3c1_exon1f", assay, *named)))
    (folder / "libraries.tsv").write_text("\n".join(lines) + "\n")
    (folder / "counted").mkdir()
    (folder / "counted" / "C.bismark.cov.gz").write_bytes(b"")
    config = study.config
    config["cortisol"] = {**config.get("cortisol", {}), "kits": "kits.tsv", "control_ranges": "ranges.tsv"}
    config["methylation"] = {**config.get("methylation", {}), "genome": {"fasta": "genome.fa"}}
    config["methylation"]["pyrosequencing"] = {"positions": "positions.tsv"}
    config["programme"] = {
        "pool": {"model": "competence", "studies": {"other": "other.tsv"}},
        "worth": {"effect": "competence", "prices": "prices.tsv"},
        "social_return": {"outcomes": "outcomes.tsv", "investment": 1.0},
    }
    read, _ = read_study(config)
    cohort = read.config.cohort | {"dictionary": "dictionary.csv"}  # which reading the participants would open
    read = dataclasses.replace(read, config=read.config | {"cohort": cohort})
    found = read.brought()
    assert found["reads"] == sorted([
        "a_1.fq", "a_2.fq", "b_1.fq", "b_2.fq", "b.bam", "study/counted/C.bismark.cov.gz", "levels.tsv", "e1.txt",
        "e2.txt",
    ])  # fmt: skip
    assert found["tables"] == sorted([
        "dictionary.csv", "kits.tsv", "ranges.tsv", "positions.tsv", "other.tsv", "prices.tsv", "outcomes.tsv",
    ])  # fmt: skip
    assert found["genome"] == ["genome.fa"]
    assert found["sheets"] == [f"study/{name}.tsv" for name in ("hair", "libraries", "participants", "plates")]
    assert any(path.endswith("nr3c1_exon1f/indices.tsv") for path in found["panels"])
    assert {Path(p).parent.name for p in found["plates"]} == {"plates"}
