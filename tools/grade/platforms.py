"""Writes grades for platforms: Gradescope, Classroom 50, Moodle's VPL and CodeRunner.

Each platform publishes its format; `tools/tests/grade/test_platforms.py` names the page and checks
the results. When nothing could be graded, VPL and CodeRunner get no grade and Classroom 50 gets 0
of 0. The platform handles late days.
"""

from __future__ import annotations

import argparse
import html
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from course.catalog.requirements import load_requirements
from course.catalog.stages import CourseError
from tools.grade.report_terminal import because, facts, hints_of, status_word, total_line
from tools.grade.results import Grade, Row, due
from tools.grade.weights import Points, Weights, points_of, read_weights, rounded
from tools.grade.words import say

# The variables of Classroom 50's runner that a result must repeat.
CLASSROOM50 = {
    "classroom": "CLASSROOM",
    "assignment": "ASSIGNMENT",
    "assignment_type": "ASSIGNMENT_TYPE",
    "owner": "OWNER",
    "submission": "SUBMISSION_TAG",
    "commit": "COMMIT_URL",
    "release": "RELEASE_URL",
}
LONGEST = 8_000  # characters of one row's text: a platform shows it on a page


@dataclass(frozen=True)
class Platforms:
    """The platforms of a grade, and the points of its rows."""

    files: Mapping[str, Path]
    weights: Weights = field(default_factory=Weights)

    def texts(self, grade: Grade) -> dict[Path, str]:
        """Return the text of each file."""
        points = points_of(grade, self.weights)
        return {
            file: FORMATS[name](grade, points, self.weights) for name, file in self.files.items()
        }


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for platforms."""
    group = parser.add_argument_group("for a platform (one solution)")
    group.add_argument("--gradescope", metavar="DIR", type=Path, help="write results.json there")
    for name, title in (
        ("classroom50", "Classroom 50's result.json"),
        ("vpl", "Moodle VPL's comments and grade"),
        ("coderunner", "the JSON of CodeRunner's combinator template grader"),
    ):
        group.add_argument(f"--{name}", metavar="FILE", type=Path, help=title)
    group.add_argument(
        "--weights", metavar="FILE", type=Path, help="points of rows or stages, as TOML"
    )


def from_options(given: argparse.Namespace, stage: int) -> Platforms:
    """Return the platforms that the options name; raise `CourseError` for a contradiction."""
    files = {name: file for name in FORMATS if (file := getattr(given, name))}
    if given.roster and files:
        raise CourseError(f"--{next(iter(files))} is for one solution, not for a --roster")
    if given.weights and not files:
        raise CourseError("--weights is for a platform: add --gradescope or another one")
    if "gradescope" in files:
        files["gradescope"] /= "results.json"
    weights = Weights()
    if given.weights:
        rows = due(load_requirements(), stage)
        weights = read_weights(given.weights, (r.id for r in rows), {r.stage for r in rows})
    if "classroom50" in files:
        _classroom50_names()
    return Platforms(files, weights)


def gradescope(grade: Grade, points: Points, weights: Weights) -> str:
    """Return Gradescope's `results.json`, with a test case for each row."""
    content: dict[str, Any] = {
        "output": _summary(grade),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "execution_time": round(grade.seconds, 1),
        # The grader's output may hold the server's log and addresses, so it stays hidden.
        "stdout_visibility": "hidden",
    }
    if not points.most:
        return _json(content | {"score": 0})
    tests = []
    for row in grade.rows:
        test = {
            "number": row.id,
            "name": row.text,
            "score": rounded(points.earned.get(row.id, 0)),
            "max_score": rounded(points.most.get(row.id, 0)),
            "output": details(row, grade.language),
            "tags": [f"{say('Stage', grade.language)} {row.stage}"],
            "visibility": weights.shown(row),
        }
        if row.id in points.most:
            test["status"] = "passed" if row.status == "pass" else "failed"
        tests.append(test)
    return _json(content | {"tests": tests})


def classroom50(grade: Grade, points: Points, _: Weights) -> str:
    """Return a `classroom50/result/v1`; raise `CourseError` if points are not whole numbers."""
    for row, most in points.most.items():
        if not float(most).is_integer():
            raise CourseError(f"--classroom50 counts in whole points: {row} has {most}")
    names = _classroom50_names()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tests = [
        {
            "test-name": f"{row.id} {row.text}",
            "passed": row.status == "pass",
            "score": int(points.earned[row.id]),
            "max-score": int(points.most[row.id]),
            "output": details(row, grade.language),
        }
        for row in grade.rows
        if row.id in points.most
    ]
    content = {
        "schema": "classroom50/result/v1",
        **names,
        "review": os.environ.get("REVIEW_URL") or names["commit"],
        "datetime": now,
        "graded_at": now,
        "score": int(points.total),
        "max-score": int(points.of),
        "tests": tests,
    }
    return _json(content)


