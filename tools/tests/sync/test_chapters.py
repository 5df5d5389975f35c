"""A stage with chapters: each changed file and row has one, and a patch can show only one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from course.catalog.chapters import row_problems
from course.catalog.requirements import Requirement, read_rows
from course.catalog.stages import CourseError, find_step, load_course
from tools.tests.conftest import FOUR, THREE, TWO, Course

CHAPTERS = """
[[stage.chapter]]
number = 1
title = "Containers"
minutes = 60
rows = ["C.1"]
files = ["Dockerfile"]
starter = ["C.1 Dockerfile"]

[[stage.chapter]]
number = 2
title = "Everything else"
minutes = 30
rows = ["C.2"]
files = ["app/*"]
starter = ["C.2 app/more.py"]
"""
ROWS = """
["C.1"]
text = "It runs in a container"
stage = 4

["C.2"]
text = "There is more"
stage = 4

["D.1"]
text = "The repository has a page"
stage = 4
"""


@pytest.fixture
def chapters(course: Course) -> Course:
    """The course whose last stage has two chapters, in sync."""
    course.replace("stages.toml", 'adds = ["Dockerfile"]', 'adds = ["Dockerfile", "app/more.py"]')
    course.write("stages.toml", course.read("stages.toml") + CHAPTERS)
    course.write("course/catalog/requirements.toml", ROWS)
    course.write(f"{FOUR}/app/more.py", "more = 1\n")
    return course


def test_a_course_whose_files_and_rows_have_chapters_is_clean(chapters: Course) -> None:
    result = chapters.drift()

    assert (result.status, result.out.partition(":")[0]) == (0, "No drift")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'files = ["app/*"]',
            'files = ["app/more.p?", "app/mor*", "README.md"]',
            f"stages.toml: chapter 2 of {FOUR}, files: no changed file matches README.md:"
            " remove the pattern",
        ),
        (
            'files = ["app/*"]',
            "files = []",
            f"{FOUR}/app/more.py belongs to no chapter: add it to one in stages.toml",
        ),
        (
            'files = ["app/*"]',
            'files = ["*"]',
            f"{FOUR}/Dockerfile belongs to the chapters 1 and 2: keep it in one of them in"
            " stages.toml",
        ),
        ('rows = ["C.2"]', "rows = []", "C.2 belongs to no chapter: add it to one in stages.toml"),
        (
            'rows = ["C.2"]',
            'rows = ["C.1", "C.2"]',
            "C.1 belongs to the chapters 1 and 2: keep it in one of them in stages.toml",
        ),
        (
            'rows = ["C.2"]',
            'rows = ["C.2", "D.1"]',
            f"stages.toml: chapter 2 of {FOUR} has D.1, which is no row of this stage",
        ),
        (
            'starter = ["C.2 app/more.py"]',
            "",
            f"stages.toml: the starter of chapter 2 of {FOUR} has no part for C.2",
        ),
        (
            "minutes = 60\nrows",
            "minutes = 61\nrows",
            f"stages.toml: the chapters of {FOUR} take 91 minutes together, and the stage says 90:"
            " make them equal",
        ),
    ],
)
def test_drift_says_which_chapter_is_wrong(
    chapters: Course, old: str, new: str, problem: str
) -> None:
    chapters.replace("stages.toml", old, new)

    result = chapters.drift()

    assert (result.status, problem in result.out.splitlines()) == (1, True), result.out


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("number = 2\ntitle", "number = 3\ntitle", "number the chapters of capstone_all 1, 2, 3"),
        ('rows = ["C.2"]\n', "", "capstone_all, chapter 2, lacks rows"),
        ('rows = ["C.2"]\n', 'rows = []\nrow = "C.2"\n', "chapter 2, has an unknown field: row"),
    ],
)
def test_a_chapter_that_cannot_be_read_is_one_clear_line(
    chapters: Course, old: str, new: str, problem: str
) -> None:
    chapters.replace("stages.toml", old, new)

    with pytest.raises(CourseError, match=problem):
        load_course(chapters.root)


def test_the_patch_of_a_chapter_has_only_its_files(chapters: Course) -> None:
    result = chapters.diff("3", "4", "--chapter", "2")

    assert result.status == 0
    assert "To stage 4: All of it, chapter 2: Everything else\n30 minutes\n" in result.out
    assert f"+++ {FOUR}/app/more.py" in result.out
    assert "Dockerfile" not in result.out


def test_the_patches_of_all_chapters_together_are_the_patch_of_the_stage(chapters: Course) -> None:
    def patches(*options: str) -> set[str]:
        _summary, *files = chapters.diff("3", "4", "--full", *options).out.split("diff --git ")
        return set(files)

    by_chapter = [patches("--chapter", number) for number in ("1", "2")]
    assert by_chapter[0] | by_chapter[1] == patches()
    assert [len(one) for one in by_chapter] == [1, 1]


def test_the_page_of_a_chapter_has_only_its_files(chapters: Course, tmp_path: Path) -> None:
    page = tmp_path / "page.html"

    assert chapters.diff("4", "3", "--chapter=1", "--html", str(page)).status == 0
    text = page.read_text(encoding="utf-8")
    assert "<title>From stage 3 to stage 4: All of it, chapter 1: Containers</title>" in text
    assert "Dockerfile" in text
    assert "more.py" not in text


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ("3", "4", "--chapter", "7"),
            "capstone has no chapter '7': choose one of 1 (Containers), 2 (Everything else)\n",
        ),
        (("2", "3", "--chapter", "1"), f"stage 3 ({THREE}) has no chapters\n"),
        (
            ("2", "4", "--chapter", "1"),
            f"--chapter needs the stage before {FOUR}: diff 3 4 --chapter 1\n",
        ),
    ],
)
def test_a_chapter_that_does_not_exist_is_a_clear_error(
    chapters: Course, words: tuple[str, ...], problem: str
) -> None:
    result = chapters.diff(*words)

    assert (result.status, result.out, result.err) == (2, "", problem)


def test_a_step_is_a_stage_or_one_chapter_of_it(chapters: Course) -> None:
    stages = load_course(chapters.root)

    assert [find_step(stages, word).step for word in ("2", TWO, "capstone")] == ["2", "2", "4"]
    for word in ("capstone/2", "4/2", f"{FOUR}/2"):
        step = find_step(stages, word)
        assert (step.step, step.title, step.minutes) == ("capstone/2", "Everything else", 30)
        assert (step.number, step.directory) == (4, FOUR)
    with pytest.raises(CourseError, match=r"stage 2 \(stage02_store\) has no chapters"):
        find_step(stages, "2/1")


def test_every_row_of_the_capstone_is_in_one_chapter() -> None:
    capstone = load_course()[-1]
    rows = read_rows()

    assert row_problems(capstone, rows) == []
    more = Requirement("C.99", "One more", capstone.number)
    assert row_problems(capstone, [*rows, more]) == [
        "C.99 belongs to no chapter: add it to one in stages.toml"
    ]
    assert row_problems(replace(capstone, chapters=()), [*rows, more]) == []
