"""Answers with an `ETag`: a 304 for whoever has it, a 412 for whoever would change another one.

`If-None-Match` saves sending what the client has already. `If-Match` saves a change of somebody
else from being overwritten unseen (RFC 9110, section 13.1).
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, NamedTuple, Protocol, TypeVar

from fastapi import Depends, Header, HTTPException, Request, Response

from app.cache.cache import Cached


class HasUpdatedAt(Protocol):
    """A row that knows when it was last changed."""

    @property
    def updated_at(self) -> datetime:
        """When that was."""


Thing = TypeVar("Thing")
Dated = TypeVar("Dated", bound=HasUpdatedAt)


class Body(NamedTuple):
    """A JSON document and its entity tag (RFC 9110, 8.8.3)."""

    json: bytes
    etag: str


class PreconditionFailed(HTTPException):
    """It is not what the client has seen: answered with 412."""

    def __init__(self) -> None:
        super().__init__(412, "It was changed meanwhile: read it again, then change it")


def as_body(json: bytes) -> Body:
    """Return the document with the tag that it has as long as it is the same, byte by byte."""
    return Body(json, f'"{hashlib.blake2b(json, digest_size=12).hexdigest()}"')


def answer(request: Request, cached: Cached[Body], cache_control: str) -> Response:
    """Return a document that may come from the cache, as `answer_body` does."""
    return answer_body(request, cached.value, cache_control, {"X-Cache": cached.level.value})


def answer_body(
    request: Request, body: Body, cache_control: str, more: Mapping[str, str] | None = None
) -> Response:
    """Return the document, or 304 without it when the client says that it has this one."""
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
    """The version that a client has seen of the thing that it changes; without the header any."""

    def __init__(self, lines: list[str] | None) -> None:
        self._tags = lines and [tag.strip() for line in lines for tag in line.split(",")]

    def check(self, thing: Thing, as_json: Callable[[Thing], bytes]) -> bool:
        """Return whether the client asks for something, which is so now.

        Raises `PreconditionFailed` when `thing`, as JSON, is not what the client has seen. The tags
        are compared strongly (RFC 9110, 13.1.1).
        """
        if self._tags is None:
            return False
        if not any(tag in (as_body(as_json(thing)).etag, "*") for tag in self._tags):
            raise PreconditionFailed
        return True

    def version(self, thing: Dated, as_json: Callable[[Dated], bytes]) -> datetime | None:
        """Return the `updated_at` that the statement has to find, or None for any.

        Another request may be faster after the check, so the statement decides. Raises as `check`.
        """
        return thing.updated_at if self.check(thing, as_json) else None


async def get_if_match(
    lines: Annotated[
        list[str] | None,
        Header(alias="If-Match", description="Change it only if it still has this ETag"),
    ] = None,
) -> IfMatch:
    """Return what the request's `If-Match` asks for."""
    return IfMatch(lines)


IfMatchDep = Annotated[IfMatch, Depends(get_if_match)]
