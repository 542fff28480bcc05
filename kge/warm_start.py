"""Warm start: new entities and relations join a trained scorer without losing the old ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn

from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import ProtocolError, SchemaError
from relgraph.kge.facts import Facts
from relgraph.kge.file_table import file_tables
from relgraph.kge.row_kinds import RowKind
from relgraph.kge.scorers.base import Scorer

__all__ = ["extend"]


def extend(
    scorer: Scorer,
    old: Vocabulary,
    new: Vocabulary | Statements,
    *,
    init: Literal["random", "mean"] = "random",
    freeze: bool = False,
) -> Scorer:
    """A scorer for a larger vocabulary that scores what the old one knew as the old one did.

    The rows of old entities and relations keep their values to the bit, by label, whatever their numbers are; all that
    has no rows (weights, batch norms) is copied. So before further training, old questions rank old entities in the
    old order. Afterwards train it on old and new statements together: on new ones alone it forgets.

    Args:
        scorer: A trained one; it stays as it is.
        old: What its numbers mean.
        new: What they are to mean, or statements that speak of it; every label of ``old`` is in it.
        init: New entities start as the scorer initialises its rows, or, with statements, as the ``"mean"`` of the old
            entities they share one with (and as usual if they share none). New relations start as usual.
        freeze: Whether training leaves all that is old as it is and moves the new rows only: also after training, old
            questions then rank old entities in the old order. It holds for the returned object, not for what is saved
            of it, and needs an optimizer without weight decay.

    Returns:
        A new scorer on the same device and in the same mode.

    Raises:
        SchemaError: If the scorer does not fit ``old``, or ``new`` lacks a label of it.
        ProtocolError: If ``init`` is none of those, or ``"mean"`` without statements, a table is on disk, or ``freeze``
            is asked of a scorer that reads facts.
    """
    scorer.require_vocabulary(old)
    if file_tables(scorer):
        raise ProtocolError("a table on disk does not grow; build a scorer on a new one and copy its rows")
    statements = new if isinstance(new, Statements) else None
    vocabulary = new.vocabulary if isinstance(new, Statements) else new
    if init not in ("random", "mean"):
        raise ProtocolError(f"init: expected 'random' or 'mean', got {init!r}")
    if init == "mean" and statements is None:
        raise ProtocolError("init='mean' needs the neighbours of new entities: give statements, not their vocabulary")
    entity = _places(old.entities, vocabulary.entities, "entities")
    relation = _places(old.relations, vocabulary.relations, "relations")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        larger = scorer.resized(len(vocabulary.entities), len(vocabulary.relations))
    kinds = scorer.row_kinds()
    held = {name: module for name, module in scorer.named_modules() if isinstance(module, Facts)}
    if freeze and held:
        raise ProtocolError(
            f"freeze: a {type(scorer).__name__} reads facts, so new ones change what it says of old entities, whatever "
            "their rows; leave freeze= out"
        )
    state = larger.state_dict()
    old_rows: dict[str, Tensor] = {}
    for name, value in scorer.state_dict().items():
        if any(name.startswith(f"{part}.") for part in held):
            continue
        kind = kinds.get(name)
        if kind is None:
            state[name].copy_(value)
            continue
        rows = _rows(kind, entity, relation, len(vocabulary.relations), len(value), len(state[name]))
        state[name][rows] = value.to(state[name].device)
        old_rows[name] = rows
        if kind == "entity" and statements is not None and init == "mean" and value.is_floating_point():
            _mean_of_neighbours(state[name], statements, entity)
    larger.to(next(iter(scorer.state_dict().values())).device).train(scorer.training)
    for name, module in held.items():
        cast("Facts", larger.get_submodule(name)).take_over(module, entity, relation)
    if freeze:
        _freeze(larger, old_rows)
    return larger


def _places(old: Sequence[str], new: Sequence[str], what: str) -> Tensor:
    """Where the old labels stand among the new ones, int64."""
    place = {label: number for number, label in enumerate(new)}
    missing = [label for label in old if label not in place]
    if missing:
        raise SchemaError(
            f"new: expected all {len(old)} old {what}, {len(missing)} are missing, such as {missing[0]!r}; "
            "a vocabulary of old and new statements together has them"
        )
    return torch.tensor([place[label] for label in old], dtype=torch.int64)


def _rows(kind: RowKind, entity: Tensor, relation: Tensor, num_relations: int, before: int, after: int) -> Tensor:
    """Where the ``before`` rows of an old table go in one of ``after`` rows."""
    if kind == "entity":
        rows = entity
    elif kind == "relation":
        rows = relation
    else:
        rows = torch.cat([relation, relation + num_relations])
    rest = before - len(rows)  # rows of neither, at the end
    return torch.cat([rows, torch.arange(after - rest, after)])


def _mean_of_neighbours(table: Tensor, statements: Statements, old: Tensor) -> None:
    """Set each new row to the mean of the old rows that a statement connects it with, where there are any."""
    is_old = torch.zeros(len(table), dtype=torch.bool)
    is_old[old] = True
    start = torch.cat([statements.head, statements.tail])
    end = torch.cat([statements.tail, statements.head])
    joined = is_old[start] & ~is_old[end]
    start, end = start[joined], end[joined]
    count = torch.bincount(end, minlength=len(table))
    total = torch.zeros_like(table).index_add_(0, end, table[start])
    found = count > 0
    table[found] = total[found] / count[found].to(table.dtype).view(-1, *[1] * (table.dim() - 1))


def _freeze(scorer: Scorer, old_rows: Mapping[str, Tensor]) -> None:
    for name, parameter in scorer.named_parameters():
        rows = old_rows.get(name)
        if rows is None or len(rows) == len(parameter):
            parameter.requires_grad_(False)
        elif parameter.requires_grad:
            kept = torch.zeros(len(parameter), dtype=torch.bool)
            kept[rows] = True
            parameter.register_hook(partial(_without_rows, kept))  # type: ignore[no-untyped-call]
    for module in scorer.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.0  # the running statistics stay
    scorer.has_frozen_rows = True


def _without_rows(kept: Tensor, gradient: Tensor) -> Tensor:
    """A gradient with zeros in the rows that are to stay, a sparse one without them."""
    kept = kept.to(gradient.device)
    if not gradient.is_sparse:
        return gradient.masked_fill(kept.view(-1, *[1] * (gradient.dim() - 1)), 0.0)
    index, values = gradient._indices(), gradient._values()
    moving = ~kept[index[0]]
    return torch.sparse_coo_tensor(index[:, moving], values[moving], gradient.shape, check_invariants=False)
