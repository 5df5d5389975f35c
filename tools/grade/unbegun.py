"""Finds requirements that a learner has not begun: all their TODOs of the starter are still there.

A server shows that only by answering 501. Without the fields of a schema it answers 422, and
without a guard 200; only the source shows that these are not mistakes. A solution
without these marks has begun every requirement.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from course.catalog.parts import read_parts, runtime_of
from course.catalog.stages import Stage


def not_begun(solution: Path, stage: Stage) -> set[str]:
    """Return the rows whose parts in the starter are all still to do."""
    parts = read_parts(stage, runtime_of(solution))
    todos = Counter((part.path, part.rows) for part in parts for _ in part.names or (part.path,))
    left: set[str] = set()
    begun: set[str] = set()
    for part in parts:
        wanted = todos[part.path, part.rows]
        is_left = _text(solution / part.path).count(part.mark) >= wanted
        (left if is_left else begun).update(part.rows)
    return left - begun


def _text(file: Path) -> str:
    """Return the text of a file, or an empty text if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
