"""Plays a learner: starts the loop at a pipe, types words, saves parts, and notes the times."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from course.catalog.parts import read_parts
from course.catalog.stages import ROOT, Stage, load_course
from tools.learn.parts import put_back
from tools.learn.starter import make_starter

PATIENCE = 600.0  # seconds for one line: the machine may be busy


class NotSaid(Exception):
    """The loop did not print an expected line."""


class Player:
    """A loop that runs, and the lines that it has printed, each with its time."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.lines: list[tuple[float, str]] = []  # seconds since the start
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.learn", *arguments],
            cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._new: queue.Queue[tuple[float, str]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        for line in self._process.stdout:
            self._new.put((self.now, line.decode("utf-8").rstrip("\r\n")))

    def until(self, pattern: str, patience: float = PATIENCE) -> float:
        """Read until a line matches; return its time. Raises `NotSaid`."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                at, line = self._new.get(timeout=1)
            except queue.Empty:
                if self._process.poll() is not None:
                    break
                continue
            self.lines.append((at, line))
            if re.search(pattern, line):
                return at
        said = "\n".join(line for _, line in self.lines)
        raise NotSaid(f"no line matches {pattern}:\n{said}")

    def does(self, action: str) -> None:
        """Note an action of the learner among the lines."""
        self.lines.append((self.now, f"> {action}"))

    def type(self, word: str) -> None:
        """Type a word and Enter."""
        self.does(word)
        if self._process.stdin is not None:
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()


class Writer:
    """Writes the parts of a stage as the finished stage has them, some of them at a time."""

    def __init__(self, stage: Stage, directory: Path, fresh: Path) -> None:
        """Make a starter in `fresh`, to compare with."""
        make_starter(load_course(), stage, fresh)
        self._stage = stage
        self._directory = directory
        self._fresh = fresh
        self._left = {(part.path, name) for part in read_parts(stage) for name in part.names}

    def write(self, path: str, *names: str, old: str = "", new: str = "") -> None:
        """Save the file with these parts finished, or with a mistake; without names all of it."""
        finished = (ROOT / self._stage.directory / path).read_text(encoding="utf-8")
        for name in names or [name for at, name in self._left if at == path]:
            self._left.discard((path, name))
        left = [name for at, name in sorted(self._left) if at == path]
        starter = (self._fresh / path).read_text(encoding="utf-8")
        text = put_back(finished, starter, left, path) if left else finished
        if old not in text:
            raise ValueError(f"{path} has no {old!r}")
        (self._directory / path).write_text(text.replace(old, new, 1), encoding="utf-8")
