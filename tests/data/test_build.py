"""Rows become nodes, keys become edges, columns become features; nothing later than the fit time is seen."""

from __future__ import annotations

import math
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import torch

import relgraph
from relgraph.data.schema import SemanticType
from relgraph.data.time import STATIC, UNKNOWN, to_microseconds
from relgraph.errors import SchemaError
from tests.data.shop import KEYS, shop, shop_frames

JANUARY = [int(to_microseconds(f"2020-01-0{day}")) for day in (1, 3, 2)]
FEBRUARY = int(to_microseconds("2020-02-01"))


@pytest.fixture(scope="module")
def graph() -> relgraph.HeteroGraph:
    return relgraph.build_graph(shop(), fit_until="2020-01-31", progress=False)


def test_every_row_is_a_node_with_its_own_key(graph: relgraph.HeteroGraph) -> None:
    counts = {name: store.num_nodes for name, store in graph.nodes.items()}
    assert counts == {"country": 2, "person": 4, "shelf": 3, "sale": 5, "log": 2, "empty": 0}
    assert graph.node_keys("person", torch.tensor([3, 0])) == [70, 10]
    assert graph.node_keys("country", torch.tensor([1])) == ["FR"]
    assert graph.node_keys("shelf", torch.tensor([2])) == [("b", 1)]
    assert graph.node_keys("sale", torch.tensor([4])) == [4]
    assert graph.node_index("person", [40, 20]).tolist() == [2, 1]
    with pytest.raises(SchemaError, match="no row with id = 11"):
        graph.node_index("person", [11])


def test_every_key_is_an_edge_type_and_null_and_dangling_ones_are_counted(graph: relgraph.HeteroGraph) -> None:
    edges = {t: store.edge_index.tolist() for t, store in graph.edges.items()}
    assert edges == {
        ("person", "country", "country"): [[0, 1], [1, 0]],
        ("person", "boss", "person"): [[1, 2], [0, 0]],
        ("sale", "buyer", "person"): [[0, 1, 2, 4], [1, 0, 2, 1]],
        ("sale", "seller", "person"): [[0, 1, 2, 3], [0, 2, 0, 0]],
        ("sale", "hall+slot", "shelf"): [[0, 1, 3], [1, 2, 0]],
        ("log", "person", "person"): [[0, 1], [0, 0]],
        ("empty", "person", "person"): [[], []],
    }
    counted = graph.report["foreign_keys"]
    assert counted["person.country -> country"] | {"targets": 0} == {
        "rows": 4,
        "null": 1,
        "dangling": 1,
        "edges": 2,
        "targets": 0,
    }
    assert (counted["sale.hall+slot -> shelf"]["null"], counted["sale.hall+slot -> shelf"]["dangling"]) == (1, 1)


def test_times_and_their_null_rule(graph: relgraph.HeteroGraph) -> None:
    assert graph.nodes["sale"].time is not None
    assert graph.nodes["sale"].time.tolist() == [*JANUARY, FEBRUARY, UNKNOWN]
    assert graph.nodes["person"].time is None
    visible = relgraph.build_graph(shop(), null_time="static", progress=False).nodes["sale"].time
    assert visible is not None
    assert int(visible[4]) == STATIC
    edge_time = graph.edge_time(("sale", "buyer", "person"))
    assert edge_time is not None
    assert edge_time.tolist() == [*JANUARY, UNKNOWN]


def test_keys_are_no_features_and_statistics_see_nothing_later(graph: relgraph.HeteroGraph) -> None:
    sale = graph.nodes["sale"].features
    assert sale is not None
    assert set(sale.column_names) == {"price", "kind", "day"}
    # only the three sales of January: 1, 3, 5
    assert sale.stats["price"]["mean"] == 3.0
    assert math.isclose(sale.stats["price"]["std"], math.sqrt(8 / 3), rel_tol=1e-11)
    assert sale.stats["price"]["quantiles"] == [1, 2, 3, 4, 5]
    assert sale.stats["kind"] == {"categories": ["cash", "card"], "counts": [2, 1]}
    assert sale.column("kind").tolist() == [0, 1, 0, -1, 0]
    assert sale.column("price").tolist() == [1, 3, 5, 100, 7]
    assert sale.column("day").tolist()[1] == [2020, 0, 2, 4, 0, 0, 0]  # a Friday
    assert sale.column("day").tolist()[4] == [-1] * 7
    assert graph.nodes["log"].features is None
    assert graph.nodes["empty"].features is None


