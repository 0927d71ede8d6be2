"""Codes, spellings and timepoints are asked about before anything runs; sheets of other programs are read."""

import gzip
import re
import shutil
from pathlib import Path

import openpyxl
import pandas as pd
import pyreadstat
import pytest
import yaml

from hpaxis.config import keys_given_twice, read_config
from hpaxis.designs.catalogue import CONFIG, write_design
from hpaxis.problems import InputError
from hpaxis.sheets import participants_schema, read_sheet
from hpaxis.study import load_study
from hpaxis.study.describe import described


class Folder:
    """A study from a template, whose sheets and config a test changes."""

    def __init__(self, path):
        self.path = path
        self.config = yaml.safe_load((path / "my_study.yaml").read_text())

    def table(self, name):
        return pd.read_csv(self.path / f"{name}.tsv", sep="\t", dtype="str", keep_default_na=False)

    def write(self, name, table):
        table.to_csv(self.path / f"{name}.tsv", sep="\t", index=False)

    def set(self, name, row, column, value):
        table = self.table(name)
        table.loc[row - 2, column] = value
        self.write(name, table)

    def problems(self):
        try:
            load_study(self.config, "my_study.yaml")
        except InputError as error:
            return [str(p) for p in error.problems]
        return []


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    for name in ("questionnaires", "clusters", "counts", "lanes", "hair", "three_arms", "saliva_series", "timepoints"):
        write_design(name, folder / name)
    return folder


@pytest.fixture
def template(written, tmp_path, monkeypatch):
    def of(name):
        shutil.copytree(written / name, tmp_path / name)
        monkeypatch.chdir(tmp_path / name)
        return Folder(tmp_path / name)

    return of


@pytest.mark.parametrize("name", ["questionnaires", "clusters", "counts", "lanes"])
def test_a_template_has_no_problems(template, name):
    assert template(name).problems() == []


@pytest.mark.parametrize(("code", "declared"), [("-99", "missing"), ("999", "missing"), ("999", "not_missing")])
def test_what_looks_like_a_code_is_asked_about_and_then_taken_as_declared(template, code, declared):
    study = template("questionnaires")
    study.set("participants", 2, "language", code)
    (problem,) = study.problems()
    assert f"row 2, language: '{code}' looks like a code for a missing value" in problem and "cohort.missing" in problem
    study.config["cohort"][declared] = [float(code)]
    assert study.problems() == []
    schema = participants_schema(load_study(study.config).config["cohort"])
    value = read_sheet("participants.tsv", schema)[0].loc[0, "language"]
    assert pd.isna(value) if declared == "missing" else value == float(code)


def test_a_value_within_its_column_is_no_code(template):
    study = template("questionnaires")
    study.set("participants", 2, "language", "99")  # other children lie around 100
    assert study.problems() == []


@pytest.mark.parametrize("spelling", ["f01", "F 01", "F1", "F_01"])
def test_levels_that_differ_by_a_slip_are_asked_about(template, spelling):
    study = template("clusters")
    people = study.table("participants")
    row = people.index[people["family"] == "F02"][-1] + 2
    study.set("participants", row, "family", spelling.replace("1", "2"))
    problems = study.problems()
    assert any("family" in p and f"row {row}" in p for p in problems), problems


def test_a_timepoint_spelt_otherwise_is_refused(template):
    study = template("counts")
    study.set("libraries", 3, "timepoint", "Month12")
    (problem,) = study.problems()
    assert "libraries.tsv, row 3, timepoint: 'Month12'" in problem and "did you mean 'month12'" in problem


def test_a_timepoint_of_nobody_is_refused(template):
    study = template("counts")
    study.config["cohort"]["timepoint"] = "month21"
    assert any("cohort.timepoint: 'month21' is the timepoint of no library" in p for p in study.problems())


