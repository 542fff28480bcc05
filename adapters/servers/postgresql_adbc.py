"""Connections to PostgreSQL by ADBC, beside the one that reads the catalogue, that see exactly what it sees."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from relgraph.data.sql import literal

if TYPE_CHECKING:
    import pyarrow
    import sqlalchemy

__all__ = ["ADBCReader", "adbc_errors", "has_adbc", "side_by_side"]

# arguments of the Python drivers that libpq does not know
_NOT_LIBPQ = ("autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory")
# a batch: small enough that the first and the last one keep nobody waiting, large enough that its own cost, which
# grows with the columns, does not count
_BATCH_BYTES_PER_COLUMN, _BATCH_BYTES = 2**17, (2**21, 2**24)
_AHEAD = 8  # batches; the most that waits in memory, per reader of several


def has_adbc(engine: sqlalchemy.Engine) -> bool:
    """Whether ADBC's driver is installed and connects as the engine's own does: both by libpq."""
    try:
        import adbc_driver_postgresql  # noqa: F401
    except ImportError:
        return False
    return engine.driver in ("psycopg", "psycopg2")


def adbc_errors() -> tuple[type[Exception], ...]:
    """What ADBC raises; nothing where it is not installed."""
    try:
        from adbc_driver_manager import Error
    except ImportError:
        return ()
    return (Error,)


class ADBCReader:
    """Rows of queries as Arrow batches, from within the snapshot of another transaction.

    Args:
        engine: Where to connect to.
        arguments: What the engine gives to its driver besides the URL.
        snapshot: What ``pg_export_snapshot()`` gave; its transaction must still be open.
        settings: A SELECT that sets what holds for the transaction.
    """

    def __init__(self, engine: sqlalchemy.Engine, arguments: Mapping[str, Any], snapshot: str, settings: str) -> None:
        from adbc_driver_postgresql import dbapi

        self._connection = dbapi.connect(_conninfo(engine, arguments))
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")
                cursor.execute(settings)
                cursor.fetchall()
        except BaseException:
            self._connection.close()
            raise

    def batches(self, query: str, num_columns: int = 1) -> Iterator[list[pyarrow.Array]]:
        """The columns of the rows, some two megabytes at a time; more of a wide table."""
        from adbc_driver_postgresql import StatementOptions

        size = min(max(num_columns * _BATCH_BYTES_PER_COLUMN, _BATCH_BYTES[0]), _BATCH_BYTES[1])
        with self._connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(size)})
            cursor.execute(query)
            for batch in cursor.fetch_record_batch():
                yield batch.columns

    def close(self) -> None:
        """End the transaction and the connection."""
        self._connection.close()


def side_by_side(
    readers: Sequence[ADBCReader], queries: Sequence[str], num_columns: int
) -> Iterator[list[pyarrow.Array]]:
    """The batches of queries, one query after the other, while every reader already works on the next of its own.

    Args:
        readers: Connections; query i is for reader i modulo their number.
        queries: What to read, in this order.
        num_columns: How many columns each has.
    """
    feeds = [
        _Feed(reader, queries[i :: len(readers)], num_columns, ahead=1 if len(readers) == 1 else _AHEAD)
        for i, reader in enumerate(readers[: len(queries)])
    ]
    try:
        for i in range(len(queries)):
            yield from feeds[i % len(feeds)].one_query()
    finally:
        for feed in feeds:
            feed.close()


class _Feed:
    """The batches of one reader's queries, some of them ahead of whoever asks, in a thread of its own."""

    def __init__(self, reader: ADBCReader, queries: Sequence[str], num_columns: int, ahead: int) -> None:
        self._source = _marked(reader, queries, num_columns)
        self._thread = ThreadPoolExecutor(1)
        self._coming: deque[Future[list[pyarrow.Array] | None]] = deque()
        for _ in range(ahead):
            self._ask()

    def _ask(self) -> None:
        self._coming.append(self._thread.submit(next, self._source, None))

    def one_query(self) -> Iterator[list[pyarrow.Array]]:
        """The batches of the next query."""
        while True:
            batch = self._coming.popleft().result()
            self._ask()
            if batch is None:
                return
            yield batch

    def close(self) -> None:
        """Stop at the batch that is being read; its error, if it has one, is not of interest any more."""
        for future in self._coming:
            future.cancel()
        with suppress(*adbc_errors()):
            self._thread.submit(self._source.close).result()
        self._thread.shutdown()


def _marked(reader: ADBCReader, queries: Sequence[str], num_columns: int) -> Generator[list[pyarrow.Array] | None]:
    """The batches of all queries, with None after each query."""
    for query in queries:
        yield from reader.batches(query, num_columns)
        yield None


def _conninfo(engine: sqlalchemy.Engine, arguments: Mapping[str, Any]) -> str:
    """How libpq connects to what the engine connects to."""
    _, own = engine.dialect.create_connect_args(engine.url)
    known = {name: str(value) for name, value in {**own, **arguments}.items() if name not in _NOT_LIBPQ and value}
    escaped = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in known.items()}
    return " ".join(f"{name}='{value}'" for name, value in escaped.items())
