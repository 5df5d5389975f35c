"""The errors that a client gets when something is wrong with its request, or with us.

Every error is JSON with a `detail`. No value that the client sent is repeated in it: FastAPI's own
answer to invalid input holds that input, so a mistyped password would come back, and an input that
JSON has no word for (NaN, half a surrogate pair) would turn the answer into a 500.
"""

import json
import logging
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

MAX_REPORTED_ERRORS = 10
MAX_NAME = 100  # characters of a field's name that are repeated: a client may send any name
RETRY_AFTER = "1"  # seconds

# The body of every error except 422, for the documentation.
ERROR: dict[str, Any] = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {"detail": {"type": "string"}},
            "required": ["detail"],
        }
    }
}

logger = logging.getLogger(__name__)


class StartupError(Exception):
    """The application cannot start as it is set up; the text is for whoever starts it."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors that a route may answer, for `responses=`: so `/docs` shows them."""
    return {status: {"content": ERROR} for status in statuses}


def add_error_handlers(app: FastAPI) -> None:
    """Give the application the answers of this file."""

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
        return unavailable("The database is not available right now: try again")


def unavailable(detail: str) -> Response:
    """Return a 503 that says when to try again."""
    return JSONResponse({"detail": detail}, 503, {"Retry-After": RETRY_AFTER})


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
