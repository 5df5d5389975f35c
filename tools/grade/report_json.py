"""The report as JSON, for programs: `schema` changes when a field changes its meaning."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from tools.grade.results import Grade, Row, Score

SCHEMA = 1


def content(grade: Grade) -> dict[str, Any]:
    """Return the data of the report."""
    return {
        "schema": SCHEMA,
        "stage": grade.stage,
        "requirements": [_row(row) for row in grade.rows],
        "summary": asdict(grade.score)
        | {
            "server": grade.server,
            "exit_code": grade.exit_code,
            "problem": grade.problem or None,
            "seconds": round(grade.seconds, 1),
            "stages": {str(n): asdict(Score.of(rows)) for n, rows in grade.stages().items()},
            "regressions": [row.id for row in grade.regressions()],
            "notes": list(grade.notes),
            "suggestions": len(grade.suggestions()),
            "in_work": dict(zip(("passed", "run"), grade.tests_in_work, strict=True)),
            "changes": None if grade.changes is None else [asdict(one) for one in grade.changes],
        },
    }


def render(grade: Grade) -> str:
    """Return the file's text."""
    return json.dumps(content(grade), ensure_ascii=False, indent=2) + "\n"


def _row(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "stage": row.stage,
        "text": row.text,
        "reason": row.reason or None,
        "blocked_by": row.blocked_by or None,
        "waiting_for": row.waiting_for or None,
        "todo": row.todo or None,
        "hint": row.hint or None,
        "tests": {"run": row.run, "of": row.of, "failed": row.failing},
        "failures": [asdict(failure) for failure in row.failures],
        "suggestions": [asdict(suggestion) for suggestion in row.suggestions],
    }
