"""MariaDB as it is in the wild: types, names, keys, engines, other databases; one snapshot, nothing written."""

from __future__ import annotations

import datetime as dt
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import relgraph
from relgraph.adapters.servers.mysql import MySQLSource
from relgraph.data.schema import Schema
from relgraph.data.source import Selection, Tail
from relgraph.errors import AdapterError, SchemaError
from tests.adapters.mysql_tools import connect, rows
from tests.adapters.servers import MARIADB, ServerDatabase, fresh

pytestmark = pytest.mark.servers
UTC = dt.UTC


@pytest.fixture(scope="module")
def second() -> Iterator[ServerDatabase]:
    yield from fresh("mysql", MARIADB, "CHARACTER SET utf8mb4")


def test_rows_come_in_the_order_of_the_bytes_of_their_key(mariadb: ServerDatabase) -> None:
    mariadb.run(
        "CREATE TABLE words (w VARCHAR(9) COLLATE utf8mb4_general_ci, n INT, PRIMARY KEY (w, n));"
        "INSERT INTO words VALUES ('b', 2), ('b', 1), ('A', 1), ('é', 1), ('Z', 1), ('a b', 1)"
    )
    assert [tuple(row.values()) for row in rows(mariadb, "words")[0].to_pylist()] == [
        *(("A", 1), ("Z", 1), ("a b", 1), ("b", 1), ("b", 2), ("é", 1)),
    ]


def test_keys_that_are_equal_by_their_collation_join(mariadb: ServerDatabase) -> None:
    """As they do on the server, which takes no account of case, accents and blanks at the end."""
    mariadb.run(
        "CREATE TABLE country (code VARCHAR(9), part INT, up VARCHAR(9) REFERENCES country (code),"
        "PRIMARY KEY (code, part), KEY (up));"
        "INSERT INTO country VALUES ('DE', 1, 'de'), ('Ré', 1, NULL), ('us', 2, 'US ')",
        "CREATE TABLE city (id INT PRIMARY KEY, code VARCHAR(9), part INT,"
        "FOREIGN KEY (code, part) REFERENCES country (code, part));"
        "INSERT INTO city VALUES (6, 'x', NULL), (1, 'de', 1),"
        " (2, 'DE', 1), (3, 'us  ', 2), (4, 're', 1), (5, NULL, 1)",
    )
    with connect(mariadb, "country", "city") as db:
        graph = relgraph.build_graph(db, progress=False)
        assert graph.edges["city", "code+part", "country"].edge_index.tolist() == [[0, 1, 2, 3], [0, 0, 2, 1]]
        assert graph.edges["country", "up", "country"].edge_index.tolist() == [[0, 2], [0, 2]]
        same = "to which they are equal for the server but not letter by letter"
        assert db.notes == (
            f"column city.code: 3 values are spelled as in country.code, {same}",
            f"column country.up: 2 values are spelled as in country.code, {same}",
        )
        assert db.sql("SELECT code FROM city ORDER BY id")["code"].to_pylist() == ["DE", "DE", "us", "Ré", None, "x"]


def test_any_name_is_only_a_name(mariadb: ServerDatabase) -> None:
    odd = ["a`b", "50 %s of :x", 'say "hi"', "it's; DROP TABLE safe; --", "select", "größe 大"]
    quoted = [f"`{name.replace('`', '``')}`" for name in odd]
    mariadb.run("CREATE TABLE safe (id INT)")
    for number, name in enumerate(quoted):
        refers = f", REFERENCED INT, FOREIGN KEY (REFERENCED) REFERENCES {quoted[number - 1]} ({quoted[0]})" * (
            number > 0
        )
        columns = ", ".join(f"{column} INT" for column in quoted[1:])
        mariadb.run(f"CREATE TABLE {name} ({quoted[0]} INT PRIMARY KEY, {columns}{refers})")
        mariadb.run(f"INSERT INTO {name} ({', '.join(quoted)}) VALUES (1, 2, 3, 4, 5, {number})")
    with connect(mariadb, *odd) as db:
        for number, name in enumerate(odd):
            assert db.schema[name].column_names[: len(odd)] == tuple(odd)
            assert [key.table for key in db.schema[name].foreign_keys] == odd[number - 1 : number]
            assert rows(mariadb, name)[0].to_pylist()[0][odd[-1]] == number
    assert mariadb.query("SELECT COUNT(*) FROM safe") == [(0,)]


