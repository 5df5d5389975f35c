"""Fixtures: a browser for a test module, and `visit`, which opens pages and watches them.

A test also fails when a visited page made a mistake: an error in the console, a violation of its
Content-Security-Policy, an alert, or a request to another server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from course.harness.browser.chromium import ARGUMENTS, NONE_FOUND, find_chromium
from course.harness.browser.visit import Visit, Watch

PATIENCE = 5_000  # milliseconds
HEIGHT = 740  # pixels


@pytest.fixture(scope="module")
def browser_arguments() -> list[str]:
    """More options of the browser: a module replaces this fixture to choose some."""
    return []


# For a module and not for the session, since `asyncio.run` fails in other tests while Playwright
# runs.
@pytest.fixture(scope="module")
def browser_context(browser_arguments: list[str]) -> Iterator[BrowserContext]:
    """A headless browser with an empty profile; the test is skipped without a browser."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(NONE_FOUND)
    with sync_playwright() as playwright:
        arguments = [*ARGUMENTS, *browser_arguments]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield new_profile(browser)
        browser.close()


def new_profile(browser: Browser) -> BrowserContext:
    """Return an empty profile, with its own cookies and storage."""
    context = browser.new_context(locale="en-GB", timezone_id="UTC", reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    return context


@pytest.fixture
def visit(browser_context: BrowserContext) -> Iterator[Visit]:
    """Opens pages; at the end the test fails if one of them made a mistake."""
    browser = browser_context.browser
    assert browser is not None
    watches: list[Watch] = []

    def open_page(
        url: str,
        *,
        color_scheme: Literal["light", "dark"] = "light",
        width: int = 1280,
        beside: Page | None = None,
    ) -> Page:
        page = (beside.context if beside else new_profile(browser)).new_page()
        watches.append(Watch(page, url))
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.emulate_media(color_scheme=color_scheme)
        page.goto(url)
        return page

    yield open_page
    for context in browser.contexts[1:]:
        context.close()
    problems = [problem for watch in watches for problem in watch.problems]
    assert not problems, "\n".join(problems)
