"""The house as its imports draw it: few rooms, few floors, no circle; and the picture in CONTRIBUTING.md is current."""

import ast
import importlib.util

import pytest


@pytest.fixture(scope="module")
def house(root):
    spec = importlib.util.spec_from_file_location("house", root / "docs" / "house.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_methylation_has_few_rooms_floors_and_arrows(house):
    edges = house.arrows("methylation")
    assert len(house.rooms("methylation")) <= 6 and len(edges) <= 12
    assert house.floors(edges) <= 6  # raises where imports go in a circle


def test_no_import_goes_in_a_circle_between_stages(house):
    edges = house.arrows()
    assert house.floors(edges) <= 8
    assert {b for a, b in edges if a == "ground"} == set()


def test_data_flow_one_way(house):
    """A stage imports none of those that read its tables."""
    edges = house.arrows()
    order = ("methylation", "cohort", "moderation", "report")
    backwards = [(a, b) for a, b in edges if a in order and b in order and order.index(a) < order.index(b)]
    assert backwards == [] and ("cortisol", "cohort") not in edges


def test_a_circle_is_noticed(house):
    with pytest.raises(ValueError, match="a circle of imports: a -> b -> a"):
        house.floors({("a", "b"), ("b", "a")})


def test_the_picture_is_current(house, root):
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert text.partition(house.BEGIN)[2].partition(house.END)[0] == house.drawn(), "run `make house`"


def test_the_library_never_sees_the_snakemake_object(root):
    """Rules' scripts take what they are given apart; the linter knows the name everywhere, so that it cannot tell."""
    seen = [
        (path.name, node.lineno)
        for path in sorted((root / "scripts" / "hpaxis").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "snakemake"
    ]
    assert seen == []
