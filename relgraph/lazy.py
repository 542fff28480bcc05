"""Public names that load on first use, so that importing a package stays light."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["lazy"]


def lazy(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package whose names live in modules not yet imported.

    Args:
        package: The package's name.
        homes: The module of each public name; an empty home means a submodule of that name.

    Example:
        >>> get, names = lazy("relgraph", {"SchemaError": "relgraph.errors"})
        >>> get("SchemaError").__name__, names()
        ('SchemaError', ['SchemaError'])
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = homes[name]
        return getattr(importlib.import_module(home), name) if home else importlib.import_module(f"{package}.{name}")

    def names() -> list[str]:
        return sorted(homes)

    return get, names
