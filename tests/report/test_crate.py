import json
import re
import shutil
import subprocess
from importlib import resources
from types import SimpleNamespace

import pandas as pd
import pytest

import hpaxis
from hpaxis.report.crate import TERMS, code_digest, git_state, run_crate


@pytest.fixture
def text(config, checksums):
    return crate_of(config, checksums)


def crate_of(config, checksums, **more):
    config = config | {"study": config.study | {"licence": "CC-BY-4.0"}}
    outputs = pd.DataFrame(
        [
            ("models", "moderation/competence/fit.tsv", 10, "d" * 64),
            ("report", "report/report.html", 99, "e" * 64),
            ("each library", "methylation/calls/L00101.cpg.tsv", 5, "f" * 64),
            ("each library", "methylation/calls/L00102.cpg.tsv", 6, "0" * 64),
        ],
        columns=["role", "file", "bytes", "sha256"],
    )
    plans = pd.DataFrame(
        [("competence", "confirmatory", "1" * 64, "1" * 64), ("cortisol", "exploratory", "2" * 64, None)],
        columns=["model", "status", "hash", "locked_hash"],
    )
    software = [("hpaxis", "0.1.0"), ("numpy", "2.4.6"), ("snakemake", "9.27.1")]
    return run_crate(config, checksums, outputs, plans, software, "a" * 64, **more)


def entities(text):
    return {entity["@id"]: entity for entity in json.loads(text)["@graph"]}


def test_the_same_run_gives_the_same_bytes_without_a_time_of_day(config, checksums, text):
    assert text == crate_of(config, checksums)
    assert not re.search(r"T\d\d:\d\d", text)
    assert entities(text)["./"]["datePublished"] == hpaxis.__released__
    dated = config | {"study": config.study | {"published": "2027-02-03"}}
    assert entities(crate_of(dated, checksums))["./"]["datePublished"] == "2027-02-03"


def test_released_is_the_day_that_the_citation_file_gives(root):
    assert f'date-released: "{hpaxis.__released__}"' in (root / "CITATION.cff").read_text()


def test_inputs_config_plans_and_outputs_stand_in_it_by_checksum(text):
    graph = entities(text)
    run = graph["#run"]
    assert run["instrument"] == {"@id": "workflow/Snakefile"}
    given = {graph[e["@id"]]["name"]: graph[e["@id"]] for e in run["object"]}
    assert set(given) == {"sheets", "reads", "config", "settings", "seed", "plan-competence", "plan-cortisol"}
    assert given["plan-competence"]["description"] == f"confirmatory; locked plan: {'1' * 64}"
    assert given["plan-cortisol"]["description"] == "exploratory; locked plan: none"
    assert given["sheets"]["value"] == f"sha256:{'a' * 64}"
    made = {graph[e["@id"]]["name"]: graph[e["@id"]]["value"] for e in run["result"]}
    assert made["moderation/competence/fit.tsv"] == f"sha256:{'d' * 64}"
    assert set(made) == {"moderation/competence/fit.tsv", "report/report.html", "each library"}
    for name in given:
        assert graph[f"#parameter-{name}"]["workExample"] == {"@id": f"#input-{name}"}


def test_no_name_of_a_file_of_one_participant(text, checksums):
    assert "L0010" not in text
    assert not any(file in text for file in checksums["file"])


def test_the_state_of_the_code_is_told(config, checksums, tmp_path):
    assert "#git" not in entities(crate_of(config, checksums))
    told = entities(crate_of(config, checksums, git={"commit": "c" * 40, "changed": True}))["#git"]
    assert told["value"] == f"{'c' * 40} with uncommitted changes"
    for part in ("workflow", "scripts"):
        (tmp_path / part).mkdir()
    code = tmp_path / "scripts" / "a.py"
    code.write_text("1")
    first = code_digest(tmp_path)
    (tmp_path / "scripts" / "__pycache__").mkdir()
    (tmp_path / "scripts" / "__pycache__" / "a.pyc").write_text("x")
    assert code_digest(tmp_path) == first
    assert git_state(tmp_path) is None
    unpacked = (
        tmp_path / ".snakemake/hpaxis/source/0f3a"
    )  # from a git address: the same code; the folder is named after its commit
    shutil.copytree(tmp_path / "scripts", unpacked / "scripts")
    assert code_digest(unpacked) == first and git_state(unpacked) == {"commit": "0f3a", "changed": False}
    shutil.rmtree(tmp_path / ".snakemake")
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    assert re.fullmatch(r"[0-9a-f]{40}", git_state(tmp_path)["commit"])
    assert git_state(tmp_path)["changed"] is False
    code.write_text("2")
    assert git_state(tmp_path)["changed"] is True
    assert code_digest(tmp_path) != first
    assert git_state(tmp_path / "scripts") is None


def test_it_is_valid_by_the_workflow_run_profile(text, tmp_path, monkeypatch):
    assert findings(text, tmp_path, monkeypatch) == []


def test_the_validator_sees_what_is_missing(text, tmp_path, monkeypatch):
    whole = json.loads(text)
    graph = {entity["@id"]: entity for entity in whole["@graph"]}
    del graph["./"]["license"], graph["./"]["conformsTo"], graph["#run"]["instrument"]
    del graph["#parameter-seed"]["additionalType"], graph["workflow/Snakefile"]["programmingLanguage"]
    found = " ".join(findings(json.dumps(whole), tmp_path, monkeypatch))
    for said in ("license", "Workflow Run Crate profile", "instrument", "additionalType", "programmingLanguage"):
        assert said in found


def findings(text, folder, monkeypatch):
    """What rocrate-validator has against a crate, by what the profile requires; it may not ask the network.

    The two JSON-LD contexts come from the copy that the rocrate library brings, under the addresses and with the
    bioschemas terms of RO-Crate 1.1, which the profile builds on; only the terms that the crate uses, for speed.
    """
    from rocrate_validator import models, services
    from rocrate_validator.utils.http import HttpRequester

    terms = json.loads((resources.files("rocrate") / "data" / "ro-crate.jsonld").read_text(encoding="utf-8"))
    terms = {k: v.replace("bioschemas.org/terms/", "bioschemas.org/") if isinstance(v, str) else v
             for k, v in terms["@context"].items() if f'"{k}"' in text}  # fmt: skip
    served = {"https://w3id.org/ro/crate/1.1/context": terms, TERMS: {"sha256": "http://schema.org/sha256"}}

    def get(self, address, **_):
        body = {"@context": served[str(address)]}
        return SimpleNamespace(
            status_code=200, headers={"Content-Type": "application/ld+json"}, json=lambda: body,
            text=json.dumps(body), content=json.dumps(body).encode(), url=address, raise_for_status=lambda: None,
        )  # fmt: skip

    monkeypatch.setattr(HttpRequester, "get", get, raising=False)
    monkeypatch.setattr(
        HttpRequester, "head", lambda self, address, **_: SimpleNamespace(status_code=404), raising=False
    )
    (folder / "crate" / "workflow").mkdir(parents=True)
    (folder / "crate" / "workflow" / "Snakefile").write_text("")
    (folder / "crate" / "ro-crate-metadata.json").write_text(text, encoding="utf-8")
    settings = services.ValidationSettings(
        rocrate_uri=str(folder / "crate"),
        profile_identifier="workflow-run-crate",
        requirement_severity=models.Severity.REQUIRED,
        abort_on_first=False,
    )
    result = services.validate(settings)
    return [issue.message for issue in result.get_issues()]
