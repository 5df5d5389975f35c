"""Requirement C.1: `/docs` and `/redoc` need no internet, and no other script runs there."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, expect

from course.harness.browser.accessibility import violations
from course.harness.browser.chromium import OFFLINE
from course.harness.browser.visit import Visit
from course.harness.driver import Api
from course.harness.server import Server
from tests.stage03.accounts import PASSWORD, new_account

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = pytest.mark.craft

SLOWEST = 30_000  # milliseconds: a megabyte of JavaScript draws the page


@pytest.fixture(scope="module")
def browser_arguments() -> list[str]:
    """Return the options of a browser without internet."""
    return [OFFLINE]


@pytest.mark.requirement("C.1")
def test_without_internet_a_user_signs_in_on_the_docs_and_adds_a_todo(
    visit: Visit, server: Server, visitor: Api
) -> None:
    page = visit(f"{server.base_url}/docs")
    page.get_by_role("button", name="Authorize").click(timeout=SLOWEST)
    dialog = page.locator(".modal-ux")
    dialog.get_by_label("username").fill(new_account(visitor))
    dialog.get_by_label("password").fill(PASSWORD)
    dialog.locator("button.authorize").click()
    expect(dialog.get_by_text("Authorized", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Close").last.click()
    create = page.locator("#operations-todos-create_todo_todos_post")
    create.get_by_role("button").first.click()
    create.get_by_role("button", name="Try it out").click()
    create.get_by_role("textbox").last.fill('{"title": "Read without internet"}')
    create.get_by_role("button", name="Execute").click()
    live = create.locator(".live-responses-table .response").first
    expect(live).to_contain_text("201")
    expect(live).to_contain_text("Read without internet")
    assert violations(page, apart_from="#swagger-ui") == []  # its own parts are not ours


@pytest.mark.requirement("C.1")
def test_without_internet_the_reference_shows_and_searches_the_operations(
    browser_context: BrowserContext, server: Server
) -> None:
    """ReDoc also asks for the logo of its maker. The policy blocks that, and `visit` reports it."""
    page = browser_context.new_page()
    page.goto(f"{server.base_url}/redoc")
    expect(page.get_by_role("heading", name="Create Todo")).to_be_visible(timeout=SLOWEST)
    page.get_by_role("textbox", name="Search").fill("register")
    found = page.locator("[data-role='search:results']")
    expect(found).to_contain_text("Register")
    page.close()


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_policy_of_the_docs_allows_only_scripts_of_this_server(visitor: Api, path: str) -> None:
    served = visitor.request("GET", path)
    policy = dict(
        part.split(maxsplit=1) for part in served.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "http" not in served.headers["content-security-policy"]
    assert ("'unsafe-inline'" in policy["style-src"]) == (path == "/redoc")
