"""One contract for every scorer, and every scorer's formula written out term by term."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from relgraph.data.statements import Qualifiers, Vocabulary
from relgraph.errors import ProtocolError, SchemaError, ShapeError
from relgraph.kge import Embeddings, load_scorer, save_scorer
from relgraph.kge.questions import Questions
from relgraph.kge.scorers import SCORERS, DistMult, LowFER, Scorer
from tests.kge.test_evaluation import statements
from tests.kge.transformer_by_loops import FACTS, hyperformer_by_loops, stare_by_loops

N, R = 7, 3
SMALL: dict[str, dict[str, Any]] = {
    "distmult": {"dim": 5, "dropout": 0.3},
    "lowfer": {"dim": 5, "relation_dim": 4, "rank": 3},
    "hyperformer": {"dim": 9, "layers": 1, "heads": 3, "hidden": 4, "experts": 3, "channels": 2, "kernel": 3},
    "stare": {"dim": 6, "layers": 1, "transformer_layers": 1, "heads": 2, "hidden": 2, "places": 1},
}


def make(name: str, **changes: Any) -> Scorer:
    scorer = SCORERS[name](N, R, **{**SMALL[name], **changes}).double()
    # batch norms with statistics and weights that are not the identity
    generator = torch.Generator().manual_seed(1)
    for module in scorer.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            for tensor in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
    scorer.learn_from(statements(FACTS, Vocabulary("abcdefg", "xyz")))
    return scorer.eval()


def every_triple() -> tuple[Tensor, Tensor, Tensor]:
    grid = torch.cartesian_prod(torch.arange(N), torch.arange(R), torch.arange(N))
    return grid[:, 0], grid[:, 1], grid[:, 2]


def all_tails(scorer: Scorer, head: Tensor, relation: Tensor, **more: Any) -> Tensor:
    query, query_bias = scorer.query(head, relation, **more)
    candidates, candidate_bias = scorer.candidates()
    score = scorer.alpha * query @ candidates.T
    score = score if query_bias is None else score + query_bias[:, None]
    return score if candidate_bias is None else score + candidate_bias


def distmult_by_loops(scorer: Scorer, h: int, r: int, t: int) -> float:
    e, w = scorer.entity.weight.tolist(), scorer.relation.tolist()
    return sum(e[h][j] * w[r][j] * e[t][j] for j in range(5))


def lowfer_by_loops(scorer: Scorer, h: int, r: int, t: int) -> float:
    p = {name: value.tolist() for name, value in scorer.state_dict().items()}
    d, k = 5, 3

    def norm(name: str, x: list[float]) -> list[float]:
        mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
        weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
        return [(x[i] - mean[i]) / math.sqrt(var[i] + 1e-5) * weight[i] + bias[i] for i in range(d)]

    e = norm("input_norm", p["entity.weight"][h])
    x = [
        sum(e[i] * p["U"][i][c] for i in range(d)) * sum(p["relation"][r][i] * p["V"][i][c] for i in range(4))
        for c in range(k * d)
    ]
    z = [sum(x[j * k : (j + 1) * k]) for j in range(d)]
    z = [math.copysign(math.sqrt(abs(v) + 1e-12), v) for v in z]
    length = math.sqrt(sum(v * v for v in z))
    z = norm("output_norm", [v / length for v in z])
    return sum(z[j] * p["entity.weight"][t][j] for j in range(d))


FORMULAS: dict[str, Callable[[Scorer, int, int, int], float]] = {
    "distmult": distmult_by_loops,
    "lowfer": lowfer_by_loops,
    "hyperformer": hyperformer_by_loops,
    "stare": stare_by_loops,
}


def test_every_scorer_is_tested() -> None:
    assert SCORERS.keys() == FORMULAS.keys() == SMALL.keys()


@pytest.mark.parametrize("name", SCORERS)
class TestContract:
    def test_formula_term_by_term(self, name: str) -> None:
        scorer = make(name)
        head, relation, tail = every_triple()
        triples = list(zip(head.tolist(), relation.tolist(), tail.tolist(), strict=True))
        expected = [FORMULAS[name](scorer, *triple) for triple in triples]
        torch.testing.assert_close(
            scorer.score(head, relation, tail), torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-12
        )
        # asked for the head, the answer stands in the tail's place of the inverse relation
        inverse = [FORMULAS[name](scorer, t, r + R, h) for h, r, t in triples]
        heads = all_tails(scorer, None, relation, tail=tail, position="head")[torch.arange(len(head)), head]
        torch.testing.assert_close(heads, torch.tensor(inverse, dtype=torch.float64), rtol=1e-10, atol=1e-12)

    def test_triple_scores_are_columns_of_all_tails(self, name: str) -> None:
        scorer = make(name)
        head, relation, tail = every_triple()
        columns = all_tails(scorer, head, relation).gather(1, tail[:, None])[:, 0]
        torch.testing.assert_close(scorer.score(head, relation, tail), columns, rtol=1e-12, atol=1e-12)

    def test_rows_are_independent_in_eval_mode(self, name: str) -> None:
        scorer = make(name)
        head, relation, tail = every_triple()
        whole = scorer.score(head, relation, tail)
        order = torch.randperm(len(head), generator=torch.Generator().manual_seed(0))[:20]
        torch.testing.assert_close(scorer.score(head[order], relation[order], tail[order]), whole[order])
        one = [scorer.score(head[i : i + 1], relation[i : i + 1], tail[i : i + 1]) for i in order.tolist()]
        torch.testing.assert_close(torch.cat(one), whole[order])

    def test_every_parameter_row_gets_a_gradient(self, name: str) -> None:
        scorer = make(name)
        head, relation, tail = every_triple()
        weight = torch.randn(len(head), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        loss = (scorer.score(head, relation, tail) * weight).sum()
        loss = loss + (all_tails(scorer, None, relation, tail=tail, position="head")[:, 0] * weight).sum()
        # some parts are there to train the others, and have no say in a score
        nothing = torch.zeros(len(head) + 1, dtype=torch.int64), relation[:0]
        torch.manual_seed(0)
        pairs = Qualifiers(torch.arange(len(head) + 1), relation, tail)
        for questions in (Questions(head, relation), Questions(head, relation + R, None, pairs)):
            for term in scorer.training_terms(questions, nothing):
                loss = loss + (term.query * torch.randn(term.query.shape, dtype=torch.float64)).sum()
        loss.backward()
        for parameter_name, parameter in scorer.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert (parameter.grad.reshape(len(parameter), -1) != 0).any(1).all(), parameter_name

    def test_state_round_trip(self, name: str) -> None:
        scorer = make(name)
        again = SCORERS[name](**scorer.arguments).double().eval()
        again.load_state_dict(scorer.state_dict())
        triples = every_triple()
        assert torch.equal(again.score(*triples), scorer.score(*triples))

    def test_seed_decides_the_start(self, name: str) -> None:
        one, two, other = (SCORERS[name](N, R, **SMALL[name], seed=s) for s in (4, 4, 5))
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
        assert not torch.equal(one.entity.weight, other.entity.weight)

    @pytest.mark.parametrize("batch", [0, 1, 2])
    def test_small_training_batches(self, name: str, batch: int) -> None:
        scorer = make(name).train()
        query, _ = scorer.query(torch.arange(batch), torch.zeros(batch, dtype=torch.int64))
        assert query.shape == (batch, scorer.candidates()[0].shape[1])
        assert query.isfinite().all()

    def test_qualifiers_count_or_are_ignored(self, name: str) -> None:
        scorer = make(name)
        one = torch.ones(1, dtype=torch.int64)
        pairs = Qualifiers(torch.tensor([0, 1]), one, one)
        plain, qualified = scorer.score(one, one, one), scorer.score(one, one, one, pairs)
        assert torch.equal(plain, qualified) is not scorer.reads_qualifiers
        if scorer.reads_qualifiers:
            expected = FORMULAS[name](scorer, 1, 1, 1, [(1, 1)])  # type: ignore[call-arg]
            assert qualified.item() == pytest.approx(expected, rel=1e-10)

    def test_bad_input(self, name: str) -> None:
        scorer = make(name)
        one = torch.ones(1, dtype=torch.int64)
        with pytest.raises(SchemaError, match=r"relation: this \w+ knows 0..2, got 3..3"):
            scorer.query(one, one + 2)
        with pytest.raises(SchemaError, match=r"entity: this \w+ knows 0..6, got 7..7"):
            scorer.query(one + 6, one)
        with pytest.raises(SchemaError, match=r"entity: this \w+ knows 0..6, got -1..-1"):
            scorer.score(one, one, -one)
        with pytest.raises(ShapeError, match="asks for the tail, so the head must be given"):
            scorer.query(None, one, one)
        with pytest.raises(ShapeError, match="asks for the head, so the tail must be given"):
            scorer.query(one, one, position="head")
        with pytest.raises(ShapeError, match="as many entities as relations"):
            scorer.query(torch.arange(2), one)
        with pytest.raises(ShapeError, match="as many tails as relations"):
            scorer.score(one, one, torch.arange(2))
        with pytest.raises(ShapeError, match=r"entity: expected int64 \[B\]"):
            scorer.query(one.float(), one)
        with pytest.raises(ProtocolError, match="expected some of 'tail', 'head', 'qualifier', each once"):
            scorer.query(one, one, position="relation")  # type: ignore[arg-type]
        with pytest.raises(SchemaError, match="built for 7 entities and 3 relations, but the vocabulary has 2 and 3"):
            scorer.require_vocabulary(Vocabulary("ab", "xyz"))
        with pytest.raises(ShapeError, match="num_relations: expected a whole number of at least 1, got 0"):
            SCORERS[name](N, 0)
        with pytest.raises(ShapeError, match="dim: expected a whole number of at least 1"):
            SCORERS[name](N, R, dim=0)

    def test_values_of_qualifiers_are_asked_of_scorers_that_read_them(self, name: str) -> None:
        scorer = make(name)
        one = torch.ones(1, dtype=torch.int64)
        pairs = Qualifiers(torch.tensor([0, 1]), one, -one)
        if scorer.reads_qualifiers:
            query, _ = scorer.query(one, one, one, pairs, position="qualifier")
            assert query.shape == (1, scorer.candidates()[0].shape[1])
            with pytest.raises(ShapeError, match="asks for the qualifier, so the tail must be given"):
                scorer.query(one, one, None, pairs, position="qualifier")
            with pytest.raises(ShapeError, match="takes 1 values of -1 in each statement, got 0 in statement 0"):
                scorer.query(one, one, one, Qualifiers(pairs.ptr, one, one), position="qualifier")
            with pytest.raises(ShapeError, match="takes 0 values of -1 in each statement, got 1 in statement 0"):
                scorer.query(one, one, None, pairs)
        else:
            with pytest.raises(ProtocolError, match="cannot be asked for the value of a qualifier"):
                scorer.query(one, one, one, pairs, position="qualifier")

    def test_it_prints_what_it_is(self, name: str) -> None:
        assert f"num_entities={N}, num_relations={R}, dim={SMALL[name]['dim']}" in repr(make(name))


def test_lowfer_with_identities_is_distmult() -> None:
    d = 4
    lowfer = LowFER(N, R, dim=d, rank=1, normalize=False).double().eval()
    distmult = DistMult(N, R, dim=d).double()
    with torch.no_grad():
        lowfer.U.copy_(torch.eye(d))
        lowfer.V.copy_(torch.eye(d))
        distmult.entity.weight.copy_(lowfer.entity.weight)
        distmult.relation.copy_(lowfer.relation)
    triples = every_triple()
    torch.testing.assert_close(lowfer.score(*triples), distmult.score(*triples), rtol=1e-12, atol=1e-14)


def test_lowfer_with_fixed_factors_is_complex() -> None:
    half = 3
    d = 2 * half
    scorer = LowFER(N, R, dim=d, rank=2, normalize=False).double().eval()
    eye = torch.eye(d, dtype=torch.float64)
    real, imaginary = eye[:half], eye[half:]
    with torch.no_grad():
        # rows are [real; imaginary]; column pairs of U and V pick the two products of each part of h * r
        columns_u = [x for j in range(half) for x in (real[j], imaginary[j])]
        columns_u += [x for j in range(half) for x in (real[j], imaginary[j])]
        columns_v = [x for j in range(half) for x in (real[j], -imaginary[j])]
        columns_v += [x for j in range(half) for x in (imaginary[j], real[j])]
        scorer.U.copy_(torch.stack(columns_u, 1))
        scorer.V.copy_(torch.stack(columns_v, 1))
    head, relation, tail = every_triple()
    entity = torch.complex(scorer.entity.weight[:, :half], scorer.entity.weight[:, half:])
    weight = torch.complex(scorer.relation[:, :half], scorer.relation[:, half:])
    expected = (entity[head] * weight[relation] * entity[tail].conj()).sum(1).real
    torch.testing.assert_close(scorer.score(head, relation, tail), expected, rtol=1e-12, atol=1e-14)


def test_lowfer_drops_in_three_places() -> None:
    head = torch.arange(N)
    relation = torch.zeros(N, dtype=torch.int64)
    off = {"input_dropout": 0.0, "product_dropout": 0.0, "output_dropout": 0.0}
    quiet = make("lowfer", **off).train()
    assert torch.equal(quiet.query(head, relation)[0], quiet.query(head, relation)[0])
    for name in off:
        scorer = make("lowfer", **{**off, name: 0.5}).train()
        torch.manual_seed(0)
        assert not torch.equal(scorer.query(head, relation)[0], quiet.query(head, relation)[0])
    last = make("lowfer", **{**off, "output_dropout": 0.5}).train().query(head, relation)[0]
    assert 0 < (last == 0).double().mean() < 1


def test_lowfer_batch_of_one_uses_running_statistics() -> None:
    off = {"input_dropout": 0.0, "product_dropout": 0.0, "output_dropout": 0.0}
    scorer = make("lowfer", **off)
    one = torch.ones(1, dtype=torch.int64)
    calm = scorer.query(one, one)[0]
    mean = scorer.input_norm.running_mean.clone()
    assert torch.equal(scorer.train().query(one, one)[0], calm)
    assert torch.equal(scorer.input_norm.running_mean, mean)


def test_lowfer_starts_as_published() -> None:
    scorer = LowFER(2000, 10, dim=100, rank=5)
    assert scorer.entity.weight.std().item() == pytest.approx(math.sqrt(2 / 2100), rel=0.02)
    for factor in (scorer.U, scorer.V):
        assert factor.shape == (100, 500)
        assert -1 <= factor.min() < -0.99
        assert 0.99 < factor.max() <= 1


@pytest.mark.parametrize("scorer", [DistMult, LowFER])
@pytest.mark.parametrize("value", [2.5, "x", True, None])
def test_sizes_are_whole_numbers(scorer: type[Scorer], value: Any) -> None:
    for name in ("num_entities", "num_relations", "dim"):
        sizes = {"num_entities": N, "num_relations": R, name: value}
        with pytest.raises(ShapeError, match=rf"{name}: expected a whole number of at least 1, got {value!r}"):
            scorer(**sizes)
    if scorer is LowFER:
        with pytest.raises(ShapeError, match="rank: expected a whole number"):
            LowFER(N, R, dim=2, rank=value)


@pytest.mark.parametrize("value", [-0.1, 1.0, 1.5, math.nan, "x", None])
def test_dropout_is_a_share_below_one(value: Any) -> None:
    message = rf"dropout: expected a share in \[0, 1\), got {value!r}"
    with pytest.raises(ShapeError, match=f"^{message}"):
        DistMult(N, R, dim=2, dropout=value)
    for name in ("input_dropout", "product_dropout", "output_dropout"):
        with pytest.raises(ShapeError, match=f"^{name.removesuffix('dropout')}{message}"):
            LowFER(N, R, dim=2, rank=2, **{name: value})


@pytest.mark.parametrize("name", SCORERS)
class TestEmbeddings:
    """Tables that come from elsewhere, in every scorer."""

    def test_given_rows_are_used_and_can_stay_as_they_are(self, name: str) -> None:
        weight = torch.randn(N, 4, generator=torch.Generator().manual_seed(3))
        for trainable in (True, False):
            table = Embeddings(N, make(name).entity.dim, weight=weight.clone(), trainable=trainable)
            scorer = SCORERS[name](N, R, **SMALL[name], entities=table).eval()
            assert scorer.entity is table
            assert table.projection is not None  # rows of length 4 for a scorer of another
            torch.testing.assert_close(table(torch.arange(N)), weight @ table.projection)
            head, relation, tail = every_triple()
            scorer.score(head, relation, tail).sum().backward()
            assert (table.weight.grad is not None) == trainable
            assert table.projection.grad is not None

    def test_round_trip_through_a_folder(self, name: str, tmp_path: Path) -> None:
        weight = torch.randn(N, 4, generator=torch.Generator().manual_seed(3))
        table = Embeddings(N, make(name).entity.dim, weight=weight, trainable=False)
        scorer = SCORERS[name](N, R, **SMALL[name], entities=table).eval()
        vocabulary = Vocabulary([f"e{i}" for i in range(N)], [f"r{i}" for i in range(R)])
        again, _, _ = load_scorer(save_scorer(scorer, vocabulary, tmp_path / "run"))
        assert torch.equal(again.score(*every_triple()), scorer.score(*every_triple()))
        assert not again.entity.weight.requires_grad

    def test_a_table_of_another_size_is_refused(self, name: str) -> None:
        table = Embeddings(N + 1, make(name).entity.dim)
        with pytest.raises(ShapeError, match=rf"entities: expected {N} vectors of length \d+, got {N + 1} of length"):
            SCORERS[name](N, R, **SMALL[name], entities=table)


def test_weights_that_are_no_table_of_numbers() -> None:
    with pytest.raises(ShapeError, match=r"weight: expected a floating \[3, d\], got torch.float32 \[2, 4\]"):
        Embeddings(3, 4, weight=torch.zeros(2, 4))
    with pytest.raises(ShapeError, match=r"weight: expected finite numbers, got \[0.0, nan\] in row 1"):
        Embeddings(2, 2, weight=torch.tensor([[0.0, 0.0], [0.0, float("nan")]]))
