"""A simulated study on disk: whole, checked, and the same bytes whatever the machine does meanwhile."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from hpaxis import schemas
from hpaxis.cli import main
from hpaxis.problems import InputError
from hpaxis.simulation import study as studies
from hpaxis.study import load_study
from hpaxis.tables import read_table

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config():
    text = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
    return schemas.with_defaults(yaml.safe_load(text), schemas.config_schema())


@pytest.fixture(scope="module")
def small(config):
    return config | {"simulation": config["simulation"] | {"dyads": 12, "pairs_per_library": 100}}


def digests(folder):
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.*")}


def test_the_committed_sheets_are_what_the_simulator_writes(config, tmp_path):
    simulation = studies.simulate(config)
    paths = {name: tmp_path / f"{name}.tsv" for name in studies.SHEETS}
    studies.write_sheets(simulation, paths)
    for name, path in paths.items():
        assert path.read_bytes() == (ROOT / config["sheets"][name]).read_bytes(), f"hpaxis simulate --sheets: {name}"
    studies.check_sheets(simulation, {name: ROOT / config["sheets"][name] for name in studies.SHEETS})


def test_sheets_of_other_settings_are_refused(config):
    other = studies.simulate(config | {"seed": config["seed"] + 1})
    with pytest.raises(InputError, match="hpaxis simulate --sheets") as caught:
        studies.check_sheets(other, {name: ROOT / config["sheets"][name] for name in ("libraries", "hair")})
    assert len(caught.value.problems) == 2


def test_the_same_study_whatever_the_cores_and_the_folder(small, tmp_path, monkeypatch):
    for name, cores in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        studies.write_study(small, "made", cores)
    one, two = digests(tmp_path / "one" / "made"), digests(tmp_path / "two" / "made")
    assert one == two and len(one) > 70
    names = {Path(n).parts[0] for n in one}
    assert names == {"config.yaml", "reads", "plates", "truth", *(f"{n}.tsv" for n in studies.SHEETS)}


@pytest.fixture
def written(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studies.write_study(small, "made")
    return tmp_path / "made"


def test_a_written_study_passes_every_check_of_the_inputs(written):
    config = yaml.safe_load((written / "config.yaml").read_text(encoding="utf-8"))
    assert "simulation" not in config
    study = load_study(config, "made/config.yaml")
    assert len(study.library_ids("study")) == 22  # 24 people, two without saliva
    assert all(Path(p).is_file() for i in study.library_ids() for p in study.fastq(i))


def test_the_truth_is_whole(written, small):
    truth = {p.stem: read_table(p) for p in (written / "truth").iterdir()}
    assert set(truth) == {"people", "levels", "indices", "tubes", "samples", "wells", "coefficients"}
    libraries = read_table(written / "libraries.tsv")["library_id"]
    assert set(truth["tubes"]["library_id"]) == set(libraries)
    assert (truth["levels"].groupby("library_id").size() == 47).all()
    index = truth["indices"].pivot(index="library_id", columns="index", values="level")
    mean = truth["levels"].groupby("library_id")["level"].mean()
    assert np.allclose(index["region_mean"], mean[index.index], rtol=1e-8)
    assert np.allclose(index["region_mean"], truth["tubes"].set_index("library_id")["region_mean"][index.index])
    last = truth["levels"].groupby("library_id").tail(13).groupby("library_id")["level"].mean()
    assert np.allclose(index["oberlander_mean"], last[index.index], rtol=1e-8)
    assert truth["wells"].groupby("plate_id")["bad"].apply(lambda b: (b == "yes").sum()).eq(1).all()
    assert set(truth["samples"]["hair_id"]) == set(read_table(written / "hair.tsv")["hair_id"])
    assert (truth["people"]["participant_id"].str.len() == 5).all()


def test_a_library_s_reads_do_not_depend_on_its_place_in_the_sheet(small, tmp_path):
    simulation = studies.simulate(small)
    studies.write_reads(simulation, tmp_path / "all")
    tubes = simulation.cohort.tubes
    order = np.random.default_rng(1).permutation(len(tubes))
    cohort = simulation.cohort
    by_library = dict(list(cohort.levels.groupby("library_id")))
    shuffled = studies.Simulation(
        simulation.settings, simulation.seed, simulation.amplicon,
        studies.Cohort(**{
            **{f: getattr(cohort, f) for f in cohort.__dataclass_fields__},
            "tubes": tubes.iloc[order],
            "levels": pd.concat([by_library[i] for i in tubes["library_id"].iloc[order]]),
        }),
        simulation.folder,
    )  # fmt: skip
    studies.write_reads(shuffled, tmp_path / "shuffled")
    assert tubes["hopped"].sum() > 3
    assert digests(tmp_path / "all") == digests(tmp_path / "shuffled")


def test_the_command_writes_a_study_of_the_size_asked_for(tmp_path, capsys):
    asked = ["--config", str(ROOT / "config" / "config.yaml"), "--out", str(tmp_path / "made"), "--cores", "1"]
    assert main(["simulate", *asked, "--dyads", "14", "--pairs", "60", "--seed", "3"]) == 0
    assert "--configfile" in capsys.readouterr().out
    sheet = read_table(tmp_path / "made" / "participants.tsv")
    assert len(sheet) == 28
    config = yaml.safe_load((tmp_path / "made" / "config.yaml").read_text(encoding="utf-8"))
    assert config["seed"] == 3 and config["sheets"]["libraries"] == (tmp_path / "made" / "libraries.tsv").as_posix()


def test_the_command_refuses_what_the_schema_forbids(tmp_path, capsys):
    config = str(ROOT / "config" / "config.yaml")
    assert main(["simulate", "--config", config, "--out", str(tmp_path / "made"), "--dyads", "3"]) == 1
    assert "simulation.dyads" in capsys.readouterr().err and not (tmp_path / "made").exists()
    (tmp_path / "bare.yaml").write_text("seed: 1\n", encoding="utf-8")
    assert main(["simulate", "--config", str(tmp_path / "bare.yaml"), "--sheets"]) == 1
    assert "no section simulation" in capsys.readouterr().err
