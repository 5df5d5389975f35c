"""Requirement C.1: the page of the todos in a real Chromium: add, tick, edit, delete.

Every visit also fails on an error in the console, a violation of the Content-Security-Policy, an
alert, or a request to another server (course/harness/browser/plugin.py).
"""

from __future__ import annotations

import secrets
from typing import Any, Literal

import pytest
from playwright.sync_api import expect

from course.harness.browser.accessibility import violations
from course.harness.browser.visit import Visit
from course.harness.driver import Api
from course.harness.server import Server
from course.harness.waiting import eventually
from tests.capstone.lossy import lossy_line
from tests.capstone.test_signed_in import PASSWORD, Todos

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = [pytest.mark.craft, pytest.mark.page("app/todos")]

MARKUP = "<img src=x onerror=alert(1)>"
SIDEWAYS = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture
def ada(visit: Visit, server: Server) -> Todos:
    """Return the page of a new user."""
    return Todos(visit(f"{server.base_url}/my-todos")).register()


def elsewhere(server: Server, ada: Todos) -> Api:
    """Return a driver that is signed in as the page's user, on another device."""
    api = Api(server)
    form = {"username": ada.username, "password": PASSWORD}
    answer = api.request("POST", "/auth/token", data=form)
    return api.with_token(answer.json()["access_token"])


def stored(api: Api) -> list[dict[str, Any]]:
    """Return the user's todos as the server has them."""
    todos: list[dict[str, Any]] = api.request("GET", "/todos").json()
    return todos


def open_editor(ada: Todos, title: str) -> None:
    """Open the editor of a todo and wait until it has the focus."""
    ada.page.get_by_role("button", name=f"Edit {title}").click()
    expect(ada.page.get_by_label("Title", exact=True)).to_be_focused()


@pytest.mark.requirement("C.1")
def test_todos_are_added_ticked_and_deleted(ada: Todos, server: Server) -> None:
    expect(ada.page.get_by_text("No todos yet")).to_be_visible()
    for title in ("first", "second", MARKUP):
        ada.add(title)
        expect(ada.new).to_be_focused()
        expect(ada.new).to_have_value("")
    assert ada.page.locator("[onerror], [src=x]").count() == 0
    box = ada.todo("first").get_by_role("checkbox")
    with ada.page.expect_response("**/todos/*"):
        box.check()
    ada.page.get_by_role("button", name="Delete second").click()
    dialog = ada.page.get_by_role("dialog")
    expect(dialog).to_contain_text("second")
    dialog.get_by_role("button", name="Delete").click()
    expect(ada.todo("second")).to_have_count(0)
    expect(ada.todo(MARKUP).get_by_role("checkbox")).to_be_focused()
    ada.page.reload()
    expect(box).to_be_checked()
    with elsewhere(server, ada) as api:
        assert [(todo["title"], todo["completed"]) for todo in stored(api)] == [
            ("first", True),
            (MARKUP, False),
        ]


@pytest.mark.requirement("C.1")
def test_a_todo_is_edited(ada: Todos, server: Server) -> None:
    ada.add("Buy milk")
    open_editor(ada, "Buy milk")
    ada.page.get_by_label("Title", exact=True).fill("Buy oat milk")
    ada.page.get_by_label("Description").fill("Two litres")
    ada.page.get_by_role("button", name="Save").click()
    expect(ada.todo("Buy oat milk")).to_contain_text("Two litres")
    expect(ada.page.get_by_role("button", name="Edit Buy oat milk")).to_be_focused()
    open_editor(ada, "Buy oat milk")
    ada.page.get_by_label("Description").fill("")
    ada.page.keyboard.press("Escape")
    expect(ada.todo("Buy oat milk")).to_contain_text("Two litres")
    with elsewhere(server, ada) as api:
        (todo,) = stored(api)
        assert (todo["title"], todo["description"]) == ("Buy oat milk", "Two litres")


@pytest.mark.requirement("C.1")
def test_a_change_of_another_device_is_not_overwritten_unseen(ada: Todos, server: Server) -> None:
    ada.add("Buy milk")
    open_editor(ada, "Buy milk")
    title = ada.page.get_by_label("Title", exact=True)
    title.fill("Buy oat milk")
    with elsewhere(server, ada) as api:
        (todo,) = stored(api)
        api.patch_todo(todo["id"], title="Buy bread")
        save = ada.page.get_by_role("button", name="Save")
        save.click()
        editor = ada.page.get_by_role("alert").filter(has_text="Changed elsewhere")
        expect(editor).to_contain_text("“Buy bread”")
        expect(title).to_have_value("Buy oat milk")
        assert stored(api)[0]["title"] == "Buy bread"
        save.click()  # now the user has seen it
        expect(ada.todo("Buy oat milk")).to_have_count(1)
        assert stored(api)[0]["title"] == "Buy oat milk"


@pytest.mark.requirement("C.1")
def test_a_tick_of_another_device_is_no_conflict(ada: Todos, server: Server) -> None:
    ada.add("Buy milk")
    open_editor(ada, "Buy milk")
    ada.page.get_by_label("Title", exact=True).fill("Buy oat milk")
    with elsewhere(server, ada) as api:
        (todo,) = stored(api)
        api.patch_todo(todo["id"], completed=True)
        ada.page.get_by_role("button", name="Save").click()
        expect(ada.todo("Buy oat milk").get_by_role("checkbox")).to_be_checked()
        assert [(each["title"], each["completed"]) for each in stored(api)] == [
            ("Buy oat milk", True)
        ]


