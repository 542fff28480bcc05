"""Fill in a column of a table: each row is asked about at its own time, and nobody may see the column."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from relgraph.data.known import known_sql
from relgraph.data.labels import split_sql
from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, literal, quote
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import ProtocolError, SchemaError
from relgraph.metrics import ENTITY_METRICS, entity_metrics
from relgraph.tasks.base import Moment, Task, one_of, text
from relgraph.tasks.seeds import Regime, Seeds, Split

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["ColumnKind", "ColumnTask"]

ColumnKind = Literal["binary", "regression", "multiclass"]
_MOST_CLASSES = 1_000


class ColumnTask(Task):
    """Predict a column of the database where it is not known, as RelBench's autocomplete tasks do.

    Every row that has a value is a seed at the moment it came to be known: its own time, or that of the latest row it
    refers to. Training rows are those up to ``val_time``, validation rows those up to ``test_time``, test rows all
    later ones. In a table without any time a hash of the key splits (regime ``"static"``). Rows whose time is NULL are
    not asked about where the table has times.

    The column must be hidden from features, everywhere, since rows of the same table are neighbours of each other:
    ``build_graph(db, fit_until=task.val_time, hide=task.hidden)``. So must be columns that tell it (``hide=``).

    What is not given here is read off the database by :meth:`with_times`, which a task without ``kind`` needs.

    Args:
        entity_table: The table.
        column: Its column; no key and no time.
        kind: ``"binary"``, ``"regression"`` or ``"multiclass"``. Default: two different values are binary, other
            numbers regression, other values classes.
        val_time: The last moment of training: int microseconds, ISO text or datetime; by default the 80 % quantile of
            the moments of the table's rows.
        test_time: The last moment of validation, 90 % by default.
        regime: ``"seed-time"`` (default), ``"frozen"`` (neighbours as of ``test_time`` for every test row) or
            ``"static"``, which takes no account of time.
        metric: What training is steered by; by default the first of its kind in
            :data:`~relgraph.metrics.ENTITY_METRICS`.
        classes: What the numbers of a binary or multiclass label stand for. Default: whole numbers from 0 stand for
            themselves, other values count in ascending order.
        fractions: Shares of train, val and test of a static task.
        hide: Further columns, as ``"table.column"``, that features must not show.

    Raises:
        ProtocolError: If a choice is unknown, or settings contradict each other.
    """

    family: ClassVar[str] = "column"

    def __init__(
        self,
        entity_table: str,
        column: str,
        *,
        kind: ColumnKind | None = None,
        val_time: Moment | None = None,
        test_time: Moment | None = None,
        regime: Regime | None = None,
        metric: str | None = None,
        classes: Sequence[Any] | None = None,
        fractions: Sequence[float] | None = None,
        hide: Sequence[str] = (),
    ) -> None:
        text("column", column)
        super().__init__(
            entity_table,
            horizon=None,
            val_time=val_time,
            test_time=test_time,
            num_eval_times=1,
            regime=regime,
            fractions=fractions,
            split_column=None,
            hide=hide,
        )
        self.column = column
        if kind is not None:
            one_of("kind", kind, get_args(ColumnKind))
        kinds = get_args(ColumnKind) if kind is None else (kind,)
        if metric is not None:
            one_of("metric", metric, [name for kind in kinds for name in ENTITY_METRICS[kind]])
        self._kind = kind
        self._metric = metric
        self.classes = None if classes is None else tuple(map(str, classes))

    @property
    def metric(self) -> str:
        """What training is steered by."""
        return self._metric or ENTITY_METRICS[self.kind][0]

    @property
    def hidden(self) -> tuple[str, ...]:
        """The column and what else features must not show: ``build_graph(db, hide=task.hidden)``."""
        return tuple(dict.fromkeys((f"{self.entity_table}.{self.column}", *self.hide)))

    def with_times(self, db: Database, progress: bool = True) -> ColumnTask:
        """The task with all that was not given: regime, times, kind and classes.

        Args:
            db: The database.
            progress: Say on stderr what was chosen.

        Raises:
            SchemaError: If there is no such table or column, or it is a key or the time.
            ProtocolError: If the column has no values, more than 1,000 classes, or the table no time that is needed.
        """
        value = self._value(db)
        moment = known_sql(db, self.entity_table, "s", UNKNOWN)
        regime = self._regime or ("static" if moment is None else "seed-time")
        if regime != "static" and moment is None:
            raise ProtocolError(
                f"table {self.entity_table!r} has no time and refers to no row that has one; "
                "leave regime= out, or name its time column with times="
            )
        kind, classes = self._understood(db, value)
        task = self._with({"regime": regime, "kind": kind, "classes": classes})
        if progress and self._kind is None:
            sys.stderr.write(f"{self.entity_table}.{self.column} is predicted as {kind}\n")
        if regime == "static" or (self._val_time is not None and self._test_time is not None):
            return task
        rows = f"SELECT {moment} AS t FROM {quote(self.entity_table)} s WHERE {value} IS NOT NULL"
        found = db.sql(f"SELECT quantile_disc(t, [0.8, 0.9]) AS q FROM ({rows}) WHERE t NOT IN ({STATIC}, {UNKNOWN})")
        quantiles = found["q"][0].as_py()
        if quantiles is None:
            raise ProtocolError(f"no row of table {self.entity_table!r} has a value and a time; give regime='static'")
        return task._with_quantiles(quantiles, f"the rows of {self.entity_table}", progress)

    def seeds(self, db: Database, split: Split) -> Seeds:
        """The rows of a split that have a value, ordered by time and row number.

        Args:
            db: The whole database.
            split: ``"train"``, ``"val"`` or ``"test"``.

        Raises:
            SchemaError: If there is no such table or column, or it is a key or the time.
            ProtocolError: If the split has no rows, or the values do not fit the kind.
        """
        one_of("split", split, get_args(Split))
        if self._regime is None or self._kind is None or (self.classes is None and self._kind != "regression"):
            return self.with_times(db, progress=False).seeds(db, split)
        value = self._value(db)
        key = db.schema[self.entity_table].primary_key
        if self._regime == "static":
            columns = [f"s.{quote(name)}" for name in key] or ['s."__row"']
            moment, where = str(STATIC), f"{split_sql(columns, self.fractions)} = {literal(split)}"
        else:
            val, test = self.moments
            moment = known_sql(db, self.entity_table, "s", UNKNOWN) or ""
            after, upto = {"train": (STATIC, val), "val": (val, test), "test": (test, UNKNOWN - 1)}[split]
            where = f"__time > {after} AND __time <= {upto}"
        shown = ", ".join(f"s.{quote(name)}" for name in key) or 's."__row" AS "row"'
        rows = db.sql(
            f'SELECT s."__row" AS __node, {moment} AS __time, {self._label_sql(value)} AS __label, '
            f"{shown} FROM ({db.numbered(self.entity_table)}) s WHERE {value} IS NOT NULL AND {where} "
            "ORDER BY __time, __node"
        )
        if not len(rows):
            name, moments = self._where(split)
            raise ProtocolError(f"{name} has no rows with a value of {self.hidden[0]} ({moments})")
        node, time, label = (torch.from_numpy(rows[name].to_numpy().copy()) for name in ("__node", "__time", "__label"))
        keys = rows.drop_columns(["__node", "__time", "__label"])
        label, notes = self._checked(label)
        return Seeds(node, None if self._regime == "static" else time, label, keys, notes)

    def metrics(self, label: Tensor, prediction: Tensor) -> dict[str, float]:
        """Every metric of the task's kind; see :func:`relgraph.metrics.entity_metrics`.

        A class that training never saw has probability 0 where the predictions have no column for it.
        """
        if self.kind == "multiclass" and prediction.dim() == 2 and label.numel():
            missing = int(label.max()) + 1 - prediction.size(1)
            if missing > 0:
                prediction = torch.cat([prediction, prediction.new_zeros(len(prediction), missing)], dim=1)
        return entity_metrics(self.kind, label, prediction)

    def to_dict(self) -> dict[str, Any]:
        """The task as plain JSON values; :func:`relgraph.tasks.task_from_dict` is the inverse."""
        return {
            **self._common(),
            "column": self.column,
            "kind": self._kind,
            "metric": self._metric,
            "classes": None if self.classes is None else list(self.classes),
        }

    def __repr__(self) -> str:
        regime = "" if self._regime == "static" else f", {self._regime or 'regime not set'}"
        return f"ColumnTask({self.hidden[0]!r}, {self._kind or 'kind not set'}, {self._when()}{regime})"

    def _value(self, db: Database) -> str:
        """SQL of the column over the rows ``s``; NaN is no value.

        Raises:
            SchemaError: If there is no such table or column, or it is a key or the time.
        """
        table = db.schema[self.entity_table]
        dtype = table.column(self.column).dtype
        for what, columns in (
            ("key", db.schema.key_columns(table.name)),
            ("time", (table.time_column, table.end_column)),
        ):
            if self.column in columns:
                raise SchemaError(
                    f"{self.hidden[0]} is part of a {what} and cannot be filled in; a LinkTask ranks the rows of "
                    "another table, an EntityTask predicts what happens next"
                )
        if dtype.endswith("]") or dtype.startswith(("STRUCT", "MAP", "BLOB", "UNION")):
            raise SchemaError(f"{self.hidden[0]} has values of type {dtype}; expected numbers, text or truth values")
        name = f"s.{quote(self.column)}"
        return f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END" if dtype in FRACTIONS else name

    def _understood(self, db: Database, value: str) -> tuple[str, list[str] | None]:
        """The kind, and the classes of one that has some, from the values."""
        dtype = db.schema[self.entity_table].column(self.column).dtype
        is_number = dtype in (*WHOLE_NUMBERS, *FRACTIONS) or dtype.startswith("DECIMAL")
        found = db.sql(
            f"SELECT {value} AS v, any_value({_as_text(value)}) AS t FROM {quote(self.entity_table)} s "
            f"WHERE {value} IS NOT NULL GROUP BY v ORDER BY v LIMIT {_MOST_CLASSES + 1}"
        )
        if not len(found):
            raise ProtocolError(f"{self.hidden[0]} has no values, so nothing can be learned about it")
        kind = self._kind or ("binary" if len(found) == 2 else "regression" if is_number else "multiclass")
        if kind == "regression" or self.classes is not None:
            return kind, None if self.classes is None else list(self.classes)
        most = 2 if kind == "binary" else _MOST_CLASSES
        if len(found) > most:
            raise ProtocolError(
                f"{self.hidden[0]} has more than {most:,} different values; a {kind} task takes {most:,}"
            )
        texts: list[str] = found["t"].to_pylist()
        largest = 1 if kind == "binary" else _MOST_CLASSES
        if is_number and all(text.isdecimal() and int(text) <= largest for text in texts):
            return kind, [str(number) for number in range(max(int(texts[-1]), 1) + 1)]
        return kind, texts

    def _label_sql(self, value: str) -> str:
        """SQL of the label: a number, or the place among the classes."""
        if self._kind == "regression":
            return f"TRY_CAST({value} AS DOUBLE)"
        classes = ", ".join(map(literal, self.classes or ()))
        place = f"list_position([{classes}]::VARCHAR[], {_as_text(value)})"
        return f"CAST(coalesce({place} - 1, {len(self.classes or ())}) AS DOUBLE)"

    def _checked(self, label: Tensor) -> tuple[Tensor, tuple[str, ...]]:
        """The labels of the kind, and what to know about them."""
        if self._kind == "regression":
            odd = int((~label.isfinite()).sum())
            if odd:
                raise ProtocolError(
                    f"{odd} of {len(label)} values of {self.hidden[0]} are no finite numbers; "
                    "a regression needs numbers, other values are kind='multiclass'"
                )
            return label, ()
        classes = self.classes or ()
        new = int((label >= len(classes)).sum())
        if new and self._kind == "binary":
            raise ProtocolError(f"{new} values of {self.hidden[0]} are none of its two classes {', '.join(classes)}")
        notes = (f"{new:,} values of {self.hidden[0]} are none of the task's classes: class {len(classes)}",)
        return label if self._kind == "binary" else label.to(torch.int64), notes if new else ()


def _as_text(value: str) -> str:
    """SQL of a value as text, whole numbers the same in every type."""
    return f"regexp_replace(CAST({value} AS VARCHAR), '\\.0+$', '')"
