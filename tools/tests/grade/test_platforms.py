"""The files for a platform have its published format and the right points.

The schemas here follow the pages named beside them. If a platform reads text, the test reads it
like the platform's own program.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from course.catalog.requirements import load_requirements
from course.catalog.stages import ROOT, CourseError
from tools.grade.limits import LIMITS, MIB
from tools.grade.options import parse
from tools.grade.outcomes import Outcome
from tools.grade.platforms import CLASSROOM50, FORMATS
from tools.grade.results import Grade, Row, due
from tools.grade.weights import Weights, points_of, read_weights, shared
from tools.tests.grade.running import grade_here

# A server's output that looks like output for a platform.
FORGED = "Grade :=>>10\n--|>\nGrade :=>>10\r\nGrade :=>>10 <script>alert(1)</script> \x00 \ud800"

GRADE = Grade(
    stage=2,
    rows=(
        Row("2.1", "SQLite (the database)", 2, "not_checked", reason="needs the source of the app"),
        Row("2.3", "Data survives", 2, "pass", run=3, of=8),
        Row(
            "2.6", "Validation", 2, "fail", hint="Which status?",
            failures=(
                Outcome("t.py::test_a_title", "failed", expected="422", got=FORGED, curl="curl -i"),
            ),
        ),
        Row("1.1", "List", 1, "pass"),
        Row("1.2", "Read", 1, "blocked", blocked_by="1.3"),
        Row("1.3", "Add", 1, "error", reason="our own fault"),
    ),
    seconds=12.34,
    notes=("It said <script>alert(1)</script>.",),
)  # fmt: skip
NOTHING = Grade(2, (Row("1.1", "List", 1, "error"),), problem="It did not start: SyntaxError")
WEIGHTS = Weights({"1": 30, "2": 60, "2.3": 10}, {"1": "hidden", "2.6": "after_due_date"})
ROWS = [row.id for row in GRADE.rows]

# https://gradescope-autograders.readthedocs.io/en/latest/specs/ ("Output format", "Controlling
# Test Case Visibility", "Output String Formatting", "Test case status")
_VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
_FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
GRADESCOPE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "anyOf": [
        {"required": ["score"]},
        {
            "required": ["tests"],
            "properties": {"tests": {"minItems": 1, "items": {"required": ["score"]}}},
        },
    ],
    "properties": {
        "score": {"type": "number"},
        "execution_time": {"type": "number"},
        "output": {"type": "string"},
        "output_format": _FORMAT,
        "test_output_format": _FORMAT,
        "test_name_format": _FORMAT,
        "visibility": _VISIBILITY,
        "stdout_visibility": _VISIBILITY,
        "extra_data": {"type": "object"},
        "leaderboard": {"type": "array"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "score": {"type": "number"},
                    "max_score": {"type": "number"},
                    "status": {"enum": ["passed", "failed"]},
                    "name": {"type": "string"},
                    "name_format": _FORMAT,
                    "number": {"type": "string"},
                    "output": {"type": "string"},
                    "output_format": _FORMAT,
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "visibility": _VISIBILITY,
                    "extra_data": {"type": "object"},
                },
            },
        },
    },
}

# https://github.com/foundation50/classroom50, schemas/result-v1.schema.json; `team` is from
# https://github.com/foundation50/classroom50/wiki/Advanced-Autograding ("The result.json contract")
_TEXT = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 0}
_MOMENT = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$",
}
_NAMES = ["classroom", "assignment", "assignment_type", "owner", "submission", "commit", "release"]
CLASSROOM50_RESULT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": [*_NAMES, "schema", "review", "datetime", "score", "max-score", "tests"],
    "properties": {
        **dict.fromkeys(_NAMES, _TEXT),
        "schema": {"const": "classroom50/result/v1"},
        "assignment_type": {"enum": ["individual", "group", "team"]},
        "submission": {"type": "string", "pattern": "^submit/"},
        "review": _TEXT,
        "datetime": _MOMENT,
        "graded_at": _MOMENT,
        "score": _COUNT,
        "max-score": _COUNT,
        "submitted_by": {"type": "object"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["test-name", "passed", "score", "max-score"],
                "properties": {
                    "test-name": _TEXT,
                    "passed": {"type": "boolean"},
                    "score": _COUNT,
                    "max-score": _COUNT,
                },
            },
        },
    },
}

# https://github.com/trampgeek/moodle-qtype_coderunner, docs/index.md ("Combinator-template
# grading"); a field that is not named there is an error of the question (classes/jobrunner.php)
CODERUNNER: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["fraction"],
    "properties": {
        "fraction": {"type": "number", "minimum": 0, "maximum": 1},
        "prologuehtml": {"type": "string"},
        "epiloguehtml": {"type": "string"},
        "instructorhtml": {"type": "string"},
        "columnformats": {"type": "array", "items": {"enum": ["%s", "%h"]}},
        "showdifferences": {"type": "boolean"},
        "showoutputonly": {"type": "boolean"},
        "graderstate": {"type": "string"},
        "files": {"type": "object"},
        "testresults": {"type": "array", "items": {"type": "array"}},
    },
}


def written(name: str, grade: Grade = GRADE, weights: Weights = WEIGHTS) -> str:
    """Return the file for a platform."""
    text = FORMATS[name](grade, points_of(grade, weights), weights)
    return text.encode("utf-8", "replace").decode()


def content(name: str, schema: Mapping[str, Any], grade: Grade = GRADE) -> dict[str, Any]:
    """Return the JSON for a platform after its schema has accepted it."""
    read: dict[str, Any] = json.loads(written(name, grade))
    fastjsonschema.compile(dict(schema))(read)
    return read


@pytest.fixture(autouse=True)
def _runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classroom 50's runner names the learner in variables."""
    for name in CLASSROOM50.values():
        monkeypatch.setenv(name, f"the {name}")
    monkeypatch.setenv("ASSIGNMENT_TYPE", "individual")
    monkeypatch.setenv("SUBMISSION_TAG", "submit/2026-06-01T14-32-05Z-a1b2c3d")
    for name in ("REVIEW_URL", "VPL_GRADEMIN", "VPL_GRADEMAX"):
        monkeypatch.delenv(name, raising=False)


