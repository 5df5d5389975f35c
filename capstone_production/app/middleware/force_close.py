"""The server's side of a socket, and closing the connection of a client that does not read.

A server closes a connection after the client has read everything. A client that never reads would
keep the connection and its memory forever, and the server could not even stop.
"""

import asyncio
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from app.workarounds.server_connection import protocol_of, transport_of
from app.workarounds.uvicorn_websockets import bound_memory, end_refused_handshake

GRACE = 3  # seconds for a client to read the last frames
SERVER_SIDE = "app.server_side"  # the key in the scope of a socket


class ServerSide(NamedTuple):
    """The server's `send`, without middleware, and the transport, if the server shows one."""

    send: Send
    transport: asyncio.Transport | None


class ForceCloseMiddleware:
    """Closes a connection that is still open `GRACE` seconds after its socket's handler has ended.

    It gets the connection from uvicorn's `send`. If the server hides the connection, nothing
    happens. So it has to be outside of every middleware that wraps the `send` of a socket.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through, and close the connection that a WebSocket leaves open."""
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        transport = transport_of(send)
        scope[SERVER_SIDE] = ServerSide(send, transport)
        if transport is None:
            await self.app(scope, receive, send)
            return
        protocol = protocol_of(send)
        bound_memory(protocol)
        try:
            await self.app(scope, receive, send)
        finally:
            end_refused_handshake(protocol)
            # It does nothing if the connection is closed by then, which is usual.
            asyncio.get_running_loop().call_later(GRACE, transport.abort)
