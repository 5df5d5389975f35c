"""The output in the terminal: a table of the processes, and all logs, each line with a prefix."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from tools.stack.part import Part

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92)  # of ECMA-48, 8.3.117
_LONGEST_READ = 1 << 20  # bytes at a time


class Log:
    """Reads new lines at the end of one log file."""

    def __init__(self, part: Part) -> None:
        self.name = part.name
        self._file = part.process.log_file
        self._read = 0

    def new_lines(self) -> list[str]:
        """Return the lines that were completed since the last call."""
        try:
            with self._file.open("rb") as file:
                file.seek(self._read)
                data = file.read(_LONGEST_READ)
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode("utf-8", errors="replace").splitlines()


class Terminal:
    """Prints to standard output, and into a file; raises `OSError` when the output is closed."""

    def __init__(self, parts: Iterable[Part], log_file: Path) -> None:
        # Line by line, so a crash of this process loses none.
        self._file = log_file.open("w", encoding="utf-8", buffering=1)
        self._parts = list(parts)
        self._logs = [Log(part) for part in self._parts]
        self._width = max(len(part.name) for part in self._parts)
        # https://no-color.org
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def show_table(self, *, relative_to: Path) -> None:
        """Print process id, address and log file of each part."""
        rows = [("what", "pid", "where", "log")]
        for part in self._parts:
            log = Path(os.path.relpath(part.process.log_file, relative_to))
            rows.append((part.name, str(part.process.pid), part.address, str(log)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print("  ".join(cells).rstrip())
        print(flush=True)

    def show_new_lines(self) -> None:
        """Print new lines of the parts' logs."""
        for number, log in enumerate(self._logs):
            for line in log.new_lines():
                self._print(log.name, number, line)
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Print a line of the stack itself."""
        time = datetime.now().astimezone().strftime("%H:%M:%S")
        self._print("stack", -1, f"{time} {text}")
        sys.stdout.flush()

    def _print(self, name: str, number: int, line: str) -> None:
        prefix = f"{name:<{self._width}} | "
        self._file.write(f"{prefix}{line}\n")
        if self._coloured:
            colour = _COLOURS[number % len(_COLOURS)] if number >= 0 else 1
            prefix = f"\033[{colour}m{prefix}\033[0m"
        print(f"{prefix}{line}")
