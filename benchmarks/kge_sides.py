"""The sides of bench_kge.py: the same work by relgraph, by PyTorch written out, and by PyKEEN.

python benchmarks/kge_sides.py SIDE WORK   # the peak memory of one side in this process, as JSON
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from build_sides import resident
from torch import Tensor, nn

from relgraph.adapters.statement_files import read_statements
from relgraph.data.statements import Statements
from relgraph.kge import DistMult, LowFER, evaluate
from relgraph.kge.batches import Batch
from relgraph.kge.losses import BCE

DATA = Path(os.environ.get("RELGRAPH_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
SMOOTHING = 0.1


class Work:
    """FB15k-237, a batch of questions, and scorers with the same parameters on every side.

    Args:
        triples: How many test triples are ranked.
        batch: Questions in a batch.
        dim: Length of the rows.
    """

    def __init__(self, triples: int = 256, batch: int = 512, dim: int = 200) -> None:
        self.train, self.valid, whole = read_statements(DATA / "kg" / "fb15k-237")
        chosen = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))[:triples]
        self.test, self.whole = whole.select(chosen), whole
        questions = Batch.of(self.train, ["tail"], with_qualifiers=False)
        rows = torch.randperm(len(questions), generator=torch.Generator().manual_seed(1))[:batch]
        self.batch, self.dim = questions.select(rows), dim
        self.distmult = DistMult(self.train.num_entities, self.train.num_relations, dim=dim, seed=0)
        with torch.no_grad():  # PyKEEN's has no inverse relations
            self.distmult.relation[self.train.num_relations :] = self.distmult.relation[: self.train.num_relations]

    @cached_property
    def labels(self) -> Tensor:
        """The targets of the batch, dense, smoothed as ConvE does."""
        ptr, index = self.batch.answers
        rows = torch.repeat_interleave(torch.arange(len(self.batch)), ptr.diff())
        labels = torch.zeros(len(self.batch), self.train.num_entities)
        labels[rows, index] = 1.0
        return labels * (1 - SMOOTHING) + 1 / self.train.num_entities

    @cached_property
    def lowfer(self) -> LowFER:
        """With the sizes and dropouts of the paper for FB15k-237."""
        sizes: dict[str, Any] = {"dim": 200, "rank": 100}
        shares = {"input_dropout": 0.2, "product_dropout": 0.2, "output_dropout": 0.3}
        return LowFER(self.train.num_entities, self.train.num_relations, **sizes, **shares)

    @cached_property
    def pykeen(self) -> tuple[Any, Any]:
        """PyKEEN's DistMult with the same rows, and its loss."""
        from pykeen.losses import BCEWithLogitsLoss
        from pykeen.models import DistMult as Model
        from pykeen.triples import CoreTriplesFactory

        factory = CoreTriplesFactory(triples(self.train), self.train.num_entities, self.train.num_relations)
        loss = BCEWithLogitsLoss()
        model = Model(
            triples_factory=factory, embedding_dim=self.dim, loss=loss, entity_constrainer=None, regularizer=None
        )
        with torch.no_grad():
            model.entity_representations[0]._embeddings.weight.copy_(self.distmult.entity.table())
            rows = self.distmult.relation[: self.train.num_relations]
            model.relation_representations[0]._embeddings.weight.copy_(rows)
        return model, loss


def triples(statements: Statements) -> Tensor:
    """``[n, 3]``."""
    return torch.stack([statements.head, statements.relation, statements.tail], 1)


def step_ours(work: Work) -> Callable[[], Tensor]:
    """The loss of a batch with its gradients, as ``kge.fit`` takes them."""
    loss = BCE(SMOOTHING)

    def step() -> Tensor:
        work.distmult.zero_grad()
        value = loss(work.distmult, work.batch)
        value.backward()
        return value.detach()

    return step


def step_dense(work: Work) -> Callable[[], Tensor]:
    """The score matrix, dense labels, BCE with logits."""
    scorer, questions = work.distmult, work.batch.questions

    def step() -> Tensor:
        scorer.zero_grad()
        entity = scorer.entity.table()
        query = entity[questions.entity] * scorer.relation[questions.relation]
        value = F.binary_cross_entropy_with_logits(query @ entity.T, work.labels)
        value.backward()
        return value.detach()

    return step


def step_products(work: Work) -> Callable[[], Tensor]:
    """The three matrix products of a step and nothing else."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(len(work.batch), work.dim, generator=generator)
    entity = work.distmult.entity.table().detach()
    slope = torch.randn(len(query), len(entity), generator=generator)

    def step() -> Tensor:
        score = query @ entity.T
        return (slope @ entity)[0, 0] + (slope.T @ query)[0, 0] + score[0, 0]

    return step


def step_pykeen(work: Work) -> Callable[[], Tensor]:
    """What PyKEEN's LCWA training loop does for a batch."""
    from pykeen.training import LCWATrainingLoop

    model, loss = work.pykeen
    questions = work.batch.questions
    batch = {
        "pairs": torch.stack([questions.entity, questions.relation], 1),
        "target": (work.labels > 0.5).float(),
    }

    def step() -> Tensor:
        model.zero_grad()
        value = LCWATrainingLoop._process_batch_static(
            model, model.score_t, loss, model.num_entities, None, batch, 0, len(work.batch)
        )
        value.backward()
        return value.detach()

    return step


