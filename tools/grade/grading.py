"""Grades one solution, from its start to its grade; a fault of ours is a grade, too."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from tools.course import CourseError, load_course
from tools.grade.hints import Hints, left_to_do, load_hints
from tools.grade.learner import NotReached, Running, absent_stages, attached, launched
from tools.grade.options import Options, Subject
from tools.grade.outcomes import Suite
from tools.grade.results import Grade, Row, due, judge
from tools.grade.suite import Target, run_suite
from tools.grade.words import say
from tools.requirements import load_requirements

Tell = Callable[[str], None]


def grade(options: Options, subject: Subject, tell: Tell) -> Grade:
    """Return the grade of a solution; `tell` is told what a person should know meanwhile."""
    began = time.monotonic()
    hints = load_hints()
    stage = options.stage.number
    requirements = [
        replace(row, text=hints.text(row.id, options.language, row.text))
        for row in due(load_requirements(), stage)
    ]
    empty = Grade(
        stage,
        tuple(Row(row.id, row.text, row.stage, "error") for row in requirements),
        server=subject.base_url or " ".join(subject.command),
        language=options.language,
        stage_titles=hints.titles(options.language),
    )
    try:
        with _server(options, subject) as running:
            _tell_what_it_was_given(options, running, tell)
            absent = absent_stages(running.base_url, stage, subject.profile)
            suite = run_suite(_target(options, subject, running, absent))
            rows = judge(requirements, suite, absent)
            result = replace(
                empty,
                rows=tuple(rows),
                problem=suite.broken or _our_fault(rows),
                log=running.log_tail(),
                notes=tuple(_notes(running, subject, suite)),
            )
    except (NotReached, CourseError, OSError) as error:
        result = replace(empty, problem=str(error))
    return replace(result, seconds=time.monotonic() - began)


def with_hints(grade: Grade, hints: Hints, numbers: dict[str, int], fixed: int | None) -> Grade:
    """Return the grade with a hint for each row that failed: the next one, or the `fixed`."""

    def hint(row: Row) -> str:
        if row.status != "fail":
            return ""
        if todo := left_to_do(row):
            return f"{say('Not begun yet: look for', grade.language)} `TODO {todo}`"
        return hints.hint(row.id, fixed or numbers.get(row.id, 1), grade.language)

    return replace(grade, rows=tuple(replace(row, hint=hint(row)) for row in grade.rows))


@contextmanager
def _server(options: Options, subject: Subject) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as directory:
        server: AbstractContextManager[Running]
        if subject.base_url:
            server = attached(subject.base_url, options.stage.number, options.weather)
        else:
            server = launched(
                subject.command,
                subject.directory,
                options.stage.number,
                Path(directory),
                changes=options.settings,
                port=subject.profile.port,
                within=options.start_within,
                sandbox=options.sandbox,
            )
        with server as running:
            yield running


def _target(options: Options, subject: Subject, running: Running, absent: dict[int, str]) -> Target:
    current = options.stage
    earlier = [one for one in load_course() if one.number < current.number]
    # What was built last is what somebody waits for.
    ordered = [current, *(one for one in earlier if one.number not in absent)]
    suites = [f"tests/{one.name}" for one in ordered]
    return Target(
        current,
        tuple(suites),
        running.base_url,
        thorough=options.thorough,
        strict=options.strict,
        answer_within=options.answer_within,
        solution=running.solution,
        profile=subject.profile_file.resolve() if subject.profile_file else None,
        log=running.log,
        weather=running.weather,
        admin=running.admin or options.admin,
    )


def _tell_what_it_was_given(options: Options, running: Running, tell: Tell) -> None:
    if running.given:
        tell(say("The server was given", options.language) + ":")
        for name, value in running.given.items():
            tell(f"  {name}={value}")
        return
    stage = options.stage.number
    if stage >= 6 and running.weather is None:
        tell(
            "Rows that need control of the weather are not checked. To check them: start "
            "`python3 noxfile.py -s fake-weather`, and your server as that says; then this again."
        )
    if stage >= 7 and options.admin is None:
        tell(
            "Rows that need an administrator are not checked. To check them: start your server "
            "with FIRST_ADMIN_USERNAME and FIRST_ADMIN_PASSWORD, and say --admin-username and "
            "--admin-password here."
        )


def _our_fault(rows: Iterable[Row]) -> str:
    """Return in a line what kept us from finding out about a row; empty when nothing did."""
    faults = [row.reason.strip().partition("\n")[0] for row in rows if row.status == "error"]
    return faults[0] if faults else ""


def _notes(running: Running, subject: Subject, suite: Suite) -> Iterator[str]:
    if suite.missing_craft:
        left = len(suite.missing_craft)
        yield f"The suggestions are not complete: {left} of their tests were not run."
    if running.ends:
        codes = ", ".join(str(code) for code in running.ends)
        yield f"The server ended {len(running.ends)} × while it was graded (exit code {codes})."
    if not subject.base_url and not any("{port}" in word for word in subject.command):
        yield "The command has no {port}: the server was to take it from PORT."
    if running.note:
        yield running.note
