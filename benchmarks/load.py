"""The load: requests over a fixed number of connections; each sends its next request at once.

It does as little as possible for a request, so that the server is the bottleneck. An answer with an
unexpected status ends the run.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import cast

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
WARM_UP = 0.25  # seconds, which are not measured


@dataclass(frozen=True)
class Requests:
    """The requests, sent one after the other and then again from the beginning."""

    method: str
    paths: Sequence[str]
    token: str = ""
    body: bytes = b""
    status: int = 200

    def encoded(self) -> list[bytes]:
        """Return the bytes of each request."""
        fields = ["Host: 127.0.0.1", "Accept: application/json"]
        if self.token:
            fields.append(f"Authorization: Bearer {self.token}")
        if self.body:
            fields += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        head = "\r\n".join(fields).encode()
        starts = [f"{self.method} {path} HTTP/1.1\r\n".encode() for path in self.paths]
        return [start + head + b"\r\n\r\n" + self.body for start in starts]


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, requests: Iterator[bytes], status: int) -> None:
        self.answers = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._status = b"HTTP/1.1 %d " % status
        self._buffer = b""
        self._stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        """Count a complete answer, and continue."""
        buffer = self._buffer = self._buffer + data if self._buffer else data
        end_of_head = buffer.find(b"\r\n\r\n")
        if end_of_head < 0:
            return
        length = LENGTH.search(buffer, 0, end_of_head + 2)
        if not buffer.startswith(self._status) or length is None:
            self._fail(f"unexpected answer: {buffer[:300]!r}")
        elif len(buffer) >= end_of_head + 4 + int(length[1]):
            self.answers += 1
            self._buffer = b""
            if not self._stopped:
                self._transport.write(next(self._requests))

    def connection_lost(self, exc: Exception | None) -> None:
        """Report a server that closes the connection."""
        if not self._stopped:
            self._fail(f"the server closed the connection: {exc!r}")

    def stop(self) -> None:
        """Close the connection."""
        self._stopped = True
        self._transport.close()

    def _fail(self, reason: str) -> None:
        self._stopped = True
        self._transport.close()
        if not self.failed.done():
            self.failed.set_exception(RuntimeError(reason))


async def requests_per_second(
    port: int, requests: Requests, *, connections: int, seconds: float
) -> float:
    """Return the number of answers in a second; raise `RuntimeError` for a wrong one."""
    loop = asyncio.get_running_loop()
    encoded = cycle(requests.encoded())
    opened = [
        (await loop.create_connection(lambda: Connection(encoded, requests.status), *address))[1]
        for address in [("127.0.0.1", port)] * connections
    ]
    failures = [connection.failed for connection in opened]
    try:
        await _raise_or_sleep(failures, WARM_UP)
        before, began = sum(connection.answers for connection in opened), time.perf_counter()
        await _raise_or_sleep(failures, seconds)
        after, took = sum(connection.answers for connection in opened), time.perf_counter() - began
    finally:
        for connection in opened:
            connection.stop()
    return (after - before) / took


async def _raise_or_sleep(failures: list[asyncio.Future[None]], seconds: float) -> None:
    done, _ = await asyncio.wait(failures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for failure in done:
        failure.result()
