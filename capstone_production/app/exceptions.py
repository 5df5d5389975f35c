"""What a client is told when something is wrong with its request, or with us.

Every error is a problem document (RFC 9457) with the request's id in it. No value that the client
sent is repeated there: FastAPI's own answer to invalid input holds that input, so a mistyped
password would come back, and an input that JSON has no word for (NaN, half a surrogate pair) would
turn the answer into a 500. What went wrong inside of us is for the log only.
"""

import json
import logging
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.observability.request_id import current_request_id

MAX_BODY_SIZE = 128 * 1024  # bytes; a route that needs more says so
MAX_REPORTED_ERRORS = 10
MAX_NAME = 100  # characters of a field's name that are repeated: a client may send any name
RETRY_AFTER = "1"  # seconds
PROBLEM = "application/problem+json"
NO_BODY = (204, 304)
# For the documentation: any answer that is not described has this form.
DESCRIBED: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem document (RFC 9457)",
        "content": {
            PROBLEM: {
                "schema": {
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
            }
        },
    }
}
# SQLSTATE, or its first letters, of errors that are PostgreSQL's and not those of our code:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
UNAVAILABLE = (
    "08",  # the connection
    "0A000",  # a statement was prepared before a migration: SQLAlchemy prepares it again
    "25P03",  # a transaction did nothing for too long
    "28",  # who we are is not accepted (any more)
    "3D",  # the database is gone
    "40",  # a deadlock, a conflict of transactions
    "53",  # no space, no memory, no connection left
    "55P03",  # a lock was not to be had in time
    "57",  # stopped by the timeout, by the administrator, by a crash
    "58",  # the disk
    "XX",  # a fault of the server itself: damaged data, or a bug
)

UNREADABLE = {
    "type": "body_unreadable",
    "loc": ("body",),
    "msg": "The body could not be read: is it complete, in UTF-8 and not nested too deeply?",
}

logger = logging.getLogger("uvicorn.error")


class StartupError(Exception):
    """The application cannot start as it is set up; the text is for whoever starts it."""


class Unavailable(Exception):
    """It cannot be done now, perhaps later; the text is for the client: answered with 503."""


def add_error_handlers(app: FastAPI) -> None:
    """Give the application the answers of this file."""
    app.add_middleware(BodyLimitMiddleware, max_body_size=MAX_BODY_SIZE)
    app.add_middleware(UnexpectedErrorMiddleware)
    app.add_middleware(StartupErrorMiddleware)

    @app.exception_handler(HTTPException)
    async def answer_error(_request: Request, error: HTTPException) -> Response:
        if error.status_code in NO_BODY:
            return Response(status_code=error.status_code, headers=error.headers)
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid_input(request: Request, error: RequestValidationError) -> Response:
        unreadable = getattr(request.state, "unreadable", None)
        return unprocessable([unreadable] if unreadable else error.errors())

    # FastAPI says 400 when it cannot decode a body at all; to the client that is invalid input too.
    @app.exception_handler(400)
    async def answer_unreadable_body(_request: Request, _error: HTTPException) -> Response:
        return unprocessable([UNREADABLE])

    # The database is locked for too long, gone, full or damaged, or the pool has run out. asyncpg
    # says in the words of the operating system that it cannot connect.
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
    """Return whether trying again may help; if not, it is a mistake in our code."""
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlstate", None)
    if isinstance(code, str):
        return code.startswith(UNAVAILABLE)
    return not isinstance(error, IntegrityError | DataError | ProgrammingError)


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """Return a problem document; `more` are members of its own."""
    content = {
        "type": "about:blank",  # the status says what it is
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
    """Return where an error is, with at most `MAX_NAME` characters of each name."""
    return [part[:MAX_NAME] if isinstance(part, str) else part for part in loc]


class GuardFirstRoute(APIRoute):
    """A route whose guards come before its body: 401, 403 and 404 before 422.

    FastAPI asks the dependencies before it validates a body, but only after it has read it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the usual handler, for a request that keeps it to itself what it cannot read."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(PatientRequest(request.scope, request.receive))

        return handle


class PatientRequest(Request):
    """A request that reads an unreadable body as nothing, which no required body can be.

    So validation fails after the guards, and `answer_invalid_input` tells the true reason.
    """

    async def json(self) -> Any:
        """Return what the body holds, or None."""
        try:
            return await super().json()
        except json.JSONDecodeError as error:
            place = ("body", error.pos)
            self.state.unreadable = {"type": "json_invalid", "loc": place, "msg": error.msg}
        except (ValueError, RecursionError):
            self.state.unreadable = UNREADABLE
        return None

    async def _get_form(self, **limits: Any) -> FormData:
        try:
            return await super()._get_form(**limits)
        except HTTPException as error:
            if error.status_code != 400:  # too large, say
                raise
            self.state.unreadable = UNREADABLE
            return FormData()


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
