"""Every error relgraph raises on purpose.

Each is also the builtin that a caller would expect, so ``except ValueError`` keeps working. A message says what was
expected, what was found, where, and what would be right.
"""

from __future__ import annotations

__all__ = [
    "AdapterError",
    "BackendError",
    "LeakageError",
    "ProtocolError",
    "RelGraphError",
    "SchemaError",
    "ShapeError",
    "SourceUnavailableError",
]


class RelGraphError(Exception):
    """The common base: ``except RelGraphError`` catches all of them and nothing else."""


class SchemaError(RelGraphError, ValueError):
    """Tables, columns, keys, types or a saved format do not fit together."""


class ShapeError(RelGraphError, ValueError):
    """A tensor has another shape, dtype or value range than its place requires."""


class LeakageError(RelGraphError, ValueError):
    """Something would let the future into training or evaluation."""


class ProtocolError(RelGraphError, ValueError):
    """A training or evaluation was asked for that the data does not allow."""


class AdapterError(RelGraphError, RuntimeError):
    """A source is missing, unreadable, malformed or lacks its driver."""


class SourceUnavailableError(AdapterError):
    """A source is away for now: it refuses connections or the connection was lost. Trying again may help."""


class BackendError(RelGraphError, RuntimeError):
    """A backend was forced that cannot run here."""
