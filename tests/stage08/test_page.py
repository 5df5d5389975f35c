"""The chat page in a real Chromium with two users: live, after a kill, by keyboard, small screen.

Every visit also fails on an error in the console, a violation of the Content-Security-Policy, an
alert, or a request to another server (course/harness/browser/plugin.py).
"""

from __future__ import annotations

import re
import secrets
from typing import Literal

import httpx
import pytest
from playwright.sync_api import expect

from course.harness.browser.accessibility import violations
from course.harness.browser.visit import Visit
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import AttachedServer, Server
from tests.stage08.chat import everything_after, history, new_text, person, who_is
from tests.stage08.chat_page import PASSWORD, PATIENCE, ChatPage
from tests.stage08.dead_line import line_to

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = [pytest.mark.craft, pytest.mark.page("app/chat")]

MARKUP = "<img src=x onerror=alert(1)> &amp; <b>bold</b>"
# Records each text that a change of the log adds, as a screen reader hears it.
LISTEN = """log => {
  window.heard = [];
  new MutationObserver((changes) => {
    for (const { target, addedNodes } of changes) {
      if (target.nodeType === Node.TEXT_NODE) heard.push(target.data);
      for (const added of addedNodes) heard.push(added.textContent);
    }
  }).observe(log, { childList: true, characterData: true, subtree: true });
}"""
# WCAG 2.2, "contrast ratio". A canvas turns any notation of a colour into numbers.
CONTRAST_OF_PLACEHOLDER = """field => {
  const luminance = (colour) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((n) =>
      n / 255 <= 0.04045 ? n / 255 / 12.92 : ((n / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const placeholder = getComputedStyle(field, "::placeholder");
  if (placeholder.opacity !== "1") return 0;
  const two = [placeholder.color, getComputedStyle(field).backgroundColor].map(luminance);
  return (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05);
}"""
# Half of 😀, as a program that cuts texts may leave it on the clipboard. The server refuses it.
HALF_A_CHARACTER = "(field, text) => { field.value = text + String.fromCharCode(0xd83d) }"
FRAMES = 240
SCROLL = """async (log, frames) => {
  for (let frame = 0; frame < frames; frame += 1) {
    log.scrollBy(0, -120);
    await new Promise(requestAnimationFrame);
  }
}"""
SENT_AT = "2026-11-01 10:00:00.000000"
SIDEWAYS = "document.documentElement.scrollWidth - innerWidth"


def is_heartbeat(frame: str | bytes) -> bool:
    """Return whether the frame shows only that the connection lives."""
    return '"heartbeat"' in str(frame)


@pytest.fixture
def address(server: Server) -> str:
    """Return the URL of the page."""
    address = f"{server.base_url}/chat"
    if isinstance(server, AttachedServer) and httpx.get(address, trust_env=False).is_error:
        pytest.skip("not checked: this server has no page at /chat")
    return address


@pytest.fixture
def ada(visit: Visit, address: str) -> ChatPage:
    """Return the page of a new user."""
    ada = ChatPage(visit(address))
    ada.register()
    return ada


@pytest.fixture
def bob(visit: Visit, address: str) -> ChatPage:
    """Return the page of another user, in its own tab."""
    bob = ChatPage(visit(address))
    bob.register()
    return bob


@pytest.mark.requirement("8.2")
def test_two_people_see_each_others_messages_live(ada: ChatPage, bob: ChatPage) -> None:
    hello, answer = new_text("hello "), new_text("answer ")
    ada.say(hello)
    bob.is_confirmed(hello)
    expect(bob.message(hello)).to_contain_text(ada.username)
    bob.say(answer)
    ada.is_confirmed(answer)
    ada.is_confirmed(hello)
    for one, other in ((ada, bob), (bob, ada)):
        expect(one.online.filter(has_text=other.username)).to_have_count(1)
        expect(one.online.filter(has_text=f"{one.username} (you)")).to_have_count(1)
    bob.page.close()
    expect(ada.online.filter(has_text=bob.username)).to_have_count(0)


@pytest.mark.requirement("8.2")
def test_your_message_appears_at_once_and_is_confirmed_later(ada: ChatPage) -> None:
    text = new_text()
    ada.page.context.set_offline(True)
    expect(ada.status).to_have_text("Offline")
    ada.say(text)
    expect(ada.message(text)).to_contain_text("Sending")
    expect(ada.text).to_have_value("")
    ada.page.context.set_offline(False)
    ada.is_confirmed(text)


