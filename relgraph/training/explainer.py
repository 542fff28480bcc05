"""Why a prediction is what it is, through PyG's explainer interface and told in database keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.explain import Explainer
from torch_geometric.explain.algorithm import ExplainerAlgorithm

from relgraph.data.graph import EdgeType, HeteroGraph, NodeType
from relgraph.data.keys import Key
from relgraph.data.time import format_time
from relgraph.errors import ProtocolError, SchemaError
from relgraph.nn.gated import GatedGraph, GatedModel
from relgraph.nn.gated_link import GatedLink
from relgraph.training.explanation import CellScore, PredictionExplanation, RowScore, Step, TableScore
from relgraph.training.integrated_gradients import IntegratedGradients
from relgraph.training.link_predictor import LinkPredictor
from relgraph.training.outputs import to_prediction
from relgraph.training.shown_values import shown_value

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.training.predictor import EntityPredictor

__all__ = ["ExplainedRow", "explain", "explained_link", "explained_row"]

_CELLS = 200  # kept of an explanation


@dataclass(frozen=True, eq=False)
class ExplainedRow:
    """One prediction as PyG's ``Explainer`` takes it.

    ``Explainer(row.model, GNNExplainer(), **row.settings)(row.x, row.edge_index)`` gives PyG's own explanation.

    Args:
        model: The prediction as a function of gates.
        x: Open gates per table, float32 ``[rows, gates]``; ``model.gates`` names them.
        edge_index: The sampled edges; types without any are left out, since explainers fail where no gradient comes.
        rows: Row numbers of the graph per table, int64 ``[rows]``.
        settings: ``explanation_type``, ``node_mask_type`` and ``model_config`` of the ``Explainer``.
        output: Which class or label is explained, or ``None``.
        time: The moment, microseconds, or ``None``.
    """

    model: GatedGraph
    x: dict[NodeType, Tensor]
    edge_index: dict[EdgeType, Tensor]
    rows: dict[NodeType, Tensor]
    settings: dict[str, Any]
    output: int | None
    time: int | None

    @torch.no_grad()
    def predict(self, x: Mapping[NodeType, Tensor] | None = None) -> float:
        """The prediction with these gates; with all open by default."""
        return float(self.model(self.x if x is None else x, self.edge_index))


def explained_row(
    predictor: EntityPredictor, key: Key, time: int | str | datetime | None = None, output: int | None = None
) -> ExplainedRow:
    """Make a prediction ready for PyG's ``Explainer``.

    Args:
        predictor: A predictor with rows.
        key: The row.
        time: The moment; none for a task without time.
        output: Of several classes or labels which one; the likeliest by default.

    Raises:
        SchemaError: If the key does not exist.
        ProtocolError: If the time is missing, or there is no such output.
    """
    node, moment = predictor.rows([key], time)
    kind = predictor.task.kind
    with predictor.unfrozen(), predictor.evaluating():
        scores = predictor.scores(node, moment)
        seed_x = predictor.seed_matrix(node, moment)
        batch = next(iter(predictor.loader(node, moment))).to(predictor.device)
    chosen = _output(kind, scores, output)
    scale = predictor.scale

    def read(raw: Tensor) -> Tensor:
        found = to_prediction(kind, raw, scale)
        return found if chosen is None else found[:, chosen]

    seeds = None if seed_x is None else seed_x.to(predictor.device)
    with predictor.evaluating():
        model = GatedModel(predictor.model, batch, read, seeds, _seed_names(predictor))
    return _explained(model, batch, kind == "regression", chosen, moment)


def explained_link(
    predictor: LinkPredictor, key: Key, target: Key, time: int | str | datetime | None = None
) -> ExplainedRow:
    """Make the score of a target row ready for PyG's ``Explainer``; its gates are those of the source's subgraph.

    Args:
        predictor: A recommender with rows.
        key: The source row.
        target: The target row.
        time: The moment; none for a task without time.

    Raises:
        SchemaError: If a key does not exist.
        ProtocolError: If the time is missing, or the target row does not exist yet at that moment.
    """
    node, moment = predictor.rows([key], time)
    task, when = predictor.task, None if moment is None else int(moment[0])
    wanted = predictor.graph.node_index(task.target_table, [target])
    with predictor.unfrozen(), predictor.evaluating():
        if not bool(torch.isin(wanted, predictor.visible(when))):
            shown = "" if when is None else f" at {format_time(when)}"
            raise ProtocolError(f"{task.target_table} {target!r} does not exist yet{shown}; it cannot be recommended")
        batch = next(iter(predictor.seed_loader(task.entity_table, node, moment))).to(predictor.device)
        model = predictor.model
        rows = wanted.to(predictor.device)
        own = None if not model.towers else next(iter(predictor.target_batches(wanted, when))).to(predictor.device)
        with torch.no_grad():
            vector, bias = model.targets(rows, own)
        return _explained(GatedLink(model, batch, int(wanted), vector, bias), batch, True, None, moment)


def _explained(
    model: GatedGraph, batch: HeteroData, raw: bool, output: int | None, moment: Tensor | None
) -> ExplainedRow:
    mode = ("regression", "raw") if raw else ("binary_classification", "probs")
    return ExplainedRow(
        model,
        model.open_gates(),
        model.edge_index_dict,
        {name: batch[name].n_id.cpu() for name in model.node_types},
        {
            "explanation_type": "model",
            "node_mask_type": "attributes",
            "model_config": {"mode": mode[0], "task_level": "graph", "return_type": mode[1]},
        },
        output,
        None if moment is None else int(moment[0]),
    )


def explain(
    predictor: EntityPredictor | LinkPredictor,
    db: Database | None = None,
    *,
    key: Key,
    target: Key | None = None,
    time: int | str | datetime | None = None,
    output: int | None = None,
    algorithm: ExplainerAlgorithm | None = None,
) -> PredictionExplanation:
    """Name the tables, columns and rows that moved a prediction.

    By default integrated gradients in two steps: related rows appear with NULL in every column, then all values
    appear. So a table's ``presence`` tells what the number and places of its rows add, its columns' scores what their
    values add, and all together are the prediction minus the baseline.

    Args:
        predictor: A trained predictor.
        db: Another state of the database, see :meth:`EntityPredictor.on`; else the rows of its own graph are explained.
        key: The row of the entity table.
        target: Of a recommender the target row whose score is explained, by the rows around the source row; what the
            model knows of the target row by itself is taken as it is.
        time: The moment of the prediction, with all that is known then; none for a task without time.
        output: Of several classes or labels which one; the likeliest by default.
        algorithm: Another algorithm of PyG, such as ``GNNExplainer(epochs=200)`` or
            ``CaptumExplainer("ShapleyValueSampling")``; the scores are then what it gives.

    Raises:
        SchemaError: If the key does not exist, or the database's schema changed.
        ProtocolError: If the time is missing, there is no such output, or ``target`` is missing for a recommender or
            given to another predictor.
    """
    if db is not None:
        predictor = predictor.on(db, progress=False)
    row = _made_ready(predictor, key, target, time, output)
    if algorithm is not None:
        masks = _run(row, algorithm, row.x)
        name = type(algorithm).__name__
    else:
        closed = {table: torch.zeros_like(gate) for table, gate in row.x.items()}
        rows_only = {table: _first_only(gate) for table, gate in row.x.items()}
        steps = [(closed, rows_only), (rows_only, row.x)]
        found = [_run(row, IntegratedGradients(baseline=low), high) for low, high in steps]
        masks = {table: found[0][table] + found[1][table] for table in row.x}
        name = "IntegratedGradients"
    asked = (predictor.task.entity_table, key)
    told = None
    if isinstance(predictor, LinkPredictor) and target is not None:
        told = (predictor.task.target_table, target)
    return _tell(predictor.graph, asked, told, row, masks, name)


def _made_ready(
    predictor: EntityPredictor | LinkPredictor,
    key: Key,
    target: Key | None,
    time: int | str | datetime | None,
    output: int | None,
) -> ExplainedRow:
    if not isinstance(predictor, LinkPredictor):
        if target is not None:
            raise ProtocolError(f"target: only a recommender has target rows, got {target!r} for {predictor!r}")
        return explained_row(predictor, key, time, output)
    if target is None:
        table = predictor.task.target_table
        raise ProtocolError(f"explain: a recommender needs target=, the key of the row of {table!r} to explain")
    if output is not None:
        raise ProtocolError(f"output: a recommender has one output, so leave output={output!r} out")
    return explained_link(predictor, key, target, time)


def _first_only(gate: Tensor) -> Tensor:
    out = torch.zeros_like(gate)
    out[:, 0] = 1
    return out


def _run(row: ExplainedRow, algorithm: ExplainerAlgorithm, x: dict[NodeType, Tensor]) -> dict[NodeType, Tensor]:
    found = Explainer(row.model, algorithm, **row.settings)(x, row.edge_index)
    return {name: mask.detach().cpu().double() for name, mask in found.node_mask_dict.items()}


def _output(kind: str, scores: Tensor, output: int | None) -> int | None:
    if kind not in ("multiclass", "multilabel"):
        if output is not None:
            raise ProtocolError(f"output: a {kind} task has one output, so leave output={output!r} out")
        return None
    if output is None:
        return int(scores[0].argmax())
    if type(output) is not int or not 0 <= output < scores.size(1):
        raise ProtocolError(f"output: expected one of 0..{scores.size(1) - 1}, got {output!r}")
    return output


def _seed_names(predictor: EntityPredictor) -> tuple[str, ...]:
    """The column that each number of ``seed_x`` comes from."""
    columns = predictor.seed_columns
    if columns is None:
        return ()
    return tuple(n for n, scale in zip(columns.names, columns.scales, strict=True) for _ in range(scale.width))


def _tell(
    graph: HeteroGraph,
    asked: tuple[NodeType, Key],
    target: tuple[NodeType, Key] | None,
    row: ExplainedRow,
    masks: Mapping[NodeType, Tensor],
    algorithm: str,
) -> PredictionExplanation:
    """Scores of gates as scores of tables, columns, rows and values."""
    table = asked[0]
    steps = _steps(graph, table, row)
    keys = {name: graph.node_keys(name, rows) for name, rows in row.rows.items()}
    total = sum(float(mask.abs().sum()) for mask in masks.values())
    tables, rows, cells = [], [], []
    columns: dict[str, float] = defaultdict(float)
    paths: dict[str, float] = defaultdict(float)
    for name, mask in masks.items():
        share = float(mask.abs().sum()) / total if total else 0.0
        tables.append(TableScore(name, float(mask.sum()), float(mask[:, 0].sum()), share))
        for column, score in zip(row.model.gates[name][1:], mask[:, 1:].sum(0).tolist(), strict=True):
            columns[f"{name}.{column}"] += score
        for place, score in enumerate(mask.sum(1).tolist()):
            way = steps[name].get(place)
            if way is not None:
                rows.append(RowScore(name, keys[name][place], score, way))
                paths[_way(table, way)] += score
        cells += _cells(graph, name, keys[name], row, mask)
    prediction, baseline = row.predict(), row.predict({n: torch.zeros_like(g) for n, g in row.x.items()})
    return PredictionExplanation(
        table=table,
        key=asked[1],
        target=target,
        time=None if row.time is None else format_time(row.time),
        output=row.output,
        prediction=prediction,
        baseline=baseline,
        tables=tuple(sorted(tables, key=lambda t: -t.share)),
        columns=dict(sorted(columns.items(), key=lambda item: -abs(item[1]))),
        rows=tuple(sorted(rows, key=lambda r: -abs(r.score))),
        cells=tuple(sorted(cells, key=lambda c: -abs(c.score))[:_CELLS]),
        paths=dict(sorted(paths.items(), key=lambda item: -abs(item[1]))),
        gap=prediction - baseline - sum(float(mask.sum()) for mask in masks.values()),
        algorithm=algorithm,
    )


def _cells(graph: HeteroGraph, name: NodeType, keys: list[Key], row: ExplainedRow, mask: Tensor) -> list[CellScore]:
    """The largest scores of single values of a table; a value that is read twice (seed features) counts once."""
    read = row.model.gates[name][1:]
    names = list(dict.fromkeys(read))
    place = torch.tensor([names.index(column) for column in read], dtype=torch.int64)
    values = mask.new_zeros(mask.size(0), len(names)).index_add(1, place, mask[:, 1:])
    flat = values.abs().flatten()
    best = flat.topk(min(_CELLS, flat.numel())).indices.sort().values.tolist()
    features = graph.nodes[name].features
    found = []
    for at, column in (divmod(i, values.size(1)) for i in best):
        score = float(values[at, column])
        if score:
            shown = None if features is None else shown_value(features, names[column], int(row.rows[name][at]))
            found.append(CellScore(name, keys[at], names[column], shown, score))
    return found


def _steps(graph: HeteroGraph, table: NodeType, row: ExplainedRow) -> dict[NodeType, dict[int, tuple[Step, ...]]]:
    """A shortest way of foreign keys from the predicted row, which is row 0 of its table, to every other."""
    keys = {name: graph.node_keys(name, rows) for name, rows in row.rows.items()}
    found: dict[NodeType, dict[int, tuple[Step, ...]]] = {name: {} for name in row.rows}
    found[table][0] = ()
    news = {table: {0}}
    while news:
        before, news = news, {}
        for kind, index in row.edge_index.items():
            source, _, target = kind
            if target not in before:
                continue
            via, forward = _key_of(graph, kind)
            for s, t in zip(*index.tolist(), strict=True):
                if t in before[target] and s not in found[source]:
                    found[source][s] = (*found[target][t], Step(via, source, keys[source][s], forward))
                    news.setdefault(source, set()).add(s)
    return found


def _key_of(graph: HeteroGraph, kind: EdgeType) -> tuple[str, bool]:
    """The foreign key an edge type stands for, and whether its target refers to its source."""
    source, relation, target = kind
    if kind in graph.edges:
        return f"{source}.{relation}", False
    forward = (target, relation.removeprefix("rev_"), source)
    if forward not in graph.edges:
        raise SchemaError(f"edge type {kind} is none of the graph's: {', '.join('/'.join(k) for k in graph.edges)}")
    return f"{target}.{forward[1]}", True


def _way(table: NodeType, path: tuple[Step, ...]) -> str:
    """A way without its keys: ``customer <- orders.customer_id -> product``."""
    parts = [table]
    for step in path:
        column = step.via.rpartition(".")[2]
        parts.append(f"-> {step.table} ({column})" if step.forward else f"<- {step.table} ({column})")
    return " ".join(parts)
