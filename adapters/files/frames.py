"""Frames in memory: a mapping from table names to pandas, Arrow, Polars or other Arrow-speaking frames."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relgraph.adapters.files.queries import QuerySource
from relgraph.data.schema import ColumnSchema, TableSchema
from relgraph.data.source import Selection
from relgraph.data.sql import quote
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["FramesSource"]


class FramesSource(QuerySource):
    """Tables out of frames; a named pandas index becomes columns. They are copied: a caller may change a frame.

    Args:
        source: Frames by table name.
        selection: See :class:`QuerySource`; SQL sees every frame under its name.

    Raises:
        AdapterError: If there is no frame, or one has duplicate or non-text column names or mixed types in a column.
        SchemaError: If the selection names schemas.
    """

    understands = "a mapping from table names to pandas, Arrow or Polars frames"

    def __init__(self, source: Mapping[str, Any], selection: Selection) -> None:
        selection.require_no_schemas("a mapping of frames")
        if not source:
            raise AdapterError("the mapping of frames is empty; expected table names with their frames")
        for name in source:
            if not isinstance(name, str) or not name:
                raise AdapterError(f"{name!r} cannot name a table; the frames' names must be text")
        if len({name.casefold() for name in source}) < len(source):
            raise AdapterError(f"two frames' names differ only in case: {', '.join(sorted(source))}; rename one")
        self._frames = {name: _as_arrow(name, frame) for name, frame in source.items()}
        super().__init__("frames in memory", selection)
        for index, (name, frame) in enumerate(self._frames.items()):
            self._engine.register(f"__frame_{index}", frame)
            self._engine.execute(f"CREATE TEMP VIEW {quote(name)} AS SELECT * FROM {quote(f'__frame_{index}')}")

    @staticmethod
    def matches(source: object) -> bool:
        """Whether it is a mapping."""
        return isinstance(source, Mapping)

    def views(self) -> list[TableSchema]:
        """One table per frame."""
        return [
            TableSchema(name, tuple(ColumnSchema(column) for column in frame.column_names))
            for name, frame in self._frames.items()
        ]

    def fingerprint(self) -> str:
        """A hash of every value."""
        import pyarrow

        digest = hashlib.blake2b(digest_size=16)
        for name, frame in self._frames.items():
            digest.update(name.encode())
            with pyarrow.ipc.new_stream(_Digest(digest), frame.schema) as writer:
                writer.write_table(frame.combine_chunks(), max_chunksize=65_536)  # however the frame is cut
        return f"{super().fingerprint()} {digest.hexdigest()}"


class _Digest:
    """A file that keeps nothing but the hash of what is written."""

    closed = False

    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def write(self, data: Any) -> int:
        self._digest.update(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


def _as_arrow(name: str, frame: Any) -> pyarrow.Table:
    import pyarrow

    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(frame, pandas.DataFrame):
        table = _from_pandas(name, frame)
    elif hasattr(frame, "__arrow_c_stream__") or isinstance(frame, pyarrow.Table):
        table = pyarrow.table(frame)
    else:
        raise AdapterError(
            f"table {name!r} is a {type(frame).__name__}; expected a pandas DataFrame, a pyarrow Table or a frame "
            "with the Arrow stream interface (Polars, DuckDB, ...)"
        )
    _check_names(name, table.column_names)
    return table.cast(pyarrow.schema([field.with_type(_plain(field.type)) for field in table.schema]))


def _from_pandas(name: str, frame: Any) -> pyarrow.Table:
    import pyarrow

    if any(level is not None for level in frame.index.names):
        frame = frame.reset_index()
    for column in frame.columns:
        if not isinstance(column, str):
            raise AdapterError(
                f"table {name!r} has a column named {column!r} ({type(column).__name__}); expected text: "
                "rename it, e.g. frame.rename(columns=str)"
            )
    _check_names(name, list(frame.columns))
    arrays = []
    for column in frame.columns:
        try:
            arrays.append(pyarrow.Array.from_pandas(frame[column]))
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):
            kinds = sorted({type(value).__name__ for value in frame[column].dropna()})
        else:
            continue
        raise AdapterError(
            f"column {name}.{column} holds values of type {', '.join(kinds)} together, expected one type; "
            f"make it one, e.g. frame[{column!r}].astype(str)"
        )
    return pyarrow.table(dict(zip(frame.columns, arrays, strict=True)))


def _check_names(name: str, columns: Sequence[str]) -> None:
    if not columns:
        raise AdapterError(f"table {name!r} has no columns")
    for column in columns:
        if not column:
            raise AdapterError(f"table {name!r} has a column without a name")
        if list(columns).count(column) > 1:
            raise AdapterError(f"table {name!r} has two columns named {column!r}; names must be unique")


def _plain(dtype: pyarrow.DataType) -> pyarrow.DataType:
    """The nearest type DuckDB reads."""
    import pyarrow

    types = pyarrow.types
    if types.is_dictionary(dtype):
        return _plain(dtype.value_type)
    if types.is_float16(dtype):
        return pyarrow.float32()
    if types.is_decimal256(dtype):
        return pyarrow.float64()
    return pyarrow.string() if types.is_null(dtype) else dtype
