"""A limit on the size of every request's body. A route can set a higher limit."""

from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import problem

MAX_BODY_SIZE = 128 * 1024  # bytes
PLAIN_TEXT = (b"content-type", b"text/plain; charset=utf-8")


def announces_body(scope: Scope) -> bool:
    """Return whether there is a body; without these headers there is none (RFC 9112, 6.3)."""
    return scope["type"] == "http" and any(
        name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"]
    )


class BodyLimitMiddleware:
    """Refuse a body over `max_body_size` bytes with a 413, also when it comes in chunks.

    Starlette counts the bytes. Its own answer is plain text, so this class replaces it.
    """

    def __init__(self, app: ASGIApp, max_body_size: int) -> None:
        self.app = app
        self.limited_app = RequestBodyLimitMiddleware(app, max_body_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through except Starlette's 413, which gets a JSON body."""
        if not announces_body(scope):
            await self.app(scope, receive, send)
            return
        refused = False

        async def send_problem(message: Message) -> None:
            nonlocal refused
            if message.get("status") == 413 and PLAIN_TEXT in message["headers"]:
                refused = True
                answer = problem(413, "The request body is too large")
                await answer(scope, receive, send)
            elif not refused:
                await send(message)

        await self.limited_app(scope, receive, send_problem)
