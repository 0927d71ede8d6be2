import math
import os

import pandas as pd
import pytest

from hpaxis.tables import ContractError, columns, read_table, whole_file, write_table


def test_round_trip_keeps_leading_zeros_missing_values_and_digits(tmp_path):
    table = pd.DataFrame(
        {"participant_id": ["00101", "00102"], "beta": [0.1 + 0.2, math.nan], "flags": ["NA", "low_depth"], "n": [3, 4]}
    )
    write_table(table, tmp_path / "a.tsv")
    assert (tmp_path / "a.tsv").read_bytes() == (
        b"participant_id\tbeta\tflags\tn\n00101\t0.3\tNA\t3\n00102\tNA\tlow_depth\t4\n"
    )
    back = read_table(tmp_path / "a.tsv")
    assert back["participant_id"].tolist() == ["00101", "00102"]
    assert math.isnan(back["beta"][1])
    assert back["n"].tolist() == [3, 4]


def test_only_NA_is_missing(tmp_path):
    (tmp_path / "a.tsv").write_text("participant_id\tarm\nnull\tNone\nnan\tNA\n")
    back = read_table(tmp_path / "a.tsv")
    assert back["participant_id"].tolist() == ["null", "nan"]
    assert back["arm"].isna().tolist() == [False, True]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.tsv"]


def test_what_a_killed_write_left_is_written_over(tmp_path):
    (tmp_path / ".a.tsv.part").write_text("half of a far longer table")
    write_table(pd.DataFrame({"n": [1]}), tmp_path / "a.tsv")
    assert (tmp_path / "a.tsv").read_text() == "n\n1\n"
    assert os.listdir(tmp_path) == ["a.tsv"]


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600)])
def test_files_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_table(pd.DataFrame({"n": [1]}), tmp_path / "a.tsv")
    finally:
        os.umask(before)
    assert (tmp_path / "a.tsv").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"panle": ["x"]}, "unknown columns"),
        ({"n_blanks": ["three"]}, "n_blanks holds str, and should hold integer"),
        ({"n_blanks": [1.5]}, "n_blanks holds float64, and should hold integer"),
        ({"panel": [1]}, "panel holds int64, and should hold string"),
    ],
)
def test_a_table_is_checked_against_its_schema_when_it_is_written(change, what, tmp_path):
    good = pd.DataFrame({c: [None] for c in columns("methylation_limits")}).assign(panel="p", index="i", n_blanks=3)
    write_table(good, tmp_path / "limits.tsv", "methylation_limits")
    with pytest.raises(ContractError, match=what):
        write_table(good.assign(**change), tmp_path / "wrong.tsv", "methylation_limits")
    with pytest.raises(ContractError, match="absent columns"):
        write_table(good.drop(columns="lob"), tmp_path / "wrong.tsv", "methylation_limits")
    assert not (tmp_path / "wrong.tsv").exists()


def test_columns_of_a_schemas_pattern_may_stand_anywhere(tmp_path):
    names = columns("methylation_indices")
    table = pd.DataFrame({c: [None] for c in [*names[:2], "region_beta", *names[2:]]})
    write_table(table, tmp_path / "indices.tsv", "methylation_indices")
    with pytest.raises(ContractError, match="region_gamma"):
        write_table(table.assign(region_gamma=1), tmp_path / "indices.tsv", "methylation_indices")
