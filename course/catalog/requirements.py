"""The map check: every requirement is known, and every one that exists already has a test.

    python -m course.catalog.requirements   one line per problem and exit code 1, or one line

`tests/requirements.toml` is the map. A test counts when pytest really collects it, and every test
of a stage's suite belongs to at least one requirement, so that no result is left out of a report.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from course.catalog.stages import ROOT, load_course

MAP = ROOT / "tests" / "requirements.toml"

# The last row of every section of the requirements: 1.1 … 1.7, and so on.
_SECTIONS = {
    "1": 7, "2": 6, "3": 7, "4": 7, "5": 7, "6": 5, "7": 7, "8": 7, "C": 17, "D": 10,
}  # fmt: skip
IDS = [f"{section}.{row}" for section, rows in _SECTIONS.items() for row in range(1, rows + 1)]


@dataclass(frozen=True)
class Requirement:
    """A row of the map: it holds from `stage` to `until`, after which `successor` replaces it."""

    id: str
    text: str
    stage: int
    tests: tuple[str, ...]
    until: int | None = None
    successor: str | None = None
    restart: bool = False  # it is about a restart, so a server at a URL cannot show it


def load_requirements(path: Path = MAP) -> list[Requirement]:
    """Return the rows of the map; `ValueError` or `TypeError` says what is wrong with its form.

    TOML itself refuses a table that is there twice.
    """
    rows: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))
    return [
        Requirement(**({"id": row_id} | row | {"tests": tuple(row.get("tests", ()))}))
        for row_id, row in rows.items()
    ]


def find_problems(
    requirements: Iterable[Requirement], collected: Iterable[str], stages: int
) -> list[str]:
    """Return what is wrong, one line each, given the tests that pytest collects.

    `collected` holds node ids; `stages` is how many stages of the course exist.
    """
    rows = {requirement.id: requirement for requirement in requirements}
    functions = {node_id.partition("[")[0] for node_id in collected}
    problems = [f"{row_id}: not in the map" for row_id in IDS if row_id not in rows]
    problems += [f"{row_id}: there is no such requirement" for row_id in rows if row_id not in IDS]
    for row_id, row in rows.items():
        if not row.text.strip():
            problems.append(f"{row_id}: no text")
        if row.stage <= stages and not row.tests:
            problems.append(f"{row_id}: no test, and stage {row.stage} exists")
        if (row.until is None) != (row.successor is None):
            problems.append(f"{row_id}: `until` and `successor` go together")
        if row.successor is not None and row.successor not in rows:
            problems.append(f"{row_id}: its successor {row.successor} is not in the map")
        if len(set(row.tests)) < len(row.tests):
            problems.append(f"{row_id}: names a test twice")
        problems += [
            f"{row_id}: pytest does not find {test}" for test in row.tests if test not in functions
        ]
    named = {test for row in rows.values() for test in row.tests}
    problems += [
        f"{test}: belongs to no requirement"
        for test in sorted(functions - named)
        if test.startswith(("tests/stage", "tests/capstone"))
    ]
    return problems


def collect_tests(root: Path = ROOT) -> list[str]:
    """Return the node ids of all tests below `tests/`, those of every stage.

    Raises `ValueError` when pytest cannot collect them all.
    """
    collector, printed = _Collector(), io.StringIO()
    options = ["--collect-only", "-q", "-p", "no:cacheprovider"]
    with contextlib.redirect_stdout(printed):
        exit_code = pytest.main([*options, str(root / "tests")], [collector])
    if exit_code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        errors = [line for line in printed.getvalue().splitlines() if line.startswith("ERROR")]
        raise ValueError("pytest cannot collect the tests. " + "; ".join(errors))
    return collector.node_ids


class _Collector:
    """A pytest plugin that notes every test, also those that the stage under test leaves out."""

    def __init__(self) -> None:
        self.node_ids: list[str] = []

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self.node_ids.append(item.nodeid)


def main() -> int:
    """Print the problems, or that there is none; return the exit code."""
    try:
        requirements = load_requirements()
        collected = collect_tests()
    except (OSError, ValueError, TypeError) as error:
        print(f"{MAP.relative_to(ROOT)}: {error}")
        return 1
    stages = len(load_course())
    problems = find_problems(requirements, collected, stages)
    for problem in problems:
        print(problem)
    if problems:
        return 1
    due = sum(requirement.stage <= stages for requirement in requirements)
    print(f"OK: {len(requirements)} requirements, {due} due by stage {stages}, all with tests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
