"""What files and frames share: each is a view in a private DuckDB, and a table is SQL over these views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from relgraph.data.schema import ColumnSchema, Schema, TableSchema
from relgraph.data.snapshot import open_engine
from relgraph.data.source import TableBatches, select_tables
from relgraph.data.sql import quote
from relgraph.errors import AdapterError, SchemaError

if TYPE_CHECKING:
    import duckdb
    import pyarrow

__all__ = ["BATCH_ROWS", "QuerySource"]

BATCH_ROWS = 122_880  # a DuckDB row group


class QuerySource:
    """Tables that a DuckDB query gives, in the order of the query.

    Args:
        name: What was connected.
        tables: Names to keep, or a mapping from table names to SQL over the views (None: the view of that name).
    """

    def __init__(self, name: str, tables: Sequence[str] | Mapping[str, str | None] | None) -> None:
        self.name = name
        self.notes: list[str] = []
        self._tables = tables
        self._engine: duckdb.DuckDBPyConnection = open_engine()

    def views(self) -> list[TableSchema]:
        """What the source has, each under a view of that name: its own column names (or none) and declared keys."""
        raise NotImplementedError

    def explain(self, table: str, message: str) -> str:
        """A message of DuckDB about reading a view, in words that name file and line."""
        return f"{self.name}: table {table!r} cannot be read: {message}"

    def schema(self) -> tuple[TableSchema, ...]:
        """Tables with the types DuckDB sees; SQL tables have no declared keys."""
        views = {view.name: view for view in self.views()}
        if not isinstance(self._tables, Mapping):
            found = [self._described(view, None) for view in views.values()]
            chosen, notes = select_tables(found, self._tables)
            self.notes += notes
            return chosen
        tables = []
        for name, query in self._tables.items():
            if query is None and name not in views:
                raise SchemaError(f"tables[{name!r}] is None, but there is no {name!r}; there are: {', '.join(views)}")
            if query is not None:
                self._require_select(name, query)
            tables.append(self._described(views[name] if query is None else TableSchema(name, ()), query))
        return tuple(tables)

    def read(self, schema: Schema) -> Iterator[TableBatches]:
        """Every table of the schema as Arrow batches."""
        for table in schema:
            query = self._tables.get(table.name) if isinstance(self._tables, Mapping) else None
            total = None
            if query is None and self.counted(table.name):
                total = int(self._run(table.name, f"SELECT count(*) FROM {quote(table.name)}").fetchall()[0][0])
            yield self._stream(table.name, query or f"SELECT * FROM {quote(table.name)}", total)

    def counted(self, table: str) -> bool:
        """Whether it is cheap to say how many rows a view has."""
        return True

    def fingerprint(self) -> str:
        """Of what the tables are made of; a subclass adds the content."""
        chosen = self._tables.items() if isinstance(self._tables, Mapping) else self._tables
        return repr(None if chosen is None else list(chosen))

    def close(self) -> None:
        """Close the private engine."""
        self._engine.close()

    def _require_select(self, table: str, query: str) -> None:
        import duckdb

        try:
            statements = self._engine.extract_statements(query)
        except (duckdb.Error, TypeError):
            return  # said better when it runs
        if len(statements) != 1:
            raise SchemaError(f"tables[{table!r}]: expected one SELECT, got {len(statements)} statements: {query}")

    def _described(self, table: TableSchema, query: str | None) -> TableSchema:
        rows = self._run(table.name, f"DESCRIBE {query or 'SELECT * FROM ' + quote(table.name)}").fetchall()
        columns = tuple(ColumnSchema(row[0], row[1]) for row in rows)
        for old, new in zip(table.columns or columns, columns, strict=True):
            if old.name != new.name:
                self.notes.append(f"column {table.name}.{old.name or '(without a name)'} is called {new.name!r}")
        return replace(table, columns=columns)

    def _run(self, table: str, query: str) -> duckdb.DuckDBPyConnection:
        import duckdb

        try:
            return self._engine.execute(query)
        except duckdb.Error as error:
            message = str(error)
        raise self._error(table, message)

    def _stream(self, table: str, query: str, total: int | None) -> TableBatches:
        import duckdb

        try:
            reader = self._engine.sql(query).to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            message = str(error)
        else:
            return TableBatches(table, reader.schema, self._batches(table, reader), total)
        raise self._error(table, message)

    def _batches(self, table: str, reader: pyarrow.RecordBatchReader) -> Iterator[pyarrow.RecordBatch]:
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except Exception as error:  # DuckDB's errors arrive through Arrow's stream as OSError or ArrowInvalid
                message = str(error)
                break
            yield batch
        raise self._error(table, message)

    def _error(self, table: str, message: str) -> AdapterError | SchemaError:
        if isinstance(self._tables, Mapping) and self._tables.get(table):
            return SchemaError(f"tables[{table!r}]: the query cannot run: {message}\nquery: {self._tables[table]}")
        return AdapterError(self.explain(table, message))
