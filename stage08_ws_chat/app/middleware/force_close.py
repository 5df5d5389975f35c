"""Closing the connection of a client that does not read.

A server closes a connection once all that was sent has been read. A client that never reads would
keep it, and the memory for it, for as long as it likes, and the server could not even stop.
"""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from app.workarounds.server_connection import protocol_of, transport_of
from app.workarounds.uvicorn_websockets import bound_memory

GRACE = 3  # seconds for a client to read what is left, and its goodbye


class ForceCloseMiddleware:
    """Closes a connection that is still open a moment after the handler of its socket has ended.

    It asks uvicorn's `send` for the connection; with a server that shows none it does nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through, and look after what a WebSocket leaves behind."""
        transport = transport_of(send)
        if scope["type"] != "websocket" or transport is None:
            await self.app(scope, receive, send)
            return
        bound_memory(protocol_of(send))
        try:
            await self.app(scope, receive, send)
        finally:
            # Nothing happens when it is closed by then, as it nearly always is.
            asyncio.get_running_loop().call_later(GRACE, transport.abort)
