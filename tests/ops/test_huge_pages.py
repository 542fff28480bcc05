"""Advice about pages changes no number."""

from __future__ import annotations

import torch

from relgraph.ops.huge_pages import in_huge_pages


def test_large_and_small_memory_can_be_used() -> None:
    for size in (3, 2**22 + 5):
        new = torch.empty(size)
        assert in_huge_pages(new) is new
        assert new.fill_(2.0).sum().item() == 2.0 * size
