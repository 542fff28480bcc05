"""The same database through every source gives the same graph, table by table, compared by key.

Names are compared after the map of :func:`tests.adapters.chinook.camel`; the SQLite file is what all others must equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import relgraph
from relgraph.data.graph import HeteroGraph
from tests.adapters import chinook

pytestmark = [pytest.mark.data, pytest.mark.servers]

FIT_UNTIL = "2024-01-01"


@dataclass(frozen=True)
class Read:
    schema: dict[str, Any]
    graph: HeteroGraph
    fitted: HeteroGraph


def read(kind: str, data: Path, folder: Path, request: pytest.FixtureRequest) -> Read:
    with chinook.opened(kind, data / "db", folder, request) as db:
        graph = relgraph.build_graph(db, progress=False)
        return Read(chinook.schema_of(db), graph, relgraph.build_graph(db, fit_until=FIT_UNTIL, progress=False))


@pytest.fixture(scope="module")
def expected(data_dir: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Read:
    return read("sqlite", data_dir, tmp_path_factory.mktemp("sqlite"), request)


@pytest.fixture(scope="module", params=chinook.SOURCES)
def found(request: pytest.FixtureRequest, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Read:
    return read(request.param, data_dir, tmp_path_factory.mktemp("source"), request)


def test_the_reference_is_chinook(expected: Read) -> None:
    """What the others are compared with, in numbers that the file's own SQL gives."""
    assert {table: entry["rows"] for table, entry in expected.schema.items()} == chinook.ROWS
    assert {t: e["primary key"] for t, e in expected.schema.items()} == chinook.PRIMARY_KEYS
    references = {(t, key): target for t, keys in chinook.FOREIGN_KEYS.items() for key, target in keys.items()}
    assert {(t, c[0]): target for t, e in expected.schema.items() for c, target, _ in e["foreign keys"]} == references
    edges = chinook.edges_of(expected.graph)
    assert {(t, key, target) for (t, key), target in references.items()} == edges.keys()
    assert [pair[:2] for pair in edges["Employee", "ReportsTo", "Employee"]] == [
        (2, 1),
        (3, 2),
        (4, 2),
        (5, 2),
        (6, 1),
        (7, 6),
        (8, 6),
    ]
    assert len(edges["PlaylistTrack", "TrackId", "Track"]) == 8715
    countries = chinook.stats_of(expected.graph)["Customer.Country"]
    assert (countries["categories"][:4], countries["counts"][:4]) == (
        ["USA", "Canada", "Brazil", "France"],
        [13, 8, 5, 5],
    )
    total = chinook.stats_of(expected.graph)["Invoice.Total"]
    assert total["mean"] == pytest.approx(5.651941747572815, rel=1e-12)  # 2328.60 / 412


def test_the_schema_is_the_same(found: Read, expected: Read) -> None:
    assert found.schema == expected.schema


def test_columns_mean_the_same(found: Read, expected: Read) -> None:
    assert chinook.kinds_of(found.graph) == chinook.kinds_of(expected.graph)
    assert chinook.kinds_of(found.fitted) == chinook.kinds_of(expected.fitted)


def test_rows_have_the_same_keys_times_and_features(found: Read, expected: Read) -> None:
    for ours, theirs in ((found.graph, expected.graph), (found.fitted, expected.fitted)):
        rows, wanted = chinook.rows_of(ours), chinook.rows_of(theirs)
        assert rows.keys() == wanted.keys()
        for table in wanted:
            assert rows[table] == wanted[table], table


def test_edges_join_the_same_keys_at_the_same_times(found: Read, expected: Read) -> None:
    assert chinook.edges_of(found.graph) == chinook.edges_of(expected.graph)


def test_statistics_are_the_same(found: Read, expected: Read) -> None:
    for ours, theirs in ((found.graph, expected.graph), (found.fitted, expected.fitted)):
        stats, wanted = chinook.stats_of(ours), chinook.stats_of(theirs)
        assert stats.keys() == wanted.keys()
        for column, values in wanted.items():
            assert stats[column].keys() == values.keys(), column
            for statistic, value in values.items():
                assert stats[column][statistic] == close(value), f"{column} {statistic}"


def test_categories_are_ordered_by_count_then_value(found: Read) -> None:
    ordered = 0
    for column, stats in chinook.stats_of(found.fitted).items():
        if "categories" in stats:
            pairs = list(zip(stats["counts"], stats["categories"], strict=True))
            assert pairs == sorted(pairs, key=lambda pair: (-pair[0], pair[1])), column
            ordered += len(pairs) > 1
    assert ordered >= 5


def test_the_statements_are_the_same(found: Read, expected: Read) -> None:
    facts = chinook.facts_of(found.graph)
    assert facts == chinook.facts_of(expected.graph)
    assert sum(relation == "PlaylistTrack" for _, relation, _, _, _ in facts) == 8715


def close(value: Any) -> Any:
    """Floats to 1e-9, all else exactly."""
    return pytest.approx(value, rel=1e-9, abs=1e-9) if _has_floats(value) else value


def _has_floats(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, list) and any(isinstance(part, float) for part in value))
