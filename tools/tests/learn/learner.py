"""A learner at a terminal, or a program at a pipe, with the loop beside them."""

from __future__ import annotations

import errno
import os
import queue
import re
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from course.catalog.stages import ROOT, load_course

FIRST = load_course()[0]
FINISHED = ROOT / FIRST.directory
PATIENCE = 60.0  # seconds: the machine may be busy


class Learner:
    """A directory with a starter, usually of stage 1, and the loop beside it."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        step: str = "1",
        size: tuple[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the loop at a pipe, or at a pseudo-terminal of this size (columns, lines)."""
        self.directory = directory
        self.written = ""  # everything that the loop wrote, unchanged
        command = [sys.executable, "-m", "tools.learn", step, f"--in={directory}", *options]
        settings = os.environ | (environment or {})
        self._terminal: int | None = None
        theirs: int | None = None
        if size is not None:
            self._terminal, theirs = _open_terminal(size)
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=settings, start_new_session=True,
            stdin=subprocess.PIPE if theirs is None else theirs,
            stdout=subprocess.PIPE if theirs is None else theirs, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if theirs is not None:
            os.close(theirs)
        self._lines: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest = b""
        for piece in self._pieces():
            self.written += piece.decode("utf-8", "replace")
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._lines.put(line.decode("utf-8").rstrip("\r"))

    def _pieces(self) -> Iterator[bytes]:
        output = self._process.stdout
        number = output.fileno() if output is not None else self._terminal
        assert number is not None
        while True:
            try:
                piece = os.read(number, 65536)
            except OSError as error:
                if error.errno != errno.EIO:  # a terminal that its last process has left
                    raise
                return
            if not piece:
                return
            yield piece

    def until(self, pattern: str) -> re.Match[str]:
        """Read until a line matches, and return the match."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                line = self._lines.get(timeout=1)
            except queue.Empty:
                assert self._process.poll() is None, self.said
                continue
            self.said.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"no line matches {pattern}: {self.said}")

    def type(self, word: str) -> None:
        """Type a word and Enter; at a terminal press the key of that command."""
        if self._terminal is not None:
            os.write(self._terminal, KEYS.get(word, word).encode())
            return
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        self._process.stdin.flush()

    def save(self, path: str, old: str = "", new: str = "") -> None:
        """Save the finished file, or that file with a mistake."""
        source = (FINISHED / path).read_text(encoding="utf-8")
        assert old in source
        (self.directory / path).write_text(source.replace(old, new), encoding="utf-8")

    def quit(self) -> int:
        """Leave the loop; return its exit code."""
        self.type("quit")
        return self.wait()

    def wait(self) -> int:
        """Return the exit code of the loop when it has ended by itself."""
        return self._process.wait(PATIENCE)

    def end(self) -> int:
        """Ask the loop to end, as a closed terminal does; return its exit code."""
        self._process.terminate()
        code = self._process.wait(PATIENCE)
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None
        return code


# The keys as a learner reads them; a test compares them with the loop's own.
KEYS = {
    "hint": "h",
    "all": "a",
    "list": "i",
    "lesson": "l",
    "compare": "c",
    "reset": "r",
    "quit": "q",
}


def _open_terminal(size: tuple[int, int]) -> tuple[int, int]:
    """Return the two ends of a pseudo-terminal: ours and the one of the loop."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    columns, lines = size
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    return ours, theirs
