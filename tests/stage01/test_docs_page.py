"""The page `/docs` in a browser that reaches no server except this one: it needs no internet."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import pytest
from playwright.sync_api import BrowserContext, expect

from course.harness.browser.chromium import OFFLINE
from course.harness.browser.visit import Visit
from course.harness.driver import Api
from course.harness.server import AttachedServer, Server

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = pytest.mark.craft

SLOWEST = 30_000  # milliseconds: a megabyte of JavaScript draws the page
FILES = re.compile(r'<(?:script|link)[^>]* (?:src|href)="([^"]+)"')
PROGRAMS = {"/docs": "swagger-ui", "/redoc": "redoc"}


@pytest.fixture(scope="module")
def browser_arguments() -> list[str]:
    """Return the options of a browser without internet."""
    return [OFFLINE]


@pytest.fixture
def pages(api: Api, server: Server) -> dict[str, str]:
    """Return the HTML of `/docs` and `/redoc`."""
    answers = {path: api.request("GET", path) for path in PROGRAMS}
    if isinstance(server, AttachedServer):
        pytest.skip("not checked: the contract does not say where the files of /docs come from")
    return {path: answer.text for path, answer in answers.items()}


@pytest.mark.requirement("D.2")
@pytest.mark.parametrize("path", PROGRAMS)
def test_every_file_of_the_docs_comes_from_this_server(
    api: Api, pages: dict[str, str], path: str
) -> None:
    files = [urljoin(f"{api.base_url}{path}", name) for name in FILES.findall(pages[path])]
    assert any(PROGRAMS[path] in file for file in files)
    for file in files:
        assert file.startswith(f"{api.base_url}/")
        assert api.request("GET", file).status_code == 200
        wrong = api.request("POST", file)
        assert wrong.status_code == 405
        assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.requirement("D.2")
def test_without_internet_the_docs_list_the_operations_and_send_requests(
    visit: Visit, server: Server, pages: dict[str, str]
) -> None:
    assert pages
    page = visit(f"{server.base_url}/docs")
    create = page.locator(".opblock-post").filter(has_text="/todos")
    create.wait_for(timeout=SLOWEST)
    expect(page.locator(".opblock")).to_have_count(6)
    create.get_by_role("button").first.click()
    create.get_by_role("button", name="Try it out").click()
    create.get_by_role("textbox").fill('{"title": "Read without internet"}')
    create.get_by_role("button", name="Execute").click()
    live = create.locator(".live-responses-table .response")
    expect(live.first).to_contain_text("201")
    expect(live.first).to_contain_text("Read without internet")


@pytest.mark.requirement("D.2")
def test_without_internet_the_reference_shows_the_operations(
    browser_context: BrowserContext, server: Server, pages: dict[str, str]
) -> None:
    """ReDoc also asks for the logo of its maker, which is not needed: `visit` would report it."""
    assert pages
    page = browser_context.new_page()
    page.goto(f"{server.base_url}/redoc")
    expect(page.get_by_role("heading", name="Create Todo")).to_be_visible(timeout=SLOWEST)
    page.close()
