"""The command `hpaxis`: every subcommand helps with an example, and no fault ends in a traceback."""

import subprocess
import sys

import pytest
import yaml

from hpaxis.cli import main
from hpaxis.tables import read_table

COMMANDS = ("check", "forget", "init", "readers", "panel new", "panel check", "panel mask", "lock", "fit", "power",
            "pool", "claims", "simulate", "real", "bundle", "verify")  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_with_an_example(name, capsys):
    assert main([*name.split(), "--help"]) == 0
    said = capsys.readouterr().out
    example = said.partition("For example:\n")[2].strip().splitlines()
    assert example and all(line.strip().startswith(f"hpaxis {name} ") for line in example)


def test_the_overview_names_every_command(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert [name for name in COMMANDS if f"  {name.split()[0]} " not in said] == []
    assert main(["no_such_command"]) == 2 and "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "none.yaml"],
        ["check", "--configfile", "none.yaml"],
        ["fit", "none.tsv", "--outcome", "y", "--predictor", "x", "--moderator", "arm"],
        ["claims", "none.tsv"],
        ["pool", "a=none.tsv", "b=none.tsv"],
        ["lock", "none.yaml"],
        ["panel", "check", "none", "none.fa"],
        ["panel", "mask", "none", "none.vcf"],
        ["real", "none"],
        ["simulate", "--configfile", "none.yaml", "--out", "x"],
        ["verify", "none.zip"],
    ],
)
def test_what_is_not_there_is_one_line_and_a_status(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "none" in said and "Traceback" not in said and list(tmp_path.iterdir()) == []


def test_simulate_needs_exactly_one_target(tmp_path):
    assert main(["simulate"]) == 2 and main(["simulate", "--out", str(tmp_path / "x"), "--sheets"]) == 2


@pytest.mark.parametrize(("text", "what"), [("a: [", "cannot be read as YAML"), ("- a", "is not a config")])
def test_a_file_that_is_no_config_is_refused(text, what, tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    assert main(["check", "--configfile", str(tmp_path / "c.yaml")]) == 1
    assert what in capsys.readouterr().err


def test_check_reports_all_problems_and_writes_nothing(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(root)
    config = yaml.safe_load((root / "config" / "config.yaml").read_text(encoding="utf-8"))
    table = read_table(root / config["sheets"]["participants"])
    table.loc[0, "arm"], table.loc[3, "role"] = "nowhere", "cousin"
    table.to_csv(tmp_path / "people.tsv", sep="\t", index=False, na_rep="NA")
    config["sheets"]["participants"] = str(tmp_path / "people.tsv")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["check", "--configfile", str(tmp_path / "c.yaml")]) == 1
    said = capsys.readouterr().err
    assert "'nowhere' is not an arm" in said and "'cousin' is not a known word" in said
    assert main(["check"]) == 0
    assert "94 libraries" in capsys.readouterr().out


def test_help_starts_without_the_numeric_libraries():
    code = "import sys; from hpaxis.cli import main; main(['--help']); print({'pandas', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("set()")


def test_a_config_may_be_given_by_its_place_or_as_an_option_but_not_twice(capsys):
    assert main(["check", "a.yaml", "--configfile", "b.yaml"]) == 2
    assert "two configs are given" in capsys.readouterr().err
    assert main(["check", "a.yaml", "--configfile", "a.yaml"]) == 1
