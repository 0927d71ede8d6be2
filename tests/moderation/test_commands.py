import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
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


def test_the_lock_is_written_from_config_and_sheets_with_a_readable_plan(tmp_path, capsys, monkeypatch):
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    config = yaml.safe_load((root / "config" / "config.yaml").read_text(encoding="utf-8"))
    config["moderation"]["lock"] = str(tmp_path / "plan.lock.json")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["lock", "--configfile", str(path)]) == 0
    lock = json.loads((tmp_path / "plan.lock.json").read_text(encoding="utf-8"))
    assert sorted(lock["models"]) == sorted(config["models"])
    assert {"participants", "libraries", "hair", "plates", "panels"} == set(lock["inputs"])
    assert "- covariance: HC3" in (tmp_path / "plan.lock.md").read_text(encoding="utf-8")
    # The demo's own lock is what its config, sheets and panel are now: else its report says that they changed. Whether
    # the demo has been run in this checkout since is another matter.
    demo = json.loads((root / "config" / "plan_lock.json").read_text(encoding="utf-8"))
    assert demo == lock | {"unmasked_runs_before": 0}
    assert main(["lock", "--configfile", str(path)]) == 1
    assert "exists already" in capsys.readouterr().err
    config["moderation"]["lock"] = None
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["lock", "--configfile", str(path)]) == 1
    assert "names no lock" in capsys.readouterr().err


def test_what_only_a_figure_or_a_check_reads_of_a_panel_changes_no_plan(tmp_path, monkeypatch):
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    folder = tmp_path / "panel"
    shutil.copytree(root / "resources" / "panels" / "nr3c1_exon1f", folder)
    config = yaml.safe_load((root / "config" / "config.yaml").read_text(encoding="utf-8"))
    sheet = (root / "config" / "libraries.tsv").read_text(encoding="utf-8").replace("nr3c1_exon1f", str(folder))
    (tmp_path / "libraries.tsv").write_text(sheet, encoding="utf-8")
    config["sheets"]["libraries"] = str(tmp_path / "libraries.tsv")

    def panels(number):
        config["moderation"]["lock"] = str(tmp_path / f"lock{number}.json")
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        assert main(["lock", str(tmp_path / "config.yaml")]) == 0
        return json.loads((tmp_path / f"lock{number}.json").read_text(encoding="utf-8"))["inputs"]["panels"]

    before = panels(1)
    (folder / "features.tsv").unlink()
    (folder / "genome_check.tsv").write_text("amplicon\tverdict\n", encoding="utf-8")
    assert panels(2) == before
    indices = folder / "indices.tsv"
    lines = indices.read_text(encoding="utf-8").splitlines(keepends=True)
    indices.write_text("".join([*lines[:1], *lines[2:]]), encoding="utf-8")
    assert panels(3) != before


def test_settings_of_assays_and_the_users_own_tables_are_bound_and_paths_are_not(tmp_path, monkeypatch):
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    config = yaml.safe_load((root / "config" / "config.yaml").read_text(encoding="utf-8"))
    kits = tmp_path / "kits.tsv"
    shutil.copy(root / "resources" / "kits.tsv", kits)
    config["cortisol"] = {**config.get("cortisol", {}), "kits": str(kits)}

    def locked(number, **methylation):
        config["methylation"] = methylation
        config["moderation"]["lock"] = str(tmp_path / f"lock{number}.json")
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        assert main(["lock", str(tmp_path / "config.yaml")]) == 0
        return json.loads((tmp_path / f"lock{number}.json").read_text(encoding="utf-8"))

    ranges = tmp_path / "ranges.tsv"
    ranges.write_text("kit\tlot\tcontrol\tlow\thigh\ngeneric_competitive_elisa\tL1\tC1\t1\t2\n", encoding="utf-8")
    config["cortisol"]["control_ranges"] = str(ranges)
    before = locked(1)
    assert locked(2, pyrosequencing={"shared_sd": 0.5})["settings"]["methylation"] != before["settings"]["methylation"]
    assert locked(3, genome={"min_mapping_quality": 5})["settings"]["methylation"] != before["settings"]["methylation"]
    kits.rename(tmp_path / "elsewhere.tsv")
    config["cortisol"]["kits"] = str(tmp_path / "elsewhere.tsv")
    config["cortisol"]["control_ranges"] = str(ranges.rename(tmp_path / "ranges_elsewhere.tsv"))
    assert locked(4) == before
    (tmp_path / "elsewhere.tsv").write_text(kits_without_the_last_row(tmp_path / "elsewhere.tsv"), encoding="utf-8")
    assert locked(5)["inputs"]["kits"] != before["inputs"]["kits"]
    ranges = tmp_path / "ranges_elsewhere.tsv"
    ranges.write_text(ranges.read_text(encoding="utf-8").replace("\t2\n", "\t3\n"), encoding="utf-8")
    assert locked(6)["inputs"]["control_ranges"] != before["inputs"]["control_ranges"]


def kits_without_the_last_row(path):
    return "".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-1])


FIT = ["fit", "TABLE", "--outcome", "y", "--predictor", "x", "--moderator", "g"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "no_such.tsv", "--outcome", "y", "--predictor", "x", "--moderator", "g"], "cannot be read"),
        (
            ["fit", "TABLE", "--outcome", "y", "--predictor", "x", "--moderator", "g", "--cluster", "k"],
            "covariance ignores",
        ),
        (
            ["fit", "TABLE", "--outcome", "y", "--predictor", "x", "--moderator", "g", "--covariate", "x:g"],
            "own term x:g",
        ),
        (["power", "44"], "is one arm"),
        (["power", "2", "2"], "fewer than the 5 people"),
        (["power", "22", "22", "--covariates", "40"], "more covariates than these people can carry"),
        (["power", "22", "22", "--reliability", "0"], "is no reliability"),
    ],
)
def test_refusals_of_a_command_are_one_line_each(tmp_path, capsys, arguments, said):
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"y": rng.normal(size=30), "x": rng.normal(size=30), "g": np.tile([0, 1], 15),
                          "k": np.repeat(range(10), 3), "x:g": rng.normal(size=30)})  # fmt: skip
    table.to_csv(tmp_path / "table.tsv", sep="\t", index=False)
    assert main([str(tmp_path / "table.tsv") if a == "TABLE" else a for a in arguments]) == 1
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err


def test_arms_coded_by_numbers_are_declared_and_the_reference_is_compared_as_text(tmp_path, capsys):
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"y": rng.normal(size=30), "x": rng.normal(size=30), "g": np.tile([1, 2, 3], 10)})
    table.to_csv(tmp_path / "table.tsv", sep="\t", index=False)
    given = ["fit", str(tmp_path / "table.tsv"), "--outcome", "y", "--predictor", "x", "--moderator", "g"]
    assert main(given) == 0
    assert "few_values" in capsys.readouterr().out
    assert main([*given, "--factor", "g", "--reference", "2", "--margin", "0.3"]) == 0
    out = capsys.readouterr().out
    assert "g[1]" in out and "g[3]" in out and "x:g[3]" in out


def test_power_of_a_planned_study(capsys):
    assert main(["power", "22", "22", "--draws", "500"]) == 0
    assert "f2 = 0.187" in capsys.readouterr().out
    assert main(["power"]) == 2
