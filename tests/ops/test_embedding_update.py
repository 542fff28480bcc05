"""Row-sparse optimizer steps against the dense optimizers of torch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.errors import ShapeError
from relgraph.ops import embedding_update, use_backend


def steps(n: int, d: int, count: int, seed: int, every_row: bool) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        index = torch.randint(n, (int(torch.randint(1, 9, (), generator=generator)),), generator=generator)
        index = torch.cat([index, torch.randperm(n, generator=generator)]) if every_row else index
        found.append((index, torch.randn(len(index), d, dtype=torch.float64, generator=generator)))
    return found


@given(
    rule=st.sampled_from(["sgd", "adagrad", "adam"]),
    n=st.integers(1, 6),
    d=st.integers(1, 3),
    count=st.integers(1, 4),
    seed=st.integers(0, 2**20),
)
def test_equals_the_dense_optimizer(rule: str, n: int, d: int, count: int, seed: int) -> None:
    dense = torch.nn.Parameter(
        torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
    )
    table = dense.detach().clone()
    state = [torch.zeros_like(table) for _ in range({"sgd": 0, "adagrad": 1, "adam": 2}[rule])]
    kind = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam}[rule]
    optimizer = kind([dense], lr=0.1)
    eps = optimizer.param_groups[0].get("eps", 0.0)
    # the lazy rule of Adam is the dense one where every row is touched in every step
    for number, (index, gradient) in enumerate(steps(n, d, count, seed, rule == "adam"), 1):
        dense.grad = torch.zeros_like(dense).index_add_(0, index, gradient)
        optimizer.step()
        embedding_update(table, index, gradient, rule=rule, lr=0.1, state=state, eps=eps, step=number)  # type: ignore[arg-type]
        torch.testing.assert_close(table, dense.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adam"])
def test_other_rows_keep_their_bits(rule: str) -> None:
    table = torch.randn(50, 3)
    state = [torch.rand(50, 3) for _ in range({"sgd": 0, "adagrad": 1, "adam": 2}[rule])]
    before = [x.clone() for x in (table, *state)]
    embedding_update(table, torch.tensor([7, 3, 7]), torch.ones(3, 3), rule=rule, lr=0.1, state=state)  # type: ignore[arg-type]
    for now, then in zip((table, *state), before, strict=True):
        assert (now != then).any(1).nonzero().flatten().tolist() == [3, 7]


def test_a_lazy_row_stands_still_between_its_steps() -> None:
    table, state = torch.zeros(2, 1), [torch.zeros(2, 1), torch.zeros(2, 1)]
    embedding_update(table, torch.tensor([0]), torch.ones(1, 1), rule="adam", lr=0.1, state=state, eps=0.0)
    assert table[0].item() == pytest.approx(-0.1)
    embedding_update(table, torch.tensor([1]), torch.ones(1, 1), rule="adam", lr=0.1, state=state, eps=0.0, step=2)
    assert table[0].item() == pytest.approx(-0.1)
    m, v = 0.1 / (1 - 0.9**2), 0.001 / (1 - 0.999**2)
    assert table[1].item() == pytest.approx(-0.1 * m / v**0.5)


def test_bad_input() -> None:
    table, index, ones = torch.zeros(4, 2), torch.tensor([0, 3]), torch.ones(2, 2)
    with pytest.raises(ShapeError, match="rule: expected one of 'sgd'"):
        embedding_update(table, index, ones, rule="lion", lr=0.1)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="weight: expected a floating"):
        embedding_update(table[0], index, ones, rule="sgd", lr=0.1)
    with pytest.raises(ShapeError, match=r"index: expected rows in 0..3, got 0..4"):
        embedding_update(table, index + index // 3, ones, rule="sgd", lr=0.1)
    with pytest.raises(ShapeError, match="index: expected int64"):
        embedding_update(table, index.int(), ones, rule="sgd", lr=0.1)
    with pytest.raises(ShapeError, match=r"gradient: expected torch.float32 \[2, 2\]"):
        embedding_update(table, index, ones[:1], rule="sgd", lr=0.1)
    with pytest.raises(ShapeError, match="state: expected 1 tables"):
        embedding_update(table, index, ones, rule="adagrad", lr=0.1)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adam"])
def test_both_backends_take_the_same_step(rule: str, dtype: torch.dtype, threads: int) -> None:
    """Many repeats, one row that has most of them, a step far on, a learning rate of 0, gradients in any layout."""
    generator = torch.Generator().manual_seed(0)
    index = torch.cat([torch.randint(500, (900,), generator=generator), torch.full((300,), 7)])
    gradient = torch.randn(20, len(index), dtype=dtype, generator=generator).T
    found, before = [], torch.get_num_threads()
    for backend in ("numba", "torch"):
        tables = [torch.rand(500, 20, dtype=dtype, generator=torch.Generator().manual_seed(i)) for i in range(3)]
        state = tables[1 : 1 + {"sgd": 0, "adagrad": 1, "adam": 2}[rule]]
        torch.set_num_threads(threads)
        with use_backend(backend):  # type: ignore[arg-type]
            for lr in (0.1, 0.0):
                embedding_update(
                    tables[0],
                    index,
                    gradient,
                    rule=rule,
                    lr=lr,
                    state=state,
                    betas=(0.9, 0.999),
                    step=1000,  # type: ignore[arg-type]
                )
        torch.set_num_threads(before)
        found.append(tables)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-13}
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


@pytest.mark.slow
def test_a_table_that_is_a_view_is_updated_in_place() -> None:
    wide = torch.zeros(4, 6)
    embedding_update(wide[:, ::2], torch.tensor([1]), torch.ones(1, 3), rule="sgd", lr=1.0)
    assert wide[1].tolist() == [-1, 0, -1, 0, -1, 0]


def test_no_rows_are_no_step() -> None:
    for backend in ("numba", "torch"):
        table = torch.ones(3, 2)
        with use_backend(backend):  # type: ignore[arg-type]
            embedding_update(table, torch.zeros(0, dtype=torch.int64), torch.ones(0, 2), rule="sgd", lr=1.0)
        assert bool((table == 1).all())
