import hashlib
import json
import zipfile

import pandas as pd
import pytest
import yaml
from scipy import stats

from hpaxis import schemas
from hpaxis.config import FILES
from hpaxis.problems import InputError
from hpaxis.report.bundle import (
    bundle_files,
    crate_faults,
    is_shareable,
    numbered,
    statistics_faults,
    unpack,
    write_bundle,
)
from hpaxis.report.provenance import settings_digest
from hpaxis.tables import write_table


def row(estimate=1.0, se=0.5, df=20, **more):
    t = estimate / se
    reach = stats.t.ppf(0.975, df) * se
    p = 2 * stats.t.sf(abs(t), df)
    made = {"term": "b", "estimate": estimate, "se": se, "t": t, "df": df, "p": p}
    return {**made, "low": estimate - reach, "high": estimate + reach, "sided": "two", **more}


@pytest.fixture
def folder(tmp_path):
    """A bundle's folder with one model and a crate."""
    write_table(pd.DataFrame([row(), row(-0.2, 0.3)]), tmp_path / "in/tables/moderation/m/coefficients.tsv")
    digest = hashlib.sha256((tmp_path / "in/tables/moderation/m/coefficients.tsv").read_bytes()).hexdigest()
    crate = {"@graph": [{"@id": "#output-a", "name": "moderation/m/coefficients.tsv", "value": f"sha256:{digest}"}]}
    path = tmp_path / "in/report/crate/ro-crate-metadata.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(crate))
    return tmp_path / "in"


def packed(folder, path):
    write_bundle(path, {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    return path


def test_a_bundle_has_the_same_bytes_each_time_and_unpacks_to_what_it_was(folder, tmp_path):
    one, two = packed(folder, tmp_path / "one.zip"), packed(folder, tmp_path / "two.zip")
    assert one.read_bytes() == two.read_bytes()
    assert unpack(one, tmp_path / "out") == []
    assert crate_faults(tmp_path / "out") == (1, [])
    assert statistics_faults(tmp_path / "out") == (6, [])


def test_what_was_changed_is_told(folder, tmp_path):
    bundle, changed = packed(folder, tmp_path / "one.zip"), tmp_path / "two.zip"
    table = "tables/moderation/m/coefficients.tsv"
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b"0.5\t", b"0.25\t", 1) if name == table else data)
        new.writestr("more.tsv", "x")
    assert unpack(changed, tmp_path / "out") == ["not in the manifest: more.tsv", f"changed: {table}"]
    assert crate_faults(tmp_path / "out") == (1, ["not as the crate says: moderation/m/coefficients.tsv"])
    assert statistics_faults(tmp_path / "out")[1] == ["t does not follow: m/coefficients.tsv, row 2"]


def test_numbers_that_contradict_each_other_are_told(folder):
    bad = pd.DataFrame([row(p=0.04), row(low=-3.0)])
    write_table(bad, folder / "tables/moderation/m/coefficients.tsv")
    assert statistics_faults(folder)[1] == [
        "p does not follow: m/coefficients.tsv, row 2",
        "interval does not follow: m/coefficients.tsv, row 3",
    ]


def test_an_archive_that_is_no_bundle_or_writes_elsewhere_is_refused(tmp_path):
    (tmp_path / "text.zip").write_text("no archive")
    for name, files in (("empty", ["a.tsv"]), ("slip", ["manifest.tsv", "../../evil"])):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for file in files:
                archive.writestr(file, "x")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.tsv", bytes(2_000_000))
    for name in ("text", "empty", "slip", "absent", "bomb"):
        with pytest.raises(InputError):
            unpack(tmp_path / f"{name}.zip", tmp_path / "out" / "deep")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "out").exists()


def test_libraries_are_numbered_in_an_order_that_their_ids_do_not_tell():
    def release(names):
        molecules = pd.DataFrame({"library_id": names, "pattern": ["01", "10", "11"], "count": [5, 6, 7]})
        return {"molecules": molecules, "reads": pd.DataFrame({"library_id": names, "passed": [5, 6, 7]})}

    one = numbered(release(["L1", "L2", "C0"]), {"L1", "L2"})
    other = numbered(release(["L9", "L8", "C0"]), {"L8", "L9"})
    for name in one:
        assert one[name].to_csv() == other[name].to_csv()
    assert set(one["reads"]["library_id"]) == {"library-0001", "library-0002", "C0"}
    together = one["molecules"].merge(one["reads"], on="library_id")
    assert (together["count"] == together["passed"]).all()


def test_tables_that_name_people_or_samples_are_not_shared(tmp_path):
    for header, shared in (("term\testimate", True), ("participant_id\tbeta", False), ("plate_id\tsample", False)):
        (tmp_path / "t.tsv").write_text(header + "\n")
        assert is_shareable(tmp_path / "t.tsv") is shared


def at(config, path):
    for key in path:
        config = (config or {}).get(key)
    return config


def test_a_participants_bundle_holds_every_table_that_the_config_names(config, tmp_path):
    """With them, wherever they lie, it decides the same: only where results go, and paths, are not what was run."""
    for name in ("participants", "kits", "ranges", "dictionary", "lock", "other", "prices", "outcomes"):
        (tmp_path / name).write_text(f"of {name}\n")
    given = {
        "study": config["study"], "arms": config["arms"], "models": config["models"],
        "sheets": {"participants": str(tmp_path / "participants")},
        "cortisol": {"kits": str(tmp_path / "kits"), "control_ranges": str(tmp_path / "ranges")},
        "cohort": {"dictionary": str(tmp_path / "dictionary")},
        "moderation": {"lock": str(tmp_path / "lock")},
        "programme": {
            "pool": {"model": "main", "studies": {"other": str(tmp_path / "other")}},
            "worth": {"effect": "main", "prices": str(tmp_path / "prices")},
            "social_return": {"outcomes": str(tmp_path / "outcomes"), "investment": 1.0},
        },
    }  # fmt: skip
    whole = schemas.with_defaults(given, schemas.config_schema())
    files = bundle_files(whole, {}, {}, {}, participants=True)
    bundled = yaml.safe_load(files["config.yaml"])
    named = [path for path in FILES if at(bundled, path)]
    assert set(FILES) - set(named) == {
        ("methylation", "genome", "fasta"),
        ("methylation", "pyrosequencing", "positions"),
    }
    for path in named:
        for name, of in zip(values(at(bundled, path)), values(at(given, path)), strict=True):
            assert files[name].decode() == f"of {of.rpartition('/')[2]}\n", path
    assert settings_digest(bundled) == settings_digest(whole)
    bundled["cortisol"]["duplicate_cv_warn_percent"] = 99.0
    assert settings_digest(bundled) != settings_digest(whole)


def values(value):
    return list(value.values()) if isinstance(value, dict) else [value]


def test_every_setting_that_is_called_a_path_is_one_of_the_files():
    def called(schema, here=()):
        for key, part in schema.get("properties", {}).items():
            if "path of" in part.get("description", "").lower():
                yield (*here, key)
            yield from called(part, (*here, key))

    found = set(called(schemas.config_schema()))
    assert ("cortisol", "control_ranges") in found
    assert found <= set(FILES)
