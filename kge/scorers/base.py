"""What every scorer gives: queries, candidates, and a score that is their product."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from relgraph.data.statements import Qualifiers, Vocabulary
from relgraph.errors import ProtocolError, SchemaError, ShapeError

__all__ = ["Position", "Scorer", "require_positive", "require_share"]

Position = Literal["tail", "head"]


class Scorer(nn.Module):
    r"""Base of all scorers; the score of a statement is a product of a query and a candidate.

    .. math:: s(h, r, t) = \alpha\, q(h, r) \cdot k(t) + a(h, r) + b(t)

    Only tails are ever asked for: relation ``r + R`` is the inverse of ``r`` (reciprocal relations), and the heads of
    ``(?, r, t)`` are the tails of ``(t, r + R, ?)``. So ``score(h, r, t)`` is the score with the tail asked for.

    A subclass implements :meth:`encode` and :meth:`candidates`, and hands its own keyword arguments to this class, so
    that it can be saved and built again.

    Args:
        num_entities: Entities ``N`` of the vocabulary.
        num_relations: Relations ``R`` of the vocabulary, without inverses.
        arguments: Whatever else the subclass was built with; JSON values.

    Raises:
        ShapeError: If the number of entities or relations is no whole number of at least 1.
    """

    alpha: ClassVar[float] = 1.0

    def __init__(self, num_entities: int, num_relations: int, **arguments: Any) -> None:
        super().__init__()
        require_positive(num_entities=num_entities, num_relations=num_relations)
        self.num_entities = num_entities
        self.num_relations = num_relations
        self.arguments = {"num_entities": num_entities, "num_relations": num_relations, **arguments}

    def extra_repr(self) -> str:
        """The arguments it was built with."""
        return ", ".join(f"{name}={value}" for name, value in self.arguments.items())

    def encode(self, entity: Tensor, relation: Tensor) -> tuple[Tensor, Tensor | None]:
        """Queries for the tails of ``(entity, relation, ?)``.

        Args:
            entity: int64 ``[B]``, the known entity.
            relation: int64 ``[B]`` in ``0..2R-1``; from ``R`` on they are inverses.

        Returns:
            ``[B, K]``, and a bias ``[B]`` or ``None``.
        """
        raise NotImplementedError

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """Every entity as an answer: ``[N, K]``, and a bias ``[N]`` or ``None``."""
        raise NotImplementedError

    def query(
        self,
        head: Tensor | None,
        relation: Tensor,
        tail: Tensor | None = None,
        qualifiers: Qualifiers | None = None,
        position: Position = "tail",
    ) -> tuple[Tensor, Tensor | None]:
        """Queries for the missing entity of each statement.

        Args:
            head: int64 ``[B]``; may be ``None`` where heads are asked for.
            relation: int64 ``[B]`` in ``0..R-1``.
            tail: int64 ``[B]``; may be ``None`` where tails are asked for.
            qualifiers: Qualifiers of the statements. A scorer of triples sees the main triple only and ignores them.
            position: What is asked for, ``"tail"`` or ``"head"``.

        Returns:
            ``[B, K]``, and a bias ``[B]`` or ``None``.

        Raises:
            SchemaError: If an entity or a relation is unknown to the scorer.
            ShapeError: If the known side is missing, or the tensors are no int64 vectors of one length.
            ProtocolError: If ``position`` is neither.
        """
        if position not in ("tail", "head"):
            raise ProtocolError(f"position: expected 'tail' or 'head', got {position!r}")
        entity = head if position == "tail" else tail
        if entity is None:
            known = "head" if position == "tail" else "tail"
            raise ShapeError(f"position={position!r} asks for the {position}, so the {known} must be given; got None")
        self._require_known("entity", entity, self.num_entities)
        self._require_known("relation", relation, self.num_relations)
        if entity.shape != relation.shape:
            raise ShapeError(f"expected as many entities as relations, got {len(entity)} and {len(relation)}")
        return self.encode(entity, relation if position == "tail" else relation + self.num_relations)

    def score(self, head: Tensor, relation: Tensor, tail: Tensor, qualifiers: Qualifiers | None = None) -> Tensor:
        """Scores of statements, ``[B]``; they order statements and are no probabilities.

        Args:
            head: int64 ``[B]``.
            relation: int64 ``[B]`` in ``0..R-1``.
            tail: int64 ``[B]``.
            qualifiers: As in :meth:`query`.

        Raises:
            SchemaError: If an entity or a relation is unknown to the scorer.
            ShapeError: If the tensors are no int64 vectors of one length.
        """
        query, query_bias = self.query(head, relation, tail, qualifiers)
        self._require_known("entity", tail, self.num_entities)
        if tail.shape != relation.shape:
            raise ShapeError(f"expected as many tails as relations, got {len(tail)} and {len(relation)}")
        candidates, candidate_bias = self.candidates()
        score = self.alpha * (query * candidates[tail]).sum(1)
        if query_bias is not None:
            score = score + query_bias
        return score if candidate_bias is None else score + candidate_bias[tail]

    def require_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Check that the scorer was built for as many entities and relations as a vocabulary has.

        Raises:
            SchemaError: If it was not.
        """
        expected = (len(vocabulary.entities), len(vocabulary.relations))
        if (self.num_entities, self.num_relations) != expected:
            raise SchemaError(
                f"{type(self).__name__} was built for {self.num_entities} entities and {self.num_relations} relations, "
                f"but the vocabulary has {expected[0]} and {expected[1]}; build it with "
                "(statements.num_entities, statements.num_relations)"
            )

    def _require_known(self, what: str, number: Tensor, size: int) -> None:
        if number.dtype != torch.int64 or number.dim() != 1:
            raise ShapeError(f"{what}: expected int64 [B], got {number.dtype} {list(number.shape)}")
        if number.numel() and (int(number.min()) < 0 or int(number.max()) >= size):
            raise SchemaError(
                f"{what}: this {type(self).__name__} knows 0..{size - 1}, got {int(number.min())}..{int(number.max())}"
                "; build the scorer with the numbers of entities and relations that the vocabulary has"
            )


def require_positive(**sizes: int) -> None:
    """Check that every size is a whole number of at least 1.

    Raises:
        ShapeError: If one is not.
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ShapeError(f"{name}: expected a whole number of at least 1, got {size!r}")


def require_share(**shares: float) -> None:
    """Check that every share, such as one to drop, is in ``[0, 1)``.

    Raises:
        ShapeError: If one is not.
    """
    for name, share in shares.items():
        if not isinstance(share, int | float) or not 0 <= share < 1:
            raise ShapeError(f"{name}: expected a share in [0, 1), got {share!r}; 0 drops nothing")
