"""The command: see `tools/grade/__init__.py`, or `python -m tools.grade --help`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tools import command
from tools.course import CourseError
from tools.grade import (
    report_html,
    report_json,
    report_junit,
    report_markdown,
    report_terminal,
)
from tools.grade.changes import changes
from tools.grade.grading import grade, with_hints
from tools.grade.hints import load_hints, next_hints
from tools.grade.options import Options, Subject, parse
from tools.grade.results import Grade, Row, due
from tools.grade.roster import Learner, matrix_csv, read_roster
from tools.requirements import load_requirements

OUR_FAULT = 2

_FORMATS: dict[str, Callable[[Grade], str]] = {
    "json": report_json.render,
    "junit": report_junit.render,
    "markdown": report_markdown.render,
    "html": report_html.render,
}


def main(arguments: Sequence[str], _root: Path) -> int:
    """Grade as the command line says; return the exit code."""
    # A SIGTERM ends it as a Ctrl-C does: with the servers that it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = parse(arguments)
    if options.roster is not None:
        return _grade_roster(options, read_roster(options.roster))
    if options.subject is None:
        raise CourseError("there is nothing to grade")
    if options.watch:
        return _grade_again_and_again(options, options.subject)
    return _grade_one(options, options.subject)


def _grade_one(options: Options, subject: Subject, *, forward: bool = True) -> int:
    result = _safely(options, subject)
    numbers = next_hints(result.rows, Path(), forward=forward and options.hint is None)
    result = with_hints(result, load_hints(), numbers, options.hint)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    print(report_terminal.render(result, colour=colour), end="")
    for name, file in options.files.items():
        _write(file, _FORMATS[name](result))
    for file, text in options.platforms.texts(result).items():
        _write(file, text)
    return result.exit_code


def _grade_again_and_again(options: Options, subject: Subject) -> int:
    """Grade whenever a file of the solution changes, until Ctrl-C."""
    code = 0
    for number, _ in enumerate(changes(subject.directory, options.files.values())):
        code = _grade_one(options, subject, forward=number == 0)
    return code


def _grade_roster(options: Options, learners: Sequence[Learner]) -> int:
    grades: list[tuple[str, Grade]] = []
    for learner in learners:
        if learner.subject is None:
            result = _no_grade(options, learner.problem)
        else:
            result = _safely(options, learner.subject)
        grades.append((learner.name, result))
        score = report_terminal.score_line(result.score, options.language)
        # Its last line is what the solution said last.
        problem = f"  ({result.problem.splitlines()[-1]})" if result.problem else ""
        print(f"{learner.name}: {score}{problem}", flush=True)
    if "csv" in options.files:
        _write(options.files["csv"], matrix_csv(grades))
    if "html" in options.files:
        _write(options.files["html"], report_html.render_matrix(grades, options.language))
    codes = [result.exit_code for _, result in grades]
    return 1 if 1 in codes else max(codes)


def _safely(options: Options, subject: Subject) -> Grade:
    """Grade; what nobody has thought of is our fault, and a report says so."""
    try:
        return grade(options, subject, lambda line: print(line, file=sys.stderr, flush=True))
    except Exception as error:  # whatever it is, it costs no learner anything
        return _no_grade(options, f"{type(error).__name__}: {error}")


def _no_grade(options: Options, problem: str) -> Grade:
    hints, stage = load_hints(), options.stage.number
    rows = [
        Row(row.id, hints.text(row.id, options.language, row.text), row.stage, "error")
        for row in due(load_requirements(), stage)
    ]
    return Grade(
        stage,
        tuple(rows),
        problem=problem,
        language=options.language,
        stage_titles=hints.titles(options.language),
    )


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # What a server sent may hold half a character, which no file can.
        file.write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise CourseError(f"cannot write {file}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(command.run(main))
