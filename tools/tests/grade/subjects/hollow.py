"""A server of plausible constants for every route of all eight stages.

    uvicorn hollow:app --app-dir tools/tests/grade/subjects --port 8000

Statuses, headers and shapes are right, but it stores, checks and counts nothing. A test that checks
only single answers would accept it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

NOW = "2026-01-01T12:00:00+00:00"
UUID = "11111111-2222-4333-8444-555555555555"
TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"

TODO = {
    "id": 1,
    "title": "Buy milk",
    "description": None,
    "completed": False,
    "created_at": NOW,
    "updated_at": NOW,
}
USER = {"id": 1, "username": "ada", "created_at": NOW, "role": "user"}
WRITER = {"id": 1, "username": "ada"}
IMAGE = {
    "id": UUID,
    "filename": "cat.png",
    "content_type": "image/png",
    "size": 68,
    "width": 1,
    "height": 1,
    "uploaded_at": NOW,
    "url": f"/images/{UUID}/file",
}
RESULT = {
    "characters": 11,
    "words": 2,
    "unique_words": 2,
    "sentences": 1,
    "lines": 1,
    "reading_time_seconds": 1,
    "top_words": [{"word": "hello", "count": 1}, {"word": "world", "count": 1}],
}
JOB = {
    "id": UUID,
    "status": "succeeded",
    "progress": 100,
    "created_at": NOW,
    "run_at": None,
    "started_at": NOW,
    "finished_at": NOW,
    "attempts": 1,
    "result": RESULT,
    "error": None,
}
WEATHER = {
    "city": "London",
    "country": "GB",
    "temperature": 11.5,
    "feels_like": 10.0,
    "humidity": 80,
    "wind_speed": 4.1,
    "description": "overcast",
    "observed_at": NOW,
    "fetched_at": NOW,
}
POST = {
    "id": 1,
    "title": "Hello",
    "body": "World",
    "author": WRITER,
    "comments_count": 0,
    "created_at": NOW,
    "updated_at": NOW,
    "deleted_at": None,
}
COMMENT = {
    "id": 1,
    "post_id": 1,
    "body": "Well said",
    "author": WRITER,
    "created_at": NOW,
    "updated_at": NOW,
}
CHAT_MESSAGE = {
    "type": "message",
    "id": 1,
    "user": WRITER,
    "text": "Hello",
    "sent_at": NOW,
    "client_id": None,
}
PRESENCE = {"type": "presence", "event": "joined", "user": WRITER, "online": [WRITER]}
CREDENTIALS = {"access_token": TOKEN, "token_type": "bearer", "expires_in": 1800}
FRESH = {"x-cache": "MISS", "age": "0", "cache-control": "max-age=600"}

# Method, path, status, content, headers. The first that matches answers.
ROUTES: list[tuple[str, str, int, Any, dict[str, str]]] = [
    ("GET", "/todos", 200, [TODO], {}),
    ("POST", "/todos", 201, TODO, {"location": "/todos/1"}),
    ("GET|PUT|PATCH", "/todos/.+", 200, TODO, {}),
    ("DELETE", "/(todos|images|posts|comments)/.+", 204, None, {}),
    ("POST", "/auth/register", 201, USER, {"location": "/users/me"}),
    ("POST", "/auth/token", 200, CREDENTIALS, {"cache-control": "no-store"}),
    ("GET", "/users/me", 200, USER, {}),
    ("GET", "/users", 200, [USER], {}),
    ("PUT", "/users/.+/role", 200, USER, {}),
    ("GET", "/images", 200, [IMAGE], {}),
    ("POST", "/images", 201, IMAGE, {"location": f"/images/{UUID}"}),
    ("GET", "/images/.+/file", 200, "PNG", {"content-type": "image/png", "etag": '"1"'}),
    ("GET", "/images/.+", 200, IMAGE, {}),
    ("GET", "/jobs", 200, [JOB], {}),
    ("POST", "/jobs(/file)?", 202, JOB, {"location": f"/jobs/{UUID}"}),
    ("GET", "/jobs/.+/report", 200, "# Text report\n", {"content-type": "text/markdown"}),
    ("GET|DELETE", "/jobs/.+", 200, JOB, {}),
    ("GET", "/weather", 200, WEATHER, FRESH),
    ("GET", "/posts", 200, [POST], {}),
    ("POST", "/posts", 201, POST, {"location": "/posts/1"}),
    ("GET", "/posts/.+/comments", 200, [COMMENT], {}),
    ("POST", "/posts/.+/comments", 201, COMMENT, {"location": "/posts/1/comments"}),
    ("POST", "/posts/.+/restore", 200, POST, {}),
    ("GET|PATCH", "/posts/.+", 200, POST, {}),
    ("PATCH|POST", "/comments/.+", 200, COMMENT, {}),
    ("GET", "/chat/messages", 200, [CHAT_MESSAGE], {}),
    ("GET", "/(chat|docs)?", 200, "<h1>Welcome</h1>", {"content-type": "text/html"}),
    (".+", ".*", 404, {"detail": "Not found"}, {}),
]
NEEDS_TOKEN = re.compile("/(todos|users|images|jobs|chat/messages)(?!.*/file)")
UNAUTHORIZED = {"detail": "Not authenticated"}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answer any request."""
    if scope["type"] == "websocket":
        await chat(receive, send)
    elif scope["type"] == "http":
        signed_in = b"authorization" in dict(scope["headers"])
        if NEEDS_TOKEN.match(scope["path"]) and not signed_in:
            await answer(send, 401, UNAUTHORIZED, {"www-authenticate": "Bearer"})
            return
        for method, path, status, content, headers in ROUTES:
            if re.fullmatch(method, scope["method"]) and re.fullmatch(path, scope["path"]):
                await answer(send, status, content, headers)
                return


async def answer(send: Send, status: int, content: Any, headers: dict[str, str]) -> None:
    """Send a complete answer."""
    body = content if isinstance(content, str) else json.dumps(content)
    everything = {"content-type": "application/json"} | headers
    raw = [(name.encode(), value.encode()) for name, value in everything.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if status == 204 else body.encode()})


async def chat(receive: Receive, send: Send) -> None:
    """Accept every connection, and answer each message with the same frame."""
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": json.dumps(PRESENCE)})
        elif message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": json.dumps(CHAT_MESSAGE)})
        else:
            return
