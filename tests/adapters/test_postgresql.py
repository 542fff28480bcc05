"""PostgreSQL: one snapshot for two drivers, the order of rows, tails, and what a URL may say."""

from __future__ import annotations

import datetime as dt
import sys
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

import relgraph
from relgraph.adapters.servers.postgresql import PostgreSQLSource
from relgraph.adapters.servers.postgresql_adbc import ADBCReader, has_adbc
from relgraph.adapters.tables import ADAPTERS
from relgraph.data.schema import Schema
from relgraph.data.source import Selection, Tail
from relgraph.errors import AdapterError, SourceUnavailableError
from tests.adapters.reading import postgres, read, rows
from tests.adapters.servers import ServerDatabase

pytestmark = pytest.mark.servers
BOTH = pytest.mark.parametrize("adbc", [True, False], ids=["adbc", "psycopg"])


@BOTH
def test_all_tables_are_of_one_moment(postgresql: ServerDatabase, adbc: bool) -> None:
    """What others insert and delete between two tables, and while one is read, changes nothing."""
    postgresql.run(
        "DROP TABLE IF EXISTS a, b",
        "CREATE TABLE a (i int, t text); INSERT INTO a SELECT i, repeat('x', 1000) FROM generate_series(1, 50000) i",
        "CREATE TABLE b (i int); INSERT INTO b VALUES (1), (2)",
    )
    source = postgres(postgresql.url, adbc=adbc)
    counts = {}
    for table in source.read(Schema(source.schema())):
        counts[table.name] = 0
        for batch in table.batches:
            if table.name == "a" and not counts["a"]:
                postgresql.run("DELETE FROM a WHERE i > 10", "INSERT INTO b VALUES (3)", "DELETE FROM b WHERE i = 1")
            counts[table.name] += batch.num_rows
    source.close()
    assert counts == {"a": 50_000, "b": 2}
    assert {name: table.num_rows for name, table in read(postgres(postgresql.url)).items()} == {"a": 10, "b": 2}


def test_nothing_can_be_written(postgresql: ServerDatabase) -> None:
    postgresql.run("DROP TABLE IF EXISTS t", "CREATE TABLE t (i int); CREATE SEQUENCE s")
    source = postgres(postgresql.url)
    with source._opened() as connection, pytest.raises(sa.exc.DBAPIError, match="read-only transaction"):
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
    with source._opened() as connection:
        snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
        reader = ADBCReader(source._engine, source._arguments, snapshot, "SELECT 1")
        with closing(reader), pytest.raises(Exception, match="read-only transaction"):
            list(reader.batches("SELECT nextval('s')"))
    assert postgresql.query("SELECT count(*) FROM t") == [(0,)]


def test_a_view_that_writes_is_refused(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "CREATE TABLE log (i int)",
        "CREATE FUNCTION note() RETURNS int LANGUAGE sql AS 'INSERT INTO log VALUES (1) RETURNING i'",
        "CREATE VIEW writing AS SELECT note() AS i",
    )
    with pytest.raises(AdapterError, match=r"writing cannot be read: .*read-only transaction"):
        read(postgres(postgresql.url, tables=["writing"]))
    assert postgresql.query("SELECT count(*) FROM log") == [(0,)]


