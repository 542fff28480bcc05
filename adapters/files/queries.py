"""What files and frames share: each is a view in a private DuckDB, and a table is SQL over these views."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from relgraph.data.schema import ColumnSchema, Schema, TableSchema
from relgraph.data.snapshot import open_engine
from relgraph.data.source import Scan, Selection, TableBatches, Tail, select_tables
from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, quote
from relgraph.errors import AdapterError, SchemaError

if TYPE_CHECKING:
    import duckdb
    import pyarrow

__all__ = ["BATCH_ROWS", "QuerySource"]

BATCH_ROWS = 122_880  # a DuckDB row group


class QuerySource:
    """Tables that a DuckDB query gives, in the order of the query.

    A subclass either makes all of its views at once (:meth:`views`), or says what it has (:meth:`listed`) and makes
    only those that are asked for (:meth:`make`).

    Args:
        name: What was connected.
        selection: What to read; ``tables`` may map names to SQL over the views (None: the view of that name), and
            ``"*"`` to None for every view that it does not name.
    """

    def __init__(self, name: str, selection: Selection) -> None:
        self.name = name
        self.notes: list[str] = []
        self._selection = selection
        self._tables = selection.tables
        self._made: dict[str, TableSchema] = {}
        self._engine: duckdb.DuckDBPyConnection = open_engine()

    def views(self) -> list[TableSchema]:
        """What the source has, each under a view of that name: its own column names (or none) and declared keys."""
        raise NotImplementedError

    def listed(self) -> list[TableSchema]:
        """What the source has, with its declared keys; columns only if they are known."""
        self._made = {view.name: view for view in self.views()}
        return list(self._made.values())

    def make(self, table: TableSchema) -> TableSchema:
        """Make the view of something listed, and say its own column names (or none)."""
        return self._made[table.name]

    def explain(self, table: str, message: str) -> str:
        """A message of DuckDB about reading a view, in words that name file and line."""
        return f"{self.name}: table {table!r} cannot be read: {message}"

    def schema(self) -> tuple[TableSchema, ...]:
        """Tables with the types DuckDB sees; SQL tables have no declared keys."""
        listed = {table.name: table for table in self.listed()}
        if not isinstance(self._tables, Mapping):
            chosen, notes = select_tables(listed.values(), self._selection)
            self.notes += notes
            return tuple(self._described(self.make(table), None) for table in chosen)
        if self._tables.get("*", "") is None:
            self._tables = _with_all(self._tables, listed)
        for name, query in self._tables.items():
            if query is None and name not in listed:
                raise SchemaError(f"tables[{name!r}] is None, but there is no {name!r}; there are: {', '.join(listed)}")
            if query is not None:
                self._require_select(name, query)
        needed = self._needed(self._tables, listed)
        views = {name: self.make(table) for name, table in listed.items() if name in needed}
        tables = []
        for name, query in self._tables.items():
            tables.append(self._described(views[name] if query is None else TableSchema(name, ()), query))
        return tuple(tables)

    def scans(self, schema: Schema) -> Mapping[str, Scan]:
        """None."""
        return {}

    def unchanged(self) -> None:
        """Nothing is read in place."""

    def query(self, table: str) -> str | None:
        """The SQL that was given for a table, None if it is a view as it stands."""
        return self._tables.get(table) if isinstance(self._tables, Mapping) else None

    def read(self, schema: Schema, tails: Mapping[str, Tail] | None = None) -> Iterator[TableBatches]:
        """Every table of the schema as Arrow batches."""
        for table in schema:
            tail = (tails or {}).get(table.name)
            given = self.query(table.name)
            query = given.strip().rstrip(";") if given else f"SELECT * FROM {quote(table.name)}"
            if tail is not None and _comparable(table, tail):
                yield self._newer(table.name, query, tail)
                continue
            total = None
            if given is None and self.counted(table.name):
                total = int(self._run(table.name, f"SELECT count(*) FROM {quote(table.name)}").fetchall()[0][0])
            yield self._stream(table.name, query, total)

    def counted(self, table: str) -> bool:
        """Whether it is cheap to say how many rows a view has."""
        return True

    def fingerprint(self) -> str:
        """Of what the tables are made of; a subclass adds the content."""
        return repr(self._selection)

    def close(self) -> None:
        """Close the private engine."""
        self._engine.close()

    def _needed(self, tables: Mapping[str, str | None], listed: Collection[str]) -> set[str]:
        """The views that SQL speaks of: one that nobody asks for may be broken."""
        import duckdb

        spoken = {name.casefold() for name, query in tables.items() if query is None}
        for query in tables.values():
            if query is None:
                continue
            try:
                spoken |= {name.casefold() for name in self._engine.get_table_names(query)}
            except duckdb.Error:
                return set(listed)  # said better when it runs
        return {name for name in listed if name.casefold() in spoken}

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

    def _run(self, table: str, query: str, parameters: list[Any] | None = None) -> duckdb.DuckDBPyConnection:
        import duckdb

        try:
            return self._engine.execute(query, parameters)
        except duckdb.Error as error:
            message = str(error)
        raise self._error(table, message)

    def _newer(self, table: str, query: str, tail: Tail) -> TableBatches:
        column = quote(tail.column)
        older = f"SELECT count(*) FROM ({query}) WHERE {column} < ?"
        number = int(self._run(table, older, [tail.last]).fetchall()[0][0])
        newer = f"SELECT * FROM ({query}) WHERE {column} >= ? OR {column} IS NULL"
        return replace(self._stream(table, newer, None, [tail.last]), older=number)

    def _stream(self, table: str, query: str, total: int | None, parameters: list[Any] | None = None) -> TableBatches:
        import duckdb

        try:
            reader = self._engine.sql(query, params=parameters).to_arrow_reader(BATCH_ROWS)
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
        given = self.query(table)
        if given:
            return SchemaError(f"tables[{table!r}]: the query cannot run: {message}\nquery: {given}")
        return AdapterError(self.explain(table, message))


def _with_all(tables: Mapping[str, str | None], listed: Collection[str]) -> dict[str, str | None]:
    """Every view in the order of the source, those that SQL stands for among them; what is not listed comes last."""
    given = {name.casefold(): (name, query) for name, query in tables.items() if name != "*"}
    found = [given.pop(name.casefold(), (name, None)) for name in listed]
    return dict([*found, *given.values()])


def _comparable(table: TableSchema, tail: Tail) -> bool:
    """Whether a tail can be told by its column: text is not compared as what it says."""
    dtype = next((column.dtype for column in table.columns if column.name == tail.column), "")
    return dtype in WHOLE_NUMBERS or dtype in FRACTIONS or dtype.startswith(("DATE", "TIMESTAMP", "DECIMAL"))