@pytest.mark.requirement("C.1")
def test_the_editor_starts_with_the_newest_version(ada: Todos, server: Server) -> None:
    ada.add("Buy milk")
    with elsewhere(server, ada) as api:
        (todo,) = stored(api)
        api.patch_todo(todo["id"], title="Buy bread")
        open_editor(ada, "Buy milk")
        expect(ada.page.get_by_label("Title", exact=True)).to_have_value("Buy bread")


@pytest.mark.requirement("C.1")
def test_lost_answers_neither_double_nor_lose_a_todo(server: Server, visit: Visit) -> None:
    with lossy_line(server.base_url) as line:
        ada = Todos(visit(f"{line.base_url}/my-todos")).register()
        line.losing = b"POST /todos"
        ada.start_adding("only once")
        expect(ada.page.get_by_role("alert")).to_contain_text("No answer")
        eventually(lambda: line.lost >= 1)
        line.losing = None
        ada.new.press("Enter")
        expect(ada.todo("only once")).to_have_count(1)
        open_editor(ada, "only once")
        ada.page.get_by_label("Description").fill("changed")
        before, line.losing = line.lost, b"PATCH /todos"
        save = ada.page.get_by_role("button", name="Save")
        save.click()
        expect(ada.page.get_by_role("alert").filter(has_text="No answer")).to_be_visible()
        eventually(lambda: line.lost > before)
        line.losing = None
        save.click()  # the change is stored already, so this is no conflict
        expect(ada.todo("only once")).to_contain_text("changed")
        expect(save).to_have_count(0)
        ada.page.reload()
        expect(ada.todo("only once")).to_have_count(1)


@pytest.mark.requirement("C.1")
def test_a_failed_tick_is_taken_back_and_explained(ada: Todos) -> None:
    ada.add("first")
    ada.page.context.set_offline(True)
    box = ada.todo("first").get_by_role("checkbox")
    box.click()
    expect(ada.todo("first").get_by_role("alert")).to_contain_text("No answer")
    expect(box).not_to_be_checked()
    ada.page.context.set_offline(False)
    box.check()
    expect(ada.todo("first").get_by_role("alert")).to_be_hidden()


@pytest.mark.requirement("C.1")
def test_more_todos_are_loaded_on_request(ada: Todos, server: Server) -> None:
    with elsewhere(server, ada) as api:
        for number in range(105):
            api.create_todo(f"number {number}")
    ada.page.reload()
    rows = ada.page.get_by_role("list", name="Your todos").get_by_role("listitem")
    expect(rows).to_have_count(100)
    ada.add("the newest")
    ada.page.get_by_role("button", name="Load more").click()
    expect(rows).to_have_count(106)
    expect(rows.last).to_contain_text("the newest")


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_the_page_fits_a_small_screen(
    visit: Visit, server: Server, scheme: Literal["light", "dark"]
) -> None:
    ada = Todos(visit(f"{server.base_url}/my-todos", width=320, color_scheme=scheme))
    ada.username = "w" * 40 + secrets.token_hex(5)
    expect(ada.form).to_be_visible()
    assert violations(ada.page) == []
    ada.register()
    assert violations(ada.page) == []
    long = "w" * 200
    ada.add(long)
    ada.add("short")
    ada.todo("short").get_by_role("checkbox").check()
    open_editor(ada, "short")
    assert violations(ada.page) == []
    assert ada.page.evaluate(SIDEWAYS) == 0
    if scheme == "light":  # in the dark axe takes the page's own colours for the forced ones
        ada.page.emulate_media(forced_colors="active")
        assert violations(ada.page) == []
        ada.page.emulate_media(forced_colors="none")
    ada.page.get_by_role("button", name=f"Delete {long}").click()
    assert violations(ada.page) == []
    assert ada.page.evaluate(SIDEWAYS) == 0


@pytest.mark.requirement("C.1")
def test_the_page_can_be_used_with_the_keyboard_only(ada: Todos) -> None:
    keyboard = ada.page.keyboard
    expect(ada.new).to_be_focused()
    keyboard.type("typed")
    keyboard.press("Enter")
    expect(ada.todo("typed")).to_have_count(1)
    expect(ada.new).to_be_focused()
    for key in ("Tab", "Tab", "Space"):
        keyboard.press(key)
    expect(ada.todo("typed").get_by_role("checkbox")).to_be_checked()
    for key in ("Tab", "Enter"):
        keyboard.press(key)
    expect(ada.page.get_by_label("Title", exact=True)).to_be_focused()
    keyboard.press("Control+A")
    keyboard.type("typed again")
    keyboard.press("Enter")
    expect(ada.page.get_by_role("button", name="Edit typed again")).to_be_focused()
    for key in ("Tab", "Enter", "Tab", "Enter"):  # Delete, the dialog, its second button
        keyboard.press(key)
    expect(ada.todo("typed again")).to_have_count(0)
    expect(ada.new).to_be_focused()
