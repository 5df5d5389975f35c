"""Requirement C.1: pages stay signed in, in all tabs, in a real Chromium.

Every visit also fails on an error in the console, a violation of the Content-Security-Policy, an
alert, or a request to another server (course/harness/browser/plugin.py).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from course.harness.browser.visit import Visit
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import Server
from course.harness.waiting import eventually
from tests.capstone.lossy import lossy_line
from tests.capstone.test_session import COOKIE, ask

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = [pytest.mark.craft, pytest.mark.page("app/todos")]

PASSWORD = "correct horse"
PATIENCE = 15_000  # milliseconds
SESSION = "**/auth/session"
SECOND = "1"  # the shortest time of a token


class Todos:
    """The page of the todos, found by its visible words."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.username = f"ada_{secrets.token_hex(6)}"
        self.heading = page.get_by_role("heading", name="Your todos", exact=True)
        self.form = page.get_by_role("form", name="Sign in")
        self.message = self.form.get_by_role("alert")
        self.new = page.get_by_label("New todo")
        page.set_default_timeout(PATIENCE)

    def enter(self, button: str) -> None:
        """Fill in the form and press one of its buttons."""
        self.page.get_by_label("Username").fill(self.username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name=button).click()

    def register(self) -> Todos:
        """Register and sign in."""
        self.enter("Register")
        self.is_signed_in()
        return self

    def is_signed_in(self) -> None:
        """Wait until the page shows the user's data."""
        expect(self.heading).to_be_visible(timeout=PATIENCE)
        expect(self.form).to_be_hidden()

    def todo(self, title: str) -> Locator:
        """Return the row of a todo."""
        rows = self.page.get_by_role("list", name="Your todos").get_by_role("listitem")
        return rows.filter(has=self.page.get_by_text(title, exact=True))

    def start_adding(self, title: str) -> None:
        """Send a todo, without waiting for the answer."""
        self.new.fill(title)
        self.new.press("Enter")

    def add(self, title: str) -> None:
        """Add a todo and wait until it is shown."""
        self.start_adding(title)
        expect(self.todo(title)).to_have_count(1, timeout=PATIENCE)

    def sign_out(self) -> None:
        """Press the button."""
        self.page.get_by_role("button", name="Sign out").click()

    def cookie(self) -> str:
        """Return the value of the cookie, which only the browser knows."""
        (cookie,) = [each for each in self.page.context.cookies() if each["name"] == COOKIE]
        return str(cookie["value"])


@pytest.fixture
def ada(visit: Visit, server: Server) -> Todos:
    """Return the page of a new user."""
    return Todos(visit(f"{server.base_url}/my-todos")).register()


def tab(visit: Visit, other: Todos) -> Todos:
    """Return a second tab of the same browser."""
    todos = Todos(visit(other.page.url, beside=other.page))
    todos.username = other.username
    return todos


def has_expired(api: Api, token: str) -> Callable[[], bool]:
    """Return a check whether the server refuses this access token."""
    return lambda: api.with_token(token).request("GET", "/users/me").status_code == 401


def access_token(todos: Todos) -> str:
    """Return the token of the page: of the requests that it sends after a reload."""
    with todos.page.expect_request("**/todos?*") as request:
        todos.page.reload()
    return request.value.headers["authorization"].removeprefix("Bearer ")


# --- Staying signed in


@pytest.mark.requirement("C.1")
def test_a_reload_and_a_new_tab_stay_signed_in(ada: Todos, visit: Visit) -> None:
    ada.add("kept")
    ada.page.reload()
    expect(ada.todo("kept")).to_be_visible()
    second = tab(visit, ada)
    expect(second.todo("kept")).to_be_visible()
    expect(second.page.get_by_text(ada.username)).to_be_visible()
    expect(Todos(visit(ada.page.url)).form).to_be_visible()  # another browser


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize(
    ("path", "name"),
    [("/gallery", "Your pictures"), ("/my-jobs", "Your jobs"), ("/chat", "Online")],
)
def test_the_other_pages_are_signed_in_too(
    ada: Todos, visit: Visit, server: Server, path: str, name: str
) -> None:
    page = visit(f"{server.base_url}{path}", beside=ada.page)
    expect(page.get_by_role("heading", name=re.compile(name))).to_be_visible()
    expect(page.get_by_text(ada.username).first).to_be_visible()


