"""The rules that turn results of tests into a grade and its report."""

import errno
import itertools
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest
from watchfiles import Change

from course.catalog.parts import read_parts
from course.catalog.requirements import Requirement, load_requirements
from course.catalog.stages import ROOT, CourseError, find_stage, load_course
from course.harness.learners import NEEDS_CMD
from course.harness.profile import ProfileError, load_profile
from tools.grade import report_html, report_json, report_junit, report_markdown, report_terminal
from tools.grade.changes import SourceFilter
from tools.grade.grading import with_hints
from tools.grade.hints import KINDS, load_hints, next_hints
from tools.grade.learner import environment_of
from tools.grade.options import parse
from tools.grade.outcomes import (
    LOG_WIDTH,
    GaveUp,
    Outcome,
    Suite,
    Verdict,
    log_end,
    read_suite,
)
from tools.grade.platforms import details
from tools.grade.plugin import is_ours
from tools.grade.results import ONLY_CRAFT, PARTLY_NEEDS_CMD, Grade, Row, due, judge
from tools.grade.steps import STEPS, step_of
from tools.grade.unbegun import not_begun
from tools.learn.starter import make_starter

LIST, READ, ADD = (
    Requirement(row, text, 1, (f"t.py::test_{row}",))
    for row, text in (("1.1", "List"), ("1.2", "Read"), ("1.3", "Add"))
)
ROWS = [LIST, READ, ADD]


def passed(row: Requirement, variant: str = "") -> Outcome:
    """Return a passed test of the row."""
    return Outcome(row.tests[0] + variant, "passed")


def failed(row: Requirement, step: str = "", variant: str = "") -> Outcome:
    """Return a failed test of the row; with `step` it failed in a step of another row."""
    return Outcome(row.tests[0] + variant, "failed", step=step, got="it")


def skipped(row: Requirement, reason: str) -> Outcome:
    """Return a test of the row that could not run."""
    return Outcome(row.tests[0], "skipped", reason=f"not checked: {reason}")


def judged(
    *outcomes: Outcome, gave_up: tuple[GaveUp, ...] = (), broken: str = ""
) -> dict[str, Row]:
    """Return the rows by their ids."""
    chosen = tuple({test for row in ROWS for test in row.tests} | {o.test for o in outcomes})
    suite = Suite(outcomes, chosen, (), gave_up, broken)
    return {row.id: row for row in judge(ROWS, suite)}


def test_a_row_passes_when_all_of_its_tests_do() -> None:
    rows = judged(passed(LIST), passed(LIST, "[x]"), passed(READ), passed(ADD))
    assert {row.status for row in rows.values()} == {"pass"}


def test_a_row_fails_when_one_variant_fails() -> None:
    rows = judged(passed(LIST), failed(LIST, variant="[x]"), passed(READ), passed(ADD))
    assert [row.status for row in rows.values()] == ["fail", "pass", "pass"]


def test_a_row_that_builds_on_a_failed_row_is_blocked() -> None:
    rows = judged(failed(LIST, "1.3"), failed(READ, "1.1"), failed(ADD, "1.3"))
    assert [row.status for row in rows.values()] == ["blocked", "blocked", "fail"]
    assert (rows["1.1"].blocked_by, rows["1.2"].blocked_by) == ("1.3", "1.1")


def test_a_row_that_passes_its_own_tests_blocks_no_other_row() -> None:
    rows = judged(failed(LIST, "1.3"), passed(READ), passed(ADD))
    assert (rows["1.1"].status, rows["1.3"].status) == ("fail", "pass")


def test_rows_that_block_each_other_fail() -> None:
    rows = judged(failed(LIST, "1.3"), passed(READ), failed(ADD, "1.1"))
    assert (rows["1.1"].status, rows["1.3"].status) == ("fail", "fail")


def test_an_own_failure_fails_a_row_even_if_another_row_fails() -> None:
    rows = judged(failed(LIST, "1.3"), failed(LIST, variant="[x]"), passed(READ), failed(ADD))
    assert rows["1.1"].status == "fail"
    assert rows["1.1"].failures[0].step == ""


def unfinished(row: Requirement, todo: str, step: str = "") -> Outcome:
    """Return a test of the row that a starter answered with its TODO."""
    exchange = f'GET /todos\n→ 501\n\n{{"detail":"TODO {todo}: to be written"}}'
    return replace(failed(row, step), exchange=exchange)


