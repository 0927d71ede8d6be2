import numpy as np
import openpyxl
import pytest

from hpaxis.cortisol.kits import kit_named, read_kits
from hpaxis.cortisol.layout import read_layout
from hpaxis.problems import InputError

HEADER = "kit\tmethod\tunit\tstandards\tsignal\tmodel\tweights\tzero_in_fit\tsource\n"


def test_the_shipped_kits(kit):
    assert kit.standards == (4000, 2000, 1000, 500, 250, 125, 62.5, 31.25)
    assert (kit.unit, kit.model, kit.weights, kit.signal, kit.zero_in_fit, kit.finished) == (
        "pg/mL", "4PL", "none", "percent_bound", False, False,
    )  # fmt: skip
    assert read_kits()["lc_ms_ms"].finished


def test_a_new_kit_is_a_row(tmp_path):
    path = tmp_path / "kits.tsv"
    path.write_text(
        HEADER + "mine\tcompetitive_elisa\tug/dL\t3;1;0.333;0.111;0.037;0.012\traw\t5PL\t1/y2\tyes\tbooklet\n"
    )
    kit = kit_named("mine", path)
    assert (kit.unit, kit.model, kit.weights, kit.signal, kit.zero_in_fit) == ("ug/dL", "5PL", "1/y2", "raw", True)
    assert kit.standards[2] == 0.333
    with pytest.raises(
        InputError, match=r"'mina' is not a known kit; use a row of .*kits\.tsv or add one: mine .did you mean 'mine'"
    ):
        kit_named("mina", path)


def test_faults_of_a_kit_table_come_together(tmp_path):
    path = tmp_path / "kits.tsv"
    path.write_text(
        HEADER + "one\tcompetitive_elisa\tpg/ml\t1;2;3;4\traw\t4PL\tnone\tno\tx\n"
        "two\tcompetitive_elisa\tpg/mL\t1;2\traw\t4PL\tnone\tno\tx\n"
        "three\tcompetitive_elisa\tpg/mL\tNA\traw\t6PL\tnone\tno\tx\n"
    )
    with pytest.raises(InputError) as caught:
        read_kits(path)
    said = str(caught.value)
    for words in ("'pg/ml' is not a known word", "'1;2' is no list of at least 4", "standards: is missing", "'6PL'"):
        assert words in said


def test_a_long_layout(tmp_path, kit):
    path = tmp_path / "layout.csv"
    path.write_text(
        "Well,Role,Sample,Dilution,Nominal\nb2,sample,00012,2,\nA1,Standard,S1,,\nA2,standard,,,62.5\nH12,empty,,,\nC1,b0,,,\n"
    )
    table = read_layout(path, kit=kit)
    assert table["well"].tolist() == ["A1", "A2", "B2", "C1"]
    assert table["nominal"].tolist()[:2] == [4000.0, 62.5]
    assert table.loc[2, ["role", "sample", "dilution"]].tolist() == ["sample", "00012", 2.0]
    assert (np.isnan(table.loc[3, "dilution"]) and table.loc[3, "sample"] is None) or table.isna().loc[3, "sample"]


def test_a_grid_layout_names_a_block_in_its_corner_or_above_it(tmp_path, kit):
    columns = ",".join(map(str, range(1, 13)))
    path = tmp_path / "layout.csv"
    path.write_text(f"role,{columns}\nA,standard,standard,sample\nB,nsb,b0,\n\nsample\n,{columns}\nA,S2,S2,H1\n")
    table = read_layout(path, kit=kit)
    assert table["well"].tolist() == ["A1", "A2", "A3", "B1", "B2"]
    assert table["role"].tolist() == ["standard", "standard", "sample", "nsb", "b0"]
    assert table["nominal"].tolist()[:2] == [2000, 2000]


def test_a_name_without_a_role_is_an_error(tmp_path):
    columns = ",".join(map(str, range(1, 13)))
    path = tmp_path / "layout.csv"
    path.write_text(f"role,{columns}\nA,b0,,\n\nsample,{columns}\nA,,H1,\n")
    with pytest.raises(InputError, match="well A2: is named, but has no role; fill the role grid"):
        read_layout(path)


def test_spiked_wells_need_what_was_added_and_numbers_must_be_positive(tmp_path):
    path = tmp_path / "layout.tsv"
    path.write_text(
        "well\trole\tsample\tdilution\tnominal\nA1\tspiked\tH1\t1\tNA\nA2\tsample\tH1\t0\tNA\nA3\tcontrol\t\t-1\tNA\n"
    )
    with pytest.raises(InputError) as caught:
        read_layout(path)
    said = str(caught.value)
    assert "is missing for a spiked well; give the concentration that was added" in said
    assert "row 3, dilution: '0' is no such number" in said
    assert "row 4, dilution: '-1' is no such number" in said
    assert "row 4, sample: is missing for a control well" in said


def test_faults_of_grid_layouts(tmp_path):
    columns = ",".join(map(str, range(1, 13)))
    path = tmp_path / "layout.csv"
    for text, said in (
        (
            f"sample,{columns}\nA,H1,H1,\n",
            "is no layout: neither a table with columns well and role, nor a grid named role",
        ),
        (f"role,{columns}\nA,b0,b0,\n,nsb,nsb,\n", "is a line without a row letter"),
        ("well,role\nA1,b0\nB1\n", "'' is not a known role"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=said):
            read_layout(path)


def test_a_sheet_of_a_workbook_may_name_the_grid(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "role"
    for row in ([None, 1, 2, 3], ["A", "b0", "b0", "nsb"]):
        book.active.append(row)
    book.save(tmp_path / "layout.xlsx")
    assert read_layout(tmp_path / "layout.xlsx")["role"].tolist() == ["b0", "b0", "nsb"]
