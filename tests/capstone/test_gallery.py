"""The capstone's gallery in a real Chromium: thumbnails, the viewer, selecting and deleting."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Request, expect

from course.harness.browser.accessibility import violations
from course.harness.browser.visit import Visit
from course.harness.driver import Api
from course.harness.server import Server
from course.harness.waiting import eventually
from tests.stage04.gallery import (
    SHOWN_AT_FIRST,
    Gallery,
    address_of,
    is_displayed,
    picture_file,
    png,
    sign_in,
    upload,
)
from tests.stage04.pictures import JPEG
from tests.stage04.uploads import new_image

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = [
    pytest.mark.craft,
    pytest.mark.deployment("plain"),
    pytest.mark.page("app/gallery"),
]

PHOTO = 3_900_000  # bytes
PHOTOS = 30
MOST_BYTES = 1_500_000  # for all of them
UNDO = 10_000  # milliseconds
NAMES = ["three.png", "two.png", "one.png"]  # newest first


@pytest.fixture
def gallery(visit: Visit, server: Server) -> Gallery:
    """Return the page with a new user signed in."""
    gallery = Gallery(visit(address_of(server)))
    gallery.register()
    return gallery


@pytest.fixture
def three(gallery: Gallery) -> Gallery:
    """Return the page with three pictures."""
    gallery.add(*reversed(NAMES))
    return gallery


@pytest.fixture
def elsewhere(gallery: Gallery, server: Server) -> Iterator[Api]:
    """Return a driver signed in as the page's user."""
    with Api(server) as visitor, sign_in(visitor, gallery.username) as api:
        yield api


def delete_button(gallery: Gallery, name: str) -> Locator:
    """Return the button that deletes one picture."""
    return gallery.page.get_by_role("button", name=f"Delete {name}")


def button(gallery: Gallery, name: str) -> Locator:
    """Return a button of the page."""
    return gallery.page.get_by_role("button", name=name, exact=True)


def viewer(gallery: Gallery) -> Locator:
    """Return the open viewer."""
    return gallery.page.get_by_role("dialog")


def shows(gallery: Gallery, name: str, place: str) -> None:
    """Check that the viewer shows this picture completely."""
    picture = viewer(gallery).get_by_role("img", name=name, exact=True)
    expect(viewer(gallery)).to_have_accessible_name(name)
    expect(picture).to_be_visible()
    expect(viewer(gallery)).to_contain_text(place)
    eventually(lambda: picture.evaluate("img => img.complete && img.naturalWidth > 0"))
    expect(viewer(gallery).get_by_role("status")).to_be_empty()


def open_viewer(gallery: Gallery, name: str) -> None:
    """Open a picture in the viewer."""
    gallery.picture(name).get_by_role("link").click()


def on_server(api: Api) -> list[str]:
    """Return the names of the pictures on the server, newest first."""
    return [image["filename"] for image in api.request("GET", "/images").json()]


def deletions(page: Page) -> list[Request]:
    """Return a list that will have each request to delete a picture."""
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "DELETE" else None)
    return sent


# ---- Thumbnails


def photo() -> bytes:
    """Return a noisy JPEG of 12 million pixels and about 3.9 MB, as a phone takes it."""
    chance = random.Random(22)  # noqa: S311 - the same picture each time
    size, quarter = (4000, 3000), (1000, 750)
    areas = Image.frombytes("RGB", (80, 60), chance.randbytes(80 * 60 * 3)).resize(quarter)
    detail = Image.frombytes("RGB", quarter, chance.randbytes(1000 * 750 * 3))
    picture = Image.blend(areas, detail, 0.12).resize(size, Image.Resampling.BICUBIC)
    grain = Image.frombytes("L", size, chance.randbytes(4000 * 3000)).convert("RGB")
    picture = Image.blend(picture, grain, 0.1)
    for quality in range(60, 100):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        if len(file.getvalue()) >= PHOTO:
            return file.getvalue()
    raise AssertionError("The picture is too simple")


