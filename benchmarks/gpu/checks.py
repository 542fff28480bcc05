"""Equality of every kernel with float64, on the device: also bfloat16, TF32, and the same bits in repeated runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from relgraph.ops import (
    embedding_update,
    gather_scale_scatter,
    grouped_matmul,
    one_to_n_loss,
    rank,
    segment_softmax,
    softmax_loss,
    top_k,
    use_backend,
)

Section = Callable[[torch.device, bool, dict[str, float]], dict[str, Any]]
Run = Callable[..., Tensor]
# the largest |kernel - exact| / |exact| (norms) of outputs and gradients; "highest" has float32's, "high" TF32's
BOUNDS = {(torch.float32, "highest"): 1e-5, (torch.float32, "high"): 3e-3, (torch.float16, "highest"): 5e-3}
BOUNDS[torch.bfloat16, "highest"] = 3e-2
REPEATS = 20


def draw(
    device: torch.device, *shapes: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float32
) -> list[Any]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator).to(dtype).to(device) for s in shapes]


def random_csr(device: torch.device, rows: int, columns: int, most: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """At least one entry a row, unsorted, some repeated; the first row has the most."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, most + 1, (rows,), generator=generator)
    counts[0] = min(20 * most, columns)
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return ptr.to(device), torch.randint(columns, (int(ptr[-1]),), generator=generator).to(device)


def with_gradients(run: Run, inputs: Sequence[Tensor], backend: str) -> list[Tensor]:
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    with use_backend(backend):  # type: ignore[arg-type]
        y = run(*leaves)
        slope = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.device)
        gradients = torch.autograd.grad((y * slope.to(y.dtype)).sum(), leaves)
    return [y.detach(), *gradients]


def compare(run: Run, inputs: Sequence[Tensor], precision: str, repeats: int, same_bits: bool = True) -> dict[str, Any]:
    """The kernel's error against float64, and PyTorch's own; whether repeated runs have the same bits."""
    exact = with_gradients(run, [x.double() for x in inputs], "torch")
    torch.set_float32_matmul_precision(precision)
    mine, plain = (with_gradients(run, inputs, backend) for backend in ("triton", "torch"))
    again = [with_gradients(run, inputs, "triton") for _ in range(repeats)]
    torch.set_float32_matmul_precision("highest")
    size = max(float(x.norm()) for x in exact)

    def error(found: Sequence[Tensor]) -> float:
        pairs = zip(found, exact, strict=True)
        return max(float((x.double() - e).norm() / e.norm().clamp(min=1e-9 * size)) for x, e in pairs)

    bits = all(torch.equal(x, y) for other in again for x, y in zip(other, mine, strict=True))
    bound, got = BOUNDS[inputs[0].dtype, precision], error(mine)
    right = got <= bound and (bits or not same_bits)
    return {"error": got, "error of torch": error(plain), "bound": bound, "same bits": bits, "right": right}


def over_dtypes(case: Callable[[torch.dtype, str], dict[str, Any]], interpret: bool) -> dict[str, Any]:
    """A case in every dtype and precision; bfloat16 products are wrong in the interpreter."""
    found = {
        f"{dtype} {precision}".removeprefix("torch."): case(dtype, precision)
        for dtype, precision in BOUNDS
        if not (interpret and dtype == torch.bfloat16)
    }
    return found | {"wrong": sum(not x["right"] for x in found.values())}


def losses(kind: str, biased: bool) -> Section:
    def section(device: torch.device, interpret: bool, _: dict[str, float]) -> dict[str, Any]:
        b, n, k, repeats = (9, 70, 20, 1) if interpret else (515, 3001, 200, REPEATS)
        positives = random_csr(device, b, n, 5)
        loss = {"bce": one_to_n_loss, "ce": softmax_loss}[kind]

        def case(dtype: torch.dtype, precision: str) -> dict[str, Any]:
            query, candidates, u, v = draw(device, (b, k), (n, k), (b,), (n,), dtype=dtype)

            def run(*x: Tensor) -> Tensor:
                more = {"query_bias": u.to(x[0].dtype), "candidate_bias": x[2]} if biased else {}
                return 1e3 * loss(x[0], x[1], positives, alpha=0.1, label_smoothing=0.1, **more)

            return compare(run, [query, candidates, v] if biased else [query, candidates], precision, repeats)

        return over_dtypes(case, interpret)

    return section