@BOTH
def test_rows_come_by_key_or_as_they_lie(postgresql: ServerDatabase, adbc: bool) -> None:
    postgresql.run(
        "DROP TABLE IF EXISTS keyed, loose, text_keyed, part",
        "CREATE TABLE keyed (b int, a int, PRIMARY KEY (a, b)); "
        "INSERT INTO keyed SELECT i % 7, -i FROM generate_series(1, 20000) i",
        # much of it would be an index-only scan, and begin in the middle if another reads it
        "CREATE TABLE loose (i int, fill text DEFAULT repeat('x', 500)); CREATE INDEX ON loose (i); "
        "INSERT INTO loose SELECT 10000 - i FROM generate_series(1, 10000) i; ANALYZE loose",
        "UPDATE loose SET fill = 'y' WHERE i % 3 = 0",
        """CREATE TABLE text_keyed (k text COLLATE "und-x-icu" PRIMARY KEY); """
        "INSERT INTO text_keyed VALUES ('a'), ('B'), ('é'), ('z'), ('-c')",
    )
    with postgresql.open() as connection:
        connection.execute("VACUUM loose")
    lying = [i for (i,) in postgresql.query("SELECT i FROM loose ORDER BY ctid")]
    assert lying != sorted(lying)
    tables = read(postgres(postgresql.url, adbc=adbc, tables=["keyed", "loose", "text_keyed"]))
    assert rows(tables["keyed"]) == sorted(rows(tables["keyed"]), key=lambda row: (row[1], row[0]))
    assert tables["loose"]["i"].to_pylist() == lying
    assert tables["text_keyed"]["k"].to_pylist() == ["-c", "B", "a", "z", "é"]


def test_rows_of_a_key_that_is_only_declared_come_by_it_and_then_as_they_lie(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "CREATE TABLE undeclared (k text, n int)", "INSERT INTO undeclared VALUES ('b', 1), ('a', 9), ('a', 2)"
    )
    source = postgres(postgresql.url, tables=["undeclared"])
    (table,) = source.schema()
    keyed = type(table)(table.name, table.columns, ("k",))
    (batches,) = (pa.Table.from_batches(t.batches) for t in source.read(Schema((keyed,))))
    assert rows(batches) == [("a", 9), ("a", 2), ("b", 1)]


TAILS: list[tuple[str, list[Any], Any, int]] = [  # type, values, the last, how many are older
    ("date", ["2020-01-01", "2020-01-02", "infinity", "-infinity", None], dt.date(2020, 1, 2), 1),
    ("timestamp", ["2020-01-01 12:00", "2020-01-01 12:00:00.000001"], dt.datetime(2020, 1, 1, 12, 0, 0, 1), 1),
    ("timestamptz", ["2020-01-01 12:00+02", "2020-01-01 12:00+00"], dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC), 1),
    ("timestamptz", ["2020-01-01 12:00+00"], dt.datetime(2021, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=3))), 1),
    ("int", ["1", "5", "7", None], 5, 1),
    ("numeric(9, 2)", ["1.25", "1.26", "NaN"], 1.26, 1),
    ("numeric(9, 0)", ["-3", "5", "NaN"], 5, 1),
    ("numeric(20, 0)", ["-3", "18446744073709551615", "NaN"], 2**64 - 1, 1),
    ("interval", ["1 second", "-1 minute"], -1.5, 1),
    ("double precision", ["1", "2"], 1.5, 1),
    ("date", [], dt.date(2020, 1, 1), 0),
]


@BOTH
@pytest.mark.parametrize(("dtype", "values", "last", "older"), TAILS)
def test_only_the_end_of_a_table(
    postgresql: ServerDatabase, dtype: str, values: list[str | None], last: Any, older: int, adbc: bool
) -> None:
    postgresql.run("DROP TABLE IF EXISTS t", f'CREATE TABLE t (id serial PRIMARY KEY, "a%s:t" {dtype})')
    for value in values:
        postgresql.run(f'INSERT INTO t ("a%s:t") VALUES ({"NULL" if value is None else repr(value)})')
    source = postgres(postgresql.url, adbc=adbc, tables=["t"])
    schema = Schema(source.schema())
    (table,) = source.read(schema, {"t": Tail("a%s:t", last)})
    assert table.older == older
    whole = rows(read(postgres(postgresql.url, adbc=adbc, tables=["t"]))["t"])
    (table,) = (  # read within the transaction this time
        (t.older, rows(pa.Table.from_batches(t.batches, schema=t.schema)))
        for t in source.read(schema, {"t": Tail("a%s:t", last)})
    )
    source.close()
    assert repr(table[1]) == repr([row for row in whole if row[1] is None or not row[1] < last])
    assert table[0] + len(table[1]) == len(values)


