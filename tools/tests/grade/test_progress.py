"""A grade shows its progress and stores its result for the next one."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from watchfiles import Change

from course.catalog.requirements import load_requirements
from tools.grade import history, progress
from tools.grade.changes import changed_files
from tools.grade.outcomes import write_event
from tools.grade.progress import Progress
from tools.grade.report_terminal import change_line, render
from tools.grade.results import Grade, Row
from tools.tests.grade.test_plugin import names, run
from tools.tests.grade.test_results import ADD, LIST, ROWS, failed, judged, passed


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def events_of(directory: Path, *tests: str, verdict: str = "passed") -> Path:
    """Return a file in which pytest recorded these tests, the last one incomplete."""
    file = directory / "events.jsonl"
    chosen = [*LIST.tests, *ADD.tests, "t.py::test_1.2"]
    write_event(file, "chosen", chosen=chosen, left_out=[], craft=[])
    for test in tests:
        write_event(file, "began", test=test)
        write_event(file, "outcome", test=test, verdict=verdict)
    write_event(file, "began", test=ADD.tests[0])
    return file


def test_a_terminal_shows_the_row_and_the_count_on_one_line(tmp_path: Path) -> None:
    terminal = Terminal()
    following = Progress(ROWS, terminal)
    events = events_of(tmp_path, LIST.tests[0])
    with events.open("a") as file:
        file.write('{"event": "outc')  # half a line
    following.follow(events)
    assert terminal.getvalue().endswith("1 of 3 tests, 1.3 Add")
    assert "\n" not in terminal.getvalue()
    following.say("a line that stays")
    assert terminal.getvalue().endswith("\r\x1b[Ka line that stays\n")


def test_a_file_gets_a_line_from_time_to_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    following = Progress(ROWS, stream, "ru")
    events = events_of(tmp_path, LIST.tests[0])
    following.follow(events)
    assert stream.getvalue() == ""
    monkeypatch.setattr(progress, "EVERY", 0.0)
    write_event(events, "began", test=LIST.tests[0])
    following.follow(events)
    assert stream.getvalue() == "1 из 3 проверок, 1.1 List\n"


def test_rows_that_failed_before_are_reported_first(tmp_path: Path) -> None:
    stream = io.StringIO()
    following = Progress(ROWS, stream)
    following.look_first_at({"1.1": 48, "1.2": 2})
    events = events_of(tmp_path, LIST.tests[0], verdict="failed")
    following.follow(events)
    assert stream.getvalue() == ""
    write_event(events, "outcome", test="t.py::test_1.2", verdict="passed")
    following.follow(events)
    assert "These rows now: 1.1 48 → 1 failing, 1.2 passes so far\n" in stream.getvalue()


SUITE = """
import pytest

pytestmark = pytest.mark.contract("T1")

def test_the_list_is_sorted_by_id(): ...

def test_other(): ...

def test_creating_a_todo_returns_all_its_fields(): ...
"""


def test_the_tests_of_the_rows_that_failed_run_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_row = [test for row in load_requirements() if row.id == "1.3" for test in row.tests]
    assert any(test.endswith("::test_creating_a_todo_returns_all_its_fields") for test in of_row)
    place = tmp_path / "tests"
    place.mkdir()
    monkeypatch.setenv("PYTEST_ADDOPTS", "")
    (place / "stage01").mkdir()
    (place / "stage01" / "test_todos.py").write_text(SUITE, encoding="utf-8")
    suite = run(tmp_path, "--stage=1", "--grade-first=1.3", "tests/stage01")
    assert names(suite)[0] == "test_creating_a_todo_returns_all_its_fields"
    assert len(names(suite)) == 3


def test_files_that_changed_are_named_from_the_directory(tmp_path: Path) -> None:
    changed = {(Change.modified, str(tmp_path / "app" / "main.py")), (Change.added, "/else.py")}
    assert changed_files(changed, tmp_path) == ["/else.py", "app/main.py"]


def graded(*failing: int) -> Grade:
    """Return a grade whose first row has so many failing tests."""
    number = failing[0] if failing else 0
    outcomes = [failed(LIST, variant=f"[{n}]") for n in range(number)] or [passed(LIST)]
    rows = judged(*outcomes, passed(ROWS[1]), passed(ADD))
    return Grade(1, tuple(rows.values()))


def test_a_grade_shows_the_changes_since_the_last_one(tmp_path: Path) -> None:
    first = history.with_changes(graded(48), "s", "quick", tmp_path)
    assert first.changes is None
    second = history.with_changes(graded(28), "s", "quick", tmp_path)
    assert second.changes is not None
    assert [change_line(one, "en") for one in second.changes] == ["1.1: 48 → 28 failing"]
    assert "Since the last grade\n  1.1: 48 → 28 failing\n" in render(second, colour=False)
    assert history.failing_last(1, "s", "quick", tmp_path) == {"1.1": 28}
    third = history.with_changes(graded(), "s", "quick", tmp_path)
    assert [change_line(one, "ru") for one in third.changes or ()] == ["1.1: не проходит 28 → есть"]
    same = history.with_changes(graded(), "s", "quick", tmp_path)
    assert same.changes == ()
    assert "Nothing has changed since the last grade." in render(same, colour=False)


def test_only_grades_of_the_same_kind_and_solution_are_compared(tmp_path: Path) -> None:
    history.with_changes(graded(48), "s", "quick", tmp_path)
    assert history.with_changes(graded(28), "s", "thorough", tmp_path).changes is None
    assert history.with_changes(graded(28), "other", "quick", tmp_path).changes is None
    assert history.failing_last(1, "s", "quick", tmp_path) == {}


def test_a_grade_without_results_is_not_stored(tmp_path: Path) -> None:
    history.with_changes(graded(48), "s", "quick", tmp_path)
    lost = replace(graded(), rows=(Row("1.1", "List", 1, "error"),), problem="it is gone")
    assert history.with_changes(lost, "s", "quick", tmp_path).changes is None
    assert history.failing_last(1, "s", "quick", tmp_path) == {"1.1": 48}


@pytest.mark.parametrize("kept", ["", "[]", '{"stage 1, quick": 3}', '{"stage 1, quick": {}}'])
def test_an_unreadable_history_is_ignored(tmp_path: Path, kept: str) -> None:
    (tmp_path / ".grade").mkdir()
    (tmp_path / history.FILE).write_text(kept, encoding="utf-8")
    assert history.with_changes(graded(1), "s", "quick", tmp_path).changes is None
    written = json.loads((tmp_path / history.FILE).read_text(encoding="utf-8"))
    assert written["stage 1, quick"]["rows"]["1.1"] == {"status": "fail", "failing": 1}
