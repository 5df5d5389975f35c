"""The points of each requirement, and when a platform shows it: `--weights FILE`.

    [points]
    1 = 20                      # a stage: shared among its rows that are not named here
    3 = 70
    "3.5" = 10                  # a row

    [visibility]                # Gradescope's words, and CodeRunner's hidden rows
    default = "visible"
    1 = "hidden"
    "3.6" = "after_due_date"

A whole number is divided into whole numbers if it is large enough. A row's points never depend on
other rows' results. With a file, rows that it does not name have no points; without a file each row
has one.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from course.catalog.stages import CourseError
from tools.grade.results import CHECKABLE, Grade, Row

VISIBILITIES = ("visible", "hidden", "after_due_date", "after_published")


@dataclass(frozen=True)
class Weights:
    """Points and visibility by row or stage; `points` is None without a file."""

    points: Mapping[str, float] | None = None
    visibility: Mapping[str, str] = field(default_factory=dict)

    def of(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return the points of each row."""
        if self.points is None:
            return {row.id: 1 for row in rows}
        points = {row.id: self.points.get(row.id, 0) for row in rows}
        for number in {row.stage for row in rows}:
            unnamed = [r.id for r in rows if r.stage == number and r.id not in self.points]
            shares = shared(self.points.get(str(number), 0), len(unnamed))
            points |= dict(zip(unnamed, shares, strict=True))
        return points

    def shown(self, row: Row) -> str:
        """Return when a platform shows the row."""
        default = self.visibility.get("default", VISIBILITIES[0])
        return self.visibility.get(row.id, self.visibility.get(str(row.stage), default))


@dataclass(frozen=True)
class Points:
    """The earned points and the possible points of a solution, row by row."""

    most: Mapping[str, float]
    earned: Mapping[str, float]

    @property
    def total(self) -> float:
        """The sum that was earned."""
        return rounded(math.fsum(self.earned.values()))

    @property
    def of(self) -> float:
        """The sum that could be earned."""
        return rounded(math.fsum(self.most.values()))

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return self.total / self.of if self.of else 0.0


def points_of(grade: Grade, weights: Weights) -> Points:
    """Return the points of a grade, without rows that could not be checked."""
    worth = weights.of(grade.rows)
    most = {row.id: worth[row.id] for row in grade.rows if row.status in CHECKABLE}
    passed = {row.id for row in grade.rows if row.status == "pass"}
    return Points(most, {row: most[row] if row in passed else 0 for row in most})


def shared(points: float, count: int) -> list[float]:
    """Return the points in equal shares: whole numbers if each gets at least one."""
    if count == 0:
        return []
    if float(points).is_integer() and points >= count:
        share, rest = divmod(int(points), count)
        return [share + (number < rest) for number in range(count)]
    return [points / count] * count


def rounded(points: float) -> float:
    """Return a whole number if it differs from one only in the last bits."""
    near = round(points, 6)
    return int(near) if near == int(near) else near


def read_weights(file: Path, rows: Iterable[str], stages: Iterable[int]) -> Weights:
    """Return the weights of the file; raise `CourseError` for a mistake in it."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CourseError(f"{file}: {error}") from error
    if unknown := sorted(set(content) - {"points", "visibility"}):
        raise CourseError(
            f"{file}: there is no table [{unknown[0]}]: it has [points], [visibility]"
        )
    known = {*rows, *map(str, stages)}
    points: dict[str, float] = {}
    for name, value in _entries(file, content, "points", known):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise CourseError(f"{file}: points of {name}: {value!r} is not a number")
        if not 0 <= value < math.inf:
            raise CourseError(f"{file}: points of {name}: {value} is not 0 or more")
        points[name] = value
    if not any(points.values()):
        raise CourseError(f"{file}: nothing in it has points: name rows or stages under [points]")
    visibility: dict[str, str] = {}
    for name, value in _entries(file, content, "visibility", known | {"default"}):
        if value not in VISIBILITIES:
            words = ", ".join(VISIBILITIES)
            raise CourseError(f"{file}: visibility of {name}: {value!r} is not one of {words}")
        visibility[name] = str(value)
    return Weights(points, visibility)


def _entries(
    file: Path, content: Mapping[str, object], table: str, known: set[str]
) -> Iterator[tuple[str, object]]:
    entries = content.get(table, {})
    if not isinstance(entries, dict):
        raise CourseError(f"{file}: [{table}] is a table")
    for name, value in entries.items():
        # TOML reads a bare 3.4 as key 4 of table 3.
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        for part, one in pairs:
            key = f"{name}.{part}" if part else name
            if key not in known:
                raise CourseError(
                    f"{file}: [{table}]: this grade has no row or stage {key!r}: "
                    'it has rows such as "1.1" and stages such as 1'
                )
            yield key, one
