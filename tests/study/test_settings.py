"""Settings are frozen objects, and every key that code reads is one of a schema."""

import ast
import copy
import pickle

import pytest
import yaml

from hpaxis import reference
from hpaxis.schemas import config_schema, load, with_defaults
from hpaxis.settings import Settings

CONFIG = with_defaults({"cohort": {"columns": {"age": "number"}}}, config_schema())


def keys(schema):
    """Every key of a schema, at any depth."""
    for key, part in schema.get("properties", {}).items():
        yield from (key, *keys(part))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from keys(schema["additionalProperties"])


KEYS = set(keys(config_schema())) | {"simulation"}


def test_the_types_are_what_the_schemas_say(root):
    assert (root / "scripts" / "hpaxis" / "settings.pyi").read_text() == reference.settings(), "run `make reference`"


def test_no_key_hides_behind_what_every_dict_has():
    assert not KEYS & set(dir(Settings))


def test_sections_are_settings_and_names_of_the_study_are_not():
    assert CONFIG.cohort.timepoint == "NA" and CONFIG.moderation.multiverse.draws == 2000
    assert type(CONFIG.moderation.multiverse) is Settings and type(CONFIG.cohort.columns) is dict


def test_a_key_that_is_not_there_is_an_error():
    with pytest.raises(AttributeError, match="no setting 'timepoimt'; there are columns, timepoint,"):
        _ = CONFIG.cohort.timepoimt


@pytest.mark.parametrize(
    "change",
    [
        lambda settings: setattr(settings, "alpha", 0.1),
        lambda settings: settings.update(alpha=0.1),
        lambda settings: settings.pop("alpha"),
        lambda settings: settings.__setitem__("alpha", 0.1),
        lambda settings: delattr(settings, "alpha"),
    ],
)
def test_settings_cannot_be_changed(change):
    settings = with_defaults({}, load("config/moderation"))
    with pytest.raises(TypeError, match="frozen"):
        change(settings)
    assert settings.alpha == 0.05


def test_other_settings_are_made_of_settings():
    settings = CONFIG.moderation
    other = settings | {"alpha": 0.1}
    assert (settings.alpha, other.alpha, type(other)) == (0.05, 0.1, Settings)
    settings |= {"alpha": 0.2}
    assert (settings.alpha, CONFIG.moderation.alpha) == (0.2, 0.05)


def test_a_job_is_given_the_same_settings_and_a_config_is_written_as_before():
    for same in (pickle.loads(pickle.dumps(CONFIG)), copy.deepcopy(CONFIG)):
        assert same == CONFIG and type(same.moderation.multiverse) is Settings
    assert repr(CONFIG.report) == repr(dict(CONFIG.report))
    assert yaml.safe_load(yaml.safe_dump(CONFIG)) == CONFIG


def read_of_settings(tree):
    """Yield what code reads of `settings` or of a `config` as an attribute, and the keys of a section of a config."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            held = ast.unparse(node.value).split(".")
            if held[-1] in ("settings", "config") or held[-2:-1] == ["config"]:
                yield node.attr


def test_every_key_that_code_reads_is_one_of_a_schema(root):
    found = {}
    for path in sorted((root / "scripts").rglob("*.py")):
        for name in read_of_settings(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(name, path.name)
    assert len(KEYS & found.keys()) > 60
    known = KEYS | set(dir(Settings)) | {"write_text"}  # of a path
    assert {name: path for name, path in found.items() if name not in known} == {}
