"""Hints: for each requirement a question, then the concept behind it, then where to read.

`tests/grading/hints.toml` holds them, in English and Russian, and the Russian text of each row.
How far somebody is, is kept in `.grade/hints.json`: a row that fails again gets its next hint, a
row that passes begins anew.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools.course import ROOT
from tools.grade.results import Row

HINTS = ROOT / "tests" / "grading" / "hints.toml"
KINDS = ("question", "concept", "pointer")


@dataclass(frozen=True)
class Hints:
    """What there is to say, by row."""

    rows: dict[str, dict[str, str]]

    def text(self, row_id: str, language: str, default: str) -> str:
        """Return what the row asks for, in this language where it is known."""
        return self.rows.get(row_id, {}).get(f"text_{language}", default)

    def hint(self, row_id: str, number: int, language: str) -> str:
        """Return the first, second or third hint; empty when there is none."""
        kind = KINDS[min(max(number, 1), len(KINDS)) - 1]
        suffix = "" if language == "en" else f"_{language}"
        return self.rows.get(row_id, {}).get(kind + suffix, "")


def load_hints(file: Path = HINTS) -> Hints:
    """Return the hints; none where the file is not there."""
    return Hints(tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {})


def next_hints(rows: Iterable[Row], directory: Path, *, forward: bool = True) -> dict[str, int]:
    """Return which hint each failing row gets now, and remember it; 1 is the first.

    Without `forward` nobody gets a further one. A state that cannot be read or kept is none.
    """
    file = directory / ".grade" / "hints.json"
    try:
        before = {str(row_id): int(n) for row_id, n in json.loads(file.read_text("utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        before = {}
    now = dict(before)
    for row in rows:
        if row.status == "fail":
            now[row.id] = (
                min(before.get(row.id, 0) + 1, len(KINDS)) if forward else before.get(row.id, 1)
            )
        elif row.status == "pass":
            now.pop(row.id, None)
    try:
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    except OSError:
        pass  # a hint is not worth a failure
    return now