def test_a_row_with_a_todo_is_not_begun_and_others_wait_for_it() -> None:
    rows = judged(unfinished(LIST, "1.3"), failed(READ, "1.1"), unfinished(ADD, "1.2, 1.3"))
    assert [row.word for row in rows.values()] == ["waiting", "waiting", "to do"]
    assert (rows["1.1"].waiting_for, rows["1.2"].waiting_for) == ("1.3", "1.3")
    assert rows["1.3"].todo == "1.2, 1.3"
    grade = Grade(1, tuple(rows.values()))
    assert (grade.failing(), grade.exit_code, grade.score.earned) == ((), 1, 0)
    printed = report_terminal.render(grade, colour=False)
    assert "  1.1  waiting for 1.3  List\n" in printed
    assert "  1.3  to do            Add  (TODO 1.2, 1.3)\n" in printed
    assert "Not begun: 1.3" in printed
    assert "Failed requirements" not in printed


def test_a_row_in_work_shows_its_own_failure_before_a_todo() -> None:
    rows = judged(passed(LIST), unfinished(READ, "1.2"), failed(READ, variant="[x]"), passed(ADD))
    row = rows["1.2"]
    assert (row.word, row.todo, row.waiting_for) == ("fail", "", "")
    assert [failure.todo for failure in row.failures] == ["", "1.2"]


def test_a_row_with_all_todos_in_the_source_is_not_begun(tmp_path: Path) -> None:
    stages = load_course()
    stage = find_stage(stages, "3")
    starter = tmp_path / "starter"
    make_starter(stages, stage, starter)
    rows = {row for part in read_parts(stage) for row in part.rows}
    assert not_begun(starter, stage) == rows

    part = next(part for part in read_parts(stage) if part.names)
    file, mark = starter / part.path, f"# TODO {', '.join(part.rows)}:"
    file.write_text(file.read_text("utf-8").replace(mark, "# done:", 1), "utf-8")
    assert rows - not_begun(starter, stage) == set(part.rows)
    assert not_begun(ROOT / stage.directory, stage) == set()


def test_rows_that_have_not_begun_are_no_failures_and_others_wait_for_them() -> None:
    outcomes = (failed(LIST, "1.3"), failed(READ, "1.3"), failed(ADD))
    suite = Suite(outcomes, tuple(outcome.test for outcome in outcomes))
    rows = judge(ROWS, suite, not_begun={"1.1", "1.3"})
    assert [row.word for row in rows] == ["to do", "waiting", "to do"]
    assert Grade(1, tuple(rows)).failing() == ()


def test_a_todo_of_a_passed_row_blocks_no_other_row() -> None:
    rows = judged(unfinished(LIST, "1.3"), passed(READ), passed(ADD))
    assert (rows["1.1"].status, rows["1.1"].waiting_for) == ("fail", "")


def test_rows_of_a_stage_that_wait_for_the_same_row_are_one_line() -> None:
    held_up = Row("1.1", "Old", 1, "blocked", blocked_by="2.1", waiting_for="2.1")
    earlier = (held_up, replace(held_up, id="1.2"))
    todo = Row("2.1", "New", 2, "fail", failures=(unfinished(replace(LIST, id="2.1"), "2.1"),))
    grade = Grade(2, (*earlier, todo))
    printed = report_terminal.render(grade, colour=False)
    assert printed.count("waiting for 2.1") == 1
    assert grade.regressions() == ()


def test_an_earlier_row_that_waits_is_not_a_regression() -> None:
    blocked = Row("1.1", "Old", 1, "blocked", blocked_by="2.1")
    broken = Row("1.2", "Older", 1, "fail", failures=(failed(replace(LIST, id="1.2")),))
    grade = Grade(2, (blocked, broken, Row("2.1", "New", 2, "fail", failures=(failed(LIST),))))
    assert [row.id for row in grade.regressions()] == ["1.2"]


def test_the_sum_counts_the_tests_of_rows_in_work() -> None:
    before = judged(passed(LIST), *(failed(READ, variant=f"[{n}]") for n in "abc"), passed(ADD))
    after = judged(passed(LIST), failed(READ), *(passed(READ, f"[{n}]") for n in "ab"), passed(ADD))
    sums = [report_terminal.total_line(Grade(1, tuple(r.values())), "en") for r in (before, after)]
    assert sums[0] == "Sum: 2 earned / 3 checkable / 3 total. In work: 0 of 3 tests pass"
    assert sums[1] == "Sum: 2 earned / 3 checkable / 3 total. In work: 2 of 3 tests pass"
    printed = report_terminal.render(Grade(1, tuple(after.values())), colour=False)
    assert "1.2  fail             Read  (3 run, 1 failed)" in printed


