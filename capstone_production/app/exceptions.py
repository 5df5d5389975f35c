"""The errors that a client gets when its request is wrong or the database has a problem.

No value that the client sent is repeated there. FastAPI's own 422 repeats the input: a mistyped
password would come back, and a value that JSON cannot express (NaN, half a surrogate pair) would
turn the answer into a 500. `problems.py` has the form of all errors.
"""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from app.problems import PROBLEM_RESPONSE, problem

MAX_REPORTED_ERRORS = 10
MAX_NAME = 100  # characters of a field's name that an error repeats: clients choose names
RETRY_AFTER = "1"  # seconds
NO_BODY = (204, 304)
# SQLSTATE, or its first letters, of errors that come from PostgreSQL's state, not from our code:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
UNAVAILABLE = (
    "08",  # the connection
    "0A000",  # a statement was prepared before a migration: SQLAlchemy prepares it again
    "25P03",  # a transaction was idle for too long
    "28",  # the user or the password is not accepted (any more)
    "3D",  # the database does not exist (any more)
    "40",  # a deadlock, a conflict of transactions
    "53",  # no space, no memory, no connection left
    "55P03",  # a lock was not available in time
    "57",  # stopped by the timeout, by the administrator, by a crash
    "58",  # the disk
    "XX",  # a fault of the server itself: damaged data, or a bug
)

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


def unauthorized() -> HTTPException:
    """Return the error for an invalid access token."""
    return HTTPException(
        401, "The access token is not valid: sign in again", {"WWW-Authenticate": "Bearer"}
    )


def errors(*statuses: int | str) -> dict[int | str, dict[str, Any]]:
    """Return the value of a route's `responses=`, so that `/docs` shows these errors.

    "default" stands for every error that is not named.
    """
    named: dict[int | str, dict[str, Any]] = {
        status: {"$ref": "#/components/responses/Problem"} for status in statuses
    }
    if "default" in named:
        named["default"]["description"] = PROBLEM_RESPONSE["description"]
    return named


def add_error_handlers(app: FastAPI) -> None:
    """Register the error handlers of this file."""

    @app.exception_handler(HTTPException)
    async def answer_error(_request: Request, error: HTTPException) -> Response:
        if error.status_code in NO_BODY:
            return Response(status_code=error.status_code, headers=error.headers)
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid_input(request: Request, error: RequestValidationError) -> Response:
        unreadable = getattr(request.state, "unreadable", None)
        return unprocessable([unreadable] if unreadable else error.errors())

    # FastAPI raises 400 when it cannot decode a body. The contract asks for 422: invalid input.
    @app.exception_handler(400)
    async def answer_unreadable_body(_request: Request, _error: HTTPException) -> Response:
        return unprocessable([UNREADABLE])

    # The database is locked for too long, down, full or damaged, or the pool has no free
    # connection. When asyncpg cannot connect, it raises an OSError of the operating system.
    @app.exception_handler(DBAPIError)
    @app.exception_handler(PoolTimeoutError)
    @app.exception_handler(OSError)
    async def answer_unreachable(_request: Request, error: Exception) -> Response:
        if not may_work_later(error):
            raise error
        logger.error("Not available: %r", getattr(error, "orig", None) or error)
        what = "The service" if isinstance(error, OSError) else "The database"
        return unavailable(f"{what} is not available right now: try again")

    @app.exception_handler(Unavailable)
    async def answer_unavailable(_request: Request, error: Unavailable) -> Response:
        return unavailable(str(error))


def may_work_later(error: Exception) -> bool:
    """Return whether a later try may succeed; otherwise the error is a mistake in our code."""
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlstate", None)
    if isinstance(code, str):
        return code.startswith(UNAVAILABLE)
    return not isinstance(error, IntegrityError | DataError | ProgrammingError)


def unavailable(detail: str) -> Response:
    """Return a 503 that says when to try again."""
    return problem(503, detail, {"Retry-After": RETRY_AFTER})


def unprocessable(errors: Sequence[Any]) -> Response:
    """Return a 422 that lists the errors, each in FastAPI's own form."""
    reported = [
        {"type": error["type"], "loc": shortened(error["loc"]), "msg": error["msg"]}
        for error in errors[:MAX_REPORTED_ERRORS]
    ]
    detail = "; ".join(f"{error['loc'][-1]}: {error['msg']}" for error in reported)
    return problem(422, detail, errors=reported)


def shortened(loc: Sequence[int | str]) -> list[int | str]:
    """Return the location of an error, with at most `MAX_NAME` characters of each name."""
    return [part[:MAX_NAME] if isinstance(part, str) else part for part in loc]
