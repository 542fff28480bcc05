"""What every loss of factored scores does with precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from relgraph.ops.loss_function import loss_of_scores
from relgraph.ops.tiles import Scores


@pytest.mark.parametrize(("bias", "precision"), [(None, "high"), (torch.zeros(3), "highest")])
def test_scores_with_biases_are_never_shortened(bias: Tensor | None, precision: str) -> None:
    seen = []

    def take(scores: Scores, wanted: bool) -> tuple[Tensor, list[Tensor]]:
        seen.append((torch.get_float32_matmul_precision(), torch.is_autocast_enabled("cpu")))
        return scores.query.double().sum(), [torch.zeros_like(scores.query)] * 4

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with torch.autocast("cpu"):
            loss_of_scores(Scores(torch.ones(2, 4), torch.ones(3, 4), None, bias), take, 1.0)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    assert seen == [(precision, False)]