def grouped(device: torch.device, interpret: bool, _: dict[str, float]) -> dict[str, Any]:
    counts, k, out = ([3, 0, 70, 1], 20, 33) if interpret else ([300, 0, 3000, 1, 65, 64, 0, 2500], 200, 520)
    ptr = torch.tensor([0, *itertools.accumulate(counts)], device=device)

    def case(dtype: torch.dtype, precision: str) -> dict[str, Any]:
        shapes = (sum(counts), k), (len(counts), k, out), (len(counts), out)
        x, weight, bias = draw(device, *shapes, dtype=dtype)
        repeats = 1 if interpret else REPEATS
        return compare(lambda x, w, b: grouped_matmul(x, ptr, w, b), [x, weight, bias], precision, repeats)

    return over_dtypes(case, interpret)


def messages(device: torch.device, interpret: bool, _: dict[str, float]) -> dict[str, Any]:
    """Sums by atomics, whose order varies, and in a fixed order; one target has half of the edges."""
    n, edges, d, heads, relations = (9, 40, 24, 2, 3) if interpret else (20_000, 400_000, 128, 4, 50)
    generator = torch.Generator().manual_seed(4)
    edge_index = torch.randint(n, (2, edges), generator=generator)
    edge_index[1, ::2] = 7
    kind = torch.randint(relations, (edges,), generator=generator)
    edge_index, kind = edge_index.to(device), kind.to(device)
    repeats = 1 if interpret else REPEATS

    def case(fixed: bool, dtype: torch.dtype, precision: str) -> dict[str, Any]:
        x, relation, weight = draw(device, (n, d), (relations, d), (edges, heads), dtype=dtype)

        def run(x: Tensor, r: Tensor, w: Tensor) -> Tensor:
            return gather_scale_scatter(x, edge_index, n, relation=r, edge_type=kind, edge_weight=w, reduce="mean")

        torch.use_deterministic_algorithms(fixed)
        try:
            return compare(run, [x, relation, weight], precision, repeats, same_bits=fixed)
        finally:
            torch.use_deterministic_algorithms(False)

    found = {
        f"{dtype} {'in order' if fixed else 'by atomics'}".removeprefix("torch."): case(fixed, dtype, "highest")
        for dtype in (torch.float32, torch.float16, torch.bfloat16)[: 1 if interpret else 3]
        for fixed in (False, True)
    }
    return found | {"wrong": sum(not x["right"] for x in found.values())}


def attention(device: torch.device, interpret: bool, _: dict[str, float]) -> dict[str, Any]:
    """The softmax within segments; one segment has half of the entries."""
    segments, entries, heads = (9, 200, 3) if interpret else (20_000, 500_000, 6)
    index = torch.randint(segments, (entries,), generator=torch.Generator().manual_seed(5))
    index[::2] = 7
    index = index.to(device)
    found = {}
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        score = draw(device, (entries, heads), dtype=dtype)
        repeats = 1 if interpret else REPEATS
        case = compare(lambda s: segment_softmax(s, index, segments), score, "highest", repeats)
        found[str(dtype).removeprefix("torch.")] = case
    return found | {"wrong": sum(not x["right"] for x in found.values())}


def best(device: torch.device, interpret: bool, _: dict[str, float]) -> dict[str, Any]:
    """Whole numbers, so that every order of summing has the same bits and many scores are equal."""
    b, n, k = (5, 130, 20) if interpret else (2050, 14_541, 200)
    query, candidates, bias = ((2 * x).round().clamp(-3, 3) for x in draw(device, (b, k), (n, k), (n,)))
    filter = random_csr(device, b, n, 30)
    wrong = 0
    for wanted in (1, 100) if interpret else (1, 10, 100):
        with use_backend("torch"):
            theirs = top_k(query, candidates, wanted, filter, candidate_bias=bias)
        with use_backend("triton"):
            for _ in range(1 if interpret else REPEATS):
                mine = top_k(query, candidates, wanted, filter, candidate_bias=bias)
                wrong += not (torch.equal(mine[0], theirs[0]) and torch.equal(mine[1], theirs[1]))
    return {"wrong": wrong}


