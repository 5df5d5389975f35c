"""The screen of the loop: rows, failure and keys fit, in any size and in both languages."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest
from rich.console import Console

from course.catalog.requirements import load_requirements
from course.catalog.stages import load_course
from tools.grade import words as grade_words
from tools.learn.keys import BY_KEY
from tools.learn.parts import rows_in_order
from tools.learn.screen import Board, Line, Lines, Screen, around, view_for
from tools.learn.starter import COMMANDS
from tools.learn.state import State, write_state
from tools.learn.words import say
from tools.tests.learn.learner import PATIENCE, Learner

SIZES = [(80, 24), (60, 20), (40, 16), (120, 50)]
KEYS = "keys: " + "  ".join(f"{key} {command}" for key, command in BY_KEY.items())
FAILURE = [
    ("✗ 3.1 does not pass yet (5 of 6 tests, 2.1 s)", "red"),
    ("  must hold: a second user of one name gets 409", ""),
    ('  sent: POST /auth/register {"username": "ada", "password": "correct horse"}', ""),
    ("  expected: 409 Conflict", ""),
    ("  got: 500 Internal Server Error", ""),
    ("  exception: IntegrityError\n    app/auth/service.py:53: await self._session.flush()", ""),
]
ROUTER, SCHEMAS, SERVICE = (f"app/todos/{name}.py" for name in ("router", "schemas", "service"))
Learn = Callable[..., Learner]

each_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
needs_a_pseudo_terminal = pytest.mark.skipif(
    sys.platform == "win32", reason="not checked: needs a pseudo-terminal"
)


def shown_in(written: str, size: tuple[int, int]) -> list[str]:
    """Return the lines that a terminal of this size shows."""
    screen = pyte.Screen(*size)
    pyte.Stream(screen).feed(written)
    return [line.rstrip() for line in screen.display]


def board_of(number: int, current: int | None = 0) -> Board:
    """Return the board of a stage in which nothing is begun."""
    texts = {row.id: row.text for row in load_requirements()}
    rows = [
        f" · {row}  to do      {texts[row]}" for row in rows_in_order(load_course()[number - 1])
    ]
    now = (
        ["Now: 3.1 Registration", "  Write: app/auth/service.py:41"] if current is not None else []
    )
    return Board(
        head=("Stage 3: Users who sign in", "Your directory: x", "The lesson: y"),
        rows=tuple(Line(row, "dim") for row in rows),
        current=current,
        now=tuple(now),
        keys=KEYS,
        count=f"0/{len(rows)}",
    )


class Terminal:
    """A screen of this size, and what it shows."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self._output = io.StringIO()
        console = Console(
            file=self._output, width=size[0], height=size[1], force_terminal=True,
            color_system="standard", highlight=False, markup=False, emoji=False,
        )  # fmt: skip
        self.screen = Screen(console)

    @property
    def shown(self) -> list[str]:
        """The lines that a terminal shows, with the line ends of a terminal."""
        return shown_in(self._output.getvalue().replace("\n", "\r\n"), self.size)

    @property
    def words(self) -> str:
        """The shown words, wherever a line ends."""
        return " ".join(" ".join(self.shown).split())


@each_size
@pytest.mark.parametrize("number", range(1, 9))
def test_a_failure_and_the_keys_are_shown_in_any_size(size: tuple[int, int], number: int) -> None:
    terminal = Terminal(size)
    with terminal.screen as screen:
        screen.board(board_of(number))
        screen.begin()
        screen.busy("Checking …")
        assert "Checking …" in terminal.shown
        for text, style in FAILURE:
            screen.show(text, style)
        screen.board(board_of(number))
        screen.ready()
        words = terminal.words
        for said in (
            "expected: 409 Conflict",
            "got: 500",
            "app/auth/service.py:53",
            *BY_KEY.values(),
        ):
            assert said in words
        assert "Checking …" not in words
        last = [line for line in terminal.shown if line][-1]
        assert last.endswith("q quit")
        if size[1] >= 24:
            assert terminal.shown[0].startswith("Stage 3: Users who sign in")
            assert "Now: 3.1 Registration" in terminal.shown
            assert "  Write: app/auth/service.py:41" in terminal.shown


def test_all_rows_are_shown_where_they_fit() -> None:
    for number in range(1, 9):
        terminal = Terminal((80, 24))
        board = board_of(number)
        with terminal.screen as screen:
            screen.board(board)
            screen.ready()
            texts = [row.text for row in board.rows]
            fitted = [text if len(text) <= 80 else f"{text[:79]}…" for text in texts]
            assert terminal.shown[1 : 1 + len(texts)] == fitted


