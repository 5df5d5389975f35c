"""Hints: for each requirement a question, then the concept behind it, then where to read.

`tests/grading/hints.toml` holds them, in English and Russian, and the Russian text of each row.
How far somebody is, is kept in `.grade/hints.json`: a row gets its next hint when it fails in
another way than when the last one was shown, so that looking twice uses none up. A row that passes
begins anew, and one that a starter still leaves to do gets none.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools.course import ROOT, load_course
from tools.grade.results import Row

HINTS = ROOT / "tests" / "grading" / "hints.toml"
KINDS = ("question", "concept", "pointer")

# What `app/unfinished.py` of a starter answers.
_TO_DO = re.compile(r"^→ 501$.*\"TODO ([\w., ]+):", re.MULTILINE | re.DOTALL)
_ANSWERED = re.compile(r"^→ .*", re.MULTILINE)


@dataclass(frozen=True)
class Hints:
    """What there is to say, by row."""

    rows: dict[str, dict[str, str]]

    def text(self, row_id: str, language: str, default: str) -> str:
        """Return what the row asks for, in this language where it is known."""
        return self.rows.get(row_id, {}).get(f"text_{language}", default)

    def titles(self, language: str) -> dict[int, str]:
        """Return the titles of the stages in this language."""
        translated = self.rows.get(f"titles_{language}", {})
        return {one.number: translated.get(str(one.number), one.title) for one in load_course()}

    def hint(self, row_id: str, number: int, language: str) -> str:
        """Return the first, second or third hint; empty when there is none."""
        kind = KINDS[min(max(number, 1), len(KINDS)) - 1]
        suffix = "" if language == "en" else f"_{language}"
        return self.rows.get(row_id, {}).get(kind + suffix, "")


def load_hints(file: Path = HINTS) -> Hints:
    """Return the hints; none where the file is not there."""
    return Hints(tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {})


def left_to_do(row: Row) -> str:
    """Return the TODO of a starter that a row meets first; empty when it has been begun."""
    found = _TO_DO.search(row.failures[0].exchange) if row.failures else None
    return found[1] if found else ""


def next_hints(rows: Iterable[Row], directory: Path, *, forward: bool = True) -> dict[str, int]:
    """Return which hint each failing row gets now, and remember it; 1 is the first.

    Without `forward` nobody gets a further one. A state that cannot be read or kept is none.
    """
    file = directory / ".grade" / "hints.json"
    shown = _read_shown(file)
    for row in rows:
        if row.status == "pass":
            shown.pop(row.id, None)
        elif row.status == "fail" and not left_to_do(row):
            number, at = shown.get(row.id, (0, ""))
            if number == 0 or (forward and at != _way_of_failing(row)):
                shown[row.id] = (min(number + 1, len(KINDS)), _way_of_failing(row))
    try:
        file.parent.mkdir(exist_ok=True)
        kept = {row_id: {"hint": number, "at": at} for row_id, (number, at) in shown.items()}
        file.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    except OSError:
        pass  # a hint is not worth a failure
    return {row_id: number for row_id, (number, _) in shown.items()}


def _read_shown(file: Path) -> dict[str, tuple[int, str]]:
    try:
        kept = json.loads(file.read_text("utf-8"))
        return {row_id: (int(row["hint"]), str(row["at"])) for row_id, row in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return {}


def _way_of_failing(row: Row) -> str:
    """Return which tests fail, and by which status: ids and times in an answer always differ."""
    ways = {f"{failure.test} {_ANSWERED.findall(failure.exchange)}" for failure in row.failures}
    return hashlib.sha256("\n".join(sorted(ways)).encode()).hexdigest()[:16]
