"""Grades many solutions one after another and makes one matrix: learner × requirement.

The roster is a CSV file. Its first line has the names `name`, `base_url` or `cmd` (and `cwd`), and
perhaps `profile`. Its paths are relative to the roster. A solution that cannot be graded also has a
line in the matrix.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from course.catalog.stages import CourseError
from tools.grade.options import Subject, make_subject
from tools.grade.results import Grade

_COLUMNS = {"name", "base_url", "cmd", "cwd", "profile"}


@dataclass(frozen=True)
class Learner:
    """A line of the roster: `problem` says why there is no solution to grade."""

    name: str
    subject: Subject | None
    problem: str = ""


def read_roster(file: Path) -> list[Learner]:
    """Return the learners; raise `CourseError` if the file is not a roster."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"{file}: {error}") from error
    if not rows:
        raise CourseError(f"{file}: the roster has no learners: add a line for each")
    named = {name for name in rows[0] if name is not None}
    if unknown := sorted(named - _COLUMNS):
        raise CourseError(f"{file}: unknown column {unknown[0]!r}")
    if "name" not in named:
        raise CourseError(f"{file}: it needs a column `name`")
    return [_learner(row, file.parent) for row in rows]


def _learner(row: dict[str, str | None], directory: Path) -> Learner:
    def cell(name: str) -> str:
        value = row.get(name)
        return value.strip() if isinstance(value, str) else ""

    def path(name: str) -> Path | None:
        return directory / cell(name) if cell(name) else None

    try:
        cwd = (path("cwd") or directory) if cell("cmd") else None
        subject = make_subject(cell("base_url"), cell("cmd"), cwd, path("profile"))
    except CourseError as error:
        return Learner(cell("name"), None, str(error))
    return Learner(cell("name"), subject)


def matrix_csv(learners: Sequence[tuple[str, Grade]]) -> str:
    """Return the matrix; no cell of it is a formula for a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ids = [row.id for row in learners[0][1].rows] if learners else []
    writer.writerow(["name", "earned", "checkable", "total", *ids, "problem"])
    for name, grade in learners:
        score = grade.score
        counts = [score.earned, score.checkable, score.total]
        statuses = [row.status for row in grade.rows]
        problem = " ".join(grade.problem.split())
        writer.writerow([_no_formula(name), *counts, *statuses, _no_formula(problem)])
    return text.getvalue()


def _no_formula(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
