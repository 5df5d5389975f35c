"""Solutions of other authors earn every checked row: stages 1 to 3 twice, stages 1 to 8 once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from course.catalog.environment import solutions_python
from tools.tests.grade.running import HERE, Report, grade

SOLUTIONS = HERE / "solutions"
PATIENT = ("--answer-within=20",)  # other tests run beside it
NO_NODE = "not checked: needs Node.js (`node` is not installed)"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2000)]


@dataclass(frozen=True)
class Solution:
    """A solution of one stage, with its command."""

    name: str
    stage: int
    command: Callable[[int], list[str]]
    scheme: str = "sqlite+aiosqlite"

    def arguments(self, directory: Path) -> list[str]:
        """Return the arguments that grade it, with its data in `directory`."""
        database = f"{self.scheme}:///{(directory / 'solution.db').as_posix()}"
        return [
            f"--stage={self.stage}",
            f"--cmd={' '.join(self.command(self.stage))}",
            f"--cwd={SOLUTIONS / self.name}",
            *("--env", f"STAGE={self.stage}", "--env", f"DATABASE_URL={database}"),
            *PATIENT,
        ]


def with_uvicorn(stage: int) -> list[str]:
    """Return the command of the solution in FastAPI."""
    return [str(solutions_python()), "-m", "uvicorn", f"stage{stage}:app", "--port", "{port}"]


def with_waitress(stage: int) -> list[str]:
    """Return the command of the solution in Flask."""
    listen = ["--host", "127.0.0.1", "--port", "{port}"]
    return [str(solutions_python()), "-m", "waitress", *listen, f"stage{stage}:app"]


def with_node(_: int) -> list[str]:
    """Return the command of the solution in Node.js."""
    node = shutil.which("node")
    if node is None:
        pytest.skip(NO_NODE)
    return [node, "server.mjs", "--port", "{port}"]


def fastapi_docs(stage: int) -> Solution:
    """Return a stage as FastAPI's documentation teaches it."""
    return Solution("fastapi_docs", stage, with_uvicorn)


def flask(stage: int) -> Solution:
    """Return a stage in Flask."""
    return Solution("flask", stage, with_waitress, "sqlite")


def node(stage: int) -> Solution:
    """Return a stage in Node.js."""
    return Solution("node", stage, with_node)


EACH = [make(stage) for stage in (1, 2, 3) for make in (fastapi_docs, flask)]
EACH += [node(stage) for stage in range(1, 9)]
# A quick look at the last stage also checks the earlier ones.
LAST = [fastapi_docs(3), flask(3), node(8)]


def name_of(solution: Solution) -> str:
    """Return the name of a solution in a test's id."""
    return f"{solution.name}-{solution.stage}"


def assert_every_row_is_earned(report: Report, solution: Solution) -> None:
    """Check that no row of a solution failed, and that enough rows were checked."""
    assert report.exit_code == 0, report.printed
    assert set(report.statuses.values()) <= {"pass", "not_checked"}
    checked = {row[0] for row, status in report.statuses.items() if status == "pass"}
    assert checked == {str(number) for number in range(1, solution.stage + 1)}
    summary = report.json["summary"]
    assert summary["earned"] == summary["checkable"]


@pytest.mark.parametrize("solution", LAST, ids=name_of)
def test_a_solution_of_others_earns_every_row_in_a_quick_look(
    solution: Solution, tmp_path: Path
) -> None:
    report = grade(tmp_path / "report", *solution.arguments(tmp_path))
    assert_every_row_is_earned(report, solution)


@pytest.mark.nightly
@pytest.mark.parametrize("look", ["quick", "thorough"])
@pytest.mark.parametrize("solution", EACH, ids=name_of)
def test_a_solution_of_others_earns_every_row_at_every_stage(
    solution: Solution, look: str, tmp_path: Path
) -> None:
    options = ["--thorough"] if look == "thorough" else []
    report = grade(tmp_path / "report", *solution.arguments(tmp_path), *options)
    assert_every_row_is_earned(report, solution)
