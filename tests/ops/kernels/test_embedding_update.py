"""Row updates as a kernel and as compiled loops, against the PyTorch reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from relgraph.ops import embedding_update, use_backend

STATES = {"sgd": 0, "adagrad": 1, "adam": 2}
INDEX = {
    "each once": torch.tensor([5, 3, 0]),
    "hub": torch.full((77,), 4),
    "repeats": torch.randint(9, (60,), generator=torch.Generator().manual_seed(0)),
    "eight and nine": torch.tensor([2] * 8 + [6] * 9 + [7] * 16),
    "none": torch.zeros(0, dtype=torch.int64),
}


def after(
    backend: str,
    rule: str,
    index: Tensor,
    d: int,
    dtype: torch.dtype,
    strided: bool = False,
    to: torch.dtype | None = None,
) -> list[Tensor]:
    """The tables after three steps: computed in ``to``, from numbers that ``dtype`` can hold."""
    generator = torch.Generator().manual_seed(1)

    def draw(n: int) -> Tensor:
        return torch.randn(n, d, generator=generator).to(dtype).to(to or dtype)

    tables = [draw(9), *(draw(9).square() for _ in range(STATES[rule]))]
    if strided:
        tables = [x.T.contiguous().T for x in tables]
    with use_backend(backend):  # type: ignore[arg-type]
        for step in (1, 2, 3):
            gradient = draw(len(index))
            gradient = gradient.T.contiguous().T if strided else gradient
            embedding_update(
                tables[0],
                index,
                gradient,
                rule=rule,
                lr=0.1,
                state=tables[1:],
                eps=1e-6,
                step=step,  # type: ignore[arg-type]
            )
    return tables


@pytest.mark.slow
@pytest.mark.parametrize("rule", STATES)
@pytest.mark.parametrize("case", INDEX)
@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_as_exact_as_the_reference(backend: str, case: str, rule: str) -> None:
    for d in (1, 37):
        exact = after("torch", rule, INDEX[case], d, torch.float32, to=torch.float64)
        plain = after("torch", rule, INDEX[case], d, torch.float32)
        for mine, theirs, true in zip(after(backend, rule, INDEX[case], d, torch.float32), plain, exact, strict=True):
            assert (mine - true).abs().max() <= 2 * (theirs - true).abs().max() + 2e-7 * true.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("rule", STATES)
def test_half_precision_and_float64(rule: str) -> None:
    exact = after("torch", rule, INDEX["repeats"], 5, torch.float16, to=torch.float64)
    plain = after("torch", rule, INDEX["repeats"], 5, torch.float16)
    for mine, theirs, true in zip(after("triton", rule, INDEX["repeats"], 5, torch.float16), plain, exact, strict=True):
        assert (mine - true).abs().max() <= 2 * (theirs - true).abs().max() + 1e-3 * true.abs().max()
    wide = [after(backend, rule, INDEX["repeats"], 5, torch.float64) for backend in ("numba", "torch")]
    for mine, theirs in zip(*wide, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_strided_tables_are_written(backend: str) -> None:
    both = [after(backend, "adam", INDEX["repeats"], 6, torch.float32, strided) for strided in (True, False)]
    for strided, straight in zip(*both, strict=True):
        torch.testing.assert_close(strided, straight)


@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_other_rows_keep_their_bits(backend: str) -> None:
    before, now = (
        after("torch", "adam", INDEX["none"], 3, torch.float32),
        after(backend, "adam", INDEX["hub"], 3, torch.float32),
    )
    for old, new in zip(before, now, strict=True):
        assert (old != new).any(1).nonzero().flatten().tolist() == [4]
