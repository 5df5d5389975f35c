"""The lessons are correct: commands are run, and paths, tables and links are compared.

The rules for a lesson page (GitHub renders it as usual, and a reader can paste every block):

    ```sh       commands. One bash runs them in the order of the page in a copy of the stage,
                beside a server that reloads. They must succeed. A block may have several.
    ```output   the output of the `sh` block before it. `…` stands for any text in a line, and a
                line with only `…` for any number of lines. The exit status is then not checked.
    ```diff     an edit that the reader makes; the test makes it in the copy. `--- path` begins a
                file, `@@` another place in it; the old lines must be there exactly once.
    ```bash     commands that the test does not run: each block is listed below with the reason.
                A service that they start, such as Redis, is available to the page.
    ```text     a drawing; no commands.

A block that changes a file of `app` ends when the server has restarted, as the reader sees in the
first terminal. Ports 8000 and 8001 become free ones. Blocks inside <details> count too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from course.catalog.stages import ROOT, Stage, load_course
from course.harness.lesson import Workplace, follow, matches, needs_a_terminal, read, sections_of
from course.harness.queue import NO_REDIS, Redis, redis_is_available
from tests.lessons.blocks import check_blocks, files_of_changes

STAGES = load_course()
LESSONS = [stage for stage in STAGES if (ROOT / stage.directory / "README.md").is_file()]

SECTIONS = [
    "What you build",
    "Run it",
    "What changed and why",
    "How it works",
    "Try it",
    "Predict first",
    "Break it",
    "Go further",
    "For production",
]

# Services that the reader starts in another terminal, by the URL in the page.
REDIS = "redis://127.0.0.1:6379/0"
PROVIDER = "http://127.0.0.1:8090"

each_lesson = pytest.mark.parametrize("stage", LESSONS, ids=lambda stage: stage.name)
# The capstone's page is for operators; its chapters are its lessons (see test_chapters.py).
each_stage = pytest.mark.parametrize(
    "stage", [stage for stage in LESSONS if not stage.chapters], ids=lambda stage: stage.name
)


def test_every_stage_has_a_lesson() -> None:
    assert LESSONS == STAGES


def lesson_of(stage: Stage) -> str:
    return read(ROOT / stage.directory / "README.md")


@pytest.fixture
def beside(
    request: pytest.FixtureRequest, stage: Stage, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """Start the services that a lesson needs; return their local URLs by the URLs in the page."""
    page, addresses, redis = lesson_of(stage), {}, None
    if PROVIDER in page:
        addresses[PROVIDER] = request.getfixturevalue("fake_weather").base_url
    if REDIS in page:
        if not redis_is_available():
            pytest.skip(NO_REDIS)
        redis = Redis(tmp_path / "redis")
        redis.start()
        addresses[REDIS] = redis.url
    yield addresses
    if redis is not None:
        redis.process.end()


@needs_a_terminal
@pytest.mark.slow
@pytest.mark.timeout(600)
@each_lesson
def test_every_command_of_a_lesson_has_the_output_of_the_page(
    stage: Stage, tmp_path: Path, beside: dict[str, str]
) -> None:
    with closing(Workplace(stage, tmp_path)) as workplace:
        follow(ROOT / stage.directory / "README.md", workplace, beside)


@each_lesson
def test_every_block_of_a_lesson_is_run_or_listed(stage: Stage) -> None:
    check_blocks(lesson_of(stage), number=stage.number)


@each_stage
def test_a_lesson_has_every_section_in_order(stage: Stage) -> None:
    assert list(sections_of(lesson_of(stage))) == SECTIONS


@each_stage
def test_the_section_of_changes_names_exactly_the_changed_files(stage: Stage) -> None:
    declared = {"new": stage.adds, "changed": stage.changes + stage.rewrites, "gone": stage.removes}
    assert files_of_changes(lesson_of(stage)) == [
        (path, how) for how, paths in declared.items() for path in sorted(paths)
    ]


def test_the_table_of_stages_matches_stages_toml() -> None:
    told = dict(re.findall(r"^\| (\d) \| (.+) \|$", read(ROOT / "README.md"), re.MULTILINE))
    assert list(told) == [str(number) for number in range(1, 10)], "one row for each of nine stages"
    for stage in STAGES:
        link = f"[{stage.directory}]({stage.directory})"
        expected = f"{link} | {stage.level} | {stage.goal} | {stage.minutes}"
        assert told[str(stage.number)] == expected


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ('{"id":1}', '{"id":2}'),
        ('{"id":…,"title":"a"}', '{"id":1,"title":"b"}'),
        ("first", "first\nsecond"),
        ("first\nsecond", "first"),
        ("…\nlast", "first"),
        ("a.c", "abc"),
    ],
)
def test_different_output_fails(expected: str, got: str) -> None:
    assert not matches(expected, got)


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ('{"id":1}\n', '{"id":1}'),
        ("HTTP/1.1 200 OK\n\n{}", "HTTP/1.1 200 OK\r\n\r\n{}\n"),
        ('{"id":…,"title":"a"}', '{"id":1,"title":"a"}'),
        ("first\n…\nlast", "first\nlast"),
        ("first\n…\nlast", "first\nmiddle\nmore\nlast"),
    ],
)
def test_expected_output_passes(expected: str, got: str) -> None:
    assert matches(expected, got)
