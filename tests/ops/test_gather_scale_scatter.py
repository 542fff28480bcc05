"""Message passing by every backend: against the formula in float64, with all gradients, on edges of every kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops import use_backend
from relgraph.ops.gather_scale_scatter import gather_scale_scatter

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
GIVEN = ["plain", "relation", "weight", "heads", "all"]


class Case(NamedTuple):
    sources: int
    targets: int
    edges: int
    columns: int
    order: str = "any"


CASES = {
    "odd": Case(7, 5, 41, 12),
    "wide": Case(9, 30, 60, 260),
    "no edges": Case(3, 4, 0, 8),
    "one edge": Case(1, 1, 1, 4),
    "no columns": Case(3, 3, 5, 0),
    "no targets": Case(3, 0, 0, 4),
    "hub": Case(6, 8, 100, 20, "hub"),
    "sorted": Case(50, 40, 100, 36, "sorted"),
}


@pytest.fixture(params=["torch", "numba", "triton", "triton, deterministic"])
def chosen(request: pytest.FixtureRequest) -> Iterator[str]:
    name, _, exact = request.param.partition(", ")
    if name == "triton":
        pytest.importorskip("triton")
        if DEVICE.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
            pytest.skip("needs TRITON_INTERPRET=1 or a GPU")
    if name == "numba" and DEVICE.type != "cpu":
        pytest.skip("Numba runs on the CPU")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(bool(exact))
    with use_backend(name):  # type: ignore[arg-type]
        yield name
    torch.use_deterministic_algorithms(before)


def make(case: Case, given: str, dtype: torch.dtype, device: torch.device = DEVICE) -> tuple[Tensor, dict[str, Any]]:
    generator = torch.Generator().manual_seed(case.edges)
    source, target = (torch.randint(max(n, 1), (case.edges,), generator=generator) for n in case[:2])
    if case.order == "hub":
        target[:] = 3
    if case.order == "sorted":
        target = target.sort().values
    x = torch.randn(case.sources, case.columns, generator=generator).to(device, dtype).requires_grad_()
    more: dict[str, Any] = {}
    if given in ("relation", "all"):
        more["relation"] = torch.randn(3, case.columns, generator=generator).to(device, dtype).requires_grad_()
        more["edge_type"] = torch.randint(3, (case.edges,), generator=generator).to(device)
    if given in ("weight", "heads", "all"):
        shape = (case.edges, 4) if given != "weight" else (case.edges,)
        more["edge_weight"] = torch.randn(shape, generator=generator).to(device, dtype).requires_grad_()
    return x, {"edge_index": torch.stack([source, target]).to(device), "num_targets": case.targets, **more}


def exact(x: Tensor, arguments: dict[str, Any], reduce: str) -> list[Tensor]:
    """The formula in float64, edge by edge, with gradients for a slope that depends on the shape only."""
    leaves = [x, *(arguments[name] for name in ("relation", "edge_weight") if name in arguments)]
    doubles = [leaf.detach().double().requires_grad_() for leaf in leaves]
    named = dict(zip(["x", *(n for n in ("relation", "edge_weight") if n in arguments)], doubles, strict=True))
    rows: list[list[Tensor]] = [[] for _ in range(arguments["num_targets"])]
    for e, (s, t) in enumerate(arguments["edge_index"].T.tolist()):
        message = named["x"][s]
        if "relation" in named:
            message = message * named["relation"][arguments["edge_type"][e]]
        if "edge_weight" in named:
            by = named["edge_weight"][e].reshape(-1)
            message = message * by.repeat_interleave(x.shape[1] // len(by))
        rows[t].append(message)
    nothing = doubles[0].new_zeros(x.shape[1])
    reduced = {"sum": lambda m: m.sum(0), "mean": lambda m: m.mean(0), "max": lambda m: m.amax(0)}[reduce]
    found = [reduced(torch.stack(row)) if row else nothing for row in rows]
    out = torch.stack(found) if found else doubles[0].new_zeros(0, x.shape[1])
    out = out + 0 * sum(d.sum() for d in doubles)
    return [out, *torch.autograd.grad(out, doubles, slope(out).double())]


def slope(out: Tensor) -> Tensor:
    return torch.randn(out.shape, generator=torch.Generator().manual_seed(5)).to(out.device)


def run(x: Tensor, arguments: dict[str, Any], reduce: Any) -> list[Tensor]:
    leaves = [x, *(arguments[name] for name in ("relation", "edge_weight") if name in arguments)]
    out = gather_scale_scatter(x, reduce=reduce, **arguments)
    return [out, *torch.autograd.grad(out, leaves, slope(out).to(out.dtype))]


@pytest.mark.slow
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients(chosen: str, name: str, given: str, reduce: str) -> None:
    if chosen == "triton" and (reduce == "max" or (reduce == "mean" and given != "all") or given == "weight"):
        return  # a maximum is PyTorch's there, a mean the sum over the counts, a weight one head
    x, arguments = make(CASES[name], given, torch.float32)
    wanted = exact(x, arguments, reduce)
    for found, expected in zip(run(x, arguments, reduce), wanted, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("given", GIVEN)
def test_half_precision_is_added_up_in_float32(given: str) -> None:
    pytest.importorskip("triton")
    if DEVICE.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("needs TRITON_INTERPRET=1 or a GPU")
    x, arguments = make(CASES["hub"], given, torch.float16)
    wanted = exact(x, arguments, "sum")
    with use_backend("triton"):
        found = run(x, arguments, "sum")
    with use_backend("torch"):
        reference = run(x, arguments, "sum")
    for one, other, expected in zip(found, reference, wanted, strict=True):
        error, allowed = ((part.double() - expected).abs().max() for part in (one, other))
        assert error <= 2 * allowed + 1e-6


@pytest.mark.parametrize("reduce", ["sum", "max"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads: int, reduce: str) -> None:
    x, arguments = make(Case(500, 700, 20_000, 64), "all", torch.float32, torch.device("cpu"))
    before, found = torch.get_num_threads(), []
    for number in (1, threads):
        torch.set_num_threads(number)
        with use_backend("numba"):
            found.append(run(x, arguments, reduce))
    torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_maximum_of_nan_is_nan_and_one_of_minus_infinity_is_that() -> None:
    x = torch.tensor([[1.0], [float("nan")], [-float("inf")]])
    edges = torch.tensor([[0, 1, 0, 2], [0, 0, 0, 2]])
    for name in ("numba", "torch"):
        with use_backend(name):  # type: ignore[arg-type]
            out = gather_scale_scatter(x, edges, 3, reduce="max")
        assert out.isnan().tolist() == [[True], [False], [False]]
        assert out[1:].tolist() == [[0.0], [-float("inf")]]


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_reference_gradients(reduce: Any) -> None:
    x, arguments = make(CASES["odd"], "all", torch.float64, torch.device("cpu"))

    def work(x: Tensor, relation: Tensor, edge_weight: Tensor) -> Tensor:
        return gather_scale_scatter(x, reduce=reduce, **{**arguments, "relation": relation, "edge_weight": edge_weight})

    for name in ("torch", "numba"):
        with use_backend(name):  # type: ignore[arg-type]
            assert torch.autograd.gradcheck(work, (x, arguments["relation"], arguments["edge_weight"]))


def test_views_are_read_as_they_are(chosen: str) -> None:
    x, arguments = make(CASES["odd"], "all", torch.float32)
    wanted = exact(x, arguments, "sum")
    turned = {
        name: value.detach().T.contiguous().T.requires_grad_(value.requires_grad)
        if isinstance(value, Tensor) and value.dim() == 2
        else value
        for name, value in arguments.items()
    }
    for found, expected in zip(run(x.detach().T.contiguous().T.requires_grad_(), turned, "sum"), wanted, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=2e-5)


def test_what_does_not_fit_is_refused() -> None:
    x, edges = torch.ones(3, 4), torch.tensor([[0, 2], [1, 1]])
    with pytest.raises(ShapeError, match=r"edge_index, source: expected numbers in 0..1, got 0..2"):
        gather_scale_scatter(x[:2], edges, 2)
    with pytest.raises(ShapeError, match=r"edge_index, target: expected numbers in 0..0, got 1..1"):
        gather_scale_scatter(x, edges, 1)
    with pytest.raises(ShapeError, match="relation and edge_type: expected both or neither"):
        gather_scale_scatter(x, edges, 2, relation=torch.ones(2, 4))
    with pytest.raises(ShapeError, match=r"edge_type: expected numbers in 0..1, got 0..2"):
        gather_scale_scatter(x, edges, 2, relation=torch.ones(2, 4), edge_type=torch.tensor([0, 2]))
    with pytest.raises(ShapeError, match="heads that divide the 4 columns, got 3"):
        gather_scale_scatter(x, edges, 2, edge_weight=torch.ones(2, 3))
    with pytest.raises(ShapeError, match=r"edge_weight: expected torch.float32 \[2\] or \[2, H\]"):
        gather_scale_scatter(x, edges, 2, edge_weight=torch.ones(3))
    reduce: Any = "min"
    with pytest.raises(ShapeError, match="reduce: expected 'sum', 'mean' or 'max', got 'min'"):
        gather_scale_scatter(x, edges, 2, reduce=reduce)
