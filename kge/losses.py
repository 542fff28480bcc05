"""What a scorer can be trained by, with every choice that published recipes make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from relgraph.errors import ProtocolError
from relgraph.kge.scorers.base import Scorer, Term
from relgraph.ops import one_to_n_loss, sampled_loss, softmax_loss
from relgraph.ops.tiled_loss import Smoothing
from relgraph.ops.tiles import Csr, csr_rows

if TYPE_CHECKING:
    from relgraph.kge.batches import Batch

__all__ = ["BCE", "CE", "Answers", "Loss", "Sampled", "as_loss", "described", "known_among", "with_choices"]

Answers = Literal["all", "one"]
"""What a row of a batch is: a distinct question with all its answers, or a question with one of them."""


@dataclass(frozen=True)
class BCE:
    """Binary cross-entropy on every candidate; see :func:`relgraph.ops.one_to_n_loss`.

    The published LowFER is ``BCE(0.1)``, NFE is ``BCE(answers="one", reduction="batchmean")``, which
    :func:`relgraph.kge.fit` also knows as ``"1-vs-all"``.

    Args:
        label_smoothing: Share in ``[0, 1)``.
        smoothing: ``"1/N"`` (ConvE, TuckER, LowFER) or ``"eps/N"`` (the textbook), what is added to every target.
        reduction: ``"mean"`` over questions and candidates, or ``"batchmean"``, summed over the candidates.
        answers: ``"all"`` answers of a distinct question are positives at once, or ``"one"`` of them.
    """

    label_smoothing: float = 0.0
    smoothing: Smoothing = "1/N"
    reduction: Literal["mean", "batchmean"] = "mean"
    answers: Answers = "all"

    def __post_init__(self) -> None:
        _require_share(self.label_smoothing)
        _require_one_of("smoothing", self.smoothing, Smoothing)
        _require_one_of("reduction", self.reduction, Literal["mean", "batchmean"])
        _require_one_of("answers", self.answers, Answers)

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """The loss of a batch, summed over the scorer's terms."""
        candidates, candidate_bias = scorer.candidates()
        total = candidates.new_zeros(())
        for term in scorer.training_terms(batch.questions, batch.answers):
            query, query_bias = _in_dtype(term, candidates.dtype)
            total = total + term.weight * one_to_n_loss(
                query,
                candidates,
                term.answers,
                query_bias=query_bias,
                candidate_bias=candidate_bias,
                alpha=scorer.alpha,
                label_smoothing=self.label_smoothing,
                smoothing=self.smoothing,
                reduction=self.reduction,
            )
        return total


@dataclass(frozen=True)
class CE:
    r"""Cross-entropy of the softmax over the candidates; see :func:`relgraph.ops.softmax_loss`.

    With ``negatives`` it is a sampled softmax (Bengio and Senecal 2008; Jean et al. 2015, arXiv 1412.2007): the sum of
    exponentials takes the answers of the whole batch as they are, and for all other candidates :math:`m` drawn ones,
    each counted :math:`(N - |P|) / m` times, where :math:`P` are those answers. A step then costs what :math:`|P| + m`
    candidates cost, looks up no other rows, and its sum is right on average.

    Args:
        label_smoothing: Share in ``[0, 1)`` that all candidates share evenly; with ``negatives`` those of the step.
        answers: ``"one"`` answer is the target of a row, or ``"all"`` answers of a distinct question share it.
        negatives: How many other candidates a batch draws, from the entities that may be a head or a tail (from all
            entities, if values of qualifiers are asked for); one that is drawn twice counts once. All by default.
    """

    label_smoothing: float = 0.0
    answers: Answers = "one"
    negatives: int | None = None

    def __post_init__(self) -> None:
        _require_share(self.label_smoothing)
        _require_one_of("answers", self.answers, Answers)
        if self.negatives is not None:
            _require_negatives(self.negatives)

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """The loss of a batch, summed over the scorer's terms."""
        terms = scorer.training_terms(batch.questions, batch.answers)
        drawn: Tensor | None = None
        if self.negatives is None:
            candidates, candidate_bias = scorer.candidates()
        else:
            negatives, log_weight = _drawn_of(batch), batch.log_weight
            if log_weight is None:
                raise ProtocolError("a sampled softmax needs a batch with weights of its negatives, got one without")
            drawn = torch.unique(torch.cat([*(term.answers[1] for term in terms), negatives]))
            candidates, candidate_bias = scorer.candidates_at(drawn)
            counted = candidates.new_zeros(len(drawn))
            counted[torch.searchsorted(drawn, negatives)] = log_weight.to(counted)
            candidate_bias = counted if candidate_bias is None else candidate_bias + counted
        total = candidates.new_zeros(())
        for term in terms:
            query, query_bias = _in_dtype(term, candidates.dtype)
            ptr, index = term.answers
            total = total + term.weight * softmax_loss(
                query,
                candidates,
                (ptr, index if drawn is None else torch.searchsorted(drawn, index)),
                query_bias=query_bias,
                candidate_bias=candidate_bias,
                alpha=scorer.alpha,
                label_smoothing=self.label_smoothing,
            )
        return total


