"""Answers with a file: all of it, a part of it (RFC 9110, 14), or a 304 (13.1.2).

Starlette's `FileResponse` does the work. But it starts its answer before it opens the file, so the
answer is cut off if the file is deleted in between. Its errors are plain text.
"""

import re
from pathlib import Path

import aiofiles.os
from fastapi import HTTPException, Request
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.staticfiles import NotModifiedResponse
from starlette.types import Message, Receive, Scope, Send

# bytes=FIRST-, bytes=FIRST-LAST, or bytes=-COUNT for the last bytes of the file.
RANGE = re.compile(rb"bytes=\s*(?:(\d{1,99})-(\d{0,99})|-\d{1,99})\s*", re.IGNORECASE)


async def file_response(path: Path, request: Request) -> Response:
    """Return the answer that sends a file; raises 404 when there is no such file."""
    try:
        stat = await aiofiles.os.stat(path)
    except FileNotFoundError:
        raise HTTPException(404, "There is no such file") from None
    response = OpenFileResponse(path, stat_result=stat)
    if StaticFiles().is_not_modified(response.headers, request.headers):
        return NotModifiedResponse(response.headers)
    return response


class OpenFileResponse(FileResponse):
    """A `FileResponse` that opens the file before it starts its answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or raise a 404 or 416 for the error handlers."""
        start: Message | None = None

        async def send_when_open(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                if message["status"] == 416:
                    size = {"Content-Range": f"bytes */{self.headers['Content-Length']}"}
                    raise HTTPException(416, "The file has no such range of bytes", size)
                start = message
                return
            if start is not None:  # the file is open: this message has its first bytes
                await send(start)
                start = None
            await send(message)

        understood = [header for header in scope["headers"] if is_understood(*header)]
        try:
            await super().__call__({**scope, "headers": understood}, receive, send_when_open)
        except FileNotFoundError:
            raise HTTPException(404, "There is no such file") from None


def is_understood(name: bytes, value: bytes) -> bool:
    """Return False for a Range header that we do not serve: HTTP tells a server to ignore it."""
    if name != b"range":
        return True
    match = RANGE.fullmatch(value)
    return match is not None and not (match[2] and int(match[1]) > int(match[2]))
