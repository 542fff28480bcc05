"""Learning line 1 of the demo: a constant, gradient boosting and a GNN on the same seeds of one task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from relgraph.baselines.bench import Bench
from relgraph.baselines.boosting import SEARCH, booster_name
from relgraph.baselines.entity import boosted, constant
from relgraph.data.database import Database
from relgraph.data.graph import HeteroGraph
from relgraph.data.time import format_time
from relgraph.tasks import EntityTask, Seeds, Split
from relgraph.training import History
from relgraph.training.entity import fit

__all__ = ["EntityOutcome", "predict_entities"]


@dataclass(frozen=True)
class EntityOutcome:
    """What learning on a task gave.

    Args:
        task: The task, with its times.
        splits: Per split its name, rows, mean label, and first and last seed time.
        scores: Per model its name and its test metrics, the simplest first, the GNNs last.
        histories: The training of each GNN, by name.
        chosen: The GNN with the best validation; its predictions are in ``top``.
        top: Key, seed time, prediction and label of the test rows with the highest predictions.
    """

    task: EntityTask
    splits: list[tuple[str, int, float, str, str]]
    scores: list[tuple[str, dict[str, float]]]
    histories: dict[str, History]
    chosen: str
    top: list[tuple[str, str, float, float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "task": self.task.to_dict(),
            "splits": [
                dict(zip(("split", "rows", "mean_label", "first", "last"), row, strict=True)) for row in self.splits
            ],
            "test": dict(self.scores),
            "epochs": {name: list(history.epochs) for name, history in self.histories.items()},
            "chosen": self.chosen,
            "top": [dict(zip(("key", "time", "prediction", "label"), row, strict=True)) for row in self.top],
        }


def predict_entities(
    db: Database,
    graph: HeteroGraph,
    task: EntityTask,
    *,
    fan_outs: Sequence[tuple[int, ...]] = ((10, 8), (4, 4, 2, 8)),
    channels: int = 32,
    batch_size: int = 128,
    epochs: int = 10,
    max_seconds: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> EntityOutcome:
    """Train and compare on a task.

    The baselines see what a person would try first: the entity's own row, then the row with counts and ages of
    everything that refers to it. The GNNs differ in how far they look. All models share seeds, labels and the moment
    up to which they may look.

    Args:
        db: Where labels come from.
        graph: Built from ``db`` with ``fit_until=task.val_time``.
        task: What to predict, with its times.
        fan_outs: One GNN for each: how many of the latest neighbours are taken at each step, so its length is how far
            the GNN looks.
        channels: Width of the GNNs.
        batch_size: Seeds per batch.
        epochs: Passes over the training seeds at most; the best validated one counts.
        max_seconds: Stop each training after this time.
        seed: Of everything random.
        progress: Show progress on stderr.

    Returns:
        The metrics of each model on the test split, and the highest predictions of the GNN with the best validation.
    """
    # one hop and one configuration: what a person would try first
    bench = Bench(db, graph, task, {"aggregates": {"hops": 1}, "boosting": {"search": SEARCH[:1]}})
    seeds: dict[Split, Seeds] = bench.seeds
    test = seeds["test"]
    scores = [("constant", bench.metrics("test", constant(bench, seed)["test"])), *_boosted(bench, seed)]
    found: dict[str, Tensor] = {}
    histories: dict[str, History] = {}
    for fan_out in fan_outs:
        predictor = fit(
            db,
            graph,
            task,
            channels=channels,
            layers=len(fan_out),
            num_neighbors=fan_out,
            strategy="last",
            aggr="mean",
            encoder_layers=1,
            dropout=0.1,
            batch_size=batch_size,
            epochs=epochs,
            max_seconds=max_seconds,
            seed=seed,
            progress=progress,
        )
        name = f"GNN, {len(fan_out)} steps of neighbours"
        found[name] = predictor.scores(test.node, test.time, progress=progress)
        histories[name] = predictor.history
        scores.append((name, task.metrics(test.label, found[name])))
    sign = 1 if task.mode == "max" else -1
    chosen = max(histories, key=lambda name: sign * _or_worst(histories[name].best, sign))
    splits = [_describe(name, part) for name, part in seeds.items()]
    return EntityOutcome(task, splits, scores, histories, chosen, _top(test, found[chosen]))


def _or_worst(value: float | None, sign: int) -> float:
    # a time budget may end a training before its first validation
    return -sign * float("inf") if value is None else value


def _boosted(bench: Bench, seed: int) -> list[tuple[str, dict[str, float]]]:
    """Gradient boosting on the own row, then with what refers to it."""
    out = []
    for what, sources in (("own row", ("row",)), ("own row and history", ("row", "aggregates"))):
        found = boosted(bench, seed, sources=sources, name=what)
        out.append((f"{booster_name()}, {what}", bench.metrics("test", found["test"])))
    return out


def _describe(name: str, part: Seeds) -> tuple[str, int, float, str, str]:
    first, last = format_time(int(part.moments.min())), format_time(int(part.moments.max()))
    return name, len(part), float(part.label.double().mean()), first[:10], last[:10]


def _top(test: Seeds, found: Tensor, k: int = 10) -> list[tuple[str, str, float, float]]:
    value = found if found.dim() == 1 else found.max(1).values
    chosen = value.argsort(descending=True, stable=True)[:k]
    columns = [test.keys.column(name).to_pylist() for name in test.keys.column_names]
    return [
        (
            ", ".join(str(column[i]) for column in columns),
            format_time(int(test.moments[i]))[:10],
            float(value[i]),
            float(test.label[i]),
        )
        for i in chosen.tolist()
    ]