def test_the_same_reads_under_two_people_are_refused(template):
    study = template("lanes")
    shutil.copy("reads/L00101_L001_R1.fastq.gz", "reads/copy_R1.fastq.gz")
    text = gzip.decompress((study.path / "reads/L00101_L001_R2.fastq.gz").read_bytes())
    (study.path / "reads/copy_R2.fastq.gz").write_bytes(gzip.compress(text, 1))  # another file, the same reads
    for mate in (1, 2):
        study.set("libraries", 3, f"fastq_{mate}", f"reads/copy_R{mate}.fastq.gz")
    (problem,) = study.problems()
    assert "row 3" in problem and "begins with the same reads as reads/L00101_L001_R1.fastq.gz in row 2" in problem


def test_one_path_written_in_two_ways_is_refused(template):
    study = template("lanes")
    cells = study.table("libraries").loc[0]
    for mate in (1, 2):
        study.set("libraries", 3, f"fastq_{mate}", f"./{cells[f'fastq_{mate}']}")
    assert any("row 3, fastq_1" in p and "is used in row 2 already" in p for p in study.problems())


def test_lanes_are_named_in_one_cell(template):
    study = template("lanes")
    table = study.table("libraries")
    first, second = table.loc[0, "fastq_1"].split(";"), table.loc[0, "fastq_2"].split(";")
    extra = table.iloc[[0]].assign(library_id="again", fastq_1=first[1], fastq_2=second[1])
    table.loc[0, ["fastq_1", "fastq_2"]] = first[0], second[0]
    study.write("libraries", pd.concat([table, extra]))
    assert any("looks like another lane of the library in row 2" in p for p in study.problems())
    study.write("libraries", table.assign(fastq_2=[second[0] + ";" + second[1], *table["fastq_2"][1:]]))
    assert any("names 2 files where fastq_1 names 1" in p for p in study.problems())


def test_standards_given_as_fractions_are_refused(template):
    study = template("lanes")
    table = study.table("libraries")
    table["expected_percent"] = "NA"
    table.loc[:3, ["kind", "participant_id", "timepoint"]] = "standard", "NA", "NA"
    table.loc[:3, "expected_percent"] = ["0", "0.25", "0.5", "1"]
    study.write("libraries", table)
    found = [p for p in study.problems() if "looks like a fraction" in p]
    assert len(found) == 4 and "row 3, expected_percent: '0.25'" in found[1]


PEOPLE = [("p1", "child", "control", "clinic_2", 12), ("p2", "child", "treatment", "clinic_1", None)]
COLUMNS = ["participant_id", "role", "arm", "site", "score"]


def read(path, **cohort):
    settings = {"columns": {"site": "category", "score": "number"}, "missing": [], "names": {}, "dictionary": None}
    return read_sheet(str(path), participants_schema(settings | cohort))


def check_people(table):
    assert table[COLUMNS[:4]].to_numpy().tolist() == [list(p[:4]) for p in PEOPLE]
    assert table["score"].iloc[0] == 12 and pd.isna(table["score"].iloc[1])


@pytest.mark.parametrize("mark", [",", ";"])
def test_a_csv_is_read(tmp_path, mark):
    pd.DataFrame(PEOPLE, columns=COLUMNS).to_csv(tmp_path / "people.csv", sep=mark, index=False)
    table, problems = read(tmp_path / "people.csv")
    assert problems == []
    check_people(table)
    assert "CSV" in table.attrs["read"][0]


