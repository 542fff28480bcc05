"""What happened to a row, in order of time: a table in DuckDB per path, and where each seed stands in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.data.graph import EdgeType, HeteroGraph
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.tabular.paths import Path, Step, ValueColumn

if TYPE_CHECKING:
    import duckdb

__all__ = ["DAY", "Value", "connection", "days_of", "is_key", "series", "series_values"]

DAY = 86_400_000_000
_MEMORY = "4GB"


class Value:
    """A column of a series.

    Args:
        column: What it was in the table.
        sql: The column of the series' table.
        form: ``"number"`` (DOUBLE), ``"category"`` (INTEGER codes) or ``"time"`` (DOUBLE, days since 1970).
        beside: The key whose rows the number is compared with: it is then the number less the mean of what was known
            by then of rows that refer to the same row; ``None`` for the number itself.
    """

    def __init__(self, column: ValueColumn, sql: str, form: str, beside: Step | None = None) -> None:
        self.column, self.sql, self.form, self.beside = column, sql, form, beside

    @property
    def name(self) -> str:
        """How feature names call it."""
        return self.column.name if self.beside is None else f"{self.column.name} beside {self.beside}"


def series_values(graph: HeteroGraph, path: Path, columns: Sequence[ValueColumn]) -> list[Value]:
    """What can be looked at along a path: its last table's columns; with one hop also beside the rows next to them."""
    values = []
    for i, column in enumerate(columns):
        if column.kind == "category":
            values.append(Value(column, f"c{i}", "category"))
            if column.numbers is not None:
                values.append(Value(column, f"x{i}", "number"))
        else:
            values.append(Value(column, f"x{i}", "number" if column.kind == "number" else "time"))
    if len(path.steps) == 1 and path.steps[0].back:
        own = path.steps[0].edge_type
        others = [edge for edge in graph.edges if edge[0] == path.end and edge != own and is_key(graph, edge)]
        for j, edge in enumerate(others):
            values += [Value(v.column, f"b{j}_{v.sql}", "number", Step(edge, False)) for v in values if _amount(v)]
    return values


def _amount(value: Value) -> bool:
    return value.form == "number" and value.beside is None


