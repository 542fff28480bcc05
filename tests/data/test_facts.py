"""A database as statements, in both forms, against answers worked out by hand; and facts as a graph."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

import relgraph
from relgraph.data.facts import fact_tables
from relgraph.data.statements import Qualifiers, Statements, Vocabulary
from relgraph.data.time import STATIC, to_microseconds
from relgraph.errors import SchemaError
from tests.data.shop import shop


@pytest.fixture(scope="module")
def graph() -> relgraph.HeteroGraph:
    return relgraph.build_graph(shop(), progress=False)


def words_of(statements: Statements) -> list[tuple[str, ...]]:
    return [statements.labels(i) for i in range(len(statements))]


def test_rows_of_a_fact_table_are_statements_with_qualifiers(graph: relgraph.HeteroGraph) -> None:
    assert graph.schema is not None
    assert fact_tables(graph.schema) == ("sale",)
    statements = graph.statements()
    assert words_of(statements) == [
        ("person:10", "person.country", "country:FR"),
        ("person:20", "person.country", "country:DE"),
        ("person:20", "person.boss", "person:10"),
        ("person:40", "person.boss", "person:10"),
        ("log:0", "log.person", "person:10"),
        ("log:1", "log.person", "person:10"),
        ("person:20", "sale", "person:10", "sale.hall+slot", 'shelf:["a", 2]', "sale.kind", "sale.kind=cash"),
        ("person:10", "sale", "person:40", "sale.hall+slot", 'shelf:["b", 1]', "sale.kind", "sale.kind=card"),
        ("person:40", "sale", "person:10", "sale.kind", "sale.kind=cash"),
    ]
    days = [int(to_microseconds(f"2020-01-0{day}")) for day in (1, 3, 2)]
    assert statements.time is not None
    assert statements.time.tolist() == [STATIC] * 6 + days
    # two sales lack a head or a tail; a person without country or boss gives no triple
    assert dict(statements.dropped) == {"person.country": 2, "person.boss": 2, "sale": 2}
    # literals come after all nodes and are never candidates; the rows of sale are no entities
    assert statements.vocabulary.num_main_entities == 2 + 4 + 3 + 2
    assert list(statements.vocabulary.entities)[11:] == ["sale.kind=cash", "sale.kind=card"]
    assert not any(label.startswith("sale:") for label in statements.vocabulary.entities)
    assert graph.statements() is statements


def test_a_row_without_time_is_not_known_before_what_it_connects() -> None:
    frames = {
        "invoice": pd.DataFrame({"id": [1, 2], "day": pd.to_datetime(["2020-01-01", "2020-03-01"])}),
        "track": pd.DataFrame({"id": [5], "released": pd.to_datetime(["2020-02-01"])}),
        "line": pd.DataFrame({"invoice": [1, 2], "track": [5, 5]}),
        "note": pd.DataFrame({"invoice": [2]}),
    }
    keys = {
        "invoice": "id",
        "track": "id",
        "line": {"foreign_keys": {"invoice": "invoice", "track": "track"}},
        "note": {"foreign_keys": {"invoice": "invoice"}},
    }
    db = relgraph.connect(frames, keys=keys, times={"invoice": "day", "track": "released"}, progress=False)
    statements = relgraph.build_graph(db, progress=False).statements()
    assert [words[:3] for words in words_of(statements)] == [
        ("note:0", "note.invoice", "invoice:2"),
        ("invoice:1", "line", "track:5"),
        ("invoice:2", "line", "track:5"),
    ]
    assert statements.time is not None
    assert statements.time.tolist() == [int(to_microseconds(f"2020-0{month}-01")) for month in (3, 2, 3)]


@pytest.mark.parametrize("form", ["hyper", "triples"])
def test_every_key_dates_a_row_without_time(form: str) -> None:
    frames = {
        "shop": pd.DataFrame({"id": [1]}),
        "track": pd.DataFrame({"id": [5]}),
        "invoice": pd.DataFrame({"id": [1, 2], "day": pd.to_datetime(["2020-01-01", "2020-03-01"])}),
        "line": pd.DataFrame({"shop": [1, 1, 1], "track": [5, 5, 5], "invoice": [2, 1, None]}),
    }
    line = {"foreign_keys": {"shop": "shop", "track": "track", "invoice": "invoice"}}
    keys = {"shop": "id", "track": "id", "invoice": "id", "line": line}
    db = relgraph.connect(frames, keys=keys, times={"invoice": "day"}, progress=False)
    statements = relgraph.build_graph(db, progress=False).statements(form=form)
    first, second = (int(to_microseconds(f"2020-0{month}-01")) for month in (3, 1))
    assert statements.time is not None
    rows = [first, second, STATIC]
    assert statements.time.tolist() == (rows if form == "hyper" else [*rows, *rows, first, second])


def test_roles_choose_head_and_tail(graph: relgraph.HeteroGraph) -> None:
    statements = graph.statements(roles={"sale": ("hall+slot", "buyer")})
    assert words_of(statements)[6:] == [
        ('shelf:["a", 2]', "sale", "person:20", "sale.seller", "person:10", "sale.kind", "sale.kind=cash"),
        ('shelf:["b", 1]', "sale", "person:10", "sale.seller", "person:40", "sale.kind", "sale.kind=card"),
    ]
    with pytest.raises(SchemaError, match="'log' is no fact table"):
        graph.statements(roles={"log": ("person", "person")})
    with pytest.raises(SchemaError, match="needs two of its foreign keys"):
        graph.statements(roles={"sale": ("buyer", "kind")})


def test_triples_make_every_key_a_fact_and_every_row_an_entity(graph: relgraph.HeteroGraph) -> None:
    statements = graph.statements(form="triples")
    assert len(statements) == graph.num_edges
    assert statements.num_entities == graph.num_nodes
    assert statements.qualifiers is None
    assert ("sale:1", "sale.seller", "person:40") in words_of(statements)
    assert list(statements.vocabulary.relations) == [f"{t[0]}.{t[1]}" for t in graph.edges if t[0] != "empty"] + [
        "empty.person"
    ]
    with pytest.raises(SchemaError, match="expected 'hyper' or 'triples'"):
        graph.statements(form="pairs")  # type: ignore[arg-type]


def test_facts_become_a_graph_and_come_back_with_their_numbers(tmp_path: Path) -> None:
    vocabulary = Vocabulary(["ann", "bob", "cup", "may"], ["likes", "when", "gave"], num_main_entities=3)
    pairs = Qualifiers(torch.tensor([0, 1, 1, 3]), torch.tensor([1, 1, 2]), torch.tensor([3, 3, 2]))
    facts = Statements(
        torch.tensor([0, 1, 0]), torch.tensor([2, 0, 0]), torch.tensor([1, 2, 2]), vocabulary, qualifiers=pairs
    )
    graph = relgraph.HeteroGraph.from_statements(facts)
    assert graph.edge_types == [("entity", name, "entity") for name in ("likes", "when", "gave")]
    back = graph.statements()
    assert back.vocabulary == vocabulary
    assert sorted(words_of(back)) == sorted(words_of(facts))
    data = graph.to_data()
    assert data.edge_type.tolist() == [0, 0, 2]
    assert data.edge_types == ["likes", "when", "gave"]
    again = relgraph.HeteroGraph.load(graph.save(tmp_path / "g")).statements()
    assert words_of(again) == words_of(back)
    assert again.vocabulary == vocabulary


@pytest.mark.data
def test_wd50k_round_trips_with_its_qualifiers(data_dir: Path) -> None:
    (train, *_) = relgraph.read_statements(data_dir / "kg" / "wd50k")
    back = relgraph.HeteroGraph.from_statements(train).statements()
    order = train.relation.argsort(stable=True)
    expected = train.select(order)
    assert torch.equal(back.head, expected.head)
    assert torch.equal(back.tail, expected.tail)
    assert back.qualifiers is not None
    assert expected.qualifiers is not None
    assert torch.equal(back.qualifiers.ptr, expected.qualifiers.ptr)
    assert torch.equal(back.qualifiers.entity, expected.qualifiers.entity)
    assert torch.equal(back.qualifiers.relation, expected.qualifiers.relation)
    assert back.vocabulary == train.vocabulary


@pytest.mark.data
def test_a_result_of_formula_1_is_a_race_and_a_driver_qualified_by_constructor_and_status(data_dir: Path) -> None:
    keys = {
        "races": "raceId",
        "drivers": "driverId",
        "constructors": "constructorId",
        "results": {
            "primary_key": "resultId",
            "foreign_keys": {"raceId": "races", "driverId": "drivers", "constructorId": "constructors"},
        },
    }
    dropped = "positionText, time, fastestLapTime, fastestLapSpeed"
    dated = f"SELECT results.* EXCLUDE ({dropped}), races.date FROM results LEFT JOIN races USING (raceId)"
    tables = {name: f"SELECT * FROM {name}" for name in ("races", "drivers", "constructors")} | {"results": dated}
    with relgraph.connect(
        data_dir / "db" / "f1", tables=tables, keys=keys, times={"results": "date"}, progress=False
    ) as db:
        rows = db.sql('SELECT "__row", resultId FROM (' + db.numbered("results") + ") WHERE resultId IN (1, 24000)")
        place = dict(zip(rows["resultId"].to_pylist(), rows["__row"].to_pylist(), strict=True))
        graph = relgraph.build_graph(db, progress=False)
    statements = graph.statements()
    # the rows of the two lines of results.csv: 1,18,1,1,...,1 and 24000,999,20,6,...,3
    assert statements.labels(place[1]) == (
        *("races:18", "results", "drivers:1"),
        *("results.constructorId", "constructors:1", "results.statusId", "results.statusId=1"),
    )
    assert statements.labels(place[24000]) == (
        *("races:999", "results", "drivers:20"),
        *("results.constructorId", "constructors:6", "results.statusId", "results.statusId=3"),
    )
    assert statements.time is not None
    assert int(statements.time[place[1]]) == int(to_microseconds("2008-03-16"))
    assert len(statements) == graph.nodes["results"].num_nodes
    assert statements.qualifiers is not None
    assert statements.qualifiers.counts.unique().tolist() == [2]
    assert list(statements.vocabulary.relations) == ["results", "results.constructorId", "results.statusId"]
    assert statements.num_entities - statements.vocabulary.num_main_entities == 137
