"""A limit on the size of every request's body: a route that needs more says so."""

from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.exceptions import PROBLEM, problem

MAX_BODY_SIZE = 128 * 1024  # bytes


def is_plain_413(message: Message) -> bool:
    """Return whether this is the start of Starlette's own answer to a body that is too large."""
    our_type = (b"content-type", PROBLEM.encode())
    return bool(message["status"] == 413) and our_type not in message["headers"]


def announces_body(scope: Scope) -> bool:
    """Return whether there is a body: without these fields there is none (RFC 9112, 6.3)."""
    return scope["type"] == "http" and any(
        name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"]
    )


class BodyLimitMiddleware:
    """Refuse a body over `max_body_size` bytes with a 413, also when it comes in chunks.

    Starlette does the counting; its own answer is plain text.
    """

    def __init__(self, app: ASGIApp, max_body_size: int) -> None:
        self.app = app
        self.limited_app = RequestBodyLimitMiddleware(app, max_body_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through except Starlette's 413, which gets our body."""
        if not announces_body(scope):
            await self.app(scope, receive, send)
            return
        refused = False

        async def send_problem(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and is_plain_413(message):
                refused = True
                answer = problem(413, "The request body is too large")
                await answer(scope, receive, send)
            elif not refused:
                await send(message)

        await self.limited_app(scope, receive, send_problem)
