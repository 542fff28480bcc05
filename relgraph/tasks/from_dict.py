"""Every kind of task from plain JSON values, and from the words of a task file."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from relgraph.errors import ProtocolError

if TYPE_CHECKING:
    from relgraph.tasks.base import Task

__all__ = ["task_from_dict", "task_maker"]

_HOMES = {
    "entity": ("relgraph.tasks.entity", "EntityTask"),
    "link": ("relgraph.tasks.link", "LinkTask"),
    "column": ("relgraph.tasks.column", "ColumnTask"),
    "node": ("relgraph.tasks.node", "NodeTask"),
}
_FORMS = {"entity": ("count", "sum", "exists", "last"), "link": ("next",)}


def task_from_dict(values: Mapping[str, Any]) -> Task:
    """The inverse of ``task.to_dict()``, for every kind of task.

    Args:
        values: The arguments of a task; ``"task"`` says which: ``"entity"`` (default), ``"link"``, ``"column"`` or
            ``"node"``.

    Raises:
        ProtocolError: If the kind of task is unknown, or an argument is missing, unknown or makes no sense.
    """
    given = dict(values)
    kind = _class(given.pop("task", "entity"))
    parameters = inspect.signature(kind).parameters
    if "horizon" in parameters and given.get("regime") == "static":
        given.setdefault("horizon", None)  # TOML has no null
    _check_names(given, parameters, parameters, kind.__name__)
    task: Task = kind(**given)
    return task


def task_maker(values: Mapping[str, Any]) -> Callable[..., Task]:
    """A task from its arguments, or from those of a form: ``{"form": "count", "entity_table": ..., "of": ...}``.

    Args:
        values: As for :func:`task_from_dict`; with ``"form"``, the arguments of that classmethod.

    Returns:
        What makes the task for a database, and takes ``progress=``; what can be checked without one, is checked
        already.

    Raises:
        ProtocolError: As :func:`task_from_dict`, or if there is no such form.
    """
    given = dict(values)
    if "form" not in given:
        task = task_from_dict(given)
        return lambda db, progress=True: task
    family, form = given.pop("task", "entity"), given.pop("form")
    kind, forms = _class(family), _FORMS.get(family, ())
    if form not in forms:
        known = [f"{name}: {', '.join(some)}" for name, some in _FORMS.items()]
        raise ProtocolError(f"form: a task of kind {family!r} has none called {form!r}; forms: {'; '.join(known)}")
    make = getattr(kind, form)
    needed = {name: p for name, p in inspect.signature(make).parameters.items() if name not in ("db", "settings")}
    settings = {
        name: p for name, p in inspect.signature(kind).parameters.items() if not name.endswith(("sql", "_column"))
    }
    _check_names(given, needed, {**needed, **settings}, f"{kind.__name__}.{form}")
    return lambda db, progress=True: make(db, **given, progress=progress)


def _class(family: object) -> type[Any]:
    if not isinstance(family, str) or family not in _HOMES:
        raise ProtocolError(f"task: expected one of {', '.join(_HOMES)}, got {family!r}")
    module, name = _HOMES[family]
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found


def _check_names(
    given: Mapping[str, Any],
    needed: Mapping[str, inspect.Parameter],
    known: Mapping[str, inspect.Parameter],
    what: str,
) -> None:
    missing = [n for n, parameter in needed.items() if parameter.default is parameter.empty and n not in given]
    unknown = [name for name in given if name not in known]
    if missing or unknown:
        faults = [f"lacks {', '.join(missing)}"] if missing else []
        faults += [f"has the unknown {', '.join(unknown)}"] if unknown else []
        raise ProtocolError(f"the task {' and '.join(faults)}; {what} takes {', '.join(known)}")
