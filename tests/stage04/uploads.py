"""Sends pictures as a browser does, and malformed forms."""

from __future__ import annotations

import secrets
from typing import Any

import httpx

from course.harness.driver import Api
from tests.stage04.pictures import PNG, png

MAX_FILE_SIZE = 5 * 1024 * 1024  # bytes
FIELDS = {"id", "filename", "content_type", "size", "width", "height", "uploaded_at", "url"}

Image = dict[str, Any]


def disposition(filename: str, field: str = "file") -> bytes:
    """Return the header that names a file, with quotes and line ends escaped like in a browser."""
    escaped = filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    return f'form-data; name="{field}"; filename="{escaped}"'.encode()


def part(content_disposition: bytes, content: bytes, content_type: str | None) -> bytes:
    """Return one part of a multipart body, without its boundary."""
    lines = [b"Content-Disposition: " + content_disposition]
    if content_type is not None:
        lines.append(b"Content-Type: " + content_type.encode())
    return b"\r\n".join([*lines, b"", content])


def form(*parts: bytes) -> tuple[bytes, dict[str, str]]:
    """Return a multipart body of these parts, and its headers."""
    boundary = secrets.token_hex(16)
    line = b"\r\n--" + boundary.encode()
    body = b"".join(line + b"\r\n" + part for part in parts)[2:] + line + b"--\r\n"
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def upload(
    api: Api,
    content: bytes,
    *,
    content_type: str | None = PNG,
    filename: str = "picture.png",
    content_disposition: bytes | None = None,
) -> httpx.Response:
    """Upload a file and return the answer, also when it is an error."""
    named = disposition(filename) if content_disposition is None else content_disposition
    body, headers = form(part(named, content, content_type))
    return api.request("POST", "/images", content=body, headers=headers)


def new_image(api: Api, content: bytes | None = None, content_type: str = PNG) -> Image:
    """Upload a picture (a small PNG by default) and return its metadata."""
    answer = upload(api, png() if content is None else content, content_type=content_type)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    image: Image = answer.json()
    return image


def list_images(api: Api, **query: Any) -> list[Image]:
    """Return one page of your images."""
    answer = api.request("GET", "/images", params=query)
    assert answer.status_code == httpx.codes.OK, answer.text
    images: list[Image] = answer.json()
    return images
