"""Grades one solution from its start to its report; a fault of ours also gives a report."""

from __future__ import annotations

import re
import shlex
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from course.catalog.requirements import Requirement, load_requirements
from course.catalog.stages import CourseError, load_course
from tools.grade import words
from tools.grade.hints import Hints, load_hints
from tools.grade.learner import NotReached, Running, absent_stages, attached, launched
from tools.grade.options import Options, Subject
from tools.grade.outcomes import Outcome, Suite
from tools.grade.progress import Progress
from tools.grade.results import Grade, Row, due, judge
from tools.grade.suite import Target, run_suite
from tools.grade.unbegun import not_begun
from tools.grade.words import say

Tell = Callable[[str], None]
OWN_PORT = 8000  # the address in curl commands for a solution that got a random port
_LOCAL = re.compile(r"http://127\.0\.0\.1:\d+")


def grade(
    options: Options,
    subject: Subject,
    tell: Tell,
    *,
    progress: Progress | None = None,
    first: Sequence[str] = (),
) -> Grade:
    """Return the grade of a solution; `tell` prints messages for the user.

    The tests of the rows in `first` run before all others.
    """
    began = time.monotonic()
    hints = load_hints()
    stage = options.stage.number
    requirements = [
        replace(row, text=hints.text(row.id, options.language, row.text))
        for row in rows_to_grade(options)
    ]
    empty = Grade(
        stage,
        tuple(Row(row.id, row.text, row.stage, "error") for row in requirements),
        server=subject.base_url or " ".join(subject.command) or str(subject.directory),
        language=options.language,
        stage_titles=titles(options, hints),
    )
    try:
        if options.stage.chapter is not None:
            return replace(
                _grade_chapter(options, subject, empty, requirements, progress),
                seconds=time.monotonic() - began,
            )
        with _server(options, subject) as running:
            _tell_what_it_was_given(options, running, tell)
            absent = absent_stages(running.base_url, stage, subject.profile)
            target = replace(_target(options, subject, running, absent), first=tuple(first))
            suite = run_suite(target, progress)
            start = _start_by_hand(subject)
            if start:
                suite = _on_own_port(suite)
            left = set() if subject.base_url else _not_begun(subject, options)
            rows = judge(requirements, suite, absent, left)
            result = replace(
                empty,
                rows=tuple(rows),
                problem=suite.broken or _our_fault(rows),
                log=running.log_tail(),
                notes=tuple(_notes(running, subject, suite, options.language)),
                start=start,
            )
    except (NotReached, CourseError, OSError) as error:
        result = replace(empty, problem=str(error))
    return replace(result, seconds=time.monotonic() - began)


def rows_to_grade(options: Options) -> list[Requirement]:
    """Return the rows of the stage and of all earlier ones, of the chapter, or those wanted."""
    wanted = options.rows or (options.stage.chapter.rows if options.stage.chapter else ())
    rows = due(load_requirements(), options.stage.number)
    return [row for row in rows if not wanted or row.id in wanted]


def titles(options: Options, hints: Hints) -> dict[int, str]:
    """Return the titles of the stages; a chapter stands in the place of its stage."""
    of_stages = hints.titles(options.language)
    number, chapter = options.stage.number, options.stage.chapter
    if chapter is None:
        return of_stages
    return of_stages | {number: f"{of_stages[number]}, {chapter.number}: {chapter.title}"}


def _grade_chapter(
    options: Options,
    subject: Subject,
    empty: Grade,
    requirements: Sequence[Requirement],
    progress: Progress | None,
) -> Grade:
    # Here, because the graders of platforms have no copy of the course.
    from tools.grade.chapters import check_chapter

    suite = check_chapter(
        options.stage,
        subject.directory,
        requirements,
        thorough=options.thorough,
        progress=progress,
    )
    rows = judge(requirements, suite, {}, _not_begun(subject, options))
    return replace(empty, rows=tuple(rows), problem=suite.broken or _our_fault(rows))


def _not_begun(subject: Subject, options: Options) -> set[str]:
    return not_begun(subject.directory, options.stage)


def _start_by_hand(subject: Subject) -> str:
    """Return the command that starts a solution for curl; empty if it runs there already."""
    if subject.base_url or subject.profile.port:
        return ""
    words = [word.replace("{port}", str(OWN_PORT)) for word in subject.command]
    takes_port = any("{port}" in word for word in subject.command)
    return shlex.join(words) if takes_port else f"PORT={OWN_PORT} {shlex.join(words)}"


def _on_own_port(suite: Suite) -> Suite:
    """Return the suite with the address of a server that the user will start."""
    address = f"http://127.0.0.1:{OWN_PORT}"
    return replace(
        suite,
        outcomes=tuple(
            replace(outcome, curl=_LOCAL.sub(address, outcome.curl)) for outcome in suite.outcomes
        ),
    )


def with_hints(grade: Grade, hints: Hints, numbers: dict[str, int], fixed: int | None) -> Grade:
    """Return the grade with hints: one for each failed test, and the next hint of each row.

    With `fixed` each row gets the hint with that number.
    """

    def hint(row: Row) -> str:
        if row.todo:
            return f"{say('Not started yet: look for', grade.language)} `TODO {row.todo}`"
        if row.status != "fail":
            return ""
        return hints.hint(row.id, fixed or numbers.get(row.id, 1), grade.language)

    def hinted(outcome: Outcome) -> Outcome:
        return replace(outcome, hint=hints.of_test(outcome, grade.language))

    return replace(
        grade,
        rows=tuple(
            replace(row, hint=hint(row), failures=tuple(map(hinted, row.failures)))
            for row in grade.rows
        ),
    )


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
    # The newest stage comes first, since the learner waits for it.
    ordered = [current, *(one for one in earlier if one.number not in absent)]
    suites = [f"tests/{one.name}" for one in ordered]
    if options.rows:
        chosen = [test for row in rows_to_grade(options) for test in row.tests]
        suites = [test for test in chosen if test.startswith(tuple(f"{one}/" for one in suites))]
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
        no_weather = (
            "Rows that need control of the weather are not checked. To check them, run `python3 "
            "noxfile.py fake-weather` in the course's directory, start your server with the "
            "settings that it prints, and grade again."
        )
        tell(say(no_weather, options.language))
    if stage >= 7 and options.admin is None:
        no_admin = (
            "Rows that need an administrator are not checked. To check them, start your server "
            "with FIRST_ADMIN_USERNAME and FIRST_ADMIN_PASSWORD, and give the same values to "
            "--admin-username and --admin-password."
        )
        tell(say(no_admin, options.language))


def _our_fault(rows: Iterable[Row]) -> str:
    """Return in one line why a row could not be checked; empty if it could."""
    faults = [row.reason.strip().partition("\n")[0] for row in rows if row.status == "error"]
    return faults[0] if faults else ""


def _notes(running: Running, subject: Subject, suite: Suite, language: str) -> Iterator[str]:
    if suite.missing_craft:
        left = len(suite.missing_craft)
        incomplete = "The suggestions are not complete: {left} of their tests were not run."
        yield words.tell(incomplete, language, left=left)
    if running.ends:
        codes = ", ".join(str(code) for code in running.ends)
        ended = "The server ended {times} × while it was graded (exit code {codes})."
        yield words.tell(ended, language, times=len(running.ends), codes=codes)
    if not subject.base_url and not any("{port}" in word for word in subject.command):
        no_port = "The command has no {{port}}: the server must read the port from PORT."
        yield words.tell(no_port, language)
    if running.note:
        yield running.note
