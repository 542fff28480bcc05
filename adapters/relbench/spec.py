"""The manifest of a RelBench task, and what it means as an :class:`~relgraph.tasks.EntityTask`."""

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
    from relgraph.tasks import EntityTask

__all__ = ["KINDS", "TaskManifest"]

KINDS = {
    "binary_classification": "binary",
    "regression": "regression",
    "multiclass_classification": "multiclass",
}
"""RelBench's task types that predict one number, and what they are called here."""

_NOT_YET = {
    "recommendation": "it recommends rows of another table; tasks about links cannot be taken yet",
    "multilabel_classification": "it has several labels per row; a task here has one",
}
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
        """Binary, regression or multiclass."""
        return KINDS[self.text("task_type")]

    @property
    def entity_table(self) -> str:
        """The table whose rows are predicted."""
        return self.text("entity_table")

    @property
    def _table(self) -> TableSchema:
        tables = self.dataset.tables
        if self.entity_table not in tables:
            raise AdapterError(f"{self.place}: entity_table {self.entity_table!r} is no table: {', '.join(tables)}")
        return tables[self.entity_table]

    @property
    def entity_column(self) -> str:
        """The label file's column with the key; of a column to fill in, the table's own."""
        return self.text("entity_col") if self.values.get("entity_col") else "".join(self._table.primary_key)

    @property
    def time_column(self) -> str:
        """The label file's column with the time, or nothing."""
        return self.text("time_col") if self.values.get("time_col") else self._table.time_column or ""

    @property
    def hidden(self) -> dict[str, str]:
        """Columns from which the label can be told."""
        pairs = self.values.get("remove_columns") or []
        if not isinstance(pairs, list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
            raise AdapterError(f"{self.place}: remove_columns: expected pairs of table and column, got {pairs!r}")
        if self.values.get("kind") == "autocomplete":
            pairs = [*pairs, [self.entity_table, self.text("target_col")]]
        return {f"{table}.{column}": "unsupported" for table, column in pairs}

    def unreadable(self) -> str:
        """Why label files of this task cannot be seeds, or nothing."""
        kind = self.text("task_type")
        if kind not in KINDS:
            return _NOT_YET.get(kind, f"its task_type is {kind!r}; known are {', '.join((*KINDS, *_NOT_YET))}")
        if len(self._table.primary_key) != 1:
            return f"table {self.entity_table!r} has no key in the manifest, so its rows have no name"
        return "" if self.time_column else "its labels have no time"

    def why_not(self) -> str:
        """Why this is no :class:`EntityTask`, or nothing."""
        kind, files = self.text("kind"), "read_relbench_seeds reads its label files"
        if self.text("task_type") not in KINDS:
            return self.unreadable()
        if kind == "autocomplete":
            return f"it fills in the column {self.entity_table}.{self.values.get('target_col')} of each row; {files}"
        if kind == "external":
            scored = self.values.get("evaluator")
            return f"its labels come as files, no SQL gives them{f' (scored by {scored!r})' if scored else ''}; {files}"
        if kind != "forecast":
            return f"its kind is {kind!r}; known are forecast, autocomplete and external"
        if "{horizon}" in self.text("sql"):
            return "its SQL has {horizon}, which means something else here"
        return self.unreadable()

    def task(self, val_time: int, test_time: int) -> EntityTask:
        """The task, once :meth:`why_not` has nothing against it; the times are those of the folder.

        Raises:
            AdapterError: If the manifest does not say what it must.
            ProtocolError: If it makes no sense.
        """
        from relgraph.tasks import EntityTask

        own = self.values.get("relgraph")
        own = own if isinstance(own, dict) else {}
        window = _timedelta(self.text("timedelta"), self.place)
        sql = _WINDOW.sub("{horizon}", self.text("sql")).replace("{timedelta}", str(window))
        kind: Any = self.kind
        return EntityTask(
            self.entity_table,
            _within_test_time(sql, self.entity_column, self._table, test_time),
            window.to_pytimedelta(),
            kind,
            val_time=val_time,
            test_time=test_time,
            entity_column=self.entity_column,
            time_column=self.time_column,
            label_column=self.text("target_col"),
            num_eval_times=self.values.get("num_eval_timestamps", 1),
            regime=own.get("regime", "frozen"),
            metric=own.get("metric"),
        )


def _within_test_time(sql: str, column: str, table: TableSchema, test_time: int) -> str:
    """A label query without the rows that do not exist by the test time, which RelBench leaves out of every split.

    Args:
        sql: The query.
        column: Its column with the key.
        table: The table whose rows are predicted.
        test_time: int64 microseconds.
    """
    if table.time_column is None:
        return sql
    end = (
        f") WHERE {quote(column)} IN (SELECT {quote(table.primary_key[0])} FROM {quote(table.name)} "
        f"WHERE {quote(table.time_column)} <= make_timestamp({test_time}))"
    )
    return sql if sql.endswith(end) else f"SELECT * FROM (\n{sql.strip().rstrip(';')}\n{end}"


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
