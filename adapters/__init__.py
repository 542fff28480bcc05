"""Sources of tables and facts, one file per kind (installed as ``relgraph.adapters``)."""

if __name__ != "relgraph.adapters":
    raise ImportError(f"this folder is the package relgraph.adapters, not {__name__}: use 'import relgraph.adapters'")

import importlib
from typing import Any

_PUBLIC = {
    "ADAPTERS": "relgraph.adapters.tables",
    "connect": "relgraph.adapters.tables",
    "from_pykeen": "relgraph.adapters.pykeen",
    "read_statements": "relgraph.adapters.statement_files",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'relgraph.adapters' has no attribute {name!r}")
