"""The manifest of a RelBench task, and what it means as a task here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relgraph.adapters.relbench.source import Manifest, read_yaml
from relgraph.data.schema import TableSchema
from relgraph.data.sql import quote
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    from relgraph.tasks import Task

__all__ = ["KINDS", "TaskManifest"]

KINDS = {
    "binary_classification": "binary",
    "regression": "regression",
    "multiclass_classification": "multiclass",
    "multilabel_classification": "multilabel",
    "recommendation": "link",
}
"""RelBench's task types, and what they are called here."""

_WINDOW = re.compile(r"INTERVAL\s*'\{timedelta\}'", re.IGNORECASE)


@dataclass(frozen=True)
class TaskManifest:
    """The manifest of a task.

    Args:
        place: The file.
        values: What it says.
        dataset: The manifest of the folder.
    """

    place: Path
    values: Mapping[str, Any]
    dataset: Manifest

    @classmethod
    def read(cls, place: Path, dataset: Manifest) -> TaskManifest:
        """Read the manifest of a task.

        Raises:
            AdapterError: If it cannot be read.
        """
        return cls(place, read_yaml(place), dataset)

    def text(self, name: str) -> str:
        """A value that must be there.

        Raises:
            AdapterError: If it is missing or no text.
        """
        value = self.values.get(name)
        if not isinstance(value, str) or not value:
            raise AdapterError(f"{self.place}: {name}: expected text, got {value!r}")
        return value

    @property
    def kind(self) -> str:
        """Binary, regression, multiclass, multilabel or link."""
        return KINDS[self.text("task_type")]

    @property
    def is_link(self) -> bool:
        """Whether it recommends rows of another table."""
        return self.values.get("task_type") == "recommendation"

    @property
    def entity_table(self) -> str:
        """The table whose rows are asked about."""
        return self.text("src_entity_table" if self.is_link else "entity_table")

    @property
    def target_table(self) -> str:
        """The table whose rows are recommended."""
        return self._known(self.text("dst_entity_table"), "dst_entity_table").name

    @property
    def _table(self) -> TableSchema:
        return self._known(self.entity_table, "src_entity_table" if self.is_link else "entity_table")

    def _known(self, name: str, what: str) -> TableSchema:
        tables = self.dataset.tables
        if name not in tables:
            raise AdapterError(f"{self.place}: {what} {name!r} is no table: {', '.join(tables)}")
        return tables[name]

    @property
    def entity_column(self) -> str:
        """The label file's column with the key; of a column to fill in, the table's own."""
        if self.is_link:
            return self.text("src_entity_col")
        return self.text("entity_col") if self.values.get("entity_col") else "".join(self._table.primary_key)

    @property
    def label_column(self) -> str:
        """The label file's column with the label, or with the rows recommended."""
        return self.text("dst_entity_col" if self.is_link else "target_col")

    @property
    def time_column(self) -> str:
        """The label file's column with the time, or nothing."""
        return self.text("time_col") if self.values.get("time_col") else self._table.time_column or ""

    @property
    def hide(self) -> tuple[str, ...]:
        """Columns that the task must not see, besides the one that it fills in."""
        pairs = self.values.get("remove_columns") or []
        if not isinstance(pairs, list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
            raise AdapterError(f"{self.place}: remove_columns: expected pairs of table and column, got {pairs!r}")
        return tuple(f"{table}.{column}" for table, column in pairs)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Columns from which the label can be told."""
        own = (f"{self.entity_table}.{self.text('target_col')}",) if self._fills_in else ()
        return tuple(dict.fromkeys((*own, *self.hide)))

    @property
    def _fills_in(self) -> bool:
        return self.values.get("kind") == "autocomplete"

    def unreadable(self) -> str:
        """Why label files of this task cannot be seeds, or nothing."""
        kind = self.text("task_type")
        if kind not in KINDS:
            return f"its task_type is {kind!r}; known are {', '.join(KINDS)}"
        tables = [self._table, *([self.dataset.tables[self.target_table]] if self.is_link else [])]
        for table in tables:
            if len(table.primary_key) != 1:
                return f"table {table.name!r} has no key in the manifest, so its rows have no name"
        return "" if self.time_column else "its labels have no time"

    def why_not(self) -> str:
        """Why this is no task here, or nothing."""
        kind, files = self.text("kind"), "read_relbench_seeds reads its label files"
        if self.text("task_type") not in KINDS:
            return self.unreadable()
        if kind == "autocomplete":
            if self.kind == "multilabel":
                return f"it fills in a column of lists, {self.entity_table}.{self.values.get('target_col')}; {files}"
            return "" if self._table.time_column else "its table has no time that splits its rows"
        if kind == "external":
            scored = self.values.get("evaluator")
            return f"its labels come as files, no SQL gives them{f' (scored by {scored!r})' if scored else ''}; {files}"
        if kind != "forecast":
            return f"its kind is {kind!r}; known are forecast, autocomplete and external"
        if "{horizon}" in self.text("sql"):
            return "its SQL has {horizon}, which means something else here"
        return self.unreadable()

    def task(self, val_time: int, test_time: int) -> Task:
        """The task, once :meth:`why_not` has nothing against it; the times are those of the folder.

        Raises:
            AdapterError: If the manifest does not say what it must.
            ProtocolError: If it makes no sense.
        """
        from relgraph.tasks import ColumnTask, EntityTask, LinkTask

        own = self.values.get("relgraph")
        own = own if isinstance(own, dict) else {}
        kind: Any = self.kind
        common: dict[str, Any] = {"val_time": val_time, "test_time": test_time, "hide": self.hide}
        if self._fills_in:
            return ColumnTask(self.entity_table, self.text("target_col"), kind=kind, metric=own.get("metric"), **common)
        window = _timedelta(self.text("timedelta"), self.place)
        common |= {
            "horizon": window.to_pytimedelta(),
            "entity_column": self.entity_column,
            "time_column": self.time_column,
            "num_eval_times": self.values.get("num_eval_timestamps", 1),
            "regime": own.get("regime", "frozen"),
        }
        sql = _WINDOW.sub("{horizon}", self.text("sql")).replace("{timedelta}", str(window))
        if self.is_link:
            k = self.values.get("eval_k", 10)
            target, metric = self.text("dst_entity_col"), own.get("metric") or "map"
            return LinkTask(
                self.entity_table, self.target_table, self._links_within(sql, test_time), k=k,
                target_column=target, metric=metric, **common,
            )  # fmt: skip
        sql = _within_test_time(sql, self.entity_column, self._table, test_time)
        return EntityTask(
            self.entity_table, sql, kind=kind, label_column=self.label_column, metric=own.get("metric"), **common
        )

    def _links_within(self, sql: str, test_time: int) -> str:
        """A link query without source and target rows that do not exist by the test time; lists become rows."""
        source, target = self.entity_column, self.text("dst_entity_col")
        sql = _within_test_time(sql, source, self._table, test_time)
        return _within_test_time(sql, target, self.dataset.tables[self.target_table], test_time, lists=True)


def _within_test_time(sql: str, column: str, table: TableSchema, test_time: int, lists: bool = False) -> str:
    """A label query without the rows that do not exist by the test time, which RelBench leaves out of every split.

    Args:
        sql: The query.
        column: Its column with the key.
        table: The table that the key is of.
        test_time: int64 microseconds.
        lists: Whether the column holds lists of keys; they become rows.
    """
    if table.time_column is None:
        return sql
    known = (
        f"SELECT {quote(table.primary_key[0])} FROM {quote(table.name)} "
        f"WHERE {quote(table.time_column)} <= make_timestamp({test_time})"
    )
    inner = sql.strip().rstrip(";")
    if lists:
        inner = f"SELECT * REPLACE (unnest({quote(column)}) AS {quote(column)}) FROM (\n{inner}\n)"
    end = f") WHERE {quote(column)} IN ({known})"
    return sql if sql.endswith(end) else f"SELECT * FROM (\n{inner}\n{end}"


def _timedelta(text: str, place: Path) -> Any:
    """As pandas reads it, which is what the format is defined by."""
    import pandas

    try:
        value: Any = pandas.Timedelta(text)
    except ValueError as error:
        message = str(error)
    else:
        if isinstance(value, pandas.Timedelta):
            return value
        message = "it is not a time"
    raise AdapterError(f"{place}: timedelta: expected a length of time such as '60 days', got {text!r}: {message}")