def test_other_databases_are_schemas(mariadb: ServerDatabase, second: ServerDatabase) -> None:
    mariadb.run("CREATE TABLE town (id INT PRIMARY KEY); INSERT INTO town VALUES (1), (2)")
    second.run(
        "CREATE TABLE house (id INT PRIMARY KEY, town INT,"
        f"FOREIGN KEY (town) REFERENCES {mariadb.name}.town (id)); INSERT INTO house VALUES (5, 2)"
    )
    house = f"{second.name}.house"
    with connect(mariadb, "town", house, schemas=[mariadb.name, second.name]) as db:
        assert db.schema.names == ("town", house)
        assert [(key.name, key.table) for key in db.schema[house].foreign_keys] == [("town", "town")]
        graph = relgraph.build_graph(db, progress=False)
        assert graph.edges[house, "town", "town"].edge_index.tolist() == [[0], [1]]
    with connect(second) as db:
        assert db.schema["house"].foreign_keys == ()
        note = f"foreign key house.town left out: it leads to {mariadb.name}.town, which is not read"
        assert note in db.notes
    everything = MySQLSource(mariadb.url, Selection(schemas="*"))
    found = {table.name for table in everything.schema()}
    assert {"town", house} <= found
    assert not [name for name in found if name.partition(".")[0] in everything.system_schemas]
    with pytest.raises(SchemaError, match=r"there is no database 'nowhere'; databases: .*information_schema"):
        connect(mariadb, schemas=["nowhere"])
    with pytest.raises(SchemaError, match=r"the URL names no database: write it after the last '/', or say schemas"):
        relgraph.connect(MARIADB.rpartition("/")[0], progress=False)


def test_views_are_read_on_request_and_sequences_never(second: ServerDatabase) -> None:
    second.run(
        "CREATE TABLE base (id INT PRIMARY KEY); INSERT INTO base VALUES (1); CREATE SEQUENCE counter;"
        "CREATE VIEW double_base AS SELECT id * 2 AS twice FROM base; CREATE TABLE gone (id INT);"
        "CREATE VIEW broken AS SELECT id FROM gone; DROP TABLE gone"
    )
    with connect(second, "base") as db:
        assert db.schema.names == ("base",)
    source = MySQLSource(second.url, Selection())
    assert {"double_base", "counter", "broken"}.isdisjoint(table.name for table in source.schema())
    with connect(second, "double_base") as db:
        assert db.sql("SELECT twice FROM double_base")["twice"].to_pylist() == [2]
    source = MySQLSource(second.url, Selection(views=True))
    assert {"double_base", "base"} <= {table.name for table in source.schema()} - {"counter"}
    assert "broken" not in source.places
    assert [note for note in source.notes if note.startswith("view 'broken' left out: none of its columns can be seen")]


def test_only_what_is_current_is_read_of_tables_with_versions(mariadb: ServerDatabase) -> None:
    mariadb.run(
        "CREATE TABLE price (id INT PRIMARY KEY, p INT) WITH SYSTEM VERSIONING;"
        "INSERT INTO price VALUES (1, 5), (2, 6);"
        "UPDATE price SET p = 7 WHERE id = 1; DELETE FROM price WHERE id = 2;"
        "CREATE TABLE cost (id INT PRIMARY KEY, a TIMESTAMP(6) GENERATED ALWAYS AS ROW START,"
        "b TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (a, b)) WITH SYSTEM VERSIONING;"
        "CREATE TABLE split (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 4;"
        "INSERT INTO split VALUES (2), (1), (7)"
    )
    with connect(mariadb, "price", "cost", "split") as db:
        assert db.schema["price"].primary_key == ("id",)
        assert db.sql("SELECT id, p FROM price").to_pylist() == [{"id": 1, "p": 7}]
        assert db.schema["cost"].column_names == db.schema["cost"].primary_key == ("id",)
        assert db.sql("SELECT id FROM split ORDER BY rowid")["id"].to_pylist() == [1, 2, 7]


