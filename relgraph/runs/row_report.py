"""What is found out about a predictor of rows: metrics, predictions against the truth, and what moved the strongest."""

from __future__ import annotations

from typing import Any

import pyarrow
import pyarrow.compute
import torch

from relgraph.data.html import graph_html, table_html
from relgraph.data.time import format_time
from relgraph.pictures import Section, bars, columns, paragraph, preformatted, scatter, side_by_side
from relgraph.runs.findings import Findings
from relgraph.runs.rows import RowRun
from relgraph.tasks import Seeds

__all__ = ["row_findings"]

_SHOWN = 10
_POINTS = 400
_REGIMES = {
    "seed-time": "every row sees all that was known at its own moment",
    "frozen": "every test row sees the database as it was when the test began",
    "static": "the task has no time; a row sees all but what is asked",
}


def row_findings(run: RowRun, split: str, licence: str | None, progress: bool) -> Findings:
    """Evaluate the run and look at it from several sides."""
    found = run.evaluate(split, progress=progress)
    seeds = run.part(split)
    predictions = run.predict(split=split, progress=progress)
    metrics = {name: value for name, value in found.items() if isinstance(value, float)}
    task, source = run.task, run.meta.get("source")
    asked = f"{task.entity_table} → {run.target_table}" if run.recommends else task.entity_table
    headline = f"{task.metric} {metrics[task.metric]:.4f}" if task.metric in metrics else ""
    sections = [
        *_training(run),
        *_truth(run, seeds, predictions),
        *_strongest(run, predictions, progress),
        _database(run),
    ]
    return Findings(
        title=f"{asked}: {task.to_dict().get('kind', 'links')}" + (f", {source}" if source else ""),
        lead=(
            f"A graph neural network on the rows of a database: {task!r}. On {len(seeds):,} rows of {split}"
            f"{_period(seeds.time)}: {headline}, {task.regime} ({_REGIMES[task.regime]})."
        ),
        model=[
            ("network", type(run.predictor.model).__name__),
            ("arguments", {name: x for name, x in run.predictor.settings.items() if x not in (None, {}, [])}),
            ("parameters", sum(p.numel() for p in run.predictor.model.parameters())),
        ],
        data=[
            ("source", source),
            ("rows", run.graph.num_nodes),
            ("links between rows", run.graph.num_edges),
            *((f"seeds, {name}", len(part)) for name, part in run.seeds.items()),
            ("licence", licence or "not stated"),
        ],
        training=[
            ("epochs", len(run.history)),
            ("ended by", run.history.stopped if len(run.history) else None),
            ("seconds", round(sum(row["seconds"] for row in run.history.epochs), 1)),
            ("best epoch", run.history.best_epoch),
            ("its validation", None if run.history.best is None else {task.metric: run.history.best}),
        ],
        protocol=[
            ("split", split),
            ("rows", len(seeds)),
            ("regime", f"{task.regime}: {_REGIMES[task.regime]}"),
            ("task", repr(task)),
            *_moments(run),
        ],
        metrics=(("metric", "value"), list(metrics.items())),
        limits=_limits(run),
        usage=(
            f"import relgraph\n\nrun = relgraph.load({str(run.source or 'RUN')!r})\n"
            "run.predict()  # the test rows\n"
            "run.predict(db, keys='all', time=...)  # the database as it is now, of relgraph.connect"
        ),
        tags=["relational-deep-learning", "graph-neural-network", run.task.metric],
        sections=sections,
    )


def _period(time: torch.Tensor | None) -> str:
    if time is None or not time.numel():
        return ""
    first, last = format_time(int(time.min())), format_time(int(time.max()))
    return f" at {first}" if first == last else f" from {first} to {last}"


def _moments(run: RowRun) -> list[tuple[str, Any]]:
    asked = run.task.to_dict()
    named = (("validation begins", "val_time"), ("test begins", "test_time"))
    return [(said, format_time(asked[name])) for said, name in named if asked.get(name) is not None]


def _limits(run: RowRun) -> list[str]:
    lines = ["It predicts for databases with the same tables, columns and keys; others are refused and named."]
    if run.task.regime == "frozen":
        lines.append(
            "Test rows late in their period see an old database; in use, with the latest rows, it may do better."
        )
    if run.task.regime == "seed-time":
        lines.append("The metrics hold where the database is as up to date as it was for the test rows.")
    lines.append("It has learned what went together in this database, not what causes what.")
    return lines


def _training(run: RowRun) -> list[Section]:
    if not len(run.history):
        return []
    names = ["loss", *([] if run.history.metric is None else [run.history.metric])]
    return [Section("Training", [side_by_side(*map(run.history.picture, names))])]


