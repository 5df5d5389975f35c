"""The page at `/`: it lists what the server has, for every reader and on every screen.

Later stages have more on this page, and these tests check it there too.
"""

from __future__ import annotations

import re
from typing import Literal

import httpx
import pytest
from playwright.sync_api import expect

from course.harness.browser.accessibility import violations
from course.harness.browser.visit import Visit
from course.harness.driver import Api
from course.harness.raw_http import send_raw
from course.harness.server import AttachedServer, Server

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = [pytest.mark.craft, pytest.mark.page("app/home")]

SIDEWAYS = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture
def address(server: Server) -> str:
    """Return the URL of the page."""
    address = f"{server.base_url}/"
    if isinstance(server, AttachedServer) and httpx.get(address, trust_env=False).is_error:
        pytest.skip("not checked: this server has no page at /; the contract does not require one")
    return address


def links(markup: str) -> set[str]:
    """Return the paths that the page links to."""
    return {f"/{path.removeprefix('./')}" for path in re.findall(r'<a href="([^"]+)"', markup)}


@pytest.mark.requirement("D.2")
@pytest.mark.usefixtures("address")
def test_the_first_page_lists_the_docs_and_each_link_works(api: Api) -> None:
    visitor = api.with_token(None)
    page = visitor.request("GET", "/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert {"/docs", "/redoc", "/openapi.json"} <= links(page.text)
    statuses = {path: visitor.request("GET", path).status_code for path in links(page.text)}
    assert statuses == dict.fromkeys(statuses, 200)


@pytest.mark.requirement("D.2")
@pytest.mark.usefixtures("address")
def test_the_first_page_follows_the_rules_of_all_paths(api: Api) -> None:
    get, head = api.request("GET", "/"), api.request("HEAD", "/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    wrong = api.request("POST", "/")
    assert wrong.status_code == 405
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert isinstance(wrong.json()["detail"], str)
    assert "/" not in api.request("GET", "/openapi.json").json()["paths"]
    doubled = send_raw(api.server, "GET", "//", [], headers={})
    assert doubled.status == 307
    assert doubled.headers["location"].removeprefix(api.base_url) == "/"


@pytest.mark.requirement("D.2")
@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_first_page_is_accessible_and_fits_every_screen(
    visit: Visit, address: str, width: int, colours: Literal["light", "dark"]
) -> None:
    page = visit(address, color_scheme=colours, width=width)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert violations(page) == []
    assert page.evaluate(SIDEWAYS) == 0
    page.emulate_media(color_scheme=colours, forced_colors="active")
    # The browser chooses the colours then, and axe reads -webkit-text-fill-color, which stays.
    assert [one for one in violations(page) if not one.startswith("color-contrast")] == []


@pytest.mark.requirement("D.2")
def test_the_keyboard_opens_the_docs_from_the_first_page(visit: Visit, address: str) -> None:
    page = visit(address)
    docs = page.get_by_role("link", name="Try the API")
    for _ in range(page.get_by_role("link").count()):
        page.keyboard.press("Tab")
        if docs.evaluate("link => link === document.activeElement"):
            break
    expect(docs).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/docs")
