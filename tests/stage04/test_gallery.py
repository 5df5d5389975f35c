"""The gallery page in a real Chromium with mouse, keyboard, small screen and dark mode.

Every visit also fails on an error in the console, a violation of the Content-Security-Policy, an
alert, or a request to another server (course/harness/browser/plugin.py).
"""

from __future__ import annotations

import io
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from PIL import Image, ImageColor
from playwright.sync_api import Page, Request, Route, expect

from course.harness.browser.accessibility import violations
from course.harness.browser.visit import Visit
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import Server
from course.harness.waiting import eventually
from tests.stage04.gallery import (
    GIF,
    MARKUP,
    PASSWORD,
    SHOWN_AT_FIRST,
    Gallery,
    address_of,
    is_displayed,
    picture_file,
    png,
    sign_in,
    upload,
)

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = [pytest.mark.craft, pytest.mark.page("app/gallery")]

PIXELS = re.compile(
    r"/(file|thumbnail\?size=\d+)$"
)  # the pictures in the grid; the capstone has thumbnails
RING = 8  # pixels around a card


@pytest.fixture
def address(server: Server) -> str:
    """Return the URL of the page."""
    return address_of(server)


@pytest.fixture
def gallery(visit: Visit, address: str) -> Gallery:
    """Return the page with a new user signed in."""
    gallery = Gallery(visit(address))
    gallery.register()
    return gallery


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    """Return a driver that is not signed in."""
    with Api(server) as api:
        yield api


def say_size(page: Page, size: int) -> None:
    """Make the page believe that every file has this size; the real bytes are sent."""
    page.evaluate(f"Object.defineProperty(File.prototype, 'size', {{ value: {size} }})")


# ---- Signing in and out


@pytest.mark.requirement("4.4")
def test_a_new_user_is_signed_in_and_sees_no_pictures(gallery: Gallery) -> None:
    expect(gallery.page.get_by_text(f"Signed in as {gallery.username}")).to_be_visible()
    expect(gallery.page.get_by_text("No pictures yet")).to_be_visible()
    expect(gallery.heading).to_be_focused()
    expect(gallery.form).to_be_hidden()


@pytest.mark.requirement("4.4")
def test_the_form_explains_an_error_and_keeps_the_input(visit: Visit, address: str) -> None:
    gallery = Gallery(visit(address))
    problem = gallery.form.get_by_role("alert")
    gallery.enter("Sign in")
    expect(problem).to_have_text("Wrong username or password")
    gallery.enter("Register", password="short")
    expect(problem).to_contain_text("at least 8 characters")
    expect(gallery.page.get_by_label("Username")).to_have_value(gallery.username)
    expect(gallery.page.get_by_label("Password")).to_have_value("short")
    gallery.register()
    gallery.page.get_by_role("button", name="Sign out").click()
    gallery.enter("Register")
    expect(problem).to_have_text("This username is taken")
    gallery.enter("Sign in")
    expect(gallery.heading).to_be_visible()


@pytest.mark.requirement("4.4")
def test_a_reload_keeps_the_session(gallery: Gallery) -> None:
    gallery.add("kept.png")
    gallery.page.reload()
    expect(gallery.picture("kept.png")).to_be_visible()
    expect(gallery.page.get_by_text(f"Signed in as {gallery.username}")).to_be_visible()


@pytest.mark.requirement("4.4")
@pytest.mark.until(stage=8, successor="C.1")
def test_a_new_tab_does_not_share_the_session(gallery: Gallery, visit: Visit) -> None:
    expect(Gallery(visit(gallery.page.url, beside=gallery.page)).form).to_be_visible()