def _classroom50_names() -> dict[str, str]:
    names = {name: os.environ.get(variable, "") for name, variable in CLASSROOM50.items()}
    names["owner"] = names["owner"] or os.environ.get("USERNAME", "")
    for name, value in names.items():
        if not value:
            raise CourseError(
                f"--classroom50 works only in Classroom 50's runner: {CLASSROOM50[name]} is not set"
            )
    return names


def vpl(grade: Grade, points: Points, _: Weights) -> str:
    """Return the output that Moodle's VPL reads; without `Grade` when nothing counts.

    The grade lies between `VPL_GRADEMIN` and `VPL_GRADEMAX`, by default 0 and 10.
    """
    lines = [f"Comment :=>>{' '.join(_summary(grade).split())}"]
    for row in grade.rows:
        status = status_word(row, grade.language)
        # A server's output must not look like ours, so each of its lines begins with `>`.
        lines += ["<|--", f"-{row.id} {status}: {row.text.rstrip(')')}"]
        lines += [f">{line}" for line in details(row, grade.language).splitlines()]
        lines += ["--|>"]
    if points.most:
        least = float(os.environ.get("VPL_GRADEMIN") or 0)
        most = float(os.environ.get("VPL_GRADEMAX") or 10)
        lines.append(f"Grade :=>>{rounded(least + (most - least) * points.fraction)}")
    return "\n".join(lines) + "\n"


def coderunner(grade: Grade, points: Points, weights: Weights) -> str:
    """Return the JSON of a combinator template grader.

    When nothing counts it is plain text: CodeRunner shows it as an error of the question and gives
    no mark.
    """
    lang = grade.language
    if not points.most:
        return _summary(grade) + "\n"
    table: list[list[str | int]] = [
        ["iscorrect", "", say("requirement", lang), say("result", lang), "ishidden"]
    ]
    for row in grade.rows:
        if row.id in points.most:
            mark = f"{rounded(points.earned[row.id])} / {rounded(points.most[row.id])}"
            text = f"{status_word(row, lang)}, {mark}\n{details(row, lang)}".rstrip()
            hidden = int(weights.shown(row) != "visible")
            table.append([int(row.status == "pass"), row.id, row.text, text, hidden])
    content = {
        "fraction": points.fraction,
        "prologuehtml": f"<pre>{html.escape(_summary(grade))}</pre>",
        "testresults": table,
    }
    return _json(content)


Format = Callable[[Grade, Points, Weights], str]
FORMATS: dict[str, Format] = {
    "gradescope": gradescope,
    "classroom50": classroom50,
    "vpl": vpl,
    "coderunner": coderunner,
}


def details(row: Row, language: str) -> str:
    """Return the text of a row: the hint, then the request, the expected and the actual answer.

    Suggestions come last, as advice without points.
    """
    lines = []
    hints = hints_of(row, language) if row.in_work else []
    lines += [f"{title}: {text}" for title, text in hints[:1]]
    if why := because(row, language):
        lines.append(why)
    for failure in row.failures[:1] if row.in_work else ():
        lines.append(f"{say('must hold', language)}: {failure.sentence}")
        lines += [f"{title}: {text}" for title, text in facts(failure, language)]
        if failure.curl:
            lines.append(f"{say('to repeat it', language)}: {failure.curl}")
    lines += [f"{title}: {text}" for title, text in hints[1:]]
    # The variants of one test are one piece of advice.
    for advice in {one.function: one for one in reversed(row.suggestions)}.values():
        lines.append(f"{say('advice, no points', language)}: {advice.sentence}")
        lines += [f"  {title}: {text}" for title, text in facts(advice, language)]
    text = "\n".join(lines)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _summary(grade: Grade) -> str:
    """Return the sum, and the reason if the grade failed."""
    lines = [total_line(grade, grade.language)]
    if grade.problem:
        lines.append(f"{say(grade.problem_title, grade.language)}: {grade.problem}")
        lines.append(say(grade.problem_note, grade.language))
    return "\n".join([*lines, *grade.notes])


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
