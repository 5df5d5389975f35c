"""The requirements of the course, and the tests that show each.

    python -m course.catalog.requirements          check: every row that is due has a test
    python -m course.catalog.requirements --map    print each row and its tests

`requirements.toml` beside this file holds the rows. A test names its rows by a mark,
`@pytest.mark.requirement("3.1")`. This module reads the marks from the source, so the map needs no
file and no import of tests. `pytest --row 3.1` runs the tests of a row.
"""

from __future__ import annotations

import argparse
import ast
import functools
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from course.catalog.stages import ROOT, load_course

ROWS = Path(__file__).with_name("requirements.toml")
SUITES = ("tests", "course/tests", "tools/tests")
MARK = "pytest.mark.requirement"

# The last row of every section of the requirements: 1.1 … 1.7, and so on. A stage that you add
# after these has rows of its own.
LAST_STAGE = 9
_SECTIONS = {
    "1": 7, "2": 6, "3": 7, "4": 7, "5": 7, "6": 5, "7": 7, "8": 7, "C": 17, "D": 10,
}  # fmt: skip
IDS = [f"{section}.{row}" for section, rows in _SECTIONS.items() for row in range(1, rows + 1)]


@dataclass(frozen=True)
class Requirement:
    """A row: it applies from `stage` to `until`; then `successor` replaces it."""

    id: str
    text: str
    stage: int
    tests: tuple[str, ...] = ()  # node ids without parameters
    until: int | None = None
    successor: str | None = None
    restart: bool = False  # it is about a restart, so a server at a URL cannot be tested


@dataclass(frozen=True)
class TestFunction:
    """A test in the source: its node id without parameters, and the rows that it names."""

    __test__ = False  # tells pytest that this class holds no tests

    id: str
    rows: tuple[str, ...]


def load_requirements(path: Path = ROWS, root: Path = ROOT) -> list[Requirement]:
    """Return the rows with their tests; raise `ValueError` or `TypeError` for a mistake.

    TOML itself refuses a repeated table.
    """
    tests: dict[str, list[str]] = {}
    for test in find_tests(root):
        for row in test.rows:
            tests.setdefault(row, []).append(test.id)
    return [replace(row, tests=tuple(tests.get(row.id, ()))) for row in read_rows(path)]


def read_rows(path: Path = ROWS) -> list[Requirement]:
    """Return the rows without their tests."""
    rows: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Requirement(**({"id": row_id} | row)) for row_id, row in rows.items()]


@functools.cache
def find_tests(root: Path = ROOT) -> tuple[TestFunction, ...]:
    """Return every test function below `root`, file by file, in the order of the source.

    Raises `ValueError` for a mark that cannot be read: it does not belong to a test, or its rows
    are not literals.
    """
    files = [file for suite in SUITES for file in sorted((root / suite).rglob("test_*.py"))]
    return tuple(test for file in files for test in _tests_of(file, root))


def _tests_of(file: Path, root: Path) -> Iterator[TestFunction]:
    place = file.relative_to(root).as_posix()
    source = file.read_text(encoding="utf-8")
    marks_read = 0
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = [mark for mark in node.decorator_list if _name_of(mark) == MARK]
            marks_read += len(marks)
            rows = [row for mark in marks for row in _rows_of(mark, place)]
            yield TestFunction(f"{place}::{node.name}", tuple(rows))
    if marks_read < sum(line.lstrip().startswith(f"@{MARK}") for line in source.splitlines()):
        raise ValueError(f"{place}: a mark `{MARK}` is on no test function")


def _name_of(mark: ast.expr) -> str:
    """Return `pytest.mark.x` for `@pytest.mark.x` and for `@pytest.mark.x(…)`."""
    called = mark.func if isinstance(mark, ast.Call) else mark
    return ast.unparse(called)


def _rows_of(mark: ast.expr, place: str) -> list[str]:
    given = mark.args if isinstance(mark, ast.Call) and not mark.keywords else []
    rows = [
        node.value
        for node in given
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    if not given or len(rows) < len(given):
        raise ValueError(f'{place}:{mark.lineno}: write out the rows, as in {MARK}("3.1")')
    return rows


def find_problems(
    requirements: Iterable[Requirement], tests: Iterable[TestFunction], stages: int
) -> list[str]:
    """Return the mistakes in rows and marks, a line each; `stages` is the number of stages."""
    rows = {requirement.id: requirement for requirement in requirements}
    problems = [f"{row_id}: not in the map" for row_id in IDS if row_id not in rows]
    problems += [
        f"{row_id}: no such requirement"
        for row_id, row in rows.items()
        if row_id not in IDS and row.stage <= LAST_STAGE
    ]
    for row_id, row in rows.items():
        if not row.text.strip():
            problems.append(f"{row_id}: no text")
        if row.stage <= stages and not row.tests:
            problems.append(f"{row_id}: no test, and stage {row.stage} exists")
        if (row.until is None) != (row.successor is None):
            problems.append(f"{row_id}: give both `until` and `successor`")
        if row.successor is not None and row.successor not in rows:
            problems.append(f"{row_id}: its successor {row.successor} is not in the map")
    for test in tests:
        problems += [
            f"{test.id}: there is no row {row}"
            for row in test.rows
            if row not in IDS and row not in rows
        ]
        if len(set(test.rows)) < len(test.rows):
            problems.append(f"{test.id}: names a row twice")
        if not test.rows and test.id.startswith(("tests/stage", "tests/capstone")):
            problems.append(f"{test.id}: belongs to no requirement")
    return problems


def page(requirements: Iterable[Requirement]) -> str:
    """Return the map: each row, and the tests that show it below."""
    return "\n\n".join(
        "\n".join([f"{row.id}  {row.text}", *(f"  {test}" for test in row.tests)])
        for row in requirements
    )


def main(arguments: Sequence[str]) -> int:
    """Print the problems, or the map, or a line without problems; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m course.catalog.requirements",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--map", action="store_true", help="print each row and its tests")
    options = parser.parse_args(arguments)
    try:
        requirements = load_requirements()
        tests = find_tests()
    except (OSError, ValueError, TypeError) as error:
        print(error)
        return 1
    if options.map:
        print(page(requirements))
        return 0
    stages = len(load_course())
    problems = find_problems(requirements, tests, stages)
    for problem in problems:
        print(problem)
    if problems:
        return 1
    due = sum(requirement.stage <= stages for requirement in requirements)
    print(f"OK: {len(requirements)} requirements, {due} due by stage {stages}, all with tests")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
