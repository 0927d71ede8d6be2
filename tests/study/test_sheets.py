import math

import pytest

from hpaxis.sheets import read_sheet, sheet_schema

HAIR = "hair_id\tparticipant_id\ttimepoint\tmass_mg\n"


def read(tmp_path, text, name="hair", columns=None):
    path = tmp_path / f"{name}.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    table, problems = read_sheet(path, sheet_schema(name, columns))
    return table, [str(p).removeprefix(f"{path}, ").removeprefix(f"{path}: ") for p in problems]


def test_types_defaults_and_leading_zeros(tmp_path):
    table, problems = read(tmp_path, HAIR + "007\t00101\tmonth12\t21.5\n")
    assert problems == []
    row = table.iloc[0]
    assert (row["hair_id"], row["participant_id"], row["mass_mg"]) == ("007", "00101", 21.5)
    assert (row["methanol_added_ml"], row["dilution"], row["row"]) == (1.5, 1, 2)
    assert math.isnan(row["segment_to_cm"])


def test_every_problem_is_told_at_once_with_its_row_value_and_remedy(tmp_path):
    text = HAIR.replace("\n", "\tcolour\n") + "A\t00101\tmonth12\t0.021\tred\nA\t00 1\tmonth12\t21,5\tred\n"
    _, problems = read(tmp_path, text)
    assert problems == [
        "row 1: 'colour' is not a known column; rename or remove the column",
        "row 2, mass_mg: '0.021' is below 0.1; give the mass in mg (a value such as 0.02 is probably in g)",
        "row 3, mass_mg: '21,5' is not a number; give a number with a decimal point, or NA",
        "row 3, participant_id: '00 1' has a form that is not allowed; use the form that config/README.md gives for "
        "this column",
        "row 3, hair_id: 'A' duplicates row 2; give every row its own id, or delete one",
    ]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "is empty; write the header row"),
        (HAIR, "has a header and no rows; add the study's rows"),
        ("hair_id,participant_id\nA,B\n", "is not tab-separated; save the sheet with tabs"),
        (b"hair_id\tparticipant_id\n\xff\xfe\t1\n", "is not UTF-8 text; save the sheet as tab-separated UTF-8 text"),
        ("hair_id\tparticipant_id\ttimepoint\nA\tB\tC\n", "row 1, mass_mg: has no such column; add the column"),
        (HAIR + "A\tB\tC\n", "row 2: has 3 cells where the header has 4; give the row one cell for each column"),
        (HAIR + "A\tB\tC\tNA\n", "row 2, mass_mg: is missing; fill the cell"),
        (HAIR + "A\tB\tC\tinf\n", "row 2, mass_mg: 'inf' is not a finite number; give a number, or NA"),
        (HAIR.replace("mass_mg", "mass_mgs"), "'mass_mgs' is not a known column; rename or remove the column (did you"),
        (HAIR.replace("\n", "\thair_id\n") + "A\tB\tC\t9\tA\n", "'hair_id' stands twice in the header; remove one"),
    ],
)
def test_damaged_sheets(tmp_path, text, said):
    _, problems = read(tmp_path, text)
    assert any(said in p for p in problems), problems


def test_a_missing_sheet_is_a_problem_not_a_crash(tmp_path):
    table, problems = read_sheet(tmp_path / "none.tsv", sheet_schema("hair"))
    assert len(table) == 0
    assert str(problems[0]).endswith("none.tsv: does not exist; give the sheet's path under `sheets` in the config")


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    table, problems = read(tmp_path, b"\xef\xbb\xbf" + (HAIR + "A\tB\tC\t20\n").replace("\n", "\r\n").encode())
    assert problems == []
    assert table["hair_id"].tolist() == ["A"]


def test_participants_take_declared_columns_only(tmp_path):
    header = "participant_id\tdyad_id\trole\tarm\tsex\tname\n"
    _, problems = read(tmp_path, header + "1\t1\tchild\tcontrol\tf\tAnna\n", "participants", {"sex": "category"})
    assert problems == [
        "row 1: 'name' is not a known column; rename or remove the column, or declare it under cohort.columns in the "
        "config"
    ]


def test_free_text_in_a_category_is_refused(tmp_path):
    header = "participant_id\trole\tarm\tnote\n"
    text = header + "1\tchild\tcontrol\tsees Dr Smith on Tuesdays\n"
    _, problems = read(tmp_path, text, "participants", {"note": "category"})
    assert len(problems) == 1
    assert problems[0].startswith("row 2, note:")


def test_a_word_near_a_known_one_is_suggested(tmp_path):
    text = "library_id\tkind\nL1\tcontrol0\n"
    _, problems = read(tmp_path, text, "libraries")
    assert "(did you mean 'control_0'?)" in problems[0]
