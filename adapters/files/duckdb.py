"""A DuckDB file, or a snapshot that relgraph wrote: attached read-only and read where it lies."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from relgraph.adapters.files.queries import QuerySource
from relgraph.adapters.files.watched import Watched
from relgraph.adapters.urls import as_path, existing, has_magic
from relgraph.data.schema import ForeignKey, Schema, TableSchema
from relgraph.data.snapshot import read_meta
from relgraph.data.source import Scan, Selection, TableBatches, Tail
from relgraph.data.sql import literal, quote
from relgraph.errors import AdapterError, SchemaError

__all__ = ["DuckDBSource"]

_FILE = "relgraph_source"
_Place = tuple[str, str]  # schema, table


class DuckDBSource(QuerySource):
    """The tables of a DuckDB file, and its views where they are asked for; what a view gives is copied.

    Args:
        source: The file, or ``duckdb:///path``.
        selection: See :class:`QuerySource`; SQL sees every table under its name (``"schema.table"`` outside ``main``).

    Raises:
        AdapterError: If there is no such file, it is no DuckDB file, or another process is writing it.
        SchemaError: If a schema does not exist.
    """

    understands = "a DuckDB file (*.duckdb)"

    def __init__(self, source: str | Path, selection: Selection) -> None:
        import duckdb

        path = as_path(source, "duckdb")
        if path is None:
            raise AdapterError(f"{source} names no DuckDB file; expected duckdb:///path")
        path = existing(path, self.understands)
        absolute = Path(os.path.abspath(path))
        # what is committed but not yet part of the file lies beside it
        self._watched = Watched([absolute, absolute.with_name(absolute.name + ".wal")])
        self._attach = f"ATTACH IF NOT EXISTS {literal(str(absolute))} AS {_FILE} (TYPE duckdb, READ_ONLY)"
        self._places: dict[str, _Place] = {}
        self._views: set[str] = set()
        super().__init__(str(path), selection)
        try:
            self._engine.execute(self._attach)
        except duckdb.Error as error:
            message = str(error)
        else:
            return
        self.close()
        raise AdapterError(
            f"{path} cannot be read as a DuckDB file: {message}; a file that another process or connection has open "
            "for writing is locked: close it there first"
        )

    @staticmethod
    def matches(source: object) -> bool:
        """Whether it is named like a DuckDB file or is one."""
        if isinstance(source, str) and source.startswith("duckdb:"):
            return True
        path = as_path(source)
        if path is None:
            return False
        return path.suffix == ".duckdb" or has_magic(path, b"DUCK", 8)

    def listed(self) -> list[TableSchema]:
        """The file's tables with their constraints; a snapshot of relgraph also knows its declared keys and times."""
        meta = read_meta(self._engine, _FILE)
        if meta is not None:
            self._selection.require_no_schemas(f"{self.name}, a snapshot of relgraph,")
            tables = list(Schema.from_dict(meta["schema"]))
            self.notes += meta["notes"]
            self._places = {table.name: ("main", table.name) for table in tables}
            return tables
        schemas = self._schemas()
        self._places, self._views = self._found(schemas)
        names = {place: name for name, place in self._places.items()}
        keys = self._constraints(names)
        wanted = self._wanted(schemas)
        return [TableSchema(name, (), *keys.get(place, ((), ()))) for place, name in names.items() if name in wanted]

    def make(self, table: TableSchema) -> TableSchema:
        """A view of the table; in the private engine, whose tables and views bear the file's names."""
        name = quote(table.name)
        self._run(table.name, f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM {self._relation(table.name)}")
        return table

    def scans(self, schema: Schema) -> Mapping[str, Scan]:
        """Every table of the file; views and SQL have no row numbers that stay."""
        found = {}
        for table in schema:
            if self.query(table.name) is None and table.name not in self._views:
                columns = tuple(f"c{i}" for i in range(len(table.columns)))
                # names of our own, so that rowid is never a column of the file
                relation = f"{self._relation(table.name)} AS t({', '.join(columns)})"
                rows, last = self._run(table.name, f"SELECT count(*), max(rowid) FROM {relation}").fetchall()[0]
                row = "rowid" if rows == (0 if last is None else last + 1) else "row_number() OVER () - 1"
                found[table.name] = Scan(relation, columns, row, (self._attach,))
        return found

    def read(self, schema: Schema, tails: Mapping[str, Tail] | None = None) -> Iterator[TableBatches]:
        """Every table of the schema as Arrow batches; then a look whether the file stayed the same meanwhile."""
        yield from super().read(schema, tails)
        self._watched.check()

    def unchanged(self) -> None:
        """Look at size, time of change and inode of the file, and whether something waits beside it to be merged.

        Raises:
            AdapterError: If it is not the file that was connected.
        """
        self._watched.check()

    def fingerprint(self) -> str:
        """Size and time of change of the file."""
        return f"{super().fingerprint()} {self._watched.fingerprint()}"

    def _relation(self, name: str) -> str:
        schema, table = self._places[name]
        return f"{_FILE}.{quote(schema)}.{quote(table)}"

    def _schemas(self) -> list[str]:
        """The chosen schemas, ``main`` first."""
        rows = self._engine.execute(
            "SELECT schema_name FROM duckdb_schemas() WHERE database_name = ? AND NOT internal OR database_name = ? "
            "AND schema_name = 'main' ORDER BY schema_name <> 'main', schema_name",
            [_FILE, _FILE],
        ).fetchall()
        there = list(dict.fromkeys(row[0] for row in rows))
        asked = self._selection.schema_names
        if asked is None or asked == ("*",):
            return there[:1] if asked is None else there
        for name in asked:
            if name not in there:
                raise SchemaError(f"{self.name} has no schema {name!r}; schemas: {', '.join(there)}")
        return [name for name in there if name in asked]

    def _found(self, schemas: list[str]) -> tuple[dict[str, _Place], set[str]]:
        """Tables, then views, by our names; and which of them are views."""
        rows = self._engine.execute(
            "SELECT schema_name, table_name, table_oid, FALSE FROM duckdb_tables() WHERE database_name = $file "
            "AND NOT internal UNION ALL SELECT schema_name, view_name, view_oid, TRUE FROM duckdb_views() "
            "WHERE database_name = $file AND NOT internal ORDER BY 4, schema_name <> 'main', schema_name, 3",
            {"file": _FILE},
        ).fetchall()
        places, views = {}, set()
        for schema, table, _, is_view in rows:
            if schema in schemas:
                name = table if schema == "main" else f"{schema}.{table}"
                places[name] = (schema, table)
                if is_view:
                    views.add(name)
        return places, views

    def _wanted(self, schemas: list[str]) -> set[str]:
        """Tables, and the views that are asked for: by name, or as part of SQL."""
        if self._selection.views or isinstance(self._tables, Mapping):
            return set(self._places)
        named = set(self._selection.names or ())
        if self._views - named:
            shown = ", ".join(sorted(self._views - named))
            self.notes.append(f"views were left out: {shown}; views=True reads them, or tables= with their names")
        return {name for name in self._places if name not in self._views or name in named}

    def _constraints(self, names: Mapping[_Place, str]) -> dict[_Place, tuple[tuple[str, ...], tuple[ForeignKey, ...]]]:
        primary: dict[_Place, tuple[str, ...]] = {}
        foreign: dict[_Place, list[ForeignKey]] = {}
        rows = self._engine.execute(
            "SELECT schema_name, table_name, constraint_type, constraint_column_names, referenced_table, "
            "referenced_column_names FROM duckdb_constraints() WHERE database_name = ? "
            "AND constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY') ORDER BY constraint_index",
            [_FILE],
        ).fetchall()
        for schema, table, kind, columns, target, target_columns in rows:
            if kind == "PRIMARY KEY":
                primary[schema, table] = tuple(columns)
            elif (schema, target) in names:  # DuckDB has no key into another schema
                key = ForeignKey(tuple(columns), names[schema, target], tuple(target_columns))
                if key not in foreign.setdefault((schema, table), []):
                    foreign[schema, table].append(key)
        return {place: (primary.get(place, ()), tuple(foreign.get(place, ()))) for place in names}
