"""HTTP rules for every path: HEAD, `Allow` and trailing slashes.

HEAD works wherever GET works. A 405 names every method of the path. A path with a trailing slash
redirects to the path without it. (FastAPI's own redirect would repeat the client's `Host` header.)
"""

from urllib.parse import quote

from fastapi.responses import RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def methods_of(scope: Scope, path: str) -> list[str]:
    """Return the methods of all routes for this path, and HEAD for each GET."""
    found = []
    for method in METHODS:
        asked = {**scope, "path": path, "method": method}
        if any(
            route.matches(asked)[0] is Match.FULL
            for route in scope["app"].routes
            if method == "GET" or not isinstance(route, Mount)  # a mount: files, only to read
        ):
            found += ["GET", "HEAD"] if method == "GET" else [method]
    return found


class PathMiddleware:
    """Adds HEAD, a complete `Allow` header and redirects to every path."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect, or pass the request on. A HEAD request is passed on as GET."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        shorter = path.rstrip("/") or "/"
        if path != shorter and methods_of(scope, shorter) and not methods_of(scope, path):
            query = scope["query_string"].decode("latin-1")
            # No host in the address: the client stays on the host that it used.
            answer = RedirectResponse(quote(shorter) + (f"?{query}" if query else ""))
            await answer(scope, receive, send)
            return
        asked = dict(scope)  # a mount changes the other one

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                MutableHeaders(scope=message)["Allow"] = ", ".join(methods_of(asked, path))
            await send(message)

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send_allowed(message)
                await send({"type": "http.response.body"})  # the end: HEAD has no body

        if scope["method"] == "HEAD":
            await self.app({**scope, "method": "GET"}, receive, send_head)
        else:
            await self.app(scope, receive, send_allowed)