def test_a_tail_that_cannot_be_told_is_the_whole_table(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "DROP TABLE IF EXISTS t", "CREATE TABLE t (v text, d date); INSERT INTO t VALUES ('a', '2020-01-01')"
    )
    source = postgres(postgresql.url, tables=["t"])
    for tail in (Tail("v", "'; DROP TABLE t; --"), Tail("d", 5), Tail("d", dt.datetime(2021, 1, 1))):
        (found,) = (
            (t.older, pa.Table.from_batches(t.batches)) for t in source.read(Schema(source.schema()), {"t": tail})
        )
        assert (found[0], found[1].num_rows) == (None, 1)
    source.close()


def test_a_refresh_reads_only_what_is_new(postgresql: ServerDatabase, tmp_path: Any) -> None:
    postgresql.run(
        "DROP TABLE IF EXISTS event",
        "CREATE TABLE event (id int PRIMARY KEY, at timestamptz)",
        "INSERT INTO event VALUES (1, '2020-01-01 00:00+00'), (2, '2021-01-01 00:00+00'), (3, 'infinity'), (4, NULL)",
    )
    given: Any = {"tables": ["event"], "times": {"event": "at"}, "snapshot": tmp_path / "s.duckdb", "progress": False}
    relgraph.connect(postgresql.url, **given).close()
    postgresql.run("INSERT INTO event VALUES (5, '2022-01-01 00:00+00')")
    with relgraph.connect(postgresql.url, refresh=True, **given) as db:
        assert db.changes == ("event: 1 new rows",)
        assert sorted(db.sql("SELECT id FROM event")["id"].to_pylist()) == [1, 2, 3, 4, 5]


def test_cells_of_a_megabyte(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "DROP TABLE IF EXISTS t",
        "CREATE TABLE t (id int PRIMARY KEY, v text); "
        "INSERT INTO t SELECT i, repeat(chr(64 + i % 26), 1000000) FROM generate_series(1, 80) i",
    )
    for adbc in (True, False):
        source = postgres(postgresql.url, adbc=adbc, tables=["t"])
        sizes = []
        for table in source.read(Schema(source.schema())):
            for batch in table.batches:
                assert [len(v) for v in batch["v"].to_pylist()] == [1_000_000] * batch.num_rows
                sizes.append(batch.num_rows)
        source.close()
        assert sum(sizes) == 80


@BOTH
def test_a_table_that_is_gone_when_it_is_read(postgresql: ServerDatabase, adbc: bool) -> None:
    postgresql.run("CREATE TABLE gone (i int)")
    source = postgres(postgresql.url, adbc=adbc, tables=["gone"])
    schema = Schema(source.schema())
    postgresql.run("DROP TABLE gone")
    with pytest.raises(AdapterError, match=r"gone cannot be read: .*no longer what it was") as caught:
        [list(table.batches) for table in source.read(schema)]
    source.close()
    assert not isinstance(caught.value, SourceUnavailableError)


def test_where_adbc_cannot_connect_the_other_driver_reads_and_a_note_says_so(postgresql: ServerDatabase) -> None:
    postgresql.run("DROP TABLE IF EXISTS t", "CREATE TABLE t (i int); INSERT INTO t VALUES (1)")
    user = postgresql.user()
    postgresql.run(f"ALTER ROLE {user} CONNECTION LIMIT 1; GRANT SELECT ON t TO {user}")
    source = postgres(postgresql.url_of(user, "geheim"), tables=["t"])
    assert rows(read(source)["t"]) == [(1,)]
    assert len(source.notes) == 1
    assert source.notes[0].startswith("read by the slower driver, because ADBC cannot connect beside it: ")
    assert "geheim" not in source.notes[0]


