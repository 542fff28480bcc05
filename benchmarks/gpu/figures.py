"""What is measured: seconds, peak memory above the inputs, and the share of the roofline.

The roofline of an operation is the longer of its bytes over the measured copy bandwidth and its floating-point
operations over the measured speed of a large product in the same precision.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from checks import Section, draw
from torch import Tensor

from relgraph.ops import embedding_update, gather_scale_scatter, grouped_matmul, one_to_n_loss, rank, use_backend

Ceilings = dict[str, float]


def milliseconds(run: Callable[[], object], device: torch.device, repeats: int = 30) -> float:
    """Median of single runs, after three that are not counted."""
    if device.type != "cuda":
        start = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - start)
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def peak_mb(run: Callable[[], object], device: torch.device) -> float:
    """The most memory that a run has allocated above what was there."""
    if device.type != "cuda":
        return 0.0
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def measured(run: Callable[[], object], device: torch.device) -> dict[str, float]:
    return {"ms": milliseconds(run, device), "peak_mb": peak_mb(run, device)}


def roofline(ms: float, moved: float, flops: float, ceilings: Ceilings, precision: str) -> float:
    """In percent."""
    least = max(moved / ceilings.get("copy", 1e12), flops / ceilings.get(precision, 1e12))
    return 100 * 1e3 * least / ms


def measure_ceilings(device: torch.device, interpret: bool, ceilings: Ceilings) -> dict[str, Any]:
    """Bytes a second of a copy (read and written), operations a second of a product."""
    size = 64 if interpret else 8192
    x = torch.empty(size * size * 8, device=device).normal_()
    y = torch.empty_like(x)
    ceilings["copy"] = 2e3 * x.nbytes / milliseconds(lambda: y.copy_(x), device)
    for name, dtype, precision in (
        ("tf32", torch.float32, "high"),
        ("ieee", torch.float32, "highest"),
        ("bf16", torch.bfloat16, "highest"),
    ):
        a, b = draw(device, (size, size), (size, size), dtype=dtype)
        torch.set_float32_matmul_precision(precision)
        ceilings[name] = 2e3 * size**3 / milliseconds(lambda a=a, b=b: a @ b, device, 5)
        torch.set_float32_matmul_precision("highest")
    return dict(ceilings)


def skewed_csr(device: torch.device, rows: int, columns: int, median: float, mean: float) -> tuple[Tensor, Tensor]:
    """Log-normal numbers of entries, as the known answers of questions have."""
    generator = torch.Generator().manual_seed(0)
    spread = (2 * torch.log(torch.tensor(mean / median))).sqrt()
    counts = median * (spread * torch.randn(rows, generator=generator)).exp()
    counts = counts.long().clamp(1, min(4364, columns))
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return ptr.to(device), torch.randint(columns, (int(ptr[-1]),), generator=generator).to(device)


def one_to_n(device: torch.device, interpret: bool, ceilings: Ceilings) -> dict[str, Any]:
    """A step, forward and backward, at D = 200 on FB15k-237's entities, against PyTorch without fusion."""
    n, k = (70, 20) if interpret else (14_541, 200)
    found: dict[str, Any] = {}
    for b in (5,) if interpret else (512, 4096):
        query, candidates = (x.requires_grad_() for x in draw(device, (b, k), (n, k)))
        ptr, index = skewed_csr(device, b, n, 2, 5)
        row = torch.repeat_interleave(torch.arange(b, device=device), ptr.diff())

        def fused(backend: str = "triton", args: Any = (query, candidates, ptr, index)) -> None:
            with use_backend(backend):  # type: ignore[arg-type]
                loss = one_to_n_loss(args[0], args[1], args[2:], label_smoothing=0.1)
            torch.autograd.grad(loss, args[:2])

        def unfused(args: Any = (query, candidates, row, index, b)) -> None:
            labels = torch.zeros(args[4], n, device=device)
            labels[args[2], args[3]] = 1.0
            labels = 0.9 * labels + 1 / n
            loss = F.binary_cross_entropy_with_logits(args[0] @ args[1].T, labels)
            torch.autograd.grad(loss, args[:2])

        torch.set_float32_matmul_precision("high")
        sides = {"triton": measured(fused, device), "unfused": measured(unfused, device)}
        sides["tiles in torch"] = measured(lambda fused=fused: fused("torch"), device)
        ms = sides["triton"]["ms"]
        found[f"B {b}"] = sides | {
            "times as fast": sides["unfused"]["ms"] / ms,
            "memory share": sides["triton"]["peak_mb"] / max(sides["unfused"]["peak_mb"], 1e-9),
            "roofline percent of three products": roofline(ms, 8 * (b + n) * k, 6 * b * n * k, ceilings, "tf32"),
        }
        found[f"B {b}"]["cuts"] = cuts(fused, device, interpret)
        torch.set_float32_matmul_precision("highest")
    return found


