"""The HTML reports in a real Chromium: accessible, also small, dark, and by keyboard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from course.catalog.requirements import load_requirements
from course.harness.browser.accessibility import violations
from course.harness.browser.visit import Visit
from tools.grade import report_html
from tools.grade.outcomes import Outcome
from tools.grade.results import Change, Grade, Row, due

pytest_plugins = ["course.harness.browser.plugin"]
pytestmark = pytest.mark.slow

SCREENS = [("light", 1280), ("dark", 1280), ("light", 320), ("dark", 320)]
SIDEWAYS = "document.documentElement.scrollWidth - innerWidth"
LONG = "a/path/without/any/space/" * 8

FAILURE = Outcome(
    "tests/stage03/test_registration.py::test_a_registration_answers_with_a_location_header",
    "failed",
    sent=f'POST /auth/register {{"username": "{LONG}"}}',
    expected="201 Created",
    got='500 {"detail": "<script>alert(1)</script>"}',
    curl=f"curl -i -X POST http://127.0.0.1:8000/auth/register --data-raw '{LONG}'",
    exception="KeyError: 'username'",
    place="app/auth/router.py:41",
    source='name = body["username"]',
    cites=("E15",),
    hint="A 201 has a Location.",
)
TODO = replace(FAILURE, exchange='→ 501\n\n{"detail": "TODO 3.2: Sign-in"}')
SPECIAL = {
    "3.1": Row("", "", 3, "fail", failures=(FAILURE,) * 5, run=9, of=20, hint="What is a user?"),
    "3.2": Row("", "", 3, "fail", failures=(TODO,), run=1, of=1, hint="Not begun: `TODO 3.2`"),
    "3.4": Row("", "", 3, "blocked", blocked_by="3.2", waiting_for="3.2"),
    "3.5": Row("", "", 3, "not_checked", reason="needs the source of the app"),
    "2.3": Row("", "", 2, "fail", failures=(replace(FAILURE, place=""),), run=1, of=1),
    "1.1": Row("", "", 1, "pass", run=3, of=9, suggestions=(replace(FAILURE, craft=True),)),
    "1.2": Row("", "", 1, "error", reason="our own fault"),
}


def grade(stage: int = 3) -> Grade:
    """Return a grade with each kind of row."""
    rows = []
    for one in due(load_requirements(), stage):
        row = SPECIAL.get(one.id, Row("", "", 0, "pass", run=1, of=1))
        rows.append(replace(row, id=one.id, text=one.text, stage=one.stage))
    return Grade(
        stage,
        tuple(rows),
        server="uvicorn app.main:app --port {port}",
        notes=("The server ended 1 × while it was graded.",),
        stage_titles={1: "Todos", 2: "SQLite", 3: "Users"},
        changes=(Change("3.1", "fail", 48, "fail", 5),),
        start="uvicorn app.main:app --port 8000",
    )


def opened(visit: Visit, file: Path, page: str, scheme: str, width: int) -> Page:
    """Return a page in a window of that width."""
    file.write_text(page, encoding="utf-8")
    colours: Literal["light", "dark"] = "dark" if scheme == "dark" else "light"
    return visit(file.as_uri(), color_scheme=colours, width=width)


def matrix(language: str = "en") -> str:
    """Return the page of a class with a long name."""
    lost = Grade(8, tuple(replace(row, status="error") for row in grade(8).rows), problem="gone")
    good = Grade(8, tuple(Row(r.id, r.text, r.stage, "pass") for r in grade(8).rows))
    names = ("Ada", "Maximiliana-Konstantinopolskaya of the Second Course", "Ада")
    learners = list(zip(names, (good, grade(8), lost), strict=True))
    return report_html.render_matrix(learners, language)


def test_axe_reports_a_page_with_mistakes(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit, tmp_path / "page.html", "<p style='color: #aaa'>pale</p>", "light", 320)
    found = {line.partition(":")[0] for line in violations(page)}
    assert {"color-contrast", "html-has-lang", "landmark-one-main"} <= found


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
@pytest.mark.parametrize("kind", ["report", "matrix", "lost"])
def test_axe_finds_nothing_and_no_page_scrolls_sideways(
    visit: Visit, tmp_path: Path, kind: str, scheme: str, width: int
) -> None:
    pages = {
        "report": lambda: report_html.render(replace(grade(), language="ru")),
        "matrix": lambda: matrix("ru"),
        "lost": lambda: report_html.render(
            Grade(1, (Row("1.1", "List", 1, "error"),), problem="nobody listens there")
        ),
    }
    page = opened(visit, tmp_path / "page.html", pages[kind](), scheme, width)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert violations(page) == []
    assert page.evaluate(SIDEWAYS) <= 0
    expect(page.get_by_role("main")).to_have_count(1)


def test_a_row_leads_to_its_failure_which_begins_with_a_hint(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit, tmp_path / "page.html", report_html.render(grade()), "light", 1280)
    page.get_by_role("link", name="3.1").click()
    section = page.locator("section:target")
    expect(section).to_be_in_viewport()
    text = section.inner_text()
    order = ["A 201 has a Location.", "must hold", "POST /auth/register", "201 Created", "KeyError"]
    assert sorted(order, key=text.index) == order
    expect(page.get_by_role("link", name="3.2")).to_have_count(0)


def test_a_cell_of_the_matrix_opens_its_failure_and_the_name_stays(
    visit: Visit, tmp_path: Path
) -> None:
    page = opened(visit, tmp_path / "page.html", matrix(), "light", 320)
    region = page.get_by_role("region")
    name = page.get_by_role("rowheader").nth(1)
    left = name.evaluate("one => one.getBoundingClientRect().left")
    region.focus()
    region.evaluate("one => { one.scrollLeft = 600 }")
    assert name.evaluate("one => one.getBoundingClientRect().left") == left
    assert name.evaluate("one => one.getBoundingClientRect().width") < 160
    page.get_by_role("row").nth(2).get_by_role("link", name="fail").last.click()
    section = page.locator("section:target")
    expect(section).to_be_visible()
    assert section.inner_text().startswith("3.1 ")
    assert page.locator("details[open]").count() == 1
