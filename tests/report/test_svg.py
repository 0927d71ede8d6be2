import re

import matplotlib.pyplot as plt
import pytest

from hpaxis.figures import save
from hpaxis.report.page import inline_svg, symbols


@pytest.fixture
def svg(tmp_path):
    figure, axis = plt.subplots()
    axis.scatter([1, 2], [3, 4])
    save(figure, tmp_path / "a.svg")
    return (tmp_path / "a.svg").read_text()


def test_a_figure_keeps_its_drawing_and_loses_its_addresses(svg):
    assert "http" in svg
    drawn = inline_svg(svg, "flow", "two points")
    assert "http" not in drawn and "<metadata" not in drawn and "DOCTYPE" not in drawn and "<style" not in drawn
    assert drawn.count("<path") == svg.count("<path")
    assert 'role="img"' in drawn and 'aria-label="two points"' in drawn


def test_ids_of_two_figures_do_not_meet_and_their_references_hold(svg):
    first, second = (inline_svg(svg, key, "") for key in ("one", "two"))
    ids = [set(re.findall(r'id="([^"]+)"', drawn)) for drawn in (first, second)]
    assert ids[0] and not ids[0] & ids[1]
    for drawn, known in zip((first, second), ids, strict=True):
        used = re.findall(r'href="#([^"]+)"', drawn) + re.findall(r"url\(#([^)]+)\)", drawn)
        assert used and set(used) <= known


def test_nothing_that_runs_or_reaches_out_survives():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">'
        "<script>alert(1)</script><foreignObject><p>x</p></foreignObject>"
        '<g onclick="alert(2)"><use xlink:href="https://example.org/a.svg#b"/>'
        '<image href="file:///etc/passwd"/><rect width="1"/></g></svg>'
    )
    drawn = inline_svg(svg, "k", '"><script>')
    for bad in ("<script", "foreignObject", "onclick", "example.org", "file:"):
        assert bad not in drawn
    assert '<rect width="1"/>' in drawn and "&lt;script&gt;" in drawn


def test_a_bitmap_inside_a_figure_stays():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">'
        '<image xlink:href="data:image/png;base64,AAAA"/></svg>'
    )
    assert 'href="data:image/png;base64,AAAA"' in inline_svg(svg, "k", "")


def test_what_is_no_drawing_is_refused():
    with pytest.raises(ValueError, match="flow"):
        inline_svg("<p>hello</p>", "flow", "")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("p", "<i>p</i>"),
        ("t(36) = 2.61, p = .013", "<i>t</i>(36) = 2.61, <i>p</i> = .013"),
        ("p < .001", "<i>p</i> &lt; .001"),
        ("ΔR² and b₃", "<i>ΔR</i>² and <i>b</i>₃"),
        ("Mean (SD)", "Mean (<i>SD</i>)"),
        ("<b>n</b>", "&lt;b&gt;n&lt;/b&gt;"),
        ("top (a)", "top (a)"),
    ],
)
def test_symbols_are_italic_and_text_is_escaped(text, html):
    assert symbols(text) == html
