"""Labels that are given, not asked for by SQL: PyG's, NetworkX's, or a fact's such as (x, instance of, city)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from relgraph.data.keys import Key, Keys, key_table
from relgraph.errors import ProtocolError, SchemaError, ShapeError
from relgraph.metrics import ENTITY_METRICS, entity_metrics
from relgraph.tasks.base import Task, one_of
from relgraph.tasks.seeds import Seeds, Split

if TYPE_CHECKING:
    import networkx
    from torch_geometric.data import Data, HeteroData

    from relgraph.data.database import Database
    from relgraph.data.graph import HeteroGraph
    from relgraph.data.statements import Statements

__all__ = ["NodeTask"]

NodeKind = Literal["binary", "multiclass", "regression"]
_SPLITS: tuple[Split, ...] = ("train", "val", "test")


class NodeTask(Task):
    """Predict given labels of the nodes of one type; time plays no part.

    Args:
        entity_table: The node type.
        label: Of every node, ``[num_nodes]``: class numbers from 0 (int64, -1 where there is none), or values (float,
            NaN where there is none). ``None`` makes a task that can predict but not train or evaluate, which is what
            :meth:`to_dict` keeps.
        kind: ``"multiclass"``, ``"binary"`` or ``"regression"``.
        classes: Names of the classes.
        train: Node numbers or a bool mask; without the three, labelled nodes are split by ``fractions``.
        val: The same for validation.
        test: The same for the test.
        fractions: Shares of train, val and test of the labelled nodes; 0.8, 0.1 and 0.1 by default.
        keys: The nodes' own keys, as in :class:`~relgraph.data.graph.NodeStore`; without them a key is the number.
        metric: What training is steered by; the first of the kind's metrics by default.
        seed: Of the split by ``fractions``.

    Raises:
        ProtocolError: If a choice is unknown, splits overlap or hold a node without label, or only some are given.
        ShapeError: If labels or masks have other lengths, or a node number is out of range.
    """

    family: ClassVar[str] = "node"

    def __init__(
        self,
        entity_table: str,
        label: Tensor | None = None,
        *,
        kind: NodeKind = "multiclass",
        classes: Sequence[str] = (),
        train: Tensor | None = None,
        val: Tensor | None = None,
        test: Tensor | None = None,
        fractions: Sequence[float] | None = None,
        keys: Keys | None = None,
        metric: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            entity_table,
            horizon=None,
            val_time=None,
            test_time=None,
            num_eval_times=1,
            regime="static",
            fractions=fractions,
            split_column=None,
            hide=(),
        )
        one_of("kind", kind, get_args(NodeKind))
        self._kind = kind
        self._metric = metric or ENTITY_METRICS[kind][0]
        one_of("metric", self._metric, ENTITY_METRICS[kind])
        self.classes = tuple(map(str, classes))
        self.keys = keys
        self._label = None if label is None else _checked_label(label, kind)
        self._parts: dict[Split, Tensor] = {}
        if self._label is not None:
            self._parts = self._split(self._label, {"train": train, "val": val, "test": test}, seed)

    @classmethod
    def from_data(cls, data: Data | HeteroData, node_type: str | None = None, **options: Any) -> NodeTask:
        """The task that a PyG graph carries: ``y`` and, where they are there, the masks.

        Args:
            data: With ``y``; use ``HeteroGraph.from_data`` or ``from_hetero_data`` for the graph.
            node_type: Of a ``HeteroData``: whose ``y`` is meant, where several have one.
            options: As of the class; masks given here win.

        Raises:
            SchemaError: If there is no ``y``, or several and no ``node_type``.
        """
        from torch_geometric.data import HeteroData

        if isinstance(data, HeteroData):
            having = [name for name in data.node_types if "y" in data[name]]
            if node_type is None and len(having) != 1:
                raise SchemaError(f"y: expected one node type with labels, got {having}; say node_type=")
            name = having[0] if node_type is None else node_type
            if name not in having:
                raise SchemaError(f"node type {name!r} has no y; those that have: {having}")
            store = data[name]
        else:
            name, store = "node", data
            if store.get("y") is None:
                raise SchemaError("the graph has no labels: set data.y")
        label = store.y
        if label.dim() > 1 and label.size(1) == 1:
            label = label[:, 0]
        kind = "regression" if label.is_floating_point() else "multiclass"
        found: dict[str, Any] = {split: store.get(f"{split}_mask") for split in _SPLITS}
        masks = {split: mask for split, mask in found.items() if isinstance(mask, Tensor) and mask.dim() == 1}
        splits = masks if len(masks) == 3 else {}
        settings: dict[str, Any] = {"kind": kind, **splits, **options}
        return cls(name, label, **settings)

    @classmethod
    def from_labels(
        cls, graph: HeteroGraph, node_type: str, labels: Mapping[Any, Hashable], **options: Any
    ) -> NodeTask:
        """A task from labels by key: text, numbers or truth values; a float makes a regression.

        Args:
            graph: Whose nodes they are.
            node_type: Of the nodes.
            labels: The label of each labelled node by its key.
            options: As of the class.

        Raises:
            SchemaError: If a key or the node type is not there.
            ProtocolError: If there are no labels.
        """
        if not labels:
            raise ProtocolError(f"labels of {node_type!r}: expected at least one, got none")
        keys: list[Key] = list(labels)
        number = graph.node_index(node_type, keys)
        values = list(labels.values())
        size, own = graph.nodes[node_type].num_nodes, graph.nodes[node_type].keys
        if any(isinstance(v, float) for v in values):
            label = torch.full((size,), torch.nan, dtype=torch.float64)
            label[number] = torch.tensor([float(v) for v in values], dtype=torch.float64)  # type: ignore[arg-type]
            as_values: dict[str, Any] = {"kind": "regression", "keys": own, **options}
            return cls(node_type, label, **as_values)
        names = sorted(set(values), key=lambda v: (str(type(v)), v))
        place = {value: i for i, value in enumerate(names)}
        label = torch.full((size,), -1, dtype=torch.int64)
        label[number] = torch.tensor([place[v] for v in values])
        settings: dict[str, Any] = {"classes": [str(n) for n in names], "keys": own, **options}
        return cls(node_type, label, **settings)

    @classmethod
    def from_networkx(
        cls, source: networkx.Graph, graph: HeteroGraph, attribute: str, node_type: str = "node", **options: Any
    ) -> NodeTask:
        """A task from a node attribute; nodes that lack it, or have ``None``, have no label.

        Args:
            source: The NetworkX graph.
            graph: ``HeteroGraph.from_networkx(source)``.
            attribute: The name of the attribute.
            node_type: Of the nodes.
            options: As of the class.

        Raises:
            ProtocolError: If no node has the attribute.
        """
        found = [
            (name, attributes[attribute])
            for name, attributes in source.nodes(data=True)
            if attributes.get("node_type", "node") == node_type and attributes.get(attribute) is not None
        ]
        if not found:
            raise ProtocolError(f"no node of type {node_type!r} has an attribute {attribute!r}")
        keys = graph.nodes[node_type].keys if node_type in graph.nodes else None
        whole = keys is not None and len(keys) and isinstance(keys[0], int)
        as_key = (lambda n: n) if whole or isinstance(found[0][0], tuple) else str
        return cls.from_labels(graph, node_type, {as_key(name): value for name, value in found}, **options)

    @classmethod
    def from_statements(
        cls, statements: Statements, relation: str, least: int = 1, **options: Any
    ) -> tuple[HeteroGraph, NodeTask]:
        """A task from facts that say what an entity is, and the graph of all other facts.

        An entity's label is the tail of its first statement with this relation. The statements of the relation leave
        the graph, their reverse with them.

        Args:
            statements: The facts.
            relation: Label of the relation, such as ``"instance of"``.
            least: Classes with fewer entities are left out.
            options: As of the class.

        Returns:
            The graph, with one node type ``entity``, and the task.

        Raises:
            SchemaError: If there is no such relation.
            ProtocolError: If no class has ``least`` entities.
        """
        from relgraph.data.graph import HeteroGraph

        names = statements.vocabulary.relations
        if relation not in names:
            raise SchemaError(f"there is no relation {relation!r}; relations begin with {list(names[:5])}")
        says = statements.relation == names.index(relation)
        head, tail = statements.head[says], statements.tail[says]
        label = torch.full((statements.num_entities,), -1, dtype=torch.int64)
        label[head.flip(0)] = tail.flip(0)  # the first statement of an entity is written last
        kinds, counts = torch.unique(label[label >= 0], return_counts=True)
        kinds = kinds[counts >= least]
        if not kinds.numel():
            raise ProtocolError(f"no class of {relation!r} has {least} entities")
        place = torch.full((statements.num_entities + 1,), -1, dtype=torch.int64)
        place[kinds] = torch.arange(kinds.numel())
        classes = [statements.vocabulary.entities[int(i)] for i in kinds]
        graph = HeteroGraph.from_statements(statements.select(torch.nonzero(~says).squeeze(1)))
        keys = graph.nodes["entity"].keys
        return graph, cls("entity", place[label], **{"classes": classes, "keys": keys, **options})

    def seeds(self, db: Database | None, split: Split) -> Seeds:
        """The labelled nodes of a split, ascending.

        Args:
            db: Not needed.
            split: ``"train"``, ``"val"`` or ``"test"``.

        Raises:
            ProtocolError: If the split is unknown or empty, or the task has no labels.
        """
        one_of("split", split, _SPLITS)
        if self._label is None:
            raise ProtocolError("the task has no labels, which are not saved with a model: give NodeTask its label=")
        node = self._parts[split]
        if not node.numel():
            raise ProtocolError(f"split {split!r} has no labelled node of type {self.entity_table!r}")
        numbers: list[int] = node.tolist()
        rows: list[Key] = list(numbers) if self.keys is None else [self.keys[i] for i in numbers]
        label = self._label[node]
        return Seeds(node, None, label if self.kind == "multiclass" else label.double(), key_table(self.keys, rows))

    def metrics(self, label: Any, prediction: Any) -> dict[str, float]:
        """Every metric of the task's kind; see :func:`relgraph.metrics.entity_metrics`."""
        return entity_metrics(self.kind, label, prediction)

    def to_dict(self) -> dict[str, Any]:
        """The task as plain JSON values, without the labels and the split."""
        return {
            "task": self.family,
            "entity_table": self.entity_table,
            "kind": self.kind,
            "classes": list(self.classes),
            "metric": self.metric,
        }

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split} {part.numel():,}" for split, part in self._parts.items())
        return f"NodeTask({self.entity_table!r}, {self.kind}, {sizes or 'no labels'}, {self.metric})"

    def _split(self, label: Tensor, given: Mapping[Split, Tensor | None], seed: int) -> dict[Split, Tensor]:
        has = ~label.isnan() if label.is_floating_point() else label >= 0
        if all(part is None for part in given.values()):
            node = torch.nonzero(has).squeeze(1)
            order = node[torch.randperm(node.numel(), generator=torch.Generator().manual_seed(seed))]
            first = round(self.fractions[0] * node.numel())
            second = first + round(self.fractions[1] * node.numel())
            pieces = order[:first], order[first:second], order[second:]
            return {split: piece.sort().values for split, piece in zip(_SPLITS, pieces, strict=True)}
        missing = [split for split, part in given.items() if part is None]
        if missing:
            raise ProtocolError(f"expected train, val and test, or none of them; {', '.join(missing)} is missing")
        parts = {split: _numbers(split, part, has.numel()) for split, part in given.items() if part is not None}
        everything = torch.cat(list(parts.values()))
        if torch.unique(everything).numel() < everything.numel():
            raise ProtocolError(
                "train, val and test: expected every node once, got some in two splits, or twice in one"
            )
        for split, part in parts.items():
            if not bool(has[part].all()):
                raise ProtocolError(f"{split}: {int((~has[part]).sum())} of {part.numel()} nodes have no label")
        return {split: part.sort().values for split, part in parts.items()}


