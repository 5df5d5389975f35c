"""Closes the connection of a client that does not read.

A server closes a connection after the client has read everything. A client that never reads would
keep the connection and its memory forever, and the server could not even stop.
"""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from app.workarounds.server_connection import protocol_of, transport_of
from app.workarounds.uvicorn_websockets import bound_memory

GRACE = 3  # seconds for a client to read the last frames


class ForceCloseMiddleware:
    """Closes a connection that is still open `GRACE` seconds after its socket's handler has ended.

    It gets the connection from uvicorn's `send`. If the server hides the connection, nothing
    happens.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through, and close the connection that a WebSocket leaves open."""
        transport = transport_of(send)
        if scope["type"] != "websocket" or transport is None:
            await self.app(scope, receive, send)
            return
        bound_memory(protocol_of(send))
        try:
            await self.app(scope, receive, send)
        finally:
            # It does nothing if the connection is closed by then, which is usual.
            asyncio.get_running_loop().call_later(GRACE, transport.abort)
