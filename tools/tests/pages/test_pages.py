"""Checks the pages other than lessons: runs their commands and checks their links.

A page has the form of a lesson (see `test_lessons.py`): each `sh` block is pasted into a clone of
the course, in the page's order, and `output` is its expected output. `bash` blocks are not run;
each is listed below with the reason. Links, paths and sessions are checked in lessons too.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from course.catalog.stages import ROOT, CourseError, find_stage, load_course
from course.harness.lesson import (
    Shell,
    anchors_of,
    blocks_of,
    clone_course,
    links_of,
    matches,
    needs_a_terminal,
    prose_of,
    read,
    shell_environment,
)
from tools.grade.options import parse
from tools.run.arguments import nox_arguments

STAGES = load_course()
LESSONS = [f"{stage.directory}/README.md" for stage in STAGES]
LESSONS += sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob("capstone_production/*/*.md")
)
GUIDES = ["README.md", "CONTRIBUTING.md", "docs/plagiarism.md"]
DECISIONS = sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "decisions").glob("*.md")
)
TEACHING = sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "teaching").glob("*.md")
)
PAGES = [*LESSONS, *GUIDES, *DECISIONS, "SECURITY.md", "CHANGELOG.md"]
PAGES += ["docs/grading.md", "docs/platforms.md", "docs/glossary.md", "benchmarks/README.md"]
PAGES += TEACHING
# Pages that name only existing paths of the course.
WITH_PATHS = [*LESSONS, "README.md", "CONTRIBUTING.md", "SECURITY.md"]
WITH_PATHS += [page for page in DECISIONS if page != "docs/decisions/README.md"]
WITH_COMMANDS = [*(page for page in LESSONS if "runbooks" not in page), *GUIDES]

# The blocks that are not run, and why.
NOT_RUN = {
    "python3 noxfile.py serve 2\n": "it serves until Ctrl-C; tools/tests/run/test_sessions.py",
    "python3 noxfile.py learn 3\n": "it runs until all rows pass; tools/tests/learn/test_learn.py",
    "python3 noxfile.py\n": "this test is a part of it",
    "python3 noxfile.py learn-times\n": "it takes minutes; tools/tests/learn/test_measure.py",
    "python3 noxfile.py learn-record\n": "it takes minutes; tools/tests/learn/test_record.py",
    "python3 noxfile.py lock\n": "it asks an index of packages",
    "python3 -m pip install pre-commit\npre-commit install\n": (
        "it installs; tools/tests/run/test_sessions.py compares the hooks with the sessions"
    ),
}
# These install, or need Java.
OTHER_TOOLS = re.compile(r"compare50|jplag")
# A grade takes a minute and needs a solution, so only the options are checked here.
GRADE = "python3 noxfile.py grade "

# A run of the course makes these, so no clone has them.
MADE_BY_RUNNING = {".venv/", ".nox/", ".nox/flaky.json", ".env", "todo.db"}
MEDIA_TYPE = re.compile(r"(application|image|multipart|text)/")
FILE_NAME = re.compile(r".*\.(example|ini|json|lock|mako|md|py|toml|txt|yml)")

each_guide = pytest.mark.parametrize("page", GUIDES)
each_page = pytest.mark.parametrize("page", PAGES)


@needs_a_terminal
@pytest.mark.slow
@pytest.mark.timeout(900)
@each_guide
def test_every_command_of_a_page_does_what_the_page_says(page: str, tmp_path: Path) -> None:
    clone = clone_course(tmp_path)
    blocks = blocks_of(read(ROOT / page))
    with contextlib.closing(Shell(clone, shell_environment(tmp_path), {})) as shell:
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            if block.language != "sh":
                continue
            output, status = shell.run(block.text)
            where = f"{page}:{block.line}\n{block.text}\n--- exit status {status}, it printed\n"
            assert status == 0, where + output
            if following and following.language == "output":
                assert matches(following.text, output), where + output
    assert page != "docs/plagiarism.md" or named_starters() == starters_in(clone)


def named_starters() -> set[str]:
    """Return the directories that the tools for plagiarism leave out."""
    return set(re.findall(r"-(?:d|bc) ([\w/]+?)/? ", read(ROOT / "docs" / "plagiarism.md")))


def starters_in(clone: Path) -> set[str]:
    """Return the starters that somebody made in a clone."""
    return {
        path.parent.parent.relative_to(clone).as_posix()
        for path in clone.rglob("app/unfinished.py")
    }


@each_guide
def test_every_block_of_a_page_is_run_or_listed(page: str) -> None:
    before = ""
    for block in blocks_of(read(ROOT / page)):
        if block.language == "bash":
            is_known = block.text in NOT_RUN or block.text.startswith(GRADE)
            assert is_known or OTHER_TOOLS.search(block.text), block
        elif block.language == "output":
            assert before == "sh", block
        else:
            assert block.language == "sh", block
        before = block.language


def test_every_grade_of_the_readme_is_one_that_the_grader_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my-solution").mkdir()
    (tmp_path / "course").mkdir()
    monkeypatch.chdir(tmp_path / "course")
    Path("roster.csv").write_text("name,base_url\nAda,http://127.0.0.1:8000\n", encoding="utf-8")
    lines = [block.text for block in blocks_of(read(ROOT / "README.md"))]
    grades = [line.removeprefix(GRADE) for line in lines if line.startswith(GRADE)]
    assert len(grades) == 3
    assert [parse(shlex.split(words)).stage.number for words in grades] == [3, 3, 3]


@each_page
def test_every_link_leads_to_something_in_the_repository(page: str) -> None:
    broken = []
    for path, anchor in links_of(read(ROOT / page)):
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors_of(read(target))):
            broken.append(f"{path}#{anchor}")
    assert not broken, broken


@pytest.mark.parametrize("page", WITH_PATHS)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    prose = prose_of(read(ROOT / page))
    named = [name for name in re.findall(r"`([^`\n]+)`", prose) if _is_path(name)]
    assert named, "no path found: has the pattern gone wrong?"
    missing = [name for name in named if name not in MADE_BY_RUNNING and not _exists(page, name)]
    assert not missing, missing


def _is_path(name: str) -> bool:
    if MEDIA_TYPE.match(name) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", name):
        return False
    return "/" in name or FILE_NAME.fullmatch(name) is not None or name in MADE_BY_RUNNING


def _exists(page: str, name: str) -> bool:
    """Return whether the path exists beside the page, in the course, or in every stage."""
    homes = [ROOT / stage.directory for stage in STAGES]
    return any((ROOT / home / name).exists() for home in Path(page).parents) or all(
        (home / name).exists() for home in homes
    )


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_session_that_a_page_names_exists(page: str) -> None:
    noxfile = read(ROOT / "noxfile.py")
    known = set(re.findall(r"^@nox\.session.*\ndef (\w+)", noxfile, re.MULTILINE))
    known |= set(re.findall(r'^@nox\.session.*\bname="([\w-]+)"', noxfile, re.MULTILINE))
    known |= {stage.name for stage in STAGES} | {"help"}
    commands = re.findall(r"noxfile\.py((?: [\w.=-]+)*)", read(ROOT / page))
    assert commands, "no command found: has the pattern gone wrong?"
    for command in commands:
        words = nox_arguments(command.split())
        sessions = [word for flag, word in pairwise(words) if flag == "-s"]
        assert set(sessions) <= known, command
        if sessions and sessions[0] in {"serve", "diff"} and "--" in words:
            for word in words[words.index("--") + 1 :]:
                if word.startswith("-"):
                    break
                try:
                    find_stage(STAGES, word)
                except CourseError as error:
                    pytest.fail(f"{command}: {error}")
