"""The chat's page. 'self' in `connect-src` of its policy also allows our own WebSocket."""

from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from app.pages import send_part

DIRECTORY = Path(__file__).resolve().parent
SUFFIXES = {".css", ".js", ".svg"}
PARTS = {path.name: path for path in DIRECTORY.iterdir() if path.suffix in SUFFIXES}

router = APIRouter(prefix="/chat", include_in_schema=False)


@router.get("")
async def read_page(request: Request) -> Response:
    """Return the page."""
    return await send_part(DIRECTORY / "chat.html", request)


@router.get("/{name}")
async def read_part(name: str, request: Request) -> Response:
    """Return a file of the page: its style, a script or its icon."""
    if name not in PARTS:
        raise HTTPException(404, "The chat has no such file")
    return await send_part(PARTS[name], request)
