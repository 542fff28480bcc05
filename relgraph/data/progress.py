"""Progress of the long calls a person waits for: on stderr, only on a terminal, and easy to switch off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["count_rows", "track"]

T = TypeVar("T")


def track(
    items: Iterable[T],
    what: str,
    enabled: bool = True,
    label: Callable[[T], str] | None = None,
    total: int | None = None,
) -> Iterator[T]:
    """Iterate while a bar on stderr shows how far it is and which item is at work.

    Args:
        items: What to go through.
        what: What is being done, in front of the bar.
        enabled: No bar when ``False``.
        label: The name of an item, shown behind ``what``.
        total: How many items there are, where ``items`` has no length.
    """
    if not enabled:
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    if total is None and isinstance(items, Sized):
        total = len(items)
    console = Console(stderr=True)
    if not console.is_terminal:
        # even a disabled bar would leave an empty line in a log
        yield from items
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        for item in items:
            if label is not None:
                bar.update(task, description=f"{what}: {label(item)}")
            yield item
            bar.advance(task)


@contextmanager
def count_rows(num_tables: int, progress: bool) -> Iterator[Callable[[str, int, int | None], None]]:
    """A function that takes a table, how many of its rows were just read and how many there are, and shows them.

    Args:
        num_tables: How many tables come.
        progress: Nothing is shown when ``False``.
    """
    if not progress:
        yield lambda table, rows, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("reading {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def count(table: str, rows: int, total: int | None) -> None:
            if table not in tasks:
                label = f"{table} ({len(tasks) + 1}/{num_tables})"
                for task in tasks.values():
                    bars.update(task, visible=False)
                tasks[table] = bars.add_task(label, total=total)
            bars.update(tasks[table], advance=rows)

        yield count
