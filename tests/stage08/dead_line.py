"""A line to a server that can go dead: bytes vanish, and nobody is told.

That is what a router does when it forgets a connection, and what a computer sees after it slept.
Neither side gets a FIN or a reset, so only a missing sign of life shows it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CHUNK = 64 * 1024  # bytes


class Line:
    """A TCP proxy on its own port, in threads of this process."""

    def __init__(self, base_url: str) -> None:
        address = urlsplit(base_url)
        self._server = (str(address.hostname), int(address.port or 80))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._alive = threading.Event()  # of the connections that are open now
        self._alive.set()
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.dropped = 0  # bytes that the server sent into dead connections
        threading.Thread(target=self._accept, daemon=True).start()

    def go_dead(self) -> None:
        """Drop all further bytes of the open connections. New connections work."""
        self._alive.clear()
        self._alive = threading.Event()
        self._alive.set()

    def close(self) -> None:
        """End all connections."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed at the end
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                for pair in ((client, server), (server, client)):
                    pump = threading.Thread(
                        target=self._pump, args=(*pair, self._alive), daemon=True
                    )
                    pump.start()

    def _pump(self, source: socket.socket, target: socket.socket, alive: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if alive.is_set():
                    target.sendall(data)
                elif source.getpeername() == self._server:
                    self.dropped += len(data)
        if alive.is_set():
            with suppress(OSError):
                target.shutdown(socket.SHUT_WR)


@contextmanager
def line_to(base_url: str) -> Iterator[Line]:
    """Yield a line to the server at this URL."""
    line = Line(base_url)
    try:
        yield line
    finally:
        line.close()
