"""Reads answers with limits, since a server under test may send an endless one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import httpx

LONGEST = 64 * 1024 * 1024  # bytes of an answer's body; the course's own have a few million


class _BoundedBody(httpx.SyncByteStream):
    def __init__(self, body: httpx.SyncByteStream, request: httpx.Request) -> None:
        self._body = body
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        length = 0
        patience = self._request.extensions["timeout"]["read"] or math.inf
        began = time.monotonic()
        for piece in self._body:
            length += len(piece)
            if length > LONGEST:
                raise httpx.ReadError(f"the answer has more than {LONGEST} bytes")
            if time.monotonic() - began > patience:
                raise httpx.ReadTimeout(f"the answer has no end after {patience} s")
            yield piece

    def close(self) -> None:
        self._body.close()


class BoundedTransport(httpx.HTTPTransport):
    """A transport that limits the size of each answer and the time of its whole body.

    Raises `httpx.ReadTimeout` and `httpx.ReadError` while the body is read.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; reading the answer's body obeys the limits."""
        response = super().handle_request(request)
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _BoundedBody(response.stream, request)
        return response
