"""Charts and page: well-formed, self-contained, escaped, and true to the numbers."""

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from relgraph.errors import AdapterError, ShapeError
from relgraph.pictures import (
    Branch,
    Section,
    bars,
    columns,
    curves,
    page_html,
    paragraph,
    preformatted,
    scatter,
    side_by_side,
    tree,
    write_whole,
)

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<b>&\"'</b>"


def test_bars_are_as_long_as_their_values() -> None:
    root = ElementTree.fromstring(bars("t", [("a", 0.5), ("b", 0.6), (EVIL, 0.9)], base=0.5))
    widths = [float(rect.get("width", "nan")) for rect in root.iter(f"{SVG}rect")]
    assert widths[0] == 0
    assert widths[2] == pytest.approx(4 * widths[1], rel=1e-2)
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert texts == ["a", "0.5000", "b", "0.6000", EVIL, "0.9000"]
    ElementTree.fromstring(bars("nothing", []))


def test_curves_go_where_the_values_go() -> None:
    root = ElementTree.fromstring(curves("loss", {"up": ([1, 2, 3], [0.0, 5.0, 10.0]), EVIL: ([1, 3], [10.0, 0.0])}))
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
    ElementTree.fromstring(curves("x", series))


def test_page_is_whole_and_needs_nothing_else(tmp_path: Path) -> None:
    parts = [paragraph(EVIL), preformatted("a\n  <b>"), side_by_side(bars("t", [("a", 1.0)]), "<i>x</i>")]
    html = page_html(EVIL, EVIL, [Section(EVIL, parts), Section("two", [])], footer=EVIL)
    root = ElementTree.fromstring(html.partition("\n")[2])
    assert root.find("head/title").text == EVIL  # type: ignore[union-attr]
    assert [a.get("href") for a in root.iter("a")] == ["#part0", "#part1"]
    assert {section.get("id") for section in root.iter("section")} == {"part0", "part1"}
    for sign in ("src=", "<script", "<link", "@import", "url("):
        assert sign not in html
    path = write_whole(tmp_path / "deep" / "index.html", html)
    assert path.read_text(encoding="utf-8") == html
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]
    with pytest.raises(AdapterError, match="choose a writable folder"):
        write_whole(path / "index.html", html)


def texts(picture: str) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_columns_are_as_tall_as_their_values() -> None:
    root = ElementTree.fromstring(columns(EVIL, ["1", EVIL], {"head": [0.2, 0.4], EVIL: [0.0, 0.1]}))
    tall = [float(rect.get("height", "nan")) for rect in root.iter(f"{SVG}rect")]
    assert tall[1] == pytest.approx(2 * tall[0], rel=1e-2)
    assert tall[3] == pytest.approx(tall[0] / 2, rel=1e-2)
    assert tall[2] == 0
    assert {"1", EVIL, "head"} <= set(texts(columns(EVIL, ["1", EVIL], {"head": [0.2, 0.4], EVIL: [0.0, 0.1]})))
    assert "there is nothing to show" in texts(columns("t", [], {}))
    ElementTree.fromstring(columns("t", ["a"], {"x": [0.0]}))
    with pytest.raises(ShapeError, match="expected 2 values"):
        columns("t", ["a", "b"], {"x": [1.0]})


def test_scatter_keeps_directions_and_tells_groups_by_shape() -> None:
    points = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (math.nan, 0.0)]
    root = ElementTree.fromstring(scatter("map", points, ["o", "right", EVIL, "nowhere"], ["a", "a", "b", "b"]))
    circles = [(float(c.get("cx", "nan")), float(c.get("cy", "nan"))) for c in root.iter(f"{SVG}circle")]
    squares = [r for r in root.iter(f"{SVG}rect") if r.get("width") == "7.2"]
    assert circles[1][0] > circles[0][0]
    assert circles[1][1] == circles[0][1]
    assert float(squares[0].get("y", "nan")) < circles[0][1], "up is up"
    assert len(circles) == 3, "two points and the legend"
    assert len(squares) == 2, "one point and the legend; the one without a place is left out"
    assert {"o", "right", EVIL, "a", "b"} <= set(texts(scatter("map", points, ["o", "right", EVIL, "x"], [*"aabb"])))
    many = [str(i % 9) for i in range(90)]
    assert "other" in texts(scatter("map", [(i, i % 7) for i in range(90)], [str(i) for i in range(90)], many))
    assert "there is nothing to show" in texts(scatter("map", [], []))
    with pytest.raises(ShapeError, match="labels: expected 1"):
        scatter("map", [(0, 0)], [])


def test_names_of_a_scatter_never_overlap() -> None:
    found = scatter("map", [(i * 0.01, 0.0) for i in range(50)], [f"name {i}" for i in range(50)])
    names = [t for t in ElementTree.fromstring(found).iter(f"{SVG}text") if "".join(t.itertext()).startswith("name")]
    places = sorted(float(t.get("x", "nan")) for t in names)
    assert 1 < len(places) < 50
    assert all(b - a >= 36 for a, b in itertools.pairwise(places))


def test_tree_stands_from_left_to_right_without_overlap() -> None:
    leaf = Branch("leaf", -0.5, "← key", ["value: +0.1"])
    root = Branch(
        "root", None, "", [], [Branch(EVIL, 1.0, "→ to", [], [leaf, Branch("second", 0.25)]), Branch("b", 0.1)]
    )
    parsed = ElementTree.fromstring(tree("why", root))
    boxes = {}
    for group in parsed.iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        assert rect is not None
        boxes[group.find(f"{SVG}title").text.partition("\n")[0]] = rect  # type: ignore[union-attr]
    left = {name: float(box.get("x", "nan")) for name, box in boxes.items()}
    assert left["root"] < left[EVIL] == left["b"] < left["leaf"] == left["second"]
    tops = sorted(float(boxes[name].get("y", "nan")) for name in ("leaf", "second", "b"))
    assert all(b - a >= 38 for a, b in itertools.pairwise(tops))
    strength = {name: float(box.get("fill-opacity", "nan")) for name, box in boxes.items()}
    assert strength[EVIL] > strength["leaf"] > strength["second"]
    assert {"-0.5000", "+1.0000", "← key"} <= set(texts(tree("why", root)))


def test_pictures_are_saved_whole_and_take_any_text(tmp_path: Path) -> None:
    picture = bars("a \x00 b \ud800", [("\x1b[31m", 1.0)])
    path = picture.save(tmp_path / "new" / "a.svg")
    assert ElementTree.parse(path).getroot().tag == f"{SVG}svg"
    assert picture._repr_svg_() == str(picture)
    assert repr(bars(EVIL, [])).startswith(f"Svg({EVIL!r}, ")