@pytest.mark.requirement("8.5")
def test_a_kill_of_the_server_neither_loses_nor_repeats_a_message(
    launch: Launch, visit: Visit
) -> None:
    server = launch()
    ada, bob = (ChatPage(visit(f"{server.base_url}/chat")) for _ in range(2))
    ada.register()
    bob.register()
    run = new_text()
    ada.say(f"{run} 0")
    bob.is_confirmed(f"{run} 0")
    for number in range(1, 4):
        ada.say(f"{run} {number}")  # the message may arrive or be lost
    server.kill()
    expect(ada.status).to_have_text(re.compile("Reconnecting|Connecting"))
    expect(bob.status).to_have_text(re.compile("Reconnecting|Connecting"))
    for number in range(4, 7):
        ada.say(f"{run} {number}")
    expect(ada.message(f"{run} 6")).to_contain_text("Sending")
    server.start()
    with Api(server) as visitor, person(visitor.as_new_user()) as carol:
        meanwhile = carol.tell(f"{run} meanwhile")["text"]
        for page in (ada, bob):
            page.is_connected()
            page.is_confirmed(f"{run} 6")
            page.is_confirmed(meanwhile)
        stored = [each["text"] for each in everything_after(carol.api, 0)]
    own = [f"{run} {number}" for number in range(7)]
    assert sorted(stored) == sorted([*own, meanwhile])
    for page in (ada, bob):
        assert page.texts(run) == stored
        assert [text for text in page.texts(run) if text != meanwhile] == own


@pytest.mark.requirement("8.5")
def test_the_page_notices_a_dead_line_and_closes_the_gap(launch: Launch, visit: Visit) -> None:
    server = launch(CHAT_HEARTBEAT="2")
    with line_to(server.base_url) as line:
        ada = ChatPage(visit(f"{line.base_url}/chat"))
        with ada.page.expect_websocket() as opened:
            ada.register()
        opened.value.wait_for_event("framereceived", is_heartbeat)
        with Api(server) as visitor, person(visitor.as_new_user()) as carol:
            heard, missed = new_text(), new_text()
            carol.tell(heard)
            ada.is_confirmed(heard)
            line.go_dead()
            carol.tell(missed)
            expect(ada.message(missed)).to_have_count(1, timeout=PATIENCE)
            ada.is_connected()
            assert line.dropped > 0
            assert ada.texts("") == [heard, missed]


@pytest.mark.requirement("8.5")
def test_the_page_stays_connected_while_nobody_writes(launch: Launch, visit: Visit) -> None:
    """Heartbeats alone keep it connected, for longer than the page tolerates silence."""
    server = launch(CHAT_HEARTBEAT="2")
    ada = ChatPage(visit(f"{server.base_url}/chat"))
    with ada.page.expect_websocket() as opened:
        ada.register()
    for _ in range(3):
        opened.value.wait_for_event("framereceived", is_heartbeat)
    assert not opened.value.is_closed()


@pytest.mark.requirement("8.5")
def test_the_page_works_with_a_server_without_heartbeats(launch: Launch, visit: Visit) -> None:
    """The page connects again once, and then takes silence as normal."""
    server = launch(CHAT_HEARTBEAT="3600")
    ada = ChatPage(visit(f"{server.base_url}/chat"))
    ada.page.clock.install()
    ada.register()
    with ada.page.expect_websocket() as second:
        ada.page.clock.run_for(21_000)  # assumed are 10 seconds between two heartbeats
        ada.page.clock.run_for(1_000)  # the pause before the next attempt
    ada.is_connected()
    ada.page.clock.run_for(120_000)
    text = new_text()
    ada.say(text)
    ada.is_confirmed(text)
    assert not second.value.is_closed()


@pytest.mark.requirement("8.2")
def test_a_screen_reader_hears_an_own_message_once(ada: ChatPage, bob: ChatPage) -> None:
    ada.is_connected()
    ada.log.evaluate(LISTEN)
    own, other = new_text(), new_text()
    ada.say(own)
    ada.is_confirmed(own)
    bob.say(other)
    ada.is_confirmed(other)
    heard = ada.page.evaluate("heard")
    for text in (own, other):
        assert sum(text in words for words in heard) == 1, heard
    assert len(heard) == len({*heard}), heard