def test_the_frame_takes_missing_values_as_pytorch_frame_does(graph: relgraph.HeteroGraph) -> None:
    frame = graph.nodes["person"].tf
    stats = graph.nodes["person"].col_stats
    assert frame.num_rows == 4
    assert frame.get_col_feat("age")[:, 0].isnan().tolist() == [False, True, False, False]
    names = {stat.name: value for stat, value in stats["age"].items()}
    assert names["MEAN"] == 50.0
    assert {stat.name for stat in stats["level"]} == {"COUNT"}


def test_a_category_or_year_first_seen_after_the_fit_time_is_clamped() -> None:
    frames = {
        "t": pd.DataFrame(
            {
                "kind": ["a", "b", "a", "new"],
                "when": ["2020-01-01 00:00:00", "2021-01-01 00:00:00", "2020-05-05 00:00:00", "2030-03-04 05:06:07"],
                "day": ["2020-01-01", "2021-01-01", "2020-05-05", "2030-03-04"],
            }
        )
    }
    db = relgraph.connect(frames, times={"t": "day"}, progress=False)
    features = relgraph.build_graph(db, fit_until="2022-01-01", progress=False).nodes["t"].features
    assert features is not None
    assert features.column("kind").tolist() == [0, 1, 0, -1]
    assert features.column("when").tolist()[3] == [2021, 2, 3, 0, 5, 6, 7]
    assert features.stats["when"]["year_range"] == [2020, 2021]
    assert features.stats["when"]["median"] == [2020, 4, 4, 1, 0, 0, 0]


def test_semantic_types_are_found_and_can_be_given() -> None:
    rows = 40
    frames = {
        "t": pd.DataFrame(
            {
                "flag": [i % 2 == 0 for i in range(rows)],
                "stars": [i % 5 for i in range(rows)],
                "statusId": [i % 15 for i in range(rows)],
                "amount": [i * 1.5 for i in range(rows)],
                "count": list(range(rows)),
                "code": [f"X{i:05d}" for i in range(rows)],
                "comment": [f"a longer remark number {i}" for i in range(rows)],
                "color": ["red" if i % 3 else "blue" for i in range(rows)],
                "born": [f"19{50 + i}-01-01" for i in range(rows)],
                "same": ["x"] * rows,
                "photo": [bytes([i]) for i in range(rows)],
                "missing": [None] * rows,
            }
        )
    }
    db = relgraph.connect(frames, progress=False)
    graph = relgraph.build_graph(db, progress=False)
    features = graph.nodes["t"].features
    assert features is not None
    assert {kind: set(names) for kind, names in features.names.items()} == {
        SemanticType.NUMERICAL: {"amount", "count"},
        SemanticType.CATEGORICAL: {"flag", "stars", "statusId", "color"},
        SemanticType.TIMESTAMP: {"born"},
        SemanticType.TEXT: {"comment"},
    }
    assert graph.report["left_out"]["t"] == {
        "code": "identifier",
        "same": "constant",
        "photo": "unsupported",
        "missing": "constant",
    }
    given = relgraph.build_graph(db, types={"t.stars": "numerical", "t.count": "identifier"}, progress=False)
    assert given.nodes["t"].features is not None
    assert set(given.nodes["t"].features.names[SemanticType.NUMERICAL]) == {"amount", "stars"}
    for types, message in (
        ({"t.color": "numerical"}, "t.color is VARCHAR and cannot be numerical"),
        ({"t.color": "colour"}, "semantic types: numerical"),
        ({"t.nope": "text"}, "no column 'nope'"),
        ({"color": "text"}, "expected 'table.column'"),
    ):
        with pytest.raises(SchemaError, match=message):
            relgraph.build_graph(db, types=types, progress=False)


def test_infinities_become_missing_and_large_numbers_do_not_overflow() -> None:
    frames = {"t": pd.DataFrame({"x": [1.0, math.inf, 3.0, 1e300, float("nan")]})}
    features = relgraph.build_graph(relgraph.connect(frames, progress=False), progress=False).nodes["t"].features
    assert features is not None
    assert features.column("x").isnan().tolist() == [False, True, False, True, True]


def test_a_duplicate_primary_key_is_refused_with_an_example() -> None:
    frames = shop_frames() | {"country": pd.DataFrame({"code": ["DE", "DE"], "size": [1.0, 2.0]})}
    with pytest.raises(SchemaError, match=r"country.*code.*DE"):
        relgraph.build_graph(relgraph.connect(frames, keys=KEYS, progress=False), progress=False)


def test_a_time_column_of_text_that_is_no_date_is_refused() -> None:
    db = relgraph.connect({"t": pd.DataFrame({"when": ["2020-01-01", "soon"]})}, times={"t": "when"}, progress=False)
    with pytest.raises(SchemaError, match=r"t\.when .*'soon' is no date"):
        relgraph.build_graph(db, progress=False)


