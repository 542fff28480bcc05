"""Trying again when a source is away for a moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from relgraph.errors import SourceUnavailableError

__all__ = ["PAUSES", "retried"]

_Result = TypeVar("_Result")

PAUSES = (0.5, 1.0, 2.0)
"""Seconds to wait before each further attempt."""


def retried(attempt: Callable[[], _Result], progress: bool = True) -> _Result:
    """The result of the first attempt that finds the source there.

    Args:
        attempt: Called again from its beginning after each :class:`SourceUnavailableError`; it must leave nothing half
            done behind.
        progress: Say on stderr what is waited for.

    Raises:
        SourceUnavailableError: If the source is away at every attempt; it says how often it was tried.
    """
    for pause in PAUSES:
        try:
            return attempt()
        except SourceUnavailableError as error:
            if progress:
                print(f"{error}; trying again in {pause:g} s", file=sys.stderr)  # noqa: T201
        time.sleep(pause)
    try:
        return attempt()
    except SourceUnavailableError as error:
        message = f"{error} (tried {len(PAUSES) + 1} times in {sum(PAUSES):g} s)"
    raise SourceUnavailableError(message)
