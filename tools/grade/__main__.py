"""The command: see `tools/grade/__init__.py`, or `python -m tools.grade --help`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from course.catalog import command
from course.catalog.stages import CourseError
from tools.grade import (
    report_html,
    report_json,
    report_junit,
    report_markdown,
    report_terminal,
)
from tools.grade.changes import changed_files, changes
from tools.grade.grading import grade, rows_to_grade, titles, with_hints
from tools.grade.hints import load_hints, next_hints
from tools.grade.history import failing_last, with_changes
from tools.grade.options import Options, Subject, parse
from tools.grade.progress import Progress
from tools.grade.results import Grade, Row
from tools.grade.roster import Learner, matrix_csv, read_roster
from tools.grade.words import say

OUR_FAULT = 2

_NONE: Mapping[str, int] = {}

_FORMATS: dict[str, Callable[[Grade], str]] = {
    "json": report_json.render,
    "junit": report_junit.render,
    "markdown": report_markdown.render,
    "html": report_html.render,
}


def main(arguments: Sequence[str], _root: Path) -> int:
    """Grade as the command line says; return the exit code."""
    end_servers_when_interrupted()
    options = parse(arguments)
    if options.roster is not None:
        return _grade_roster(options, read_roster(options.roster))
    if options.subject is None:
        raise CourseError("the roster has nobody to grade")
    if options.watch:
        return _grade_again_and_again(options, options.subject)
    return _grade_one(options, options.subject)


def end_servers_when_interrupted() -> None:
    """Let Ctrl-C, a SIGTERM and a closed terminal stop the grader and all that it started.

    Only the first signal counts, since a second one would interrupt the cleanup.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # as nohup has it
        numbers.append(hangup)

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, _already_ending)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, end)


def _already_ending(_number: int, _frame: FrameType | None) -> None:
    pass


def _grade_one(
    options: Options, subject: Subject, *, forward: bool = True, first: Mapping[str, int] = _NONE
) -> int:
    result = _safely(options, subject, first=first)
    result = with_changes(result, _name(subject), _look(options), Path())
    numbers = next_hints(result.rows, Path(), forward=forward and options.hint is None)
    result = with_hints(result, load_hints(), numbers, options.hint)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    print(report_terminal.render(result, colour=colour), end="", flush=True)
    for name, file in options.files.items():
        _write(file, _FORMATS[name](result))
    for file, text in options.platforms.texts(result).items():
        _write(file, text)
    return result.exit_code


def _name(subject: Subject) -> str:
    """Return the identity of the solution, since one command may start several."""
    started = f"{' '.join(subject.command)} in {subject.directory.resolve()}"
    return subject.base_url or started


def _look(options: Options) -> str:
    """Return the kind of check, since only grades of the same kind can be compared."""
    words = ["thorough" if options.thorough else "quick"]
    words += ["strict"] * options.strict + [options.stage.step] * bool(options.stage.chapter)
    return " ".join([*words, *options.rows])


def _grade_again_and_again(options: Options, subject: Subject) -> int:
    """Grade whenever a file of the solution changes, until Ctrl-C; failed rows come first."""
    code = 0
    for number, changed in enumerate(changes(subject.directory, options.files.values())):
        if number:
            names = ", ".join(changed_files(changed, subject.directory))
            again = say("grading again", options.language)
            print(f"\n{say('Changed', options.language)}: {names}; {again} …", flush=True)
        first = failing_last(options.stage.number, _name(subject), _look(options), Path())
        code = _grade_one(options, subject, forward=number == 0, first=first)
    return code


def _grade_roster(options: Options, learners: Sequence[Learner]) -> int:
    grades: list[tuple[str, Grade]] = []
    texts = load_hints()
    of = say("of", options.language)
    for number, learner in enumerate(learners, 1):
        place = f"{learner.name} ({number} {of} {len(learners)}) …"
        print(place, file=sys.stderr, flush=True)
        if learner.subject is None:
            result = _no_grade(options, learner.problem)
        else:
            result = _safely(options, learner.subject)
        result = with_hints(result, texts, {}, options.hint)
        grades.append((learner.name, result))
        score = report_terminal.score_line(result.score, options.language)
        # The last line is the last output of the solution.
        problem = f"  ({result.problem.splitlines()[-1]})" if result.problem else ""
        print(f"{learner.name}: {score}{problem}", flush=True)
    if "csv" in options.files:
        _write(options.files["csv"], matrix_csv(grades))
    if "html" in options.files:
        _write(options.files["html"], report_html.render_matrix(grades, options.language))
    codes = [result.exit_code for _, result in grades]
    return 1 if 1 in codes else max(codes)


def _safely(options: Options, subject: Subject, *, first: Mapping[str, int] = _NONE) -> Grade:
    """Grade; an unexpected exception is a fault of ours, and the report says so."""
    texts = load_hints()
    rows = [
        replace(row, text=texts.text(row.id, options.language, row.text))
        for row in rows_to_grade(options)
    ]
    progress = Progress(rows, sys.stderr, options.language)
    if first:
        progress.look_first_at(first)
        told = say("Checking the rows that failed first", options.language)
        progress.say(f"{told}: {', '.join(first)}")
    try:
        return grade(options, subject, progress.say, progress=progress, first=tuple(first))
    except Exception as error:  # no such fault costs a learner points
        return _no_grade(options, f"{type(error).__name__}: {error}")


def _no_grade(options: Options, problem: str) -> Grade:
    hints = load_hints()
    rows = [
        Row(row.id, hints.text(row.id, options.language, row.text), row.stage, "error")
        for row in rows_to_grade(options)
    ]
    return Grade(
        options.stage.number,
        tuple(rows),
        problem=problem,
        language=options.language,
        stage_titles=titles(options, hints),
    )


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # A server may send half of a surrogate pair, which a file cannot hold.
        file.write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise CourseError(f"cannot write {file}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(command.run(main))
