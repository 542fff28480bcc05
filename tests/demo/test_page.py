"""Charts and page: well-formed, self-contained, escaped, and true to the numbers."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from relgraph.demo.charts import bars_svg, curves_svg
from relgraph.demo.page import Section, page_html, paragraph, preformatted, side_by_side, write_page
from relgraph.errors import AdapterError

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<b>&\"'</b>"


def test_bars_are_as_long_as_their_values() -> None:
    root = ElementTree.fromstring(bars_svg("t", [("a", 0.5), ("b", 0.6), (EVIL, 0.9)], base=0.5))
    widths = [float(rect.get("width", "nan")) for rect in root.iter(f"{SVG}rect")]
    assert widths[0] == 0
    assert widths[2] == pytest.approx(4 * widths[1], rel=1e-2)
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert texts == ["a", "0.5000", "b", "0.6000", EVIL, "0.9000"]
    ElementTree.fromstring(bars_svg("nothing", []))


def test_curves_go_where_the_values_go() -> None:
    root = ElementTree.fromstring(
        curves_svg("loss", {"up": ([1, 2, 3], [0.0, 5.0, 10.0]), EVIL: ([1, 3], [10.0, 0.0])})
    )
    first, second = (
        [tuple(map(float, p.split(","))) for p in line.get("points", "").split()]
        for line in root.iter(f"{SVG}polyline")
    )
    assert [x for x, _ in first] == sorted(x for x, _ in first)
    assert [y for _, y in first] == sorted((y for _, y in first), reverse=True), "larger values stand higher"
    assert first[0][1] == pytest.approx(second[1][1])
    assert first[1][1] == pytest.approx((first[0][1] + first[2][1]) / 2)


@pytest.mark.parametrize(
    "series",
    [
        {},
        {"a": ([], [])},
        {"a": ([1], [math.nan])},
        {"a": ([1], [0.7])},
        {"a": ([1, 2], [3.0, 3.0])},
        {"a": ([1, 2], [-1e9, 1e9])},
    ],
)
def test_curves_of_little_or_odd_data(series: dict) -> None:
    ElementTree.fromstring(curves_svg("x", series))


def test_page_is_whole_and_needs_nothing_else(tmp_path: Path) -> None:
    parts = [paragraph(EVIL), preformatted("a\n  <b>"), side_by_side(bars_svg("t", [("a", 1.0)]), "<i>x</i>")]
    html = page_html(EVIL, EVIL, [Section(EVIL, parts), Section("two", [])], footer=EVIL)
    root = ElementTree.fromstring(html.partition("\n")[2])
    assert root.find("head/title").text == EVIL  # type: ignore[union-attr]
    assert [a.get("href") for a in root.iter("a")] == ["#part0", "#part1"]
    assert {section.get("id") for section in root.iter("section")} == {"part0", "part1"}
    for sign in ("src=", "<script", "<link", "@import", "url("):
        assert sign not in html
    path = write_page(tmp_path / "deep" / "index.html", html)
    assert path.read_text(encoding="utf-8") == html
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]
    with pytest.raises(AdapterError, match="choose a writable folder"):
        write_page(path / "index.html", html)