def _truth(run: RowRun, seeds: Any, predictions: pyarrow.Table) -> list[Section]:
    """Predictions beside what then happened."""
    kind = run.task.to_dict().get("kind")
    if not isinstance(seeds, Seeds) or not len(predictions):
        return []
    if kind == "binary":
        score = torch.tensor(predictions["prediction"].to_pylist(), dtype=torch.float64)
        return [Section("Predictions and what happened", _binary(score, seeds.label.double()))]
    if kind == "regression":
        picked = torch.linspace(0, len(predictions) - 1, min(_POINTS, len(predictions))).long().tolist()
        value, label = predictions["prediction"].to_pylist(), seeds.label.tolist()
        points = [(float(label[i]), float(value[i])) for i in picked]
        names = [f"{label[i]:.4g}, predicted {value[i]:.4g}" for i in picked]
        picture = scatter("what happened (to the right), what was predicted (upwards)", points, names)
        return [Section("Predictions and what happened", [picture])]
    if kind == "multiclass":
        parts = []
        for name, title in (("label", "what happened"), ("prediction", "what was predicted")):
            counts = pyarrow.compute.value_counts(predictions[name]).to_pylist()
            shares = sorted(((str(c["values"]), c["counts"] / len(predictions)) for c in counts), key=lambda x: -x[1])
            parts.append(f"<h3>{title}</h3>{bars(f'share of classes, {title}', shares[:_SHOWN])}")
        return [Section("Predictions and what happened", [side_by_side(*parts)])]
    return []


def _binary(score: torch.Tensor, label: torch.Tensor) -> list[str]:
    place = (score * 10).long().clamp(0, 9)
    names = [f"{i / 10:.1f}-{(i + 1) / 10:.1f}" for i in range(10)]
    shares = {}
    for value, name in ((0.0, "did not happen"), (1.0, "happened")):
        chosen = place[label == value]
        shares[name] = (torch.bincount(chosen, minlength=10).double() / max(chosen.numel(), 1)).tolist()
    total = torch.bincount(place, minlength=10)
    rate = torch.bincount(place, weights=label, minlength=10) / total.clamp(min=1)
    table = [(names[i], int(total[i]), float(rate[i]) if total[i] else None) for i in range(10)]
    return [
        columns("share of rows by predicted probability", names, shares),
        table_html(("predicted", "rows", "of those it happened to"), table, caption="calibration"),
    ]


def _strongest(run: RowRun, predictions: pyarrow.Table, progress: bool) -> list[Section]:
    """The rows with the strongest predictions, and why the first of them."""
    if not len(predictions):
        return []
    if run.recommends:
        shown, order = predictions.slice(0, _SHOWN), None
    elif "prediction" in predictions.column_names and pyarrow.types.is_floating(predictions["prediction"].type):
        order = pyarrow.compute.sort_indices(predictions, [("prediction", "descending")])
        shown = predictions.take(order[:_SHOWN])
    else:
        shown, order = predictions.slice(0, _SHOWN), None
    parts = [table_html(shown.column_names, [[_cell(*pair) for pair in row.items()] for row in shown.to_pylist()])]
    first, nodes = shown.to_pylist()[0], run.graph.nodes
    keys = nodes[run.task.entity_table].keys
    names = list(keys.names) if keys is not None else []
    if names and all(name in first for name in names):
        key: Any = tuple(first[name] for name in names) if len(names) > 1 else first[names[0]]
        options: dict[str, Any] = {"key": key}
        if first.get("timestamp") is not None:
            options["time"] = first["timestamp"]
        if run.recommends:
            other = nodes[run.target_table].keys
            wanted = [
                first.get(
                    name if name in predictions.column_names and name not in names else f"{run.target_table}.{name}"
                )
                for name in (other.names if other is not None else ())
            ]
            if not wanted or None in wanted:
                return [Section("Recommendations", parts)]
            options["target"] = tuple(wanted) if len(wanted) > 1 else wanted[0]
        why = run.explain(**options)
        parts += ["<h3>Why the first</h3>", why._repr_html_()]
    return [Section("Recommendations" if run.recommends else "Predictions by key", parts)]


def _cell(name: str, value: Any) -> Any:
    # whole numbers are keys and classes here, not quantities
    if name == "label" and isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _database(run: RowRun) -> Section:
    parts: list[str] = []
    counts = {name: store.num_nodes for name, store in run.graph.nodes.items()}
    if run.schema is not None:
        parts += [run.schema.picture(counts), paragraph("◆ primary key   → foreign key   ◷ when a row happened")]
    parts.append(graph_html(run.graph.replace(schema=None)))
    asked = run.task.to_dict()
    if asked.get("sql"):
        parts += ["<h3>The question</h3>", preformatted(str(asked["sql"]).strip())]
    return Section("The database", parts)
