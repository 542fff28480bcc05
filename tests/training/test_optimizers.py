"""Optimizers and schedules by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from relgraph.errors import ProtocolError
from relgraph.training.optimizers import RowAdagrad, RowAdam, optimizer_maker
from relgraph.training.schedules import scheduler_maker


class Two(nn.Module):
    """A table that is looked up twice and a dense layer."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.sparse = sparse
        self.table = nn.Parameter(torch.randn(9, 4, generator=generator, dtype=torch.float64))
        self.layer = nn.Parameter(torch.randn(4, generator=generator, dtype=torch.float64))

    def loss(self, index: Tensor) -> Tensor:
        left, right = (F.embedding(part, self.table, sparse=self.sparse) for part in (index, index.flip(0) // 2))
        return ((left * right + left.cos()) @ self.layer).sum()


def train(model: Two, optimizer: torch.optim.Optimizer, every_row: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        index = torch.randint(9, (6,), generator=generator)
        optimizer.zero_grad()
        model.loss(torch.cat([index, torch.arange(9)]) if every_row else index).backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [("adagrad", RowAdagrad, {"lr_decay": 0.1}), ("adagrad", RowAdagrad, {}), ("adam", RowAdam, {}), ("sgd", None, {})],
)
def test_sparse_steps_equal_dense_ones(name: str, kind: Any, options: dict[str, Any]) -> None:
    dense, sparse = Two(False), Two(True)
    plain = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[name]
    train(dense, plain(dense.parameters(), lr=0.1, **options), name == "adam")  # type: ignore[operator]
    optimizer = optimizer_maker(name, lr=0.1, sparse=True)(sparse.parameters())
    if kind is not None:
        assert type(optimizer) is kind
        optimizer = kind(sparse.parameters(), lr=0.1, **options)
    train(sparse, optimizer, name == "adam")
    torch.testing.assert_close(sparse.table, dense.table)
    torch.testing.assert_close(sparse.layer, dense.layer)


def test_rows_that_rest_keep_their_bits_under_adam() -> None:
    model = Two(True)
    optimizer = RowAdam(model.parameters(), lr=0.1)
    index = torch.tensor([8, 7])
    train(model, optimizer, every_row=True)
    before = model.table.detach().clone()
    optimizer.zero_grad()
    model.loss(index).backward()
    optimizer.step()
    moved = (model.table.detach() != before).any(1).nonzero().flatten().tolist()
    assert moved == [3, 4, 7, 8]  # flip(0) // 2 looks up 3 and 4


def test_what_would_touch_every_row_is_refused() -> None:
    model = Two(True)
    model.loss(torch.tensor([0])).backward()
    for optimizer in (RowAdam(model.parameters(), weight_decay=0.1), RowAdagrad(model.parameters(), weight_decay=0.1)):
        with pytest.raises(ProtocolError, match=r"weight_decay=0.1 does not go with sparse gradients"):
            optimizer.step()
    with pytest.raises(ProtocolError, match="amsgrad=True does not go"):
        RowAdam(model.parameters(), amsgrad=True).step()
    with pytest.raises(ProtocolError, match="optimizer: 'adamw' has no form that steps touched rows only"):
        optimizer_maker("adamw", lr=0.1, sparse=True)
    with pytest.raises(ProtocolError, match="weight_decay: expected none with sparse tables"):
        optimizer_maker("adam", lr=0.1, weight_decay=0.1, sparse=True)
    with pytest.raises(ProtocolError, match="weight_decay: expected at least 0"):
        optimizer_maker("adam", lr=0.1, weight_decay=-1)
    with pytest.raises(ProtocolError, match="optimizer: expected 'adam', 'adamw', 'adagrad', 'sgd' or a callable"):
        optimizer_maker("lion", lr=0.1)


def test_a_closure_is_called_once_with_gradients() -> None:
    model, calls = Two(True), []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        loss = model.loss(torch.tensor([1, 2]))
        loss.backward()
        return loss

    before = model.table.detach().clone()
    loss = RowAdagrad(model.parameters(), lr=0.1).step(closure)
    assert torch.equal(loss, Two(True).loss(torch.tensor([1, 2])))
    assert calls == [True]
    assert not torch.equal(before, model.table)


def rates(epochs: int, **arguments: Any) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    make = scheduler_maker(arguments.pop("schedule", None), epochs=epochs, **arguments)
    assert make is not None
    scheduler = make(optimizer)
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_rates() -> None:
    half = 0.5
    assert rates(3, decay=half) == rates(3, schedule="exponential", decay=half) == [1.0, 0.5, 0.25]
    assert rates(4, schedule="cosine") == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert rates(5, decay=half, warmup=3) == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.5])
    assert rates(4, schedule="cosine", warmup=2) == pytest.approx([1 / 3, 2 / 3, 1, 0.5])
    assert rates(4, warmup=1) == pytest.approx([0.5, 1, 1, 1])
    assert scheduler_maker(None, epochs=3) is None


def test_plateau_lowers_the_rate_after_two_validations_without_gain() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    make = scheduler_maker("plateau", epochs=9, decay=0.5)
    assert make is not None
    scheduler: Any = make(optimizer)
    found = []
    for value in (0.1, 0.2, 0.2, 0.2, 0.2, 0.3):
        scheduler.step(value)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [1, 1, 1, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "linear"}, "schedule: expected 'exponential', 'cosine', 'plateau' or a callable"),
        ({"schedule": "exponential"}, "decay: schedule='exponential' takes a decay below 1, got 1"),
        ({"schedule": "plateau"}, "decay: schedule='plateau' takes a decay below 1"),
        ({"schedule": "cosine", "decay": 0.9}, "decay: schedule='cosine' takes no decay"),
        ({"decay": 0.0}, r"decay: expected a factor in \(0, 1\]"),
        ({"warmup": 5}, "warmup: expected whole epochs from 0 to below 5, got 5"),
        ({"warmup": 1, "schedule": "plateau", "decay": 0.5}, "warmup: 'plateau' cannot have one"),
    ],
)
def test_bad_schedules(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        scheduler_maker(arguments.pop("schedule", None), epochs=5, **arguments)
