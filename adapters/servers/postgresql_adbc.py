"""A second connection to PostgreSQL, by ADBC, that sees exactly what the first one sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from relgraph.data.sql import literal

if TYPE_CHECKING:
    import pyarrow
    import sqlalchemy

__all__ = ["ADBCReader", "adbc_errors", "has_adbc"]

# arguments of the Python drivers that libpq does not know
_NOT_LIBPQ = ("autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory")


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

    def batches(self, query: str) -> Iterator[list[pyarrow.Array]]:
        """The columns of the rows, some megabytes at a time."""
        with self._connection.cursor() as cursor, ThreadPoolExecutor(1) as ahead:
            cursor.execute(query)
            reader = iter(cursor.fetch_record_batch())
            # the next batch is parsed while the last one is put away
            coming = ahead.submit(next, reader, None)
            while (batch := coming.result()) is not None:
                coming = ahead.submit(next, reader, None)
                yield batch.columns

    def close(self) -> None:
        """End the transaction and the connection."""
        self._connection.close()


def _conninfo(engine: sqlalchemy.Engine, arguments: Mapping[str, Any]) -> str:
    """How libpq connects to what the engine connects to."""
    _, own = engine.dialect.create_connect_args(engine.url)
    known = {name: str(value) for name, value in {**own, **arguments}.items() if name not in _NOT_LIBPQ and value}
    escaped = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in known.items()}
    return " ".join(f"{name}='{value}'" for name, value in escaped.items())
