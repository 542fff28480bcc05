"""Ctrl-C as a request that is met between two steps, where the state is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

__all__ = ["Interrupt"]


class Interrupt:
    """Context that turns the first Ctrl-C into :attr:`requested` and lets the second one through.

    Outside the main thread, or where somebody else handles the signal, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._installed = False
        self._breakable = False

    def __enter__(self) -> Interrupt:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def breakable(self) -> Iterator[None]:
        """A stretch that changes no state, which the first Ctrl-C may break off at once."""
        self._breakable = True
        try:
            yield
        except KeyboardInterrupt:
            self.requested = True
        finally:
            self._breakable = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested or self._breakable:
            raise KeyboardInterrupt
        self.requested = True
