"""The learner's server, restarted after each save, and the tests of some rows against it.

Server and tests start at the same time: the tests wait until the server answers.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from course.catalog.requirements import Requirement
from course.catalog.stages import Stage
from course.harness.learners import LearnersServer, Solution
from course.harness.server import FIRST_ADMIN, ServerDidNotStart
from course.harness.weather import FIRST_STAGE_WITH_WEATHER, FakeWeather
from tools.grade.chapters import check_chapter
from tools.grade.learner import NotReached, environment_of, fake_weather, settings_for
from tools.grade.outcomes import Suite, log_end
from tools.grade.progress import Progress
from tools.grade.results import Row, judge
from tools.grade.suite import Target, run_suite
from tools.grade.unbegun import not_begun

START_WITHIN = 20.0  # seconds
FIRST_START_WITHIN = 60.0  # seconds, until a start has compiled all packages
LOG_LINES = 12


class Interrupted(Exception):
    """An event, such as a save, interrupted the tests."""


@dataclass(frozen=True)
class Look:
    """The result of a run of tests: its rows, or why the server did not start."""

    rows: tuple[Row, ...] = ()
    problem: str = ""
    seconds: float = 0.0


class _Interrupting(Progress):
    """Ends the tests when the server does not start, or at an interrupt."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        super().__init__((), None)
        self._is_over = is_over

    def follow(self, events: Path) -> None:  # noqa: ARG002 - it looks elsewhere
        if self._is_over():
            raise Interrupted


class Bench(Protocol):
    """Runs the tests of rows on a learner's code."""

    def look(
        self, rows: Sequence[Requirement], interrupted: Callable[[], bool], *, anew: bool
    ) -> Look:
        """Run the tests of these rows; restart a server first if wanted.

        Raises `Interrupted` as soon as `interrupted()` is true.
        """


def open_bench(
    stage: Stage, directory: Path, command: Sequence[str]
) -> AbstractContextManager[Bench]:
    """Return the bench for a stage, or for a chapter of it."""
    if stage.chapter is not None:
        return nullcontext(ChapterBench(stage, directory))
    return ServerBench(stage, directory, command)


class ChapterBench:
    """Lets the tests of the course start the app of the learner's directory."""

    def __init__(self, stage: Stage, directory: Path) -> None:
        self._stage = stage
        self._directory = directory

    def look(
        self,
        rows: Sequence[Requirement],
        interrupted: Callable[[], bool],
        *,
        anew: bool,  # noqa: ARG002 - each run starts the app
    ) -> Look:
        """Run the tests of these rows until the first failure."""
        began = time.monotonic()
        try:
            suite = check_chapter(
                self._stage,
                self._directory,
                rows,
                most_failures=1,
                progress=_Interrupting(interrupted),
            )
        except NotReached as error:
            return Look(problem=str(error))
        seconds = time.monotonic() - began
        rows_seen = tuple(judge(rows, suite, {}, not_begun(self._directory, self._stage)))
        ended_early = any(row.status == "fail" for row in rows_seen)
        return Look(rows_seen, "" if ended_early else suite.broken, seconds)


class ServerBench:
    """Runs a learner's server in their directory, with its own database and files."""

    def __init__(self, stage: Stage, directory: Path, command: Sequence[str]) -> None:
        self._stage = stage
        self._directory = directory
        self._command = tuple(command)
        self._server: LearnersServer | None = None
        self._starting: _Start | None = None
        self._weather: str | None = None

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        name = tempfile.TemporaryDirectory(prefix="learn-", ignore_cleanup_errors=True)
        self._place = Path(self._stack.enter_context(name))
        if self._stage.number >= FIRST_STAGE_WITH_WEATHER:
            self._weather = self._stack.enter_context(fake_weather(self._place / "weather"))
        self._number = 0
        self._is_warm = False  # whether a start has compiled all packages
        # The first start compiles everything. It takes place while the learner reads and writes, so
        # that the result of the first save comes as soon as that of any other.
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        self._stack.close()

    def look(
        self, rows: Sequence[Requirement], interrupted: Callable[[], bool], *, anew: bool
    ) -> Look:
        """Run the tests of these rows; restart the server first if wanted.

        Raises `Interrupted` as soon as `interrupted()` is true.
        """
        began = time.monotonic()
        start = self._start() if anew or not self._runs() else self._starting
        if self._server is None:
            raise RuntimeError("no server")

        def start_failed() -> bool:
            return start is not None and bool(start.problem)

        # On a busy machine the first start may take longer than a test may wait.
        while not self._is_warm and start is not None and start.is_alive():
            if interrupted():
                raise Interrupted
            start.join(0.05)
        target = Target(
            self._stage,
            self._tests_of(rows),
            self._server.base_url,
            solution=self._solution_file,
            log=self._server.log_file,
            weather=self._weather,
            admin=self._admin,
            craft=False,
            starts_within=START_WITHIN,
        )
        try:
            suite = run_suite(target, _Interrupting(lambda: start_failed() or interrupted()))
        except Interrupted:
            if not start_failed():
                raise
            suite = Suite()
        seconds = time.monotonic() - began
        if start is not None and start.problem:
            return Look(problem=start.problem, seconds=seconds)
        self._is_warm = True
        return Look(tuple(judge(rows, suite)), suite.broken, seconds)

    def _tests_of(self, rows: Sequence[Requirement]) -> tuple[str, ...]:
        suites = tuple(f"tests/stage{number:02}/" for number in range(1, self._stage.number + 1))
        tests = [test for row in rows for test in row.tests if test.startswith(suites)]
        return tuple(dict.fromkeys(tests))

    def _start(self) -> _Start:
        self._end()
        self._number += 1
        workplace = self._place / str(self._number)
        workplace.mkdir()
        settings = settings_for(self._stage.number, workplace)
        if self._weather is not None:
            settings |= FakeWeather(self._weather).settings()
        environment = environment_of(self._directory, os.environ) | settings
        # Bytecode is kept outside of the learner's directory, since it makes restarts faster.
        environment |= {
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(self._place / "bytecode"),
        }
        solution = Solution(self._command, str(self._directory), environment)
        self._solution_file = workplace / "solution.json"
        solution.write(self._solution_file)
        names = [settings[name] for name in FIRST_ADMIN if name in settings]
        self._admin = (names[0], names[1]) if len(names) == len(FIRST_ADMIN) else None
        self._server = LearnersServer(solution, workplace)
        self._server.choose_port()
        within = START_WITHIN if self._is_warm else FIRST_START_WITHIN
        start = _Start(self._server, self._command[0], self._directory, within)
        start.start()
        self._starting = start
        return start

    def _runs(self) -> bool:
        return self._server is not None and self._server.is_running

    def _end(self) -> None:
        if self._server is None or self._starting is None:
            return
        self._server.end()
        self._starting.join()  # it may have been about to start the process
        self._server.end()


class _Start(threading.Thread):
    """Starts the server while the tests start."""

    def __init__(
        self, server: LearnersServer, program: str, directory: Path, within: float
    ) -> None:
        super().__init__(daemon=True)
        self._within = within
        self._server = server
        self._program = program
        self._directory = directory
        self.problem = ""

    def run(self) -> None:
        try:
            self._server.start(within=self._within)
        except ServerDidNotStart as error:
            self.problem = log_end(error.log, LOG_LINES) or str(error)
        except FileNotFoundError:
            self.problem = f"there is no command {self._program}: " + (
                "install Node.js 20 or newer"
                if self._program == "node"
                else f"make a `.venv` in {self._directory}, or name a command with --cmd"
            )
        except OSError as error:
            self.problem = f"{self._program}: {error.strerror or error}"
