"""The tables of a scorer that lie in files: a training steps, checkpoints and restores them beside its parameters."""

from __future__ import annotations

from torch import nn

from relgraph.kge.mapped import MappedEmbeddings
from relgraph.kge.sharded import ShardedEmbeddings

__all__ = ["FileTable", "file_tables"]

FileTable = MappedEmbeddings | ShardedEmbeddings


def file_tables(module: nn.Module) -> dict[str, FileTable]:
    """The tables in files of a scorer, by name."""
    return {name: part for name, part in module.named_modules() if isinstance(part, FileTable)}
