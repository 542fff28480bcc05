"""The scores that ranking and prediction read: products of factors, or blocks of models that are no product."""

from __future__ import annotations

import torch
from torch import Tensor

from relgraph.data.statements import Qualifiers
from relgraph.errors import ProtocolError, ShapeError
from relgraph.kge.questions import Questions
from relgraph.kge.scorers.base import Scorer
from relgraph.ops.blocks import ScoreMatrix, TiledScores
from relgraph.ops.tiles import Scores

__all__ = ["ScoreBlocks", "ScoreSource"]


class ScoreBlocks(Scorer):
    """Base of models that are no product of a query and a candidate: they give all scores of a batch of questions.

    Ranking, prediction and calibration take them like any scorer, with ``[batch, N]`` numbers in memory; training does
    not. A subclass implements :meth:`scores`.
    """

    def scores(self, questions: Questions) -> Tensor:
        """The score of every entity as the answer of each question, ``[B, N]``."""
        raise NotImplementedError

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """Not to be had.

        Raises:
            ProtocolError: Always.
        """
        raise ProtocolError(f"{type(self).__name__} is no product and has no queries; it can be ranked, not trained")

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """Not to be had.

        Raises:
            ProtocolError: Always.
        """
        raise ProtocolError(f"{type(self).__name__} is no product and has no candidates; it can be ranked, not trained")

    def score(self, head: Tensor, relation: Tensor, tail: Tensor, qualifiers: Qualifiers | None = None) -> Tensor:
        """Scores of statements, see :meth:`Scorer.score`."""
        self._require_known("entity", head, self.num_entities)
        self._require_known("entity", tail, self.num_entities)
        self._require_known("relation", relation, self.num_relations)
        if not head.shape == relation.shape == tail.shape:
            raise ShapeError(f"expected vectors of one length, got {len(head)}, {len(relation)} and {len(tail)}")
        return self.scores(Questions(head, relation, None, qualifiers)).gather(1, tail[:, None])[:, 0]


class ScoreSource:
    """The scores of a scorer in evaluation; what does not depend on the question is computed once.

    Args:
        scorer: Any.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        if isinstance(scorer, ScoreBlocks):
            self.device = next((x.device for x in scorer.parameters()), torch.device("cpu"))
        else:
            self._candidates, self._candidate_bias = scorer.candidates()
            self.device = self._candidates.device

    def __call__(self, questions: Questions) -> TiledScores:
        """The scores of all entities as answers, for tiles to be taken from."""
        questions = questions.to(self.device)
        if isinstance(self._scorer, ScoreBlocks):
            return ScoreMatrix(self._scorer.scores(questions))
        query, query_bias = self._scorer.encode(questions)
        return Scores(query, self._candidates, query_bias, self._candidate_bias, self._scorer.alpha)