def test_without_adbc_the_driver_of_the_url_reads(postgresql: ServerDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    postgresql.run("DROP TABLE IF EXISTS t", "CREATE TABLE t (i int); INSERT INTO t VALUES (1)")
    source = postgres(postgresql.url, tables=["t"])
    assert has_adbc(source._engine)
    for module in ("adbc_driver_postgresql", "adbc_driver_manager"):
        monkeypatch.setitem(sys.modules, module, None)
    assert not has_adbc(source._engine)
    assert rows(read(source)["t"]) == [(1,)]
    assert source.notes == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://{user}@{host}:{port}/{db}",
        "postgres://{user}@{host}:{port}/{db}",
        "postgresql+psycopg://{user}@{host}:{port}/{db}?sslmode=prefer&application_name=a%20b",
        "postgresql:///{db}?host={host}&port={port}&user={user}",
        "postgresql://{user}:p%40ss%20w%27o%5Crd%2F@{host}:{port}/{db}",
        "postgresql://{user}@/{db}?host={host}:{port}",
    ],
)
def test_forms_of_urls(postgresql: ServerDatabase, url: str) -> None:
    postgresql.run("DROP TABLE IF EXISTS t", "CREATE TABLE t (i int); INSERT INTO t VALUES (1)")
    server = sa.make_url(postgresql.url)
    full = url.format(user=server.username, host=server.host, port=server.port or 5432, db=server.database)
    source = next(adapter for adapter in ADAPTERS if adapter.matches(full))(full, Selection(["t"]))
    assert isinstance(source, PostgreSQLSource)
    assert rows(read(source)["t"]) == [(1,)]
    assert source.notes == []
    assert "p%40ss" not in source.name


def test_a_socket_folder_as_host(postgresql: ServerDatabase) -> None:
    (folder,) = postgresql.query("SHOW unix_socket_directories")[0]
    folder = folder.split(",")[0].strip()
    server = sa.make_url(postgresql.url)
    options = f"port={server.port or 5432}&user={server.username}"
    postgresql.run("DROP TABLE IF EXISTS t", "CREATE TABLE t (i int); INSERT INTO t VALUES (1)")
    for url in (
        f"postgresql:///{server.database}?host={folder}&{options}",
        f"postgresql://{folder.replace('/', '%2F')}/{server.database}?{options}",
    ):
        try:
            found = read(postgres(url, tables=["t"]))
        except SourceUnavailableError as error:
            pytest.skip(f"the server's socket is not on this machine: {error}")
        assert rows(found["t"]) == [(1,)]


def test_a_service_name(postgresql: ServerDatabase, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = sa.make_url(postgresql.url)
    lines = (
        f"[shop]\nhost={server.host}\nport={server.port or 5432}\nuser={server.username}\ndbname={server.database}\n"
    )
    (tmp_path / "services").write_text(lines)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    postgresql.run("DROP TABLE IF EXISTS t", "CREATE TABLE t (i int); INSERT INTO t VALUES (1)")
    assert rows(read(postgres("postgresql://?service=shop", tables=["t"]))["t"]) == [(1,)]


def test_connecting_that_fails_says_why_and_never_the_password(postgresql: ServerDatabase) -> None:
    server = sa.make_url(postgresql.url).set(password="gehe!m")  # noqa: S106
    wrong: list[tuple[sa.URL, type[AdapterError], str]] = [
        (server.set(database="relgraph_nowhere"), AdapterError, "does not exist.*check the name after the last '/'"),
        (server.set(username="relgraph_nobody"), AdapterError, 'role "relgraph_nobody" does not exist'),
        (server.set(host="nowhere.invalid"), AdapterError, "check the host in the URL"),
        (server.set(port=1), SourceUnavailableError, "check that it is running and that host and port are right"),
        (server.update_query_dict({"sslmode": "require"}), AdapterError, "check the ssl settings"),
        (server.update_query_dict({"colour": "red"}), AdapterError, "a setting in the URL is not understood"),
        (server.set(drivername="postgresql+nothing"), AdapterError, "(?s)."),
    ]
    for url, kind, message in wrong:
        with pytest.raises(AdapterError, match=message) as caught:
            postgres(url.render_as_string(hide_password=False)).schema()
        assert type(caught.value) is kind, url
        assert "gehe" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
