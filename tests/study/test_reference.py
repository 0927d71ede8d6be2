"""The schemas are the one source of defaults, checks and documentation."""

import jsonschema
import yaml

from hpaxis import schemas
from hpaxis.reference import outputs, reference


def test_config_readme_is_what_the_schemas_say(root):
    assert (root / "config" / "README.md").read_text() == reference(), "run `make reference`"


def test_the_data_dictionary_is_what_the_schemas_say(root):
    said = outputs()
    assert (root / "docs" / "outputs.md").read_text() == said, "run `make reference`"
    for path in (root / "workflow" / "schemas").glob("*.schema.yaml"):
        schema = yaml.safe_load(path.read_text())
        assert f"### `{schema['title']}`" in said
        assert all(part.get("description") for part in schema["properties"].values()), path.name


def test_every_key_and_column_is_described_and_every_default_is_valid():
    def walk(schema, where):
        for key, part in schema.get("properties", {}).items():
            assert part.get("description"), f"{where}.{key} has no description"
            if "default" in part:
                jsonschema.validate(schemas.with_defaults(part["default"], part), part)
            walk(part, f"{where}.{key}")

    walk(schemas.config_schema(), "config")
    for name in ("libraries", "participants", "hair", "plates"):
        walk(schemas.load(f"sheets/{name}"), name)


def test_defaults_fill_every_depth_and_change_nothing_given():
    config = {"cohort": {"columns": {"age": "number"}}, "models": {"m": {"outcome": "y", "predictor": "x"}}}
    filled = schemas.with_defaults(config, schemas.config_schema())
    given = {"columns": {"age": "number"}, "timepoint": "NA", "baseline": "NA", "platform": "NA"}
    assert filled["cohort"] == given | {"missing": [], "not_missing": [], "names": {}, "dictionary": None}
    assert filled["models"]["m"]["moderator"] == "arm"
    assert filled["moderation"] == schemas.with_defaults({}, schemas.load("config/moderation"))
    assert "simulation" not in filled
    assert config["cohort"] == {"columns": {"age": "number"}}


def test_every_schema_is_a_valid_schema(root):
    folder = root / "workflow" / "schemas"
    paths = sorted(folder.rglob("*.yaml"))
    assert len(paths) > 10
    for path in paths:
        jsonschema.Draft202012Validator.check_schema(yaml.safe_load(path.read_text()))


def test_the_demo_runs_what_its_plan_lock_holds(root, monkeypatch):
    from hpaxis.moderation.lock import plan_table, read_lock

    monkeypatch.chdir(root)
    config = yaml.safe_load((root / "config" / "config.yaml").read_text())
    config = schemas.with_defaults(config, schemas.config_schema())
    locked = read_lock(config["moderation"]["lock"])
    for name, entry in config["models"].items():
        table = plan_table(name, entry, config["moderation"], config["arms"], locked)
        assert table["status"].tolist() == ["confirmatory"], name
    changed = {**config["models"]["competence"], "covariates": ["age_months"]}
    table = plan_table("competence", changed, config["moderation"], config["arms"], locked)
    assert table["status"].tolist() == ["exploratory"]
