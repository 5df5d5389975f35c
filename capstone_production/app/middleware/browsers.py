"""Headers for browsers: CORS and security headers.

Pages of other sites may use the API only if `CORS_ORIGINS` names them. Even with `*` a page needs a
token from its user: the only cookie is for our own pages (app/session/router.py), and CORS lets no
other page use it.
https://developer.mozilla.org/docs/Web/HTTP/CORS

A handler may set another value of a security header. https://owasp.org/www-project-secure-headers
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
    (b"x-content-type-options", b"nosniff"),  # the browser must not guess the type
    (b"referrer-policy", b"no-referrer"),  # links do not send our URLs to other sites
    (b"content-security-policy", b"frame-ancestors 'none'"),  # other sites cannot frame our pages
    (b"x-frame-options", b"DENY"),  # the same, for old browsers
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
# The browser uses only HTTPS, for a year.
HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")


class CrossOriginMiddleware:
    """Starlette's CORS middleware, with the origins that the settings have at the start."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._answering: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to Starlette's CORS, or to the app when no other site is allowed."""
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
    """Adds the security headers that an answer does not have yet."""

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
