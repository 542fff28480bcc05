"""The whole way in one call: a database, its report, a graph, what will happen to its rows, which facts come next."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from relgraph.data.build import build_graph
from relgraph.data.check.report import Report
from relgraph.data.database import Database
from relgraph.data.graph import HeteroGraph
from relgraph.data.text import DEFAULT_TEXT
from relgraph.demo.entities import EntityOutcome, predict_entities
from relgraph.demo.links import LinkOutcome, predict_links
from relgraph.demo.shop import SHOP_TIMES, generate_shop
from relgraph.errors import ProtocolError
from relgraph.tasks import EntityTask

__all__ = ["CHURN_SQL", "DemoResult", "run_demo", "shop_task"]

CHURN_SQL = """
SELECT t.timestamp, c.customer_id,
       CAST(NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.customer_id
                        AND o.ordered_at > t.timestamp AND o.ordered_at <= t.timestamp + {horizon}) AS INT) AS label
FROM timestamps t JOIN customer c
  ON EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.customer_id
             AND o.ordered_at <= t.timestamp AND o.ordered_at > t.timestamp - INTERVAL 60 DAYS)
"""


def shop_task() -> EntityTask:
    """Churn in the generated shop: of the customers of the last 60 days, who orders nothing in the next 45?"""
    return EntityTask(
        "customer",
        CHURN_SQL,
        "45 days",
        "binary",
        val_time="2024-07-01",
        test_time="2024-10-01",
        num_eval_times=2,
    )


@dataclass
class DemoResult:
    """What :func:`run_demo` found; ``str`` is a summary.

    Args:
        name: The database.
        report: Its integrity.
        graph: The graph; also saved in ``folder / "graph"``.
        entities: What learning on the task gave.
        links: What learning on the statements gave, or ``None`` with the reason in ``notes``.
        seconds: Wall time of each step.
        page: The HTML page.
        notes: What was left out, and why.
    """

    name: str
    report: Report
    graph: HeteroGraph
    entities: EntityOutcome
    links: LinkOutcome | None
    seconds: dict[str, float]
    page: Path
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        from relgraph.demo.story import summary

        return summary(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "database": self.report.to_dict(),
            "graph": {"nodes": self.graph.num_nodes, "edges": self.graph.num_edges},
            "entities": self.entities.to_dict(),
            "links": None if self.links is None else self.links.to_dict(),
            "seconds": self.seconds,
            "page": str(self.page),
            "notes": self.notes,
        }


def run_demo(
    source: Database | str | Path | None = None,
    *,
    task: EntityTask | None = None,
    keys: Mapping[str, Any] | None = None,
    times: Mapping[str, str | None] | None = None,
    relation: str | None = None,
    out: str | Path = "demo-out",
    epochs: int = 10,
    link_epochs: int = 25,
    max_seconds: float | None = None,
    customers: int | None = None,
    threads: int | None = 1,
    seed: int = 0,
    progress: bool = True,
) -> DemoResult:
    """Go from a database to predictions and write one HTML page about it.

    Without a source a shop is generated (:func:`relgraph.demo.generate_shop`) and the task is who will stop buying.

    Args:
        source: A connected database, or what :func:`relgraph.connect` takes. It is then left as it is.
        task: What to predict; needed with a source.
        keys: As in :func:`relgraph.connect`, for a source that is not connected yet.
        times: As in :func:`relgraph.connect`.
        relation: Which facts the link predictor is asked for: a fact table, or ``table.column``; by default the one
            with the most facts to test on.
        out: Folder for the page, the saved graph and the generated shop.
        epochs: Passes of each GNN at most.
        link_epochs: Passes of the link predictor at most.
        max_seconds: Time budget of each training; without one the result depends on the seed alone.
        customers: Size of the generated shop; 100,000 rows by default.
        threads: Threads of torch, put back afterwards; ``None`` leaves them. Networks this small gain little from more,
            and lose much where others use the processor too; sums of one thread are the same everywhere.
        seed: Of everything random.
        progress: Say on stderr what is being done.

    Returns:
        The figures and the path of the page.

    Raises:
        ProtocolError: If a source is given without a task, or the task cannot be learned on this data.
        RelGraphError: Whatever connecting, converting and training raise.
    """
    from relgraph.demo.story import write_story

    folder = Path(out)
    seconds: dict[str, float] = {}

    @contextmanager
    def step(number: int, what: str) -> Iterator[None]:
        if progress:
            sys.stderr.write(f"[{number}/6] {what}\n")
        start = time.perf_counter()
        yield
        seconds[what] = round(time.perf_counter() - start, 2)

    with ExitStack() as stack:
        stack.enter_context(_threads(threads))
        with step(1, "read the database"):
            db, task = _open(source, task, keys, times, folder, customers, seed, progress)
            if not isinstance(source, Database):
                stack.callback(db.close)
            task = task.with_times(db, progress=progress)
        with step(2, "check its integrity"):
            report = db.check()
        with step(3, "turn it into a graph and save it"):
            # names of the shop's products and cities are all its text: vectors of them would only tell rows apart
            text = None if source is None else DEFAULT_TEXT
            graph = build_graph(db, fit_until=task.val_time, hide=task.hidden, text=text, progress=progress)
            graph.save(folder / "graph")
        budget: dict[str, Any] = {"max_seconds": max_seconds, "seed": seed, "progress": progress}
        with step(4, f"learn to predict rows of {task.entity_table}"):
            entities = predict_entities(db, graph, task, epochs=epochs, **budget)
        links, notes = None, []
        with step(5, "learn which facts come next"):
            try:
                links = predict_links(graph, relation=relation, epochs=link_epochs, **budget)
            except ProtocolError as error:
                notes.append(f"no link prediction: {error}")
        result = DemoResult(db.name, report, graph, entities, links, seconds, folder / "index.html", notes)
        with step(6, "write the page"):
            write_story(result, generated=source is None)
    return result


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _open(
    source: Database | str | Path | None,
    task: EntityTask | None,
    keys: Mapping[str, Any] | None,
    times: Mapping[str, str | None] | None,
    folder: Path,
    customers: int | None,
    seed: int,
    progress: bool,
) -> tuple[Database, EntityTask]:
    from relgraph.adapters import connect

    if source is None:
        if task is not None:
            raise ProtocolError("a task was given without a database; give both, or none for the generated shop")
        path = folder / "shop.sqlite"
        shop = generate_shop(path, seed) if customers is None else generate_shop(path, seed, customers=customers)
        return connect(shop, times=SHOP_TIMES, progress=progress), shop_task()
    if task is None:
        raise ProtocolError(
            "expected a task for this database: an EntityTask says what to predict (on the command line --task FILE)"
        )
    if isinstance(source, Database):
        return source, task
    return connect(source, keys=keys, times=times, progress=progress), task
