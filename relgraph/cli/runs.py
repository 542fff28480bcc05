"""The folder of a run: what was trained, on what, and how; enough to evaluate and predict without the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from relgraph.errors import AdapterError, ProtocolError

if TYPE_CHECKING:
    from torch import Tensor

    from relgraph.data.graph import HeteroGraph
    from relgraph.data.statements import Statements, Vocabulary
    from relgraph.tasks import LinkSeeds, Seeds

__all__ = ["Run", "read_run", "read_seeds", "read_statement_parts", "write_run"]

_KIND = "run"
_PARTS = ("head", "relation", "tail", "time")
_SEEDS = ("node", "time", "label", "ptr", "target")  # those of rows have a label, those of links targets


@dataclass(frozen=True)
class Run:
    """A finished training.

    Args:
        path: Its folder; ``model`` in it is what was trained, ``graph`` the graph of a row predictor.
        kind: ``"links"`` or ``"rows"``.
        meta: Source, arguments, metrics.
        tensors: The statements of each split, or the seeds.
    """

    path: Path
    kind: Literal["links", "rows"]
    meta: dict[str, Any]
    tensors: dict[str, Tensor]


def write_run(
    path: Path,
    kind: Literal["links", "rows"],
    meta: Mapping[str, Any],
    parts: Mapping[str, Statements] | Mapping[str, Seeds | LinkSeeds],
) -> None:
    """Write the run beside the model that is already there."""
    from relgraph import __version__
    from relgraph.data.folder import write_folder

    tensors: dict[str, Tensor] = {}
    for name, part in parts.items():
        for column in _PARTS if kind == "links" else _SEEDS:
            value = getattr(part, column, None)
            if value is not None:
                tensors[f"{name}.{column}"] = value
        qualifiers = getattr(part, "qualifiers", None)
        if qualifiers is not None:
            tensors |= {f"{name}.qualifiers.{c}": getattr(qualifiers, c) for c in ("ptr", "relation", "entity")}
    content = {**meta, "kind": kind, "splits": list(parts), "relgraph": __version__}
    write_folder(path, _KIND, content, tensors)


def read_run(path: Path) -> Run:
    """Read what :func:`write_run` wrote.

    Raises:
        AdapterError: If the folder holds no finished run.
    """
    from relgraph.data.folder import read_folder

    if (path / "checkpoint").is_dir() and not (path / f"{_KIND}.json").exists():
        raise AdapterError(f"the training in {path} is not finished; run the same relgraph train command again")
    meta, tensors = read_folder(path, _KIND)
    whole = isinstance(meta, dict) and meta.get("kind") in ("links", "rows") and isinstance(meta.get("splits"), list)
    if not whole or (meta["kind"] == "rows" and "task" not in meta):
        raise AdapterError(f"{path} is damaged: {_KIND}.json lacks its kind, splits or task; train it again")
    return Run(path, meta["kind"], meta, tensors)


def read_statement_parts(run: Run, vocabulary: Vocabulary) -> dict[str, Statements]:
    """The statements of each split of a run on links."""
    from relgraph.data.statements import Qualifiers, Statements

    found = {}
    for name in run.meta["splits"]:
        columns = {column: run.tensors.get(f"{name}.{column}") for column in _PARTS}
        qualifiers = None
        if f"{name}.qualifiers.ptr" in run.tensors:
            pairs = (run.tensors[f"{name}.qualifiers.{column}"] for column in ("ptr", "relation", "entity"))
            qualifiers = Qualifiers(*pairs)
        found[name] = Statements(vocabulary=vocabulary, qualifiers=qualifiers, **columns)  # type: ignore[arg-type]
    return found


def read_seeds(run: Run, split: str, graph: HeteroGraph) -> Seeds | LinkSeeds:
    """The seeds of a split of a run on rows.

    Raises:
        ProtocolError: If the run has no such split.
    """
    from relgraph.data.keys import key_table
    from relgraph.tasks import LinkSeeds, Seeds

    if split not in run.meta["splits"]:
        raise ProtocolError(f"{run.path} has no split {split!r}; it has {', '.join(run.meta['splits']) or 'none'}")
    part = {name: run.tensors[f"{split}.{name}"] for name in _SEEDS if f"{split}.{name}" in run.tensors}
    table = run.meta["task"]["entity_table"]
    keys = key_table(graph.nodes[table].keys, graph.node_keys(table, part["node"]))
    if "ptr" in part:
        return LinkSeeds(part["node"], part.get("time"), part["ptr"], part["target"], keys)
    return Seeds(part["node"], part.get("time"), part["label"], keys)
