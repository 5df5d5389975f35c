"""The gallery's page."""

from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from app.pages import send_part

DIRECTORY = Path(__file__).resolve().parent
PARTS = {
    "gallery.css": DIRECTORY / "gallery.css",
    "gallery.js": DIRECTORY / "gallery.js",
    "gallery.svg": DIRECTORY / "gallery.svg",
    "uploads.js": DIRECTORY / "uploads.js",
}

router = APIRouter(prefix="/gallery", include_in_schema=False)


@router.get("")
async def read_page(request: Request) -> Response:
    """Return the page."""
    return await send_part(DIRECTORY / "gallery.html", request)


@router.get("/{name}")
async def read_part(name: str, request: Request) -> Response:
    """Return a file of the page: its style, its scripts or its icon."""
    if name not in PARTS:
        raise HTTPException(404, "The gallery has no such file")
    return await send_part(PARTS[name], request)
