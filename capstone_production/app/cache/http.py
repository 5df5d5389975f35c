"""A cached answer: the body as it goes out, with its `ETag`, and a 304 for whoever has it."""

import hashlib
from typing import NamedTuple

from fastapi import Request, Response

from app.cache.cache import Cached


class Body(NamedTuple):
    """A JSON document and its entity tag (RFC 9110, 8.8.3)."""

    json: bytes
    etag: str


def as_body(json: bytes) -> Body:
    """Return the document with the tag that it has as long as it is the same, byte by byte."""
    return Body(json, f'"{hashlib.blake2b(json, digest_size=12).hexdigest()}"')


def answer(request: Request, cached: Cached[Body], cache_control: str) -> Response:
    """Return the document, or 304 without it when the client says that it has this one."""
    body = cached.value
    headers = {"ETag": body.etag, "Cache-Control": cache_control, "X-Cache": cached.level.value}
    if_none_match = request.headers.get("if-none-match")
    if if_none_match is not None and is_match(if_none_match, body.etag):
        return Response(status_code=304, headers=headers)
    return Response(body.json, media_type="application/json", headers=headers)


def is_match(if_none_match: str, etag: str) -> bool:
    """Return whether the client's list has the tag, compared weakly (RFC 9110, 13.1.2)."""
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in (etag, "*") for tag in tags)
