"""Shows the loop: on a screen with the rows at a terminal, in plain lines everywhere else."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

WIDTH = 96  # of a paragraph in plain lines
MESSAGE_LINES = 9  # kept free for the failure
FEWEST_ROWS = 3


@dataclass(frozen=True)
class Line:
    """A text, and its look on a screen: a style of rich, such as `bold`."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Board:
    """The state of a stage: its rows, and the current row with its TODOs."""

    head: tuple[str, ...]  # the stage, then the learner's directory and the lesson
    rows: tuple[Line, ...]
    current: int | None  # its place in `rows`; None when all rows have passed
    now: tuple[str, ...]
    keys: str
    count: str = ""


class View(Protocol):
    """The place where the loop shows things."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def board(self, board: Board) -> None:
        """Show the state of the stage; the loop calls this after each change."""

    def show(self, text: str = "", style: str = "") -> None:
        """Show a line, or several."""

    def paragraph(self, text: str) -> None:
        """Show a text that may be long."""

    def begin(self) -> None:
        """Remove the messages about the last save."""

    def busy(self, text: str) -> None:
        """Show that tests run now."""

    def ready(self) -> None:
        """Show that the loop waits for a save or a command."""


class Lines:
    """Plain lines, one after the other: for a pipe, a file, or a terminal without colour."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._greeted = False
        self._told = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def board(self, board: Board) -> None:
        """Print the whole state once, and each new current row."""
        if not self._greeted:
            for text in (*board.head, *(row.text for row in board.rows), board.keys):
                self.show(text)
            self._greeted = True
        if board.now and board.now[0] != self._told:
            self._told = board.now[0]
            for text in ("", *board.now):
                self.show(text)

    def show(self, text: str = "", style: str = "") -> None:  # noqa: ARG002 - no colour
        """Print the text."""
        print(text, file=self._output, flush=True)

    def paragraph(self, text: str) -> None:
        """Print the text in lines that are easy to read."""
        self.show(textwrap.fill(text, WIDTH, subsequent_indent="  "))

    def begin(self) -> None:
        """Keep the lines: nothing can be removed here."""

    def busy(self, text: str) -> None:
        """Print nothing."""

    def ready(self) -> None:
        """Print nothing."""


class Screen:
    """The rows above, the messages about the last save below them, the keys in the last line.

    A long message moves the rows out at the top, so the terminal can scroll back to them.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._messages: list[Line] = []
        self._board: Board | None = None
        # The last line: the keys, or what the loop does at the moment.
        self._last = Live(
            console=console, auto_refresh=False, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._last.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._last.stop()

    def board(self, board: Board) -> None:
        """Draw everything anew when the state has changed."""
        if board != self._board:
            self._board = board
            self._draw()

    def show(self, text: str = "", style: str = "") -> None:
        """Print the text above the last line."""
        self._messages.append(Line(text, style))
        self._print(self._messages[-1])

    def paragraph(self, text: str) -> None:
        """Print the text above the last line; the terminal decides where its lines end."""
        self.show(text)

    def begin(self) -> None:
        """Remove the messages."""
        self._messages.clear()
        self._draw()

    def busy(self, text: str) -> None:
        """Show in the last line what runs now."""
        self._last.update(Text(text, "dim"), refresh=True)

    def ready(self) -> None:
        """Show the keys in the last line."""
        if self._board is not None:
            keys = packed(self._board.keys.split("  "), self._console.width)
            self._last.update(Text(keys, "reverse"), refresh=True)

    def _draw(self) -> None:
        board = self._board
        if board is None:
            return
        self._last.stop()
        with self._console:  # one write, so that nothing flickers
            self._console.clear()
            title = f"{board.head[0]}  {board.count}"
            self._console.print(Text(title, "bold"), no_wrap=True, overflow="ellipsis")
            free = self._console.height - MESSAGE_LINES - len(board.now) - 3
            for row in around(board.rows, board.current, max(free, FEWEST_ROWS)):
                self._console.print(Text(row.text, row.style), no_wrap=True, overflow="ellipsis")
            for number, text in enumerate(("", *board.now)):
                self._print(Line(text, "bold" if number == 1 else ""))
            for message in self._messages:
                self._print(message)
        self._last.start()

    def _print(self, line: Line) -> None:
        text = line.text.lstrip(" ")
        margin = len(line.text) - len(text)
        # A wrapped line begins where its first line begins.
        self._console.print(Padding(Text(text, line.style), (0, 0, 0, margin)))


def packed(words: Sequence[str], width: int) -> str:
    """Return the words in as few lines as they need; no word is divided."""
    lines = [words[0]]
    for word in words[1:]:
        longer = f"{lines[-1]}  {word}"
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def around(rows: Sequence[Line], current: int | None, most: int) -> Sequence[Line]:
    """Return at most so many rows: those around the current one, or the last ones."""
    middle = len(rows) if current is None else current
    first = min(max(middle - most // 2, 0), max(len(rows) - most, 0))
    return rows[first : first + most]


def view_for(output: TextIO) -> View:
    """Return the screen for a terminal with colours, else plain lines."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown")
    if plain or not output.isatty():
        return Lines(output)
    return Screen(Console(file=output, highlight=False, markup=False, emoji=False))
