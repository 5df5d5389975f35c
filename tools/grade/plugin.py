"""The part of a grade inside pytest: it chooses tests, records their results, and gives up.

It gives up so that a server that hangs or has ended still gets its report. A suite stops after
`MOST_HANGS` tests without an answer in time; everything stops when no server listens any more.
"""

from __future__ import annotations

import errno
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from course.catalog.requirements import load_requirements
from course.catalog.stages import CourseError, find_stage, load_course
from course.harness import driver
from course.harness.contract import Kind, MarkerError, kind_of
from course.harness.exchange import (
    FRAMES,
    Exchange,
    mask,
    show_throw_away_passwords,
    throw_away,
)
from course.harness.learners import NEEDS_CMD, Solution
from course.harness.selection import opens_a_browser, spread, takes_long
from tools.grade.failures import exchange_of, expected_of, explain, got_of, sent_of, short
from tools.grade.outcomes import Outcome, Verdict, log_end, write_event, write_outcome
from tools.grade.steps import step_of
from tools.grade.tracebacks import exception_in

MOST_HANGS = 5  # in a suite
MOST_LATER_HANGS = 2  # in each suite after one that was given up
MOST_CRAFT_HANGS = 2  # craft tests in a suite
QUICK_CRAFT = 2  # variants of a craft test in a quick look; none for earlier stages
COMES_BACK_WITHIN = 6.0  # seconds, for a server that ended and is started again
LOG_LINES = 15
LOGGED_WITHIN = 0.5  # seconds after an answer, since some servers log an exception after it
MOST_IN_VAIN = 3
SERVER_ERROR, TO_DO = 500, 501

