"""Hanging up on a client that does not read, which ASGI has no word for.

A server closes a connection once all that was sent has been read. Who never reads would keep it,
and the memory for it, for as long as they like, and the server could not even stop.
"""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from app.workarounds.uvicorn_websockets import bound_memory

GRACE = 3  # seconds for a client to read what is left, and its goodbye


class ForceCloseMiddleware:
    """Hangs up, a moment after the handler of a socket has ended, on whoever is still there.

    It asks uvicorn's `send` for the connection; with a server that shows none it does nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through, and look after what a WebSocket leaves behind."""
        protocol = getattr(send, "__self__", None)
        transport = getattr(protocol, "transport", None)
        if scope["type"] != "websocket" or not isinstance(transport, asyncio.Transport):
            await self.app(scope, receive, send)
            return
        bound_memory(protocol)
        try:
            await self.app(scope, receive, send)
        finally:
            # Nothing happens when it is closed by then, as it nearly always is.
            asyncio.get_running_loop().call_later(GRACE, transport.abort)
