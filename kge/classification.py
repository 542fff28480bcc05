"""Is a statement true? Thresholds and probabilities fitted on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from relgraph.data.folder import read_folder, write_folder
from relgraph.data.statements import Statements
from relgraph.errors import AdapterError, ProtocolError, SchemaError
from relgraph.kge.corruption import corrupt
from relgraph.kge.known import require_shared_vocabulary
from relgraph.kge.questions import Questions
from relgraph.kge.scorers.base import Scorer
from relgraph.ops.tiles import spans

__all__ = ["Calibrator", "calibrate", "classify", "score_statements"]

_BATCH = 4096
_KIND = "calibrator"
_LEAST = 10
"""Validation statements that a relation needs for a threshold of its own."""


@dataclass(frozen=True, eq=False)
class Calibrator:
    """Probabilities and thresholds for the scores of one scorer; made by :func:`calibrate`.

    A probability holds for statements drawn as in fitting: ``negatives`` false ones beside each true one. With another
    share of true statements ``p`` the odds change by ``p / (1 - p) * negatives``.

    Args:
        method: ``"platt"`` or ``"isotonic"``.
        points: Two numbers, slope and intercept, of the logistic curve; or scores ``[n]`` and probabilities ``[n]`` of
            the steps between which isotonic regression is linear, as float64 ``[2, n]``.
        threshold: The score from which a statement of each relation counts as true, float64 ``[R]``.
        negatives: False statements beside each true one in fitting.
    """

    method: Literal["platt", "isotonic"]
    points: Tensor
    threshold: Tensor
    negatives: int

    def __repr__(self) -> str:
        return f"Calibrator({self.method}, {len(self.threshold):,} thresholds, {self.negatives} negatives a statement)"

    def probability(self, scorer: Scorer, statements: Statements) -> Tensor:
        """The probability that each statement is true, float64 ``[S]``.

        Raises:
            SchemaError: If scorer, statements and calibrator do not fit.
        """
        return self.of_scores(self._scores(scorer, statements))

    def of_scores(self, score: Tensor) -> Tensor:
        """Probabilities of scores, float64 of the same shape."""
        score = score.double()
        if self.method == "platt":
            return torch.sigmoid(self.points[0] * score + self.points[1])
        return torch.from_numpy(np.interp(score.numpy(), self.points[0].numpy(), self.points[1].numpy()))

    def is_true(self, scorer: Scorer, statements: Statements) -> Tensor:
        """Whether each statement reaches the threshold of its relation, bool ``[S]``.

        Raises:
            SchemaError: If scorer, statements and calibrator do not fit.
        """
        return self._scores(scorer, statements) >= self.threshold[statements.relation]

    def save(self, path: str | Path) -> Path:
        """Write it to a folder, that of the scorer for example, as safetensors and JSON.

        Raises:
            AdapterError: If the folder cannot be written.
        """
        meta = {"method": self.method, "negatives": self.negatives}
        return write_folder(path, _KIND, meta, {"points": self.points, "threshold": self.threshold})

    @classmethod
    def load(cls, path: str | Path) -> Calibrator:
        """Read what :meth:`save` wrote.

        Raises:
            AdapterError: If the folder is missing, damaged, or holds no calibrator.
        """
        meta, tensors = read_folder(path, _KIND)
        try:
            return cls(meta["method"], tensors["points"], tensors["threshold"], meta["negatives"])
        except (KeyError, TypeError) as error:
            raise AdapterError(f"{path} is damaged: calibrator.json lacks {error}; save the calibrator again") from None

    def require_fit(self, scorer: Scorer) -> None:
        """Check that a scorer has as many relations as there are thresholds.

        Raises:
            SchemaError: If it has not.
        """
        if len(self.threshold) != scorer.num_relations:
            raise SchemaError(
                f"the calibrator is of a scorer with {len(self.threshold)} relations, got one with "
                f"{scorer.num_relations}; calibrate this one"
            )

    def _scores(self, scorer: Scorer, statements: Statements) -> Tensor:
        self.require_fit(scorer)
        return score_statements(scorer, statements)


def calibrate(
    scorer: Scorer,
    valid: Statements,
    *,
    known: Sequence[Statements] = (),
    method: Literal["platt", "isotonic"] = "platt",
    negatives: int = 1,
    seed: int = 0,
) -> Calibrator:
    """Fit probabilities and a threshold per relation on validation statements and false neighbours of them.

    ``"platt"`` is a logistic curve (Platt 1999), ``"isotonic"`` any rising one (Zadrozny and Elkan 2002), both from
    scikit-learn. The threshold of a relation is the score with the best accuracy on its own positives and negatives; a
    relation with fewer than 10 statements gets that of all relations.

    Args:
        scorer: Trained on other statements than ``valid``.
        valid: True statements.
        known: What no negative may repeat, such as ``[train, valid]``.
        method: The kind of curve.
        negatives: False statements beside each true one, see :func:`relgraph.kge.corruption.corrupt`.
        seed: Of the negatives.

    Raises:
        ProtocolError: If there is nothing to fit on, no such method, or a score is NaN.
        SchemaError: If the vocabularies differ.
    """
    if method not in ("platt", "isotonic"):
        raise ProtocolError(f"method: expected 'platt' or 'isotonic', got {method!r}")
    relation, score, label = _labelled(scorer, valid, known, negatives, seed)
    threshold = torch.full((valid.num_relations,), _best_threshold(score, label), dtype=torch.float64)
    for number in torch.unique(relation).tolist():
        rows = relation == number
        if int((rows & label).sum()) >= _LEAST:
            threshold[number] = _best_threshold(score[rows], label[rows])
    return Calibrator(method, _fitted(method, score, label), threshold, negatives)


def classify(
    scorer: Scorer,
    calibrator: Calibrator,
    test: Statements,
    *,
    known: Sequence[Statements] = (),
    negatives: int = 1,
    seed: int = 1,
) -> dict[str, float]:
    """Triple classification: are test statements told from false neighbours of them?

    Args:
        scorer: Trained.
        calibrator: Fitted on validation.
        test: True statements that neither has seen.
        known: What no negative may repeat, such as ``[train, valid, test]``.
        negatives: False statements beside each true one.
        seed: Of the negatives.

    Returns:
        ``accuracy`` and ``f1`` by the thresholds, ``auroc`` of the scores, and of the probabilities ``brier`` (the mean
        squared error) and ``log_loss``.

    Raises:
        ProtocolError: If there is nothing to classify, or a score is NaN.
        SchemaError: If the vocabularies differ.
    """
    from sklearn import metrics

    calibrator.require_fit(scorer)
    relation, score, label = _labelled(scorer, test, known, negatives, seed)
    chosen = (score >= calibrator.threshold[relation]).numpy()
    truth, probability = label.numpy(), calibrator.of_scores(score).numpy()
    return {
        "accuracy": float(metrics.accuracy_score(truth, chosen)),
        "f1": float(metrics.f1_score(truth, chosen, zero_division=0.0)),
        "auroc": float(metrics.roc_auc_score(truth, score.numpy())),
        "brier": float(metrics.brier_score_loss(truth, probability)),
        "log_loss": float(metrics.log_loss(truth, probability)),
    }


@torch.no_grad()
def score_statements(scorer: Scorer, statements: Statements) -> Tensor:
    """The scores of statements, with the tail asked for, float64 ``[S]`` on the CPU; the scorer is in evaluation.

    Raises:
        SchemaError: If the scorer was built for another vocabulary.
        ProtocolError: If a score is NaN.
    """
    scorer.require_vocabulary(statements.vocabulary)
    device = next((x.device for x in scorer.parameters()), torch.device("cpu"))
    training = scorer.training
    scorer.eval()
    try:
        parts = [torch.empty(0, dtype=torch.float64)]
        for span in spans(len(statements), _BATCH):
            part = statements.select(torch.arange(span.start, span.stop))
            asked = Questions(part.head, part.relation, part.tail, part.qualifiers).to(device)
            score = scorer.score(asked.entity, asked.relation, part.tail.to(device), asked.qualifiers)
            parts.append(score.double().cpu())
    finally:
        scorer.train(training)
    score = torch.cat(parts)
    if bool(score.isnan().any()):
        raise ProtocolError("expected numbers as scores, got NaN; look for a training that diverged")
    return score


def _labelled(
    scorer: Scorer, statements: Statements, known: Sequence[Statements], negatives: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Relations, scores and truth of statements and their negatives."""
    if not len(statements):
        raise ProtocolError("expected true statements, got none")
    require_shared_vocabulary(statements.vocabulary, known, "known")
    false, _ = corrupt(statements, known, negatives=negatives, seed=seed)
    score = torch.cat([score_statements(scorer, statements), score_statements(scorer, false)])
    label = torch.arange(len(score)) < len(statements)
    return torch.cat([statements.relation, false.relation]), score, label


def _best_threshold(score: Tensor, label: Tensor) -> float:
    """The score from which on "true" is most often right; in the middle between two scores."""
    value, inverse = torch.unique(score, return_inverse=True)
    gain = torch.zeros(len(value), dtype=torch.int64).index_add_(0, inverse, torch.where(label, 1, -1))
    # right answers if all from value i on are true, less those if none is
    right = gain.flip(0).cumsum(0).flip(0)
    best = int(right.argmax())
    return float(value[best]) if best == 0 else float((value[best - 1] + value[best]) / 2)


def _fitted(method: str, score: Tensor, label: Tensor) -> Tensor:
    truth: Any = label.numpy().astype(int)
    if method == "platt":
        from sklearn.linear_model import LogisticRegression

        scale = max(float(score.std()), 1e-12)  # the solver stops too early on very large or small numbers
        found = LogisticRegression(C=1e6, max_iter=1000).fit((score / scale).numpy()[:, None], truth)
        return torch.tensor([float(found.coef_[0, 0]) / scale, float(found.intercept_[0])], dtype=torch.float64)
    from sklearn.isotonic import IsotonicRegression

    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(score.numpy(), truth)
    return torch.from_numpy(np.stack([curve.X_thresholds_, curve.y_thresholds_]))
