"""Scorers in PyKEEN's pipeline and HPO, and PyKEEN's models under our protocol."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from relgraph.adapters.pykeen import from_pykeen
from relgraph.errors import BackendError, ProtocolError, SchemaError
from relgraph.kge import SCORERS, evaluate, from_pykeen_model, predict, to_pykeen_model, top_k_statements

pytest.importorskip("pykeen.pipeline")
from pykeen.datasets import dataset_resolver
from pykeen.evaluation import RankBasedEvaluator
from pykeen.hpo import hpo_pipeline
from pykeen.pipeline import pipeline

NAMES = {"mrr": "inverse_harmonic_mean_rank", "mr": "arithmetic_mean_rank", "hits@10": "hits_at_10"}
QUIET: dict[str, Any] = {
    "training_kwargs": {"num_epochs": 2, "use_tqdm": False, "batch_size": 256},
    "evaluation_kwargs": {"use_tqdm": False},
    "random_seed": 0,
}


def ours(scorer: Any, name: str) -> dict[str, float]:
    parts = from_pykeen(name)
    return dict(evaluate(scorer, parts[-1], parts, candidates="all", filter="loose", progress=False))


def theirs(model: Any, dataset: Any) -> dict[str, float]:
    result = RankBasedEvaluator().evaluate(
        model,
        dataset.testing.mapped_triples,
        additional_filter_triples=[dataset.training.mapped_triples, dataset.validation.mapped_triples],
        batch_size=64,
        use_tqdm=False,
    )
    return {
        f"{side}{name}": result.get_metric(f"{target}.realistic.{theirs}")
        for side, target in (("", "both"), ("head.", "head"), ("tail.", "tail"))
        for name, theirs in NAMES.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["LCWA", "sLCWA"])
def test_a_scorer_in_the_pipeline(loop: str) -> None:
    dataset = dataset_resolver.make("nations", create_inverse_triples=True)
    model, sizes = to_pykeen_model("distmult"), {"dim": 16}
    result = pipeline(
        dataset=dataset,
        model=model,
        model_kwargs=sizes,
        training_loop=loop,
        optimizer_kwargs={"lr": 0.05},
        **QUIET,
    )
    assert result.losses[-1] < result.losses[0]
    expected = theirs(result.model, dataset)
    for scorer in (result.model.scorer, from_pykeen_model(result.model)):
        found = ours(scorer, "nations")
        assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    triples = dataset.testing.mapped_triples[:5]
    one = result.model.predict_hrt(triples)[:, 0]
    rows = torch.arange(5)
    assert torch.allclose(result.model.predict_t(triples[:, :2])[rows, triples[:, 2]], one, atol=1e-5)
    every = result.model.score_r(triples[:, [0, 2]])  # both numberings of a relation
    assert torch.allclose(every[rows, 2 * triples[:, 1]], one, atol=1e-5)


def test_every_scorer_of_triples_scores_alike_in_all_ways() -> None:
    factory = dataset_resolver.make("nations", create_inverse_triples=True).training
    triples = factory.mapped_triples[:6]
    for name, kind in SCORERS.items():
        if kind.reads_qualifiers:
            continue
        model = to_pykeen_model(kind)(triples_factory=factory, random_seed=1).eval()
        one = model.score_hrt(triples)[:, 0]
        rows = torch.arange(len(triples))
        torch.testing.assert_close(model.score_t(triples[:, :2])[rows, triples[:, 2]], one, msg=name)
        torch.testing.assert_close(model.score_t(triples[:, :2], tails=triples[:, 2:])[:, 0], one, msg=name)
        flipped = torch.stack([triples[:, 2], triples[:, 1] + 1 - 2 * (triples[:, 1] % 2), triples[:, 0]], 1)
        expected = model.score_hrt(flipped)[:, 0]
        torch.testing.assert_close(model.score_h(triples[:, 1:])[rows, triples[:, 0]], expected, msg=name)
        before = {key: value.clone() for key, value in model.scorer.state_dict().items()}
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        model.reset_parameters_()
        assert all(torch.equal(value, model.scorer.state_dict()[key]) for key, value in before.items()), name


@pytest.mark.slow
def test_hpo() -> None:
    found = hpo_pipeline(
        dataset=dataset_resolver.make("nations", create_inverse_triples=True),
        model=to_pykeen_model("distmult"),
        model_kwargs_ranges={"dim": {"type": int, "low": 4, "high": 8, "q": 4}},
        training_loop="lcwa",
        training_kwargs={"num_epochs": 1, "use_tqdm": False},
        training_kwargs_ranges={"batch_size": {"type": int, "low": 128, "high": 128}},
        evaluation_kwargs={"use_tqdm": False},
        n_trials=2,
        n_jobs=1,
    )
    assert {trial.params["model.dim"] for trial in found.study.trials} <= {4, 8}
    assert all(trial.value is not None for trial in found.study.trials)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "inverse"), [("TransE", False), ("RotatE", True), ("ERMLP", True)])
def test_their_models_under_our_protocol(model: str, inverse: bool) -> None:
    dataset = dataset_resolver.make("nations", create_inverse_triples=inverse)
    result = pipeline(dataset=dataset, model=model, model_kwargs={"embedding_dim": 8}, **QUIET)
    result.model.predict_with_sigmoid = True  # ranks are of raw scores all the same
    found = ours(from_pykeen_model(result.model), "nations")
    assert result.model.predict_with_sigmoid
    result.model.predict_with_sigmoid = False
    expected = theirs(result.model, dataset)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_their_models_predict() -> None:
    dataset = dataset_resolver.make("nations")
    result = pipeline(dataset=dataset, model="DistMult", model_kwargs={"embedding_dim": 8}, **QUIET)
    scores = from_pykeen_model(result.model)
    train = from_pykeen(dataset)[0]
    best = predict(scores, train.vocabulary, head="uk", relation="embassy", k=3)
    uk, embassy = train.vocabulary.entity("uk"), train.vocabulary.relation("embassy")
    expected = result.model.predict_t(torch.tensor([[uk, embassy]]))[0].sort(descending=True).values[:3]
    assert [answer.score for answer in best] == pytest.approx(expected.tolist())
    assert len(predict(scores, train.vocabulary, head="uk", tail="usa", k=3)) == 3
    assert len(top_k_statements(scores, train, 7, known=[train], progress=False)) == 7
    with pytest.raises(ProtocolError, match="is no product and has no candidates"):
        scores.candidates()


def test_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProtocolError, match="'create_inverse_triples': True"):
        pipeline(dataset=dataset_resolver.make("nations"), model=to_pykeen_model("distmult"), **QUIET)
    with pytest.raises(SchemaError, match=r"there is no scorer 'x'; known are .*distmult"):
        to_pykeen_model("x")
    with pytest.raises(ProtocolError, match=r"expected a pykeen.models.Model, got str"):
        from_pykeen_model("TransE")
    monkeypatch.setitem(sys.modules, "pykeen.models", None)
    with pytest.raises(BackendError, match=r"pip install 'relgraph\[pykeen\]'"):
        to_pykeen_model("distmult")