@pytest.mark.requirement("C.1")
@pytest.mark.slow
@pytest.mark.parametrize("sharpness", [1, 2])
def test_thirty_photos_cost_less_than_a_megabyte_and_a_half(
    gallery: Gallery, elsewhere: Api, sharpness: int, record_property: Callable[[str, object], None]
) -> None:
    content = photo()
    for _ in range(PHOTOS):
        new_image(elsewhere, content, JPEG)
    session = gallery.page.context.new_cdp_session(gallery.page)
    received: list[float] = []
    session.on("Network.loadingFinished", lambda each: received.append(each["encodedDataLength"]))
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    screen = {"width": 1280, "height": 740, "deviceScaleFactor": sharpness, "mobile": False}
    session.send("Emulation.setDeviceMetricsOverride", screen)
    gallery.page.reload()
    expect(gallery.pictures).to_have_count(SHOWN_AT_FIRST)
    button(gallery, "Load more").click()
    expect(gallery.pictures).to_have_count(PHOTOS)
    for picture in gallery.pictures.all():
        picture.scroll_into_view_if_needed()
        eventually(lambda picture=picture: is_displayed(picture))  # type: ignore[misc] # a default
    record_property("bytes", sum(received))
    assert len(received) > PHOTOS
    assert sum(received) < MOST_BYTES


@pytest.mark.requirement("C.1")
def test_the_browser_takes_the_thumbnail_that_is_sharp_enough(gallery: Gallery) -> None:
    gallery.choose(picture_file("large.png", png(1000, 700)))
    eventually(lambda: is_displayed(gallery.picture("large.png")))
    taken = gallery.picture("large.png").get_by_role("img").evaluate("img => img.currentSrc")
    assert taken.endswith("/thumbnail?size=256")
    assert (
        gallery.picture("large.png").get_by_role("link").evaluate("a => a.href").endswith("/file")
    )


# ---- The viewer


@pytest.mark.requirement("C.1")
def test_the_viewer_shows_the_pictures_with_the_arrow_keys(three: Gallery) -> None:
    press = three.page.keyboard.press
    three.picture("three.png").get_by_role("link").focus()
    press("Enter")
    shows(three, "three.png", "1 of 3")
    press("ArrowLeft")  # there is none before the first
    for number, name in enumerate(NAMES, 1):
        shows(three, name, f"{number} of 3")
        press("ArrowRight")
    shows(three, "one.png", "3 of 3")  # and none after the last
    expect(button(three, "Next picture")).to_be_hidden()
    press("ArrowLeft")
    shows(three, "two.png", "2 of 3")
    press("Escape")
    expect(viewer(three)).to_be_hidden()
    expect(three.picture("two.png").get_by_role("link")).to_be_focused()


@pytest.mark.requirement("C.1")
def test_the_viewer_shows_the_pictures_with_its_buttons(three: Gallery) -> None:
    open_viewer(three, "two.png")
    button(three, "Next picture").click()
    shows(three, "one.png", "3 of 3")
    button(three, "Previous picture").click()
    button(three, "Previous picture").click()
    shows(three, "three.png", "1 of 3")
    button(three, "Close").click()
    expect(viewer(three)).to_be_hidden()


@pytest.mark.requirement("C.1")
def test_a_swipe_shows_the_next_picture(three: Gallery) -> None:
    three.page.set_viewport_size({"width": 390, "height": 740})
    session = three.page.context.new_cdp_session(three.page)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def swipe(start: int, end: int) -> None:
        send: Any = session.send
        send(
            "Input.dispatchTouchEvent",
            {"type": "touchStart", "touchPoints": [{"x": start, "y": 400}]},
        )
        for step in range(1, 6):
            at = {"x": start + (end - start) * step // 5, "y": 400}
            send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [at]})
        send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    open_viewer(three, "three.png")
    shows(three, "three.png", "1 of 3")
    swipe(300, 100)
    shows(three, "two.png", "2 of 3")
    swipe(100, 120)  # too short
    shows(three, "two.png", "2 of 3")
    swipe(100, 300)
    shows(three, "three.png", "1 of 3")


