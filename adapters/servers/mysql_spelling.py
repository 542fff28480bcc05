"""Text keys as the rows they refer to spell them: to the server ``'abc'`` may refer to ``'ABC'`` or ``'abc '``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from relgraph.adapters.servers.mysql_columns import backticked
from relgraph.adapters.servers.reflection import Place
from relgraph.data.schema import ForeignKey

if TYPE_CHECKING:
    import sqlalchemy

__all__ = ["spelled_as_referred"]


def spelled_as_referred(
    connection: sqlalchemy.Connection,
    table: str,
    keys: Sequence[ForeignKey],
    places: Mapping[str, Place],
    notes: list[str],
) -> dict[str, str]:
    """Columns of foreign keys whose text differs from the text that it equals by its collation.

    Only then is a key read through the row that it refers to; everything behind compares bytes.

    Args:
        connection: Within the transaction.
        table: The table that refers.
        keys: Its foreign keys as the server declares them.
        places: Where the tables lie.
        notes: Grows by one sentence for each such column.

    Returns:
        Per column SQL of its value, over the table under its full name.
    """
    found: dict[str, str] = {}
    own = places[table]
    here = backticked(own.schema, own.name)
    for key in keys:
        target = places[key.table]
        there = backticked(target.schema, target.name)
        pairs = list(zip(key.columns, key.target_columns, strict=True))
        equal = " AND ".join(f"{here}.{backticked(a)} = p.{backticked(b)}" for a, b in pairs)
        for column, referred in pairs:
            if column in found or not own.types[column].collated or not target.types[referred].collated:
                continue
            ours, theirs = f"{here}.{backticked(column)}", f"p.{backticked(referred)}"
            count = connection.exec_driver_sql(
                f"SELECT COUNT(*) FROM {here} JOIN {there} AS p ON {equal} "
                f"WHERE CAST({ours} AS BINARY) <> CAST({theirs} AS BINARY)",
                execution_options={"no_parameters": True},
            ).scalar_one()
            if count:
                found[column] = f"COALESCE((SELECT {theirs} FROM {there} AS p WHERE {equal} LIMIT 1), {ours})"
                notes.append(
                    f"column {table}.{column}: {count:,} values are spelled as in {key.table}.{referred}, to which "
                    "they are equal for the server but not letter by letter"
                )
    return found