def _checked_label(label: Tensor, kind: str) -> Tensor:
    if not isinstance(label, Tensor) or label.dim() != 1:
        shown = list(label.shape) if isinstance(label, Tensor) else type(label).__name__
        raise ShapeError(f"label: expected a tensor [num_nodes], got {shown}")
    if kind == "regression":
        return label.double()
    if label.is_floating_point() or label.dtype == torch.bool:
        if label.dtype != torch.bool and not bool((label == label.round()).all()):
            raise ShapeError(f"label: expected class numbers for kind {kind!r}, got {label.dtype}; kind='regression'?")
        label = label.long()
    label = label.long()
    if kind == "binary" and bool((label > 1).any()):
        raise ProtocolError(f"binary labels must be 0 or 1 (-1 for none), got {int(label.max())}")
    return label.clamp(min=-1)


def _numbers(split: str, part: Tensor, size: int) -> Tensor:
    if part.dtype == torch.bool:
        if part.shape != (size,):
            raise ShapeError(f"{split}: expected a mask [{size}], got {list(part.shape)}")
        return torch.nonzero(part).squeeze(1)
    if part.dim() != 1 or part.is_floating_point():
        raise ShapeError(f"{split}: expected node numbers [n] or a bool mask, got {part.dtype} {list(part.shape)}")
    if part.numel() and (int(part.min()) < 0 or int(part.max()) >= size):
        raise ShapeError(f"{split}: expected numbers in 0..{size - 1}, got {int(part.min())}..{int(part.max())}")
    return part.long()
