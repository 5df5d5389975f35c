"""Checks a chapter of the capstone in a learner's directory, by the course's own tests.

Most rows of a chapter concern PostgreSQL, Redis or files, which no client sees. So the tests of the
rows run in a copy of the course, whose capstone has the files of the directory. They start the app
themselves, in both of its forms, in the environment of the capstone; craft counts like contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from course.catalog.requirements import Requirement
from course.catalog.stages import Stage
from course.harness.postgres import postgres_is_available
from course.harness.queue import redis_is_available
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
        plain = Target(
            stage,
            tuple(dict.fromkeys(tests)),
            "",
            thorough=thorough,
            strict=True,
            most_failures=most_failures,
            root=root,
        )
        suite = run_suite(plain, progress)
        has_failed = any(outcome.failed for outcome in suite.outcomes)
        if suite.broken or (has_failed and most_failures):
            return suite
        if not (postgres_is_available() and redis_is_available()):
            return suite
        return together(suite, run_suite(replace(plain, full=True), progress))


def together(one: Suite, other: Suite) -> Suite:
    """Return the results of both forms of the app."""
    return Suite(
        one.outcomes + other.outcomes,
        chosen=one.chosen + other.chosen,
        left_out=one.left_out + other.left_out,
        craft=one.craft + other.craft,
        gave_up=one.gave_up + other.gave_up,
        broken=one.broken or other.broken,
    )