def test_tables_without_snapshot_are_named(mariadb: ServerDatabase) -> None:
    mariadb.run("CREATE TABLE old (id INT PRIMARY KEY) ENGINE=MyISAM; CREATE TABLE quick (id INT) ENGINE=MEMORY")
    with connect(mariadb, "old", "quick") as db:
        assert [note.partition(",")[0] for note in db.notes] == [
            "table 'old' is stored by MyISAM",
            "table 'quick' is stored by MEMORY",
        ]


def test_what_others_write_meanwhile_is_not_seen(mariadb: ServerDatabase) -> None:
    mariadb.run(
        "CREATE TABLE snap1 (id INT PRIMARY KEY); INSERT INTO snap1 SELECT seq FROM seq_1_to_3000;"
        "CREATE TABLE snap2 (id INT PRIMARY KEY); INSERT INTO snap2 VALUES (1), (2)"
    )
    source = MySQLSource(mariadb.url, Selection(tables=["snap1", "snap2"]))
    counts = {}
    for table in source.read(Schema(source.schema())):
        batches = iter(table.batches)
        counts[table.name] = next(batches).num_rows
        mariadb.run(
            "DELETE FROM snap1 WHERE id > 2000; INSERT IGNORE INTO snap2 VALUES (3); DELETE FROM snap2 WHERE id = 1"
        )
        counts[table.name] += sum(batch.num_rows for batch in batches)
    assert counts == {"snap1": 3000, "snap2": 2}


def test_nothing_can_be_written(mariadb: ServerDatabase) -> None:
    """Not even by a view that calls a function that writes."""
    mariadb.run(
        "CREATE TABLE log (id INT PRIMARY KEY)",
        "CREATE FUNCTION writes() RETURNS INT BEGIN INSERT INTO log VALUES (1); RETURN 1; END",
        "CREATE VIEW trap AS SELECT writes() AS w",
    )
    assert mariadb.query("SELECT w FROM trap") == [(1,)]  # it does write for those who may
    mariadb.run("DELETE FROM log")
    with pytest.raises(AdapterError, match=r"view 'trap' cannot be read: .*a function that writes"):
        connect(mariadb, "trap")
    source = MySQLSource(mariadb.url, Selection())
    engine = sa.create_engine(mariadb.url.replace("mysql://", "mysql+pymysql://"), poolclass=sa.NullPool)
    for statement in (
        "INSERT INTO log VALUES (2)",
        "SELECT w FROM trap",
        "DROP TABLE log",
        "CREATE TABLE other (i INT)",
    ):
        with engine.connect() as connection:
            source.begin(connection)
            with pytest.raises(sa.exc.OperationalError, match="READ ONLY transaction"):
                connection.exec_driver_sql(statement)
    assert mariadb.query("SELECT COUNT(*) FROM log") == [(0,)]