def test_a_row_that_no_client_sees_is_not_checked_with_a_reason() -> None:
    rows = judged(skipped(LIST, "needs the source"), passed(READ), passed(ADD))
    assert (rows["1.1"].status, rows["1.1"].reason) == ("not_checked", "needs the source")
    score = Grade(1, tuple(rows.values())).score
    assert (score.earned, score.checkable, score.total) == (2, 2, 3)


def test_a_row_about_a_restart_is_not_earned_by_its_other_tests() -> None:
    restart = replace(LIST, restart=True, tests=(*LIST.tests, "t.py::test_restart"))
    partly = replace(READ, tests=(*READ.tests, "t.py::test_kill"))
    outcomes = (
        passed(LIST),
        passed(READ),
        *(
            Outcome(test, "skipped", reason=NEEDS_CMD)
            for test in (restart.tests[1], partly.tests[1])
        ),
    )
    suite = Suite(outcomes, tuple(outcome.test for outcome in outcomes))
    rows = {row.id: row for row in judge([restart, partly], suite)}
    assert (rows["1.1"].status, rows["1.1"].reason) == ("not_checked", NEEDS_CMD)
    assert (rows["1.2"].status, rows["1.2"].reason) == ("pass", PARTLY_NEEDS_CMD)


def test_tests_that_a_dead_server_prevents_are_blocked_and_its_row_fails() -> None:
    gone = GaveUp("", "it is gone", READ.tests[0])
    rows = judged(passed(LIST), failed(READ), gave_up=(gone,))
    assert [row.status for row in rows.values()] == ["pass", "fail", "blocked"]
    assert rows["1.3"].blocked_by == "1.2"


def test_a_suite_that_was_given_up_blocks_no_other_suite() -> None:
    hung = replace(ADD, id="8.1", tests=("tests/stage08/t.py::test_a",), stage=8)
    waits = replace(ADD, id="8.2", tests=("tests/stage08/t.py::test_b",), stage=8)
    suite = Suite(
        (failed(hung), passed(LIST)),
        (*hung.tests, *waits.tests, *LIST.tests),
        gave_up=(GaveUp("tests/stage08/", "it hangs", hung.tests[0]),),
    )
    rows = {row.id: row for row in judge([LIST, hung, waits], suite)}
    assert [row.status for row in rows.values()] == ["pass", "fail", "blocked"]


def test_a_fault_of_ours_is_an_error_and_costs_nothing() -> None:
    rows = judged(passed(LIST), Outcome(READ.tests[0], "error"), broken="pytest crashed")
    assert [row.status for row in rows.values()] == ["pass", "error", "error"]
    grade = Grade(1, tuple(rows.values()), problem="pytest crashed")
    assert (grade.score.earned, grade.score.checkable, grade.exit_code) == (1, 1, 2)


def advised(row: Requirement, verdict: Verdict = "failed", step: str = "") -> Outcome:
    """Return a craft test of the row, which failed unless `verdict` says otherwise."""
    test = f"{row.tests[0]}[craft]"
    return Outcome(test, verdict, step=step, expected="307", got="404", craft=True, cites=("E14",))


def with_craft(*outcomes: Outcome, strict: bool = False, chosen: tuple[str, ...] = ()) -> Grade:
    """Return the grade of a suite in which some tests are craft."""
    craft = tuple(outcome.test for outcome in outcomes if outcome.craft) + chosen
    tests = (*(outcome.test for outcome in outcomes), *chosen)
    suite = Suite(outcomes, tests, craft=() if strict else craft)
    return Grade(1, tuple(judge(ROWS, suite)))


def test_a_craft_test_that_fails_is_a_suggestion_and_costs_nothing() -> None:
    outcomes = (passed(LIST), advised(LIST), passed(READ), passed(ADD), advised(ADD))
    grade = with_craft(*outcomes)
    assert [row.status for row in grade.rows] == ["pass"] * 3
    assert [(row.run, row.of) for row in grade.rows] == [(1, 1)] * 3
    assert [one.row.id for one in grade.suggestions()] == ["1.1", "1.3"]
    assert (grade.score.earned, grade.exit_code) == (3, 0)

    strict = with_craft(*outcomes, strict=True)
    assert [row.status for row in strict.rows] == ["fail", "pass", "fail"]
    assert strict.suggestions() == ()


