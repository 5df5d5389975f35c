"""The page at `/` beside the chat: a sign-in there must not show the drafts of another user."""

from __future__ import annotations

import secrets

import pytest
from playwright.sync_api import Page, expect

from course.harness.browser.visit import Visit
from course.harness.server import AttachedServer, Server

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = [pytest.mark.craft, pytest.mark.page("app/home")]


def register(page: Page) -> None:
    """Register a new user with the form of the page."""
    page.get_by_label("Username").fill(f"ada_{secrets.token_hex(6)}")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_text("Signed in as")).to_be_visible()


@pytest.mark.requirement("8.6")
def test_another_user_of_the_same_tab_does_not_see_the_draft(visit: Visit, server: Server) -> None:
    if isinstance(server, AttachedServer):
        pytest.skip("not checked: the contract does not require this page")
    page = visit(f"{server.base_url}/chat")
    register(page)
    page.get_by_label("Your message").fill("a secret")
    page.goto(f"{server.base_url}/")
    page.get_by_role("button", name="Sign out").click()
    register(page)
    page.goto(f"{server.base_url}/chat")
    expect(page.get_by_label("Your message")).to_be_visible()
    expect(page.get_by_label("Your message")).to_have_value("")
