"""Stopping in time, whatever a client does.

uvicorn finishes open requests before it stops. Without a limit it would wait forever for a client
that sends half a body, or that reads half an answer.
"""

import asyncio
import signal

import uvicorn
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS_MAY_TAKE = 5  # seconds after Ctrl-C or SIGTERM
RETRY_AFTER = "1"  # seconds


def limit_shutdown() -> None:
    """Make uvicorn cancel open requests after `REQUESTS_MAY_TAKE`.

    uvicorn's option `--timeout-graceful-shutdown` takes precedence.
    """
    # uvicorn handles the signals with a method of its server: that is how an app can reach it.
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(server, uvicorn.Server) and server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = REQUESTS_MAY_TAKE


class CancelledRequestMiddleware:
    """Answer a request with 503 when uvicorn cancels it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through. A response that has begun breaks off."""
        started = False

        async def send_noticed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noticed if scope["type"] == "http" else send)
        except asyncio.CancelledError:
            if scope["type"] == "http" and not started:
                detail = "The server is stopping: send the request again"
                answer = JSONResponse({"detail": detail}, 503, {"Retry-After": RETRY_AFTER})
                await answer(scope, receive, send)