@pytest.mark.requirement("C.1")
def test_the_viewer_loads_more_pictures_at_the_end(gallery: Gallery, elsewhere: Api) -> None:
    for number in range(SHOWN_AT_FIRST + 1):
        upload(elsewhere, f"{number}.png")
    gallery.page.reload()
    expect(gallery.pictures).to_have_count(SHOWN_AT_FIRST)
    open_viewer(gallery, "1.png")
    shows(gallery, "1.png", "24 of 24+")
    gallery.page.keyboard.press("ArrowRight")
    shows(gallery, "0.png", "25 of 25")


@pytest.mark.requirement("C.1")
def test_the_viewer_says_that_a_picture_cannot_be_loaded(three: Gallery) -> None:
    three.page.route("**/file", lambda route: route.fulfill(status=404))
    open_viewer(three, "two.png")
    expect(viewer(three).get_by_role("status")).to_have_text("The picture cannot be loaded")
    three.page.unroute("**/file")
    three.page.keyboard.press("ArrowRight")
    shows(three, "one.png", "3 of 3")


@pytest.mark.requirement("C.1")
def test_a_picture_still_opens_in_its_own_tab(three: Gallery) -> None:
    with three.page.context.expect_page() as opened:
        three.picture("two.png").get_by_role("link").click(modifiers=["ControlOrMeta"])
    assert opened.value.url.endswith("/file")
    opened.value.close()
    expect(viewer(three)).to_be_hidden()


# ---- Deleting and undoing


@pytest.mark.requirement("C.1")
def test_a_deletion_can_be_undone(three: Gallery, elsewhere: Api) -> None:
    sent = deletions(three.page)
    delete_button(three, "two.png").click()
    expect(three.picture("two.png")).to_be_hidden()
    expect(three.picture("one.png").get_by_role("link")).to_be_focused()
    expect(three.page.get_by_text("two.png: deleted", exact=True)).to_be_visible()
    button(three, "Undo").click()
    expect(three.picture("two.png").get_by_role("link")).to_be_focused()
    expect(button(three, "Undo")).to_be_hidden()
    delete_button(three, "three.png").click()
    expect(three.picture("three.png")).to_be_hidden()
    three.page.keyboard.press("Control+z")
    expect(three.picture("three.png")).to_be_visible()
    assert three.names() == NAMES
    three.page.reload()
    expect(three.pictures).to_have_count(3)
    assert not sent
    assert on_server(elsewhere) == NAMES


@pytest.mark.requirement("C.1")
def test_a_picture_is_deleted_after_the_time_to_undo(three: Gallery, elsewhere: Api) -> None:
    three.page.clock.install()
    sent = deletions(three.page)
    delete_button(three, "two.png").click()
    three.page.clock.run_for(UNDO - 500)
    expect(button(three, "Undo")).to_be_visible()
    assert not sent
    three.page.clock.run_for(1_000)
    expect(button(three, "Undo")).to_be_hidden()
    eventually(
        lambda: three.page.evaluate("true") and on_server(elsewhere) == ["three.png", "one.png"]
    )
    assert len(sent) == 1


@pytest.mark.requirement("C.1")
def test_a_second_deletion_ends_the_time_to_undo_the_first(three: Gallery, elsewhere: Api) -> None:
    delete_button(three, "two.png").click()
    delete_button(three, "one.png").click()
    eventually(
        lambda: three.page.evaluate("true") and on_server(elsewhere) == ["three.png", "one.png"]
    )
    button(three, "Undo").click()
    expect(three.picture("one.png")).to_be_visible()
    assert three.names() == ["three.png", "one.png"]


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("leave", ["reload", "close", "sign out"])
def test_a_deletion_is_sent_when_the_page_is_left(
    three: Gallery, elsewhere: Api, leave: str
) -> None:
    delete_button(three, "two.png").click()
    expect(three.picture("two.png")).to_be_hidden()
    if leave == "reload":
        three.page.reload()
    elif leave == "close":
        three.page.close()
    else:
        button(three, "Sign out").click()
        expect(three.form).to_be_visible()
    eventually(lambda: on_server(elsewhere) == ["three.png", "one.png"])


