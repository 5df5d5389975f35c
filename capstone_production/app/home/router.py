"""The page at `/`, which lists what this server has, and the files that all pages share."""

import re
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from app.dependencies import SettingsDep
from app.pages import HEADERS, SHARED, send_part

DIRECTORY = Path(__file__).resolve().parent
PARTS = SHARED | {"home.js": DIRECTORY / "home.js", "home.svg": DIRECTORY / "home.svg"}
PAGE = DIRECTORY / "home.html"
WITHOUT_DOCS = re.sub("<section.*</section>", "", PAGE.read_text("utf-8"), flags=re.DOTALL)

router = APIRouter(include_in_schema=False)


@router.get("/")
async def read_home(request: Request, settings: SettingsDep) -> Response:
    """Return the page; it names what is for developers only if the docs are public."""
    if not settings.docs_enabled:
        return HTMLResponse(WITHOUT_DOCS, headers=HEADERS)
    return await send_part(PAGE, request)


@router.get("/home/{name}")
async def read_part(name: str, request: Request) -> Response:
    """Return a file of this page or of all pages."""
    if name not in PARTS:
        raise HTTPException(404, "The pages have no such file")
    return await send_part(PARTS[name], request)
