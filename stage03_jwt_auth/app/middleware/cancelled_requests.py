"""An answer for the requests that the server cancels when it stops."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.exceptions import unavailable


class CancelledRequestMiddleware:
    """Answer a request with 503 when uvicorn cancels it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through. A response that has already begun is cut off."""
        started = False

        async def send_noticed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noticed if scope["type"] == "http" else send)
        except asyncio.CancelledError:
            if scope["type"] == "http" and not started:
                answer = unavailable("The server is stopping: send the request again")
                await answer(scope, receive, send)