def test_a_craft_test_that_was_not_run_or_broke_costs_nothing() -> None:
    grade = with_craft(
        *(passed(LIST), passed(READ), passed(ADD), advised(READ, "error")),
        chosen=("t.py::test_1.1[not run]",),
    )
    assert [row.status for row in grade.rows] == ["pass"] * 3
    assert (grade.suggestions(), grade.exit_code) == ((), 0)


def test_a_row_with_only_craft_is_not_checked() -> None:
    grade = with_craft(advised(LIST), passed(READ), passed(ADD))
    assert (grade.rows[0].status, grade.rows[0].reason) == ("not_checked", ONLY_CRAFT)
    assert [one.row.id for one in grade.suggestions()] == ["1.1"]
    skips = replace(advised(LIST, "skipped"), reason="not checked: needs the source of the app")
    grade = with_craft(skips, passed(READ), passed(ADD))
    assert grade.rows[0].reason == "needs the source of the app"


def test_a_craft_test_on_a_failed_row_is_not_a_suggestion() -> None:
    outcomes = (passed(LIST), advised(LIST, step="1.3"), passed(READ), failed(ADD), advised(ADD))
    assert with_craft(*outcomes).suggestions() == ()


def test_variants_of_one_suggestion_are_one() -> None:
    twice = [replace(advised(LIST), test=f"t.py::test_1.1[{name}]") for name in "ab"]
    grade = with_craft(passed(LIST), passed(READ), passed(ADD), *twice)
    assert len(grade.suggestions()) == 1


def test_every_report_separates_suggestions_from_failures() -> None:
    grade = with_craft(passed(LIST), advised(LIST), passed(READ), passed(ADD))
    printed = report_terminal.render(grade, colour=False)
    assert "Sum: 3 earned / 3 checkable / 3 total (0 s). Craft: 1 suggestion\n" in printed
    sentence = "A path with one slash too many answers 307 with the right path, on the host"
    for report in (printed, report_markdown.render(grade), report_html.render(grade)):
        assert "Craft: 1 suggestion" in report
        assert sentence in report
        assert "Failed requirements" not in report
    assert "advice, no points: 1.1 [craft]" in details(grade.rows[0], "en")
    case = ElementTree.fromstring(report_junit.render(grade)).find(".//testcase")  # noqa: S314
    assert case is not None
    assert [child.tag for child in case] == ["system-out"]
    content = report_json.content(grade)
    assert content["summary"]["suggestions"] == 1
    first = content["requirements"][0]
    assert (len(first["suggestions"]), first["failures"]) == (1, [])


def test_a_failure_names_its_sentence_of_the_contract() -> None:
    row = replace(BAD, failures=(replace(BAD.failures[0], cites=("E3",)),))
    grade = Grade(1, (row,))
    for report in (partial(report_terminal.render, colour=False), report_html.render):
        assert "[E3] Unknown ids answer 404" in report(grade)
    assert "Unknown ids answer 404" in report_markdown.render(grade)