@pytest.mark.requirement("4.4")
def test_signing_out_removes_all_data_from_the_page(gallery: Gallery) -> None:
    gallery.add("private.png")
    gallery.choose(picture_file("refused.png", GIF))
    expect(gallery.upload("refused.png")).to_contain_text("Only JPEG and PNG")
    gallery.page.get_by_role("button", name="Sign out").click()
    expect(gallery.page.get_by_label("Password")).to_be_focused()
    expect(gallery.page.get_by_label("Password")).to_have_value("")
    gallery.username = "somebody_else_" + secrets.token_hex(4)
    gallery.register()
    expect(gallery.page.get_by_text("No pictures yet")).to_be_visible()
    assert "private.png" not in gallery.page.content()
    assert "refused.png" not in gallery.page.content()


@pytest.mark.requirement("4.4")
def test_an_expired_token_shows_the_sign_in_form(visit: Visit, launch: Launch) -> None:
    # The second setting ends the refresh tokens of the capstone.
    server = launch(ACCESS_TOKEN_TTL="1", REFRESH_TOKEN_TTL="1")
    gallery = Gallery(visit(f"{server.base_url}/gallery"))
    with gallery.page.expect_request("**/images?*") as listed:
        gallery.register()
    token = listed.value.headers["authorization"].removeprefix("Bearer ")
    with Api(server, token=token) as api:
        eventually(lambda: api.request("GET", "/users/me").status_code == 401)
    eventually(lambda: not gallery.page.context.cookies())
    gallery.choose(picture_file("too late.png"))
    expect(gallery.form.get_by_role("alert")).to_contain_text("session has ended")
    expect(gallery.page.get_by_label("Username")).to_have_value(gallery.username)
    expect(gallery.page.get_by_label("Password")).to_be_focused()


@pytest.mark.requirement("4.4")
def test_an_upload_continues_after_signing_in_again(gallery: Gallery) -> None:
    detail = {"detail": "The access token is not valid: sign in again"}
    # The capstone asks for another token first.
    for url in ("**/images", "**/auth/session"):
        gallery.page.route(url, lambda route: route.fulfill(status=401, json=detail), times=1)
    gallery.choose(*(picture_file(f"{number}.png") for number in range(4)))
    expect(gallery.form).to_be_visible()
    gallery.username = gallery.username.upper()  # names ignore case: the same user
    gallery.enter("Sign in")
    for number in range(4):
        expect(gallery.picture(f"{number}.png")).to_be_visible()


# ---- Uploading


@pytest.mark.requirement("4.4")
def test_a_chosen_file_is_uploaded_and_displayed(gallery: Gallery) -> None:
    gallery.choose(picture_file("Озеро.png", png(640, 480)))
    expect(gallery.summary).to_have_text("Uploaded 1 of 1")
    whole = gallery.page.get_by_role("progressbar", name="Progress of all uploads")
    expect(whole).to_have_js_property("value", 1)
    picture = gallery.picture("Озеро.png")
    expect(picture).to_contain_text("640 × 480")
    expect(picture).to_contain_text("920 kB")
    expect(picture.locator("time")).to_have_attribute(
        "datetime", re.compile(r"^\d{4}-.*(Z|\+00:00)$")
    )
    eventually(lambda: is_displayed(picture))
    expect(gallery.page.get_by_role("log")).to_contain_text("Uploaded 1 of 1")
    expect(gallery.page.get_by_text("No pictures yet")).to_be_hidden()


@pytest.mark.requirement("4.4")
def test_files_dropped_anywhere_are_uploaded(gallery: Gallery, tmp_path: Path) -> None:
    for name in ("on the zone.png", "beside it.png"):
        (tmp_path / name).write_bytes(png())
    gallery.drop(tmp_path / "on the zone.png", on=gallery.zone)
    eventually(lambda: is_displayed(gallery.picture("on the zone.png")))
    gallery.drop(tmp_path / "beside it.png", on=gallery.heading)
    eventually(lambda: is_displayed(gallery.picture("beside it.png")))


