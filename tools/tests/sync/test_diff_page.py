"""The page of a difference in a real Chromium: it folds, prints in colour, and fits a phone."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import expect

from course.harness.browser.accessibility import violations
from course.harness.browser.visit import Visit
from tools.tests.conftest import ONE, TWO, Course

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = pytest.mark.requirement("D.7")

SIDEWAYS = "document.documentElement.scrollWidth - innerWidth"
BACKGROUND = "element => getComputedStyle(element).backgroundColor"
COLOUR = "element => getComputedStyle(element).color"


@pytest.fixture
def address(course: Course) -> str:
    """Return the URL of a page with a long new file, a changed file and coloured code."""
    code = "".join(f"def read_{number}() -> str:\n    return 'a'\n" for number in range(100))
    course.write(f"{TWO}/app/new.py", code)
    course.write(f"{ONE}/app/main.py", "value = 1\nsame = 2\ngone = 3\n")
    course.write(f"{TWO}/app/main.py", "value = 11\nsame = 2\ncome = 'three'\n")
    target = course.root / "page.html"
    assert course.diff("1", "2", "--html", str(target)).status == 0
    return target.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1600])
def test_axe_finds_nothing_and_the_code_has_16_pixels(
    visit: Visit, address: str, scheme: Literal["light", "dark"], width: int
) -> None:
    page = visit(address, color_scheme=scheme, width=width)
    assert violations(page) == []
    assert page.evaluate(SIDEWAYS) == 0
    for text in page.locator("td, p, li, summary").all():
        assert text.evaluate("element => getComputedStyle(element).fontSize") == "16px"


def test_each_file_folds_and_the_index_stays_in_sight(visit: Visit, address: str) -> None:
    page = visit(address, width=1600)
    index = page.get_by_role("navigation", name="Summary")
    index.get_by_role("link", name="app/new.py").click()
    expect(page.get_by_text("def read_0()")).to_be_in_viewport()
    page.get_by_text("def read_90()").scroll_into_view_if_needed()
    expect(index.get_by_role("link", name="app/main.py")).to_be_in_viewport()
    name = page.locator("summary", has_text="app/new.py")
    expect(name).to_be_in_viewport()  # also while its code scrolls
    name.click()
    expect(page.get_by_text("def read_90()")).to_be_hidden()
    name.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("def read_90()")).to_be_visible()


def test_the_page_prints_in_colour_and_unfolded(visit: Visit, address: str) -> None:
    page = visit(address, color_scheme="dark", width=1000)
    new = page.locator("tr.both td:nth-child(4)").first
    keyword = page.locator("span.k").first
    in_the_dark = new.evaluate(BACKGROUND), keyword.evaluate(COLOUR)
    page.locator("summary", has_text="app/new.py").click()
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("body").evaluate("e => getComputedStyle(e).printColorAdjust") == "exact"
    assert page.locator("body").evaluate(BACKGROUND) == "rgb(255, 255, 255)"
    assert new.evaluate(BACKGROUND) == "rgb(234, 255, 240)"
    assert new.evaluate(BACKGROUND) != in_the_dark[0]
    assert keyword.evaluate(COLOUR) != in_the_dark[1]
    assert len({keyword.evaluate(COLOUR), page.locator("td").first.evaluate(COLOUR)}) == 2
    expect(page.get_by_text("def read_90()")).to_be_visible()


def test_the_minutes_stand_beside_the_stage_that_takes_them(visit: Visit, address: str) -> None:
    page = visit(address)
    expect(page.locator("header li")).to_have_text(
        "A store, 60 minutes. Goal of stage 2: Keep it for good."
    )
    expect(page.locator("header p")).to_have_text("From: A list.")