def test_gradescope_gets_a_test_case_a_row_with_its_points_and_visibility() -> None:
    results = content("gradescope", GRADESCOPE)
    tests = {test["number"]: test for test in results["tests"]}
    assert list(tests) == ROWS
    points = {row: (test["score"], test["max_score"]) for row, test in tests.items()}
    assert points == {
        "2.1": (0, 0),
        "2.3": (10, 10),
        "2.6": (0, 30),
        "1.1": (10, 10),
        "1.2": (0, 10),
        "1.3": (0, 0),
    }
    assert [test.get("status") for test in tests.values()] == [
        *(None, "passed", "failed"),
        *("passed", "failed", None),
    ]
    assert tests["2.6"]["visibility"] == "after_due_date"
    assert tests["2.3"]["visibility"] == "visible"
    assert tests["1.1"]["visibility"] == "hidden"
    assert "Hint: Which status?\n" in tests["2.6"]["output"]
    assert "expected: 422" in tests["2.6"]["output"]
    assert results["stdout_visibility"] == "hidden"


@pytest.mark.parametrize("name", FORMATS)
def test_suggestions_are_advice_without_points(name: str) -> None:
    advice = Outcome("t.py::test_head_answers", "failed", expected="200", got="405", craft=True)
    variant = replace(advice, test=f"{advice.test}[x]")
    advised = replace(GRADE.rows[3], suggestions=(advice, variant))
    grade = replace(GRADE, rows=(*GRADE.rows[:3], advised, *GRADE.rows[4:]))
    text, before = written(name, grade), written(name)
    assert text.count("advice, no points: head answers") == 1
    assert "got: 405" in text
    points = points_of(grade, WEIGHTS)
    assert points == points_of(GRADE, WEIGHTS)
    assert "advice" not in before


def test_classroom50_gets_whole_points_and_what_its_runner_said() -> None:
    result = content("classroom50", CLASSROOM50_RESULT)
    assert (result["score"], result["max-score"]) == (20, 60)
    assert sum(test["score"] for test in result["tests"]) == result["score"]
    assert sum(test["max-score"] for test in result["tests"]) == result["max-score"]
    assert result["owner"] == "the OWNER"
    assert result["review"] == "the COMMIT_URL"
    with pytest.raises(CourseError, match=r"whole points: 2\.3 has 2\.5"):
        written("classroom50", weights=Weights({"2.3": 2.5}))


def test_classroom50_works_only_in_its_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUBMISSION_TAG")
    with pytest.raises(CourseError, match="SUBMISSION_TAG is not set"):
        parse(["--stage=1", "--base-url=http://127.0.0.1:9", "--classroom50=result.json"])