@pytest.mark.requirement("C.1")
def test_the_next_page_does_not_show_a_picture_whose_deletion_is_under_way(
    three: Gallery, elsewhere: Api
) -> None:
    before = elsewhere.request("GET", "/images").json()
    delete_button(three, "two.png").click()
    # The server lists the pictures before it gets the deletion.
    three.page.route("**/images?*", lambda route: route.fulfill(json=before), times=1)
    three.page.reload()
    expect(three.picture("one.png")).to_be_visible()
    assert three.names() == ["three.png", "one.png"]
    three.page.route("**/images?*", lambda route: route.fulfill(json=before), times=1)
    three.page.reload()  # the picture is there again, as if the deletion had been lost
    expect(three.picture("two.png")).to_be_visible()


@pytest.mark.requirement("C.1")
def test_a_failed_deletion_brings_the_picture_back(three: Gallery, elsewhere: Api) -> None:
    three.page.clock.install()
    delete_button(three, "two.png").click()
    expect(three.picture("two.png")).to_be_hidden()
    three.page.context.set_offline(True)
    three.page.clock.run_for(UNDO + 500)
    expect(three.picture("two.png")).to_be_visible()
    status = three.page.locator("#status")
    expect(status).to_contain_text("two.png was not deleted. No answer")
    three.page.context.set_offline(False)
    assert on_server(elsewhere) == NAMES


@pytest.mark.requirement("C.1")
def test_a_deleted_picture_stays_hidden_while_others_are_loaded(
    gallery: Gallery, elsewhere: Api
) -> None:
    for number in range(SHOWN_AT_FIRST + 3):
        upload(elsewhere, f"{number}.png")
    gallery.page.reload()
    expect(gallery.pictures).to_have_count(SHOWN_AT_FIRST)
    delete_button(gallery, "20.png").click()
    button(gallery, "Load more").click()
    expect(gallery.picture("0.png")).to_be_visible()
    expect(gallery.pictures).to_have_count(SHOWN_AT_FIRST + 2)
    button(gallery, "Undo").click()
    expect(gallery.pictures).to_have_count(SHOWN_AT_FIRST + 3)
    assert gallery.names() == [f"{number}.png" for number in reversed(range(SHOWN_AT_FIRST + 3))]


@pytest.mark.requirement("C.1")
def test_a_picture_that_was_deleted_elsewhere_is_no_problem(three: Gallery, elsewhere: Api) -> None:
    three.page.clock.install()
    (gone,) = [
        each for each in elsewhere.request("GET", "/images").json() if each["filename"] == "two.png"
    ]
    delete_button(three, "two.png").click()
    elsewhere.request("DELETE", f"/images/{gone['id']}")
    three.page.clock.run_for(UNDO + 500)
    expect(button(three, "Undo")).to_be_hidden()
    expect(three.page.locator("#status")).to_be_empty()
    assert three.names() == ["three.png", "one.png"]


# ---- Selecting


