"""Our scorers as PyKEEN models, and PyKEEN's models in our rankings."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from relgraph.errors import BackendError, ProtocolError, SchemaError
from relgraph.kge.blocks import ScoreBlocks
from relgraph.kge.questions import Questions
from relgraph.kge.scorers import SCORERS, Scorer

__all__ = ["PyKEENScores", "from_pykeen_model", "to_pykeen_model"]

_RANGES: dict[str, Any] = {
    "dim": {"type": int, "low": 16, "high": 256, "q": 16},
    "dropout": {"type": float, "low": 0.0, "high": 0.5, "q": 0.1},
}


class PyKEENScores(ScoreBlocks):
    """The scores of a PyKEEN model, raw whatever ``predict_with_sigmoid`` says.

    Args:
        model: A trained ``pykeen.models.Model``; relations are numbered without inverses, as
            :func:`relgraph.adapters.from_pykeen` numbers them.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model.num_entities, model.num_real_relations)
        self.model = model

    def scores(self, questions: Questions) -> Tensor:
        """Heads are asked for as PyKEEN does: through inverse relations if the model was trained with them."""
        asked, relation = questions.entity, questions.relation
        heads = relation >= self.num_relations
        before, self.model.predict_with_sigmoid = self.model.predict_with_sigmoid, False
        try:
            parts = [
                (heads, self.model.predict_h, torch.stack([relation - self.num_relations, asked], 1)),
                (~heads, self.model.predict_t, torch.stack([asked, relation], 1)),
            ]
            found = [(rows, ask(batch[rows])) for rows, ask, batch in parts if bool(rows.any())]
        finally:
            self.model.predict_with_sigmoid = before
        score: Tensor = found[0][1].new_empty(len(questions), self.num_entities)
        for rows, values in found:
            score[rows] = values
        return score


def from_pykeen_model(model: Any) -> PyKEENScores:
    """A PyKEEN model for :func:`relgraph.kge.evaluate`, ``predict``, ``top_k_statements`` and ``calibrate``.

    Args:
        model: A ``pykeen.models.Model``, such as ``pipeline(...).model``.

    Raises:
        BackendError: If PyKEEN is not installed.
        ProtocolError: If it is no transductive PyKEEN model.
    """
    if not isinstance(model, _pykeen().models.Model):
        raise ProtocolError(f"expected a pykeen.models.Model, got {type(model).__name__}")
    if isinstance(model, _pykeen().models.InductiveERModel):
        raise ProtocolError(f"{type(model).__name__} scores other entities in each mode; only transductive models fit")
    return PyKEENScores(model)


