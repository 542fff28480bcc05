"""A DuckDB file, or a snapshot that relgraph wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from relgraph.adapters.queries import QuerySource
from relgraph.adapters.urls import as_path, existing, has_magic
from relgraph.data.schema import ForeignKey, Schema, TableSchema
from relgraph.data.snapshot import read_meta
from relgraph.data.sql import literal, quote
from relgraph.errors import AdapterError

__all__ = ["DuckDBSource"]

_FILE = "relgraph_source"


class DuckDBSource(QuerySource):
    """Every table of a DuckDB file, attached read-only; views are left out.

    Args:
        source: The file, or ``duckdb:///path``.
        tables: See :class:`QuerySource`; SQL sees every table under its name (``schema.table`` outside ``main``).

    Raises:
        AdapterError: If there is no such file, it is no DuckDB file, or another process is writing it.
    """

    understands = "a DuckDB file (*.duckdb)"

    def __init__(self, source: str | Path, tables: Sequence[str] | Mapping[str, str | None] | None) -> None:
        import duckdb

        path = as_path(source, "duckdb")
        if path is None:
            raise AdapterError(f"{source} names no DuckDB file; expected duckdb:///path")
        self._path = existing(path, self.understands)
        super().__init__(str(path), tables)
        try:
            self._engine.execute(f"ATTACH {literal(str(path))} AS {_FILE} (READ_ONLY)")
        except duckdb.Error as error:
            message = str(error)
        else:
            return
        self.close()
        raise AdapterError(f"{path} cannot be read as a DuckDB file: {message}; a file being written is locked")

    @staticmethod
    def matches(source: object) -> bool:
        """Whether it is named like a DuckDB file or is one."""
        if isinstance(source, str) and source.startswith("duckdb:"):
            return True
        path = as_path(source)
        if path is None:
            return False
        return path.suffix == ".duckdb" or has_magic(path, b"DUCK", 8)

    def views(self) -> list[TableSchema]:
        """The file's tables with their constraints; a snapshot of relgraph also knows its declared keys and times."""
        meta = read_meta(self._engine, _FILE)
        if meta is not None:
            tables = list(Schema.from_dict(meta["schema"]))
            self.notes += meta["notes"]
            places = {table.name: ("main", table.name) for table in tables}
        else:
            places = self._places()
            keys = self._constraints(places)
            tables = [TableSchema(name, (), *keys.get(place, ((), ()))) for name, place in places.items()]
        for name, (schema, table) in places.items():
            self._run(
                name,
                f"CREATE OR REPLACE TEMP VIEW {quote(name)} AS SELECT * FROM {_FILE}.{quote(schema)}.{quote(table)}",
            )
        return tables

    def fingerprint(self) -> str:
        """Size and time of change of the file."""
        stat = self._path.stat()
        return f"{super().fingerprint()} {stat.st_size} {stat.st_mtime_ns}"

    def _places(self) -> dict[str, tuple[str, str]]:
        rows = self._engine.execute(
            f"SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = '{_FILE}' AND NOT internal "
            "ORDER BY schema_name <> 'main', schema_name, table_oid"
        ).fetchall()
        return {table if schema == "main" else f"{schema}.{table}": (schema, table) for schema, table in rows}

    def _constraints(
        self, places: Mapping[str, tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[tuple[str, ...], tuple[ForeignKey, ...]]]:
        names = {place: name for name, place in places.items()}
        primary: dict[tuple[str, str], tuple[str, ...]] = {}
        foreign: dict[tuple[str, str], list[ForeignKey]] = {}
        rows = self._engine.execute(
            "SELECT schema_name, table_name, constraint_type, constraint_column_names, referenced_table, "
            f"referenced_column_names FROM duckdb_constraints() WHERE database_name = '{_FILE}' "
            "AND constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY') ORDER BY constraint_index"
        ).fetchall()
        for schema, table, kind, columns, target, target_columns in rows:
            if kind == "PRIMARY KEY":
                primary[schema, table] = tuple(columns)
            else:
                key = ForeignKey(tuple(columns), names[schema, target], tuple(target_columns))
                if key not in foreign.setdefault((schema, table), []):
                    foreign[schema, table].append(key)
        return {place: (primary.get(place, ()), tuple(foreign.get(place, ()))) for place in names}
