"""Static pages for browsers.

A page is a client like any other: it uses only the API.
"""

from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from app.files import file_response

DIRECTORY = Path(__file__).resolve().parent
# The files that all pages share: the style, and the script of the sign-in.
SHARED = {name: DIRECTORY / name for name in ("pages.css", "sign_in.js")}

# Listed here: some systems guess a wrong type for .js, and with nosniff it would not run.
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# The browser refuses everything else on a page. An injected script does not run, and could not send
# a token anywhere: https://developer.mozilla.org/docs/Web/HTTP/CSP
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-cache",  # a cache must ask each time, so an update is seen at once
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def send_part(path: Path, request: Request) -> Response:
    """Return a file of a page, or a 304 when the browser has this version already."""
    response = await file_response(path, request)
    response.headers.update(HEADERS | {"Content-Type": CONTENT_TYPES[path.suffix]})
    return response


def page_router(path: str, html: Path, *parts: str) -> APIRouter:
    """Return the routes of a page and of its parts, which are files beside it."""
    router = APIRouter(prefix=path, include_in_schema=False)

    @router.get("")
    async def read_page(request: Request) -> Response:
        return await send_part(html, request)

    @router.get("/{name}")
    async def read_part(name: str, request: Request) -> Response:
        if name not in parts:
            raise HTTPException(404, "The page has no such file")
        return await send_part(html.with_name(name), request)

    return router
