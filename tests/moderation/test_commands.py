import json
from pathlib import Path

import yaml

from hpaxis.cli import main
from hpaxis.tables import read_table

DATA = Path(__file__).parents[1] / "data" / "moderation"


def test_fit_writes_its_tables_and_prints_the_main_ones(states, tmp_path, capsys):
    states.reset_index().to_csv(tmp_path / "states.tsv", sep="\t", index=False)
    arguments = ["fit", str(tmp_path / "states.tsv"), "--outcome", "Income", "--predictor", "Illiteracy"]
    arguments += ["--moderator", "Murder", "--covariate", "HS Grad", "--id", "State", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    region = read_table(tmp_path / "out" / "region.tsv").iloc[0]
    assert [round(region["low"], 3), round(region["high"], 3)] == [0.622, 12.216]
    assert read_table(tmp_path / "out" / "used.tsv")["State"].iloc[0] == "Alabama"
    assert capsys.readouterr().out.startswith("predictor_by_arm")


def test_an_input_at_fault_is_a_line_and_a_status(states, tmp_path, capsys):
    states.to_csv(tmp_path / "states.tsv", sep="\t", index=False)
    arguments = ["fit", str(tmp_path / "states.tsv"), "--outcome", "Incom", "--predictor", "Illiteracy"]
    assert main([*arguments, "--moderator", "Murder"]) == 1
    assert "states.tsv, Incom: is not a column of the data" in capsys.readouterr().err


def test_printed_statistics_are_checked_from_a_table(tmp_path, capsys):
    assert main(["claims", str(DATA / "printed_statistics.tsv"), "--out", str(tmp_path / "out.tsv")]) == 1
    table = read_table(tmp_path / "out.tsv")
    contradicting = table[table["verdict"] == "contradicts"]
    assert set(contradicting["claim"]) == {"omnibus"}
    assert "2.73" in capsys.readouterr().out


def test_the_lock_is_written_from_the_config_alone(tmp_path, capsys):
    config = {
        "sheets": {"libraries": "l.tsv", "participants": "p.tsv"}, "arms": ["control", "treatment"],
        "models": {"m": {"outcome": "competence", "predictor": "region_mean_beta"}},
        "moderation": {"lock": str(tmp_path / "plan.lock.json")},
    }  # fmt: skip
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["lock", "--config", str(path)]) == 0
    assert list(json.loads((tmp_path / "plan.lock.json").read_text(encoding="utf-8"))["models"]) == ["m"]
    assert main(["lock", "--config", str(path)]) == 1
    assert "exists already" in capsys.readouterr().err
    path.write_text(yaml.safe_dump({**config, "moderation": {}}), encoding="utf-8")
    assert main(["lock", "--config", str(path)]) == 1
    assert "names no lock" in capsys.readouterr().err


def test_power_of_a_planned_study(capsys):
    assert main(["power", "22", "22", "--draws", "500"]) == 0
    assert "f2 = 0.187" in capsys.readouterr().out
    assert main(["power"]) == 2
