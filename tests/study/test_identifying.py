import pytest

from hpaxis.identifying import holds_date, identifying_problems, tellable
from hpaxis.sheets import read_sheet, sheet_schema


@pytest.mark.parametrize(
    "text",
    ["2019-03-14", "20190314", "14.03.2019", "14032019", "3/14/2019", "2019_3_4", "P2019-03-14x", "1987/06/05"],
)
def test_dates_are_seen_however_they_are_written(text):
    assert holds_date(text)


@pytest.mark.parametrize(
    "text", ["00101", "L00101", "1999", "12.5", "201903", "20241301", "20240230", "123456789012", "2019-03.14", "24.5"]
)
def test_ids_and_numbers_are_no_dates(text):
    assert not holds_date(text)


@pytest.mark.parametrize(
    "cell, told",
    [
        ("treatmnt", True),
        ("0,021", True),
        ("A 1", True),
        ("Anna Smith", False),
        ("Smith, Anna", False),
        ("5.6.1987", False),
    ],
)
def test_what_an_error_line_may_repeat(cell, told):
    assert tellable(cell) == (cell if told else None)


def problems_of(tmp_path, rows, columns, clusters=()):
    texts = {
        "participants": "\t".join(["participant_id", "dyad_id", "role", "arm", *columns]) + "\n" + rows,
        "libraries": "library_id\tparticipant_id\ttimepoint\nL1\tp1\tmonth12\n",
        "hair": "hair_id\tparticipant_id\ttimepoint\tmass_mg\nH1\tp1\tmonth12\t20\n",
    }
    tables, paths = {}, {}
    for name, text in texts.items():
        paths[name] = f"{name}.tsv"
        (tmp_path / f"{name}.tsv").write_text(text)
        schema = sheet_schema(name, columns if name == "participants" else None)
        tables[name], found = read_sheet(tmp_path / f"{name}.tsv", schema)
        assert found == []
    return [str(p) for p in identifying_problems(tables, paths, columns, clusters)]


def test_pseudonyms_and_groups_pass(tmp_path):
    rows = "".join(f"p{i}\td{i // 2}\tchild\ta\t{i % 3}\t{i}.5\n" for i in range(30))
    assert problems_of(tmp_path, rows, {"site": "category", "age": "number"}) == []


def test_names_and_dates_are_told_by_row_without_their_value(tmp_path):
    rows = "Anna\td1\tchild\ta\tx\t20190314\np2\t2019-03-14\tchild\ta\t14.3.2019\t7\n"
    assert problems_of(tmp_path, rows, {"site": "category", "birth": "number"}) == [
        "participants.tsv, row 3, dyad_id: looks like a date, which may tell who this is (not repeated here); "
        "give a pseudonym that no date can be read from",
        "participants.tsv, row 2, participant_id: holds no digit, so it may be a name (not repeated here); "
        "give a numbered pseudonym",
        "participants.tsv, row 3, site: looks like a date, which may tell who this is (not repeated here); "
        "give an age in months or another interval",
        "participants.tsv, row 2, birth: looks like a date, which may tell who this is (not repeated here); "
        "give an age in months or another interval",
    ]


def test_a_category_that_names_people_is_refused_unless_it_is_a_cluster(tmp_path):
    rows = "".join(f"p{i}\td{i}\tchild\ta\tn{i // 2 if i < 4 else i}\n" for i in range(16))
    (line,) = problems_of(tmp_path, rows, {"who": "category"})
    assert "participants.tsv, row 1, who: has 14 different values in 16 rows" in line
    assert problems_of(tmp_path, rows, {"who": "category"}, clusters={"who"}) == []
