"""The errors that a client gets when its request is wrong or the server has a problem.

Every error is a problem document (RFC 9457) with the request's id in it. No value that the client
sent is repeated there. FastAPI's own 422 repeats the input: a mistyped password would come back,
and a value that JSON cannot express (NaN, half a surrogate pair) would turn the answer into a 500.
Details of internal errors go to the log only.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.request_id import current_request_id

MAX_REPORTED_ERRORS = 10
MAX_NAME = 100  # characters of a field's name that an error repeats: clients choose names
RETRY_AFTER = "1"  # seconds
PROBLEM = "application/problem+json"
NO_BODY = (204, 304)
# The body of every error, for the documentation: defined once, and every operation refers to it.
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["type", "title", "status", "detail", "request_id"],
}
PROBLEM_RESPONSE: dict[str, Any] = {
    "description": "A problem document (RFC 9457)",
    "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
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


def describe_problems(app: FastAPI) -> None:
    """Add the schema and the response that `errors` refers to, to the description of the API."""
    describe = app.openapi

    def describe_with_problems() -> dict[str, Any]:
        description = describe()
        components = description["components"]
        components["schemas"]["Problem"] = PROBLEM_SCHEMA
        components["responses"] = {"Problem": PROBLEM_RESPONSE}
        return description

    # FastAPI's own way to extend it: https://fastapi.tiangolo.com/how-to/extending-openapi/
    app.openapi = describe_with_problems  # type: ignore[method-assign]


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


class UnexpectedErrorMiddleware:
    """Answers an unexpected error with a 500 without details, and logs the error."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through. An answer that has already begun is cut off."""
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
            await problem(500, "The server has an error: try again later")(scope, receive, send)


def may_work_later(error: Exception) -> bool:
    """Return whether a later try may succeed; otherwise the error is a mistake in our code."""
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlstate", None)
    if isinstance(code, str):
        return code.startswith(UNAVAILABLE)
    return not isinstance(error, IntegrityError | DataError | ProgrammingError)


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """Return a problem document; `more` are additional members."""
    content = {
        "type": "about:blank",  # the status says it all (RFC 9457, section 4.2.1)
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": current_request_id.get(),
        **more,
    }
    # A field's name may hold half a surrogate pair, which UTF-8 cannot carry: it becomes "?".
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status, headers, PROBLEM)


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