@pytest.mark.requirement("8.2")
def test_markup_in_a_message_is_shown_as_text(ada: ChatPage, bob: ChatPage) -> None:
    ada.say(MARKUP)
    for page in (ada, bob):
        expect(page.message(MARKUP).last).to_be_visible()
        assert page.page.locator("[onerror], [src=x], article b").count() == 0


@pytest.mark.requirement("8.2")
def test_the_page_can_be_used_with_the_keyboard_only(visit: Visit, address: str) -> None:
    ada = ChatPage(visit(address))
    keyboard = ada.page.keyboard
    expect(ada.form).to_be_visible()
    for _ in range(8):  # the bar comes first
        keyboard.press("Tab")
        if ada.page.evaluate("document.activeElement.id") == "username":
            break
    keyboard.type(ada.username)
    keyboard.press("Tab")
    keyboard.type(PASSWORD)
    keyboard.press("Tab")
    keyboard.press("Tab")
    keyboard.press("Enter")
    ada.is_connected()
    expect(ada.text).to_be_focused()
    first, second = new_text(), new_text()
    keyboard.type(first)
    keyboard.press("Shift+Enter")
    keyboard.type(second)
    keyboard.press("Enter")
    expect(ada.log.locator(".text", has_text=first)).to_have_text(f"{first}\n{second}")
    expect(ada.text).to_be_focused()
    keyboard.press("Shift+Tab")  # to the messages, or to the button "Earlier messages" in them
    within = "document.querySelector('#log').contains(document.activeElement)"
    assert ada.page.evaluate(within)
    keyboard.press("Home")
    assert ada.page.evaluate(within), "the focused element must still exist"


@pytest.mark.requirement("8.2")
def test_loading_earlier_messages_keeps_the_scroll_position(ada: ChatPage, api: Api) -> None:
    run = new_text()
    with person(api) as carol:
        for number in range(19):
            carol.tell(f"{run} {number}\n" + "line\n" * 8)
        with person(api.as_new_user()) as dave:
            for number in range(19, 38):
                dave.tell(f"{run} {number}\n" + "line\n" * 8)
        with person(api.as_new_user()) as erin:
            for number in range(38, 57):
                erin.tell(f"{run} {number}\n" + "line\n" * 8)
    ada.page.reload()
    ada.is_connected()
    assert len(ada.texts(run)) == 50
    bottom = (
        "document.querySelector('#log').scrollHeight - document.querySelector('#log').scrollTop"
    )
    bottom += " - document.querySelector('#log').clientHeight"
    assert ada.page.evaluate(bottom) < 2
    ada.log.evaluate("log => { log.scrollTop = 50 }")
    top = ada.log.locator(".text", has_text=f"{run} 8\n")
    expect(ada.log.locator(".text", has_text=f"{run} 0\n")).to_have_count(1)
    box = top.bounding_box()
    assert box is not None
    assert 0 < box["y"] < 740, "the message that was visible must stay visible"
    texts = [text.split("\n")[0] for text in ada.texts(run)]
    assert texts == [f"{run} {number}" for number in range(57)]
    with person(api) as carol:
        carol.tell(f"{run} late")
    expect(ada.new_messages).to_be_visible()
    assert ada.page.evaluate(bottom) > 1000
    ada.new_messages.click()
    expect(ada.new_messages).to_be_hidden()
    assert ada.page.evaluate(bottom) < 2


@pytest.mark.requirement("8.2")
def test_the_page_fills_a_gap_of_more_than_one_page(ada: ChatPage, api: Api) -> None:
    run = new_text()
    ada.page.context.set_offline(True)
    expect(ada.status).to_have_text("Offline")
    said: list[str] = []
    for _ in range(6):
        with person(api.as_new_user()) as each:
            said += [each.tell(f"{run} {len(said) + number}")["text"] for number in range(19)]
    ada.page.context.set_offline(False)
    expect(ada.message(said[-1])).to_have_count(1, timeout=PATIENCE)
    ada.is_connected()
    assert ada.texts(run) == said


@pytest.mark.requirement("8.2")
def test_the_page_explains_a_refused_message_and_can_retry_it(launch: Launch, visit: Visit) -> None:
    server = launch()
    ada = ChatPage(visit(f"{server.base_url}/chat"))
    ada.register()
    text = new_text()
    with server.database.write_lock():
        ada.say(text)
        expect(ada.message(text)).to_contain_text("could not be stored", timeout=PATIENCE)
    ada.message(text).get_by_role("button", name="Retry").click()
    ada.is_confirmed(text)
    expect(ada.message(text)).not_to_contain_text("Not sent")


