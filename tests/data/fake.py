"""A source of tables made by a test, which can change, go away and break in the middle of a read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from relgraph.data.schema import ColumnSchema, Schema, TableSchema
from relgraph.data.source import Scan, TableBatches, Tail


class FakeSource:
    """Arrow tables with declared keys, read in batches of two rows.

    Args:
        frames: The tables, by name; may be changed between reads.
        keys: Primary keys by table.
        fault: Called before each batch with the table's name and the number of the read, both to be raised from.
        gives_tails: Whether it can give only the newer rows of a table.
    """

    name = "a source of the test"

    def __init__(
        self,
        frames: dict[str, pa.Table],
        keys: Mapping[str, str] | None = None,
        fault: Callable[[str, int], None] = lambda table, attempt: None,
        gives_tails: bool = True,
    ) -> None:
        self.frames, self.keys, self.fault, self.gives_tails = frames, keys or {}, fault, gives_tails
        self.notes: list[str] = []
        self.reads = 0
        self.rows_read: dict[str, int] = {}

    def schema(self) -> tuple[TableSchema, ...]:
        return tuple(
            TableSchema(name, tuple(map(ColumnSchema, frame.column_names)), self.keys.get(name, ()))
            for name, frame in self.frames.items()
        )

    def scans(self, schema: Schema) -> Mapping[str, Scan]:
        return {}

    def read(self, schema: Schema, tails: Mapping[str, Tail] | None = None) -> Iterator[TableBatches]:
        self.reads += 1
        self.notes.append(f"read number {self.reads}")
        frames = dict(self.frames)  # one transaction
        for table in schema:
            frame, older = frames[table.name], None
            tail = (tails or {}).get(table.name) if self.gives_tails else None
            if tail is not None:
                newer = [v is None or v >= tail.last for v in frame[tail.column].to_pylist()]
                older = len(newer) - sum(newer)
                frame = frame.filter(pa.array(newer, pa.bool_()))
            self.rows_read[table.name] = frame.num_rows
            yield TableBatches(table.name, frame.schema, self._batches(table.name, frame), None, older)

    def _batches(self, name: str, frame: pa.Table) -> Iterable[pa.RecordBatch]:
        for batch in frame.to_batches(max_chunksize=2):
            self.fault(name, self.reads)
            yield batch

    def unchanged(self) -> None:
        pass

    def fingerprint(self) -> str:
        return ""

    def close(self) -> None:
        pass


def rows(db: Any, table: str) -> list[tuple[Any, ...]]:
    """The rows of a table in the order of their numbers."""
    found = db.sql(f'SELECT * FROM ({db.numbered(table)}) ORDER BY "__row"').to_pylist()
    assert [row.pop("__row") for row in found] == list(range(len(found)))
    return [tuple(row.values()) for row in found]
