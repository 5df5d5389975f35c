"""The rules of HTTP that hold for every path.

HEAD works wherever GET does, a 405 names every method of the path, and a path with a slash too many
leads to the right one. FastAPI's own redirect repeats the `Host` header that the client sent.
"""

from urllib.parse import quote

from fastapi.responses import RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def methods_of(scope: Scope, path: str) -> list[str]:
    """Return the methods that the routes have for this path; HEAD comes with GET."""
    found = []
    for method in METHODS:
        asked = {**scope, "path": path, "method": method}
        if any(route.matches(asked)[0] is Match.FULL for route in scope["app"].routes):
            found += ["GET", "HEAD"] if method == "GET" else [method]
    return found


class PathMiddleware:
    """Gives every path what the routes alone do not give it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect, or pass the request on: HEAD as GET."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        shorter = path.rstrip("/")
        if path != shorter and methods_of(scope, shorter) and not methods_of(scope, path):
            query = scope["query_string"].decode("latin-1")
            # Without a host: the client stays on the one that it asked.
            answer = RedirectResponse(quote(shorter) + (f"?{query}" if query else ""))
            await answer(scope, receive, send)
            return

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                MutableHeaders(scope=message)["Allow"] = ", ".join(methods_of(scope, path))
            await send(message)

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send_allowed(message)
                await send({"type": "http.response.body"})  # the end: what follows is left out

        if scope["method"] == "HEAD":
            await self.app({**scope, "method": "GET"}, receive, send_head)
        else:
            await self.app(scope, receive, send_allowed)
