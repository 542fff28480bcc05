"""The parts of HyperFormer, each against a plain version of itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from relgraph.data.statements import Qualifiers
from relgraph.errors import ProtocolError, ShapeError
from relgraph.kge import HyperFormer, fit
from relgraph.kge.layers.experts import Experts
from relgraph.kge.layers.interaction import Interaction
from relgraph.kge.layers.norm import BatchNorm
from relgraph.kge.layers.sequences import Sequences, by_length, interleave
from relgraph.kge.questions import MISSING, Questions, ask
from tests.kge.test_evaluation import Fact, N, R, facts, statements

SIZES: dict[str, Any] = {"dim": 9, "layers": 2, "heads": 3, "hidden": 4, "experts": 3, "channels": 2, "kernel": 3}
ROWS: list[Fact] = [
    (0, 0, 1, ((1, 5),)),
    (1, 1, 2, ()),
    (2, 0, 0, ((0, 4), (1, 3))),
    (0, 1, 3, ((1, 5), (0, 2), (1, 1))),
    (3, 1, 3, ()),
]


def make(**changes: Any) -> HyperFormer:
    scorer = HyperFormer(N, R, **{**SIZES, **changes}).double()
    scorer.learn_from(statements(ROWS))
    return scorer.eval()


@pytest.mark.parametrize("tokens", [1, 7, 50])
@pytest.mark.parametrize("top", [1, 2, 5])
def test_grouped_experts_equal_a_loop_over_them(tokens: int, top: int) -> None:
    torch.manual_seed(0)
    experts = Experts(6, 4, 5, top=top).double()
    x = torch.randn(tokens, 6, dtype=torch.float64)
    weight = torch.randn(tokens, 6, dtype=torch.float64)

    def by_loop(x: Tensor) -> Tensor:
        score, best = experts.gate(x).topk(top, 1)
        answer = torch.zeros_like(x)
        for e in range(5):
            out = (x @ experts.up[e] + experts.up_bias[e]).relu() @ experts.down[e] + experts.down_bias[e]
            share = torch.where(best == e, score.softmax(1), 0.0).sum(1, keepdim=True)
            answer = answer + share * out
        return answer

    results = []
    for compute in (experts, by_loop):
        asked = x.clone().requires_grad_()
        out = compute(asked)
        gradient = torch.autograd.grad((out * weight).sum(), [asked, *experts.parameters()])
        results.append([out, *gradient])
    for grouped, plain in zip(*results, strict=True):
        torch.testing.assert_close(grouped, plain, rtol=1e-12, atol=1e-12)
    with pytest.raises(ShapeError, match=r"top: expected a number in 1\.\.5"):
        Experts(6, 4, 5, top=6)


def test_the_grid_is_a_chequered_torus() -> None:
    part = Interaction(12, 2, 3, (0.0, 0.0, 0.0)).double().eval()
    height, width = part.grid
    assert (height, width) == (3, 8)
    cells = part.order.view(height, width)
    assert sorted(part.order.tolist()) == list(range(24))
    whose = cells >= 12
    assert bool((whose[:, 1:] != whose[:, :-1]).all())
    assert bool((whose[1:] != whose[:-1]).all())
    first, second = torch.randn(2, 4, 12, dtype=torch.float64)
    grid = part.grid_norm(torch.cat([first, second], 1)[:, None, part.order])[:, 0].view(4, height, width)
    found = torch.zeros(4, 2, height, width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            for a in range(3):
                for b in range(3):
                    cell = grid[:, (i + a - 1) % height, (j + b - 1) % width]
                    found[:, :, i, j] += cell[:, None] * part.filters[:, 0, a, b]
    expected = part.output_norm(part.linear(part.filter_norm(found).relu().flatten(1)))
    torch.testing.assert_close(torch.cat(part(first, second), 1), expected)
    with pytest.raises(ShapeError, match="kernel: expected an odd side of at most 3"):
        Interaction(12, 2, 5, (0.0, 0.0, 0.0))


def test_batch_norm_of_one_row_uses_running_statistics() -> None:
    norm = BatchNorm(3).train()
    x = torch.randn(1, 3, 2)
    torch.testing.assert_close(norm(x), x / (1 + 1e-5) ** 0.5)
    assert norm.num_batches_tracked == 0
    assert norm(torch.zeros(0, 3)).shape == (0, 3)


@given(rows=st.lists(facts, max_size=8), position=st.sampled_from(["tail", "qualifier"]))
def test_sequences_are_the_statements(rows: list[Fact], position: Any) -> None:
    questions, answer, source = ask(statements(rows), position)
    groups = list(by_length(questions))
    assert torch.cat(groups).sort().values.tolist() == list(range(len(questions)))
    for group in groups:
        sequences = Sequences.of(questions.select(group))
        tokens = interleave(sequences.entity[..., None], sequences.relation[..., None])[..., 0]
        sizes = sequences.real.sum(1)
        assert int(sizes.max() if len(group) else 0) <= 2 * int(sizes.min() if len(group) else 0)
        for i, row in enumerate(group.tolist()):
            h, r, t, pairs = rows[int(source[row])]
            expected = [h, r, t, *(x for pair in pairs for x in pair)]
            got = tokens[i][sequences.real[i]].tolist()
            assert got[sequences.asked[i]] == MISSING
            got[sequences.asked[i]] = int(answer[row])
            assert got == expected


def test_full_inference_by_hand() -> None:
    scorer = make(inference="full")
    train = statements(ROWS)
    whole = scorer.query(train.head, train.relation, None, train.qualifiers)[0]
    # the facts about each head, but the one asked about, the first of them; two qualifiers of each at most
    around = {
        0: [(2, 0, [(0, 4), (1, 3)]), (3, 1 + R, [(1, 5), (0, 2)])],
        1: [(0, 0, [(1, 5)])],
        2: [(1, 1, [])],
        3: [(2 + 0, 0, [(0, 4), (1, 3)]), (1, 0 + R, [(1, 5)])],
        4: [(0, 1, [(1, 5), (0, 2)])],
    }
    for i, (h, r, _, pairs) in enumerate(ROWS):
        plain = _one(scorer, h, r, pairs)
        found = [_one(scorer, *fact)[0] for fact in around[i]]
        neighbor = torch.stack(found).mean(0, keepdim=True)
        product = [scorer.norm(scorer.relation[q]) * scorer.norm(scorer.entity.weight[v]) for q, v in pairs]
        qualifier = torch.stack(product).mean(0, keepdim=True) if product else scorer.no_qualifier
        by_relation = scorer.interaction(neighbor, plain[1][None])[0]
        by_qualifier, of_neighbor = scorer.interaction(neighbor, qualifier)
        of_relation = scorer.interaction(plain[1][None], qualifier)[1]
        change = scorer.fusion(by_relation, by_qualifier)[0], scorer.fusion(of_neighbor, of_relation)[0]
        expected = plain[0] + _one(scorer, h, r, pairs, change)[0]
        torch.testing.assert_close(whole[i], expected, rtol=1e-10, atol=1e-12)


def _one(
    scorer: HyperFormer, h: int, r: int, pairs: Any, change: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """The encoder's outputs at MASK and at the relation of one sequence."""
    tokens = [scorer.norm(scorer.entity.weight[h]), scorer.norm(scorer.relation[r]), scorer.mask[0]]
    if change is not None:
        tokens[:2] = [(token + more) / 2 for token, more in zip(tokens, change, strict=False)]
    for q, v in pairs:
        tokens += [scorer.norm(scorer.relation[q]), scorer.norm(scorer.entity.weight[v])]
    out = scorer.encoder(torch.stack(tokens)[None], torch.ones(1, len(tokens), dtype=torch.bool))[0]
    return out[2], out[1]


