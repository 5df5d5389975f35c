"""Turns the results of tests into a grade. The functions are pure, so each rule has its own test.

A row of the requirements is

- `pass` when all of its tests that ran passed,
- `blocked` when its failed tests failed in a step of another row that failed itself (`steps.py`),
  or did not run because of such a row,
- `fail` when a test of the row itself failed,
- `not_checked` when no client can see it, or a precondition was missing (for a row about restarts:
  also when other tests of it ran),
- `error` when the solution did not start, or we could not check it: that is not counted.

A failed row whose `TODO` still answers has not been begun (`Row.todo`); a row that is blocked by it
is waiting (`Row.waiting_for`). For rows in work the report counts tests.

Craft tests do not change a row: the failed ones are its suggestions. Earned counts passed rows;
checkable counts passed, failed and blocked rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from course.catalog.requirements import Requirement
from course.harness.learners import NEEDS_CMD
from tools.grade.outcomes import Outcome, Suite

Status = Literal["pass", "fail", "blocked", "not_checked", "error"]
CHECKABLE = ("pass", "fail", "blocked")


@dataclass(frozen=True)
class Row:
    """One requirement, judged. `run` and `of` count its tests, variants too."""

    id: str
    text: str
    stage: int
    status: Status
    reason: str = ""
    blocked_by: str = ""
    failures: tuple[Outcome, ...] = ()
    run: int = 0
    of: int = 0
    hint: str = ""
    suggestions: tuple[Outcome, ...] = ()
    waiting_for: str = ""
    not_begun: bool = False  # its source still has all TODOs of the starter

    @property
    def failing(self) -> int:
        """How many of its tests fail."""
        return len(self.failures)

    @property
    def todo(self) -> str:
        """The starter's TODO of the row; empty when it has been begun."""
        if self.not_begun and self.status in ("fail", "blocked"):
            return self.id
        if self.status != "fail" or any(one.is_about(self.id) for one in self.failures):
            return ""
        return next((one.todo for one in self.failures if self.id in _ids(one.todo)), "")

    @property
    def word(self) -> str:
        """Its status in a report, which also knows `to do` and `waiting`."""
        if self.todo:
            return "to do"
        return "waiting" if self.waiting_for else self.status.replace("_", " ")

    @property
    def in_work(self) -> bool:
        """True if it has been begun and fails."""
        return self.status == "fail" and not self.todo

    @property
    def partly(self) -> bool:
        """True if it has a result although a part of it was not checked."""
        return self.status in CHECKABLE and self.run < self.of


PARTLY_NEEDS_CMD = "partly checked: the rest needs --cmd"
ONLY_CRAFT = "the contract does not cover it: only suggestions are possible (--strict counts them)"


@dataclass(frozen=True)
class Suggestion:
    """Advice: the first variant of a craft test that failed, and the row that it belongs to."""

    row: Row
    outcome: Outcome


@dataclass(frozen=True)
class Change:
    """The change of a row since its last grade: statuses and numbers of failed tests."""

    row: str
    before: str
    failing_before: int
    now: str
    failing: int


@dataclass(frozen=True)
class Score:
    """The number of all rows, of checkable rows and of earned rows."""

    earned: int
    checkable: int
    total: int

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Score:
        """Count."""
        statuses = [row.status for row in rows]
        checkable = sum(status in CHECKABLE for status in statuses)
        return cls(statuses.count("pass"), checkable, len(statuses))


