"""Predictions as a table with the database's own keys, and as files."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow
from torch import Tensor

from relgraph.data.sql import quote, quote_all
from relgraph.errors import AdapterError, SchemaError

__all__ = ["DATABASES", "FILES", "prediction_table", "split_place", "write_predictions"]

FILES = (".csv", ".json", ".parquet")
"""Endings of files that hold one table."""

DATABASES = (".duckdb", ".sqlite", ".db")
"""Endings of files that get the predictions as a new table; ``.db`` is SQLite."""

_SQLITE_TYPES = (
    (pyarrow.types.is_integer, "INTEGER"),
    (pyarrow.types.is_boolean, "INTEGER"),
    (pyarrow.types.is_floating, "REAL"),
    (pyarrow.types.is_timestamp, "TIMESTAMP"),
)


def prediction_table(
    kind: str,
    keys: pyarrow.Table,
    time: Tensor | None,
    scores: Tensor,
    label: Tensor | None = None,
    classes: Sequence[str] | None = None,
) -> pyarrow.Table:
    """Predictions beside the keys of their rows.

    Args:
        kind: Of the task.
        keys: A column per key column.
        time: Seed times, int64 ``[n]`` microseconds, or ``None``.
        scores: Probability of 1 or value ``[n]``, or probabilities ``[n, classes]`` or ``[n, labels]``.
        label: The truth where it is known, ``[n]`` or ``[n, labels]``.
        classes: The names of several classes or labels, which then stand for their numbers.

    Returns:
        The keys, ``timestamp`` where there is one, ``prediction`` (not of several labels) and, of several classes or
        labels, ``probability_0``, ``probability_1``, ...; and ``label``, or ``label_0``, ``label_1``, ... Names of
        classes replace the numbers; a class without a name is NULL and ``probability_(none)``. A key column whose name
        is one of these becomes ``key.label`` and the like.
    """
    names = list(classes or ()) if kind in ("multiclass", "multilabel") else []
    if names == [str(i) for i in range(len(names))]:
        names = []
    taken = {"timestamp", "prediction", "label"}
    table = keys.rename_columns([f"key.{name}" if name in taken else name for name in keys.column_names])
    if time is not None:
        table = table.append_column("timestamp", pyarrow.array(time.numpy(), pyarrow.timestamp("us")))
    if kind != "multilabel":
        best = scores.argmax(1) if scores.dim() == 2 else scores
        table = table.append_column("prediction", _named(best, names))
    if scores.dim() == 2:
        table = _append(table, "probability", scores, names)
    if label is None:
        return table
    if label.dim() == 2:
        return _append(table, "label", label, names)
    return table.append_column("label", _named(label, names))


def _append(table: pyarrow.Table, name: str, values: Tensor, classes: Sequence[str] = ()) -> pyarrow.Table:
    for i, column in enumerate(values.unbind(1)):
        shown = i if not classes else classes[i] if i < len(classes) else "(none)"
        table = table.append_column(f"{name}_{shown}", _array(column))
    return table


def _named(values: Tensor, classes: Sequence[str]) -> Any:
    if not classes:
        return _array(values)
    names: list[str | None] = [*classes, None]
    return pyarrow.array([names[min(i, len(classes))] for i in values.tolist()], pyarrow.string())


def _array(values: Tensor) -> Any:
    return pyarrow.array(values.contiguous().numpy())


def write_predictions(
    table: pyarrow.Table, path: str | Path, table_name: str | None = None, *, source: str | Path | None = None
) -> Path:
    """Write predictions, all of them or none.

    Args:
        table: What a predictor gave.
        path: A ``.csv``, ``.json`` or ``.parquet`` file, which is replaced; or a ``.duckdb``, ``.sqlite`` or ``.db``
            file, which gets a new table. ``out.duckdb::name`` names the table too.
        table_name: The new table; ``"predictions"`` by default.
        source: The file or folder that the predictions are about: nothing is written there.

    Returns:
        The file.

    Raises:
        SchemaError: If the ending is unknown, the table is already there, or the file belongs to the source.
        AdapterError: If the file cannot be written; what was there before is whole.
    """
    file, name = split_place(path, table_name)
    if source is not None:
        _require_elsewhere(file, Path(source))
    writers: dict[str, Callable[[pyarrow.Table, Path], None]] = {
        ".csv": _write_csv, ".json": _write_json, ".parquet": _write_parquet,
    }  # fmt: skip
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix.lower() == ".duckdb":
            _to_duckdb(table, file, name)
        elif file.suffix.lower() in DATABASES:
            _to_sqlite(table, file, name)
        else:
            _replace(table, file, writers[file.suffix.lower()])
    except (OSError, pyarrow.ArrowException) as error:
        raise AdapterError(f"cannot write {file}: {getattr(error, 'strerror', None) or error}") from error
    return file


def split_place(path: str | Path, table_name: str | None = None) -> tuple[Path, str]:
    """A place for predictions as its file and the table in it.

    Raises:
        SchemaError: If its ending is none that predictions are written with, or it names two tables or a table where
            there are none.
    """
    text, mark, inner = str(path).rpartition("::")
    file = Path(text if mark else inner)
    suffix = file.suffix.lower()
    if suffix not in FILES + DATABASES:
        raise SchemaError(f"expected a name that ends in {', '.join(FILES + DATABASES)}, got {file}")
    if mark and table_name is not None and inner != table_name:
        raise SchemaError(f"the table is named twice: {inner!r} in {str(path)!r}, and {table_name!r}; name it once")
    name = table_name if table_name is not None else (inner if mark else None)
    if suffix in FILES and name is not None:
        raise SchemaError(f"{file} has no tables, so there is no {name!r} in it; leave the table's name out")
    if name is not None and not name:
        raise SchemaError(f"expected a table's name after '::' in {str(path)!r}")
    return file, name or "predictions"


def _require_elsewhere(file: Path, source: Path) -> None:
    if not source.exists():  # a server
        return
    place, home = file.resolve(), source.resolve()
    if place == home or (home.is_dir() and home in place.parents):
        raise SchemaError(f"{file} belongs to the source {source}, which is only read; write somewhere else")


def _replace(table: pyarrow.Table, file: Path, write: Callable[[pyarrow.Table, Path], None]) -> None:
    if file.is_dir():
        raise AdapterError(f"cannot write {file}: it is a folder, expected a file")
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        write(table, part)
        with part.open("rb+") as out:
            os.fsync(out.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _write_csv(table: pyarrow.Table, file: Path) -> None:
    import pyarrow.csv

    pyarrow.csv.write_csv(table, file)


def _write_parquet(table: pyarrow.Table, file: Path) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, file)


def _write_json(table: pyarrow.Table, file: Path) -> None:
    text = json.dumps(table.to_pylist(), ensure_ascii=False, indent=1, default=str)
    file.write_text(f"{text}\n", encoding="utf-8")


def _to_duckdb(table: pyarrow.Table, file: Path, name: str) -> None:
    import duckdb

    new = not file.exists()
    try:
        connection = duckdb.connect(str(file))
        try:
            # one statement, and so one transaction
            connection.register("__relgraph_predictions", table)
            connection.execute(f"CREATE TABLE main.{quote(name)} AS SELECT * FROM __relgraph_predictions")
        finally:
            connection.close()
    except duckdb.CatalogException:
        raise _taken(file, name) from None
    except duckdb.Error as error:
        if new:
            file.unlink(missing_ok=True)
        raise AdapterError(
            f"cannot write {file}: {error}; expected a DuckDB file that no other program has open"
        ) from None


def _to_sqlite(table: pyarrow.Table, file: Path, name: str) -> None:
    columns = [f"{quote(field.name)} {_sqlite_type(field.type)}" for field in table.schema]
    marks = ", ".join("?" for _ in columns)
    new = not file.exists()
    try:
        connection = sqlite3.connect(file, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            query = "SELECT 1 FROM sqlite_master WHERE lower(name) = lower(?)"
            if connection.execute(query, [name]).fetchone() is not None:
                raise _taken(file, name)
            connection.execute(f"CREATE TABLE {quote(name)} ({', '.join(columns)})")
            for batch in table.to_batches():
                rows = zip(*([_sqlite_value(v) for v in column.to_pylist()] for column in batch.columns), strict=True)
                connection.executemany(
                    f"INSERT INTO {quote(name)} ({quote_all(table.column_names)}) VALUES ({marks})", rows
                )
            connection.execute("COMMIT")
        finally:
            connection.close()  # what is not committed is undone
    except sqlite3.Error as error:
        if new:
            file.unlink(missing_ok=True)
        raise AdapterError(f"cannot write {file}: {error}; expected an SQLite file that you may write") from None


def _taken(file: Path, name: str) -> SchemaError:
    return SchemaError(
        f"{file} already has a table {name!r}, which stays as it is; name another one with --table or '::'"
    )


def _sqlite_type(kind: Any) -> str:
    return next((name for fits, name in _SQLITE_TYPES if fits(kind)), "TEXT")


def _sqlite_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, int | float | str | bytes | None) else str(value)
