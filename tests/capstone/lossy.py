"""A line on which answers get lost: the server does the work, and the client never learns it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_AT_ONCE = 65_536  # bytes


class LossyLine:
    """Passes connections on to a server. It loses the answer to each request in `losing`."""

    def __init__(self, base_url: str) -> None:
        address = urlsplit(base_url)
        assert address.hostname is not None
        assert address.port is not None
        self._server = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.losing: bytes | None = None  # the beginning of a request, such as b"PUT /auth"
        self.lost = 0  # answers; the browser itself repeats a request when it gets none
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        loses = threading.Event()
        with client, socket.create_connection(self._server) as server:
            arguments = (server, client, loses)
            threading.Thread(target=self._pass_answers, args=arguments, daemon=True).start()
            with suppress(OSError):
                while data := client.recv(_AT_ONCE):
                    if self.losing and data.startswith(self.losing):
                        loses.set()
                    server.sendall(data)

    def _pass_answers(
        self, server: socket.socket, client: socket.socket, loses: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := server.recv(_AT_ONCE):
                if loses.is_set():
                    self.lost += 1
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def lossy_line(base_url: str) -> Iterator[LossyLine]:
    """Yield a line to the server."""
    line = LossyLine(base_url)
    try:
        yield line
    finally:
        line.close()
