"""Every kind of file or folder of facts that is no plain statement file, found by its name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from relgraph.data.statements import Statements

__all__ = ["FACT_ADAPTERS", "reader_of"]

Reader = Callable[[Path], "Statements | tuple[Statements, ...]"]

FACT_ADAPTERS: tuple[str, ...] = (
    "libkge",
    "rdf",
)
"""Modules of this package, each with ``matches(path)``, which looks at names only, and ``read(path)``."""


def reader_of(path: Path) -> Reader | None:
    """The reader for a file or folder, or ``None`` if it is none of these kinds."""
    for name in FACT_ADAPTERS:
        adapter = import_module(f"relgraph.adapters.{name}")
        if adapter.matches(path):
            reader: Reader = adapter.read
            return reader
    return None
