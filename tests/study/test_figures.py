import matplotlib.pyplot as plt

from hpaxis.figures import arm_styles, save, use_style


def draw(title):
    use_style()
    figure, axis = plt.subplots()
    axis.plot([1, 2], [3, 4])
    axis.set_title(title)
    return figure


def test_the_same_figure_is_the_same_bytes(tmp_path):
    plt.close("all")
    for name in ("a.svg", "b.svg"):
        save(draw("n = 3"), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()
    assert not plt.get_fignums()


def test_a_name_is_never_markup(tmp_path):
    save(draw(r"$\frac{1}{$ & $x"), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size > 1000


def test_arms_differ_in_more_than_colour():
    styles = arm_styles(["control", "low", "high"])
    for part in ("color", "marker", "linestyle"):
        assert len({str(style[part]) for style in styles.values()}) == 3