@pytest.mark.requirement("8.2")
def test_a_refused_message_can_be_edited_or_discarded(ada: ChatPage, api: Api) -> None:
    run = new_text()
    ada.text.evaluate(HALF_A_CHARACTER, f"{run} first")
    ada.text.press("Enter")
    refused = ada.log.get_by_role("article").filter(has_text=run)
    expect(refused).to_contain_text("Not sent. The text contains a character that cannot be stored")
    assert violations(ada.page) == []
    ada.text.fill("a draft")
    refused.get_by_role("button", name="Edit").click()
    expect(ada.text).to_be_focused()
    expect(ada.text).to_have_value(re.compile(f"{run} first.\na draft"))
    expect(refused).to_have_count(0)
    ada.say(f"{run} better")
    ada.is_confirmed(f"{run} better")
    ada.text.evaluate(HALF_A_CHARACTER, f"{run} second")
    ada.text.press("Enter")
    refused = refused.filter(has_text="second")
    refused.get_by_role("button", name="Discard").click()
    expect(ada.text).to_be_focused()
    expect(refused).to_have_count(0)
    ada.say(f"{run} last")
    ada.is_confirmed(f"{run} last")
    ada.page.reload()
    ada.is_connected()
    assert ada.texts(run) == [f"{run} better", f"{run} last"]
    assert [each["text"] for each in history(api, limit=2)] == ada.texts(run)


@pytest.mark.requirement("8.2")
@pytest.mark.alone
def test_the_page_resends_a_message_after_a_too_fast_error(ada: ChatPage, api: Api) -> None:
    received: list[str] = []

    def keep(frame: str | bytes) -> None:
        received.append(str(frame))

    # The page reconnects, so that the test can record its frames.
    ada.page.on("websocket", lambda socket: socket.on("framereceived", keep))
    with ada.page.expect_request("**/users/me") as me:
        ada.page.reload()
    ada.is_connected()
    same_user = api.with_token(me.value.headers["authorization"].removeprefix("Bearer "))
    texts = [new_text() for _ in range(3)]
    with person(same_user) as program:
        for _ in range(60):  # enough to be limited for two seconds
            program.say(new_text())
        ada.say(texts[0])
        for _ in range(40):
            program.say(new_text())
            ada.page.wait_for_timeout(25)
        for text in texts[1:]:
            ada.say(text)
        for text in texts:
            ada.is_confirmed(text)
            expect(ada.message(text)).not_to_contain_text("Not sent")
        assert ada.texts(texts[0]) + ada.texts(texts[1]) + ada.texts(texts[2]) == texts
    assert any("Too fast" in frame and "client_id" in frame for frame in received)


@pytest.mark.requirement("8.2")
def test_the_page_explains_that_too_many_tabs_are_open(launch: Launch, visit: Visit) -> None:
    server = launch(CHAT_SOCKETS_PER_USER="1")
    first, second = (ChatPage(visit(f"{server.base_url}/chat")) for _ in range(2))
    first.register()
    second.username = first.username
    second.enter("Sign in")
    expect(second.status).to_contain_text("Too many sockets", timeout=PATIENCE)
    first.page.close()
    second.page.get_by_role("button", name="Try now").click()
    second.is_connected()


@pytest.mark.requirement("8.2")
def test_an_expired_token_shows_the_form_and_keeps_the_draft(launch: Launch, visit: Visit) -> None:
    # The second setting ends the refresh tokens of the capstone.
    server = launch(ACCESS_TOKEN_TTL="6", REFRESH_TOKEN_TTL="6")
    ada = ChatPage(visit(f"{server.base_url}/chat"))
    ada.register()
    ada.text.fill("half a thought")
    expect(ada.form.get_by_role("alert")).to_contain_text("session has ended", timeout=PATIENCE)
    expect(ada.page.get_by_label("Password")).to_be_focused()
    ada.enter("Sign in")
    ada.is_connected()
    expect(ada.text).to_have_value("half a thought")