@pytest.mark.slow
def test_rows_with_qualifiers_are_independent_in_eval_mode() -> None:
    scorer = make(inference="full", roles=True)
    train = statements(ROWS)
    for position in ("tail", "head", "qualifier"):
        questions, _, _ = ask(train, position)  # type: ignore[arg-type]
        whole = scorer.encode(questions)[0]
        for i in range(len(questions)):
            torch.testing.assert_close(scorer.encode(questions.select(torch.tensor([i])))[0][0], whole[i])


def test_training_terms_are_weighted_as_published() -> None:
    scorer = make()
    questions, answer, _ = ask(statements(ROWS), "tail")
    answers = torch.arange(len(answer) + 1), answer
    plain, mixed, neighbors = scorer.training_terms(questions, answers)
    assert [term.weight for term in (plain, mixed, neighbors)] == [1.0, 1.0, 0.5]
    assert torch.equal(plain.query, scorer.encode(questions)[0])
    scorer.inference = "full"
    torch.testing.assert_close(plain.query + mixed.query, scorer.encode(questions)[0])
    assert len(make(neighbors=0).training_terms(questions, answers)) == 1


def test_head_and_value_of_a_qualifier_are_told_apart_by_roles_only() -> None:
    one = torch.tensor([1])
    for roles in (False, True):
        scorer = make(roles=roles)
        usual = scorer.score(one, one, one, Qualifiers(torch.tensor([0, 1]), one, one * 4))
        swapped = scorer.score(one * 4, one, one, Qualifiers(torch.tensor([0, 1]), one, one))
        assert torch.allclose(usual, swapped) is not roles


