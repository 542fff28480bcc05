"""One contract for every scorer, and every scorer's formula written out term by term."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from relgraph.data.statements import Qualifiers, Vocabulary
from relgraph.errors import ProtocolError, SchemaError, ShapeError
from relgraph.kge import Embeddings, load_scorer, save_scorer
from relgraph.kge.questions import Questions
from relgraph.kge.scorers import SCORERS, Scorer
from tests.kge.formulas import FORMULAS
from tests.kge.test_evaluation import statements
from tests.kge.transformer_by_loops import FACTS

N, R = 7, 3
SMALL: dict[str, dict[str, Any]] = {
    "complex": {"dim": 5, "dropout": 0.3},
    "distmult": {"dim": 5, "dropout": 0.3},
    "lowfer": {"dim": 5, "relation_dim": 4, "rank": 3},
    "hyperformer": {"dim": 9, "layers": 1, "heads": 3, "hidden": 4, "experts": 3, "channels": 2, "kernel": 3},
    "stare": {"dim": 6, "layers": 1, "transformer_layers": 1, "heads": 2, "hidden": 2, "places": 1},
    "nfe1": {"dim": 5, "gamma": 1.5},
    "nfe2": {"dim": 5, "gamma": 1.5},
    "nfe3": {"dim": 5, "gamma": 1.5},
    "nfe-mu": {"dim": 5, "gamma": 1.5},
    "nfe-sigma": {"dim": 5, "gamma": 1.5},
    "rotate": {"dim": 5, "gamma": 1.5},
    "transe": {"dim": 5, "gamma": 1.5},
    "tucker": {"dim": 5, "relation_dim": 4},
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

    def test_some_candidates_are_rows_of_all(self, name: str) -> None:
        scorer = make(name)
        index = torch.tensor([3, 0, 3, 6])
        for some, every in zip(scorer.candidates_at(index), scorer.candidates(), strict=True):
            assert (some is None) == (every is None)
            assert some is None or torch.equal(some, every[index])

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


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("value", [2.5, "x", True, None])
def test_sizes_are_whole_numbers(name: str, value: Any) -> None:
    for size in ("num_entities", "num_relations", "dim", "rank"):
        if size in make(name).arguments:
            sizes = {"num_entities": N, "num_relations": R, size: value}
            with pytest.raises(ShapeError, match=rf"{size}: expected a whole number of at least 1, got {value!r}"):
                SCORERS[name](**sizes)


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("value", [-0.1, 1.0, 1.5, math.nan, "x", None])
def test_dropout_is_a_share_below_one(name: str, value: Any) -> None:
    given = {argument: x for argument, x in make(name).arguments.items() if argument.endswith("dropout")}
    for dropout, usual in given.items():
        several = isinstance(usual, list)
        where = rf"{dropout}\[1\]" if several else dropout
        wrong = [0.1, value, 0.1] if several else value
        with pytest.raises(ShapeError, match=rf"^{where}: expected a share in \[0, 1\), got {value!r}"):
            SCORERS[name](N, R, **{**SMALL[name], dropout: wrong})
        if several:
            with pytest.raises(ShapeError, match=rf"^{dropout}: expected three shares in \[0, 1\), got {value!r}"):
                SCORERS[name](N, R, **{**SMALL[name], dropout: value})


@pytest.mark.parametrize("name", ["distmult", "tucker", "lowfer"])
def test_factors_are_rows(name: str) -> None:
    scorer = make(name)
    questions, answer = Questions(torch.tensor([2, 0]), torch.tensor([1, 4])), torch.tensor([5, 6])
    left, relation, right = scorer.factors(questions, answer)
    assert torch.equal(left, scorer.entity.weight[[2, 0]])
    assert torch.equal(relation, scorer.get_parameter("relation")[[1, 4]])
    assert torch.equal(right, scorer.entity.weight[[5, 6]])


@pytest.mark.parametrize(("name", "expected"), [("complex", 3), ("rotate", 2)])
def test_factors_of_complex_rows_are_moduli(name: str, expected: int) -> None:
    scorer = make(name)
    with torch.no_grad():
        scorer.entity.weight[2] = 0
    factors = scorer.factors(Questions(torch.tensor([2, 0]), torch.tensor([1, 4])), torch.tensor([5, 6]))
    assert len(factors) == expected
    assert all(factor.shape == (2, 5) for factor in factors)
    weight = scorer.entity.weight.tolist()
    moduli = [[abs(complex(weight[row][j], weight[row][5 + j])) for j in range(5)] for row in (5, 6)]
    torch.testing.assert_close(factors[-1], torch.tensor(moduli, dtype=torch.float64))
    sum(factor.pow(3).sum() for factor in factors).backward()
    assert scorer.entity.weight.grad is not None
    assert scorer.entity.weight.grad.isfinite().all()  # also where a modulus is zero


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