@pytest.mark.requirement("8.2")
def test_signing_out_asks_when_a_message_is_not_sent(ada: ChatPage) -> None:
    sign_out = ada.page.get_by_role("button", name="Sign out", exact=True)
    text = new_text()
    ada.page.context.set_offline(True)
    expect(ada.status).to_have_text("Offline")
    ada.say(text)
    sign_out.click()
    expect(ada.question).to_contain_text("One message is not sent")
    assert violations(ada.page) == []
    ada.page.keyboard.press("Escape")
    expect(ada.question).to_be_hidden()
    expect(ada.message(text)).to_contain_text("Sending")
    ada.text.fill("a draft")
    sign_out.click()
    expect(ada.question).to_contain_text("2 messages are not sent")
    ada.question.get_by_role("button", name="Stay").click()
    ada.page.context.set_offline(False)
    ada.is_confirmed(text)
    sign_out.click()
    ada.question.get_by_role("button", name="Sign out and delete").click()
    expect(ada.form).to_be_visible()
    ada.enter("Sign in")
    ada.is_connected()
    expect(ada.text).to_have_value("")
    ada.is_confirmed(text)
    sign_out.click()
    expect(ada.form).to_be_visible()


@pytest.mark.requirement("8.2")
def test_an_empty_room_invites_to_write(launch: Launch, visit: Visit) -> None:
    ada = ChatPage(visit(f"{launch().base_url}/chat"))
    ada.register()
    expect(ada.log).to_contain_text("Say hello")
    assert violations(ada.page) == []
    text = new_text()
    ada.say(text)
    ada.is_confirmed(text)
    expect(ada.log).not_to_contain_text("Say hello")


@pytest.mark.requirement("8.2")
def test_on_a_touch_screen_enter_starts_a_new_line(visit: Visit, address: str) -> None:
    ada = ChatPage(visit(address, width=390))
    devtools = ada.page.context.new_cdp_session(ada.page)
    devtools.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 5})
    devtools.send(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 700, "deviceScaleFactor": 2, "mobile": True},
    )
    ada.page.reload()
    assert ada.page.evaluate("matchMedia('(pointer: coarse)').matches")
    ada.register()
    first, second = new_text(), new_text()
    ada.text.press_sequentially(first)
    ada.text.press("Enter")
    ada.text.press_sequentially(second)
    expect(ada.text).to_have_value(f"{first}\n{second}")
    ada.page.get_by_role("button", name="Send").click()
    ada.is_confirmed(f"{first}\n{second}")


@pytest.mark.requirement("8.2")
def test_messages_keep_half_of_a_low_screen(visit: Visit, address: str) -> None:
    """A phone on its side, with its keyboard."""
    ada = ChatPage(visit(address, width=740))
    ada.register()
    ada.page.set_viewport_size({"width": 740, "height": 180})
    ada.text.focus()
    for offline in (False, True):
        if offline:
            ada.page.context.set_offline(True)
            expect(ada.status).to_have_text("Offline")  # the banner is visible
        box = ada.log.bounding_box()
        assert box is not None
        assert box["height"] >= 90
        assert ada.page.evaluate(SIDEWAYS) == 0


@pytest.mark.requirement("8.2")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "size"), [(320, "100%"), (640, "200%"), (320, "200%")])
def test_the_header_wraps_when_it_is_narrow_or_its_text_is_large(
    visit: Visit, address: str, width: int, size: str, scheme: Literal["light", "dark"]
) -> None:
    ada = ChatPage(visit(address, width=width, color_scheme=scheme))
    ada.username = "w" * 40 + secrets.token_hex(5)
    ada.page.evaluate("size => { document.documentElement.style.fontSize = size }", size)
    ada.register()
    sign_out = ada.page.get_by_role("button", name="Sign out")
    for offline in (False, True):
        ada.page.context.set_offline(offline)
        expect(ada.status).to_have_text("Offline" if offline else "Connected")
        assert ada.page.evaluate(SIDEWAYS) == 0
        for part in (ada.status, sign_out, ada.page.get_by_role("link", name="Chat")):
            expect(part).to_be_visible()
            box = part.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        assert violations(ada.page) == []


