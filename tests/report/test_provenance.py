import hashlib
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from hpaxis.report import provenance

# Named in the environment for another reason than a number: build tools, and what Snakemake asks for.
NO_NUMBERS = {"typer", "great-tables", "packaging", "pygments", "rocrate", "setuptools"}


def test_checksums_are_sha256_by_role_and_name(tmp_path):
    for name, content in (("b", b"hello"), ("a", b""), ("s", b"x" * 3_000_000)):
        (tmp_path / name).write_bytes(content)
    table = provenance.checksum_table(
        [("reads", tmp_path / "b"), ("sheets", tmp_path / "s"), ("reads", tmp_path / "a")]
    )
    assert table["role"].tolist() == ["reads", "reads", "sheets"]
    assert [Path(f).name for f in table["file"]] == ["a", "b", "s"]
    # The digests of nothing and of hello that FIPS 180-4 implementations print.
    assert table["sha256"][0] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert table["sha256"][1] == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert table["bytes"].tolist() == [0, 5, 3_000_000]


def test_files_of_the_code_are_named_the_same_wherever_it_is_installed(tmp_path, monkeypatch):
    tables = []
    for code in ("opt/hpaxis", "home/me/hpaxis"):
        panel = tmp_path / code / "resources" / "reference.fa"
        panel.parent.mkdir(parents=True)
        panel.write_bytes(b">a\nACGT\n")
        monkeypatch.chdir(tmp_path)
        tables.append(provenance.checksum_table([("panels", f"{code}/resources/reference.fa")], code))
    assert tables[0].equals(tables[1])
    assert tables[0]["file"].tolist() == ["resources/reference.fa"]


def test_a_role_tells_no_names_and_does_not_depend_on_them(checksums):
    shown = provenance.by_role(checksums)
    assert shown["role"].tolist() == ["sheets", "reads"]
    assert shown["sha256"][0] == "a" * 64
    assert shown["sha256"][1] == hashlib.sha256(f"{'b' * 64}\n{'c' * 64}\n".encode()).hexdigest()
    assert shown["bytes"].tolist() == [10, 11]
    renamed = checksums.assign(file=["z", "y", "x"]).iloc[::-1]
    assert set(provenance.by_role(renamed)["sha256"]) == set(shown["sha256"])


def test_the_digest_of_a_config_follows_its_values_only(config):
    digest = provenance.config_digest(config)
    assert digest == provenance.config_digest(dict(reversed(config.items())))
    assert digest == provenance.config_digest(config | {"pathvars": {"results": "/elsewhere"}})
    assert digest != provenance.config_digest(config | {"seed": 8})


def test_versions_name_every_package_that_touches_a_number():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    asked = {Requirement(r).name.lower() for r in project["dependencies"]}
    assert set(provenance.PACKAGES) == asked - NO_NUMBERS
    found = dict(provenance.versions())
    assert found["hpaxis"] == project["version"]
    assert "numpy" in found and "CPython" in found


def test_the_section_says_how_to_run_again(config, checksums):
    section = provenance.provenance_section(checksums, config, [("hpaxis", "0.1.0")])
    commands = next(b for b in section.blocks if b.kind == "commands")
    assert "--configfile" in commands.lines[0]
    demo = provenance.provenance_section(checksums, config | {"simulation": {}}, [])
    assert next(b for b in demo.blocks if b.kind == "commands").lines == ("make demo",)
