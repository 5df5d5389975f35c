"""Shows the progress of a grade: the requirement, and the number of finished tests.

On a terminal it is one line that is overwritten, otherwise a new line from time to time. It reads
the file to which pytest writes each result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from course.catalog.requirements import Requirement
from tools.grade.words import say, tell

EVERY = 5.0  # seconds between two lines outside of a terminal
WIDTH = 78
_ERASE = "\r\x1b[K"


class Progress:
    """Follows one run of the suites and reports on `stream`; without a stream it is silent."""

    def __init__(
        self, rows: Sequence[Requirement], stream: TextIO | None, language: str = "en"
    ) -> None:
        self._rows = {test: row for row in reversed(rows) for test in row.tests}
        self._tests = {row.id: set(row.tests) for row in rows}
        self._stream = stream
        self._language = language
        self._is_terminal = stream is not None and stream.isatty()
        self._read_to = 0
        self._told_at = time.monotonic()
        self._is_shown = False
        self._chosen: set[str] = set()
        self._ended: dict[str, str] = {}
        self._first: dict[str, int] = {}
        self._first_tests: set[str] = set()

    def look_first_at(self, failing: Mapping[str, int]) -> None:
        """Report the results of these rows when they are finished, with their earlier failures."""
        self._first = dict(failing)

    def say(self, line: str) -> None:
        """Print a permanent line."""
        if self._stream is not None:
            self._erase()
            print(line, file=self._stream, flush=True)

    def follow(self, events: Path) -> None:
        """Read new results and show the progress."""
        if self._stream is None:
            return
        with events.open("rb") as lines:
            lines.seek(self._read_to)
            new = lines.read()
        whole = new[: new.rfind(b"\n") + 1]  # the last line may be half written
        self._read_to += len(whole)
        current = ""
        for line in whole.splitlines():
            current = self._take(json.loads(line)) or current
        if current:
            self._show(current)

    def end(self) -> None:
        """Remove the overwritten line."""
        self._erase()

    def _take(self, event: Mapping[str, Any]) -> str:
        """Handle one event; return the test that it starts, if any."""
        match event["event"]:
            case "chosen":
                self._chosen = set(event["chosen"])
                grading = self._chosen - set(event.get("craft", ()))
                self._first_tests = {
                    test for name in self._first for test in self._of(name, grading)
                }
            case "outcome":
                self._ended[event["test"]] = event["verdict"]
                if self._first_tests and self._first_tests <= self._ended.keys():
                    self._tell_first()
            case "began":
                return str(event["test"])
        return ""

    def _show(self, test: str) -> None:
        row = self._rows.get(test.partition("[")[0])
        what = f"{row.id} {row.text}" if row else ""
        of = say("of", self._language)
        count = f"{len(self._ended)} {of} {len(self._chosen)} {say('tests', self._language)}"
        line = f"{count}, {what}" if what else count
        if self._is_terminal and self._stream is not None:
            self._stream.write(f"{_ERASE}{line[:WIDTH]}")
            self._stream.flush()
            self._is_shown = True
        elif time.monotonic() - self._told_at >= EVERY:
            self._told_at = time.monotonic()
            self.say(line)

    def _tell_first(self) -> None:
        """Report the rows that were checked first."""
        told = []
        for name, before in self._first.items():
            tests = self._of(name, self._first_tests)
            failing = sum(self._ended[test] == "failed" for test in tests)
            told.append(self._of_row(name, before, failing))
        self._first_tests = set()
        self.say(f"{say('These rows now', self._language)}: {', '.join(told)}")
        self.say(f"{say('Checking the other rows', self._language)} …")

    def _of(self, row: str, tests: Iterable[str]) -> list[str]:
        """Return the tests of a row."""
        of_row = self._tests.get(row, set())
        return [test for test in tests if test.partition("[")[0] in of_row]

    def _of_row(self, name: str, before: int, failing: int) -> str:
        if not failing:
            return f"{name} {say('passes so far', self._language)}"
        counts = {"before": before, "failing": failing}
        return f"{name} {tell('{before} → {failing} failing', self._language, **counts)}"

    def _erase(self) -> None:
        if self._is_shown and self._stream is not None:
            self._stream.write(_ERASE)
            self._stream.flush()
            self._is_shown = False