def cuts(fused: Callable[[], None], device: torch.device, interpret: bool) -> dict[str, Any]:
    """Milliseconds of other block shapes: which one the kernel should have."""
    from relgraph.ops.kernels import score_loss
    from relgraph.ops.kernels.score_tile import Blocks

    tried = [Blocks(64, 64, 32, 8, 3, "tf32"), Blocks(64, 64, 32, 8, 2, "tf32"), Blocks(128, 64, 32, 8, 3, "tf32")]
    tried += [Blocks(64, 32, 32, 4, 3, "tf32"), Blocks(64, 64, 32, 8, 3, "tf32x3"), Blocks(32, 16, 16, 8, 2, "ieee")]
    found: dict[str, Any] = {}
    before = score_loss.blocks
    for cut in tried[:1] if interpret else tried:
        score_loss.blocks = lambda dtype, cut=cut: cut
        try:
            found[str(tuple(cut))] = milliseconds(fused, device)
        except Exception as error:  # too much shared memory, say: it is only a trial
            found[str(tuple(cut))] = str(error)[-200:]
        finally:
            score_loss.blocks = before
    return found


def ranking(device: torch.device, interpret: bool, ceilings: Ceilings) -> dict[str, Any]:
    """Both directions of a test set of FB15k-237's size, filters as many and as skewed as there."""
    b, n, k = (70, 130, 20) if interpret else (20_466, 14_541, 200)
    candidates, *queries = draw(device, (n, k), (b, k), (b, k))
    filters = [skewed_csr(device, b, n, 29, 435), skewed_csr(device, b, n, 7, 38)]
    target = torch.randint(n, (b,), generator=torch.Generator().manual_seed(1)).to(device)

    def both(backend: str) -> None:
        with use_backend(backend):  # type: ignore[arg-type]
            for query, filter in zip(queries, filters, strict=True):
                rank(query, candidates, target, filter)

    sides = {name: measured(lambda name=name: both(name), device) for name in ("triton", "torch")}
    products = milliseconds(
        lambda: [q[i : i + 2048] @ candidates.T for q in queries for i in range(0, b, 2048)], device
    )
    moved, flops = 4 * k * (2 * b + n), 4 * b * n * k
    percent = roofline(sides["triton"]["ms"], moved, flops, ceilings, "ieee")
    return sides | {"float32 products alone, ms": products, "roofline percent": percent}


def row_updates(device: torch.device, interpret: bool, ceilings: Ceilings) -> dict[str, Any]:
    """Percent of the copy bandwidth, the sort of the rows included."""
    n, d = (50, 20) if interpret else (2_000_000, 200)
    found: dict[str, Any] = {}
    tables = [torch.rand(n, d, device=device) for _ in range(3)]
    for batch in (40,) if interpret else (32_768, 262_144):
        index = torch.randint(n, (batch,), generator=torch.Generator().manual_seed(1)).to(device)
        gradient = draw(device, (batch, d))[0]
        touched = len(index.unique())
        for rule, states in (("sgd", 0), ("adagrad", 1), ("adam", 2)):

            def step(backend: str, args: Any = (rule, states, index, gradient)) -> None:
                with use_backend(backend):  # type: ignore[arg-type]
                    embedding_update(tables[0], *args[2:], rule=args[0], lr=1e-3, state=tables[1 : 1 + args[1]])

            sides = {name: milliseconds(lambda name=name: step(name), device) for name in ("triton", "torch")}
            moved = 4 * d * (2 * touched * (1 + states) + batch)
            percent = roofline(sides["triton"], moved, 0, ceilings, "ieee")
            found[f"{rule}, {batch} gradients"] = {"ms": sides, "roofline percent": percent}
    return found


