"""LowFER beyond the contract: the scorers it contains, its dropouts, its start, and the table of ``R V``."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from relgraph.kge.scorers import ComplEx, DistMult, LowFER, Scorer, TuckER
from relgraph.kge.scorers import lowfer as module
from tests.kge.test_scorers import N, R, every_triple, make

OFF = {"input_dropout": 0.0, "product_dropout": 0.0, "output_dropout": 0.0}


def bilinear(dim: int, rank: int, relation_dim: int | None = None) -> LowFER:
    """LowFER as in the theory of the paper, without norms."""
    return LowFER(N, R, dim=dim, relation_dim=relation_dim, rank=rank, normalize=False).double().eval()


@torch.no_grad()
def fix(lowfer: LowFER, left: Tensor, right: Tensor, same: Scorer | None = None) -> None:
    """Set ``U`` and ``V``, and give another scorer the same rows."""
    lowfer.U.copy_(left)
    lowfer.V.copy_(right)
    if same is not None:
        same.entity.weight.copy_(lowfer.entity.weight)
        same.get_parameter("relation").copy_(lowfer.relation)


def assert_same(lowfer: LowFER, expected: Tensor) -> None:
    torch.testing.assert_close(lowfer.score(*every_triple()), expected, rtol=1e-12, atol=1e-14)


def replace(lowfer: LowFER, name: str) -> None:
    """Another parameter that changed in place as often as the old one."""
    old = lowfer.get_parameter(name)
    new = torch.nn.Parameter(old * 2 + 0.1)
    while new._version < old._version:
        new.mul_(1)
    setattr(lowfer, name, new)


class TestSpecialCases:
    """Section 4 of the paper: with fixed ``U`` and ``V`` the score is that of another scorer."""

    def test_distmult(self) -> None:
        lowfer, distmult = bilinear(4, 1), DistMult(N, R, dim=4).double()
        eye = torch.eye(4)
        fix(lowfer, eye, eye, distmult)
        assert_same(lowfer, distmult.score(*every_triple()))

    def test_complex(self) -> None:
        half = 3
        lowfer, other = bilinear(2 * half, 2), ComplEx(N, R, dim=half).double()
        real, imaginary = torch.eye(2 * half).split(half)
        # rows are [real; imaginary]; column pairs of U and V pick the two products of each part of h * r
        left = [x for _ in range(2) for j in range(half) for x in (real[j], imaginary[j])]
        right = [x for j in range(half) for x in (real[j], -imaginary[j])]
        right += [x for j in range(half) for x in (imaginary[j], real[j])]
        fix(lowfer, torch.stack(left, 1), torch.stack(right, 1), other)
        assert_same(lowfer, other.score(*every_triple()))

    def test_simple(self) -> None:
        half = 3
        lowfer = bilinear(2 * half, 1)
        swap = torch.eye(2 * half).roll(half, 0)
        # rows are [as head; as tail] and [forward; backward]
        fix(lowfer, swap, swap / 2)
        as_head, as_tail = lowfer.entity.weight.chunk(2, 1)
        forward, backward = lowfer.relation.chunk(2, 1)
        head, relation, tail = every_triple()
        one = (as_head[head] * forward[relation] * as_tail[tail]).sum(1)
        two = (as_head[tail] * backward[relation] * as_tail[head]).sum(1)
        assert_same(lowfer, (one + two) / 2)

    def test_rescal(self) -> None:
        d = 3
        lowfer = bilinear(d, d, relation_dim=d * d)
        # column c * d + a holds the term of row a and column c of a relation's matrix
        left = torch.eye(d).repeat(1, d)
        right = torch.eye(d * d).view(d * d, d, d).transpose(1, 2).flatten(1)
        fix(lowfer, left, right)
        matrix = lowfer.relation.view(2 * R, d, d)
        head, relation, tail = every_triple()
        e = lowfer.entity.weight
        assert_same(lowfer, torch.einsum("ba,bac,bc->b", e[head], matrix[relation], e[tail]))

    def test_tucker(self) -> None:
        d, relation_dim = 3, 4
        lowfer, tucker = bilinear(d, d, relation_dim), TuckER(N, R, dim=d, relation_dim=relation_dim).double().eval()
        fix(lowfer, torch.eye(d).repeat(1, d), tucker.core.transpose(1, 2).flatten(1), tucker)
        for norm in (tucker.input_norm, tucker.output_norm):
            norm.running_var.fill_(1 - norm.eps)  # the identity
        assert_same(lowfer, tucker.score(*every_triple()))


def test_it_drops_in_three_places() -> None:
    head = torch.arange(N)
    relation = torch.zeros(N, dtype=torch.int64)
    quiet = make("lowfer", **OFF).train()
    assert torch.equal(quiet.query(head, relation)[0], quiet.query(head, relation)[0])
    for name in OFF:
        scorer = make("lowfer", **{**OFF, name: 0.5}).train()
        torch.manual_seed(0)
        assert not torch.equal(scorer.query(head, relation)[0], quiet.query(head, relation)[0])
    last = make("lowfer", **{**OFF, "output_dropout": 0.5}).train().query(head, relation)[0]
    assert 0 < (last == 0).double().mean() < 1


def test_a_batch_of_one_uses_running_statistics() -> None:
    scorer = make("lowfer", **OFF)
    one = torch.ones(1, dtype=torch.int64)
    calm = scorer.query(one, one)[0]
    mean = scorer.input_norm.running_mean.clone()
    torch.testing.assert_close(scorer.train().query(one, one)[0], calm, rtol=1e-12, atol=1e-14)
    assert torch.equal(scorer.input_norm.running_mean, mean)


def test_it_starts_as_published() -> None:
    scorer = LowFER(2000, 10, dim=100, rank=5)
    assert scorer.entity.weight.std().item() == pytest.approx(math.sqrt(2 / 2100), rel=0.02)
    assert scorer.relation.std().item() == pytest.approx(math.sqrt(2 / 120), rel=0.05)
    for factor in (scorer.U, scorer.V):
        assert factor.shape == (100, 500)
        assert -1 <= factor.min() < -0.99
        assert 0.99 < factor.max() <= 1


class TestRelationTable:
    """``R V`` is kept in evaluation, and never longer than it is true."""

    head, relation = torch.arange(N), torch.arange(N) % R

    def published(self) -> LowFER:
        """With norms, and the first answer asked, so that there is a table."""
        scorer = make("lowfer")
        assert isinstance(scorer, LowFER)
        self.ask(scorer)
        assert scorer._table is not None
        return scorer

    @torch.no_grad()
    def ask(self, scorer: Scorer) -> Tensor:
        return scorer.query(self.head, self.relation)[0]

    def test_it_changes_no_query(self) -> None:
        scorer = self.published()
        uncached = scorer.query(self.head, self.relation)[0]  # with gradients there is no table
        assert uncached.requires_grad
        torch.testing.assert_close(self.ask(scorer), uncached.detach(), rtol=1e-13, atol=1e-15)
        heads = scorer.query(None, self.relation, self.head, position="head")[0].detach()
        with torch.inference_mode():
            cached = scorer.query(None, self.relation, self.head, position="head")[0]
        torch.testing.assert_close(cached.clone(), heads, rtol=1e-13, atol=1e-15)

    def test_it_is_made_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        scorer = self.published()
        made = scorer._table
        self.ask(scorer)
        assert scorer._table is made
        monkeypatch.setattr(module, "_TABLE_BYTES", 2 * R * 15 * 8 - 1)
        plain = self.ask(copy.deepcopy(scorer))
        scorer = make("lowfer")
        torch.testing.assert_close(self.ask(scorer), plain, rtol=1e-13, atol=1e-15)
        assert scorer._table is None  # one byte too large

    @pytest.mark.parametrize("name", ["relation", "V"])
    @pytest.mark.parametrize(
        "change",
        [
            lambda scorer, name: scorer.get_parameter(name).mul_(2).add_(0.1),
            lambda scorer, name: replace(scorer, name),
            lambda scorer, name: scorer.load_state_dict({**scorer.state_dict(), name: scorer.get_parameter(name) + 1}),
            lambda scorer, name: (scorer.train(), scorer.get_parameter(name).data.add_(1), scorer.eval()),
            lambda scorer, name: (scorer.get_parameter(name).data.add_(1), scorer.double()),
        ],
        ids=["in place", "replaced", "loaded", "trained", "moved"],
    )
    def test_it_follows_the_parameters(self, name: str, change: Callable[[LowFER, str], object]) -> None:
        scorer = self.published()
        before = self.ask(scorer)
        with torch.no_grad():
            change(scorer, name)
        after = self.ask(scorer)
        assert not torch.allclose(after, before)
        torch.testing.assert_close(after, scorer.query(self.head, self.relation)[0].detach(), rtol=1e-13, atol=1e-15)

    def test_it_has_the_dtype_of_the_parameters_under_autocast(self) -> None:
        scorer = make("lowfer").float()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            scorer.query(self.head, self.relation)
        exact = self.ask(scorer)
        assert exact.dtype == torch.float32
        torch.testing.assert_close(exact, self.ask(make("lowfer").float()))
