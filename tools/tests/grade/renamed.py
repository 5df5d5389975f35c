"""Stage 1 with other names: `/api/v1/tasks`, and a todo's `title` is called `name`.

    STAGE_DIRECTORY=… uvicorn renamed:app

It differs from the contract in nothing else, so a profile can describe it.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

sys.path.insert(0, os.environ["STAGE_DIRECTORY"])
inner: Any = importlib.import_module("app.main").app

Message = MutableMapping[str, Any]
OURS, THEIRS = "/todos", "/api/v1/tasks"


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Translate requests and answers; the contract's own names do not work here."""
    if scope["type"] != "http":
        await inner(scope, receive, send)
        return
    path = scope["path"]
    if path.startswith(OURS):
        path = "/no/such/path"
    elif path.startswith(THEIRS):
        path = OURS + path.removeprefix(THEIRS)
    start: Message = {}
    body = bytearray()

    async def receive_renamed() -> Message:
        message = await receive()
        content = message.get("body", b"").replace(b'"title"', b'"unknown"')
        return {**message, "body": content.replace(b'"name"', b'"title"')}

    async def send_renamed(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
            return
        body.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        renamed = bytes(body).replace(b'"title"', b'"name"')
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        headers = [(name, value.replace(OURS.encode(), THEIRS.encode())) for name, value in headers]
        if start["status"] != 204:
            headers.append((b"content-length", b"%d" % len(renamed)))
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": renamed})

    translated = {**scope, "path": path, "raw_path": path.encode()}
    await inner(translated, receive_renamed, send_renamed)