def ranks(device: torch.device, interpret: bool, _: dict[str, float]) -> dict[str, Any]:
    b, n, k = (70, 130, 20) if interpret else (2050, 14_541, 200)
    query, candidates, u, v = draw(device, (b, k), (n, k), (b,), (n,))
    target = torch.randint(n, (b,), generator=torch.Generator().manual_seed(2)).to(device)
    filter = random_csr(device, b, n, 30)
    whole = [(2 * x).round().clamp(-3, 3) for x in (query, candidates, u, v)]
    biases = [{}, {"query_bias": whole[2], "candidate_bias": whole[3], "alpha": 0.5}]
    wrong = 0
    for more in biases:  # whole numbers: every order of summing has the same bits
        with use_backend("triton"):
            mine = rank(*whole[:2], target, filter, **more)
        with use_backend("torch"):
            theirs = rank(*whole[:2], target, filter, **more)
        wrong += not (torch.equal(mine.greater, theirs.greater) and torch.equal(mine.equal, theirs.equal))
    # equal candidates are ties wherever they stand: not in the interpreter, whose products are numpy's
    tied = candidates[:1].expand(n, -1).contiguous()
    ties = []
    for more in ({}, {"query_bias": u, "candidate_bias": v[:1].expand(n).contiguous(), "alpha": 0.37}):
        with use_backend("triton"):
            found = rank(query, tied, target, **more)
        ties.append(bool((found.greater == 0).all() and (found.equal == n - 1).all()))
    wrong += 0 if interpret else ties.count(False)
    # float64's counts, up to candidates whose float64 scores are nearer than float32 can tell
    with use_backend("triton"):
        mine = rank(query, candidates, target)
        again = [rank(query, candidates, target) for _ in range(1 if interpret else REPEATS)]
    score = query.double() @ candidates.double().T
    own = score.gather(1, target[:, None])
    near = (score - own).abs() <= 1e-5 * query.double().norm(dim=1)[:, None] * candidates.double().norm(dim=1)
    off = (mine.greater - (score > own).sum(1)).abs()
    wrong += int((off > near.sum(1)).sum())
    bits = all(torch.equal(x.greater, mine.greater) for x in again)
    return {
        "wrong": wrong + (not bits),
        "ties exact": ties,
        "differ from float64": int((off > 0).sum()),
        "same bits": bits,
    }


def updates(device: torch.device, interpret: bool, _: dict[str, float]) -> dict[str, Any]:
    n, d, batch = (9, 20, 40) if interpret else (50_000, 200, 30_000)
    index = torch.randint(n, (batch,), generator=torch.Generator().manual_seed(3)).to(device)
    index[: batch // 4] = 7
    found: dict[str, Any] = {}
    for rule, states in (("sgd", 0), ("adagrad", 1), ("adam", 2)):
        for dtype in (torch.float32, torch.bfloat16):
            gradient, *tables = draw(device, (batch, d), *[(n, d)] * (1 + states), dtype=dtype)
            tables = [tables[0], *(x.abs() for x in tables[1:])]

            def after(backend: str, to: torch.dtype, args: Any = (rule, index, gradient, tables)) -> list[Tensor]:
                kind, rows, slope, given = args
                copies = [x.to(to, copy=True) for x in given]
                with use_backend(backend):  # type: ignore[arg-type]
                    embedding_update(copies[0], rows, slope.to(to), rule=kind, lr=0.1, state=copies[1:], eps=1e-6)
                return copies

            exact, mine = after("torch", torch.float64), after("triton", dtype)
            same = all(
                torch.equal(x, y)
                for _ in range(1 if interpret else REPEATS)
                for x, y in zip(after("triton", dtype), mine, strict=True)
            )
            error = max(float((x.double() - e).norm() / e.norm()) for x, e in zip(mine, exact, strict=True))
            right = same and error <= BOUNDS[dtype, "highest"]
            found[f"{rule} {dtype}"] = {"error": error, "same bits": same, "right": right}
    return found | {"wrong": sum(not x["right"] for x in found.values())}


CHECKS: dict[str, Section] = {
    "one_to_n_loss": losses("bce", False),
    "one_to_n_loss with biases": losses("bce", True),
    "softmax_loss": losses("ce", False),
    "softmax_loss with biases": losses("ce", True),
    "rank": ranks,
    "top_k": best,
    "gather_scale_scatter": messages,
    "segment_softmax": attention,
    "grouped_matmul": grouped,
    "embedding_update": updates,
}
