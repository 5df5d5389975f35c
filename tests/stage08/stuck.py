"""A client that opens a socket and then never reads: broken, suspended or malicious."""

from __future__ import annotations

import base64
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from course.harness.driver import Api
from tests.stage08.chat import PATIENCE, Frame, who_is

SMALL = 4096  # bytes: the receive buffer; the system itself adds more


@contextmanager
def upgraded(api: Api) -> Iterator[socket.socket]:
    """Open a socket for this user as plain TCP; nothing reads the server's frames."""
    address = urlsplit(api.base_url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        connection.settimeout(PATIENCE)
        connection.connect((address.hostname, address.port))
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        lines = [
            "GET /ws/chat HTTP/1.1",
            f"Host: {address.netloc}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Authorization: Bearer {api.token}",
        ]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert connection.recv(12) == b"HTTP/1.1 101"
        yield connection


@contextmanager
def stuck_client(api: Api) -> Iterator[Frame]:
    """Let this user join without reading; yields the user."""
    user = who_is(api)
    with upgraded(api):
        yield user