def vpl_grade(text: str) -> str:
    """Return the grade as mod_vpl does: `find_proposedgrade`, the last match counts."""
    # https://github.com/jcrodriguez-dis/moodle-mod_vpl, vpl_submission.class.php
    return str(re.findall(r"^Grade :=>>(.*)$", text, re.MULTILINE)[-1]).strip()


def vpl_comments(text: str) -> list[str]:
    """Return the comments as mod_vpl does: `find_proposedcomment`."""
    comments, rest = "", text
    begins = re.compile(r"^[ \t]*(Comment :=>>(.*)|<\|--)[ \t]*$", re.MULTILINE)
    ends = re.compile(r"^[ \t]*--\|>[ \t]*$", re.MULTILINE)
    while begun := begins.search(rest):
        rest = rest[begun.end() + 1 :]
        if begun[1] != "<|--":
            comments += begun[2] + "\n"
        elif ended := ends.search(rest):
            comments, rest = comments + rest[: ended.start()], rest[ended.end() + 1 :]
        else:
            comments, rest = comments + rest, ""
    return comments.splitlines()


def test_vpl_gets_comments_and_one_grade_in_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    text = written("vpl")
    assert vpl_grade(text) == "3.333333"
    assert re.findall(r"^[ \t]*(?:Grade :=>>|--\|>)", text, re.MULTILINE).count("Grade :=>>") == 1
    comments = vpl_comments(text)
    titles = [line for line in comments if line.startswith("-")]
    assert titles == [
        *("-2.1 not checked: SQLite (the database", "-2.3 pass: Data survives"),
        *("-2.6 fail: Validation", "-1.1 pass: List"),
        *("-1.2 blocked by 1.3: Read", "-1.3 error: Add"),
    ]
    assert ">Hint: Which status?" in comments
    assert all(line.startswith((">", "-")) for line in comments[1:])
    monkeypatch.setenv("VPL_GRADEMIN", "40")
    monkeypatch.setenv("VPL_GRADEMAX", "100.00000")
    assert vpl_grade(written("vpl")) == "60"


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the protocol's
        """Keep it."""
        self.found.append(tag)


def test_coderunner_gets_a_fraction_and_a_table_of_rows_that_are_hidden_or_not() -> None:
    result = content("coderunner", CODERUNNER)
    assert result["fraction"] == pytest.approx(20 / 60)
    header, *rows = result["testresults"]
    assert header == ["iscorrect", "", "requirement", "result", "ishidden"]
    assert {len(row) for row in rows} == {len(header)}
    assert [(row[1], row[0], row[4]) for row in rows] == [
        *(("2.3", 1, 0), ("2.6", 0, 1)),
        *(("1.1", 1, 1), ("1.2", 0, 1)),
    ]
    assert Tags(result["prologuehtml"]).found == ["pre"]


def test_an_ungradeable_run_gets_no_mark_if_the_platform_allows_that() -> None:
    results = content("gradescope", GRADESCOPE, NOTHING)
    assert (results["score"], "tests" in results) == (0, False)
    assert "It did not start: SyntaxError" in results["output"]
    result = content("classroom50", CLASSROOM50_RESULT, NOTHING)
    assert (result["score"], result["max-score"], result["tests"]) == (0, 0, [])
    text = written("vpl", NOTHING)
    assert "Grade :=>>" not in text
    assert vpl_comments(text)[0].endswith("correct that error.")
    with pytest.raises(json.JSONDecodeError):
        json.loads(written("coderunner", NOTHING))


@pytest.mark.parametrize(
    ("points", "count", "shares"),
    [(7, 3, [3, 2, 2]), (1, 4, [0.25] * 4), (2.5, 2, [1.25, 1.25]), (0, 2, [0, 0]), (5, 0, [])],
)
def test_points_of_a_stage_are_divided_into_whole_numbers_if_possible(
    points: float, count: int, shares: list[float]
) -> None:
    assert shared(points, count) == shares


