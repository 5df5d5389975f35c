"""Each command of the loop works: as a key at a terminal, and as a word in a pipe."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.learn import parts
from tools.learn.keys import BY_KEY
from tools.tests.learn.learner import FINISHED, FIRST, KEYS, Learner

ROUTER, SCHEMAS, SERVICE = (f"app/todos/{name}.py" for name in ("router", "schemas", "service"))
PLAIN = {"NO_COLOR": "1"}

at_both = pytest.mark.parametrize(
    "size",
    [
        pytest.param(None, id="pipe"),
        pytest.param(
            (80, 24),
            id="terminal",
            marks=pytest.mark.skipif(
                sys.platform == "win32", reason="not checked: needs a pseudo-terminal"
            ),
        ),
    ],
)
Learn = Callable[..., Learner]
Size = tuple[int, int] | None


def test_each_command_has_its_key() -> None:
    assert {command: key for key, command in BY_KEY.items()} == KEYS


@at_both
def test_a_learner_reads_and_quits(learn: Learn, size: Size) -> None:
    learner = learn(size=size, environment=PLAIN)
    learner.until(r"^keys: " + ("hint, all, list" if size is None else "h hint  a all  i list"))
    learner.until(r"^Now: 1\.6 ")
    learner.type("list")
    learner.until(r"^ > 1\.6  to do")
    learner.type("hint")
    learner.until(r"^hint 1/\d: ")
    learner.type("hint")
    learner.until(r"^hint 2/\d: ")
    learner.type("lesson")
    learner.until(rf"^{FIRST.directory}/README\.md:\d+$")
    assert learner.quit() == 0
    assert "\x1b" not in learner.written  # no colour and no movement of the cursor


@at_both
def test_a_solution_needs_a_second_request_before_its_row_passes(learn: Learn, size: Size) -> None:
    learner = learn(size=size, environment=PLAIN)
    learner.until(r"^Now: 1\.6 ")
    learner.type("compare")
    learner.until(r"ask once more")
    learner.type("list")  # another command between the two requests
    learner.until(r"^ > 1\.6  to do")
    learner.type("compare")
    learner.until(r"ask once more")
    assert "TODO 1.6  " not in learner.written
    learner.type("compare")
    learner.until(rf"^TODO 1\.6  {SCHEMAS}: TodoCreate, TodoPatch$")
    assert learner.quit() == 0


@at_both
def test_a_solution_is_shown_at_once_after_its_row_passed(
    learn: Learn, size: Size, directory: Path
) -> None:
    for path in (SCHEMAS, SERVICE, ROUTER):
        shutil.copy(FINISHED / path, directory / path)
    parts.reset(FIRST, directory, "1.4")
    learner = learn(size=size, environment=PLAIN)
    learner.until(r"^✓ 1\.\d passes ")
    learner.until(r"^Now: 1\.4 ")
    learner.type("compare")
    learner.until(r"^TODO 1\.\d  app/todos/\w+\.py: ")
    learner.until(r"^  the same as the finished stage$")
    assert "ask once more" not in learner.written
    assert learner.quit() == 0


@at_both
def test_a_part_is_reset_and_all_rows_are_run(learn: Learn, size: Size, directory: Path) -> None:
    for path in (SCHEMAS, SERVICE, ROUTER):
        shutil.copy(FINISHED / path, directory / path)
    mistaken = (directory / ROUTER).read_text("utf-8").replace("HTTP_204", "HTTP_200")
    (directory / ROUTER).write_text(mistaken.replace("200_NO_CONTENT", "200_OK"), "utf-8")
    learner = learn(size=size, environment=PLAIN)
    learner.until(r"^✗ 1\.\d does not pass yet ")
    learner.type("all")
    learner.until(r"^Checking all rows …$")
    learner.until(r"^ ✓ 1\.6 ")
    learner.until(r"^ ✗ 1\.4 .* \(\d+/\d+\)$")
    learner.type("reset")
    learner.until(rf"^Restored from the starter: {ROUTER}\. Your text is in ")
    assert (directory / parts.KEPT / ROUTER).read_text("utf-8").count("HTTP_200_OK") == 1
    assert learner.quit() == 0


def test_an_unknown_word_is_named(learn: Learn) -> None:
    learner = learn()
    learner.type("dance")
    learner.until(r"^There is no command dance\.$")
    assert learner.quit() == 0
