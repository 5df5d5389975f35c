"""The form of every error: a problem document (RFC 9457) with the id of the request in it.

The id is also in every line of the request's log. A client or a gateway may choose it, so that one
search finds a request in the logs of all services. A malformed id is replaced, because ids go into
our log. Details of internal errors go to the log only.
"""

import json
import logging
import random
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROBLEM = "application/problem+json"
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
REQUEST_ID = b"x-request-id"
WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,128}")

# Set for each request, and inherited by its threads and tasks.
current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")

logger = logging.getLogger(__name__)


def choose_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that came with the request, or a new one."""
    for name, value in headers:
        if name == REQUEST_ID and WELL_FORMED.fullmatch(value):
            return value.decode()
    return f"{random.getrandbits(128):032x}"


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
