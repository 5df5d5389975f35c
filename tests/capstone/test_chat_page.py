"""The chat page of the capstone: links, days, times, new messages. Stage 8 tests the rest."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from playwright.sync_api import expect

from course.harness.browser.accessibility import violations
from course.harness.browser.visit import Visit
from course.harness.driver import Api
from course.harness.server import Server
from tests.stage08.chat import new_text, person
from tests.stage08.chat_page import ChatPage

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = [pytest.mark.craft, pytest.mark.page("app/chat")]

LINKED = [
    ("see https://example.org/a?b=1#c.", "https://example.org/a?b=1#c"),
    ("(http://example.org/Python_(language))", "http://example.org/Python_(language)"),
    ("HTTPS://EXAMPLE.ORG/X", "HTTPS://EXAMPLE.ORG/X"),
    ("write to mailto:ada@example.org, please", "mailto:ada@example.org"),
    ("https://例え.jp/ä", "https://例え.jp/ä"),
    ('https://example.org/"onmouseover="alert(1)', "https://example.org/"),
    ("https://example.org/<img src=x onerror=alert(1)>", "https://example.org/"),
    ("https://example.org/\u202egpj.exe", "https://example.org/"),
    ("https://example.org/'onclick='alert(1)", "https://example.org/'onclick='alert(1)"),
    ("<a href=https://example.org>", "https://example.org"),
]
NOT_LINKED = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(document.cookie)//https://example.org",
    "javascript:https://example.org/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:https://example.org/0000",
    "ftp://example.org/",
    "https://",
    "https://[::1",
    "https://bank.example@evil.example/",
    "mailto",
    "//example.org/",
    "xhttps://example.org/",
]


@pytest.fixture
def address(server: Server) -> str:
    """Return the URL of the page."""
    return f"{server.base_url}/chat"


@pytest.fixture
def ada(visit: Visit, address: str) -> ChatPage:
    """Return the page of a new user."""
    ada = ChatPage(visit(address))
    ada.register()
    return ada


@pytest.mark.requirement("D.4")
def test_an_address_in_a_message_is_a_link(ada: ChatPage, api: Api) -> None:
    with person(api) as carol:
        for text, words in LINKED:
            mark = new_text()
            carol.tell(f"{mark} {text}")
            shown = ada.log.locator(".text", has_text=mark)
            expect(shown).to_have_text(f"{mark} {text}")
            expect(shown.get_by_role("link")).to_have_text([words])
            link = shown.get_by_role("link").first
            expect(link).to_have_attribute("href", re.compile("^(https?://|mailto:)"))
            expect(link).to_have_attribute("rel", re.compile(r"\bnoopener\b"))
    assert ada.log.locator("img, [onerror], [onclick], [onmouseover]").count() == 0
    assert violations(ada.page) == []


@pytest.mark.requirement("D.4")
def test_only_harmless_addresses_are_links(visit: Visit, address: str, api: Api) -> None:
    ada = ChatPage(visit(address))
    ada.register()
    with person(api) as carol:
        for text in NOT_LINKED:
            mark = new_text()
            carol.tell(f"{mark} {text}")
            shown = ada.log.locator(".text", has_text=mark)
            expect(shown).to_have_text(f"{mark} {text}")
            hrefs = shown.locator("a").evaluate_all("links => links.map(({ href }) => href)")
            assert hrefs == [], text


@pytest.mark.requirement("D.4")
def test_messages_stand_under_today_and_yesterday(ada: ChatPage) -> None:
    ada.page.clock.install()
    ada.page.reload()
    ada.is_connected()
    text = new_text()
    ada.say(text)
    ada.is_confirmed(text)
    day = ada.log.get_by_role("heading").last
    expect(day).to_have_text("Today")
    ada.page.clock.fast_forward("24:00:00")
    expect(day).to_have_text("Yesterday")
    ada.page.clock.fast_forward("24:00:00")
    expect(day).to_have_text(re.compile(r"^\w+day,? \d+ \w+ \d{4}$"))


@pytest.mark.requirement("D.4")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_time_of_a_message_shows_on_hover_and_on_focus(
    visit: Visit, address: str, scheme: Literal["light", "dark"]
) -> None:
    ada = ChatPage(visit(address, width=320, color_scheme=scheme))
    ada.register()
    first, second = new_text("w" * 60), new_text("w" * 60)
    for text in (first, second):
        ada.say(text)
        ada.is_confirmed(text)
    time = ada.message(second).locator("time")
    box = time.bounding_box()
    assert box is None or box["width"] == 0
    for cause in ("hover", "focus"):
        if cause == "hover":
            ada.message(second).hover()
        else:
            ada.text.press("Shift+Tab")
        box = time.bounding_box()
        assert box is not None
        assert box["width"] > 10
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320
        assert violations(ada.page) == []
        ada.page.mouse.move(0, 0)
        ada.text.focus()


@pytest.mark.requirement("D.4")
def test_a_line_stands_above_the_first_new_message(ada: ChatPage, api: Api) -> None:
    line = ada.page.get_by_text("New messages", exact=True).filter(visible=True)
    down = ada.page.get_by_role("button", name="Newest ↓")
    with person(api) as carol:
        for _ in range(3):
            tall = new_text()
            carol.tell(f"{tall}\n" + "line\n" * 30)
        expect(ada.log.locator(".text", has_text=tall)).to_be_visible()
        expect(down).to_be_hidden()
        ada.log.evaluate("log => { log.scrollTop = 200 }")
        expect(down).to_be_visible()
        fresh = [carol.tell(new_text("fresh "))["text"] for _ in range(2)]
    expect(ada.new_messages).to_have_text("2 new messages ↓")
    expect(line).to_have_count(1)
    expect(ada.log.get_by_role("article").filter(has=line)).to_contain_text(fresh[0])
    assert violations(ada.page) == []
    ada.new_messages.click()
    expect(ada.new_messages).to_be_hidden()
    expect(down).to_be_hidden()
    expect(line).to_be_visible()
    ada.say(new_text())
    expect(line).to_have_count(0)


@pytest.mark.requirement("D.4")
def test_a_line_stands_above_the_messages_that_the_page_missed(ada: ChatPage, api: Api) -> None:
    line = ada.page.get_by_text("New messages", exact=True).filter(visible=True)
    before = new_text()
    ada.say(before)
    ada.is_confirmed(before)
    ada.page.context.set_offline(True)
    expect(ada.status).to_have_text("Offline")
    with person(api) as carol:
        missed = [carol.tell(new_text("missed "))["text"] for _ in range(2)]
    ada.page.context.set_offline(False)
    ada.is_confirmed(missed[1])
    expect(ada.log.get_by_role("article").filter(has=line)).to_contain_text(missed[0])
    bottom = "log => log.scrollHeight - log.scrollTop - log.clientHeight"
    assert ada.log.evaluate(bottom) < 2
