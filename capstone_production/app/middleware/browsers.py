"""Headers for browsers: who may use an answer, and what a browser must not do with it.

Pages of other sites may use the API when `CORS_ORIGINS` names them, else not. Nobody is recognised
by a cookie, so even `*` gives a page nothing that its user did not give it: a token.
https://developer.mozilla.org/docs/Web/HTTP/CORS

An answer that needs another security header sets it itself. https://owasp.org/www-project-secure-headers
"""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import Settings

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
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),  # the type is what we say
    (b"referrer-policy", b"no-referrer"),  # no other site learns our addresses
    (b"content-security-policy", b"frame-ancestors 'none'"),  # no other site shows us in a frame
    (b"x-frame-options", b"DENY"),  # the same, for old browsers
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
# From now on only over HTTPS, for a year.
HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")


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


class SecurityHeadersMiddleware:
    """Adds the headers that an answer does not have yet."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through, with more headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        settings: Settings = scope["state"]["settings"]
        https_only = scope["scheme"] == "https" and settings.environment == "production"
        wanted = [*SECURITY_HEADERS, HTTPS_ONLY] if https_only else SECURITY_HEADERS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                names = {name for name, _ in headers}
                missing = [header for header in wanted if header[0] not in names]
                message = {**message, "headers": [*headers, *missing]}
            await send(message)

        await self.app(scope, receive, send_with_headers)
