"""Requirement C.1: the page of the jobs in a real Chromium: submit, follow, report, cancel.

Every visit also fails on an error in the console, a violation of the Content-Security-Policy, an
alert, or a request to another server (course/harness/browser/plugin.py).
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from course.harness.browser.accessibility import violations
from course.harness.browser.visit import Visit
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import Server
from course.harness.waiting import eventually
from tests.capstone.lossy import lossy_line

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = [pytest.mark.craft, pytest.mark.page("app/jobs")]

PASSWORD = "correct horse"
PATIENCE = 30_000  # milliseconds; a worker may be busy, and a stream reconnects after a pause
SIDEWAYS = "document.documentElement.scrollWidth - innerWidth"
FAR = "2099-01-01T12:00"


class Jobs:
    """The page, found by its visible words."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.username = f"ada_{secrets.token_hex(6)}"
        self.form = page.get_by_role("form", name="Sign in")
        self.heading = page.get_by_role("heading", name="Analyse a text")
        self.submission = page.get_by_role("form", name="Analyse a text")
        self.text = page.get_by_label("Text", exact=True)
        self.file = page.get_by_label("Or a text file")
        self.start_at = page.get_by_label("Start at")
        self.jobs = page.get_by_role("list", name="Jobs, newest first").get_by_role("listitem")
        self.status = page.get_by_role("status")
        page.set_default_timeout(PATIENCE)

    def register(self) -> Jobs:
        """Register and sign in."""
        self.page.get_by_label("Username").fill(self.username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Register").click()
        expect(self.heading).to_be_visible()
        return self

    def submit(self, text: str, *, start_at: str = "") -> None:
        """Submit a text."""
        self.text.fill(text)
        self.start_at.fill(start_at)
        self.page.get_by_role("button", name="Analyse").click()

    def is_done(self, job: Locator) -> None:
        """Wait until the page shows that the job has succeeded."""
        expect(job).to_contain_text("Done", timeout=PATIENCE)


@pytest.fixture
def ada(visit: Visit, server: Server) -> Jobs:
    """Return the page of a new user."""
    return Jobs(visit(f"{server.base_url}/my-jobs")).register()


@pytest.fixture
def own(launch: Launch) -> Server:
    """Return a server of its own, which works on its jobs itself."""
    return launch(REDIS_URL="")


# --- Submitting


@pytest.mark.requirement("C.1")
def test_a_text_is_analysed_and_its_progress_is_live(visit: Visit, own: Server) -> None:
    ada = Jobs(visit(f"{own.base_url}/my-jobs")).register()
    expect(ada.page.get_by_text("No jobs yet")).to_be_visible()
    read: list[str] = []
    ada.page.on("request", lambda request: read.append(f"{request.method} {request.url}"))
    ada.submit("To be, or not to be. That is the question.")
    expect(ada.jobs).to_have_count(1)
    expect(ada.jobs).to_be_focused()
    expect(ada.text).to_have_value("")
    ada.is_done(ada.jobs)
    expect(ada.jobs).to_contain_text("Words: 10")
    expect(ada.page.get_by_role("log")).to_contain_text("Done")
    # The stream told everything: the page did not ask again and again.
    assert [url for url in read if not re.search("/events$|^POST", url)] == []


@pytest.mark.requirement("C.1")
def test_a_file_is_analysed(visit: Visit, own: Server, tmp_path: Path) -> None:
    ada = Jobs(visit(f"{own.base_url}/my-jobs")).register()
    file = tmp_path / "Пьеса.txt"
    file.write_text("Быть или не быть, вот в чём вопрос.", encoding="utf-8")
    ada.file.set_input_files(file)
    ada.page.get_by_role("button", name="Analyse").click()
    ada.is_done(ada.jobs)
    expect(ada.jobs).to_contain_text("Words: 8")
    expect(ada.file).to_have_value("")


@pytest.mark.requirement("C.1")
def test_the_page_explains_wrong_input_and_keeps_it(ada: Jobs, tmp_path: Path) -> None:
    problem = ada.submission.get_by_role("alert")
    ada.page.get_by_role("button", name="Analyse").click()
    expect(problem).to_have_text("Write a text or choose a file")
    expect(ada.text).to_be_focused()
    picture = tmp_path / "picture.txt"
    picture.write_bytes(b"\x89PNG\xff\xfe\0\0")
    ada.file.set_input_files(picture)
    ada.submit("and a text")
    expect(problem).to_have_text("Choose one of them: a text or a file")
    ada.text.fill("")
    ada.page.get_by_role("button", name="Analyse").click()
    expect(problem).to_contain_text("UTF-8")
    expect(ada.jobs).to_have_count(0)


@pytest.mark.requirement("C.1")
def test_a_repeated_submission_after_a_lost_answer_makes_one_job(own: Server, visit: Visit) -> None:
    with lossy_line(own.base_url) as line:
        ada = Jobs(visit(f"{line.base_url}/my-jobs")).register()
        line.losing = b"POST /jobs"
        ada.submit("only once")
        expect(ada.submission.get_by_role("alert")).to_contain_text("nothing is analysed twice")
        expect(ada.text).to_have_value("only once")
        eventually(lambda: line.lost >= 1)
        line.losing = None
        ada.page.get_by_role("button", name="Analyse").click()
        ada.is_done(ada.jobs)
        ada.page.reload()
        expect(ada.jobs).to_have_count(1)


# --- Following


@pytest.mark.requirement("C.1")
def test_the_stream_reconnects_after_a_restart(visit: Visit, launch: Launch) -> None:
    server = launch(REDIS_URL="")
    ada = Jobs(visit(f"{server.base_url}/my-jobs")).register()
    ada.submit("later", start_at=FAR)
    expect(ada.jobs).to_contain_text("Starts at")
    server.kill()
    expect(ada.status).to_contain_text("No connection", timeout=PATIENCE)
    server.start()
    expect(ada.status).to_be_empty(timeout=PATIENCE)
    cancel_elsewhere(server, ada)
    expect(ada.jobs).to_contain_text("Cancelled", timeout=PATIENCE)


def cancel_elsewhere(server: Server, ada: Jobs) -> None:
    """Cancel the user's only job, as another device does."""
    with Api(server) as api:
        form = {"username": ada.username, "password": PASSWORD}
        token = api.request("POST", "/auth/token", data=form).json()["access_token"]
        user = api.with_token(token)
        (job,) = user.request("GET", "/jobs").json()
        assert user.request("DELETE", f"/jobs/{job['id']}").status_code == 200


@pytest.mark.requirement("C.1")
def test_the_page_follows_a_job_longer_than_a_token_lives(visit: Visit, launch: Launch) -> None:
    server = launch(ACCESS_TOKEN_TTL="1", REDIS_URL="")
    ada = Jobs(visit(f"{server.base_url}/my-jobs")).register()
    streams: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/events"):
            streams.append(request.headers["authorization"])

    ada.page.on("request", note)
    ada.submit("later", start_at=FAR)
    eventually(lambda: bool(ada.page.evaluate("true")) and len(set(streams)) >= 3, within=20)
    expect(ada.form).to_be_hidden()
    expect(ada.status).to_be_empty()
    cancel_elsewhere(server, ada)
    expect(ada.jobs).to_contain_text("Cancelled", timeout=PATIENCE)


@pytest.mark.requirement("C.1")
def test_at_most_two_streams_are_open(ada: Jobs) -> None:
    running: set[Request] = set()
    most = 0

    def started(request: Request) -> None:
        nonlocal most
        if request.url.endswith("/events"):
            running.add(request)
            most = max(most, len(running))

    ada.page.on("request", started)
    for event in ("requestfinished", "requestfailed"):
        ada.page.on(event, lambda request: running.discard(request))
    for number in range(5):
        ada.submit(f"number {number}", start_at=FAR)
        expect(ada.jobs).to_have_count(number + 1)
    assert most == 2
    ada.jobs.last.get_by_role("button", name="Cancel").click()  # of the oldest, which is followed
    expect(ada.jobs.last).to_contain_text("Cancelled")
    # Playwright may report the end of a stream after the start of the next one.
    eventually(lambda: bool(ada.page.evaluate("true")) and len(running) == 2)


# --- Reports and cancelling


@pytest.mark.requirement("C.1")
def test_a_report_is_shown_and_can_be_downloaded(visit: Visit, own: Server, tmp_path: Path) -> None:
    ada = Jobs(visit(f"{own.base_url}/my-jobs")).register()
    ada.submit("<b>one</b> two two")
    ada.is_done(ada.jobs)
    button = ada.jobs.get_by_role("button", name="Report")
    button.click()
    report = ada.jobs.get_by_role("region", name="Report")
    expect(report).to_contain_text("two")
    expect(button).to_have_attribute("aria-expanded", "true")
    assert ada.page.locator("li b").count() == 0
    with ada.page.expect_download() as download:
        ada.jobs.get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "report.md")
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == report.text_content()
    button.click()
    expect(report).to_be_hidden()


