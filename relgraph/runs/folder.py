"""The folder of a run on disk: what was trained, on what, and how; enough to predict without the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from relgraph.errors import AdapterError

if TYPE_CHECKING:
    from torch import Tensor

    from relgraph.data.statements import Statements
    from relgraph.tasks import LinkSeeds, Seeds

__all__ = ["KIND", "SEEDS", "STATEMENTS", "RunFolder", "read_run", "write_run"]

KIND = "run"
STATEMENTS = ("head", "relation", "tail", "time")
SEEDS = ("node", "time", "label", "ptr", "target")  # those of rows have a label, those of links targets


@dataclass(frozen=True)
class RunFolder:
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
        for column in STATEMENTS if kind == "links" else SEEDS:
            value = getattr(part, column, None)
            if value is not None:
                tensors[f"{name}.{column}"] = value
        qualifiers = getattr(part, "qualifiers", None)
        if qualifiers is not None:
            tensors |= {f"{name}.qualifiers.{c}": getattr(qualifiers, c) for c in ("ptr", "relation", "entity")}
    content = {**meta, "kind": kind, "splits": list(parts), "relgraph": __version__}
    write_folder(path, KIND, content, tensors)


def read_run(path: Path) -> RunFolder:
    """Read what :func:`write_run` wrote.

    Raises:
        AdapterError: If the folder holds no finished run.
    """
    from relgraph.data.folder import read_folder

    if (path / "checkpoint").is_dir() and not (path / f"{KIND}.json").exists():
        raise AdapterError(f"the training in {path} is not finished; run the same relgraph train command again")
    meta, tensors = read_folder(path, KIND)
    whole = isinstance(meta, dict) and meta.get("kind") in ("links", "rows") and isinstance(meta.get("splits"), list)
    if not whole or (meta["kind"] == "rows" and "task" not in meta):
        raise AdapterError(f"{path} is damaged: {KIND}.json lacks its kind, splits or task; train it again")
    return RunFolder(path, meta["kind"], meta, tensors)
