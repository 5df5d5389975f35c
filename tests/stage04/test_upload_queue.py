"""The gallery's uploads on a bad line: nothing is lost, and nothing is stored twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import FilePayload, Locator, Request, Route, expect

from course.harness.browser.accessibility import violations
from course.harness.browser.visit import Visit
from course.harness.server import Server
from course.harness.waiting import eventually
from tests.stage04.gallery import GIF, Gallery, address_of, picture_file, png

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = [pytest.mark.craft, pytest.mark.page("app/gallery")]

DETAIL = {"detail": "The database is not available right now: try again"}
PATIENCE = 30_000  # milliseconds that an upload may take without any progress


@pytest.fixture
def gallery(visit: Visit, server: Server) -> Gallery:
    """Return the page with a new user signed in."""
    gallery = Gallery(visit(address_of(server)))
    gallery.register()
    return gallery


@pytest.fixture
def held(gallery: Gallery) -> Iterator[list[Route]]:
    """Hold every upload: the line is dead, without any error."""
    held: list[Route] = []
    gallery.page.route("**/images", lambda route: held.append(route))
    yield held
    gallery.page.unroute("**/images")


def button(gallery: Gallery, name: str) -> Locator:
    """Return a button of the whole batch."""
    return gallery.page.get_by_role("button", name=name, exact=True)


def files(count: int) -> list[FilePayload]:
    """Return that many small pictures."""
    return [picture_file(f"{number}.png") for number in range(count)]


@pytest.mark.requirement("4.4")
def test_a_lost_answer_and_a_retry_store_one_picture(gallery: Gallery) -> None:
    keys: list[str] = []

    def lose_the_answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        stored = route.fetch()
        assert stored.status == 201
        route.abort("connectionreset")

    gallery.page.route("**/images", lose_the_answer, times=2)
    gallery.choose(picture_file("once.png"))
    for _ in range(2):
        expect(gallery.summary).to_contain_text("1 waiting. No answer: the connection was lost")
        expect(gallery.uploads).to_have_count(0)
        button(gallery, "Retry").click()
    expect(gallery.summary).to_have_text("Uploaded 1 of 1")
    expect(gallery.pictures).to_have_count(1)
    gallery.page.reload()
    expect(gallery.picture("once.png")).to_be_visible()
    expect(gallery.pictures).to_have_count(1)
    assert len(keys) == 2
    assert len(set(keys)) == 1


@pytest.mark.requirement("4.4")
def test_two_files_with_the_same_name_are_two_pictures(gallery: Gallery) -> None:
    gallery.choose(picture_file("same.png"), picture_file("same.png"))
    expect(gallery.summary).to_have_text("Uploaded 2 of 2")
    expect(gallery.pictures).to_have_count(2)


@pytest.mark.requirement("4.4")
def test_uploads_continue_by_themselves_when_the_browser_is_online_again(gallery: Gallery) -> None:
    gallery.page.context.set_offline(True)
    gallery.choose(*files(3))
    expect(gallery.summary).to_contain_text("Uploaded 0 of 3, 3 waiting. No answer")
    expect(button(gallery, "Retry")).to_be_visible()
    gallery.page.context.set_offline(False)
    expect(gallery.summary).to_have_text("Uploaded 3 of 3")
    expect(gallery.pictures).to_have_count(3)
    expect(button(gallery, "Retry")).to_be_hidden()


@pytest.mark.requirement("4.4")
def test_an_upload_can_be_retried_after_a_503(gallery: Gallery) -> None:
    gallery.page.route("**/images", lambda route: route.fulfill(status=503, json=DETAIL), times=1)
    gallery.choose(picture_file("patient.png"))
    expect(gallery.summary).to_contain_text(DETAIL["detail"])
    expect(gallery.page.get_by_role("log")).to_contain_text(DETAIL["detail"])
    button(gallery, "Retry").click()
    expect(gallery.picture("patient.png")).to_be_visible()


@pytest.mark.requirement("4.4")
def test_an_upload_without_progress_is_given_up_after_30_seconds(
    gallery: Gallery, held: list[Route]
) -> None:
    gallery.page.clock.install()
    gallery.choose(picture_file("stuck.png"))
    eventually(lambda: gallery.page.evaluate("true") and held)
    expect(gallery.upload("stuck.png")).to_be_visible()
    gallery.page.clock.run_for(PATIENCE - 1_000)
    expect(gallery.upload("stuck.png")).to_be_visible()
    gallery.page.clock.run_for(2_000)
    expect(gallery.summary).to_contain_text("1 waiting. No answer: the connection was lost")
    gallery.page.unroute("**/images")
    button(gallery, "Retry").click()
    expect(gallery.picture("stuck.png")).to_be_visible()


@pytest.mark.requirement("4.4")
def test_a_running_upload_can_be_cancelled(gallery: Gallery, held: list[Route]) -> None:
    failed: list[Request] = []
    gallery.page.on("requestfailed", lambda request: failed.append(request))
    gallery.choose(*files(3))
    eventually(lambda: gallery.page.evaluate("true") and len(held) == 2)
    gallery.upload("0.png").get_by_role("button", name="Cancel 0.png").click()
    expect(gallery.upload("0.png")).to_have_count(0)
    expect(gallery.files).to_be_focused()
    eventually(lambda: gallery.page.evaluate("true") and len(failed) == 1)
    expect(gallery.upload("2.png")).to_be_visible()  # it has the free place
    expect(gallery.summary).to_have_text("Uploaded 0 of 2")
    eventually(lambda: gallery.page.evaluate("true") and len(held) == 3)
    for route in held[1:]:
        route.continue_()
    expect(gallery.summary).to_have_text("Uploaded 2 of 2")
    assert sorted(gallery.names()) == ["1.png", "2.png"]


@pytest.mark.requirement("4.4")
def test_all_uploads_can_be_cancelled(gallery: Gallery, held: list[Route]) -> None:
    gallery.choose(*files(5))
    eventually(lambda: gallery.page.evaluate("true") and len(held) == 2)
    button(gallery, "Cancel all").click()
    expect(gallery.summary).to_be_hidden()
    expect(gallery.uploads).to_have_count(0)
    gallery.page.unroute("**/images")
    gallery.add("next.png")
    expect(gallery.summary).to_have_text("Uploaded 1 of 1")
    assert len(held) == 2
    gallery.page.reload()
    expect(gallery.pictures).to_have_count(1)


@pytest.mark.requirement("4.4")
def test_forty_uploads_take_one_line_and_two_rows(gallery: Gallery) -> None:
    gallery.page.evaluate(
        """() => {
          globalThis.most = 0;
          const rows = document.querySelector("#uploads");
          new MutationObserver(() => {
            globalThis.most = Math.max(globalThis.most, rows.childElementCount);
          }).observe(rows, { childList: true });
        }"""
    )
    gallery.choose(*files(40))
    expect(gallery.summary).to_have_text("Uploaded 40 of 40", timeout=20_000)
    expect(gallery.uploads).to_have_count(0)
    assert gallery.page.evaluate("globalThis.most") == 2
    assert (
        gallery.page.get_by_role("log").locator("p").count() == 1
    )  # a screen reader says one line
    button(gallery, "Dismiss all").click()
    expect(gallery.summary).to_be_hidden()


@pytest.mark.requirement("4.4")
def test_the_browser_asks_before_uploads_are_lost(gallery: Gallery, held: list[Route]) -> None:
    asked: list[str] = []
    gallery.page.on("dialog", lambda dialog: asked.append(dialog.type))
    gallery.choose(picture_file("slow.png"))
    eventually(lambda: gallery.page.evaluate("true") and held)
    gallery.page.evaluate("setTimeout(() => location.reload())")
    eventually(lambda: gallery.page.evaluate("true") and asked)
    expect(gallery.upload("slow.png")).to_be_visible()  # the person stays
    held[0].continue_()
    expect(gallery.summary).to_have_text("Uploaded 1 of 1")
    gallery.page.reload()
    expect(gallery.picture("slow.png")).to_be_visible()
    assert asked == ["beforeunload"]


@pytest.mark.requirement("4.4")
def test_a_file_that_disappeared_does_not_stop_the_others(gallery: Gallery, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path in paths:
        path.write_bytes(png())
    gallery.page.route("**/images", lambda route: route.fulfill(status=503, json=DETAIL), times=2)
    gallery.files.set_input_files(paths)
    expect(gallery.summary).to_contain_text("4 waiting")
    paths[2].unlink()
    button(gallery, "Retry").click()
    expect(gallery.upload("2.png")).to_contain_text("The file cannot be read")
    expect(gallery.summary).to_have_text("Uploaded 3 of 4, 1 failed")


@pytest.mark.requirement("4.4")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_axe_finds_nothing_during_and_after_uploads(
    visit: Visit, server: Server, scheme: Literal["light", "dark"], width: int
) -> None:
    gallery = Gallery(visit(address_of(server), color_scheme=scheme, width=width))
    gallery.register()
    gallery.page.context.set_offline(True)
    gallery.choose(*files(2), picture_file("animation.gif", GIF, "image/gif"))
    expect(gallery.summary).to_have_text(re.compile("3, 1 failed, 2 waiting. No answer"))
    assert violations(gallery.page) == []
    gallery.page.context.set_offline(False)
    expect(gallery.summary).to_have_text("Uploaded 2 of 3, 1 failed")
    assert violations(gallery.page) == []
    assert gallery.page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