@dataclass(frozen=True)
class Grade:
    """The data of a report. `problem` is the reason if grading failed."""

    stage: int
    rows: tuple[Row, ...]
    problem: str = ""
    server: str = ""
    notes: tuple[str, ...] = ()
    log: str = ""
    seconds: float = 0.0
    # The texts of the report, in the reader's language.
    language: str = "en"
    stage_titles: Mapping[int, str] = field(default_factory=dict)
    changes: tuple[Change, ...] | None = None  # None: no earlier grade
    start: str = ""  # how to start the server for the curl commands

    @property
    def score(self) -> Score:
        """The sum of all stages."""
        return Score.of(self.rows)

    @property
    def tests_in_work(self) -> tuple[int, int]:
        """The number of passed tests and of all tests that ran, in the rows in work."""
        rows = [row for row in self.rows if row.in_work]
        run = sum(row.run for row in rows)
        return run - sum(row.failing for row in rows), run

    @property
    def is_empty(self) -> bool:
        """True if nothing was checked, so that the report is one line."""
        return bool(self.problem) and all(row.status == "error" for row in self.rows)

    def failing(self) -> tuple[Row, ...]:
        """Return the failed rows in work; those of the graded stage come first."""
        return tuple(row for rows in self.stages().values() for row in rows if row.in_work)

    def left_to_do(self) -> tuple[Row, ...]:
        """Return the rows that were not begun."""
        return tuple(row for rows in self.stages().values() for row in rows if row.todo)

    def stages(self) -> dict[int, tuple[Row, ...]]:
        """Return the rows by stage: first the graded stage, then earlier ones."""
        numbers = sorted({row.stage for row in self.rows})
        numbers.sort(key=lambda number: number != self.stage)
        return {n: tuple(row for row in self.rows if row.stage == n) for n in numbers}

    def suggestions(self) -> tuple[Suggestion, ...]:
        """Return the suggestions, each once, in the order of the rows."""
        found: dict[str, Suggestion] = {}
        for rows in self.stages().values():
            for row in rows:
                for outcome in row.suggestions:
                    found.setdefault(outcome.function, Suggestion(row, outcome))
        return tuple(found.values())

    def regressions(self) -> tuple[Row, ...]:
        """Return the rows of earlier stages that fail themselves; blocked rows name their cause."""
        return tuple(row for row in self.rows if row.stage < self.stage and row.word == "fail")

    @property
    def problem_title(self) -> str:
        """The headline of a problem."""
        counted = self.score.checkable
        if counted:
            return "Some requirements could not be graded"
        return "The solution could not be graded"

    @property
    def problem_note(self) -> str:
        """The meaning of a problem for the learner."""
        if self.score.checkable:
            return "Tests that did not run were not counted."
        return "Nothing was counted. If the log shows an error of the solution, correct that error."

    @property
    def exit_code(self) -> int:
        """0: all checked rows pass, 1: a row fails, 2: the grade failed."""
        if any(row.status in ("fail", "blocked") for row in self.rows):
            return 1
        in_order = not self.problem and not any(row.status == "error" for row in self.rows)
        return 0 if self.score.checkable and in_order else 2


def due(requirements: Iterable[Requirement], stage: int) -> list[Requirement]:
    """Return the rows for a solution of this stage, without those that have ended."""
    section = "C" if stage == 9 else ""
    return [
        row
        for row in requirements
        if row.stage <= stage
        and (row.until is None or row.until >= stage)
        and (row.id[0].isdigit() or row.id[0] == section)
    ]


def judge(
    requirements: Sequence[Requirement],
    suite: Suite,
    absent: Mapping[int, str] | None = None,
    not_begun: Collection[str] = (),
) -> list[Row]:
    """Return a row for each requirement; `absent` names the missing stages with the reason.

    `not_begun` are rows that the source shows as not begun.
    """
    absent = absent or {}
    craft = set(suite.craft)
    by_function: dict[str, list[Outcome]] = {}
    advice: dict[str, list[Outcome]] = {}
    for outcome in suite.outcomes:
        group = advice if outcome.test in craft else by_function
        group.setdefault(outcome.function, []).append(outcome)
    known = [test for test in (*suite.chosen, *suite.left_out) if test not in craft]
    rows: dict[str, Row] = {}
    steps: dict[str, set[str]] = {}
    at_fault = {one.at: _rows_of(one.at, requirements) for one in suite.gave_up}
    for requirement in requirements:
        outcomes = [o for test in requirement.tests for o in by_function.get(test, [])]
        tests = [test for test in known if test.partition("[")[0] in requirement.tests]
        row = Row(requirement.id, requirement.text, requirement.stage, "pass", of=len(tests))
        advised = [o for test in requirement.tests for o in advice.get(test, [])]
        if requirement.stage in absent:
            row = replace(row, status="not_checked", reason=absent[requirement.stage])
        elif craft and not tests:
            row = replace(row, status="not_checked", reason=_why_only_craft(advised))
        else:
            row, steps[row.id] = _judge_one(row, requirement, outcomes, suite, at_fault)
        rows[row.id] = replace(row, not_begun=row.id in not_begun)
    settled = {row.id: row for row in _settle_blocked(rows, steps)}
    settled = {name: replace(row, waiting_for=_root(row, settled)) for name, row in settled.items()}
    return [
        replace(row, suggestions=_suggestions(row, requirement, advice, settled))
        for requirement, row in zip(requirements, settled.values(), strict=True)
    ]


def _suggestions(
    row: Row,
    requirement: Requirement,
    advice: Mapping[str, list[Outcome]],
    rows: Mapping[str, Row],
) -> tuple[Outcome, ...]:
    """Return the failed craft tests, except where a row that they build on failed."""
    if row.status not in ("pass", "not_checked"):
        return ()
    failed = [o for test in requirement.tests for o in advice.get(test, []) if o.failed]
    broken = {row_id for row_id, other in rows.items() if other.status in ("fail", "blocked")}
    return tuple(outcome for outcome in failed if outcome.step not in broken)


