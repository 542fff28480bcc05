"""The schema picture: boxes do not overlap, lines keep out of boxes, every key has its arrow, names are escaped."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import combinations

import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.data.html import graph_html, schema_svg, table_html
from relgraph.data.layout import layered_layout
from relgraph.data.schema import ColumnSchema, ForeignKey, Schema, TableSchema

SVG = "{http://www.w3.org/2000/svg}"


def table(name: str, columns: str, key: str = "", refers: tuple[tuple[str, str], ...] = ()) -> TableSchema:
    keys = tuple(ForeignKey(tuple(column.split("+")), target) for column, target in refers)
    return TableSchema(name, tuple(map(ColumnSchema, columns.split())), tuple(key.split()), keys)


SHOP = Schema(
    (
        table("person", "id name boss", "id", (("boss", "person"),)),
        table("item", "id price", "id"),
        table("sale", "id buyer seller item", "id", (("buyer", "person"), ("seller", "person"), ("item", "item"))),
        table("note", "sale person", "", (("sale", "sale"), ("person", "person"))),
    )
)


@st.composite
def drawings(draw: st.DrawFn) -> tuple[dict[str, tuple[float, float]], list[tuple[str, str]]]:
    names = [f"t{i}" for i in range(draw(st.integers(1, 9)))]
    sizes = {name: (draw(st.integers(20, 200)) * 1.0, draw(st.integers(26, 300)) * 1.0) for name in names}
    edge = st.tuples(st.sampled_from(names), st.sampled_from(names))
    return sizes, draw(st.lists(edge, max_size=16))


@given(drawings())
def test_layout_keeps_boxes_and_lines_apart(
    drawing: tuple[dict[str, tuple[float, float]], list[tuple[str, str]]],
) -> None:
    sizes, edges = drawing
    layout = layered_layout(sizes, edges)
    boxes = {name: (x, y, x + sizes[name][0], y + sizes[name][1]) for name, (x, y) in layout.boxes.items()}
    assert boxes.keys() == sizes.keys()
    for a, b in combinations(boxes.values(), 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], "two boxes overlap"
    for box in boxes.values():
        assert min(box) >= 0
        assert box[2] <= layout.width
        assert box[3] <= layout.height
    for line in layout.lines:
        for right, left, y in line:
            for box in boxes.values():
                apart = right <= box[0] or box[2] <= left or not box[1] < y < box[3]
                assert apart, "a line runs through a box"


@given(drawings())
def test_targets_stand_left_unless_in_a_circle(
    drawing: tuple[dict[str, tuple[float, float]], list[tuple[str, str]]],
) -> None:
    sizes, edges = drawing
    forward = [(a, b) for a, b in edges if int(a[1:]) > int(b[1:])]  # no circles
    layout = layered_layout(sizes, forward)
    for (source, target), line in zip(forward, layout.lines, strict=True):
        assert layout.boxes[target][0] < layout.boxes[source][0]
        points = [x for x, _, _ in line]
        assert points == sorted(points, reverse=True), "slots are listed from source to target"


def test_longest_path_gives_the_layers() -> None:
    sizes = dict.fromkeys("abcd", (50.0, 30.0))
    layout = layered_layout(sizes, [("b", "a"), ("c", "b"), ("c", "a"), ("d", "d")], gap=(10.0, 5.0), margin=0.0)
    assert {name: x for name, (x, _) in layout.boxes.items()} == {"a": 0.0, "b": 60.0, "c": 120.0, "d": 0.0}
    assert [len(line) for line in layout.lines] == [0, 0, 1, 0]
    assert layout.width == 170.0


def test_picture_has_every_table_key_and_count() -> None:
    root = ElementTree.fromstring(schema_svg(SHOP, {"person": 1234}))
    titles = [element.text for element in root.iter(f"{SVG}title")]
    assert titles[0] == "4 tables, 6 foreign keys"
    assert {"person", "item", "sale", "note"} <= set(titles)
    arrows = [title for title in titles if title and "→" in title]
    assert sorted(arrows) == sorted(f"{t.name}.{key.name} → {key.table}" for t, key in SHOP.foreign_keys)
    texts = ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]
    assert "1,234" in texts
    assert sum(text.startswith("◆") for text in texts) == 3
    assert len(list(root.iter(f"{SVG}rect"))) == 8


def test_composite_key_is_one_line_and_many_tables_show_keys_only() -> None:
    parent = table("p", "a b c", "a b")
    child = table("c", "x y z", "", (("x+y", "p"),))
    texts = [
        "".join(e.itertext()) for e in ElementTree.fromstring(schema_svg(Schema((parent, child)))).iter(f"{SVG}text")
    ]
    assert "→ x+y" in texts
    assert "  z" in texts
    many = Schema(tuple(table(f"t{i}", "id value", "id") for i in range(20)))
    texts = ["".join(e.itertext()) for e in ElementTree.fromstring(schema_svg(many)).iter(f"{SVG}text")]
    assert texts.count("◆ id") == 20
    assert "  value" not in texts
    assert texts.count("  … 1 more") == 20


def test_two_keys_that_start_with_one_column_both_have_an_arrow() -> None:
    parents = (table("p", "a b", "a b"), table("q", "a", "a"))
    child = table("c", "a b", "", (("a+b", "p"), ("a", "q")))
    root = ElementTree.fromstring(schema_svg(Schema((*parents, child))))
    arrows = {e.text for e in root.iter(f"{SVG}title") if e.text and "→" in e.text}
    assert arrows == {"c.a+b → p", "c.a → q"}


def test_empty_schema_is_a_picture_too() -> None:
    assert ElementTree.fromstring(schema_svg(Schema(()))).tag == f"{SVG}svg"


def test_names_are_escaped() -> None:
    evil = '<script>alert("x")</script>'
    schema = Schema((TableSchema(evil, (ColumnSchema(evil),), (evil,)),))
    html = schema_svg(schema) + table_html([evil], [[evil]], caption=evil)
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_table_cells() -> None:
    html = table_html(["n", "x", "none", "text"], [[1234, 0.5, None, True]])
    for cell in (">1,234<", ">0.5000<", ">-<", ">True<"):
        assert cell in html
    ElementTree.fromstring(html)


def test_graph_html_is_well_formed_and_complete() -> None:
    edges = {("sale", "buyer", "person"): EdgeStore(torch.tensor([[0, 1], [1, 1]]))}
    graph = HeteroGraph({"person": NodeStore(1500), "sale": NodeStore(2)}, edges, schema=SHOP)
    html = graph._repr_html_()
    assert html == graph_html(graph)
    root = ElementTree.fromstring(html)
    text = "".join(root.itertext())
    assert "1,502 nodes, 2 edges" in text
    assert "buyer" in text
    assert root.find(f".//{SVG}svg") is not None
