"""A limit on the size of every request's body. A route can set a higher limit."""

from fastapi.responses import JSONResponse
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_SIZE = 128 * 1024  # bytes
PLAIN_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class BodyLimitMiddleware:
    """Refuse a body over `max_body_size` bytes with a JSON 413, also when it comes in chunks.

    Starlette counts the bytes. Its own answer is plain text, so this class replaces it.
    """

    def __init__(self, app: ASGIApp, max_body_size: int) -> None:
        self.limited_app = RequestBodyLimitMiddleware(app, max_body_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through except Starlette's 413, which gets a JSON body."""
        refused = False

        async def send_json(message: Message) -> None:
            nonlocal refused
            if message.get("status") == 413 and PLAIN_TEXT in message["headers"]:
                refused = True
                answer = JSONResponse({"detail": "The request body is too large"}, 413)
                await answer(scope, receive, send)
            elif not refused:
                await send(message)

        await self.limited_app(scope, receive, send_json)