@dataclass(frozen=True)
class Sampled:
    """Logistic loss of one answer against sampled negatives; see :func:`relgraph.ops.sampled_loss`.

    Only the rows that a batch draws are looked up, so it is the loss for tables with sparse gradients and for those
    on disk.

    Args:
        negatives: How many, drawn uniformly with repeats from the entities that may be a head or a tail (from all
            entities, if values of qualifiers are asked for).
        corruption: ``"uniform"`` asks every statement for both sides in every epoch; ``"bernoulli"`` asks it for one:
            for the head with probability tph / (tph + hpt), with the tails per head and heads per tail of its relation
            (Wang et al. 2014, TransH), so that fewer negatives are true.
        temperature: Of the self-adversarial weights (Sun et al. 2019, RotatE, Eq. 5); 0 weighs all alike.
        shared: Whether all questions of a batch have the same negatives, which costs one matrix product, or each its
            own.
        mask_known: Whether negatives that training knows to be answers are left out.
    """

    negatives: int = 256
    corruption: Literal["uniform", "bernoulli"] = "uniform"
    temperature: float = 0.0
    shared: bool = True
    mask_known: bool = False

    def __post_init__(self) -> None:
        _require_negatives(self.negatives)
        _require_one_of("corruption", self.corruption, Literal["uniform", "bernoulli"])
        if not isinstance(self.temperature, int | float) or not self.temperature >= 0:
            raise ProtocolError(f"temperature: expected at least 0, got {self.temperature!r}")

    @property
    def answers(self) -> Answers:
        """Always one."""
        return "one"

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """The loss of a batch, summed over the scorer's terms."""
        negatives = _drawn_of(batch)
        terms = scorer.training_terms(batch.questions, batch.answers)
        if len(terms) > 1 and (self.mask_known or not self.shared):
            raise ProtocolError(
                f"{type(scorer).__name__} trains {len(terms)} terms, whose rows are not those of the batch; sample "
                "with shared=True and mask_known=False"
            )
        drawn = torch.unique(torch.cat([*(term.answers[1] for term in terms), negatives.flatten()]))
        candidates, candidate_bias = scorer.candidates_at(drawn)
        ignored = known_among(negatives, batch.known) if self.mask_known and batch.known is not None else None
        total = candidates.new_zeros(())
        for term in terms:
            query, query_bias = _in_dtype(term, candidates.dtype)
            row = csr_rows(term.answers[0])
            total = total + term.weight * sampled_loss(
                query[row],
                candidates,
                torch.searchsorted(drawn, term.answers[1]),
                torch.searchsorted(drawn, negatives),
                query_bias=None if query_bias is None else query_bias[row],
                candidate_bias=candidate_bias,
                alpha=scorer.alpha,
                temperature=self.temperature,
                ignored=ignored,
            )
        return total


Loss = BCE | CE | Sampled


def as_loss(given: str | Loss, label_smoothing: float | None) -> Loss:
    """The loss that a name stands for, or one that is given.

    Args:
        given: ``"bce"``, ``"1-vs-all"``, ``"ce"``, ``"sampled"``, or a loss.
        label_smoothing: Of the named losses; 0.1 for ``"bce"`` and 0 for the others if ``None``.

    Raises:
        ProtocolError: If there is no such loss, or smoothing is given beside a loss or for sampled negatives.
    """
    if isinstance(given, BCE | CE | Sampled):
        if label_smoothing is not None:
            raise ProtocolError(
                f"label_smoothing: {given} says what it smooths; leave the argument out, got {label_smoothing}"
            )
        return given
    if given == "sampled" and label_smoothing:
        raise ProtocolError(f"label_smoothing: the loss 'sampled' has no labels to smooth, got {label_smoothing}")
    share = label_smoothing if label_smoothing is not None else 0.1 if given == "bce" else 0.0
    named: dict[str, Loss] = {
        "bce": BCE(share),
        "1-vs-all": BCE(share, reduction="batchmean", answers="one"),
        "ce": CE(share),
        "sampled": Sampled(),
    }
    if given not in named:
        raise ProtocolError(
            f"loss: expected {', '.join(map(repr, named))}, or one of relgraph.kge.BCE, CE and Sampled, got {given!r}"
        )
    return named[given]


def with_choices(loss: Loss, choices: Mapping[str, Any]) -> Loss:
    """A loss with some of its choices changed.

    Raises:
        ProtocolError: If it has no such choice, or not that value of it.
    """
    known = [field.name for field in fields(loss)]
    for name in choices:
        if name not in known:
            raise ProtocolError(f"{name}: {type(loss).__name__} has the choices {', '.join(known)}")
    return replace(loss, **choices)


def described(loss: Loss) -> dict[str, Any]:
    """A loss as JSON."""
    return {"kind": type(loss).__name__, **asdict(loss)}


def known_among(negatives: Tensor, known: Csr) -> Tensor:
    """Which negatives are known answers, bool ``[B, M]``.

    Args:
        negatives: int64 ``[M]`` or ``[B, M]``.
        known: Sorted, distinct answers of each of the ``B`` questions.
    """
    ptr, index = known
    size = int(torch.cat([negatives.flatten(), index]).max()) + 1 if len(index) or negatives.numel() else 1
    entries = csr_rows(ptr) * size + index  # sorted, as the rows are
    asked = torch.arange(len(ptr) - 1, device=ptr.device)[:, None] * size + negatives
    return torch.isin(asked, entries)


def _require_share(share: object) -> None:
    if not isinstance(share, int | float) or not 0 <= share < 1:
        raise ProtocolError(f"label_smoothing: expected a share in [0, 1), got {share!r}")


def _require_one_of(name: str, value: object, kind: Any) -> None:
    if value not in get_args(kind):
        raise ProtocolError(f"{name}: expected {' or '.join(map(repr, get_args(kind)))}, got {value!r}")


def _require_negatives(number: object) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ProtocolError(f"negatives: expected a whole number of at least 1, got {number!r}")


def _drawn_of(batch: Batch) -> Tensor:
    if batch.negatives is None:
        raise ProtocolError("the loss of sampled negatives needs a batch with negatives, got one without")
    return batch.negatives


def _in_dtype(term: Term, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Queries that came out of mixed precision, in the dtype of the candidates."""
    return term.query.to(dtype), None if term.query_bias is None else term.query_bias.to(dtype)
