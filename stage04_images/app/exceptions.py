"""The errors that a client gets when its request is wrong or the server has a problem.

Every error is JSON with a `detail`, which never repeats a value of the request. FastAPI's own 422
repeats the input: a mistyped password would come back, and a value that JSON cannot express (NaN,
half a surrogate pair) would turn the answer into a 500.
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
MAX_NAME = 100  # characters of a field's name that an error repeats: clients choose names
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

UNREADABLE = {
    "type": "body_unreadable",
    "loc": ("body",),
    "msg": "The body could not be read: is it complete, in UTF-8 and not nested too deeply?",
}

logger = logging.getLogger(__name__)


class StartupError(Exception):
    """The app cannot start with these settings. The text tells the operator what to fix."""


class Unavailable(Exception):
    """A retry may succeed: answered with 503. The client sees the text."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the value of a route's `responses=`, so that `/docs` shows these errors."""
    return {status: {"content": ERROR} for status in statuses}


def add_error_handlers(app: FastAPI) -> None:
    """Register the error handlers of this file."""

    @app.exception_handler(RequestValidationError)
    async def answer_invalid_input(request: Request, error: RequestValidationError) -> Response:
        unreadable = getattr(request.state, "unreadable", None)
        return unprocessable([unreadable] if unreadable else error.errors())

    # FastAPI raises 400 when it cannot decode a body. The contract asks for 422: invalid input.
    @app.exception_handler(400)
    async def answer_unreadable_body(_request: Request, _error: HTTPException) -> Response:
        return unprocessable([UNREADABLE])

    # The database is locked for too long, gone, full or damaged, or the pool has run out.
    @app.exception_handler(DatabaseError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(PoolTimeoutError)
    async def answer_database_unavailable(_request: Request, error: Exception) -> Response:
        if isinstance(error, IntegrityError | DataError | ProgrammingError):
            raise error  # a bug in our code: a retry would not help
        logger.error("Database unavailable: %s", getattr(error, "orig", error))
        return unavailable("The database is not available right now: try again")

    @app.exception_handler(Unavailable)
    async def answer_unavailable(_request: Request, error: Unavailable) -> Response:
        return unavailable(str(error))


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
    """Return the location of an error, with at most `MAX_NAME` characters of each name."""
    return [part[:MAX_NAME] if isinstance(part, str) else part for part in loc]