def test_every_role_gets_a_gradient() -> None:
    scorer = make(roles=True)
    for position in ("tail", "qualifier"):
        questions, _, _ = ask(statements(ROWS), position)  # type: ignore[arg-type]
        scorer.encode(questions)[0].pow(3).sum().backward()
    for parameter in (scorer.entity_roles, scorer.relation_roles):
        assert parameter is not None
        assert parameter.grad is not None
        assert bool((parameter.grad != 0).any(1).all())


def test_more_qualifiers_than_allowed() -> None:
    scorer = HyperFormer(N, R, **{**SIZES, "neighbors": 0}, max_qualifiers=2)
    train = statements(ROWS)
    with pytest.raises(ProtocolError, match=r"at most 2 qualifiers in a statement \(max_qualifiers\), got 3 in state"):
        fit(scorer, train, epochs=1, progress=False)
    with pytest.raises(ProtocolError, match="got 3 in statement 0"):
        scorer.score(train.head[3:4], train.relation[3:4], train.tail[3:4], train.select(torch.tensor([3])).qualifiers)
    allowed = HyperFormer(N, R, **{**SIZES, "neighbors": 0}, max_qualifiers=3)
    assert len(fit(allowed, train, epochs=1, progress=False)) == 1


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ShapeError, match="heads: expected a divisor of dim, got 2 heads for 9 coordinates"):
        make(heads=2)
    with pytest.raises(ShapeError, match="neighbors: expected a whole number of at least 0, got -1"):
        make(neighbors=-1)
    with pytest.raises(ShapeError, match=r"conv_dropout\[1\]: expected a share"):
        make(conv_dropout=(0.1, 1.0, 0.1))
    with pytest.raises(ShapeError, match="row_range: expected a number above 0, got 0"):
        make(row_range=0)
    with pytest.raises(ProtocolError, match="inference: expected 'published' or 'full', got 'half'"):
        make(inference="half")
    with pytest.raises(ProtocolError, match="inference='full' needs the neighbours' modules"):
        make(inference="full", neighbors=0)


def test_a_statement_without_a_tail_is_asked_for_its_tail() -> None:
    scorer = make()
    mixed = Questions(torch.tensor([0, 0]), torch.tensor([1, 1]), torch.tensor([MISSING, MISSING]))
    assert torch.equal(scorer.encode(mixed)[0], scorer.encode(Questions(mixed.entity, mixed.relation))[0])
