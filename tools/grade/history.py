"""Stores the last grade of a solution in `.grade/last.json` and reports the changes since then.

The file holds the last grade of each stage and kind of check, in the directory where the command
runs. Only grades of the same solution are compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tools.grade.results import Change, Grade

FILE = Path(".grade", "last.json")


def with_changes(grade: Grade, solution: str, look: str, directory: Path) -> Grade:
    """Return the grade with the changes since the last one, and store this one.

    A grade without results is not stored. A file that cannot be read or written is ignored.
    """
    file = directory / FILE
    kept = _read(file)
    name = f"stage {grade.stage}, {look}"
    last = kept.get(name, {})
    before = last.get("rows") if last.get("solution") == solution else None
    if grade.score.checkable:
        rows = {row.id: {"status": row.word, "failing": row.failing} for row in grade.rows}
        kept[name] = {"solution": solution, "rows": rows}
        _write(file, kept)
    if not isinstance(before, dict) or not grade.score.checkable:
        return grade
    return replace(grade, changes=tuple(_changes(grade, before)))


def failing_last(stage: int, solution: str, look: str, directory: Path) -> dict[str, int]:
    """Return the rows in work when this solution was last graded, and how many tests failed."""
    last = _read(directory / FILE).get(f"stage {stage}, {look}", {})
    rows = last.get("rows")
    if last.get("solution") != solution or not isinstance(rows, dict):
        return {}
    results = {row: _result(kept) for row, kept in rows.items()}
    return {row: failing for row, (status, failing) in results.items() if status == "fail"}


def _changes(grade: Grade, before: Mapping[str, Any]) -> list[Change]:
    found = []
    for row in grade.rows:
        status, failing = _result(before.get(row.id))
        now = row.word
        if status and (status != now or (now == "fail" and failing != row.failing)):
            found.append(Change(row.id, status, failing, now, row.failing))
    return found


def _result(kept: Any) -> tuple[str, int]:
    """Return the file's entry of a row; empty if it has none that we understand."""
    match kept:
        case {"status": str(status), "failing": int(failing)}:
            return status, failing
    return "", 0


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {name: value for name, value in kept.items() if isinstance(value, dict)}


def _write(file: Path, kept: Mapping[str, Any]) -> None:
    try:
        file.parent.mkdir(exist_ok=True)
        text = json.dumps(kept, ensure_ascii=False, indent=1) + "\n"
        file.write_text(text, encoding="utf-8")
    except OSError:
        pass  # a missing comparison must not fail the grade
