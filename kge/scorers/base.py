"""What every scorer gives: queries, candidates, and a score that is their product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from relgraph.data.statements import Qualifiers, Statements, Vocabulary
from relgraph.errors import ProtocolError, SchemaError, ShapeError
from relgraph.kge.embeddings import Embeddings, require_positive
from relgraph.kge.questions import MISSING, POSITIONS, Position, Questions
from relgraph.kge.row_kinds import RowKind, row_kinds
from relgraph.ops.tiles import Csr

__all__ = ["Scorer", "Term", "require_share"]


class Term(NamedTuple):
    """A part of the training loss: queries, what they should find, and how much it counts."""

    query: Tensor  # [B, K]
    query_bias: Tensor | None  # [B]
    answers: Csr
    weight: float = 1.0


class Scorer(nn.Module):
    r"""Base of all scorers; the score of a statement is a product of a query and a candidate.

    .. math:: s(h, r, t) = \alpha\, q(h, r) \cdot k(t) + a(h, r) + b(t)

    Heads are never asked for: relation ``r + R`` is the inverse of ``r`` (reciprocal relations), and the heads of
    ``(?, r, t)`` are the tails of ``(t, r + R, ?)``. So ``score(h, r, t)`` is the score with the tail asked for.

    A subclass implements :meth:`encode` and :meth:`candidates`, and hands its own keyword arguments to this class, so
    that it can be saved and built again.

    Args:
        num_entities: Entities ``N`` of the vocabulary.
        num_relations: Relations ``R`` of the vocabulary, without inverses.
        arguments: Whatever else the subclass was built with: JSON values, and :class:`~relgraph.kge.Embeddings`.

    Raises:
        ShapeError: If the number of entities or relations is no whole number of at least 1.
    """

    entity: Embeddings
    alpha: ClassVar[float] = 1.0
    reads_qualifiers: ClassVar[bool] = False
    """Whether qualifiers change the score; a scorer that does not read them cannot be asked for their values."""
    has_frozen_rows: bool = False
    """Whether :func:`relgraph.kge.extend` has frozen a part of it."""

    def __init__(self, num_entities: int, num_relations: int, **arguments: Any) -> None:
        super().__init__()
        require_positive(num_entities=num_entities, num_relations=num_relations)
        self.num_entities = num_entities
        self.num_relations = num_relations
        plain = {name: x.arguments if isinstance(x, Embeddings) else x for name, x in arguments.items()}
        self.arguments = {"num_entities": num_entities, "num_relations": num_relations, **plain}

    def extra_repr(self) -> str:
        """The arguments it was built with."""
        return ", ".join(f"{name}={value}" for name, value in self.arguments.items())

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """Queries for what is missing in each statement.

        Args:
            questions: Numbers that the scorer knows, on its device.

        Returns:
            ``[B, K]``, and a bias ``[B]`` or ``None``.
        """
        raise NotImplementedError

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """Every entity as an answer: ``[N, K]``, and a bias ``[N]`` or ``None``."""
        raise NotImplementedError

    def candidates_at(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Some entities as answers, what ``candidates()`` gives at their rows.

        A scorer that looks up only those rows can be trained with tables that are too large to be used whole.

        Args:
            index: int64 ``[n]``.

        Returns:
            ``[n, K]``, and a bias ``[n]`` or ``None``.
        """
        candidates, bias = self.candidates()
        return candidates[index], None if bias is None else bias[index]

    def training_terms(self, questions: Questions, answers: Csr) -> list[Term]:
        """What a training step compares with the candidates; one term, the questions themselves, by default."""
        return [Term(*self.encode(questions), answers)]

    def factors(self, questions: Questions, answer: Tensor) -> tuple[Tensor, ...]:
        r"""What N3 (Lacroix et al. 2018, arXiv 1806.07297, equation 7) sums the cubed absolute values of.

        By default the rows of the entity, of the relation if the scorer keeps such rows, and of the answer. A scorer in
        complex numbers gives moduli.

        Args:
            questions: ``B`` questions, as in :meth:`encode`.
            answer: The missing entity of each, int64 ``[B]``.

        Returns:
            Real tensors ``[B, ...]``.
        """
        entity, relation = self.entity, getattr(self, "relation", None)
        left, right = entity(questions.entity), entity(answer)
        return (left, right) if relation is None else (left, relation[questions.relation], right)

    def resized(self, num_entities: int, num_relations: int) -> Scorer:
        """A new scorer, built alike for other numbers of entities and relations."""
        arguments: dict[str, Any] = {**self.arguments, "num_entities": num_entities, "num_relations": num_relations}
        return type(self)(**arguments)

    def row_kinds(self) -> dict[str, RowKind]:
        """Which of its parameters and buffers have rows of entities or relations, by their names in ``state_dict``.

        Found by building small ones with other numbers and looking which tables grow. Rows that do not grow are taken
        to stand at the end of their table; a scorer where that is wrong says here what is right, and in
        :meth:`resized` how another one is built.
        """
        return row_kinds(self)

    def learn_from(self, train: Statements) -> None:
        """Told by :func:`relgraph.kge.fit` what it is trained on; for scorers that look facts up.

        A scorer that does so leaves the statement that is asked about out of what it looks up.
        """

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
                Where the value of a qualifier is asked for, it is -1, once in each statement.
            position: What is asked for: ``"tail"``, ``"head"`` or ``"qualifier"``.

        Returns:
            ``[B, K]``, and a bias ``[B]`` or ``None``.

        Raises:
            SchemaError: If an entity or a relation is unknown to the scorer.
            ShapeError: If the known side is missing, or the tensors are no int64 vectors of one length.
            ProtocolError: If there is no such position, or the scorer cannot be asked for it.
        """
        self.require_positions([position])
        left, right = (tail, head) if position == "head" else (head, tail)
        if left is None or (right is None and position == "qualifier"):
            known = "tail" if position == "head" or left is not None else "head"
            raise ShapeError(f"position={position!r} asks for the {position}, so the {known} must be given; got None")
        right = right if position == "qualifier" else None
        self._require_known("relation", relation, self.num_relations)
        for entity in (left, right):
            if entity is None:
                continue
            self._require_known("entity", entity, self.num_entities)
            if entity.shape != relation.shape:
                raise ShapeError(f"expected as many entities as relations, got {len(entity)} and {len(relation)}")
        self._require_pairs(qualifiers, len(relation), position)
        asked = relation + self.num_relations if position == "head" else relation
        return self.encode(Questions(left, asked, right, qualifiers))

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
        query, query_bias = self.query(head, relation, None, qualifiers)
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

    def require_positions(self, positions: Sequence[Position]) -> None:
        """Check that the scorer can be asked for some positions.

        Raises:
            ProtocolError: If there are none or one twice, there is no such position, or it is the value of a qualifier
                and the scorer does not read qualifiers.
        """
        if not positions or len(set(positions)) != len(positions) or not set(positions) <= set(POSITIONS):
            raise ProtocolError(
                f"positions: expected some of {', '.join(map(repr, POSITIONS))}, each once, got {tuple(positions)}"
            )
        if "qualifier" in positions and not self.reads_qualifiers:
            raise ProtocolError(
                f"{type(self).__name__} sees the main triple only and cannot be asked for the value of a qualifier; "
                "a hyper-relational scorer can"
            )

    def _require_pairs(self, qualifiers: Qualifiers | None, num_questions: int, position: Position) -> None:
        if qualifiers is None:
            if position == "qualifier":
                raise ShapeError(
                    "position='qualifier' asks for a qualifier's value, so qualifiers must be given; got None"
                )
            return
        if len(qualifiers) != num_questions:
            raise ShapeError(f"qualifiers: expected those of {num_questions} statements, got {len(qualifiers)}")
        missing = qualifiers.entity == MISSING
        self._require_known("entity", qualifiers.entity[~missing], self.num_entities)
        self._require_known("relation", qualifiers.relation, self.num_relations)
        asked = torch.bincount(qualifiers.statement[missing], minlength=num_questions)
        wanted = 1 if position == "qualifier" else 0
        if bool((asked != wanted).any()):
            row = int((asked != wanted).nonzero()[0])
            raise ShapeError(
                f"qualifiers: position={position!r} takes {wanted} values of -1 in each statement, got "
                f"{int(asked[row])} in statement {row}"
            )

    def _require_known(self, what: str, number: Tensor, size: int) -> None:
        if number.dtype != torch.int64 or number.dim() != 1:
            raise ShapeError(f"{what}: expected int64 [B], got {number.dtype} {list(number.shape)}")
        if number.numel() and (int(number.min()) < 0 or int(number.max()) >= size):
            raise SchemaError(
                f"{what}: this {type(self).__name__} knows 0..{size - 1}, got {int(number.min())}..{int(number.max())}"
                "; build the scorer with the numbers of entities and relations that the vocabulary has"
            )


def require_share(**shares: float) -> None:
    """Check that every share, such as one to drop, is in ``[0, 1)``.

    Raises:
        ShapeError: If one is not.
    """
    for name, share in shares.items():
        if not isinstance(share, int | float) or not 0 <= share < 1:
            raise ShapeError(f"{name}: expected a share in [0, 1), got {share!r}; 0 drops nothing")
