"""An answer for our own mistakes."""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.exceptions import problem

logger = logging.getLogger(__name__)


class UnexpectedErrorMiddleware:
    """Answer a mistake of ours with a 500 that tells nothing of it, and write it to the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through. When an answer has begun, the server has to cut it off."""
        started = False

        async def send_noticed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noticed if scope["type"] == "http" else send)
        except Exception:
            if started or scope["type"] != "http":
                raise
            logger.exception("Unexpected error")
            await problem(500, "Something went wrong on our side")(scope, receive, send)
