"""Pages for people: a few files that a browser takes as they are.

A page is a client like any other: all it does, it does through the API.
"""

from pathlib import Path

from fastapi import Request, Response

from app.files import file_response

# A script that each page with a sign-in serves beside its own.
SIGN_IN = Path(__file__).resolve().with_name("sign_in.js")

# Said, not guessed: some systems have odd ideas of .js, and nosniff makes them final.
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# The browser may do this for a page, and nothing else. A script that somebody smuggles in does not
# run, and could not send a token anywhere: https://developer.mozilla.org/docs/Web/HTTP/CSP
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


async def send_part(path: Path, request: Request) -> Response:
    """Return a file of a page, or a 304 when the browser has this version already."""
    response = await file_response(path, request)
    response.headers.update(HEADERS | {"Content-Type": CONTENT_TYPES[path.suffix]})
    return response
