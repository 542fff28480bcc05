"""A generated shop and the whole way from its tables to predictions on one page."""

from __future__ import annotations

from relgraph.demo.shop import generate_shop

__all__ = ["generate_shop"]
