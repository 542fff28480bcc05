"""Tables of vectors that any scorer takes: trained, frozen, pretrained, or computed by something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from relgraph.errors import ProtocolError, ShapeError

if TYPE_CHECKING:
    from relgraph.kge.mapped import MappedEmbeddings
    from relgraph.kge.sharded import ShardedEmbeddings

__all__ = ["Embeddings", "as_embeddings", "has_sparse_tables", "require_positive"]


class Embeddings(nn.Module):
    r"""One vector per entity: the rows of a table, projected where they have another length than is asked for.

    .. math:: e_i = W_i \quad \text{or} \quad e_i = W_i P

    Vectors that come from elsewhere (text, a GNN, another scorer) are given as ``weight``; ``trainable=False`` keeps
    them as they are, and ``dim`` other than their length learns the projection :math:`P` that fits them.

    Args:
        num: Rows ``N``.
        dim: Length of the vectors that come out.
        weight: What the rows are at first, ``[N, d]``, not copied; without it, Xavier normal.
        trainable: Whether the rows are trained; a projection always is.
        width: Length ``d`` of the rows, ``dim`` by default; taken from ``weight`` where that is given.
        seed: Seed of the rows and of the projection.
        sparse: Whether a training step gives gradients to the looked-up rows only, and an optimizer for such gradients
            steps those; for large tables, trained by sampled negatives.

    Raises:
        ShapeError: If a size is no whole number of at least 1, or ``weight`` is no ``[N, d]`` of finite numbers.
    """

    weight: Tensor
    projection: nn.Parameter | None

    def __init__(
        self,
        num: int,
        dim: int,
        *,
        weight: Tensor | None = None,
        trainable: bool = True,
        width: int | None = None,
        seed: int = 0,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        if weight is not None:
            width = _checked_weight(weight, num)
        width = dim if width is None else width
        require_positive(num=num, dim=dim, width=width)
        self.num, self.dim, self.sparse, self.trainable = num, dim, sparse, trainable
        self.arguments: dict[str, Any] = {"dim": dim, "width": width, "trainable": trainable, "sparse": sparse}
        generator = torch.Generator().manual_seed(seed)
        if weight is None:
            weight = nn.init.xavier_normal_(torch.empty(num, width), generator=generator)
        self.weight = nn.Parameter(weight.detach(), requires_grad=trainable)
        self.projection = None
        if width != dim:
            scale = torch.empty(width, dim, dtype=weight.dtype)
            self.projection = nn.Parameter(nn.init.xavier_normal_(scale, generator=generator))

    @staticmethod
    def mapped(path: Path | str, num: int, dim: int, *, seed: int = 0) -> MappedEmbeddings:
        """A table in memory-mapped files, for more rows than memory holds.

        A training step reads and writes the rows it looks up, so it is trained by sampled negatives, with
        ``optimizer="adagrad"`` and a ``checkpoint``: each one flushes the files, and what comes after it is written to
        a journal first. A process that is killed resumes from the checkpoint to the bit. After a crash of the machine
        between checkpoints the table refuses to open. The rows of the last epoch are kept, not those of the best.

        Args:
            path: A folder of its own. A table that is there is opened, else one is created.
            num: Rows ``N``.
            dim: Their length, which is that of the vectors.
            seed: Seed of the Xavier normal rows of a new table.

        Raises:
            ShapeError: If the folder holds a table of another size.
            AdapterError: If the folder cannot be read or written, or cannot be recovered.
        """
        from relgraph.kge.mapped import MappedEmbeddings

        return MappedEmbeddings(num, dim, path=path, seed=seed)

    @staticmethod
    def sharded(path: Path | str, num: int, dim: int, *, shards: int | None = None, seed: int = 0) -> ShardedEmbeddings:
        """A table whose rows are shared among the processes of ``torchrun``, for more rows than one of them can hold.

        Each process keeps its shards in memory-mapped files, and trains them as :meth:`mapped` does, with the same
        promises. Looking up is a matter of all processes at once. Afterwards the folder can be opened by another
        number of processes, at most as many as there are shards, and by one alone. What reads the whole table,
        validation and ranking too, gathers it into the memory of every process.

        Args:
            path: A folder for the shards; on each machine those of its processes.
            num: Rows ``N``.
            dim: Their length, which is that of the vectors.
            shards: How many a new table has; the number of processes by default.
            seed: Seed of the Xavier normal rows of a new table; they also depend on the number of shards.

        Raises:
            ShapeError: If there are fewer shards than processes, or the folder holds a table of another size.
            AdapterError: If the folder cannot be read or written, or cannot be recovered.
        """
        from relgraph.kge.sharded import ShardedEmbeddings

        return ShardedEmbeddings(num, dim, path=path, shards=shards, seed=seed)

    def forward(self, index: Tensor) -> Tensor:
        """The vectors ``index`` (int64 ``[...]``), ``[..., dim]``."""
        rows = F.embedding(index, self.weight, sparse=True) if self.sparse else self.weight[index]
        return rows if self.projection is None else rows @ self.projection

    def table(self) -> Tensor:
        """All vectors, ``[N, dim]``.

        Raises:
            ProtocolError: If gradients of a sparse table are wanted.
        """
        if self.sparse and self.trainable and torch.is_grad_enabled():
            raise ProtocolError(
                "a sparse table has gradients of looked-up rows only, not of the whole; train with loss='sampled' and "
                "a scorer that has candidates_at, or use torch.no_grad()"
            )
        return self.weight if self.projection is None else self.weight @ self.projection

    def extra_repr(self) -> str:
        """Number and lengths."""
        return ", ".join([str(self.num), *(f"{name}={value}" for name, value in self.arguments.items())])


def as_embeddings(
    given: Embeddings | Mapping[str, Any] | None,
    num: int,
    dim: int,
    what: str,
    start: Callable[[Tensor], Tensor],
) -> Embeddings:
    """The embeddings that a scorer is built with.

    Args:
        given: A table that exists, the arguments of one that is loaded later, or ``None`` for a new one.
        num: Rows that the scorer needs.
        dim: Length that the scorer needs.
        what: How the scorer calls them.
        start: Fills the rows of a new table, in place.

    Raises:
        ShapeError: If the table has another size.
    """
    if given is None:
        return Embeddings(num, dim, weight=start(torch.empty(num, dim)))
    if isinstance(given, Embeddings):
        table = given
    elif "shards" in given:
        table = Embeddings.sharded(num=num, **given)
    elif "path" in given:
        table = Embeddings.mapped(num=num, **given)
    else:
        table = Embeddings(num, **given)
    if (table.num, table.dim) != (num, dim):
        raise ShapeError(
            f"{what}: expected {num} vectors of length {dim}, got {table.num} of length {table.dim}; "
            f"Embeddings({num}, {dim}, weight=...) projects rows of another length"
        )
    return table


def has_sparse_tables(module: nn.Module) -> bool:
    """Whether some tables of a scorer have gradients of looked-up rows only."""
    return any(isinstance(part, Embeddings) and part.sparse and part.trainable for part in module.modules())


def require_positive(**sizes: int) -> None:
    """Check that every size is a whole number of at least 1.

    Raises:
        ShapeError: If one is not.
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ShapeError(f"{name}: expected a whole number of at least 1, got {size!r}")


def _checked_weight(weight: Tensor, num: int) -> int:
    if weight.dim() != 2 or not weight.is_floating_point() or weight.shape[0] != num:
        raise ShapeError(f"weight: expected a floating [{num}, d], got {weight.dtype} {list(weight.shape)}")
    if not bool(weight.isfinite().all()):
        row = int((~weight.isfinite()).any(1).nonzero()[0])
        raise ShapeError(f"weight: expected finite numbers, got {weight[row].tolist()[:8]} in row {row}")
    return int(weight.shape[1])