@pytest.mark.parametrize(
    ("column", "last"),
    [
        ("d", dt.date(2024, 1, 2)),
        ("m", dt.datetime(2024, 1, 2, 12)),
        ("s", dt.datetime(2024, 1, 2, 14, tzinfo=dt.timezone(dt.timedelta(hours=2)))),
        ("y", 2002),
        ("n", 3),
        ("f", 2.5),
    ],
)
def test_only_the_end_of_a_table_and_rows_without_a_time_are_read(
    second: ServerDatabase, column: str, last: Any
) -> None:
    """Whatever is missing when it is read counts as missing here: days 0 and the like."""
    second.run(
        "SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'; CREATE OR REPLACE TABLE events"
        "(id INT PRIMARY KEY, d DATE, m DATETIME, s TIMESTAMP NULL, y YEAR, n INT, f DOUBLE);"
        "INSERT INTO events VALUES (7, NULL, NULL, NULL, NULL, NULL, NULL),"
        "(1, '2024-01-01', '2024-01-02 11:59:59', '2024-01-02 11:59:59', 2001, 1, 1.5),"
        "(2, '2024-01-02', '2024-01-02 12:00:00', '2024-01-02 12:00:00', 2002, 3, 2.5),"
        "(3, '2024-01-03', '2024-01-03', '2024-01-03', 2003, 4, 3.5),"
        "(4, '0000-00-00', '2023-12-00 10:00:00', '0000-00-00', 0, NULL, NULL),"
        "(5, '2023-02-31', '2023-02-30', NULL, 0, NULL, NULL), (6, '2023-00-05', '0000-05-05', NULL, 0, NULL, NULL)"
    )
    found, older, _ = rows(second, "events", Tail(column, last))
    assert (found["id"].to_pylist(), older) == ([2, 3, 4, 5, 6, 7], 1)
    assert found[column].null_count == 4


def test_a_snapshot_is_brought_up_to_date(second: ServerDatabase, tmp_path: Path) -> None:
    second.run(
        "CREATE TABLE happened (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, at DATETIME, kind SET('a', 'b'));"
        "INSERT INTO happened VALUES (1, '2024-01-01', 'a'), (2, '2024-01-02', 'a,b'), (3, NULL, NULL)"
    )
    given: dict[str, Any] = {"times": {"happened": "at"}, "snapshot": tmp_path / "kept.duckdb"}
    connect(second, "happened", **given).close()
    second.run("INSERT INTO happened VALUES (4, '2024-01-02', 'b'), (5, '2024-01-03', '')")
    with connect(second, "happened", **given, refresh=True) as db:
        kinds = db.sql("SELECT id, kind FROM happened ORDER BY id").to_pylist()
        assert {row["id"]: row["kind"] for row in kinds} == {1: ["a"], 2: ["a", "b"], 3: None, 4: ["b"], 5: []}
        assert len(kinds) == 5
        assert any("happened" in change for change in db.changes)


def test_reading_can_be_left_in_the_middle(mariadb: ServerDatabase) -> None:
    """Without first fetching what is left, and without complaints of the driver later on."""
    mariadb.run("CREATE TABLE many (id INT PRIMARY KEY, t TEXT); INSERT INTO many SELECT seq, 'x' FROM seq_1_to_5000")
    source = MySQLSource(mariadb.url, Selection(tables=["many"]))
    schema = Schema(source.schema())
    reading = source.read(schema)
    batches = iter(next(reading).batches)
    assert next(batches).num_rows < 5000
    batches.close()  # type: ignore[attr-defined]
    reading.close()  # type: ignore[attr-defined]
    del batches, reading
    gc.collect()
    assert sum(batch.num_rows for table in source.read(schema) for batch in table.batches) == 5000


def test_columns_that_the_user_may_not_see_are_not_there(mariadb: ServerDatabase) -> None:
    mariadb.run(
        "CREATE TABLE staff (id INT, no INT, salary INT, PRIMARY KEY (id, no)); INSERT INTO staff VALUES (1, 2, 3)"
    )
    user = mariadb.user()
    mariadb.run(f"GRANT SELECT (id) ON staff TO {user}@'%'")
    with relgraph.connect(mariadb.url_of(user), progress=False) as db:
        assert db.schema["staff"].column_names == ("id",)
        assert db.schema["staff"].primary_key == ()
        assert db.sql("SELECT * FROM staff").to_pylist() == [{"id": 1}]
