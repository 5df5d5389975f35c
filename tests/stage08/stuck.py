"""A client that opens a socket and then never reads: broken, asleep, or hostile."""

from __future__ import annotations

import base64
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from course.harness.driver import Api
from tests.stage08.chat import PATIENCE, Frame, who_is

SMALL = 4096  # bytes that the system takes for it: more than enough is what it does by itself


@contextmanager
def upgraded(api: Api) -> Iterator[socket.socket]:
    """Give this user a socket as plain TCP; what the server sends is read by nobody."""
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
    """Have this user in the chat, not reading; gives the user."""
    user = who_is(api)
    with upgraded(api):
        yield user
