"""The page at `/`, which lists what this server has."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

PAGE = Path(__file__).with_name("home.html").read_text(encoding="utf-8")

router = APIRouter(include_in_schema=False)


@router.get("/")
async def read_home() -> HTMLResponse:
    """Return the page."""
    return HTMLResponse(PAGE)
