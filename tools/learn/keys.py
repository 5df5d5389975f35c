"""Reads the learner's commands: single keys in a terminal, one word a line in a pipe."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

BY_KEY = {
    "h": "hint",
    "a": "all",
    "i": "list",
    "l": "lesson",
    "c": "compare",
    "r": "reset",
    "q": "quit",
}


@contextmanager
def typed(events: queue.Queue[str]) -> Iterator[bool]:
    """Put each command into the queue while the block runs; yield whether single keys work.

    The end of the input is not a command, so in a pipe the loop continues.
    """
    with _single_keys() as by_key:
        reader = _read_keys if by_key else _read_lines
        threading.Thread(target=reader, args=[events], daemon=True).start()
        yield by_key


def _read_lines(events: queue.Queue[str]) -> None:
    for line in sys.stdin:
        if word := line.strip().lower():
            events.put(word)


def _read_keys(events: queue.Queue[str]) -> None:
    while key := sys.stdin.read(1):
        if command := BY_KEY.get(key.lower()):
            events.put(command)


@contextmanager
def _single_keys() -> Iterator[bool]:
    """Accept keys without Enter if standard input is a terminal on Linux or macOS."""
    if not sys.stdin.isatty() or sys.platform == "win32":
        yield False
        return
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield True
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
