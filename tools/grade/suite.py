"""Runs the suites in a separate pytest process and returns the results.

The tests talk to one server. Without its address they start the app of the stage themselves.

pytest may crash, hang or be killed: the results until then count, and `Suite.broken` gives the
reason.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from course.catalog.stages import ROOT, Stage
from course.harness.server import PROCESSES, end_noted_processes
from course.harness.signals import interrupts_deferred
from tools.grade.outcomes import Suite, read_suite
from tools.grade.progress import Progress

# Variants of one test: enough to check a rule, few enough to take seconds.
QUICK_VARIANTS = (6, 1)  # of the stage's own suite, of each earlier one
QUICK_TEST = 15.0  # seconds for one test
THOROUGH_TEST = 90.0
QUICK_RUN = 420.0  # seconds for all of them: the server may be slow and still work
THOROUGH_RUN = 1800.0
LAST_LINES = 15
NO_TESTS = 5  # pytest's exit code
LOOKS_EVERY = 0.1  # seconds

# On a machine that keeps no bytecode, each run would otherwise compile for seconds.
_KEEP_BYTECODE = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(ROOT / ".nox" / "bytecode"),
}


@dataclass(frozen=True)
class Target:
    """The graded server at `base_url`, with everything that is known about it.

    Without an address it is the app of the stage in `root`, a copy of the course.
    """

    stage: Stage
    suites: tuple[str, ...]  # directories, in the order in which they run; or single tests
    base_url: str
    thorough: bool = False
    strict: bool = False  # craft counts for the grade
    answer_within: float = 6.0
    solution: Path | None = None
    profile: Path | None = None
    log: Path | None = None
    weather: str | None = None
    admin: tuple[str, str] | None = None
    first: tuple[str, ...] = ()  # rows whose tests run before all others
    craft: bool = True  # whether craft tests run too
    starts_within: float = 0.0  # seconds: the server may still be starting
    most_failures: int = 0  # failures after which it ends (0: never)
    root: Path = ROOT
    full: bool = False  # only the tests that need PostgreSQL, Redis and several processes

    @property
    def is_app(self) -> bool:
        """Whether the tests start the app of the stage themselves."""
        return not self.base_url

    @property
    def variants(self) -> tuple[int, int]:
        """The most variants of a test: of the stage's own suite, of each earlier one (0: all)."""
        return (0, 0) if self.thorough else QUICK_VARIANTS

    @property
    def test_within(self) -> float:
        """The seconds for one test; a test that starts its own app may take longer."""
        return THOROUGH_TEST if self.thorough or self.is_app else QUICK_TEST

    @property
    def run_within(self) -> float:
        """The seconds for all tests."""
        return THOROUGH_RUN if self.thorough or self.is_app else QUICK_RUN

    def arguments(self, events: Path) -> list[str]:
        """Return the arguments of pytest."""
        arguments = [
            *("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "tools.grade.plugin"),
            f"--stage={self.stage.number}",
            *([] if self.is_app else [f"--base-url={self.base_url}"]),
            *(f"--grade-events={events}", "-q", "--tb=no", "-rN"),
            *("-o", "verbosity_assertions=1"),  # values in full, not shortened
            f"--grade-answer-within={self.answer_within}",
            f"--timeout={self.test_within}",
            "--inherited=full",  # the plugin selects, and says what it leaves out
        ]
        arguments.append(f"--grade-variants={self.variants[0]}")
        arguments.append(f"--grade-earlier-variants={self.variants[1]}")
        if not self.thorough and not self.is_app:
            arguments.append("--grade-quick")
        if self.first:
            arguments.append(f"--grade-first={','.join(self.first)}")
        if self.strict:
            arguments.append("--grade-strict")
        if not self.craft:
            arguments.append("--grade-no-craft")
        if self.starts_within:
            arguments.append(f"--base-url-within={self.starts_within}")
        if self.full:
            arguments += ["--deployment=full", "--grade-only-this-form"]
        if self.most_failures:
            arguments.append(f"--maxfail={self.most_failures}")
        optional = {
            "solution": self.solution,
            "profile": self.profile,
            "grade-log": self.log,
            "weather-control-url": self.weather,
        }
        if self.admin is not None:
            optional["admin-username"], optional["admin-password"] = self.admin
        arguments += [f"--{name}={value}" for name, value in optional.items() if value is not None]
        return [*arguments, *self.suites]


def run_suite(target: Target, progress: Progress | None = None) -> Suite:
    """Run the tests and return their results; no behaviour of a server raises an exception."""
    with tempfile.TemporaryDirectory(prefix="grade-") as name:
        directory = Path(name)
        events, output = directory / "events.jsonl", directory / "output.txt"
        events.touch()
        code = _run(target, events, output, progress)
        printed = output.read_text(encoding="utf-8", errors="replace").splitlines()
        lines = events.read_text(encoding="utf-8", errors="replace").splitlines()
    suite = read_suite(lines)
    if suite.chosen and (not suite.missing or suite.gave_up):
        return suite
    if code == NO_TESTS and (target.is_app or not target.craft):
        return suite  # all tests are of the other form, or of craft
    if code is None:
        why = f"the time was up after {target.run_within:.0f} s"
    else:
        why = "\n".join([f"pytest ended with exit code {code}:", *printed[-LAST_LINES:]])
    return read_suite(lines, broken=why)


def _run(target: Target, events: Path, output: Path, progress: Progress | None) -> int | None:
    """Return pytest's exit code, or None if it had to be stopped."""
    processes = events.with_name("processes")
    # The bytecode of a copy of the course would never be used again.
    bytecode = {"PYTHONDONTWRITEBYTECODE": "1"} if target.is_app else _KEEP_BYTECODE
    environment = os.environ | bytecode | {"PYTHONPATH": str(target.root), "NO_COLOR": "1"}
    environment[PROCESSES] = str(processes)
    until = time.monotonic() + target.run_within
    process: subprocess.Popen[bytes] | None = None
    try:
        with output.open("wb") as stream, interrupts_deferred():
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *target.arguments(events)],
                cwd=target.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while time.monotonic() < until:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(LOOKS_EVERY)
            if progress is not None:
                progress.follow(events)
        return None
    finally:
        if progress is not None:
            progress.end()
        if process is not None:
            _end(process)
        end_noted_processes(processes)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let it stop the servers that it started, then kill the rest."""
    if process.poll() is not None:
        return
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
