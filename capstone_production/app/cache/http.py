"""Answers with an `ETag`: a 304 when the client has the current version, a 412 for an old one.

`If-None-Match` avoids sending a body that the client already has. `If-Match` prevents a client from
overwriting a change that it has not seen (RFC 9110, section 13.1).
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, NamedTuple, Protocol, TypeVar

from fastapi import Depends, Header, HTTPException, Request, Response

from app.cache.cache import Cached


class HasUpdatedAt(Protocol):
    """A row that stores the time of its last change."""

    @property
    def updated_at(self) -> datetime:
        """The time of the last change."""


Thing = TypeVar("Thing")
Dated = TypeVar("Dated", bound=HasUpdatedAt)


class Body(NamedTuple):
    """A JSON document and its entity tag (RFC 9110, 8.8.3)."""

    json: bytes
    etag: str


class PreconditionFailed(HTTPException):
    """The resource is not the version that the client has read: answered with 412."""

    def __init__(self) -> None:
        super().__init__(412, "This was changed after you read it: read it again, then change it")


def as_body(json: bytes) -> Body:
    """Return the document with its tag: equal bytes give equal tags."""
    return Body(json, f'"{hashlib.blake2b(json, digest_size=12).hexdigest()}"')


def answer(request: Request, cached: Cached[Body], cache_control: str) -> Response:
    """Return a document that may come from the cache, as `answer_body` does."""
    return answer_body(request, cached.value, cache_control, {"X-Cache": cached.level.value})


def answer_body(
    request: Request, body: Body, cache_control: str, more: Mapping[str, str] | None = None
) -> Response:
    """Return the document, or an empty 304 when the client already has it."""
    headers = {"ETag": body.etag, "Cache-Control": cache_control, **(more or {})}
    if_none_match = request.headers.get("if-none-match")
    if if_none_match is not None and is_match(if_none_match, body.etag):
        return Response(status_code=304, headers=headers)
    return Response(body.json, media_type="application/json", headers=headers)


def is_match(if_none_match: str, etag: str) -> bool:
    """Return whether the client's list has the tag, compared weakly (RFC 9110, 13.1.2)."""
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in (etag, "*") for tag in tags)


class IfMatch:
    """The version that the client wants to change. Without the header it is any version."""

    def __init__(self, lines: list[str] | None) -> None:
        self._tags = lines and [tag.strip() for line in lines for tag in line.split(",")]

    def check(self, thing: Thing, as_json: Callable[[Thing], bytes]) -> bool:
        """Return whether the client sent a condition. If so, it is true now.

        Raises `PreconditionFailed` when the header does not contain the tag of `thing` as JSON. The
        tags are compared strongly (RFC 9110, 13.1.1).
        """
        if self._tags is None:
            return False
        if not any(tag in (as_body(as_json(thing)).etag, "*") for tag in self._tags):
            raise PreconditionFailed
        return True

    def version(self, thing: Dated, as_json: Callable[[Dated], bytes]) -> datetime | None:
        """Return the `updated_at` that the statement has to find, or None for any.

        Another request may write after this check, so the statement decides. Raises as `check`.
        """
        return thing.updated_at if self.check(thing, as_json) else None


async def get_if_match(
    lines: Annotated[
        list[str] | None,
        Header(alias="If-Match", description="Change the resource only if its ETag is this one"),
    ] = None,
) -> IfMatch:
    """Return the condition in the request's `If-Match`."""
    return IfMatch(lines)


IfMatchDep = Annotated[IfMatch, Depends(get_if_match)]
