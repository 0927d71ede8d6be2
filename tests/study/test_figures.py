import matplotlib.pyplot as plt
import pytest

from hpaxis.figures import arm_styles, save, use_style


def draw(title):
    use_style()
    figure, axis = plt.subplots()
    axis.plot([1, 2], [3, 4])
    axis.set_title(title)
    return figure


@pytest.mark.parametrize(("kind", "date"), [("svg", b"<dc:date>"), ("pdf", b"CreationDate"), ("png", b"tIME")])
def test_the_same_figure_is_the_same_bytes(tmp_path, kind, date):
    plt.close("all")
    for name in ("a", "b"):
        save(draw("n = 3"), tmp_path / f"{name}.{kind}")
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert date not in (tmp_path / f"a.{kind}").read_bytes()
    assert not plt.get_fignums()


def test_a_name_is_never_markup(tmp_path):
    save(draw(r"$\frac{1}{$ & $x"), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size > 1000


def test_arms_differ_in_more_than_colour():
    styles = arm_styles(["control", "low", "high"])
    for part in ("color", "marker", "linestyle"):
        assert len({str(style[part]) for style in styles.values()}) == 3
