"""One contract over every table source: the same tables give the same schema and the same rows in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import relgraph
from relgraph.data.database import Database
from relgraph.data.sql import quote_all
from tests.adapters import sources

SOURCES = (
    "sqlite",
    "sqlite-url",
    "sqlalchemy",
    "duckdb",
    "parquet",
    "csv",
    "csv-backslash-n",
    "tsv",
    "pandas",
    "arrow",
    "snapshot",
    "snapshot-as-source",
    pytest.param("postgresql", marks=pytest.mark.servers),
)


def open_source(kind: str, folder: Path) -> Database:
    given: dict[str, Any] = {"times": sources.TIMES, "progress": False}
    keyless = {**given, "keys": sources.declared_keys()}
    match kind:
        case "sqlite":
            return relgraph.connect(sources.write_sqlite(folder / "shop.sqlite"), **given)
        case "sqlite-url":
            return relgraph.connect(f"sqlite:///{sources.write_sqlite(folder / 'shop.file')}", **given)
        case "sqlalchemy":
            return relgraph.connect(f"sqlite+pysqlite:///{sources.write_sqlite(folder / 'shop.file')}", **given)
        case "duckdb":
            return relgraph.connect(sources.write_duckdb(folder / "shop.duckdb"), **keyless)
        case "parquet":
            return relgraph.connect(sources.write_parquet(folder / "shop"), **keyless)
        case "csv":
            return relgraph.connect(sources.write_csv(folder / "shop"), **keyless)
        case "csv-backslash-n":
            return relgraph.connect(str(sources.write_csv(folder / "shop", null="\\N")), **keyless)
        case "tsv":
            return relgraph.connect(sources.write_csv(folder / "shop", suffix=".tsv"), **keyless)
        case "pandas":
            return relgraph.connect(sources.pandas_frames(), **keyless)
        case "arrow":
            return relgraph.connect(sources.arrow_frames(), **keyless)
        case "snapshot":
            return relgraph.connect(sources.arrow_frames(), **keyless, snapshot=folder / "snapshot.duckdb")
        case "snapshot-as-source":
            relgraph.connect(sources.arrow_frames(), **keyless, snapshot=folder / "snapshot.duckdb").close()
            return relgraph.connect(folder / "snapshot.duckdb", progress=False)
    raise AssertionError(kind)


@pytest.fixture(scope="module", params=SOURCES)
def db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "postgresql":
        url = sources.write_postgresql(request.getfixturevalue("postgresql"))
        opened = relgraph.connect(url, times=sources.TIMES, progress=False)
    else:
        opened = open_source(request.param, tmp_path_factory.mktemp("source"))
    with opened:
        yield opened


@pytest.mark.slow
def test_every_source_gives_the_same_schema_and_rows(db: Database) -> None:
    assert set(db.schema.names) == set(sources.TABLES)
    for name, expected in sources.TABLES.items():
        table = db.schema[name]
        assert table.column_names == tuple(expected.columns)
        assert table.primary_key == expected.primary_key
        assert table.time_column == sources.TIMES.get(name)
        keys = {(key.columns, key.table, db.schema.target_columns(key)) for key in table.foreign_keys}
        assert keys == set(expected.foreign_keys)
        if expected.rows:
            assert {column.name: column.dtype for column in table.columns} == expected.columns
        assert db.num_rows(name) == len(expected.rows)
        rows = db.sql(f'SELECT {quote_all(table.column_names)} FROM ({db.numbered(name)}) ORDER BY "__row"')
        assert [tuple(row.values()) for row in rows.to_pylist()] == expected.rows
        assert db.sql(f'SELECT "__row" AS r FROM ({db.numbered(name)}) ORDER BY r')["r"].to_pylist() == list(
            range(len(expected.rows))
        )


def test_every_source_gives_keys_that_join(db: Database) -> None:
    db.validate_keys()
    found = {(r.table, r.key): (r.rows, r.null, r.dangling, r.future) for r in db.check().foreign_keys}
    assert found == {
        ("customer", "referrer"): (3, 1, 1, None),
        ("order", "customer"): (3, 1, 0, None),
        ("order", "gift for"): (3, 1, 0, None),
        ("order line", "order"): (4, 0, 1, None),
        ("order line", "product"): (4, 1, 1, None),
        ("line note", "order+line"): (3, 1, 0, None),
        ("favourite", "customer"): (3, 0, 0, None),
        ("favourite", "product"): (3, 0, 0, None),
        ("refund", "order"): (0, 0, 0, None),
    }


def test_every_source_can_be_cut(db: Database) -> None:
    cut = db.upto("2020-01-01 12:30:00")
    assert cut.num_rows("order") == 2  # the one at that moment and the one without a time
    assert cut.num_rows("visit") == 1
    assert cut.num_rows("customer") == 3
    assert db.num_rows("order") == 3


@pytest.mark.parametrize("kind", ["sqlite", "sqlalchemy", "duckdb", "csv", "arrow"])
def test_a_selection_of_tables_drops_keys_that_lead_out(kind: str, tmp_path: Path) -> None:
    source: Any = {
        "sqlite": lambda: sources.write_sqlite(tmp_path / "shop.sqlite"),
        "sqlalchemy": lambda: f"sqlite+pysqlite:///{sources.write_sqlite(tmp_path / 'shop.file')}",
        "duckdb": lambda: sources.write_duckdb(tmp_path / "shop.duckdb"),
        "csv": lambda: sources.write_csv(tmp_path / "shop"),
        "arrow": sources.arrow_frames,
    }[kind]()
    with relgraph.connect(source, tables=["order line", "order"], progress=False) as db:
        assert set(db.schema.names) == {"order", "order line"}
        assert db.num_rows("order line") == 4
        if kind.startswith("sql"):
            assert [key.name for key in db.schema["order line"].foreign_keys] == ["order"]
            assert any("order line.product left out" in note for note in db.notes)
