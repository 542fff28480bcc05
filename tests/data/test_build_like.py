"""A graph built like another one: read the same way, with its statistics, whatever the new rows are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import relgraph
from relgraph.data.features import Features
from relgraph.data.graph import HeteroGraph
from relgraph.data.like import schema_changes, without_rows
from relgraph.data.ragged import Ragged
from relgraph.data.schema import ColumnSchema, ForeignKey, Schema, TableSchema
from relgraph.data.text import HashedNgrams
from relgraph.errors import SchemaError
from tests.data.same_graph import require_same
from tests.data.shop import KEYS, shop, shop_frames

WORDS = ["a fine red wine", "white wine of the south", "a hammer with a long handle", "nails, many of them"]


def rich_frame() -> pd.DataFrame:
    """A column of every type, some as text that must be read the same way again."""
    n = 40
    return pd.DataFrame(
        {
            "id": range(n),
            "price": [f"${1000 + 25 * i:,}.50" for i in range(n)],
            "amount": [None if i % 7 == 0 else i / 3 for i in range(n)],
            "day": [20240101 + i % 28 for i in range(n)],
            "at": [1_704_067_200 + 86_400 * i for i in range(n)],
            "colour": [("red", "green", "blue")[i % 3] for i in range(n)],
            "grade": [i % 4 for i in range(n)],
            "tags": [("x|y", "y|z", "x", "x|z", "x|y|z", "z|w")[i % 6] for i in range(n)],
            "place": [[float(i), 1.0, -0.5] for i in range(n)],
            "note": [WORDS[i % 4] + f" {'more ' * (i % 9)}number {i}" for i in range(n)],
        }
    )


def connect(frame: pd.DataFrame) -> relgraph.Database:
    return relgraph.connect({"thing": frame}, keys={"thing": "id"}, times={"thing": "at"}, progress=False)


def build(db: relgraph.Database, **settings: Any) -> HeteroGraph:
    return relgraph.build_graph(db, progress=False, **settings)


def columns(graph: HeteroGraph) -> Features:
    features = graph.nodes["thing"].features
    assert features is not None
    return features


@pytest.fixture(scope="module")
def rich() -> HeteroGraph:
    return build(connect(rich_frame()))


@pytest.mark.slow
def test_like_itself_is_the_same(tmp_path: Path, rich: HeteroGraph) -> None:
    kinds = {kind.value for kind in columns(rich).names}
    assert kinds == {"numerical", "categorical", "multicategorical", "timestamp", "embedding", "text"}
    require_same(build(connect(rich_frame()), like=rich), rich)
    bare = without_rows(rich)
    assert (bare.num_nodes, bare.num_edges) == (0, 0)
    require_same(build(connect(rich_frame()), like=HeteroGraph.load(bare.save(tmp_path))), rich)
    first = build(shop(), null_time="static", inherit_times=False)
    require_same(build(shop(), like=without_rows(first)), first)


def test_new_rows_are_read_as_the_old_ones_were(rich: HeteroGraph) -> None:
    frame = rich_frame()
    new = {
        "id": 99, "price": "7", "amount": 1e9, "day": 20991231, "at": 4_000_000_000, "colour": "black", "grade": 77,
        "tags": "z|new|x", "place": [1.0, 2.0], "note": "entirely new words",
    }  # fmt: skip
    graph = build(connect(pd.concat([frame, pd.DataFrame([new])], ignore_index=True)), like=rich)
    old, now = columns(rich), columns(graph)
    assert dict(now.stats) == dict(old.stats)
    for name in old.column_names:
        before, after = old.column(name), now.column(name)
        if isinstance(before, Ragged):
            assert isinstance(after, Ragged)
            assert torch.equal(after[torch.arange(40)].values, before.values)
        else:
            assert isinstance(after, torch.Tensor)
            torch.testing.assert_close(after[:40], before, equal_nan=True)
    last = {name: now.column(name) for name in now.column_names}
    assert float(last["price"][40]) == 7.0  # text of digits alone, still money
    assert float(last["amount"][40]) == pytest.approx(1e9)  # no fitting: the mean stays what it was
    assert last["day"][40].tolist()[:3] == [2024, 11, 30]  # the year is brought into the fitted range
    assert [int(last[name][40]) for name in ("colour", "grade")] == [-1, -1]
    tags = last["tags"]
    assert isinstance(tags, Ragged)
    categories = old.stats["tags"]["categories"]
    assert {categories[code] for code in tags[torch.tensor([40])].values.tolist()} == {"z", "x"}
    assert bool(last["place"][40].isnan().all())
    torch.testing.assert_close(last["note"][40], HashedNgrams()(["entirely new words"])[0])
    assert graph.nodes["thing"].time is not None
    assert int(graph.nodes["thing"].time[40]) == 4_000_000_000 * 1_000_000


def test_no_rows_at_all(rich: HeteroGraph) -> None:
    db = connect(rich_frame())
    empty = relgraph.connect(
        {"thing": db.sql("SELECT * FROM thing LIMIT 0")}, keys={"thing": "id"}, times={"thing": "at"}, progress=False
    )
    require_same(build(empty, like=rich).replace(report={}), without_rows(rich).replace(report={}))


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    values=st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-1e6, 1e6)),
            st.sampled_from(["a", "b", "c", None]),
            st.sampled_from(["x,y", "y,z", "x,z", None]),
        ),
        min_size=30,
        max_size=60,
    ),
    cut=st.integers(10, 29),
)
def test_a_row_is_encoded_whatever_other_rows_there_are(values: list[Any], cut: int) -> None:
    frame = pd.DataFrame(values, columns=["number", "kind", "parts"])
    frame["number"] = frame["number"].astype("float64")
    frame.insert(0, "id", range(len(frame)))

    def connected(part: pd.DataFrame) -> relgraph.Database:
        frame = part.astype({"kind": "string", "parts": "string"})
        return relgraph.connect({"thing": frame}, keys={"thing": "id"}, progress=False)

    part = build(connected(frame[:cut]))
    whole = build(connected(frame), like=without_rows(part))
    before, after = part.nodes["thing"].features, whole.nodes["thing"].features
    if before is None:
        assert after is None
        return
    assert after is not None
    assert dict(before.stats) == dict(after.stats)
    first = after.select(torch.arange(cut))
    for kind, value in before.values.items():
        other = first.values[kind]
        if isinstance(value, Ragged):
            assert isinstance(other, Ragged)
            assert value.offsets.tolist() == other.offsets.tolist()
            assert value.values.tolist() == other.values.tolist()
        else:
            assert torch.equal(value.nan_to_num(7e7), other.nan_to_num(7e7))  # type: ignore[union-attr]


def changed(**frames: Any) -> relgraph.Database:
    """The shop with other tables; ``None`` takes one away."""
    tables = {name: frame for name, frame in {**shop_frames(), **frames}.items() if frame is not None}
    keys: Mapping[str, Any] = {
        name: {
            **(key if isinstance(key, dict) else {"primary_key": key}),
            "foreign_keys": {
                columns: target
                for columns, target in (key.get("foreign_keys", {}) if isinstance(key, dict) else {}).items()
                if target in tables and set([columns] if isinstance(columns, str) else columns) <= set(tables[name])
            },
        }
        for name, key in KEYS.items()
        if name in tables
    }
    times = {"sale": "day"} if "sale" in tables else {}
    return relgraph.connect(tables, keys=keys, times=times, progress=False)


@pytest.mark.slow
def test_every_difference_is_named() -> None:
    graph, frames = build(shop()), shop_frames()
    sale = frames["sale"].drop(columns=["kind", "seller"]).assign(price=["much", "little", "1", "2", "some"])
    with pytest.raises(SchemaError) as raised:
        build(changed(sale=sale, shelf=None), like=graph)
    message = str(raised.value)
    assert "the schema changed in 6 places" in message
    for fault in (
        "table 'shelf' is missing; tables: country, person, sale, log, empty",
        "column sale.kind (VARCHAR) is missing",
        "column sale.seller (BIGINT) is missing",
        "column sale.price was DOUBLE, is VARCHAR",
        "the foreign key sale.seller -> person(id) is missing",
        "the foreign key sale.hall+slot -> shelf(hall, slot) is missing",
    ):
        assert fault in message, message
    other_key = relgraph.connect(shop_frames(), keys={**KEYS, "country": "size"}, times={"sale": "day"}, progress=False)
    with pytest.raises(SchemaError, match=r"(?s)the primary key of 'country' was code, is size.*"):
        build(other_key, like=graph)
    no_time = relgraph.connect(shop_frames(), keys=KEYS, progress=False)
    with pytest.raises(SchemaError, match="the time column of 'sale' was day, is none"):
        build(no_time, like=graph)


@pytest.mark.slow
def test_what_the_model_does_not_know_is_left_out_with_a_note() -> None:
    graph, frames = build(shop()), shop_frames()
    log = frames["log"].assign(to=pd.array([20, 40], dtype="Int64"))
    person = frames["person"].assign(shoe=[38, 39, 40, 41])
    db = relgraph.connect(
        {**frames, "extra": pd.DataFrame({"id": [1, 2]}), "person": person, "log": log},
        keys={**KEYS, "log": {"foreign_keys": {"person": "person", "to": "person"}}, "extra": "id"},
        times={"sale": "day"},
        progress=False,
    )
    found = build(db, like=graph)
    assert found.report["notes"] == [
        "column person.shoe is new: the model does not read it",
        "column log.to is new: the model does not read it",
        "the foreign key log.to -> person is new: the model does not follow it",
        "table 'extra' is new: the model does not know it",
    ]
    assert (found.node_types, found.edge_types) == (graph.node_types, graph.edge_types)
    for name, store in graph.nodes.items():
        if store.features is not None:
            other = found.nodes[name].features
            assert other is not None
            assert other.column_names == store.features.column_names


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("INTEGER", "BIGINT", True),
        ("DECIMAL(10,2)", "DOUBLE", True),
        ("ENUM('a', 'b')", "ENUM('a', 'b', 'c')", True),
        ("DATE", "TIMESTAMP", True),
        ("INTEGER[]", "BIGINT[]", True),
        ("INTEGER", "DOUBLE", False),
        ("INTEGER", "VARCHAR", False),
        ("BOOLEAN", "ENUM('a')", False),
        ("INTEGER[]", "VARCHAR[]", False),
        ("UUID", "BIT", False),
        ("TIME", "INTERVAL", False),
    ],
)
def test_types_that_are_read_the_same_way(old: str, new: str, same: bool) -> None:
    schemas = [Schema((TableSchema("t", (ColumnSchema("a", dtype),)),)) for dtype in (old, new)]
    faults, notes = schema_changes(*schemas)
    assert (faults == [], notes) == (same, [])
    assert same or faults == [f"column t.a was {old}, is {new}"]


def test_a_key_that_names_its_target_is_the_same_key() -> None:
    parent = TableSchema("p", (ColumnSchema("id", "BIGINT"), ColumnSchema("no", "BIGINT")), ("id",))

    def child(*target: str) -> Schema:
        return Schema((parent, TableSchema("c", (ColumnSchema("p"),), (), (ForeignKey(("p",), "p", target),))))

    assert schema_changes(child(), child("id")) == ([], [])
    faults, notes = schema_changes(child(), child("no"))
    assert faults == ["the foreign key c.p -> p(id) is missing"]
    assert notes == []


def test_what_cannot_be(rich: HeteroGraph) -> None:
    db = connect(rich_frame())
    with pytest.raises(SchemaError, match="like= brings its own fit_until"):
        build(db, like=rich, fit_until=0)
    with pytest.raises(SchemaError, match="like= brings its own fit_until"):
        build(db, like=rich, types={"thing.grade": "numerical"})
    with pytest.raises(SchemaError, match=r"expected a graph that build_graph\(\) made"):
        build(db, like=rich.replace(report={}))
    with pytest.raises(SchemaError, match=r"encoded by 'HashedNgrams\(dim=64, sizes=\(3, 4\)\)', got"):
        build(db, like=rich, text=HashedNgrams(dim=8))
    small = build(db, text=HashedNgrams(dim=8, sizes=(3,)))
    again = build(db, like=small)  # hashing needs no argument to be found again
    assert columns(again).widths["note"] == 8


def test_statistics_keep_their_moment() -> None:
    frame = rich_frame()
    limit = 1_704_067_200_000_000 + 20 * 86_400_000_000
    graph = build(connect(frame), fit_until=limit)
    again = build(connect(frame), like=graph)
    assert again.fit_until == limit
    assert again.nodes["thing"].num_nodes == 40
    mean = columns(again).stats["amount"]["mean"]
    assert mean == pytest.approx(np.nanmean(frame["amount"].to_numpy()[:21]))