@pytest.mark.requirement("8.2")
@pytest.mark.slow
@pytest.mark.alone
def test_scrolling_3000_messages_leaves_half_of_each_frame_free(
    launch: Launch, visit: Visit
) -> None:
    """The page is away while they are written. Measured is processor time of the main thread."""
    server = launch()
    ada = ChatPage(visit(f"{server.base_url}/chat"))
    ada.register()
    ada.page.context.set_offline(True)
    expect(ada.status).to_have_text("Offline")
    with Api(server) as visitor:
        authors = [who_is(visitor.as_new_user())["id"] for _ in range(3)]
    rows = [
        f"({authors[number // 3 % 3]}, 'message {number} {'words ' * (number % 40)}', '{SENT_AT}')"
        for number in range(3000)
    ]
    server.database.execute(
        f"INSERT INTO messages (user_id, text, sent_at) VALUES {', '.join(rows)}"  # noqa: S608
    )
    ada.page.context.set_offline(False)
    ada.is_connected()
    assert len(ada.texts("message ")) == 3000
    devtools = ada.page.context.new_cdp_session(ada.page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        return float({each["name"]: each["value"] for each in metrics}["TaskDuration"])

    before = busy()
    ada.log.evaluate(SCROLL, FRAMES)
    assert (busy() - before) / FRAMES < 1 / 60 / 2


@pytest.mark.requirement("8.2")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_placeholder_has_enough_contrast(
    visit: Visit, address: str, scheme: Literal["light", "dark"]
) -> None:
    ada = ChatPage(visit(address, color_scheme=scheme))
    ada.register()
    assert ada.text.evaluate(CONTRAST_OF_PLACEHOLDER) >= 4.5


@pytest.mark.requirement("8.2")
def test_the_page_counts_characters_and_does_not_send_a_text_that_is_too_long(
    ada: ChatPage, api: Api
) -> None:
    before = history(api, limit=1)
    ada.text.fill("😀" * 1990)
    expect(ada.page.get_by_text("Characters left: 10")).to_be_visible()
    ada.text.fill("x" * 2001)
    expect(ada.page.get_by_text("Too long by 1")).to_be_visible()
    ada.text.press("Enter")
    expect(ada.text).to_have_value("x" * 2001)
    assert history(api, limit=1) == before


@pytest.mark.requirement("8.2")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_the_width_of_a_small_screen(
    visit: Visit, address: str, scheme: Literal["light", "dark"], ada: ChatPage
) -> None:
    small = ChatPage(visit(address, width=360, color_scheme=scheme))
    small.username = "w" * 40 + secrets.token_hex(5)
    assert small.page.evaluate(SIDEWAYS) == 0
    small.register()
    text = "w" * 400 + new_text()
    ada.say(text)
    small.is_confirmed(text)
    small.say(new_text("m" * 300))
    assert small.page.evaluate(SIDEWAYS) == 0
    assert small.page.evaluate("document.documentElement.scrollHeight - innerHeight") == 0
    small.page.context.set_offline(True)
    expect(small.status).to_have_text("Offline")
    assert small.page.evaluate(SIDEWAYS) == 0


@pytest.mark.requirement("8.2")
def test_a_second_tab_does_not_count_as_a_second_user(
    ada: ChatPage, visit: Visit, address: str
) -> None:
    second = ChatPage(visit(address))
    second.username = ada.username
    second.enter("Sign in")
    second.is_connected()
    text = new_text()
    ada.say(text)
    second.is_confirmed(text)
    for tab in (ada, second):
        expect(tab.online.filter(has_text=ada.username)).to_have_count(1)


@pytest.mark.requirement("8.2")
@pytest.mark.contract("C13")
def test_the_chat_page_exists(api: Api) -> None:
    served = api.with_token(None).request("GET", "/chat", follow_redirects=True)
    assert served.status_code == 200
    assert served.headers["content-type"].partition(";")[0] == "text/html"


@pytest.mark.requirement("8.2")
@pytest.mark.usefixtures("address")
@pytest.mark.parametrize("path", ["/chat", "/chat/chat.css", "/chat/chat.js", "/chat/chat.svg"])
def test_the_page_is_served_with_strict_headers(api: Api, path: str) -> None:
    served = api.with_token(None).request("GET", path)
    assert served.status_code == 200
    policy = dict(
        part.split(maxsplit=1) for part in served.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert served.headers["x-content-type-options"] == "nosniff"
    same = api.request("GET", path, headers={"If-None-Match": served.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    odd = api.request("GET", path, headers={"Range": "items=0-9"})
    assert (odd.status_code, odd.content) == (200, served.content)
    beyond = api.request("GET", path, headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == 416
    assert isinstance(beyond.json()["detail"], str)
    assert api.request("GET", "/chat/page.py").status_code == 404
    assert "/chat" not in api.request("GET", "/openapi.json").json()["paths"]
