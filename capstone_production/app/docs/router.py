"""The pages `/docs` and `/redoc`. All their files come from this server, so they need no internet.

FastAPI's own pages load programs from a content delivery network, which could then send requests
in the name of our users: https://fastapi.tiangolo.com/how-to/custom-docs-ui-assets/
"""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from app.pages import CONTENT_SECURITY_POLICY, send_part

DIRECTORY = Path(__file__).resolve().parent
PROGRAMS = Path(str(files("fastapi_offline") / "static"))
PARTS = {
    "docs.js": DIRECTORY / "docs.js",
    "redoc.standalone.js": PROGRAMS / "redoc.standalone.js",
    "swagger-ui-bundle.js": PROGRAMS / "swagger-ui-bundle.js",
    "swagger-ui.css": PROGRAMS / "swagger-ui.css",
}

# Both programs have pictures in data: URLs. ReDoc also adds styles, and searches in a worker.
DOCS_POLICY = CONTENT_SECURITY_POLICY.replace("img-src", "img-src data:")
REDOC_POLICY = DOCS_POLICY.replace("style-src", "worker-src blob:; style-src 'unsafe-inline'")

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def read_docs(request: Request) -> Response:
    """Return the page to try the API."""
    response = await send_part(DIRECTORY / "docs.html", request)
    response.headers["Content-Security-Policy"] = DOCS_POLICY
    return response


@router.get("/redoc")
async def read_redoc(request: Request) -> Response:
    """Return the page to read the API."""
    response = await send_part(DIRECTORY / "redoc.html", request)
    response.headers["Content-Security-Policy"] = REDOC_POLICY
    return response


@router.get("/docs/{name}")
async def read_part(name: str, request: Request) -> Response:
    """Return a file of both pages."""
    if name not in PARTS:
        raise HTTPException(404, "The docs have no such file")
    return await send_part(PARTS[name], request)