# Faults of ours or of this machine that no server can cause.
_OURS = (
    ImportError,
    MemoryError,
    PermissionError,
    FileNotFoundError,
    pytest.FixtureLookupError,
    CourseError,
    MarkerError,
)
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM, errno.EADDRNOTAVAIL)
_OUR_WORDS = ("previous item was not torn down properly", "Executable doesn't exist")
_OUR_FILES = (
    "course/catalog/environment.py",
    "course/catalog/stages.py",
    "harness/forks.py",
    "harness/postgres.py",
)
_FOR_OURS = {
    *("stage_directory", "launched_server", "launch", "launch_for_module", "launch_for_session"),
}
# These fixtures need a server that a command starts.
_NEED_CMD = {"restartable", "secret", "forgetful"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that the grader passes to its plugin."""
    group = parser.getgroup("grading")
    group.addoption("--grade-events", metavar="FILE")
    group.addoption("--grade-log", metavar="FILE", help="the log of the server")
    group.addoption("--grade-variants", metavar="N", type=int, default=0)
    group.addoption("--grade-earlier-variants", metavar="N", type=int, default=0)
    group.addoption("--grade-answer-within", metavar="SECONDS", type=float, default=6.0)
    group.addoption("--grade-quick", action="store_true", help="leave out slow tests")
    group.addoption("--grade-only-this-form", action="store_true", help="see `--deployment`")
    group.addoption("--grade-first", metavar="ROWS", default="", help="rows to look at first")
    group.addoption("--grade-strict", action="store_true", help="let craft count for the grade")
    group.addoption("--grade-no-craft", action="store_true", help="leave craft out")


def pytest_configure(config: pytest.Config) -> None:
    """Start the record."""
    driver.ANSWER_WITHIN = config.getoption("grade_answer_within")
    recorder = Recorder(config)
    config.pluginmanager.register(recorder, "grade-recorder")
    admin_password = config.getoption("admin_password")
    is_started_here = bool(config.getoption("solution"))
    # The administrator of a server that we start was invented, too.
    show_throw_away_passwords(
        recorder.log_size, [admin_password] if admin_password and not is_started_here else []
    )
    throw_away(admin_password)


class Recorder:
    """Follows the tests from their selection to their results."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._events = Path(config.getoption("grade_events"))
        log = config.getoption("grade_log")
        self._log = Path(log) if log else None
        self._log_from = 0
        self._began = 0.0
        self._in_vain = 0
        solution = config.getoption("solution")
        self._directory = Solution.read(Path(solution)).directory if solution else None
        self._stage = find_stage(load_course(), config.getoption("stage"))
        self._own_tests = {
            test
            for row in load_requirements()
            if row.stage == self._stage.number
            for test in row.tests
        }
        self._ends: dict[str, Outcome] = {}
        self._hangs: dict[str, int] = defaultdict(int)
        self._craft_hangs: dict[str, int] = defaultdict(int)
        self._given_up: set[str] = set()
        self._not_run: set[str] = set()
        self._kinds: dict[str, Kind] = {}
        self._maybe_gone, self._last_gone = False, ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out tests that take too long, and record that."""
        if self._config.getoption("grade_only_this_form"):
            items[:] = [item for item in items if item.get_closest_marker("deployment")]
        self._kinds = {item.nodeid: self._kind_of(item) for item in items}
        groups: dict[tuple[str, bool], list[pytest.Item]] = defaultdict(list)
        for item in items:
            groups[item.nodeid.partition("[")[0], self._is_craft(item)].append(item)
        chosen: set[pytest.Item] = set()
        for group in groups.values():
            chosen.update(self._chosen_of(group))
        if self._config.getoption("grade_quick"):
            chosen = {item for item in chosen if not _takes_long(item, self._is_current(item))}
        if self._config.getoption("grade_no_craft"):
            chosen = {item for item in chosen if not self._is_craft(item)}
        left_out = [item for item in items if item not in chosen]
        craft = [item.nodeid for item in items if self._is_craft(item)]
        in_order = _by_rows(items)
        first = _tests_of(self._config.getoption("grade_first").split(","))
        # Contract tests come first, so that a craft test cannot take their time or break their
        # server.
        items[:] = sorted(
            (item for item in items if item in chosen),
            key=lambda item: (
                self._is_craft(item),
                item.nodeid.partition("[")[0] not in first,
                *in_order(item),
            ),
        )
        write_event(
            self._events,
            "chosen",
            chosen=[item.nodeid for item in items],
            left_out=[item.nodeid for item in left_out],
            craft=craft,
        )
        if left_out:
            self._config.hook.pytest_deselected(items=left_out)

    def _chosen_of(self, variants: Sequence[pytest.Item]) -> Sequence[pytest.Item]:
        """Return the variants of a test to run; all of them are contract, or all craft."""
        current = self._is_current(variants[0])
        most = self._config.getoption("grade_variants" if current else "grade_earlier_variants")
        if self._is_craft(variants[0]) and self._config.getoption("grade_quick"):
            if _is_for_ours(variants[0]):
                return variants[:1]  # it skips at once with the reason
            return spread(variants, QUICK_CRAFT) if current else ()
        if current and variants[0].get_closest_marker("every_variant"):
            return variants
        return spread(variants, most)

    def _kind_of(self, item: pytest.Item) -> Kind:
        try:
            kind = kind_of(item, self._stage.number)
        except MarkerError:
            kind = Kind(is_craft=True, cites=())  # our fault: it costs no points
        return replace(kind, is_craft=False) if self._config.getoption("grade_strict") else kind

    def _is_craft(self, item: pytest.Item) -> bool:
        return self._kinds[item.nodeid].is_craft

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Record the position in the log and the test that begins."""
        write_event(self._events, "began", test=nodeid)
        kind = self._kinds[nodeid]
        self._ends[nodeid] = Outcome(nodeid, "passed", cites=kind.cites, craft=kind.is_craft)
        self._began = time.monotonic()
        self._log_from = self.log_size()

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
    ) -> None:
        """Record that a test needs a server that can be restarted."""
        if fixturedef.argname in _NEED_CMD and (end := self._ends.get(request.node.nodeid)):
            self._ends[request.node.nodeid] = replace(end, needs_cmd=True)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep the test's results; the first failure decides."""
        report = yield
        end = self._ends[item.nodeid]
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
            needs_cmd = end.needs_cmd or reason == NEEDS_CMD
            self._ends[item.nodeid] = replace(
                end, verdict="skipped", reason=reason, needs_cmd=needs_cmd
            )
        elif report.failed and call.excinfo is not None and end.verdict in ("passed", "skipped"):
            self._ends[item.nodeid] = self._failure(item, call.excinfo)
        return report

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Record the result of a test."""
        took = round(time.monotonic() - self._began, 3)
        end = replace(self._ends.pop(nodeid), seconds=took)
        if nodeid not in self._not_run:
            write_outcome(self._events, end)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Stop when no server listens any more."""
        if self._maybe_gone and not self._listens():
            why = "the server is gone: nothing listens there"
            write_event(self._events, "gave_up", directory="", why=why, at=self._last_gone)
            item.session.shouldstop = why
            raise item.session.Interrupted(why)
        self._maybe_gone = False
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Do not run a test that would only wait for its time limit."""
        suite = _suite_of(item)
        craft_waits = self._is_craft(item) and self._craft_hangs[suite] >= MOST_CRAFT_HANGS
        if suite in self._given_up or craft_waits:
            self._not_run.add(item.nodeid)
            pytest.skip("it would only wait for its time limit")

    def _is_current(self, item: pytest.Item) -> bool:
        """Return whether it belongs to the stage's own suite or to a row of that stage."""
        is_own = item.path.parent.name == self._stage.name
        return is_own or item.nodeid.partition("[")[0] in self._own_tests

    def _count_hang(self, item: pytest.Item) -> None:
        if not self._config.getoption("base_url"):
            return  # each test starts the app anew, so the next one need not hang
        suite = _suite_of(item)
        if self._is_craft(item):
            self._craft_hangs[suite] += 1
            return
        self._hangs[suite] += 1
        if self._hangs[suite] >= (MOST_LATER_HANGS if self._given_up else MOST_HANGS):
            why = f"{self._hangs[suite]} tests got no answer in time"
            write_event(self._events, "gave_up", directory=f"{suite}/", why=why, at=item.nodeid)
            self._given_up.add(suite)

    def _listens(self) -> bool:
        """Return whether a server listens, now or after a restart; one of our own always does."""
        if not self._config.getoption("base_url"):
            return True
        address = urlsplit(self._config.getoption("base_url"))
        until = time.monotonic() + COMES_BACK_WITHIN
        while time.monotonic() < until:
            try:
                socket.create_connection((address.hostname, address.port or 80), timeout=2).close()
            except OSError:
                time.sleep(0.2)
            else:
                return True
        return False

    def _failure(self, item: pytest.Item, caught: pytest.ExceptionInfo[BaseException]) -> Outcome:
        error, message = caught.value, caught.exconly()
        frames = [(str(entry.path), entry.name) for entry in caught.traceback]
        verdict: Verdict = "error" if is_ours(error, message, frames) else "failed"
        if _is_hang(error) and verdict == "failed":
            self._count_hang(item)
        if isinstance(error, (httpx.NetworkError, httpx.RemoteProtocolError, ConnectionError)):
            self._maybe_gone, self._last_gone = True, item.nodeid
        expected, got = explain(error, message)
        kind = self._kinds[item.nodeid]
        exchange = exchange_of(error, got)
        outcome = Outcome(
            item.nodeid,
            verdict,
            step=step_of(frames),
            sent=short(mask(sent_of(exchange))),
            expected=short(mask(expected_of(expected))),
            got=short(mask(got_of(exchange, got))),
            exchange=mask(str(exchange)) if exchange else "",
            curl=exchange.curl() if exchange else "",
            frames="\n".join(FRAMES),
            cites=kind.cites,
            craft=kind.is_craft,
            needs_cmd=self._ends[item.nodeid].needs_cmd,
        )
        return self._with_log(outcome, exchange)

    def _with_log(self, outcome: Outcome, exchange: Exchange | None) -> Outcome:
        """Return the outcome with the exception that the log shows for its request, if any."""
        status = exchange.status if exchange else None
        is_explained = status is not None and (status < SERVER_ERROR or status == TO_DO)
        if self._log is None or is_explained:
            return outcome
        began = exchange.log_from if exchange else self._log_from
        request = " ".join(exchange.sent().split(" ")[:2]) if exchange else ""
        # A server that has logged no exception so far is not expected to log one.
        patience = LOGGED_WITHIN if self._in_vain < MOST_IN_VAIN else 0.0
        until = time.monotonic() + patience
        while True:
            logged = self._log_since(began)
            raised = exception_in(logged, request, self._directory)
            if raised is not None or time.monotonic() >= until:
                break
            time.sleep(0.02)
        if raised is None:
            self._in_vain += 1
            return replace(outcome, log=mask(log_end(logged, LOG_LINES)))
        return replace(
            outcome,
            exception=short(mask(raised.exception)),
            place=raised.place,
            source=short(mask(raised.source)),
        )

    def log_size(self) -> int:
        """Return the length of the server's log in bytes; 0 if we cannot read it."""
        return self._log.stat().st_size if self._log and self._log.exists() else 0

    def _log_since(self, begin: int) -> str:
        if self._log is None or not self._log.exists():
            return ""
        with self._log.open("rb") as log:
            log.seek(begin)
            return log.read(1024 * 1024).decode("utf-8", "replace")


