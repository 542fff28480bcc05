"""A door in front of a server that tests can slam: it cuts connections in the middle, or refuses them first."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType


class Proxy:
    """Passes connections on to a server of this machine.

    Args:
        port: The server's.
        cut_after: Bytes from the server after which a connection is cut.
        cuts: How many connections are cut; all by default.
        refuse: Talks to a new connection instead of the server.
        refusals: How many connections it talks to.
    """

    def __init__(
        self,
        port: int,
        *,
        cut_after: int | None = None,
        cuts: int | None = None,
        refuse: Callable[[socket.socket], None] | None = None,
        refusals: int = 0,
    ) -> None:
        self.connections = 0
        self.done_cuts = 0
        self._target = port
        self._cut_after, self._cuts = cut_after, cuts
        self._refuse, self._refusals = refuse, refusals
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Proxy:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for opened in [self._listener, *self._sockets]:
            _end(opened)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        for opened in [self._listener, *self._sockets]:
            opened.close()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self.connections += 1
                if self._refuse is not None and self.connections <= self._refusals:
                    with contextlib.suppress(OSError):
                        self._refuse(client)
                    _end(client)
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets.append(server)
                self._start(lambda a=client, b=server: self._pass_on(a, b, None))  # type: ignore[misc]
                self._start(lambda a=server, b=client: self._pass_on(a, b, self._cut_after))  # type: ignore[misc]

    def _pass_on(self, giver: socket.socket, taker: socket.socket, limit: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := giver.recv(65_536):
                passed += len(data)
                if limit is not None and passed > limit and self._may_cut():
                    taker.sendall(data[: len(data) - (passed - limit)])
                    break
                taker.sendall(data)
        _end(giver)
        _end(taker)

    def _may_cut(self) -> bool:
        with self._lock:
            if self._cuts is not None and self.done_cuts >= self._cuts:
                return False
            self.done_cuts += 1
            return True


def closed_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def postgresql_says(sqlstate: str, message: str, ask_password: bool = False) -> Callable[[socket.socket], None]:
    """Plays a PostgreSQL server that ends the login with an error."""

    def talk(client: socket.socket) -> None:
        for request in _messages(client, typed=False):
            if struct.unpack("!I", request[:4])[0] >> 16 == 3:  # the startup itself, not a question about encryption
                break
            client.sendall(b"N")
        if ask_password:
            client.sendall(b"R" + struct.pack("!II", 8, 3))
            next(_messages(client, typed=True))
        fields = b"".join(
            kind + text.encode() + b"\0"
            for kind, text in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", sqlstate), (b"M", message))
        )
        client.sendall(b"E" + struct.pack("!I", len(fields) + 5) + fields + b"\0")

    return talk


def mariadb_says(number: int, message: str) -> Callable[[socket.socket], None]:
    """Plays a MariaDB server that greets with an error."""

    def talk(client: socket.socket) -> None:
        body = b"\xff" + struct.pack("<H", number) + b"#08004" + message.encode()
        client.sendall(struct.pack("<I", len(body))[:3] + b"\0" + body)

    return talk


def _messages(client: socket.socket, typed: bool) -> Iterator[bytes]:
    """Messages of a PostgreSQL client: a length and what follows, after login behind a letter."""
    with client.makefile("rb") as file:
        while True:
            if typed:
                file.read(1)
            (length,) = struct.unpack("!I", file.read(4))
            yield file.read(length - 4)


def _end(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