def test_a_row_that_is_too_long_ends_with_three_dots() -> None:
    terminal = Terminal((30, 24))
    with terminal.screen as screen:
        screen.board(board_of(3))
        assert all(line.endswith("…") for line in terminal.shown[1:5])


def test_messages_end_with_the_next_save_and_stay_with_a_new_board() -> None:
    terminal = Terminal((80, 24))
    with terminal.screen as screen:
        screen.board(board_of(1))
        screen.show("✓ 1.6 passes (1.0 s)", "green")
        screen.board(board_of(1, current=1))
        assert "✓ 1.6 passes (1.0 s)" in terminal.shown
        screen.begin()
        assert "✓ 1.6 passes (1.0 s)" not in terminal.shown


def test_the_end_of_the_loop_removes_the_keys_and_leaves_the_messages() -> None:
    terminal = Terminal((80, 24))
    with terminal.screen as screen:
        screen.board(board_of(1, current=None))
        screen.ready()
        screen.show("All rows of stage 1 pass.", "bold green")
    assert "All rows of stage 1 pass." in terminal.shown
    assert "q quit" not in terminal.words


@pytest.mark.parametrize(
    ("current", "most", "expected"),
    [
        (0, 3, "abc"),
        (2, 3, "bcd"),
        (6, 3, "efg"),
        (None, 3, "efg"),
        (3, 7, "abcdefg"),
        (3, 9, "abcdefg"),
    ],
)
def test_the_rows_around_the_current_one_are_chosen(
    current: int | None, most: int, expected: str
) -> None:
    rows = [Line(letter) for letter in "abcdefg"]
    assert "".join(row.text for row in around(rows, current, most)) == expected


@pytest.mark.parametrize(
    "setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}], ids=["NO_COLOR", "TERM=dumb", "pipe"]
)
def test_plain_lines_are_chosen_without_colour_and_in_a_pipe(
    setting: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    output = io.StringIO()
    output.isatty = lambda: bool(setting)  # type: ignore[method-assign]
    assert isinstance(view_for(output), Lines)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    output.isatty = lambda: True  # type: ignore[method-assign]
    assert isinstance(view_for(output), Screen)


@needs_a_pseudo_terminal
@pytest.mark.parametrize(
    ("language", "size"), [("en", (80, 24)), ("ru", (60, 20))], ids=["en", "ru"]
)
def test_a_learner_at_a_terminal_sees_the_failure_and_then_the_next_row(
    learn: Learn, directory: Path, language: str, size: tuple[int, int]
) -> None:
    passed = [row for row in rows_in_order(load_course()[0]) if row != "1.4"]
    write_state(directory, State(1, COMMANDS["python"], language, passed))
    learner = learn(f"--lang={language}", size=size, environment={"TERM": "xterm-256color"})

    def until(pattern: str) -> str:
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, shown := "\n".join(shown_in(learner.written, size)), re.M):
            assert time.monotonic() < deadline, f"no line matches {pattern}:\n{shown}"
            time.sleep(0.1)
        return shown

    expected, got = say_both(language)
    until(r"^ > 1\.4 ")
    until(rf"{ROUTER}:\d+")
    until(r"q quit$")
    learner.save(SCHEMAS)
    learner.save(SERVICE)
    learner.save(ROUTER, "HTTP_204_NO_CONTENT", "HTTP_200_OK")
    until(rf"^✗ 1\.4\W(.|\n)*^  {expected}: 204 (.|\n)*^  {got}: 200 ")
    learner.type("hint")
    until(rf"^{say('hint', language)} 1/\d: ")
    learner.save(ROUTER)
    until(
        say(
            "All rows of stage {number} pass. Next: python3 noxfile.py learn {next}",
            language,
            number=1,
            next=2,
        )[:40]
    )
    assert learner.wait() == 0
    assert learner.written.rindex("\x1b[?25h") > learner.written.rindex("\x1b[?25l")  # the cursor
    assert "7/7" in shown_in(learner.written, size)[0] or size[1] < 24


def say_both(language: str) -> tuple[str, str]:
    """Return the titles of the expected and the actual answer."""
    return grade_words.say("expected", language), grade_words.say("got", language)


@needs_a_pseudo_terminal
def test_a_terminal_without_colour_shows_the_lines_of_a_pipe(learn: Learn, directory: Path) -> None:
    said = []
    for how in ({}, {"size": (80, 24), "environment": {"TERM": "dumb"}}):
        learner = learn(**how)
        learner.until(r"^  Write: .*:31$")
        learner.type("hint")
        learner.until(r"^hint 1/")
        learner.type("list")
        learner.until(r"^ · 1\.4 ")
        assert learner.quit() == 0
        assert "\x1b" not in learner.written
        said.append([line for line in learner.said if not line.startswith("keys: ")])
        (directory / ".learn.json").unlink()
    assert said[0] == said[1]
