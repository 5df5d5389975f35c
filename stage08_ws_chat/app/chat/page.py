"""The chat's page. 'self' in `connect-src` of its policy also allows our own WebSocket."""

from pathlib import Path

from fastapi import APIRouter, Request, Response

from app.pages import send_part

DIRECTORY = Path(__file__).resolve().parent

router = APIRouter(prefix="/chat", include_in_schema=False)


@router.get("")
async def read_page(request: Request) -> Response:
    """Return the page."""
    return await send_part(DIRECTORY / "chat.html", request)


@router.get("/chat.css")
async def read_style(request: Request) -> Response:
    """Return the page's style."""
    return await send_part(DIRECTORY / "chat.css", request)


@router.get("/chat.js")
async def read_script(request: Request) -> Response:
    """Return the page's script."""
    return await send_part(DIRECTORY / "chat.js", request)


@router.get("/chat.svg")
async def read_icon(request: Request) -> Response:
    """Return the page's icon."""
    return await send_part(DIRECTORY / "chat.svg", request)