def lowfer_ours(work: Work) -> Callable[[], Tensor]:
    """A training step of LowFER as published, without the optimizer."""
    loss, scorer, batch = BCE(SMOOTHING), work.lowfer, work.batch.select(torch.arange(128))

    def step() -> Tensor:
        scorer.zero_grad()
        value = loss(scorer, batch)
        value.backward()
        return value.detach()

    return step


def lowfer_plain(work: Work) -> Callable[[], Tensor]:
    """The formulas of the paper in plain PyTorch: relation rows of the batch times V, sigmoid, BCE, dense targets."""
    scorer, questions, labels = work.lowfer, work.batch.select(torch.arange(128)).questions, work.labels[:128]
    input_norm, output_norm = nn.BatchNorm1d(200), nn.BatchNorm1d(200)

    def step() -> Tensor:
        scorer.zero_grad()
        entity = scorer.entity.table()
        left = F.dropout(input_norm(entity[questions.entity]), scorer.input_dropout.p) @ scorer.U
        right = scorer.relation[questions.relation] @ scorer.V
        product = F.dropout(left * right, scorer.product_dropout.p)
        z = product.view(len(product), -1, scorer.rank).sum(2)
        z = F.normalize(torch.sign(z) * torch.sqrt(z.abs() + 1e-12), dim=1)
        z = F.dropout(output_norm(z), scorer.output_dropout.p)
        value = F.binary_cross_entropy(torch.sigmoid(z @ entity.T), labels)
        value.backward()
        return value.detach()

    return step


def lowfer_products(work: Work) -> Callable[[], Tensor]:
    """The nine matrix products of that step: by U, by V (each relation of the batch once), by the entities."""
    scorer = work.lowfer
    relations = torch.unique(work.batch.select(torch.arange(128)).questions.relation).numel()
    generator = torch.Generator().manual_seed(0)
    entity = scorer.entity.table().detach()
    pairs = [(128, scorer.U.detach()), (relations, scorer.V.detach()), (128, entity.T)]
    given = [
        (torch.randn(rows, len(right), generator=generator), right, torch.randn(rows, right.shape[1]))
        for rows, right in pairs
    ]

    def step() -> Tensor:
        total = torch.zeros(())
        for left, right, slope in given:
            total = total + (left @ right)[0, 0] + (slope @ right.T)[0, 0] + (left.T @ slope)[0, 0]
        return total

    return step


def rank_ours(work: Work) -> dict[str, float]:
    """Filtered ranks of the test triples, heads and tails."""
    scorer = work.distmult.eval()
    return dict(evaluate(scorer, work.test, known=[work.train, work.valid, work.whole], progress=False))


def rank_products(work: Work) -> Tensor:
    """The scores alone, 256 questions at a time."""
    entity = work.distmult.entity.table().detach()
    query = entity[work.test.head] * work.distmult.relation.detach()[work.test.relation]
    return torch.stack([(part @ entity.T)[0, 0] for _ in range(2) for part in query.split(256)])


def rank_pykeen(work: Work) -> float:
    """The same by PyKEEN's evaluator, in the batches that it takes by itself or of 32."""
    from pykeen.evaluation import RankBasedEvaluator

    model, _ = work.pykeen
    known = [triples(part) for part in (work.train, work.valid, work.whole)]
    found = RankBasedEvaluator().evaluate(
        model, triples(work.test), additional_filter_triples=known, batch_size=32, use_tqdm=False
    )
    return float(found.get_metric("both.realistic.inverse_harmonic_mean_rank"))


SIDES: dict[str, dict[str, Callable[[Work], Any]]] = {
    "ours": {"step": lambda work: step_ours(work)(), "rank": rank_ours},
    "pykeen": {"step": lambda work: step_pykeen(work)(), "rank": rank_pykeen},
}


def main() -> None:
    side, what = SIDES[sys.argv[1]][sys.argv[2]], int(sys.argv[3])
    small = Work(triples=2, batch=2)  # whatever is imported or compiled late
    side(small)
    work = Work(triples=what, batch=what)
    _ = work.pykeen if sys.argv[1] == "pykeen" else work.batch
    del small
    gc.collect()
    before = resident()["now"]
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    side(work)
    print(json.dumps({"before": before, "peak_above": resident()["peak"] - before}))


if __name__ == "__main__":
    main()
