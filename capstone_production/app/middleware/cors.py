"""Which pages of other sites may use the API from a browser: those of `CORS_ORIGINS`, else none.

Nobody is recognised by a cookie, so even `*` gives a page nothing that its user did not give it: a
token. https://developer.mozilla.org/docs/Web/HTTP/CORS
"""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
REQUEST_HEADERS = ["Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID"]
RESPONSE_HEADERS = [
    "Age",
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Retry-After",
    "X-Cache",
    "X-Request-ID",
]


class CrossOriginMiddleware:
    """Starlette's CORS with the origins of the settings, which are read when the server starts."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._answering: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Starlette answer, or do nothing when no other site is allowed."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self._answering is None:
            self._answering = self._allow(scope["state"]["settings"].cors_origins)
        await self._answering(scope, receive, send)

    def _allow(self, origins: list[str]) -> ASGIApp:
        if not origins:
            return self.app
        return CORSMiddleware(
            self.app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
        )
