"""The hash against published SplitMix64 numbers and plain Python integers."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.sampling.hashing import draw, fold, mix, seed_state

WORD = 2**64
INT64 = st.integers(-(2**63), 2**63 - 1)


def python_mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % WORD
    return x ^ (x >> 31)


def python_fold(state: int, value: int) -> int:
    return python_mix(((state ^ (value % WORD)) + 0x9E3779B97F4A7C15) % WORD)


def test_mix_is_splitmix64() -> None:
    # the first outputs of SplitMix64 seeded with 1234567, as its reference implementation prints them
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    state, out = 1234567, []
    for _ in expected:
        state = (state + 0x9E3779B97F4A7C15) % WORD
        signed = state if state < 2**63 else state - WORD
        out.append(int(mix(torch.tensor([signed]))) % WORD)
    assert out == expected


@given(INT64, INT64)
def test_fold_is_the_same_on_python_integers(state: int, value: int) -> None:
    expected = python_fold(state % WORD, value)
    assert int(fold(torch.tensor([state]), torch.tensor([value]))) % WORD == expected
    assert int(fold(torch.tensor([state]), value)) % WORD == expected


def test_draw_folds_in_the_documented_order() -> None:
    state = 0
    for value in (7, 3, 2, 11, -5):  # seed, epoch, node type, node, time
        state = python_fold(state, value)
    seeds = seed_state(7, 3, 2, torch.tensor([11]), torch.tensor([-5]))
    assert int(seeds) % WORD == state
    for value in (1, 4, 9):  # hop, edge type, target
        state = python_fold(state, value)
    assert int(draw(seeds, 1, 4, torch.tensor([9]))) == state % 2**63


def test_draws_are_spread_evenly() -> None:
    numbers = draw(
        seed_state(0, 0, 0, torch.arange(100_000), torch.zeros((), dtype=torch.int64)), 0, 0, torch.tensor(0)
    )
    counts = torch.bincount(numbers % 10, minlength=10).float()
    assert float(((counts - 10_000) ** 2 / 10_000).sum()) < 27.9  # chi-square, 9 degrees of freedom, p = 0.001
