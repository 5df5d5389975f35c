"""Hints: one for the failed test, then a question, the concept and a place to read for its row.

`tools/grade/test-hints.toml` holds one for each contract test. `tools/grade/hints.toml` holds those
of the requirements, and the Russian texts of the rows. All hints are in English and Russian.
`.grade/hints.json` stores the number of the last hint of each row. A row gets its next hint when it
fails in another way than before, so a second look uses up no hint. A row that passes starts again,
and a row that is still to do gets no hint.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course.catalog.stages import load_course
from tools.grade.outcomes import Outcome
from tools.grade.results import Row
from tools.grade.words import LANGUAGES, say

HINTS = Path(__file__).with_name("hints.toml")
TEST_HINTS = Path(__file__).with_name("test-hints.toml")
KINDS = ("question", "concept", "pointer")

_ANSWERED = re.compile(r"^→ .*", re.MULTILINE)


@dataclass(frozen=True)
class Hints:
    """The hints by row and by test."""

    rows: dict[str, dict[str, str]]
    tests: Mapping[str, dict[str, str]] = field(default_factory=dict)

    def text(self, row_id: str, language: str, default: str) -> str:
        """Return the text of the row, in this language if there is one."""
        return self.rows.get(row_id, {}).get(f"text_{language}", default)

    def titles(self, language: str) -> dict[int, str]:
        """Return the titles of the stages in this language."""
        translated = self.rows.get(f"titles_{language}", {})
        return {one.number: translated.get(str(one.number), one.title) for one in load_course()}

    def hint(self, row_id: str, number: int, language: str) -> str:
        """Return the first, second or third hint, or an empty text."""
        kind = KINDS[min(max(number, 1), len(KINDS)) - 1]
        suffix = "" if language == "en" else f"_{language}"
        return self.rows.get(row_id, {}).get(kind + suffix, "")

    def of_test(self, outcome: Outcome, language: str) -> str:
        """Return the hint for one test: the line that raised an exception, or the test's hint."""
        if outcome.place:
            return f"{say('Your code raised an exception: start at', language)} {outcome.place}"
        return self.tests.get(name_of_test(outcome.function), {}).get(language, "")


def name_of_test(function: str) -> str:
    """Return the name of a test in the file of hints: `stage01/test_list.py::test_pages`."""
    return function.removeprefix("tests/")


def load_hints(file: Path = HINTS, tests: Path = TEST_HINTS) -> Hints:
    """Return the hints; none if a file is missing."""
    return Hints(_read(file), load_test_hints(tests))


def load_test_hints(file: Path = TEST_HINTS) -> dict[str, dict[str, str]]:
    """Return the texts of each test by language."""
    return {
        f"{place}::test_{test}": {language: hint[language] for language in LANGUAGES}
        for place, hints in _read(file).items()
        for hint in hints
        for test in hint["tests"]
    }


def _read(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def next_hints(rows: Iterable[Row], directory: Path, *, forward: bool = True) -> dict[str, int]:
    """Return the number of the hint for each failing row, from 1 on, and store it.

    Without `forward` the numbers stay. A state that cannot be read or written is ignored.
    """
    file = directory / ".grade" / "hints.json"
    shown = _read_shown(file)
    for row in rows:
        if row.status == "pass":
            shown.pop(row.id, None)
        elif row.in_work:
            number, at = shown.get(row.id, (0, ""))
            if number == 0 or (forward and at != _way_of_failing(row)):
                shown[row.id] = (min(number + 1, len(KINDS)), _way_of_failing(row))
    try:
        file.parent.mkdir(exist_ok=True)
        kept = {row_id: {"hint": number, "at": at} for row_id, (number, at) in shown.items()}
        file.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    except OSError:
        pass  # a missing hint must not fail the grade
    return {row_id: number for row_id, (number, _) in shown.items()}


def _read_shown(file: Path) -> dict[str, tuple[int, str]]:
    try:
        kept = json.loads(file.read_text("utf-8"))
        return {row_id: (int(row["hint"]), str(row["at"])) for row_id, row in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return {}


def _way_of_failing(row: Row) -> str:
    """Return the failing tests with their statuses; ids and times in answers differ each time."""
    ways = {f"{failure.test} {_ANSWERED.findall(failure.exchange)}" for failure in row.failures}
    return hashlib.sha256("\n".join(sorted(ways)).encode()).hexdigest()[:16]
