"""One query that reads, and nothing else; and what is raised where tables cannot be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from relgraph.errors import AdapterError, SchemaError

if TYPE_CHECKING:
    import duckdb
    import pyarrow

__all__ = ["readable", "run_select"]


def run_select(
    cursor: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any] | Mapping[str, Any] | None
) -> pyarrow.Table:
    """The result of a query as an Arrow table.

    Raises:
        SchemaError: If it is no single SELECT, or something in it writes.
        duckdb.Error: If DuckDB cannot run it.
    """
    import duckdb

    kinds = [statement.type for statement in cursor.extract_statements(query)]
    if kinds != [duckdb.StatementType.SELECT]:
        found = ", ".join(kind.name for kind in kinds) or "none"
        raise SchemaError(f"expected one SELECT statement, got {found}: {query.strip()[:200]}")
    # DuckDB calls a SELECT over WITH x AS (DELETE ...) a SELECT too: only its parts tell
    tree: str = cursor.execute("SELECT json_serialize_sql(?)", [query]).fetchall()[0][0]
    writing = re.search(r'"type":"([A-Z]+)_QUERY_NODE"', tree)
    if writing is not None:
        raise SchemaError(f"expected a query that only reads, got {writing[1]} in it: {query.strip()[:200]}")
    cursor.execute("BEGIN TRANSACTION READ ONLY")  # in case another part writes
    return cursor.sql(query, params=parameters).to_arrow_table()


@contextmanager
def readable(name: str, unchanged: Callable[[], None]) -> Iterator[None]:
    """Within this block, what DuckDB and Arrow's readers over it raise becomes ours.

    Args:
        name: What is read.
        unchanged: Raises AdapterError if a file is not the one that was connected, which says better what is wrong.

    Raises:
        AdapterError: If the tables cannot be read: a file has changed, is gone or damaged, or the disk is full.
    """
    import duckdb
    import pyarrow

    try:
        yield
    except (duckdb.Error, pyarrow.ArrowException, OSError) as error:
        message = str(error).splitlines()[0]
    else:
        unchanged()
        return
    unchanged()
    raise AdapterError(
        f"{name}: the tables cannot be read: {message}; check that the files are whole and that the disk has room for "
        "temporary files"
    )
