"""The page at `/` from stage 4 on: the bar that all pages share, and who is signed in."""

from __future__ import annotations

import re
import secrets

import httpx
import pytest
from playwright.sync_api import Page, expect

from course.harness.browser.accessibility import violations
from course.harness.browser.visit import Visit
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import AttachedServer, Server
from course.harness.waiting import eventually

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = [pytest.mark.craft, pytest.mark.page("app/home")]

PASSWORD = "correct horse"
BAR = "links => links.map(link => [link.innerText, link.href])"
# The sign-in, apart from its title: each page is one static file, so each has a copy.
FORM = (
    "form => [...form.children].filter(part => part.tagName !== 'H2').map(part => part.outerHTML)"
)
SIDEWAYS = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture
def address(server: Server) -> str:
    """Return the URL of the page."""
    address = f"{server.base_url}/"
    if isinstance(server, AttachedServer) and httpx.get(address, trust_env=False).is_error:
        pytest.skip("not checked: this server has no page at /; the contract does not require one")
    return address


def register(page: Page, username: str) -> None:
    """Fill in the form and register."""
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_text(f"Signed in as {username}")).to_be_visible()


def new_name() -> str:
    """Return a username that nobody has."""
    return f"ada_{secrets.token_hex(6)}"


@pytest.mark.requirement("4.4")
def test_every_page_has_the_same_bar_and_form_and_marks_itself(visit: Visit, address: str) -> None:
    page = visit(address)
    bar = page.get_by_role("navigation", name="Pages").get_by_role("link")
    pages: list[tuple[str, str]] = bar.evaluate_all(BAR)
    assert len(pages) > 1
    form = page.locator("#form").evaluate(FORM)
    for name, url in pages:
        page.goto(url)
        assert bar.evaluate_all(BAR) == pages
        assert page.locator("#form").evaluate(FORM) == form
        current = page.locator("nav [aria-current=page]")
        assert current.evaluate_all(BAR) == [[name, url]]
        expect(page).to_have_title(name)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)


@pytest.mark.requirement("4.4")
def test_a_sign_in_on_the_first_page_holds_on_all_pages(visit: Visit, address: str) -> None:
    page = visit(address)
    username = new_name()
    register(page, username)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert violations(page) == []
    for name in page.get_by_role("navigation").get_by_role("link").all_inner_texts():
        page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(page).to_have_title(name)
        expect(page.get_by_text(f"Signed in as {username}")).to_be_visible()
    page.goto(address)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Signed in as")).to_be_hidden()
    expect(page.get_by_label("Username")).to_be_focused()


@pytest.mark.requirement("4.4")
def test_the_first_page_does_not_name_a_user_whose_token_has_expired(
    visit: Visit, launch: Launch
) -> None:
    # The second setting ends the refresh tokens of the capstone.
    server = launch(ACCESS_TOKEN_TTL="1", REFRESH_TOKEN_TTL="1")
    page = visit(f"{server.base_url}/")
    with page.expect_response(re.compile("/auth/(token|session)$")) as answer:
        register(page, new_name())
    with Api(server, token=answer.value.json()["access_token"]) as api:
        eventually(lambda: api.request("GET", "/users/me").status_code == 401)
    eventually(lambda: not page.context.cookies())
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("session has ended")
    expect(page.get_by_text("Signed in as")).to_be_hidden()


@pytest.mark.requirement("4.4")
@pytest.mark.parametrize("width", [320, 1280])
def test_the_bar_has_room_for_a_long_name_and_large_text(
    visit: Visit, address: str, width: int
) -> None:
    page = visit(address, width=width)
    username = f"{new_name()}_{'w' * 32}"[:50]
    register(page, username)
    for size in ("100%", "200%"):
        page.evaluate("size => document.documentElement.style.fontSize = size", size)
        assert page.evaluate(SIDEWAYS) == 0
        sign_out = page.get_by_role("button", name="Sign out")
        sign_out.scroll_into_view_if_needed()  # the focus may have scrolled the page down a little
        expect(sign_out).to_be_in_viewport(ratio=1)


@pytest.mark.requirement("4.4")
@pytest.mark.usefixtures("address")
@pytest.mark.parametrize(
    "path", ["/", "/home/home.js", "/home/home.svg", "/home/pages.css", "/home/sign_in.js"]
)
def test_the_first_page_is_served_with_strict_headers_and_an_etag(api: Api, path: str) -> None:
    served = api.request("GET", path)
    policy = served.headers["content-security-policy"]
    for rule in ("default-src 'none'", "form-action 'none'", "frame-ancestors 'none'"):
        assert rule in policy
    assert "script-src 'self'; style-src 'self';" in policy
    assert served.headers["x-content-type-options"] == "nosniff"
    same = api.request("GET", path, headers={"If-None-Match": served.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    for name in ("router.py", "home.html", "..%2Fmain.py", "%2e%2e/main.py"):
        assert api.request("GET", f"/home/{name}").status_code == 404
