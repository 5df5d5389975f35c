"""The gallery: a page for people, made of a few files that a browser takes as they are.

It is a client like any other: all it does, it does through the API.
"""

from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from app.files import file_response

DIRECTORY = Path(__file__).resolve().parent

# Said, not guessed: some systems have odd ideas of .js, and nosniff makes them final.
PARTS = {
    "gallery.css": "text/css; charset=utf-8",
    "gallery.js": "text/javascript; charset=utf-8",
    "gallery.svg": "image/svg+xml",
}

# What the browser may do for this page, and nothing else. A script that somebody smuggles in does
# not run, and could not send a token anywhere: https://developer.mozilla.org/docs/Web/HTTP/CSP
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-cache",  # may be kept, must be asked about: an update is seen at once
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(prefix="/gallery", include_in_schema=False)


@router.get("")
async def read_page(request: Request) -> Response:
    """Return the page."""
    return await send_file("gallery.html", "text/html; charset=utf-8", request)


@router.get("/{name}")
async def read_part(name: str, request: Request) -> Response:
    """Return what the page asks for: how it looks, what it does, its icon."""
    if name not in PARTS:
        raise HTTPException(404, "The gallery has no such part")
    return await send_file(name, PARTS[name], request)


async def send_file(name: str, content_type: str, request: Request) -> Response:
    """Return a file of this directory, or a 304 when the browser has this version already."""
    response = await file_response(DIRECTORY / name, request)
    response.headers.update(HEADERS | {"Content-Type": content_type})
    return response
