"""One call compares constants, histories, boosting and networks on a task and draws the table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from relgraph.baselines import entity, links
from relgraph.baselines.bench import Bench, Predictions
from relgraph.baselines.comparison import Comparison, ModelResult
from relgraph.errors import ProtocolError, RelGraphError

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.data.graph import HeteroGraph

__all__ = ["ENTITY_MODELS", "LINK_MODELS", "compare", "default_models"]

Model = Callable[[Bench, int], Predictions]


def _boosted(name: str, *sources: str) -> Model:
    return partial(entity.boosted, sources=sources, name=name)


ENTITY_MODELS: Mapping[str, Model] = {
    "constant": entity.constant,
    "history-mean": partial(entity.history, what="mean, all"),
    "history-median": partial(entity.history, what="median, all"),
    "history-last": partial(entity.history, what="last"),
    "boosting-row": _boosted("boosting-row", "row"),
    "boosting-aggregates": _boosted("boosting-aggregates", "row", "aggregates"),
    "boosting-past": _boosted("boosting-past", "row", "aggregates", "past"),
    "gnn": entity.network,
    "hybrid": _boosted("hybrid", "row", "aggregates", "past", "gnn"),
}
"""Models for labels of rows, simple ones first; ``"ensemble"`` joins two of them."""

LINK_MODELS: Mapping[str, Model] = {
    "popularity": links.popularity,
    "popularity-recent": partial(links.popularity, half_life=0.5),
    "past-visits": links.past_visits,
    "gnn": links.network,
}
"""Models that rank target rows."""

_WITHOUT_RANDOMNESS = {
    "constant",
    "history-mean",
    "history-median",
    "history-last",
    "popularity",
    "popularity-recent",
    "past-visits",
}
_NEEDS_PAST = {"history-mean", "history-median", "history-last", "boosting-past"}
_BOOSTED = ("boosting-past", "boosting-aggregates", "boosting-row")
_SOURCES = ("row", "aggregates", "past")
_ENSEMBLE = "ensemble"


def default_models(task: Any) -> list[str]:
    """The models that fit a task: all of its kind; without a past, those that need none."""
    if task.kind == "link":
        return [name for name in LINK_MODELS if name == "gnn" or task.regime != "static"]
    past = hasattr(task, "labels_at") and task.regime != "static"
    median = task.kind == "regression"
    names = [name for name in ENTITY_MODELS if past or name not in _NEEDS_PAST]
    return [*(name for name in names if median or name != "history-median"), _ENSEMBLE]


def compare(
    db: Database | None,
    graph: HeteroGraph,
    task: Any,
    models: Sequence[str] | None = None,
    *,
    seeds: Sequence[int] = (0,),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    progress: bool = True,
) -> Comparison:
    """Train models on a task and show their metrics on validation and test side by side.

    Everything that is chosen (rounds, configurations, weights) is chosen on validation; a model's test rows are read
    once. A model that cannot run is in the table with its reason.

    =======================  ===========================================================================
    ``constant``             the share of positives or classes, mean or median of training labels
    ``history-mean``         the entity's own past labels (also ``-median``, ``-last``), else the constant
    ``boosting-row``         gradient boosting on the entity's own row
    ``boosting-aggregates``  the same with what happened around it, over two hops
    ``boosting-past``        the same with past labels
    ``gnn``                  :func:`relgraph.fit`
    ``hybrid``               boosting on all of that, the GNN's vectors and its prediction
    ``ensemble``             the GNN and the last boosting that ran, weighted on validation
    ``popularity``           links: the most linked targets of all time; ``popularity-recent``: lately
    ``past-visits``          links: the source's own targets, often and late ones first, then popular ones
    =======================  ===========================================================================

    Args:
        db: Where labels come from; ``None`` for a task whose labels are in the graph.
        graph: Built from ``db`` with ``fit_until=task.val_time`` and, for tasks that hide columns,
            ``hide=task.hidden``.
        task: What to predict, with its times.
        models: Names out of the table; those that fit the task by default.
        seeds: Every model that depends on chance is trained with each; the table shows means.
        options: Settings per model (``{"gnn": {"epochs": 5}}``), for all boosting (``"boosting"``: ``search``, ``bag``,
            ``engine``), and for sources of columns (``"aggregates": {"hops": 1}``, ``"past": {"step": "10 days"}``).
        progress: Show progress on stderr.

    Returns:
        The table; it prints itself, also as HTML and JSON.

    Raises:
        ProtocolError: If a name of a model or of settings is unknown, or a split has no rows.
        LeakageError: If ``graph`` shows what the task hides, or its statistics saw rows later than ``task.val_time``.
    """
    known = {**LINK_MODELS} if task.kind == "link" else {**ENTITY_MODELS, _ENSEMBLE: None}
    chosen = list(dict.fromkeys(default_models(task) if models is None else models))
    for name in chosen:
        if name not in known:
            raise ProtocolError(f"models: {name!r} does not fit {task!r}; those that do: {', '.join(known)}")
    if not seeds:
        raise ProtocolError("seeds: expected at least one")
    settings = ["gnn"] if task.kind == "link" else ["gnn", "boosting", *_SOURCES, *_BOOSTED, "hybrid"]
    for name in options or ():
        if name not in settings:
            raise ProtocolError(
                f"options: nothing called {name!r} has settings; those that have: {', '.join(settings)}"
            )
    task.require_sound(graph)
    bench = Bench(db, graph, task, options, progress)
    results: list[ModelResult] = []
    kept: dict[tuple[str, int], Predictions] = {}
    for name in chosen:
        if progress:
            sys.stderr.write(f"{name}\n")
        results.append(_run(bench, name, seeds[:1] if name in _WITHOUT_RANDOMNESS else seeds, kept))
    rows: dict[str, int] = {split: len(part) for split, part in bench.seeds.items()}
    return Comparison(task.to_dict(), task.metric, task.mode, task.regime, rows, tuple(results))


def _run(bench: Bench, name: str, seeds: Sequence[int], kept: dict[tuple[str, int], Predictions]) -> ModelResult:
    start = time.perf_counter()
    val: list[dict[str, float]] = []
    test: list[dict[str, float]] = []
    note = ""
    try:
        for seed in seeds:
            found = _ensemble(bench, seed, kept) if name == _ENSEMBLE else _model(bench, name)(bench, seed)
            kept[name, seed] = found
            val.append(bench.metrics("val", found["val"]))
            test.append(bench.metrics("test", found["test"]))
    except RelGraphError as error:
        val, test, note = [], [], f"{type(error).__name__}: {error}"
    return ModelResult(name, tuple(seeds), val, test, time.perf_counter() - start, note)


def _model(bench: Bench, name: str) -> Model:
    if bench.task.kind == "link":
        return LINK_MODELS[name]
    if name == "hybrid" and not (hasattr(bench.task, "labels_at") and bench.task.regime != "static"):
        return _boosted("hybrid", "row", "aggregates", "gnn")
    return ENTITY_MODELS[name]


def _ensemble(bench: Bench, seed: int, kept: Mapping[tuple[str, int], Predictions]) -> Predictions:
    second = next((kept[name, seed] for name in _BOOSTED if (name, seed) in kept), None)
    if ("gnn", seed) not in kept or second is None:
        raise ProtocolError("an ensemble joins 'gnn' and a boosting: name both before it, and see that they run")
    return entity.ensemble(bench, seed, first=kept["gnn", seed], second=second)