@contextmanager
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB in memory, spilling to its own folder; one thread each query, so that sums are the same every time."""
    import duckdb

    with duckdb.connect(config={"threads": 1, "memory_limit": _MEMORY}) as made:
        yield made


@contextmanager
def series(
    cursor: duckdb.DuckDBPyConnection, graph: HeteroGraph, path: Path, values: Sequence[Value], last: int
) -> Iterator[None]:
    """A table ``series`` for as long as the block lasts: what a path leads to, for the anchors of the table ``seeds``.

    It has ``anchor``, ``time`` (when all rows and edges on the way were known), ``place`` (1, 2, ... by time,
    then row, per anchor), ``row`` (of the path's last table) and a column per value. Rows of unknown time are left out.

    Args:
        cursor: With a table ``seeds`` that has ``anchor``.
        graph: Where rows and edges are.
        path: Its tail is walked.
        values: Which columns.
        last: Nothing later than this moment is read.
    """
    tail = path.tail
    given = {"far": _rows(graph, path.end, values)}
    joins: list[str] = []
    times: list[str] = []
    rows: list[str] = []
    for i, step in enumerate(tail):
        near, away = ("dst", "src") if step.back else ("src", "dst")
        given[f"e{i}"] = _edges(graph, step.edge_type)
        joins.append(f"FROM e{i}" if i == 0 else f"JOIN e{i} ON e{i}.{near} = {rows[-1]}")
        times.append(f"e{i}.time")
        rows.append(f"e{i}.{away}")
    beside = list({value.beside.edge_type: value.beside for value in values if value.beside is not None}.values())
    for j, step in enumerate(beside):
        given[f"beside{j}"] = _edges(graph, step.edge_type)
    anchor, time = f"e0.{'dst' if tail[0].back else 'src'}", f"greatest({', '.join(times)})"
    terms = [f"{anchor} AS anchor", f"{time} AS time", *(f"{row} AS r{i}" for i, row in enumerate(rows))]
    terms += [_term(value) for value in values if value.beside is None]
    for name, table in given.items():
        cursor.register(name, table)
    known = f"{time} <= {min(last, UNKNOWN - 1)}"
    # only whole tables meet in a join below: DuckDB 2.0 breaks off plans that join the results of windows
    wanted = "" if beside else f" AND {anchor} IN (SELECT anchor FROM seeds)"
    cursor.execute(
        f"CREATE OR REPLACE TABLE walked AS SELECT {', '.join(terms)} {' '.join(joins)} "
        f"JOIN far ON far.row = {rows[-1]} WHERE {known}{wanted}"
    )
    for j, step in enumerate(beside):
        means = _with_means(j, [value for value in values if value.beside == step])
        cursor.execute(f"CREATE OR REPLACE TABLE walked AS {means}")
    numbers = [f"r{i}" for i in range(len(rows))]
    cursor.execute(
        f"CREATE OR REPLACE TABLE series AS SELECT *, {numbers[-1]} AS row, row_number() OVER "
        f"(PARTITION BY anchor ORDER BY time, {', '.join(numbers)}) AS place "
        "FROM walked WHERE anchor IN (SELECT anchor FROM seeds) ORDER BY anchor, place"
    )
    cursor.execute("DROP TABLE walked")
    for name in given:
        cursor.unregister(name)
    yield
    cursor.execute("DROP TABLE series")


def _term(value: Value) -> str:
    if value.form == "category":
        return f"nullif(far.{value.sql}, -1) AS {value.sql}"
    return f"CAST(far.{value.sql} AS DOUBLE) AS {value.sql}"


def _with_means(j: int, values: Sequence[Value]) -> str:
    """The rows with numbers less the mean that rows of the same target had by then."""
    means = ", ".join(
        f"CASE WHEN g.dst IS NOT NULL THEN t.{_own(v)} - avg(t.{_own(v)}) OVER known END AS {v.sql}" for v in values
    )
    return (
        f"SELECT t.*, {means} FROM walked t LEFT JOIN beside{j} g ON g.src = t.r0 "
        "WINDOW known AS (PARTITION BY g.dst ORDER BY t.time RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )


def _own(value: Value) -> str:
    return value.sql.split("_", 1)[1]


def _rows(graph: HeteroGraph, table: str, values: Sequence[Value]) -> pyarrow.Table:
    """The rows of a table: ``row``, and the columns ``c<i>`` (codes) and ``x<i>`` (numbers)."""
    store = graph.nodes[table]
    out: dict[str, Any] = {"row": np.arange(store.num_nodes)}
    for value in values:
        if value.beside is None and store.features is not None:
            column = store.features.column(value.column.name)
            if isinstance(column, Tensor):
                out[value.sql] = _encoded(value, column)
    return pyarrow.table(out)


def _encoded(value: Value, column: Tensor) -> Any:
    if value.form == "category":
        return column.contiguous().numpy()
    if value.form == "time":
        return pyarrow.array(days_of(column), from_pandas=True)
    if value.column.numbers is not None:
        worth = np.array([*value.column.numbers, np.nan])  # the code -1 is the last one
        return pyarrow.array(worth[column.numpy()], from_pandas=True)
    return pyarrow.array(column.double().numpy(), from_pandas=True)


def days_of(stamps: Tensor) -> NDArray[np.float64]:
    """Encoded timestamps ``[n, 7]`` (year, month - 1, day - 1, weekday, h, m, s) as days since 1970, NaN for none."""
    year, month, day, _, hour, minute, second = stamps.to(torch.int64).numpy().T
    given = year >= 0
    months = (np.where(given, year, 1970) - 1970) * 12 + np.where(given, month, 0)
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    found = first + day + (hour * 3600 + minute * 60 + second) / 86_400
    return np.where(given, found, np.nan)


def _edges(graph: HeteroGraph, edge_type: EdgeType) -> pyarrow.Table:
    src, dst = graph.edges[edge_type].edge_index.numpy()
    known = graph.edge_time(edge_type)
    time = np.full(len(src), STATIC) if known is None else known.numpy()
    return pyarrow.table({"src": src, "dst": dst, "time": time})


def is_key(graph: HeteroGraph, edge_type: EdgeType) -> bool:
    """Whether each row has at most one edge of this type, as a foreign key gives."""
    source = graph.edges[edge_type].edge_index[0]
    return not source.numel() or int(torch.bincount(source).max()) == 1
