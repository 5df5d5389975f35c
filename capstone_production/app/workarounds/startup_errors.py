"""Reports a failed start in one line, where Starlette reports a traceback.

Starlette 1.10 sends `traceback.format_exc()` with `lifespan.startup.failed`, and an application
cannot choose another message (since https://github.com/Kludex/starlette/pull/488). While Starlette
sends, the error is still being handled, so `sys.exception()` returns it. No version corrects this
yet.
"""

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.exceptions import StartupError


class StartupErrorMiddleware:
    """Replaces the traceback of a failed start by its reason in one line."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through except the report of a `StartupError`."""

        async def send_reason(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, StartupError):
                message = {**message, "message": str(error)}
            await send(message)

        await self.app(scope, receive, send_reason if scope["type"] == "lifespan" else send)
