"""Compile every kernel for an H100 or H200, which needs no GPU; run as a script, outside the interpreter.

The interpreter takes Python that the compiler refuses, so a kernel that passes its tests there can still be none.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import torch
from triton import compile as compile_kernel
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from relgraph.ops.kernels import (
    bits,
    embedding_update,
    gather_scale_scatter,
    grouped_matmul,
    rank,
    score_loss,
    segment_softmax,
    softmax_loss,
    top_k,
)
from relgraph.ops.kernels.score_tile import blocks

FLOATS = {"left", "right", "left_bias", "right_bias", "query", "candidates", "query_bias", "candidate_bias"}
FLOATS |= {"x", "y", "weight", "bias", "grad", "first", "second"}
SINGLES = {"certain", "level", "value", "gradient", "slopes", "own", "by_weight", "by_bias"}  # always float32
NUMBERS = {"alpha", "uniform", "lr", "eps", "new_mean", "old_squares", "new_squares", "rate", "correction"}
LONGS = {"ptr", "index", "target", "rows", "order", "group"}
INTS = {"bits", "out", "counts", "words"}


def signature(kernel: Any, dtype: str, known: dict[str, Any], longs: set[str]) -> dict[str, str]:
    kinds = dict.fromkeys(FLOATS, f"*{dtype}") | dict.fromkeys(SINGLES, "*fp32") | dict.fromkeys(NUMBERS, "fp32")
    kinds |= dict.fromkeys(LONGS | longs, "*i64") | dict.fromkeys(INTS, "*i32")
    return {name: "constexpr" if name in known else kinds.get(name, "i32") for name in kernel.arg_names}


def build(
    kernel: Any,
    dtype: str,
    known: dict[str, Any],
    warps: int,
    stages: int,
    longs: set[str] | None = None,
    others: dict[str, str] | None = None,
) -> None:
    given = signature(kernel, dtype, known, longs or set()) | (others or {})
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(given.values()) if kind.startswith("*")}
    source = ASTSource(fn=kernel, signature=given, constexprs=known, attrs=aligned)
    made = compile_kernel(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps, "num_stages": stages})
    assert made.asm["cubin"]
    print(kernel.__name__, dtype, made.metadata.shared, flush=True)  # noqa: T201


def main() -> None:
    warnings.simplefilter("ignore")
    none = {"left_bias": None, "right_bias": None}
    for dtype, precision in ((torch.float32, "high"), (torch.float32, "highest"), (torch.bfloat16, "highest")):
        torch.set_float32_matmul_precision(precision)
        name, cut = {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype], blocks(dtype)
        tile = {"ROWS": cut.rows, "COLUMNS": cut.columns, "INNER": cut.inner, "PRECISION": cut.precision}
        for kind, swapped in (("bce", False), ("ce", True)):
            known = {"K": 200, "OUT": 256, "KIND": kind, "SWAPPED": swapped, "WITH_GRADIENT": True}
            missing = (none if precision == "high" else {}) | ({"level": None} if kind == "bce" else {})
            build(score_loss._walk_tiles, name, known | tile | missing, cut.warps, cut.stages)
        build(softmax_loss._levels, name, {"K": 200} | tile, cut.warps, cut.stages)
        columns, inner, precise, warps = grouped_matmul._cut(dtype, 512)
        tile = {"K": 200, "OUT": 512, "ROWS": 64, "COLUMNS": columns, "INNER": inner, "PRECISION": precise}
        build(grouped_matmul._product_tiles, name, tile | {"stride_out": 1}, warps, 3, {"first"})
        build(grouped_matmul._gradient_tiles, name, tile | {"CHUNK": 4096}, warps, 3, {"first"})
    tile = {"K": 200, "SIDE": rank._SIDE, "INNER": rank._INNER}
    for kernel in (rank._own_scores, rank._count_tiles):
        build(kernel, "fp32", tile, rank._WARPS, rank._STAGES)
    more = {"maxima": "*fp32", "nan": "*i32", "chosen": "*i64", "number": "*i64"}
    for kernel in (top_k._maxima, top_k._look_into):
        named = {name: kind for name, kind in more.items() if name in kernel.arg_names}
        build(kernel, "fp32", tile | {"SIDE": top_k._SIDE, "INNER": top_k._INNER}, 4, 2, others=named)
    build(bits._set_bits, "fp32", {"BLOCK": 256}, 4, 3)
    for rule, missing in (("sgd", ("first", "second")), ("adagrad", ("second",)), ("adam", ())):
        known = {"D": 200, "RULE": rule, "ENTRIES": 8, "COLUMNS": 256} | dict.fromkeys(missing)
        build(embedding_update._update, "bf16" if rule == "sgd" else "fp32", known, 2, 3)
    edges = {"at_a", "at_b", "group", "order", "rows", "starts", "ends", "source", "target", "kind"}
    for dtype in ("fp32", "bf16"):
        shared = {"HAS_SCALE": True, "COLUMNS": 128}
        for kernel, known in (
            (gather_scale_scatter._scattered, {"HAS_WEIGHT": True, "EDGES": 32}),
            (gather_scale_scatter._grouped, {"HAS_WEIGHT": True, "STORED": False}),
            (gather_scale_scatter._dots, {"EDGES": 32}),
        ):
            out = f"*{dtype}" if kernel is gather_scale_scatter._dots else "*fp32"
            pointers = dict.fromkeys(("a", "b", "weight", "x", "grad", "relation"), f"*{dtype}")
            named = {name: kind for name, kind in (pointers | {"out": out}).items() if name in kernel.arg_names}
            build(kernel, dtype, known | shared, 4, 3, edges, named)
        pointers = dict.fromkeys(("score", "weight", "grad", "out"), f"*{dtype}")
        for kernel in (segment_softmax._weights, segment_softmax._slopes):
            named = {name: kind for name, kind in pointers.items() if name in kernel.arg_names}
            build(kernel, dtype, {"HEADS": 4, "ENTRIES": 256}, 4, 3, edges, named)


if __name__ == "__main__":
    sys.exit(main())