def experts(device: torch.device, interpret: bool, ceilings: Ceilings) -> dict[str, Any]:
    """64 experts 400 -> 1024, forward and backward: against a loop, and one dense product of equal operations."""
    t, g, k, out = (90, 4, 20, 33) if interpret else (32_768, 64, 400, 1024)
    group = (g * torch.rand(t, generator=torch.Generator().manual_seed(0)) ** 2).long().sort().values
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(group, minlength=g).cumsum(0)]).to(device)
    found: dict[str, Any] = {}
    cases = ((torch.float32, "high", "tf32"), (torch.float32, "highest", "ieee"), (torch.bfloat16, "highest", "bf16"))
    for dtype, precision, name in cases[: 2 if interpret else 3]:
        x, weight, one, slope = draw(device, (t, k), (g, k, out), (k, out), (t, out), dtype=dtype)
        leaves = [y.requires_grad_() for y in (x, weight, one)]
        torch.set_float32_matmul_precision(precision)

        def step(backend: str, args: Any = (leaves, slope)) -> None:
            (x, weight, _), slope = args
            with use_backend(backend):  # type: ignore[arg-type]
                torch.autograd.grad(grouped_matmul(x, ptr, weight), (x, weight), slope)

        def dense(args: Any = (leaves, slope)) -> None:
            (x, _, one), slope = args
            torch.autograd.grad(x @ one, (x, one), slope)

        sides = {side: milliseconds(lambda side=side: step(side), device) for side in ("triton", "torch")}
        sides["dense"] = milliseconds(dense, device)
        torch.set_float32_matmul_precision("highest")
        moved = x.element_size() * (4 * t * (k + out) + 3 * weight.numel())
        percent = roofline(sides["triton"], moved, 6 * t * k * out, ceilings, name)
        found[name] = {
            "ms": sides,
            "times a dense product": sides["triton"] / sides["dense"],
            "roofline percent": percent,
        }
    return found


def messages(device: torch.device, interpret: bool, ceilings: Ceilings) -> dict[str, Any]:
    """Message passing, forward and backward, against gathering and scattering, as PyG does it without fusion.

    The least that is moved: every edge reads a source row and its ends, every target is written, and back again.
    """
    nodes, edges, relations = (20, 60, 3) if interpret else (100_000, 1_000_000, 50)
    found: dict[str, Any] = {}
    for d in (20,) if interpret else (64, 128, 256):
        generator = torch.Generator().manual_seed(0)
        edge_index = torch.randint(nodes, (2, edges), generator=generator)
        edge_index = edge_index[:, edge_index[1].argsort(stable=True)].contiguous().to(device)
        kind = torch.randint(relations, (edges,), generator=generator).to(device)
        x, relation, slope = draw(device, (nodes, d), (relations, d), (nodes, d))
        leaves = [y.requires_grad_() for y in (x, relation)]
        for name in ("sum", "relations"):

            def step(backend: str, args: Any = (leaves, edge_index, kind, slope, name)) -> None:
                (x, relation), index, kind, slope, name = args
                more = {"relation": relation, "edge_type": kind} if name == "relations" else {}
                with use_backend(backend):  # type: ignore[arg-type]
                    out = gather_scale_scatter(x, index, len(x), **more)
                torch.autograd.grad(out, (x, relation) if more else (x,), slope)

            sides = {side: measured(lambda side=side: step(side), device) for side in ("triton", "torch")}
            passes = 2 if name == "sum" else 3
            moved = passes * (4 * d * (edges + nodes) + 16 * edges)
            percent = roofline(sides["triton"]["ms"], moved, 0, ceilings, "ieee")
            ratio = sides["torch"]["ms"] / sides["triton"]["ms"]
            found[f"{name}, d {d}"] = sides | {"times eager": ratio, "roofline percent": percent}
    return found


FIGURES: dict[str, Section] = {
    "ceilings": measure_ceilings,
    "one_to_n_loss": one_to_n,
    "rank": ranking,
    "embedding_update": row_updates,
    "grouped_matmul": experts,
    "messages": messages,
}