def to_pykeen_model(scorer: str | type[Scorer]) -> type[Any]:
    """A PyKEEN model class of a scorer of triples, for ``pykeen.pipeline.pipeline`` and ``pykeen.hpo.hpo_pipeline``.

    Our scorers ask for heads through inverse relations, so the triples must have them:
    ``dataset_kwargs={"create_inverse_triples": True}``. It works with LCWA and sLCWA; ``model_kwargs`` are the scorer's
    own arguments, and the scorer itself is ``result.model.scorer``. PyKEEN trains it with binary cross-entropy unless
    another loss is given. No scores are materialised by entity and dimension, so ``slice_size`` changes nothing.

    Args:
        scorer: One of ``SCORERS`` by name, or the class of a scorer.

    Raises:
        BackendError: If PyKEEN is not installed.
        SchemaError: If there is no such scorer, or it reads qualifiers, which PyKEEN's triples lack.
    """
    if isinstance(scorer, str) and scorer not in SCORERS:
        raise SchemaError(f"there is no scorer {scorer!r}; known are {', '.join(SCORERS)}")
    kind: type[Scorer] = SCORERS[scorer] if isinstance(scorer, str) else scorer
    if kind.reads_qualifiers:
        raise SchemaError(f"{kind.__name__} reads qualifiers, which PyKEEN's triples do not have; train it with fit")
    accepted = inspect.signature(kind).parameters
    base: Any = _pykeen().models.Model

    class Wrapped(base):  # type: ignore[misc]
        """A scorer of relgraph."""

        loss_default = _pykeen().losses.BCEWithLogitsLoss
        loss_default_kwargs = None
        hpo_default = {name: found for name, found in _RANGES.items() if name in accepted}  # noqa: RUF012

        def __init__(self, *, triples_factory: Any, random_seed: int | None = None, **arguments: Any) -> None:
            own = {name: arguments.pop(name) for name in list(arguments) if name in accepted}
            super().__init__(triples_factory=triples_factory, random_seed=random_seed, **arguments)
            if not self.use_inverse_triples:
                raise ProtocolError(
                    f"{kind.__name__} asks for heads through inverse relations: pass "
                    "dataset_kwargs={'create_inverse_triples': True} to the pipeline, or make the triples factory so"
                )
            if "seed" in accepted and random_seed is not None:
                own.setdefault("seed", random_seed)
            self._own = own
            self.scorer = kind(self.num_entities, self.num_real_relations, **own)

        def _ours(self, relation: Tensor) -> Tensor:
            """PyKEEN numbers a relation and its inverse 2r and 2r + 1, we r and r + R."""
            ours: Tensor = torch.div(relation, 2, rounding_mode="floor") + relation % 2 * self.num_real_relations
            return ours

        def _query(self, head: Tensor, relation: Tensor) -> tuple[Tensor, Tensor | None]:
            return self.scorer.encode(Questions(head, self._ours(relation)))

        def score_t(
            self, hr_batch: Tensor, *, slice_size: int | None = None, mode: Any = None, tails: Tensor | None = None
        ) -> Tensor:
            query, query_bias = self._query(hr_batch[:, 0], hr_batch[:, 1])
            candidates, bias = self.scorer.candidates()
            score = self.scorer.alpha * (query @ candidates.T)
            score = score if query_bias is None else score + query_bias[:, None]
            score = score if bias is None else score + bias
            if tails is None:
                return score
            return score[:, tails] if tails.dim() == 1 else score.gather(1, tails)

        def score_h(
            self, rt_batch: Tensor, *, slice_size: int | None = None, mode: Any = None, heads: Tensor | None = None
        ) -> Tensor:
            inverse = rt_batch[:, 0] + 1 - 2 * (rt_batch[:, 0] % 2)
            return self.score_t(torch.stack([rt_batch[:, 1], inverse], 1), tails=heads)

        def score_hrt(self, hrt_batch: Tensor, *, mode: Any = None) -> Tensor:
            head, relation, tail = hrt_batch.unbind(1)
            query, query_bias = self._query(head, relation)
            candidates, bias = self.scorer.candidates()
            score = self.scorer.alpha * (query * candidates[tail]).sum(1)
            score = score if query_bias is None else score + query_bias
            return (score if bias is None else score + bias[tail])[:, None]

        def score_r(
            self, ht_batch: Tensor, *, slice_size: int | None = None, mode: Any = None, relations: Tensor | None = None
        ) -> Tensor:
            every = torch.arange(self.num_relations, device=ht_batch.device)
            chosen = every.expand(len(ht_batch), -1) if relations is None else relations.expand(len(ht_batch), -1)
            pairs = ht_batch.repeat_interleave(chosen.shape[1], 0)
            triples = torch.stack([pairs[:, 0], chosen.flatten(), pairs[:, 1]], 1)
            return self.score_hrt(triples).view(len(ht_batch), -1)

        def collect_regularization_term(self) -> Tensor:
            return torch.zeros((), device=self.device)

        def _get_entity_len(self, *, mode: Any) -> int:
            return int(self.num_entities)

        def _reset_parameters_(self) -> None:
            fresh = kind(self.num_entities, self.num_real_relations, **self._own)
            self.scorer.load_state_dict(fresh.state_dict())

    Wrapped.__name__ = Wrapped.__qualname__ = f"Relgraph{kind.__name__}"
    return Wrapped


def _pykeen() -> Any:
    try:
        import pykeen.losses
        import pykeen.models
    except ImportError as error:
        raise BackendError(
            f"PyKEEN models need PyKEEN, which cannot be imported ({error}): pip install 'relgraph[pykeen]'"
        ) from None
    return pykeen