def is_ours(error: BaseException, message: str, frames: Iterable[tuple[str, str]]) -> bool:
    """Return whether the grader, the machine or an environment is at fault, and not the server."""
    if isinstance(error, _OURS) or any(words in message for words in _OUR_WORDS):
        return True
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(file.replace("\\", "/").endswith(_OUR_FILES) for file, _ in frames)


def _is_for_ours(item: pytest.Item) -> bool:
    """Return whether a test needs the course's own app: its source, or servers of its own."""
    return not _FOR_OURS.isdisjoint(getattr(item, "fixturenames", ()))


def _suite_of(item: pytest.Item) -> str:
    return item.nodeid.rpartition("::")[0].rpartition("/")[0]


def _is_hang(error: BaseException) -> bool:
    waited = isinstance(error, (httpx.TimeoutException, TimeoutError))
    return waited or "pytest-timeout" in str(error) or "not received in" in str(error)


def _takes_long(item: pytest.Item, current: bool) -> bool:
    """Return whether it opens a browser, or is slow and belongs to an earlier stage."""
    return opens_a_browser(item) or (takes_long(item) and not current)


def _tests_of(rows: Iterable[str]) -> set[str]:
    """Return the tests of these rows, without their parameters."""
    wanted = set(rows)
    return {test for row in load_requirements() if row.id in wanted for test in row.tests}


def _by_rows(items: Iterable[pytest.Item]) -> Callable[[pytest.Item], tuple[int, int]]:
    """Return a sort key: by suite, then file by file in the order of their first rows.

    Simple tests come first, since they explain why others fail.
    """
    first_row: dict[str, int] = {}
    for number, row in enumerate(load_requirements()):
        for test in row.tests:
            first_row.setdefault(test.partition("::")[0], number)
    suites = {suite: n for n, suite in enumerate(dict.fromkeys(i.path.parent for i in items))}
    return lambda item: (
        suites[item.path.parent],
        first_row.get(item.nodeid.partition("::")[0], len(first_row)),
    )
