"""The chapters of the capstone have the form of a lesson, and their commands do what they say.

The rules for the blocks are those of `test_lessons.py`. The commands run beside the stack, as the
chapters tell the reader: its two replicas are on ports 8000 and 8001 of the page.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from course.catalog.stages import ROOT, Chapter, find_stage, load_course
from course.harness.lesson import follow, needs_a_terminal, read, sections_of
from course.harness.postgres import NO_POSTGRES, postgres_is_available
from course.harness.queue import NO_REDIS, redis_is_available
from tests.lessons.blocks import check_blocks, files_of_changes
from tests.lessons.stack_place import StackPlace

STAGE = find_stage(load_course(), "capstone")
HOME = ROOT / STAGE.directory
SECTIONS = [
    "What you build",
    "Run it",
    "Read this",
    "What changed and why",
    "How it works",
    "Try it",
    "Predict first",
    "Break it",
    "Go further",
    "Other ways",
]
# The sections of the operator's page that the assignment names (row C.17).
OPERATORS_SECTIONS = [
    "Overview",
    "What is implemented",
    "Quick start",
    "API documentation",
    "Advanced features",
    "Monitoring",
    "Performance",
    "Technology stack",
    "Project structure",
    "Configuration",
    "Usage examples",
    "Metrics",
]
MOST_LINES = 400  # of the operator's page
FILES_TO_READ = 3

each_chapter = pytest.mark.parametrize(
    "chapter", STAGE.chapters, ids=lambda chapter: str(chapter.number)
)


def page_of(chapter: Chapter) -> Path:
    (page,) = (HOME / "lessons").glob(f"{chapter.number}-*.md")
    return page


@pytest.fixture
def directory() -> Iterator[Path]:
    """Yield a directory that PostgreSQL can reach also when it runs as another user."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o711)
        yield Path(made)


@needs_a_terminal
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not postgres_is_available(), reason=NO_POSTGRES)
@pytest.mark.skipif(not redis_is_available(), reason=NO_REDIS)
@each_chapter
def test_every_command_of_a_chapter_has_the_output_of_the_page(
    chapter: Chapter, directory: Path
) -> None:
    with closing(StackPlace(STAGE, directory)) as place:
        follow(page_of(chapter), place)


@each_chapter
def test_every_block_of_a_chapter_is_run_or_listed(chapter: Chapter) -> None:
    check_blocks(read(page_of(chapter)), number=STAGE.number)


@each_chapter
def test_a_chapter_has_every_section_in_order(chapter: Chapter) -> None:
    assert list(sections_of(read(page_of(chapter)))) == SECTIONS


@each_chapter
def test_a_chapter_begins_with_its_title_and_minutes(chapter: Chapter) -> None:
    title, minutes = f"# Capstone {chapter.number} · {chapter.title}", f"{chapter.minutes} minutes"
    begin = read(page_of(chapter)).partition("\n## ")[0].replace("\n", " ")
    assert begin.startswith(title)
    assert f" {minutes}.*" in begin


def test_the_minutes_of_the_chapters_are_those_of_the_capstone() -> None:
    assert sum(chapter.minutes for chapter in STAGE.chapters) == STAGE.minutes
    rows = re.findall(r"^\| \d \| \[(.+)\]\((.+)\) \| (\d+) \|$", read(HOME / "README.md"), re.M)
    assert rows == [
        (chapter.title, f"lessons/{page_of(chapter).name}", str(chapter.minutes))
        for chapter in STAGE.chapters
    ]


@each_chapter
def test_a_chapter_names_three_of_its_files_to_read_and_their_minutes(chapter: Chapter) -> None:
    section = sections_of(read(page_of(chapter)))["Read this"]
    named = re.findall(r"^\d\. `([^`]+)` \((\d+) minutes\)", section, re.MULTILINE)
    assert len(named) == FILES_TO_READ
    assert all(chapter.has(path) and (HOME / path).is_file() for path, _ in named), named
    (all_minutes,) = re.findall(r"^About (\d+) minutes\.", section.strip())
    assert sum(int(minutes) for _, minutes in named) == int(all_minutes) < chapter.minutes


@each_chapter
def test_the_section_of_changes_names_exactly_the_files_of_the_chapter(chapter: Chapter) -> None:
    declared = {"new": STAGE.adds, "changed": STAGE.changes + STAGE.rewrites, "gone": STAGE.removes}
    assert files_of_changes(read(page_of(chapter))) == [
        (path, how)
        for how, paths in declared.items()
        for path in sorted(paths)
        if chapter.has(path)
    ]


def test_the_page_for_operators_has_the_sections_of_the_assignment_and_is_short() -> None:
    page = read(HOME / "README.md")
    assert list(sections_of(page)) == OPERATORS_SECTIONS
    assert len(page.splitlines()) <= MOST_LINES


@pytest.mark.parametrize("section", OPERATORS_SECTIONS)
def test_each_section_of_the_page_for_operators_links_to_a_chapter(section: str) -> None:
    text = sections_of(read(HOME / "README.md"))[section]
    assert re.search(r"\]\(lessons/\d-[\w-]+\.md", text) or "(#overview)" in text
