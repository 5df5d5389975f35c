"""Headers that tell a browser what not to do with an answer.

A page that needs something else sets that header itself. https://owasp.org/www-project-secure-headers
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import Settings

HEADERS = [
    (b"x-content-type-options", b"nosniff"),  # the type is what we say
    (b"referrer-policy", b"no-referrer"),  # no other site learns our addresses
    (b"content-security-policy", b"frame-ancestors 'none'"),  # no other site shows us in a frame
    (b"x-frame-options", b"DENY"),  # the same, for old browsers
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
# From now on only over HTTPS, for a year.
HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")


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
        wanted = [*HEADERS, HTTPS_ONLY] if https_only else HEADERS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                names = {name for name, _ in headers}
                missing = [header for header in wanted if header[0] not in names]
                message = {**message, "headers": [*headers, *missing]}
            await send(message)

        await self.app(scope, receive, send_with_headers)