@pytest.mark.requirement("4.4")
def test_a_picture_can_be_pasted(gallery: Gallery) -> None:
    gallery.page.evaluate(
        """bytes => {
          const clipboardData = new DataTransfer();
          const options = { type: "image/png" };
          clipboardData.items.add(new File([new Uint8Array(bytes)], "pasted.png", options));
          const paste = new ClipboardEvent("paste", { clipboardData, bubbles: true });
          document.body.dispatchEvent(paste);
        }""",
        list(png()),
    )
    expect(gallery.picture("pasted.png")).to_be_visible()


@pytest.mark.requirement("4.4")
def test_the_progress_bar_shows_the_upload(gallery: Gallery) -> None:
    throttle = {"offline": False, "latency": 0, "downloadThroughput": -1}
    session = gallery.page.context.new_cdp_session(gallery.page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", {**throttle, "uploadThroughput": 100_000})
    gallery.choose(picture_file("slow.png", png(400, 500)))  # 600 kB: 6 seconds
    progress = gallery.upload("slow.png").get_by_role("progressbar")
    seen: set[float] = set()

    def has_moved() -> bool:
        seen.add(progress.evaluate("bar => bar.value"))
        return len([value for value in seen if 0 < value < 1]) > 2

    eventually(has_moved)
    session.send("Network.emulateNetworkConditions", {**throttle, "uploadThroughput": -1})
    expect(gallery.summary).to_have_text("Uploaded 1 of 1")


@pytest.mark.requirement("4.4")
def test_two_uploads_run_at_the_same_time_and_the_others_wait(gallery: Gallery) -> None:
    running: set[Request] = set()
    most = 0

    def started(request: Request) -> None:
        nonlocal most
        if request.method == "POST":
            running.add(request)
            most = max(most, len(running))

    gallery.page.on("request", started)
    gallery.page.on("response", lambda response: running.discard(response.request))
    names = [f"{number}.png" for number in range(6)]
    gallery.choose(*(picture_file(name) for name in names))
    for name in names:
        expect(gallery.picture(name)).to_be_visible()
    assert most == 2


@pytest.mark.requirement("4.4")
def test_the_page_explains_a_refused_file_and_uploads_the_others(gallery: Gallery) -> None:
    broken = png()[:-30]
    gallery.choose(
        picture_file("gif.png", GIF),
        picture_file("broken.png", broken),
        picture_file("animation.gif", GIF, "image/gif"),
        picture_file("good.png"),
    )
    expect(gallery.upload("gif.png")).to_contain_text("Only JPEG and PNG pictures can be uploaded")
    expect(gallery.upload("broken.png")).to_contain_text("broken")
    expect(gallery.upload("animation.gif")).to_contain_text("Not a JPEG or PNG")
    expect(gallery.picture("good.png")).to_be_visible()
    expect(gallery.pictures).to_have_count(1)
    expect(gallery.summary).to_have_text("Uploaded 1 of 4, 3 failed")
    expect(gallery.page.get_by_role("button", name="Retry")).to_have_count(0)
    gallery.upload("gif.png").get_by_role("button", name="Dismiss").click()
    expect(gallery.upload("gif.png")).to_have_count(0)
    expect(gallery.files).to_be_focused()


@pytest.mark.requirement("4.4")
def test_the_page_refuses_a_file_that_is_too_large(gallery: Gallery) -> None:
    requests: list[str] = []
    gallery.page.on("request", lambda request: requests.append(request.method))
    say_size(gallery.page, 5 * 1024 * 1024 + 1)
    gallery.choose(picture_file("large.png"))
    expect(gallery.upload("large.png")).to_contain_text("more than 5 MiB")
    assert "POST" not in requests  # the page refused without a request


@pytest.mark.requirement("4.4")
def test_the_page_shows_the_servers_refusal_of_a_large_file(
    gallery: Gallery, tmp_path: Path
) -> None:
    (tmp_path / "large.png").write_bytes(png(1400, 1300))
    say_size(gallery.page, 1)
    gallery.files.set_input_files(tmp_path / "large.png")
    expect(gallery.upload("large.png")).to_contain_text(re.compile("too large|at most"))
    expect(gallery.pictures).to_have_count(0)


# ---- Pictures


@pytest.mark.requirement("4.4")
def test_the_newest_picture_is_first_before_and_after_a_reload(gallery: Gallery) -> None:
    gallery.add("first.png", "second.png")
    assert gallery.names() == ["second.png", "first.png"]
    gallery.page.reload()
    expect(gallery.pictures).to_have_count(2)
    assert gallery.names() == ["second.png", "first.png"]


@pytest.mark.requirement("4.4")
def test_a_picture_that_cannot_be_loaded_says_so_and_comes_back(gallery: Gallery) -> None:
    gallery.add("shy.png")
    eventually(lambda: is_displayed(gallery.picture("shy.png")))
    words = gallery.picture("shy.png").get_by_text("The picture cannot be loaded")
    expect(words).to_be_hidden()
    gallery.page.route(PIXELS, lambda route: route.fulfill(status=404))
    gallery.page.reload()
    expect(words).to_be_visible()
    assert violations(gallery.page) == []
    gallery.page.unroute(PIXELS)
    gallery.page.context.set_offline(True)
    gallery.page.context.set_offline(False)
    expect(words).to_be_hidden()
    eventually(lambda: is_displayed(gallery.picture("shy.png")))


@pytest.mark.requirement("4.4")
@pytest.mark.until(stage=8, successor="C.1")  # the capstone has a viewer
def test_a_picture_opens_in_full_size(gallery: Gallery) -> None:
    gallery.add("open.png")
    with gallery.page.expect_popup() as opened:
        gallery.picture("open.png").get_by_role("link").click()
    assert httpx.get(opened.value.url, trust_env=False).content == png()


@pytest.mark.requirement("4.4")
@pytest.mark.until(stage=8, successor="C.1")  # there a deletion can be undone
def test_a_deleted_picture_disappears(gallery: Gallery) -> None:
    gallery.add("stays.png", "goes.png")
    link = gallery.picture("goes.png").get_by_role("link")
    file_address = str(link.evaluate("link => link.href"))
    assert httpx.get(file_address, trust_env=False).status_code == 200
    delete = gallery.page.get_by_role("button", name="Delete goes.png")
    delete.click()
    gallery.dialog.get_by_role("button", name="Cancel").click()
    expect(gallery.dialog).to_be_hidden()
    expect(gallery.picture("goes.png")).to_be_visible()
    delete.click()
    expect(gallery.dialog).to_contain_text("Delete goes.png?")
    gallery.dialog.get_by_role("button", name="Delete").click()
    expect(gallery.pictures).to_have_count(1)
    assert httpx.get(file_address, trust_env=False).status_code == 404
    expect(gallery.page.get_by_role("log")).to_contain_text("goes.png: deleted")
    expect(gallery.picture("stays.png").get_by_role("link")).to_be_focused()
    gallery.page.reload()
    expect(gallery.picture("stays.png")).to_be_visible()
    expect(gallery.pictures).to_have_count(1)


@pytest.mark.requirement("4.4")
@pytest.mark.until(stage=8, successor="C.1")  # there a deletion can be undone
def test_the_page_shows_a_failed_deletion_and_can_retry_it(gallery: Gallery) -> None:
    gallery.add("stubborn.png")
    gallery.page.get_by_role("button", name="Delete stubborn.png").click()
    gallery.page.context.set_offline(True)
    confirm = gallery.dialog.get_by_role("button", name="Delete")
    confirm.click()
    expect(gallery.dialog.get_by_role("alert")).to_contain_text("connection was lost")
    gallery.page.context.set_offline(False)
    confirm.click()
    expect(gallery.page.get_by_text("No pictures yet")).to_be_visible()
    expect(gallery.heading).to_be_focused()


@pytest.mark.requirement("4.4")
def test_a_user_does_not_see_the_pictures_of_another_user(
    gallery: Gallery, visit: Visit, address: str
) -> None:
    gallery.add("mine.png")
    other = Gallery(visit(address))
    other.register()
    expect(other.page.get_by_text("No pictures yet")).to_be_visible()
    assert "mine.png" not in other.page.content()


@pytest.mark.requirement("4.4")
def test_markup_in_a_file_name_is_shown_as_text(gallery: Gallery) -> None:
    gallery.add(MARKUP)
    gallery.choose(picture_file(MARKUP, GIF))
    expect(gallery.upload(MARKUP)).to_contain_text("Only JPEG and PNG")
    gallery.page.reload()
    expect(gallery.picture(MARKUP)).to_contain_text(MARKUP)
    gallery.page.get_by_role("button", name=f"Delete {MARKUP}").click()
    question = gallery.page.get_by_text(f"Delete {MARKUP}?").or_(
        gallery.page.get_by_text(f"{MARKUP}: deleted", exact=True)
    )
    expect(question.first).to_be_visible()
    assert gallery.page.locator("[onerror], [src=x]").count() == 0


@pytest.mark.requirement("4.4")
def test_load_more_neither_skips_nor_repeats_a_picture(gallery: Gallery, api: Api) -> None:
    with sign_in(api, gallery.username) as elsewhere:
        images = [upload(elsewhere, f"{number}.png") for number in range(2 * SHOWN_AT_FIRST)]
        gallery.page.reload()
        expect(gallery.pictures).to_have_count(SHOWN_AT_FIRST)
        # Another device first adds more than a page of pictures, then deletes some.
        for image in images[-SHOWN_AT_FIRST + 5 :]:
            elsewhere.request("DELETE", f"/images/{image['id']}")
        upload(elsewhere, "new.png")
        more = gallery.page.get_by_role("button", name="Load more")
        more.click()
        first_new = gallery.picture(f"{SHOWN_AT_FIRST - 1}.png")
        expect(first_new.get_by_role("link")).to_be_focused()
        more.click()
        expect(gallery.picture("0.png")).to_be_visible()
        expect(more).to_be_hidden()
        names = [name for name in gallery.names() if name != "new.png"]
        assert names == [f"{number}.png" for number in reversed(range(2 * SHOWN_AT_FIRST))]


@pytest.mark.requirement("4.4")
def test_load_more_works_after_uploads_on_another_device(gallery: Gallery, api: Api) -> None:
    with sign_in(api, gallery.username) as elsewhere:
        for number in range(SHOWN_AT_FIRST + 1):
            upload(elsewhere, f"{number}.png")
        gallery.page.reload()
        expect(gallery.pictures).to_have_count(SHOWN_AT_FIRST)
        for number in range(SHOWN_AT_FIRST - 1):
            upload(elsewhere, f"new {number}.png")
    gallery.page.get_by_role("button", name="Load more").click()
    expect(gallery.picture("0.png")).to_be_visible()
    assert len(set(gallery.names())) == len(gallery.names()) == SHOWN_AT_FIRST + 1


@pytest.mark.requirement("4.4")
def test_the_page_shows_a_failed_list_and_can_retry_it(gallery: Gallery) -> None:
    gallery.add("there.png")

    def refuse(route: Route) -> None:
        route.fulfill(status=503, json={"detail": "The database is not available right now"})

    gallery.page.route("**/images?*", refuse, times=1)
    gallery.page.reload()
    expect(gallery.page.get_by_role("status")).to_contain_text("not available right now")
    gallery.page.get_by_role("button", name="Load more").click()
    expect(gallery.picture("there.png")).to_be_visible()
    expect(gallery.page.get_by_role("status")).to_be_empty()


# ---- For everybody


@pytest.mark.requirement("4.4")
@pytest.mark.until(stage=8, successor="C.1")  # there a deletion can be undone
def test_the_page_can_be_used_with_the_keyboard_only(visit: Visit, address: str) -> None:
    gallery = Gallery(visit(address))
    keyboard = gallery.page.keyboard
    press = keyboard.press
    gallery.page.on("filechooser", lambda _: None)  # Playwright answers the dialog from now on
    expect(gallery.form).to_be_visible()
    for _ in range(8):  # the bar comes first
        press("Tab")
        if gallery.page.evaluate("document.activeElement.id") == "username":
            break
    keyboard.type(gallery.username)
    press("Tab")
    keyboard.type(PASSWORD)
    press("Tab")
    press("Tab")
    expect(gallery.page.get_by_role("button", name="Register")).to_be_focused()
    press("Enter")
    expect(gallery.heading).to_be_focused()
    press("Tab")
    expect(gallery.files).to_be_focused()
    with gallery.page.expect_file_chooser() as chooser:
        press("Enter")
    chooser.value.set_files([picture_file("typed.png"), picture_file("other.png")])
    expect(gallery.pictures).to_have_count(2)
    press("Tab")
    expect(gallery.page.get_by_role("button", name="Dismiss all")).to_be_focused()
    press("Enter")
    expect(gallery.files).to_be_focused()
    press("Tab")
    press("Tab")
    press("Enter")
    expect(gallery.dialog.get_by_role("button", name="Cancel")).to_be_focused()
    press("Tab")
    press("Enter")
    expect(gallery.pictures).to_have_count(1)
    expect(gallery.pictures.get_by_role("link")).to_be_focused()
    press("Shift+Tab")
    expect(gallery.files).to_be_focused()
    press("Shift+Tab")
    press("Enter")
    expect(gallery.page.get_by_label("Password")).to_be_focused()
    keyboard.type(PASSWORD)
    press("Enter")
    expect(gallery.pictures).to_have_count(1)


# Returns problems for people who use a screen reader.
ACCESSIBILITY = """() => {
  const visible = (selector) => [...document.querySelectorAll(selector)]
    .filter((element) => element.checkVisibility());
  const problems = [];
  if (!document.documentElement.lang) problems.push("no language");
  if (!document.title) problems.push("no title");
  if (visible("h1").length !== 1) problems.push("not exactly one h1");
  if (visible("main").length !== 1) problems.push("not exactly one main");
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  if (new Set(ids).size < ids.length) problems.push("an id occurs twice");
  for (const attribute of ["aria-labelledby", "aria-describedby", "for"])
    for (const element of document.querySelectorAll(`[${attribute}]`))
      if (!ids.includes(element.getAttribute(attribute)))
        problems.push(`${attribute} refers to no element: ${element.outerHTML}`);
  for (const input of document.querySelectorAll("input, progress"))
    if (!input.labels.length && !input.ariaLabel) problems.push(`no label: ${input.outerHTML}`);
  for (const image of visible("img"))
    if (!image.alt || !image.getAttribute("width")) problems.push(`no alt: ${image.outerHTML}`);
  for (const control of document.querySelectorAll("a, button"))
    if (!(control.ariaLabel || control.textContent.trim()))
      problems.push(`no name: ${control.outerHTML}`);
  return problems;
}"""

# Returns the texts whose contrast to their background is under 4.5 : 1 (WCAG 2.2, 1.4.3).
LOW_CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => numbers(colour).slice(0, 3).map((value) => value / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    const transparent = numbers(colour)[3] === 0 && element.parentElement;
    return transparent ? behind(element.parentElement) : colour;
  };
  const hasText = (element) => [...element.childNodes]
    .some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  return [...document.body.querySelectorAll("*")]
    .filter((element) => hasText(element) && element.checkVisibility())
    .map((element) => {
      const [a, b] = [getComputedStyle(element).color, behind(element)].map(luminance);
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      return [element.textContent.trim(), contrast];
    })
    .filter(([, contrast]) => contrast < 4.5);
}"""

SHIFTS = """() => new Promise((resolve) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const shift of list.getEntries()) sum += shift.value;
  }).observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(sum)));
})"""


@pytest.mark.requirement("4.4")
def test_the_page_has_what_screen_readers_need(visit: Visit, address: str) -> None:
    gallery = Gallery(visit(address))
    expect(gallery.form).to_be_visible()
    assert gallery.page.evaluate(ACCESSIBILITY) == []
    gallery.register()
    gallery.add("one.png")
    gallery.choose(picture_file("gif.png", GIF))
    expect(gallery.upload("gif.png")).to_contain_text("Only JPEG and PNG")
    assert gallery.page.evaluate(ACCESSIBILITY) == []


@pytest.mark.requirement("4.4")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(
    visit: Visit, address: str, scheme: Literal["light", "dark"]
) -> None:
    gallery = Gallery(visit(address, color_scheme=scheme))
    gallery.enter("Sign in")
    expect(gallery.form.get_by_role("alert")).not_to_be_empty()
    assert gallery.page.evaluate(LOW_CONTRAST) == []
    gallery.register()
    gallery.add("one.png")
    gallery.choose(picture_file("gif.png", GIF))
    expect(gallery.upload("gif.png")).to_contain_text("Only JPEG and PNG")
    gallery.page.get_by_role("button", name="Delete one.png").click()
    assert gallery.page.evaluate(LOW_CONTRAST) == []
    page_colour = gallery.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", page_colour)[0]) < 128) is (scheme == "dark")


@pytest.mark.requirement("4.4")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("colour", ["white", "black", "#0b6b5c", "#6fd3bf"])
def test_the_focus_can_be_seen_on_a_picture_of_any_colour(
    visit: Visit, address: str, scheme: Literal["light", "dark"], colour: str
) -> None:
    gallery = Gallery(visit(address, color_scheme=scheme))
    gallery.register()
    gallery.choose(picture_file("flat.png", png(colour=bytes(ImageColor.getrgb(colour)))))
    picture = gallery.picture("flat.png")
    eventually(lambda: is_displayed(picture))
    gallery.page.get_by_role("button", name="Dismiss all").click()
    box = picture.bounding_box()
    assert box is not None
    around = {
        "x": box["x"] - RING,
        "y": box["y"] - RING,
        "width": box["width"] + 2 * RING,
        "height": box["height"] + 2 * RING,
    }

    def look() -> Image.Image:
        return Image.open(io.BytesIO(gallery.page.screenshot(clip=around))).convert("RGB")  # type: ignore[arg-type] # a dict

    before = look()
    gallery.page.keyboard.press("Tab")
    expect(picture.get_by_role("link")).to_be_focused()
    after = look()
    pixels: Any = zip(before.get_flattened_data(), after.get_flattened_data(), strict=True)
    ring = sum(contrast(one, other) >= 3 for one, other in pixels if one != other)
    # At least two pixels wide around the smallest thing that it could surround (WCAG 2.2, 2.4.13).
    assert ring >= 2 * 2 * (box["width"] + box["width"])


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Return the contrast of two colours (WCAG 2.2)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: tuple[int, ...]) -> float:
    """Return the relative luminance of a colour (WCAG 2.2)."""
    parts = [part / 255 for part in colour]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.requirement("4.4")
def test_the_page_fits_the_width_of_a_small_screen(visit: Visit, address: str) -> None:
    gallery = Gallery(visit(address, width=360))
    sideways = "document.documentElement.scrollWidth - innerWidth"
    gallery.username = "w" * 40 + secrets.token_hex(5)
    expect(gallery.form).to_be_visible()
    assert gallery.page.evaluate(sideways) == 0
    gallery.register()
    gallery.add("w" * 200 + ".png", "one.png", "two.png")
    gallery.choose(picture_file("m" * 200 + ".png", GIF))
    expect(gallery.upload("mmm")).to_contain_text("Only JPEG and PNG")
    assert gallery.page.evaluate(sideways) == 0
    one, two = gallery.picture("one.png").bounding_box(), gallery.picture("two.png").bounding_box()
    assert one is not None
    assert two is not None
    assert one["y"] == two["y"]  # two columns
    gallery.page.get_by_role("button", name=f"Delete {'w' * 200}.png").click()
    assert gallery.page.evaluate(sideways) == 0


@pytest.mark.requirement("4.4")
def test_the_layout_does_not_shift_when_pictures_load(gallery: Gallery) -> None:
    gallery.add("one.png", "two.png")
    # Both pages have loaded: the requests that are held next belong to the reload.
    eventually(lambda: all(is_displayed(gallery.picture(f"{name}.png")) for name in ("one", "two")))
    held: list[Route] = []
    gallery.page.route(PIXELS, lambda route: held.append(route))
    gallery.page.reload()
    expect(gallery.pictures).to_have_count(2)
    assert gallery.page.evaluate(SHIFTS) < 0.01
    eventually(lambda: gallery.page.evaluate("true") and len(held) == 2)
    for request in held:
        request.continue_()
    eventually(lambda: is_displayed(gallery.picture("one.png")))
    assert gallery.page.evaluate(SHIFTS) < 0.01


@pytest.mark.requirement("4.4")
def test_the_page_works_behind_a_path_prefix(visit: Visit, server: Server, address: str) -> None:
    page = visit(address)  # allows requests to this server; the route below acts as the proxy
    page.goto("about:blank")
    prefix = f"{server.base_url}/some/prefix"

    def strip_prefix(route: Route) -> None:
        route.continue_(url=route.request.url.replace("/some/prefix", ""))

    page.route(f"{prefix}/**", strip_prefix)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{prefix}/gallery")
    gallery = Gallery(page)
    gallery.register()
    gallery.add("far away.png")
    eventually(lambda: is_displayed(gallery.picture("far away.png")))
    assert [url for url in asked if not url.startswith(prefix)] == []


# ---- Served files


@pytest.mark.requirement("4.4")
@pytest.mark.usefixtures("address")
@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/gallery", "text/html"),
        ("/gallery/gallery.css", "text/css"),
        ("/gallery/gallery.js", "text/javascript"),
        ("/home/pages.css", "text/css"),
        ("/home/sign_in.js", "text/javascript"),
        ("/gallery/uploads.js", "text/javascript"),
    ],
)
def test_the_page_is_served_with_strict_headers_and_an_etag(
    api: Api, path: str, content_type: str
) -> None:
    served = api.request("GET", path)
    assert served.status_code == 200
    assert served.headers["content-type"] == f"{content_type}; charset=utf-8"
    policy = dict(
        part.split(maxsplit=1) for part in served.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    # Without JavaScript the form must not put a password into the URL.
    assert policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert served.headers["x-content-type-options"] == "nosniff"
    assert served.headers["referrer-policy"] == "no-referrer"
    assert served.headers["cache-control"] == "no-cache"
    same = api.request("GET", path, headers={"If-None-Match": served.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["content-security-policy"] == served.headers["content-security-policy"]


@pytest.mark.requirement("4.4")
@pytest.mark.usefixtures("address")
@pytest.mark.parametrize("path", ["/gallery", "/gallery/gallery.css", "/gallery/gallery.js"])
def test_a_range_request_for_the_page_gets_a_standard_answer(api: Api, path: str) -> None:
    whole = api.request("GET", path)
    odd = api.request("GET", path, headers={"Range": "items=0-9"})
    assert (odd.status_code, odd.content) == (200, whole.content)
    beyond = api.request("GET", path, headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == 416
    assert isinstance(beyond.json()["detail"], str)


@pytest.mark.requirement("4.4")
@pytest.mark.usefixtures("address")
def test_no_other_file_of_the_directory_is_served(api: Api) -> None:
    for name in ("router.py", "__init__.py", "..%2Fmain.py", "%2e%2e/main.py", "gallery.html"):
        assert api.request("GET", f"/gallery/{name}").status_code == 404
    paths = api.request("GET", "/openapi.json").json()["paths"]
    assert [path for path in paths if "gallery" in path] == []