@pytest.mark.requirement("C.1")
def test_selected_pictures_are_deleted_together(three: Gallery, elsewhere: Api) -> None:
    page = three.page
    group = page.get_by_role("group", name="Selected pictures")
    expect(group).to_be_hidden()
    page.get_by_role("checkbox", name="Select three.png").check()
    page.get_by_role("checkbox", name="Select one.png").check()
    expect(group).to_contain_text("2 selected")
    button(three, "Delete selected").click()
    expect(three.pictures).to_have_count(1)
    expect(group).to_be_hidden()
    expect(page.get_by_text("2 pictures: deleted", exact=True)).to_be_visible()
    expect(three.picture("two.png").get_by_role("link")).to_be_focused()
    button(three, "Undo").click()
    expect(three.pictures).to_have_count(3)
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(0)
    for box in page.get_by_role("checkbox").all():
        box.check()
    button(three, "Delete selected").click()
    expect(page.get_by_text("No pictures yet")).to_be_visible()
    page.reload()
    expect(page.get_by_text("No pictures yet")).to_be_visible()
    assert on_server(elsewhere) == []


@pytest.mark.requirement("C.1")
def test_a_selection_can_be_given_up(three: Gallery) -> None:
    group = three.page.get_by_role("group", name="Selected pictures")
    for escape in (True, False):
        three.page.get_by_role("checkbox", name="Select two.png").check()
        expect(group).to_be_visible()
        if escape:
            three.page.keyboard.press("Escape")
        else:
            button(three, "Select none").click()
        expect(group).to_be_hidden()
    expect(three.pictures).to_have_count(3)


# ---- For everybody


@pytest.mark.requirement("C.1")
def test_everything_can_be_done_with_the_keyboard_only(three: Gallery) -> None:
    press = three.page.keyboard.press
    three.files.focus()
    press("Tab")  # the summary's button
    press("Enter")
    press("Tab")
    expect(three.picture("three.png").get_by_role("link")).to_be_focused()
    press("Enter")
    shows(three, "three.png", "1 of 3")
    press("ArrowRight")
    press("Escape")
    expect(three.picture("two.png").get_by_role("link")).to_be_focused()
    press("Tab")
    press("Space")
    expect(three.page.get_by_role("checkbox", name="Select two.png")).to_be_checked()
    press("Tab")
    expect(delete_button(three, "two.png")).to_be_focused()
    press("Enter")
    expect(three.pictures).to_have_count(2)
    expect(three.picture("one.png").get_by_role("link")).to_be_focused()
    press("Control+z")
    expect(three.picture("two.png").get_by_role("link")).to_be_focused()
    expect(three.pictures).to_have_count(3)


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_axe_finds_nothing_in_any_state(
    visit: Visit, server: Server, scheme: Literal["light", "dark"], width: int
) -> None:
    gallery = Gallery(visit(address_of(server), color_scheme=scheme, width=width))
    gallery.register()
    gallery.add("w" * 100 + ".png", "one.png", "two.png")

    def check() -> None:
        # A bar covers some buttons halfway; at the end of the page it covers none.
        gallery.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        assert violations(gallery.page) == []
        assert gallery.page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0

    check()
    gallery.page.get_by_role("checkbox", name="Select one.png").check()
    check()
    button(gallery, "Delete selected").click()
    check()
    open_viewer(gallery, "two.png")
    shows(gallery, "two.png", "1 of 2")
    check()
    gallery.page.keyboard.press("ArrowRight")
    shows(gallery, "w" * 100 + ".png", "2 of 2")
    check()


@pytest.mark.requirement("C.1")
def test_the_bar_does_not_cover_the_focus(gallery: Gallery, elsewhere: Api) -> None:
    for number in range(SHOWN_AT_FIRST):
        upload(elsewhere, f"{number}.png")
    gallery.page.reload()
    expect(gallery.pictures).to_have_count(SHOWN_AT_FIRST)
    gallery.page.get_by_role("checkbox", name="Select 23.png").check()
    bar = gallery.page.get_by_role("group", name="Selected pictures").bounding_box()
    assert bar is not None
    gallery.picture("23.png").get_by_role("link").focus()
    for _ in range(3 * (SHOWN_AT_FIRST - 1)):  # a link, a box and a button each
        gallery.page.keyboard.press("Tab")
        focus = gallery.page.locator(":focus").bounding_box()
        assert focus is not None
        assert focus["y"] + min(focus["height"], 100) <= bar["y"]