@pytest.mark.requirement("C.1")
def test_no_script_can_read_a_token(ada: Todos) -> None:
    token = access_token(ada)
    cookie = ada.cookie()
    ada.is_signed_in()
    stored = ada.page.evaluate(
        "[Object.entries(localStorage), Object.entries(sessionStorage), document.cookie]"
    )
    assert ada.username in json.dumps(stored)
    assert token not in json.dumps(stored)
    assert cookie not in json.dumps(stored)
    assert stored[2] == ""


@pytest.mark.requirement("C.1")
def test_an_expired_access_token_is_replaced_unnoticed(launch: Launch, visit: Visit) -> None:
    server = launch(ACCESS_TOKEN_TTL=SECOND)
    ada = Todos(visit(f"{server.base_url}/my-todos")).register()
    with Api(server) as api:
        for number in range(3):
            eventually(has_expired(api, access_token(ada)))
            ada.add(f"later {number}")
    ada.is_signed_in()


@pytest.mark.requirement("C.1")
def test_tabs_renew_one_after_the_other_when_the_token_expires(
    launch: Launch, visit: Visit
) -> None:
    server = launch(ACCESS_TOKEN_TTL=SECOND)
    first = Todos(visit(f"{server.base_url}/my-todos")).register()
    tabs = [first, *(tab(visit, first) for _ in range(3))]
    running: set[Request] = set()
    most = renewals = 0

    def started(request: Request) -> None:
        nonlocal most, renewals
        if request.method == "PUT":
            running.add(request)
            most = max(most, len(running))
            renewals += 1

    first.page.context.on("request", started)
    for event in ("requestfinished", "requestfailed"):
        first.page.context.on(event, lambda request: running.discard(request))
    with Api(server) as api:
        for number in range(3):
            eventually(has_expired(api, access_token(first)))
            for at, each in enumerate(tabs):
                each.new.fill(f"round {number} of tab {at}")
            for each in tabs:
                each.page.evaluate("document.querySelector('#adding').requestSubmit()")
            for at, each in enumerate(tabs):
                expect(each.todo(f"round {number} of tab {at}")).to_have_count(1)
    assert most == 1
    assert renewals >= 12
    for each in tabs:
        each.is_signed_in()


@pytest.mark.requirement("C.1")
def test_a_restart_of_the_server_signs_nobody_out(launch: Launch, visit: Visit) -> None:
    server = launch(ACCESS_TOKEN_TTL=SECOND)
    ada = Todos(visit(f"{server.base_url}/my-todos")).register()
    with Api(server) as api:
        eventually(has_expired(api, access_token(ada)))
        ada.is_signed_in()
        server.kill()
        ada.start_adding("during the restart")
        expect(ada.page.get_by_role("alert")).to_contain_text("No answer")
        expect(ada.form).to_be_hidden()
        server.start()
        expect(ada.new).to_have_value("during the restart")
        ada.new.press("Enter")
        expect(ada.todo("during the restart")).to_have_count(1)
    ada.page.reload()
    expect(ada.todo("during the restart")).to_be_visible()


# --- Bad lines


@pytest.mark.requirement("C.1")
def test_offline_at_the_expiry_the_page_waits_and_stays_signed_in(
    launch: Launch, visit: Visit
) -> None:
    server = launch(ACCESS_TOKEN_TTL=SECOND)
    ada = Todos(visit(f"{server.base_url}/my-todos")).register()
    with Api(server) as api:
        token = access_token(ada)
        ada.is_signed_in()
        ada.page.context.set_offline(True)
        eventually(has_expired(api, token))
    ada.start_adding("from a tunnel")
    expect(ada.page.get_by_role("alert")).to_contain_text("No answer")
    ada.page.context.set_offline(False)
    ada.new.press("Enter")
    expect(ada.todo("from a tunnel")).to_have_count(1)
    ada.is_signed_in()


@pytest.mark.requirement("C.1")
def test_a_lost_answer_to_a_renewal_signs_nobody_out(server: Server, visit: Visit) -> None:
    with lossy_line(server.base_url) as line:
        ada = Todos(visit(f"{line.base_url}/my-todos")).register()
        ada.add("kept")
        before = ada.cookie()
        line.losing = b"PUT /auth/session"
        ada.page.reload()
        expect(ada.page.get_by_role("status")).to_contain_text("No answer")
        eventually(lambda: line.lost >= 1)
        assert ada.cookie() == before  # the server has replaced it already
        line.losing = None
        ada.page.get_by_role("button", name="Load more").click()
        expect(ada.todo("kept")).to_be_visible()
        assert ada.cookie() != before