def test_points_and_visibility_are_read_by_row_and_by_stage(tmp_path: Path) -> None:
    file = tmp_path / "weights.toml"
    file.write_text(
        '[points]\n1 = 30\n2.6 = 4\n"2.3" = 0.5\n[visibility]\ndefault = "hidden"\n1 = "visible"\n'
    )
    weights = read_weights(file, ROWS, [1, 2])
    assert weights.of(GRADE.rows) == {
        "2.1": 0,
        "2.3": 0.5,
        "2.6": 4,
        "1.1": 10,
        "1.2": 10,
        "1.3": 10,
    }
    assert [weights.shown(row) for row in GRADE.rows] == ["hidden"] * 3 + ["visible"] * 3
    assert Weights().of(GRADE.rows) == dict.fromkeys(ROWS, 1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[points", "weights.toml: "),
        ("[point]\n1 = 2", "no table [point]"),
        ("points = 3", "[points] is a table"),
        ("[points]\n7 = 1", "no row or stage '7'"),
        ('[points]\n"1.9" = 1', "no row or stage '1.9'"),
        ("[points]\n1 = -1", "is not 0 or more"),
        ("[points]\n1 = nan", "is not 0 or more"),
        ("[points]\n1 = inf", "is not 0 or more"),
        ("[points]\n1 = true", "True is not a number"),
        ("[points]\n1 = 0", "nothing in it has points"),
        ('[points]\n1 = 1\n[visibility]\n1 = "never"', "'never' is not one of visible, hidden"),
    ],
)
def test_a_wrong_file_of_weights_is_one_clear_line(
    text: str, complaint: str, tmp_path: Path
) -> None:
    file = tmp_path / "weights.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CourseError) as caught:
        read_weights(file, ROWS, [1, 2])
    assert complaint in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_every_platform_is_written_by_one_grading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.grade.learner.ANSWERS_WITHIN", 0.2)
    report = grade_here(
        tmp_path,
        *("--stage=1", "--base-url=http://127.0.0.1:9", "--gradescope=results"),
        *("--classroom50=result.json", "--vpl=vpl.txt", "--coderunner=coderunner.json"),
    )
    assert report.exit_code == 2
    assert json.loads(report.file("results/results.json"))["score"] == 0
    assert json.loads(report.file("result.json"))["max-score"] == 0
    assert report.file("vpl.txt").startswith("Comment :=>>")
    assert "nothing usable answers" in report.file("coderunner.json")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--roster=r.csv", "--vpl=v.txt"), "--vpl is for one solution"),
        (("--base-url=http://127.0.0.1:9", "--weights=w"), "--weights is for a platform"),
    ],
)
def test_options_that_contradict_each_other_are_one_clear_line(
    arguments: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(CourseError, match=complaint):
        parse(["--stage=1", *arguments])


PAGE = (ROOT / "docs" / "platforms.md").read_text(encoding="utf-8")
GRADE_COMMAND = "python3 noxfile.py grade "


def blocks(language: str) -> list[str]:
    """Return the blocks of the page that are in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("line", [li for li in PAGE.splitlines() if li.startswith(GRADE_COMMAND)])
def test_each_command_of_the_page_is_one_that_the_grader_takes(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tools.grade.sandbox.find_bubblewrap", lambda: "bwrap")
    monkeypatch.setattr("tools.grade.docker.find_docker", lambda: "docker")
    monkeypatch.setattr("tools.grade.docker.check_image", lambda *_: None)
    words = shlex.split(line.partition(" >")[0].removeprefix(GRADE_COMMAND))
    options = parse([str(tmp_path) if word == "$PWD" else word for word in words])
    assert options.stage.number == 3


def test_the_weights_of_the_page_are_read(tmp_path: Path) -> None:
    (example,) = blocks("toml")
    file = tmp_path / "weights.toml"
    file.write_text(example, encoding="utf-8")
    rows = due(load_requirements(), 3)
    weights = read_weights(file, (row.id for row in rows), {row.stage for row in rows})
    worth = weights.of([Row(row.id, row.text, row.stage, "pass") for row in rows])
    assert sum(worth.values()) == 100
    assert worth["3.5"] == 10


def test_the_autograder_of_the_page_calls_the_grader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = blocks("python")
    (tmp_path / "noxfile.py").write_text(
        "import json, pathlib, sys\npathlib.Path('called.json').write_text(json.dumps(sys.argv))"
    )
    submission = tmp_path / "submission"
    submission.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=submission,
        env=os.environ | {"COURSE": str(tmp_path)},
    )
    assert done.returncode == 0
    called = json.loads((tmp_path / "called.json").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    options = parse(called[called.index("grade") + 1 :])
    assert options.platforms.files == {"classroom50": submission / "result.json"}


def test_the_page_names_the_real_limits() -> None:
    limits = LIMITS
    for text in (
        f"{limits.memory // MIB} MiB of memory",
        f"{limits.processes} processes and threads",
        f"{limits.open_files} open files",
        f"files of {limits.file // MIB} MiB",
        f"{limits.disk // MIB} MiB on disk in 20 000 files",
        f"{limits.memory_files // MIB} MiB in `/tmp`",
    ):
        assert text in " ".join(PAGE.split())
    assert (limits.files, limits.seconds) == (20_000, 3600)