@pytest.mark.parametrize(
    ("error", "file", "ours"),
    [
        (AssertionError("assert 404 == 200"), "tests/stage01/test_todos.py", False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "course/harness/driver.py", False),
        (TimeoutError("Timeout (>15.0s) from pytest-timeout"), "tests/stage01/t.py", False),
        (
            TimeoutError("Timeout (>15.0s) from pytest-timeout"),
            "x/course/catalog/environment.py",
            True,
        ),
        (AssertionError("previous item was not torn down properly"), "runner.py", True),
        (OSError(errno.ENOSPC, "No space left on device"), "course/harness/server.py", True),
        (OSError(errno.EMFILE, "Too many open files"), "course/harness/driver.py", True),
        (CourseError("uv … failed"), "course/harness/server.py", True),
        (ModuleNotFoundError("no module"), "tests/stage04/pictures.py", True),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_faults_of_ours_and_of_the_server_are_distinguished(
    error: BaseException, file: str, ours: bool
) -> None:
    assert is_ours(error, str(error), [("tests/stage01/t.py", "test_it"), (file, "f")]) == ours


def test_exit_codes_distinguish_faults() -> None:
    right = Row("1.1", "List", 1, "pass")
    assert Grade(1, (right,)).exit_code == 0
    assert Grade(1, (right, replace(right, status="blocked")), problem="p").exit_code == 1
    assert Grade(1, (replace(right, status="not_checked"),)).exit_code == 2
    assert Grade(1, (right, replace(right, status="error"))).exit_code == 2


def test_a_stage_that_a_solution_leaves_out_is_not_checked() -> None:
    later = replace(LIST, id="6.1", stage=6)
    outcomes = (passed(later), failed(READ))
    rows = {row.id: row for row in judge([READ, later], Suite(outcomes), {1: "no /todos"})}
    assert (rows["1.2"].status, rows["1.2"].reason) == ("not_checked", "no /todos")
    assert rows["6.1"].status == "pass"


def test_a_row_that_ended_is_not_due() -> None:
    rows = {row.id for row in due(load_requirements(), 2)}
    assert "1.7" not in rows
    assert {"1.1", "2.6"} <= rows
    assert not any(row[0] in "CD3" for row in rows)


def test_an_incomplete_last_event_is_ignored() -> None:
    lines = ['{"event": "chosen", "chosen": ["a"], "left_out": []}', '{"event": "outc']
    assert read_suite(lines).chosen == ("a",)


def test_the_innermost_step_is_the_one_that_failed() -> None:
    place = "/x/course/harness/driver.py"
    frames = [("/x/tests/stage01/test_list.py", "test_it"), (place, "every_todo")]
    assert step_of([*frames, (place, "list_todos"), (place, "_expect")]) == "1.1"
    assert step_of(frames[:1]) == ""


def test_the_steps_are_functions_that_exist() -> None:
    for file, steps in STEPS.items():
        source = (ROOT / ("course" if file.startswith("harness") else "tests") / file).read_text(
            encoding="utf-8"
        )
        for function in steps:
            assert f"def {function}(" in source, (file, function)


HOSTILE = '</pre><script>alert(1)</script>|`x`\n```\n\x00\x1b[31m"'
BAD = Row("1.1", "List", 1, "fail", failures=(failed(LIST),), run=1, of=1, hint="Think")
BAD = replace(BAD, failures=(replace(BAD.failures[0], got=HOSTILE, curl=f"curl {HOSTILE}"),))
NUMBERS = itertools.count()
BAD_GRADE = Grade(2, (BAD, Row("2.1", "SQLite", 2, "pass")), server=HOSTILE, log=HOSTILE)


def test_answers_of_a_server_are_text_in_every_report() -> None:
    page = report_html.render(BAD_GRADE)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    ElementTree.fromstring(report_junit.render(BAD_GRADE))  # noqa: S314 - our own
    assert "\n```\n" in report_markdown.render(BAD_GRADE)
    assert "````\ncurl" in report_markdown.render(BAD_GRADE)
    assert "\x1b" not in report_terminal.render(BAD_GRADE, colour=False)
    assert report_json.content(BAD_GRADE)["requirements"][0]["failures"][0]["got"] == HOSTILE


def test_the_graded_stage_comes_first_and_regressions_are_separate() -> None:
    printed = report_terminal.render(BAD_GRADE, colour=False)
    assert printed.index("Stage 2") < printed.index("Stage 1")
    assert "Regressions in earlier stages\n  1.1" in printed
    assert "Hint: Think" in printed
    assert printed.index("Hint: Think") < printed.index("must hold") < printed.index("got:")
    assert "\x1b[31m" in report_terminal.render(BAD_GRADE, colour=True)


def test_a_missing_server_is_one_line() -> None:
    rows = tuple(Row(f"1.{n}", "List", 1, "error") for n in range(1, 8))
    lost = Grade(1, rows, problem="nothing usable answers at http://127.0.0.1:9: refused")
    printed = report_terminal.render(lost, colour=False)
    assert printed.splitlines() == [
        "The solution could not be graded: nothing usable answers at http://127.0.0.1:9: refused"
    ]
    for report in (report_markdown.render(lost), report_html.render(lost)):
        assert "nothing usable answers" in report
        assert "1.7" not in report


def test_an_ungraded_solution_shows_its_log_and_no_verdict() -> None:
    lost = Grade(1, (Row("1.1", "List", 1, "error"),), problem="It did not start:\nSyntaxError")
    part = replace(lost, rows=(*lost.rows, Row("1.2", "Read", 1, "pass")))
    for report in (partial(report_terminal.render, colour=False), report_html.render):
        assert "The solution could not be graded" in report(lost)
        assert "correct that error" in report(lost)
        assert "Some requirements could not be graded" in report(part)


def test_all_letters_are_readable_and_cursor_codes_are_escaped() -> None:
    outcome = Outcome(r"t.py::test_a_name[\u041a\U0001f95b \u202e\ud800\x1b]", "failed")
    assert outcome.sentence == r"a name [К🥛 \u202e\ud800\x1b]"


def test_a_long_line_of_a_log_is_cut() -> None:
    assert log_end(f"a\nb\n{'9' * 5000}", 2) == f"b\n{'9' * LOG_WIDTH} …"


def test_the_matrix_has_a_title_and_reasons_of_failures() -> None:
    row = Row("1.1", "List <b>", 1, "fail", failures=(replace(failed(LIST), got=HOSTILE),))
    good = replace(row, status="pass", failures=())
    grades = [("Ada", Grade(1, (good,), stage_titles={1: "Todos"})), ("Bob", Grade(1, (row,)))]
    page = report_html.render_matrix(grades, "en")
    assert re.search(r">Stage 1: Todos, \d{4}-\d\d-\d\d</h1>", page)
    assert '<dt id="requirement-1.1">1.1</dt><dd>List &lt;b&gt;</dd>' in page
    assert [f"<summary><strong>{name}<" in page for name in ("Ada", "Bob")] == [False, True]
    assert "&lt;script&gt;alert(1)" in page
    assert "<td>1</td><td>2</td><td>1</td>" in page  # earned, checkable, and of row 1.1


def test_every_row_has_every_hint_in_both_languages() -> None:
    hints = load_hints()
    rows = [row for row in load_requirements() if not row.id.startswith("D.")]
    assert rows
    for row in rows:
        assert hints.text(row.id, "ru", "") != ""
        for language in ("en", "ru"):
            said = [hints.hint(row.id, number, language) for number in range(1, len(KINDS) + 1)]
            assert len(set(said)) == len(KINDS), (row.id, language)
            assert said[0].rstrip("»”").endswith("?"), row.id


def answering(status: int, body: str = "") -> Row:
    """Return a failed row whose answer has a different id each time."""
    exchange = f"GET /todos/{next(NUMBERS)}\n→ {status}\n\n{body}"
    return replace(BAD, failures=(replace(BAD.failures[0], exchange=exchange),))


def test_a_row_that_fails_in_another_way_gets_its_next_hint(tmp_path: Path) -> None:
    rows = [answering(status) for status in (404, 500, 422, 405)]
    assert [next_hints([row], tmp_path)["1.1"] for row in rows] == [1, 2, 3, 3]


def test_a_second_look_uses_up_no_hint(tmp_path: Path) -> None:
    assert [next_hints([answering(404)], tmp_path)["1.1"] for _ in range(3)] == [1, 1, 1]
    assert next_hints([answering(500)], tmp_path, forward=False)["1.1"] == 1


def test_a_row_that_passes_starts_again_at_the_first_hint(tmp_path: Path) -> None:
    for status in (404, 500):
        next_hints([answering(status)], tmp_path)
    assert "1.1" not in next_hints([replace(BAD, status="pass")], tmp_path)
    assert next_hints([answering(404)], tmp_path)["1.1"] == 1


def test_a_todo_gets_its_place_instead_of_a_hint(tmp_path: Path) -> None:
    row = answering(501, '{"detail":"TODO 1.1, 1.2: List all tasks"}')
    assert next_hints([row], tmp_path) == {}
    hinted = with_hints(Grade(1, (row, answering(501))), load_hints(), {}, None).rows
    assert hinted[0].hint == "Not started yet: look for `TODO 1.1, 1.2`"
    assert hinted[1].hint == load_hints().hint("1.1", 1, "en")


def test_the_hint_of_the_failed_test_comes_first_and_an_exception_before_it() -> None:
    test = "tests/stage01/test_list.py::test_the_filter_separates_completed_from_open_todos"
    failure = replace(failed(LIST), test=test)
    hinted = with_hints(Grade(1, (replace(BAD, failures=(failure,)),)), load_hints(), {}, None)
    (of_test, first), (of_row, second) = report_terminal.hints_of(hinted.rows[0], "en")
    assert (of_test, of_row) == ("Hint", "About the requirement")
    assert first.startswith("Three cases differ")
    assert second == load_hints().hint("1.1", 1, "en")
    raised = replace(failure, exception="KeyError: 'x'", place="app/todos/router.py:41")
    assert load_hints().of_test(raised, "ru").endswith("начните с app/todos/router.py:41")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"1.1": "x"}', '{"1.1": 2}'])
def test_an_unreadable_state_of_hints_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / ".grade").mkdir()
    (tmp_path / ".grade" / "hints.json").write_text(text, encoding="utf-8")
    assert next_hints([BAD], tmp_path)["1.1"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('port = "5000"', "port is a number"),
        ("colour = 1", "there is no key 'colour'"),
        ("[paths\n", "Expected"),
        ('[paths]\n"todos" = "/tasks"', "a path begins with /"),
        ('[paths]\n"/a" = "/x"\n"/b" = "/x"', "gives one name to two things"),
        ("[fields.todos]\ntitle = 1", "[fields.todos] holds lines of the form"),
        ("fields = 1", "[fields] holds lines of the form"),
    ],
)
def test_a_wrong_profile_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "profile.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ProfileError, match=f"profile.toml: .*{said.replace('[', '.')}"):
        load_profile(file)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stage=1"], "either --base-url URL or --cmd COMMAND"),
        (["--stage=1", "--cmd=x", "--base-url=http://h"], "either --base-url URL or --cmd"),
        (["--stage=1", "--cmd=x '"], "--cmd: No closing quotation"),
        (["--stage=1", "--cmd=x", "--profile=missing.toml"], "missing.toml: No such file"),
        (["--stage=1", "--cmd=x", "--env", "=1"], "--env is NAME=VALUE"),
        (["--stage=1", "--cmd=x", "--csv=x.csv"], "--csv is the matrix"),
        (["--stage=1", "--base-url=http://h", "--cwd=."], "--cwd needs --cmd"),
        (["--stage=1", "--base-url=http://h", "--watch"], "--watch needs --cmd"),
        (["--stage=1", "--base-url=http://h", "--admin-username=a"], "give both"),
        (["--stage=1", "--roster=r.csv", "--cmd=x"], "--roster names the solutions"),
        (["--stage=1", "--roster=r.csv", "--junit=x.xml"], "--junit is for one solution"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options_are_one_clear_line(arguments: list[str], said: str) -> None:
    with pytest.raises(CourseError, match=said):
        parse(arguments)


def test_a_solution_gets_no_secret_of_the_caller(tmp_path: Path) -> None:
    caller = {
        "PATH": "/usr/bin",
        "HOME": "/home/x",
        "GITHUB_TOKEN": "t",
        "AWS_SECRET_ACCESS_KEY": "k",
    }
    caller |= {"DATABASE_URL": "postgresql://of-the-school", "DB_PASSWORD": "p", "PYTHONPATH": "/x"}
    given = environment_of(tmp_path, caller)
    assert given["HOME"] == "/home/x"
    assert not given.keys() & {*caller} - {"PATH", "HOME"}


def test_only_the_source_of_a_solution_starts_the_next_run(tmp_path: Path) -> None:
    counts = SourceFilter([tmp_path / "report.json"])
    changed = ["app/main.py", "report.json", ".grade/hints.json", "todo.db-wal", "server.log"]
    changed += ["__pycache__/main.pyc", "src/Main.java"]
    found = [file for file in changed if counts(Change.modified, str(tmp_path / file))]
    assert found == ["app/main.py", "src/Main.java"]


def test_a_hint_names_existing_places() -> None:
    contract = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    for row in load_requirements():
        for language in ("en", "ru"):
            pointer = load_hints().hint(row.id, len(KINDS), language)
            for file in re.findall(r"[\w/-]+\.md", pointer):
                assert (ROOT / file).is_file(), pointer
            if "Lesson:" in pointer or "Урок:" in pointer:
                lesson = pointer.partition("Lesson:" if language == "en" else "Урок:")[2]
                page = re.findall(r"[\w/-]+\.md", lesson)[0]
                sections = re.findall(r"^##+ (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
                quoted = re.findall(r"[“«](.+?)[”»]", lesson.partition(". ")[0])
                assert quoted, pointer
                assert set(quoted) <= set(sections), pointer
            for section in re.findall(
                r"[“«]([^”»]+ \((?:stage \d|capstone)\)|Everywhere)[”»]", pointer
            ):
                assert f"## {section}" in contract, pointer