@pytest.mark.requirement("C.1")
def test_impatient_reloads_sign_nobody_out(ada: Todos) -> None:
    ada.add("kept")
    for _ in range(20):
        ada.page.goto(ada.page.url, wait_until="commit")
    ada.page.reload()
    expect(ada.todo("kept")).to_be_visible()


# --- Signing out, and other users


@pytest.mark.requirement("C.1")
def test_signing_out_in_one_tab_signs_out_the_others(
    ada: Todos, visit: Visit, visitor: Api
) -> None:
    ada.add("private")
    second = tab(visit, ada)
    expect(second.todo("private")).to_be_visible()
    second.new.fill("half a thought")
    cookie = ada.cookie()
    with ada.page.expect_response(SESSION) as answer:
        ada.sign_out()
    assert (answer.value.request.method, answer.value.status) == ("DELETE", 204)
    expect(second.form).to_be_visible()
    expect(second.message).to_contain_text("signed out in another tab")
    expect(second.new).to_have_value("")
    for each in (ada, second):
        assert "private" not in each.page.content()
    assert ask(visitor, "PUT", cookie=cookie).status_code == 401
    assert [each for each in ada.page.context.cookies() if each["name"] == COOKIE] == []
    ada.page.reload()
    expect(ada.form).to_be_visible()


@pytest.mark.requirement("C.1")
def test_signing_in_in_one_tab_signs_in_the_others(ada: Todos, visit: Visit) -> None:
    second = tab(visit, ada)
    second.is_signed_in()
    ada.sign_out()
    expect(second.form).to_be_visible()
    ada.enter("Sign in")
    ada.is_signed_in()
    second.is_signed_in()
    second.add("from the second tab")


@pytest.mark.requirement("C.1")
def test_another_user_in_one_tab_replaces_the_user_in_the_others(ada: Todos, visit: Visit) -> None:
    ada.add("of ada")
    second = tab(visit, ada)
    expect(second.todo("of ada")).to_be_visible()
    ada.sign_out()
    bob = Todos(ada.page).register()
    bob.add("of bob")
    expect(second.page.get_by_text(bob.username)).to_be_visible()
    second.add("also of bob")
    assert "of ada" not in second.page.content().replace("also of bob", "")


@pytest.mark.requirement("C.1")
def test_a_sign_out_without_a_line_reaches_the_server_later(ada: Todos, visitor: Api) -> None:
    cookie = ada.cookie()
    ada.page.context.set_offline(True)
    ada.sign_out()
    expect(ada.form).to_be_visible()
    with ada.page.expect_response(SESSION) as answer:
        ada.page.context.set_offline(False)
    assert answer.value.request.method == "DELETE"
    assert ask(visitor, "PUT", cookie=cookie).status_code == 401


@pytest.mark.requirement("C.1")
def test_a_thief_with_an_old_cookie_ends_the_session_of_all_tabs(
    ada: Todos, visit: Visit, visitor: Api
) -> None:
    stolen = ada.cookie()
    ada.page.reload()
    ada.is_signed_in()
    second = tab(visit, ada)
    second.is_signed_in()
    eventually(lambda: ada.cookie() != stolen)
    assert ask(visitor, "PUT", cookie=stolen).status_code == 401
    ada.page.reload()
    expect(ada.message).to_contain_text("session has ended")
    expect(second.message).to_contain_text("session has ended")
    expect(ada.page.get_by_label("Username")).to_have_value(ada.username)
    ada.enter("Sign in")
    ada.is_signed_in()
    second.is_signed_in()


@pytest.mark.requirement("C.1")
def test_the_session_ends_with_its_refresh_tokens(launch: Launch, visit: Visit) -> None:
    server = launch(REFRESH_TOKEN_TTL="2", ACCESS_TOKEN_TTL=SECOND)
    ada = Todos(visit(f"{server.base_url}/my-todos")).register()

    def has_ended() -> bool:
        ada.page.reload()
        ada.form.or_(ada.heading).wait_for()
        return ada.form.is_visible()

    eventually(has_ended)
