"""The pages of decisions have one form, and each page names existing tests that prove it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from course.catalog.requirements import load_requirements
from course.catalog.stages import ROOT
from course.harness.lesson import read, sections_of

HOME = ROOT / "docs" / "decisions"
PAGES = sorted(HOME.glob("0*.md"))
SECTIONS = ["Context", "Decision", "Consequences"]
MOST_LINES = 60
ROW = re.compile(r"\b(?:[1-8C]|D)\.\d+\b")
# This test runs in a stage's own environment: a client cannot force an order of steps in the cache.
PROGRAMS = {"tests/capstone/cache_schedules.py"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_the_index_lists_every_decision_by_its_title() -> None:
    listed = re.findall(r"^\| \[(\d+)\]\((\S+)\) \| (.+) \|$", read(HOME / "README.md"), re.M)
    expected = [
        (str(number), page.name, read(page).partition("\n")[0].removeprefix(f"# {number}. "))
        for number, page in enumerate(PAGES, start=1)
    ]
    assert listed == expected
    assert [int(page.name[:4]) for page in PAGES] == list(range(1, len(PAGES) + 1))


@each_page
def test_a_decision_has_its_sections_and_is_short(page: Path) -> None:
    text = read(page)
    assert list(sections_of(text)) == SECTIONS
    assert re.search(r"^Status: (accepted|replaced by \[decision \d+\]\(\S+\))\.$", text, re.M)
    assert len(text.splitlines()) <= MOST_LINES


@each_page
def test_a_decision_names_the_tests_that_prove_it(page: Path) -> None:
    _, found, shown = read(page).partition("\nShown by: ")
    assert found
    rows = {row.id for row in load_requirements() if row.tests}
    assert set(ROW.findall(shown)) <= rows
    tests = re.findall(r"`((?:course|tests|tools)/\S+\.py)`", shown)
    assert tests
    assert [name for name in tests if not (ROOT / name).is_file()] == []


def test_no_test_module_imports_the_application() -> None:
    importing = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(read(path)))
        if (isinstance(node, ast.Import) and any(_is_app(name.name) for name in node.names))
        or (isinstance(node, ast.ImportFrom) and not node.level and _is_app(node.module or ""))
    }
    assert importing == PROGRAMS


def _is_app(module: str) -> bool:
    return module.partition(".")[0] == "app"
