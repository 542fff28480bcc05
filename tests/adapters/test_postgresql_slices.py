"""Large PostgreSQL tables, cut along their key and read by two connections: every row once, in order, of one moment."""

from __future__ import annotations

import threading

import pytest

from relgraph.adapters.servers import postgresql as reading
from relgraph.adapters.servers import postgresql_slices
from relgraph.adapters.servers.postgresql_adbc import side_by_side
from relgraph.data.schema import Schema
from relgraph.errors import SourceUnavailableError
from tests.adapters.reading import postgres, read
from tests.adapters.servers import ServerDatabase

pytestmark = pytest.mark.servers


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked, of tables that are large from 32 kB on."""
    asked: list[str] = []

    def noted(readers, queries, num_columns):  # type: ignore[no-untyped-def]
        asked.extend(f"{i % len(readers)}: {query}" for i, query in enumerate(queries))
        return side_by_side(readers, queries, num_columns)

    monkeypatch.setattr(postgresql_slices, "_SLICE_BYTES", 2**13)
    monkeypatch.setattr(reading, "side_by_side", noted)
    return asked


def make(server: ServerDatabase, key: str = "i * i - 5000", order: str = "i", dtype: str = "bigint") -> None:
    server.run(
        'DROP TABLE IF EXISTS "large%s"',
        f'CREATE TABLE "large%s" ("k:%s" {dtype} PRIMARY KEY, t text); '
        f"""INSERT INTO "large%s" SELECT {key}, 'row ' || i FROM generate_series(1, 3000) i ORDER BY {order}; """
        'ANALYZE "large%s"',
    )


@pytest.mark.parametrize("dtype", ["bigint", "int"])
def test_every_row_comes_once_and_in_order(postgresql: ServerDatabase, queries: list[str], dtype: str) -> None:
    """Also rows that the statistics do not know, beyond both ends and between."""
    make(postgresql, dtype=dtype)
    postgresql.run("""INSERT INTO "large%s" VALUES (-2000000, 'first'), (2000000000, 'last'), (7, 'between')""")
    table = read(postgres(postgresql.url, tables=["large%s"]))["large%s"]
    keys = sorted([i * i - 5000 for i in range(1, 3001)] + [-2_000_000, 2_000_000_000, 7])
    assert table["k:%s"].to_pylist() == keys
    assert table["t"].to_pylist()[0] == "first"
    assert table["t"].to_pylist()[-1] == "last"
    assert len(queries) > 8
    assert {query[0] for query in queries} == {"0", "1"}


@pytest.mark.parametrize(
    ("key", "order", "dtype"),
    [("i", "random()", "bigint"), ("i", "i", "numeric"), ("'k' || i", "i", "text")],
    ids=["lies in no order", "decimal", "text"],
)
def test_other_tables_are_read_as_one(
    postgresql: ServerDatabase, queries: list[str], key: str, order: str, dtype: str
) -> None:
    make(postgresql, key, order, dtype)
    assert read(postgres(postgresql.url, tables=["large%s"]))["large%s"].num_rows == 3000
    assert len(queries) == 1


def test_without_statistics_a_table_is_read_as_one(postgresql: ServerDatabase, queries: list[str]) -> None:
    postgresql.run("CREATE TABLE fresh (k int PRIMARY KEY)", "INSERT INTO fresh SELECT generate_series(1, 9000)")
    assert read(postgres(postgresql.url, tables=["fresh"]))["fresh"].num_rows == 9000
    assert len(queries) == 1


def test_all_slices_are_of_one_moment(postgresql: ServerDatabase, queries: list[str]) -> None:
    make(postgresql)
    source = postgres(postgresql.url, tables=["large%s"])
    count = 0
    for table in source.read(Schema(source.schema())):
        for batch in table.batches:
            if not count:
                postgresql.run('DELETE FROM "large%s" WHERE "k:%s" > 0')
            count += batch.num_rows
    source.close()
    assert (count, len(queries) > 8) == (3000, True)


def test_a_server_with_one_connection_to_spare_reads_all_the_same(
    postgresql: ServerDatabase, queries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from adbc_driver_manager import OperationalError

    made = reading.ADBCReader
    number = 0

    def scarce(*arguments):  # type: ignore[no-untyped-def]
        nonlocal number
        number += 1
        if number > 1:
            from adbc_driver_manager import AdbcStatusCode

            raise OperationalError("too many connections", status_code=AdbcStatusCode.IO)
        return made(*arguments)

    monkeypatch.setattr(reading, "ADBCReader", scarce)
    make(postgresql)
    source = postgres(postgresql.url, tables=["large%s"])
    assert read(source)["large%s"].num_rows == 3000
    assert {query[0] for query in queries} == {"0"}
    assert not source.notes


def test_a_connection_that_is_cut_ends_the_read(postgresql: ServerDatabase, queries: list[str]) -> None:
    """The second of two connections is ended while the first one brings its rows: an error, and no thread is left."""
    postgresql.run("DROP TABLE IF EXISTS wide")
    postgresql.run(
        "CREATE TABLE wide (k int PRIMARY KEY, t text)",
        "INSERT INTO wide SELECT i, repeat(md5(i::text), 60) FROM generate_series(1, 60000) i",
        "ALTER TABLE wide ALTER t SET STORAGE PLAIN",
        "ANALYZE wide",
    )
    source = postgres(postgresql.url, tables=["wide"])
    threads = threading.active_count()

    def read_and_cut() -> None:
        for table in source.read(Schema(source.schema())):
            for _ in table.batches:
                postgresql.run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND query LIKE '%\"wide\"%'"
                )

    with pytest.raises(SourceUnavailableError, match="wide"):
        read_and_cut()
    source.close()
    assert threading.active_count() <= threads