@pytest.mark.data
def test_chinook_and_northwind(data_dir: object) -> None:
    chinook, northwind = (
        relgraph.build_graph(relgraph.connect(f"{data_dir}/db/{name}.sqlite", progress=False), progress=False)
        for name in ("chinook", "northwind")
    )
    assert (len(chinook.nodes), chinook.num_nodes, len(chinook.edges)) == (11, 15_607, 11)
    assert (len(northwind.nodes), northwind.num_nodes) == (13, 3_310)
    for graph in (chinook, northwind):
        for counts in graph.report["foreign_keys"].values():
            assert counts["edges"] == counts["rows"] - counts["null"]
            assert counts["dangling"] == 0
        assert graph.to_hetero_data().validate()


@pytest.mark.parametrize("moment", ["", "20200131", float("nan")])
def test_fit_until_that_is_no_moment(moment: object) -> None:
    with pytest.raises(SchemaError, match="fit_until: expected one moment"):
        relgraph.build_graph(shop(), fit_until=moment, progress=False)  # type: ignore[arg-type]


def test_a_type_given_to_a_key_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"types: person\.id is part of a key"):
        relgraph.build_graph(shop(), types={"person.id": "categorical"}, progress=False)


def test_years_that_no_small_integer_holds() -> None:
    frame = duckdb.sql("SELECT unnest([TIMESTAMP '294246-01-01', TIMESTAMP '2020-03-04']) AS at").to_arrow_table()
    graph = relgraph.build_graph(relgraph.connect({"t": frame}, progress=False), progress=False)
    assert graph.nodes["t"].features is not None
    assert graph.nodes["t"].features.column("at")[:, 0].tolist() == [9999, 2020]


def test_a_column_of_infinite_times_only(tmp_path: Path) -> None:
    # Arrow has no infinite timestamp, DuckDB has
    with duckdb.connect(tmp_path / "t.duckdb") as file:
        file.execute("CREATE TABLE t AS SELECT unnest(['infinity', '-infinity'])::TIMESTAMP AS at")
    graph = relgraph.build_graph(relgraph.connect(tmp_path / "t.duckdb", progress=False), progress=False)
    assert graph.nodes["t"].features is None
    assert graph.report["left_out"]["t"] == {"at": "constant"}


def lines() -> relgraph.Database:
    """Lines of invoices, notes on lines, and people that refer to each other: only invoices have a time."""
    frames = {
        "person": pd.DataFrame({"id": [1, 2], "friend": [2, 1]}),
        "invoice": pd.DataFrame({"id": [1, 2, 3], "day": pd.to_datetime(["2020-01-01", "2020-03-01", None])}),
        "line": pd.DataFrame(
            {
                "id": [1, 2, 3, 4],
                "invoice": pd.array([1, 2, 3, None], "Int64"),
                "person": [1, 1, 2, 2],
                "amount": [1.0, 100.0, 5.0, 3.0],
            }
        ),
        "note": pd.DataFrame({"line": [2, 1], "words": [3.5, 4.5]}),
    }
    keys = {
        "person": {"primary_key": "id", "foreign_keys": {"friend": "person"}},
        "invoice": "id",
        "line": {"primary_key": "id", "foreign_keys": {"invoice": "invoice", "person": "person"}},
        "note": {"foreign_keys": {"line": "line"}},
    }
    return relgraph.connect(frames, keys=keys, times={"invoice": "day"}, progress=False)


def test_a_row_without_time_happens_with_what_it_refers_to_over_any_number_of_steps() -> None:
    january, march = (int(to_microseconds(f"2020-0{month}-01")) for month in (1, 3))
    graph = relgraph.build_graph(lines(), fit_until="2020-02-01", progress=False)
    line, note = graph.nodes["line"], graph.nodes["note"]
    assert line.time is not None
    assert line.time.tolist() == [january, march, UNKNOWN, STATIC]
    assert note.time is not None
    assert note.time.tolist() == [march, january]
    assert graph.nodes["person"].time is None
    assert graph.report["inherited_times"] == {"line": ["invoice"], "note": ["line"]}
    # statistics see the lines of January and the one without invoice
    assert line.features is not None
    assert line.features.stats["amount"]["mean"] == 2.0
    assert note.features is None  # one row up to the fit time: its only column is constant
    assert graph.statements().time is not None
    off = relgraph.build_graph(lines(), inherit_times=False, progress=False)
    assert off.nodes["line"].time is None
    assert "inherited_times" not in off.report