def _why_only_craft(outcomes: Sequence[Outcome]) -> str:
    """Return why a row without contract tests is not checked."""
    if outcomes and all(outcome.verdict == "skipped" for outcome in outcomes):
        return _why_not(outcomes, left_out=False)
    return ONLY_CRAFT


def _judge_one(
    row: Row,
    requirement: Requirement,
    outcomes: Sequence[Outcome],
    suite: Suite,
    at_fault: Mapping[str, set[str]],
) -> tuple[Row, set[str]]:
    """Return the row, `blocked` if that is possible, and the rows that it waits for."""
    ran = [outcome for outcome in outcomes if outcome.verdict in ("passed", "failed")]
    failed = [outcome for outcome in outcomes if outcome.verdict == "failed"]
    # Failures of this row itself come first, failures that a TODO causes come last.
    failures = tuple(sorted(failed, key=lambda f: (not f.is_about(row.id), bool(f.todo))))
    row = replace(row, failures=failures, run=len(ran))
    broken = [outcome for outcome in outcomes if outcome.verdict == "error"]
    missing = {test for test in suite.missing if test.partition("[")[0] in requirement.tests}
    not_run = {test.partition("[")[0] for test in set(suite.left_out) - set(suite.craft)}
    left_out = bool(not_run & set(requirement.tests) - {outcome.function for outcome in outcomes})
    if any(failure.is_about(row.id) for failure in failures):
        return replace(row, status="fail"), set()
    if failures:
        named = {name for failure in failures for name in (failure.step, *_ids(failure.todo))}
        # It waits for its own TODO, so nothing else is known of it.
        if any(row.id in _ids(failure.todo) for failure in failures):
            return replace(row, status="fail"), set()
        return replace(row, status="blocked"), named - {""}
    for gave_up in suite.gave_up:
        if not any(test.startswith(gave_up.directory) for test in missing):
            continue
        others = at_fault[gave_up.at] - {row.id}
        if row.id in at_fault[gave_up.at] or not others:
            return replace(row, status="fail", reason=gave_up.why), set()
        return replace(row, status="blocked", reason=gave_up.why), others
    if broken:
        why = f"{broken[0].expected} {broken[0].got}".strip()
        return replace(row, status="error", reason=why), set()
    if missing or (suite.broken and not outcomes):
        return replace(row, status="error", reason=suite.broken or "it was not run"), set()
    if not ran:
        return replace(
            row, status="not_checked", reason=_why_not(outcomes, left_out=left_out)
        ), set()
    not_seen = [outcome for outcome in outcomes if outcome.verdict == "skipped"]
    if requirement.restart and not_seen:
        return replace(row, status="not_checked", reason=_why_not(not_seen, left_out=False)), set()
    if any(outcome.reason == NEEDS_CMD for outcome in not_seen):
        return replace(row, reason=PARTLY_NEEDS_CMD), set()
    return row, set()


def _why_not(outcomes: Sequence[Outcome], *, left_out: bool) -> str:
    """Return why nothing of a row could be checked: the most frequent reason of its tests."""
    reasons = [outcome.reason.removeprefix("not checked: ") for outcome in outcomes]
    if left_out or not reasons:
        return "takes longer than a quick look (--thorough)"
    return max(reasons, key=reasons.count)


def _ids(todo: str) -> list[str]:
    """Return the rows that a TODO names."""
    return [name.strip() for name in todo.split(",") if name.strip()]


def _root(row: Row, rows: Mapping[str, Row]) -> str:
    """Return the row that was not begun and blocks this one, or empty."""
    seen: set[str] = set()
    while row.status == "blocked" and row.blocked_by in rows and row.id not in seen:
        seen.add(row.id)
        row = rows[row.blocked_by]
        if row.todo:
            return row.id
    return ""


def _rows_of(test: str, requirements: Iterable[Requirement]) -> set[str]:
    function = test.partition("[")[0]
    return {row.id for row in requirements if function in row.tests}


def _settle_blocked(rows: dict[str, Row], steps: Mapping[str, set[str]]) -> list[Row]:
    """Find the cause of each blocked row; a row without a failed cause fails itself.

    A row that passes all of its own tests cannot be a cause, even if two others name it. Rows that
    name each other in a circle fail.
    """
    settled = {row_id for row_id, row in rows.items() if row.status == "fail"}
    waiting = {row_id for row_id, row in rows.items() if row.status == "blocked"}
    while moved := {row_id for row_id in waiting if steps[row_id] & settled}:
        for row_id in moved:
            blame = min(steps[row_id] & settled)
            rows[row_id] = replace(rows[row_id], blocked_by=blame)
        settled |= moved
        waiting -= moved
    for row_id in waiting:
        rows[row_id] = replace(rows[row_id], status="fail")
    return list(rows.values())
