"""HTTP byte by byte, for requests that a client library refuses to send.

The answer is read while the request is still being written: a server that refuses a body may
answer and close before it has read all of it.
"""

from __future__ import annotations

import http.client
import io
import re
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from course.harness import profile
from course.harness.exchange import asking, remember
from course.harness.server import Server

_DEADLINE = 20.0
_LONGEST = 1024 * 1024  # bytes; the answers that are read here are short


@dataclass(frozen=True)
class RawResponse:
    """A status, headers by lower-case name, and a body."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(server: Server) -> socket.socket:
    """Return a plain TCP connection to the server."""
    address = urlsplit(server.base_url)
    return socket.create_connection((address.hostname or "", address.port or 80), timeout=_DEADLINE)


def head(server: Server, method: str, path: str, headers: dict[str, str]) -> bytes:
    """Return the head of a request with a JSON body; `headers` replace the usual ones."""
    usual = {
        "Host": urlsplit(server.base_url).netloc,
        "Content-Type": "application/json",
        "Connection": "close",
    }
    lines = [f"{method} {profile.active().path(path)} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in (usual | headers).items()]
    return "\r\n".join([*lines, "", ""]).encode()


def send_raw(
    server: Server,
    method: str,
    path: str,
    pieces: Iterable[bytes],
    *,
    headers: dict[str, str],
    within: float = _DEADLINE,
) -> RawResponse:
    """Send a head and then `pieces` of a body until the server answers; return its answer.

    `pieces` may be endless. Raises `AssertionError` when no answer comes within `within` seconds.
    """
    sent_head = head(server, method, path, headers)
    source = iter(pieces)
    pending, received, ended = sent_head, b"", False
    deadline = time.monotonic() + within
    number = asking(method, server.base_url + path)
    with connect(server) as connection:
        connection.setblocking(False)
        while not ended and time.monotonic() < deadline:
            # Once an answer begins, the rest of the body is not needed.
            sending = [connection] if pending and not received else []
            readable, writable, _ = select.select([connection], sending, [], 0.2)
            if readable:
                try:
                    data = connection.recv(65_536)
                except ConnectionResetError:
                    data = b""
                received += data
                # Some servers continue to read after a complete answer and do not close.
                ended = not data or len(received) > _LONGEST or _is_whole(received)
            elif writable:
                try:
                    pending = pending[connection.send(pending) :] or next(source, b"")
                except (BrokenPipeError, ConnectionResetError):
                    pending = b""
    response = _parse(received)
    remember(
        server,
        method,
        server.base_url + path,
        headers.items(),
        b"(sent piece by piece)",
        status=response.status if response else None,
        response_headers=response.headers.items() if response else (),
        response_body=response.body if response else b"",
        problem="" if response else f"{len(received)} bytes in {within} s",
        number=number,
    )
    assert response is not None, f"{method} {path}: no answer to a body sent piece by piece"
    return response


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of a body with `Transfer-Encoding: chunked`."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class _Received:
    """Replaces the socket from which `http.client` reads an answer."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._data)


def _is_whole(data: bytes) -> bool:
    """Return whether an answer with a declared length is complete."""
    head, end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d{1,9})(?:\r\n|$)", head, re.IGNORECASE)
    return bool(end) and length is not None and len(body) >= int(length[1])


def _parse(data: bytes) -> RawResponse | None:
    response = http.client.HTTPResponse(cast("socket.socket", _Received(data)))
    try:
        response.begin()
        body = response.read()
    except (http.client.HTTPException, ValueError):
        return None
    headers = {name.lower(): value for name, value in response.getheaders()}
    return RawResponse(response.status, headers, body)
