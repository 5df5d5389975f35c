"""Checks a chapter of the capstone in a learner's directory, by the course's own tests.

Most rows of a chapter concern PostgreSQL, Redis or files, which no client sees. So the tests of the
rows run in a copy of the course, whose capstone has the files of the directory. They start the app
themselves, in the environment of the capstone, and craft counts like contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from course.catalog.requirements import Requirement
from course.catalog.stages import Stage
from tools.grade.learner import NotReached
from tools.grade.outcomes import Suite
from tools.grade.progress import Progress
from tools.grade.suite import Target, run_suite
from tools.mutate.workbench import workbench

IN_DOCKER = "tests/compose/"  # `python3 noxfile.py compose-smoke` runs these


def check_chapter(
    stage: Stage,
    directory: Path,
    rows: Sequence[Requirement],
    *,
    thorough: bool = False,
    most_failures: int = 0,
    progress: Progress | None = None,
) -> Suite:
    """Run the tests of these rows on the app in the directory, and return their results.

    Raises `NotReached` if there is no app.
    """
    if not (directory / "app").is_dir():
        raise NotReached(f"{directory} has no app: name the directory of your capstone")
    tests = [test for row in rows for test in row.tests if not test.startswith(IN_DOCKER)]
    with workbench(stage, directory) as root:
        target = Target(
            stage,
            tuple(dict.fromkeys(tests)),
            "",
            thorough=thorough,
            strict=True,
            most_failures=most_failures,
            root=root,
        )
        return run_suite(target, progress)
