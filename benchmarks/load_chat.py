"""The load for the chat: many sockets send in turn, and each message goes to all of them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

IN_FLIGHT = 8  # messages that some sockets have not received yet
TEXT = "How long does it take until all sockets have received this?"
MESSAGE = b'{"type":"message"'
TEXT_FRAME, PING_FRAME, PONG_FRAME = 0x1, 0x9, 0xA
SETTLE = 1.0  # seconds after the last handshake, until all frames of presence have arrived
WARM_UP = 0.25
PATIENCE = 30.0  # seconds


def masked_frame(opcode: int, payload: bytes) -> bytes:
    """Return a frame of a client (RFC 6455, 5.2); a mask of zeros is valid."""
    size = len(payload)
    head = bytes([0x80 | opcode, 0x80 | (size if size < 126 else 126)])
    return head + (struct.pack("!H", size) if size >= 126 else b"") + bytes(4) + payload


class Socket(asyncio.Protocol):
    """One client. It counts its messages and does not parse them."""

    def __init__(self, token: str, on_message: Callable[[], None]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._token = token
        self._on_message = on_message
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake of a WebSocket."""
        self._transport = cast(asyncio.Transport, transport)
        fields = [
            "GET /ws/chat HTTP/1.1",
            "Host: 127.0.0.1",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            f"Authorization: Bearer {self._token}",
        ]
        self._transport.write("\r\n".join([*fields, "", ""]).encode())

    def data_received(self, data: bytes) -> None:
        """Count the complete frames."""
        buffer = self._buffer + data if self._buffer else data
        start = 0
        if not self.opened.done():
            start = buffer.find(b"\r\n\r\n") + 4
            if start < 4:
                self._buffer = buffer
                return
            if not buffer.startswith(b"HTTP/1.1 101 "):
                self.opened.set_exception(
                    RuntimeError(f"the server refused the WebSocket: {buffer[:300]!r}")
                )
                return
            self.opened.set_result(None)
        while (frame := _frame_at(buffer, start)) is not None:
            payload_at, end = frame
            opcode = buffer[start] & 0xF
            if opcode == TEXT_FRAME and buffer.startswith(MESSAGE, payload_at):
                self._on_message()
            elif opcode == PING_FRAME:
                self._transport.write(masked_frame(PONG_FRAME, buffer[payload_at:end]))
            start = end
        self._buffer = buffer[start:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Report a server that closes the connection."""
        if not self.opened.done():
            self.opened.set_exception(RuntimeError(f"the server closed the connection: {exc!r}"))

    def say(self) -> None:
        """Send a message."""
        self._transport.write(masked_frame(TEXT_FRAME, json.dumps({"text": TEXT}).encode()))

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


def _frame_at(buffer: bytes, start: int) -> tuple[int, int] | None:
    """Return the start and the end of the frame's payload, or None while it is incomplete."""
    if len(buffer) < start + 2:
        return None
    size, payload_at = buffer[start + 1] & 0x7F, start + 2
    if size >= 126:
        length, payload_at = (2, start + 4) if size == 126 else (8, start + 10)
        if len(buffer) < payload_at:
            return None
        size = int.from_bytes(buffer[payload_at - length : payload_at], "big")
    return (payload_at, payload_at + size) if len(buffer) >= payload_at + size else None


class Room:
    """A socket for each token: call `open` first, then `deliveries_per_second`, once or more."""

    def __init__(self, port: int, tokens: Sequence[str]) -> None:
        self._address = ("127.0.0.1", port)
        self._tokens = tokens
        self._count = len(tokens)
        self._sockets: list[Socket] = []
        self._delivered = 0
        self._said = 0
        self._talking = False
        self._silence = asyncio.Event()

    async def open(self) -> None:
        """Connect all clients; return when each has received the presence of all others."""
        loop = asyncio.get_running_loop()
        for token in self._tokens:
            _, socket = await loop.create_connection(
                partial(Socket, token, self._noticed), *self._address
            )
            async with asyncio.timeout(PATIENCE):
                await socket.opened
            self._sockets.append(socket)
        await asyncio.sleep(SETTLE)

    async def deliveries_per_second(self, seconds: float) -> float:
        """Return the number of received messages in a second, over all sockets."""
        self._talking = True
        self._silence.clear()
        for _ in range(IN_FLIGHT):
            self._say_more()
        await asyncio.sleep(WARM_UP)
        before, began = self._delivered, time.perf_counter()
        await asyncio.sleep(seconds)
        rate = (self._delivered - before) / (time.perf_counter() - began)
        self._talking = False
        async with asyncio.timeout(PATIENCE):
            await self._silence.wait()
        return rate

    def close(self) -> None:
        """Close all sockets."""
        for socket in self._sockets:
            socket.close()

    def _say_more(self) -> None:
        self._sockets[self._said % self._count].say()
        self._said += 1

    def _noticed(self) -> None:
        self._delivered += 1
        if self._delivered % self._count == 0:
            if self._talking:
                self._say_more()
            elif self._delivered == self._said * self._count:
                self._silence.set()
