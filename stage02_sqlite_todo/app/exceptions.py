"""What a client is told when something is wrong with its request, or with us.

Every error is JSON with a `detail`. No value that the client sent is repeated in it: FastAPI's own
answer to invalid input holds that input, so a mistyped password would come back, and an input that
JSON has no word for (NaN, half a surrogate pair) would turn the answer into a 500.
"""

import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_SIZE = 128 * 1024  # bytes; a route that needs more says so
MAX_REPORTED_ERRORS = 10
MAX_NAME = 100  # characters of a field's name that are repeated: a client may send any name
RETRY_AFTER = "1"  # seconds

logger = logging.getLogger("uvicorn.error")


class StartupError(Exception):
    """The application cannot start as it is set up; the text is for whoever starts it."""


def add_error_handlers(app: FastAPI) -> None:
    """Give the application the answers of this file."""
    app.add_middleware(BodyLimitMiddleware, max_body_size=MAX_BODY_SIZE)
    app.add_middleware(StartupErrorMiddleware)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid_input(_request: Request, error: RequestValidationError) -> Response:
        return unprocessable(error.errors())

    # FastAPI says 400 when it cannot decode a body at all; to the client that is invalid input too.
    @app.exception_handler(400)
    async def answer_unreadable_body(_request: Request, _error: HTTPException) -> Response:
        message = "The body could not be read: is it complete, in UTF-8 and not nested too deeply?"
        return unprocessable([{"type": "body_unreadable", "loc": ["body"], "msg": message}])

    # The database is locked for too long, gone, full or damaged, or the pool has run out.
    @app.exception_handler(DatabaseError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(PoolTimeoutError)
    async def answer_database_unavailable(_request: Request, error: Exception) -> Response:
        if isinstance(error, IntegrityError | DataError | ProgrammingError):
            raise error  # a mistake in our code: trying again would not help
        logger.error("Database unavailable: %s", getattr(error, "orig", error))
        return JSONResponse(
            {"detail": "The database is not available right now: try again"},
            status_code=503,
            headers={"Retry-After": RETRY_AFTER},
        )


def unprocessable(errors: Sequence[Any]) -> Response:
    """Return a 422 that lists the errors in FastAPI's own form."""
    detail = [
        {"type": error["type"], "loc": shortened(error["loc"]), "msg": error["msg"]}
        for error in errors[:MAX_REPORTED_ERRORS]
    ]
    # A field's name may hold half a surrogate pair, which UTF-8 cannot carry: it becomes "?".
    content = json.dumps({"detail": detail}, ensure_ascii=False).encode("utf-8", "replace")
    return Response(content, status_code=422, media_type="application/json")


def shortened(loc: Sequence[int | str]) -> list[int | str]:
    """Return where an error is, with at most `MAX_NAME` characters of each name."""
    return [part[:MAX_NAME] if isinstance(part, str) else part for part in loc]


def is_plain_413(message: Message) -> bool:
    """Return whether this is the start of Starlette's own answer to a body that is too large."""
    json_type = (b"content-type", b"application/json")
    return bool(message["status"] == 413) and json_type not in message["headers"]


class BodyLimitMiddleware:
    """Refuse a body over `max_body_size` bytes with a JSON 413, also when it comes in chunks.

    Starlette does the counting; its own answer is plain text.
    """

    def __init__(self, app: ASGIApp, max_body_size: int) -> None:
        self.limited_app = RequestBodyLimitMiddleware(app, max_body_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through except Starlette's 413, which gets our body."""
        refused = False

        async def send_json(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and is_plain_413(message):
                refused = True
                answer = JSONResponse({"detail": "The request body is too large"}, 413)
                await answer(scope, receive, send)
            elif not refused:
                await send(message)

        await self.limited_app(scope, receive, send_json)


class StartupErrorMiddleware:
    """Say in one line why the application does not start, where a traceback would hide it."""

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
