"""The chat's page: a few files that a browser takes as they are.

It is a client like any other: all it does, it does through the API and the socket.
"""

from pathlib import Path

from fastapi import APIRouter, Request, Response

from app.files import file_response

DIRECTORY = Path(__file__).resolve().parent

# What the browser may do for this page, and nothing else. A script that somebody smuggles in does
# not run, and could not send a token anywhere: https://developer.mozilla.org/docs/Web/HTTP/CSP
# In connect-src, 'self' also stands for our own ws: or wss: address.
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

router = APIRouter(prefix="/chat", include_in_schema=False)


@router.get("")
async def read_page(request: Request) -> Response:
    """Return the page."""
    return await send_file("chat.html", "text/html; charset=utf-8", request)


# Types are said, not guessed: some systems have odd ideas of .js, and nosniff makes them final.
@router.get("/chat.css")
async def read_style(request: Request) -> Response:
    """Return how the page looks."""
    return await send_file("chat.css", "text/css; charset=utf-8", request)


@router.get("/chat.js")
async def read_script(request: Request) -> Response:
    """Return what the page does."""
    return await send_file("chat.js", "text/javascript; charset=utf-8", request)


@router.get("/chat.svg")
async def read_icon(request: Request) -> Response:
    """Return the page's icon."""
    return await send_file("chat.svg", "image/svg+xml", request)


async def send_file(name: str, content_type: str, request: Request) -> Response:
    """Return a file of this directory, or a 304 when the browser has this version already."""
    response = await file_response(DIRECTORY / name, request)
    response.headers.update(HEADERS | {"Content-Type": content_type})
    return response