def test_a_workbook_is_read(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "participants"
    for row in (COLUMNS, *PEOPLE):
        book.active.append(row)
    book.create_sheet("notes").append(["nothing to read here"])
    book.save(tmp_path / "people.xlsx")
    table, problems = read(tmp_path / "people.xlsx")
    assert problems == []
    check_people(table)
    assert table.attrs["read"] == ["read the table participants of the workbook"]


def test_an_spss_file_is_read_with_its_labels_and_missing_values(tmp_path):
    data = pd.DataFrame({"record": ["p1", "p2"], "role": [1.0, 1.0], "arm": [0.0, 1.0], "site": [2.0, 1.0],
                         "score": [12.0, -99.0], "town": ["a", "b"]})  # fmt: skip
    pyreadstat.write_sav(
        data, str(tmp_path / "people.sav"), missing_ranges={"score": [-99]},
        variable_value_labels={"role": {1: "child", 2: "parent"}, "arm": {0: "control", 1: "treatment"},
                               "site": {1: "clinic 1", 2: "clinic 2"}, "score": {12: "twelve"}},
    )  # fmt: skip
    table, problems = read(tmp_path / "people.sav", names={"participant_id": "record"})
    assert problems == []
    check_people(table)
    said = "; ".join(table.attrs["read"])
    assert "value labels stand for the codes of role, arm, site" in said and "town" in said


def test_a_portable_spss_file_is_read_too(tmp_path):
    data = pd.DataFrame({"record": ["p1", "p2"], "role": ["child"] * 2, "arm": ["control", "treatment"],
                         "site": ["clinic_2", "clinic_1"], "score": [12.0, None]})  # fmt: skip
    pyreadstat.write_por(data, str(tmp_path / "people.por"))
    # Such a file has its names in capitals.
    names = {"participant_id": "RECORD"} | {name: name.upper() for name in ("role", "arm", "site", "score")}
    table, problems = read(tmp_path / "people.por", names=names)
    assert problems == [], problems
    assert list(table["participant_id"]) == ["p1", "p2"]


def test_a_redcap_export_is_read_with_its_dictionary(tmp_path):
    (tmp_path / "people.csv").write_text(
        "record_id,who,arm,site,score,people_complete\np1,1,0,2,12,2\np2,1,1,1,,2\n", encoding="utf-8"
    )
    fields = '"Variable / Field Name","Field Type","Choices, Calculations, OR Slider Labels","Identifier?"\n'
    fields += 'record_id,text,,\nwho,radio,"1, child | 2, parent",\narm,dropdown,"0, control | 1, treatment",\n'
    fields += 'site,radio,"1, clinic 1 | 2, clinic 2",\nscore,text,,\n'
    dictionary = tmp_path / "dictionary.csv"
    dictionary.write_text(fields, encoding="utf-8")
    names = {"participant_id": "record_id", "role": "who"}
    table, problems = read(tmp_path / "people.csv", names=names, dictionary=str(dictionary))
    assert problems == []
    check_people(table)
    dictionary.write_text(fields.replace("score,text,,", "score,text,,y"), encoding="utf-8")
    _, problems = read(tmp_path / "people.csv", names=names, dictionary=str(dictionary))
    assert "'score' is marked as an identifier" in str(problems[0])


@pytest.mark.parametrize("harm", ["UTF-16", "a comment above the header"])
def test_of_a_sheet_that_cannot_be_read_only_that_is_said(template, harm):
    study = template("counts")
    path = study.path / "participants.tsv"
    text = path.read_text()
    path.write_bytes(text.encode("utf-16") if harm == "UTF-16" else f"# exported today\n{text}".encode())
    problems = study.problems()
    assert problems and not any("participant_id: '" in p for p in problems), problems


def test_plates_of_libraries_that_differ_by_a_slip_are_asked_about(template):
    study = template("lanes")
    study.write("libraries", study.table("libraries").assign(plate=lambda t: ["b01", *["B01"] * (len(t) - 1)]))
    assert any("row 2, plate: 'b01' differs from 'B01'" in p for p in study.problems())


def test_the_same_counts_under_two_people_are_refused(template):
    study = template("counts")
    path = study.path / "counts" / "cpgs.tsv"
    table = pd.read_csv(path, sep="\t", dtype="str")
    first, second = study.table("libraries")["library_id"][:2]
    copy = table[table["library_id"] == first].assign(library_id=second)
    pd.concat([table[table["library_id"] != second], copy]).to_csv(path, sep="\t", index=False)
    (problem,) = study.problems()
    assert f"row 3, counts: {second!r} has the counts of row 2, {first}" in problem


def test_a_dose_below_zero_is_refused(template):
    study = template("questionnaires")
    study.set("participants", 3, "sessions", "-5")
    assert any("row 3, sessions: '-5' is below 0, and is a model's dose" in p for p in study.problems())


def test_a_column_that_a_model_names_and_the_sheet_lacks_is_refused(template):
    study = template("questionnaires")
    study.write("participants", study.table("participants").drop(columns="language"))
    (problem,) = study.problems()
    assert "language: has no such column, and a model names it" in problem


def test_a_column_that_only_the_config_names_is_told(template):
    study = template("questionnaires")
    study.config["cohort"]["columns"]["weight"] = "number"
    assert "  weight: number, declared in the config, and no column of the sheet" in described(load_study(study.config))


@pytest.mark.parametrize(
    ("value", "said"),
    [("NA", "model language: outcome language has no value for the children"), ("100", "is the same for all children")],
)
def test_a_model_that_can_have_no_answer_is_told(template, value, said):
    study = template("questionnaires")
    study.write("participants", study.table("participants").assign(language=value))
    assert any(said in line for line in described(load_study(study.config)))


@pytest.mark.parametrize(
    ("column", "row", "value", "said"),
    [
        (
            "social_emotional",
            2,
            "139",
            "social_emotional: the values in row 2 are about 10 times larger than the others",
        ),
        ("language", 2, "300", "language: the values in row 2 lie far from the others, "),
        ("ptsd", 3, "450", "ptsd: the values in row 3 "),
    ],
)
def test_a_number_far_from_the_rest_is_reported(template, column, row, value, said):
    study = template("questionnaires")
    assert not any(line.startswith("look at") for line in described(load_study(study.config)))
    study.set("participants", row, column, value)
    (line,) = (line for line in described(load_study(study.config)) if line.startswith("look at"))
    assert said in line


def test_ages_in_years_among_months_are_reported_and_negative_ones_refused(template):
    study = template("questionnaires")
    table = study.table("participants")
    months = [str(24 + i % 12) for i in range(len(table))]
    study.config["cohort"]["columns"]["age_months"] = "number"
    study.write("participants", table.assign(age_months=months))
    assert not any(line.startswith("look at") for line in described(load_study(study.config)))
    study.write("participants", table.assign(age_months=["2.5", "31", "2.8", *months[3:]]))
    (line,) = (line for line in described(load_study(study.config)) if line.startswith("look at"))
    assert "the values in rows 2, 4 are about 12 times smaller than the others" in line
    study.write("participants", table.assign(age_months=["-30", *months[1:]]))
    (problem,) = study.problems()
    assert "row 2, age_months: '-30' is below 0, and is an age" in problem


@pytest.mark.parametrize(("start", "end", "said"), [
    ("0", "30", "'30.0' makes a segment of 30 cm; give cm"), ("0", "10", None), ("27", "30", None),
])  # fmt: skip
def test_a_segment_in_mm_is_refused(template, start, end, said):
    study = template("hair")
    study.set("hair", 2, "segment_from_cm", start)
    study.set("hair", 2, "segment_to_cm", end)
    problems = study.problems()
    assert len(problems) == (said is not None) and all(said.replace("'", "") in p.replace("'", "") for p in problems)
    study.write("hair", study.table("hair").assign(segment_from_cm="0", segment_to_cm=["10"] + ["1"] * 23))
    (problem,) = study.problems()
    assert "makes a segment of 10 cm, ten times the usual 1 cm" in problem


def test_finished_values_far_from_the_others_or_missing_are_reported(template):
    template("three_arms")
    path = Path("cortisol/lc_ms_ms.tsv")
    study = load_study(yaml.safe_load(Path(CONFIG).read_text()))
    given = path.read_text().splitlines()
    assert not any(line.startswith("look at") for line in described(study))

    def said(change):
        rows = [line.split("\t") for line in given[1:]]
        path.write_text("\n".join([given[0], *("\t".join(change(i, *row)) for i, row in enumerate(rows))]) + "\n")
        return [line for line in described(study) if line.startswith("look at")]

    def times(factor, some):
        return lambda i, hair, value, cv: [
            hair,
            f"{float(value) * factor}" if some(i) and "<" not in value else value,
            cv,
        ]

    assert said(times(300, lambda i: i == 0)) == [
        f"look at LC1: {given[1].split()[0]} is more than 30 times as high or low as the median, 5.92 pg/mg"
    ]
    assert "values are about 1000 times smaller than the others" in said(times(1000, lambda i: i % 2))[0]
    path.write_text("\n".join(given[:-2]) + "\n")
    assert described(study)[-1] == "look at hair: H026, H027 have no value in any table"


def test_fractions_for_percent_and_hours_for_minutes_are_refused(template):
    template("three_arms")
    path = Path("cortisol/lc_ms_ms.tsv")
    path.write_text(re.sub(r"\t8$", "\t0.08", path.read_text(), flags=re.M))
    with pytest.raises(InputError, match=r"cv_percent: never exceeds 0\.08; give percent"):
        load_study(yaml.safe_load(Path(CONFIG).read_text()))
    study = template("saliva_series")
    hours = (study.table("saliva_cortisol")["minutes"].astype(float) / 60).round(2).astype(str)
    study.write("saliva_cortisol", study.table("saliva_cortisol").assign(minutes=hours))
    (problem,) = study.problems()
    assert "minutes: lies between 0 and 10.08, with fractions; give minutes; these are probably hours" in problem


def test_a_timepoint_of_one_library_is_reported(template):
    study = template("timepoints")
    study.set("libraries", 4, "timepoint", "followup")
    lines = described(load_study(study.config))
    assert "look at timepoint followup: 1 of 32 libraries only" in lines


def test_a_number_with_its_unit_is_refused_with_the_remedy(template):
    study = template("hair")
    study.set("hair", 2, "mass_mg", "21.4 mg")
    (problem,) = study.problems()
    assert "'21.4 mg' is not a number; give a number without its unit or sign, or NA" in problem


def test_an_arm_without_people_is_told(template):
    study = template("questionnaires")
    study.config["arms"].append("waitlist")
    assert "nobody is in arm waitlist" in described(load_study(study.config))


@pytest.mark.parametrize(
    ("text", "said"), [(b"@r1\nACGT\n+\nIIII\n", "is not compressed"), (b"<html>log in</html>", "is a web page"),
                       (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS")]
)  # fmt: skip
def test_what_is_no_gzip_file_is_named_by_how_it_begins(template, text, said):
    study = template("lanes")
    path = study.table("libraries")["fastq_1"][0].split(";")[0]
    (study.path / path).write_bytes(text)
    assert any(path in p and said in p for p in study.problems())


def test_a_key_that_stands_twice_is_refused(template):
    study = template("questionnaires")
    path = study.path / "my_study.yaml"
    path.write_text(f"{path.read_text()}\nseed: 2\n")
    with pytest.raises(InputError, match=r"my_study.yaml, row \d+, seed: duplicates row \d+"):
        read_config(path)
    assert [p.column for p in keys_given_twice(path)] == ["seed"]


@pytest.mark.parametrize(("arms", "said"), [([False, True], "is read as no, false or off"), ([0, 1], "is read as 0")])
def test_text_that_yaml_takes_for_another_type_is_told(template, arms, said):
    study = template("questionnaires")
    study.config["arms"] = arms
    assert any(said in p and "write it in quotes" in p for p in study.problems())


@pytest.mark.parametrize("factor", [1000, 0.00276])
def test_finished_concentrations_in_another_unit_are_refused(template, factor):
    study = template("three_arms")
    path = study.path / "cortisol" / "lc_ms_ms.tsv"
    table = pd.read_csv(path, sep="\t", dtype="str")
    numbers = pd.to_numeric(table["cortisol_pg_per_mg"], errors="coerce") * factor
    table["cortisol_pg_per_mg"] = numbers.map("{:.4g}".format).where(numbers.notna(), table["cortisol_pg_per_mg"])
    table.to_csv(path, sep="\t", index=False)
    problems = study.problems()
    assert any("values lie" in p and "wrong unit" in p for p in problems), problems
