"""One meaning of time everywhere: int64 microseconds since 1970-01-01 UTC.

Two values at the ends are reserved: ``STATIC`` (always visible) and ``UNKNOWN`` (never visible).
"""

from __future__ import annotations

__all__ = ["STATIC", "UNKNOWN"]

STATIC = -(2**63)
UNKNOWN = 2**63 - 1
