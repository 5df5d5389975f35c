"""The page at `/`, which lists what this server has, and the files that all pages share."""

from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from app.pages import SHARED, send_part

DIRECTORY = Path(__file__).resolve().parent
PARTS = SHARED | {"home.js": DIRECTORY / "home.js", "home.svg": DIRECTORY / "home.svg"}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def read_home(request: Request) -> Response:
    """Return the page."""
    return await send_part(DIRECTORY / "home.html", request)


@router.get("/home/{name}")
async def read_part(name: str, request: Request) -> Response:
    """Return a file of this page or of all pages."""
    if name not in PARTS:
        raise HTTPException(404, "The pages have no such file")
    return await send_part(PARTS[name], request)