@pytest.mark.requirement("C.1")
def test_a_waiting_job_can_be_cancelled(ada: Jobs) -> None:
    ada.submit("later", start_at=FAR)
    expect(ada.jobs).to_contain_text("Starts at")
    ada.jobs.get_by_role("button", name="Cancel").click()
    expect(ada.jobs).to_contain_text("Cancelled")
    expect(ada.jobs.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(ada.jobs).to_be_focused()
    ada.page.reload()
    expect(ada.jobs).to_contain_text("Cancelled")


@pytest.mark.requirement("C.1")
def test_more_jobs_are_loaded_on_request(ada: Jobs, server: Server) -> None:
    with Api(server) as api:
        form = {"username": ada.username, "password": PASSWORD}
        token = api.request("POST", "/auth/token", data=form).json()["access_token"]
        for number in range(25):
            body = {"text": str(number), "run_at": "2099-01-01T00:00:00Z"}
            assert api.with_token(token).request("POST", "/jobs", json=body).status_code == 202
    ada.page.reload()
    expect(ada.jobs).to_have_count(20)
    ada.page.get_by_role("button", name="Load more").click()
    expect(ada.jobs).to_have_count(25)
    expect(ada.page.get_by_role("button", name="Load more")).to_be_hidden()


# --- For everybody


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_the_page_fits_a_small_screen(
    visit: Visit, own: Server, scheme: Literal["light", "dark"]
) -> None:
    ada = Jobs(visit(f"{own.base_url}/my-jobs", width=320, color_scheme=scheme))
    ada.username = "w" * 40 + secrets.token_hex(5)
    expect(ada.form).to_be_visible()
    assert violations(ada.page) == []
    ada.register()
    assert violations(ada.page) == []
    ada.page.get_by_role("button", name="Analyse").click()
    expect(ada.submission.get_by_role("alert")).not_to_be_empty()
    assert violations(ada.page) == []
    ada.submit("w" * 500 + " two")
    ada.is_done(ada.jobs)
    ada.jobs.get_by_role("button", name="Report").click()
    expect(ada.jobs.get_by_role("region", name="Report")).to_be_visible()
    ada.submit("later", start_at=FAR)
    expect(ada.jobs).to_have_count(2)
    assert violations(ada.page) == []
    assert ada.page.evaluate(SIDEWAYS) == 0
    if scheme == "light":  # in the dark axe takes the page's own colours for the forced ones
        ada.page.emulate_media(forced_colors="active")
        assert violations(ada.page) == []


@pytest.mark.requirement("C.1")
def test_the_page_can_be_used_with_the_keyboard_only(visit: Visit, own: Server) -> None:
    ada = Jobs(visit(f"{own.base_url}/my-jobs"))
    expect(ada.form).to_be_visible()
    keyboard = ada.page.keyboard
    tab_to(ada.page, "username")
    keyboard.type(ada.username)
    keyboard.press("Tab")
    keyboard.type(PASSWORD)
    keyboard.press("Tab")
    keyboard.press("Tab")
    keyboard.press("Enter")  # Register
    expect(ada.heading).to_be_focused()
    tab_to(ada.page, "text")
    keyboard.type("one two three")
    for _ in range(20):
        keyboard.press("Tab")
        if ada.page.evaluate("document.activeElement.textContent") == "Analyse":
            break
    keyboard.press("Enter")
    expect(ada.jobs).to_be_focused()
    ada.is_done(ada.jobs)
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(ada.jobs.get_by_role("region", name="Report")).to_be_visible()


def tab_to(page: Page, element_id: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == element_id:
            return
    raise AssertionError(f"the keyboard does not reach #{element_id}")


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize(
    "path",
    [
        f"/my-{name}{part}"
        for name in ("jobs", "todos")
        for part in ("", f"/{name}.css", f"/{name}.js", f"/{name}.svg")
    ],
)
def test_the_pages_are_served_with_strict_headers(server: Server, path: str) -> None:
    with Api(server) as api:
        served = api.request("GET", path)
        assert served.status_code == 200
        policy = dict(
            part.split(maxsplit=1) for part in served.headers["content-security-policy"].split("; ")
        )
        assert policy["default-src"] == policy["form-action"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert served.headers["x-content-type-options"] == "nosniff"
        same = api.request("GET", path, headers={"If-None-Match": served.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        assert api.request("GET", f"{path}/page.py").status_code == 404
