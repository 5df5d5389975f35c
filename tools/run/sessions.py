"""The work of the noxfile's sessions: they run tools and tests and keep receipts of green runs."""

from __future__ import annotations

import atexit
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from course.catalog.environment import stage_python, tools_python
from course.catalog.stages import ROOT, CourseError, Stage, find_stage, load_course
from tools.run.foreground import run_in_foreground
from tools.run.receipts import find_receipt, keep_receipt, last_duration, receipt_key
from tools.run.suites import Outcome, StageRun, keep_flaky, run_lanes, stage_run
from tools.run.touched import changed_paths, touched

if TYPE_CHECKING:
    import nox

STAGES = load_course()
CHECK_SUITES = ["tools/tests", "course/tests", "tests/lessons"]
STARTERS = "tools/tests/learn/test_starter.py"
STOPPED = 128  # higher exit codes: a signal ended the command
EVERYTHING = ["."]  # the inputs of a receipt that cannot be listed more exactly

# uv compiles nothing, and on some machines Python may not keep compiled files. Then each start of
# pytest would take two seconds longer.
KEEP_BYTECODE = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(ROOT / ".nox" / "bytecode"),
}


def python_of_tools(session: nox.Session) -> str:
    """Return the interpreter of the one environment that all tests and tools share."""
    try:
        return str(tools_python())
    except CourseError as error:
        session.error(str(error))


def app_python(session: nox.Session, stage: Stage) -> str:
    """Return the interpreter of the stage's own environment, which holds its requirements only."""
    try:
        return str(stage_python(stage))
    except CourseError as error:
        session.error(str(error))


def chosen_stage(session: nox.Session, wanted: str) -> Stage:
    """Return the stage named on the command line, or end the session with a clear error."""
    try:
        return find_stage(STAGES, wanted)
    except CourseError as error:
        session.error(str(error))


def run_module(session: nox.Session, module: str, *arguments: str) -> None:
    """Run a module of the tools."""
    command = [python_of_tools(session), "-m", module, *arguments]
    session.run(*command, env=KEEP_BYTECODE, external=True)


def run_program(session: nox.Session, name: str, *arguments: str) -> None:
    """Run a program of the tools' environment that is not a Python module."""
    session.run(str(Path(python_of_tools(session)).with_name(name)), *arguments, external=True)


def run_pytest(session: nox.Session, *arguments: str) -> int:
    """Run pytest; return its exit code."""
    command = [python_of_tools(session), "-m", "pytest", *arguments]
    session.log(f"pytest {' '.join(arguments)}")
    # session.run does not return the exit code.
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | KEEP_BYTECODE) as process:
        try:
            return process.wait()
        except (
            KeyboardInterrupt
        ):  # pytest gets the Ctrl-C as well; wait until it has stopped its servers
            process.wait()
            raise


def run_until_stopped(session: nox.Session, command: Sequence[str], directory: Path) -> None:
    """Run a server until Ctrl-C or SIGTERM, which are its normal end."""
    code = run_in_foreground(command, directory, os.environ)
    if 0 < code < STOPPED:
        session.error(f"exit code {code}")


class Proof:
    """A session with a receipt: `with Proof(…) as proof: if proof.needed: …`.

    A green run leaves a receipt, and with the same inputs nothing runs again. `--fresh` ignores
    receipts.
    """

    def __init__(
        self, session: nox.Session, name: str, paths: Sequence[str], *options: str
    ) -> None:
        self._session = session
        self._name = name
        self._key = receipt_key(paths, options)
        receipt = find_receipt(name, self._key)
        self.needed = receipt is None or "--fresh" in session.posargs
        self.holds = True  # false after a flaky test, so that the next run tests again
        if self.needed:
            seconds = last_duration(name)
            before = "" if seconds is None else f", {seconds:.0f} s the last time"
            session.log(f"{name}{place_in_run(session)}{before}")
        else:
            session.log(f"{name}: {receipt}, none of its inputs has changed (--fresh: run anyway)")

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.needed and self.holds and self._key is not None:
            keep_receipt(self._name, self._key, time.monotonic() - self._began)


def place_in_run(session: nox.Session) -> str:
    """Return the place of this session among the chosen ones, such as ` (3 of 12)`."""
    STARTED.setdefault(session.name, len(STARTED) + 1)
    chosen = len(session._runner.manifest)
    return f" ({STARTED[session.name]} of {chosen})" if chosen > 1 else ""


STARTED: dict[str, int] = {}  # the sessions of this run so far, numbered


def check_outcomes(session: nox.Session, name: str, outcomes: Sequence[Outcome]) -> bool:
    """End the session with an error when a test failed; list the flaky ones.

    Returns whether every test passed in its first run.
    """
    flaky = [test for outcome in outcomes for test in outcome.flaky]
    keep_flaky(name, flaky)
    FLAKY.extend(flaky)
    failed = [test for outcome in outcomes for test in outcome.failed]
    for test in failed:
        session.warn(f"FAILED {test}")
    for test in flaky:
        session.warn(f"FLAKY {test}: it failed and then passed alone")
    if any(outcome.exit_code for outcome in outcomes):
        session.error(f"{name}: {len(failed)} failed" if failed else f"{name}: pytest broke off")
    return not flaky


FLAKY: list[str] = []


@atexit.register
def list_flaky() -> None:
    """List flaky tests at the very end of the run."""
    if FLAKY:
        print(f"\nFlaky tests: {len(FLAKY)} failed and then passed alone, kept in .nox/flaky.json:")
        print("\n".join(FLAKY))


def run_stage(session: nox.Session, stage: Stage, inherited: str, name: str) -> None:
    """Run the tests of a stage, unless a receipt proves them."""
    planned: StageRun = stage_run(STAGES, stage, inherited)
    options = [" ".join(arguments) for arguments in planned.runs]
    with Proof(session, name, planned.paths, *options) as proof:
        if not proof.needed:
            return
        app_python(session, stage)
        outcomes = [
            run_lanes(
                lambda arguments: run_pytest(session, *arguments),
                arguments,
                ROOT / ".nox" / "pytest" / name,
                alone_in=planned.suites if inherited == "full" else planned.suites[-1:],
            )
            for arguments in planned.runs
        ]
        proof.holds = check_outcomes(session, name, outcomes)


def run_patiently(session: nox.Session, module: str) -> None:
    """Run a module that needs time to end after a Ctrl-C; nox would kill it after 0.3 s."""
    if os.name == "nt":
        session.skip("There is no Redis-compatible server for Windows on PyPI: use Docker.")
    command = [python_of_tools(session), "-m", module, *session.posargs]
    session.run(*command, external=True, interrupt_timeout=None, terminate_timeout=None)


def run_check(session: nox.Session, inherited: str, name: str) -> None:
    """Run the tests of the course itself, unless a receipt proves them."""
    chosen = [word for word in session.posargs if word != "--fresh"]
    with Proof(session, name, EVERYTHING, *chosen) as proof:
        if not proof.needed:
            return
        check_structure(session)
        for stage in STAGES:
            app_python(session, stage)
        run_module(session, "tools.sync.openapi")
        outcome = run_lanes(
            lambda arguments: run_pytest(session, *arguments),
            [f"--inherited={inherited}", *(chosen or CHECK_SUITES)],
            ROOT / ".nox" / "pytest" / "check",
            alone_in=[] if chosen else CHECK_SUITES,
            share_files=True,
        )
        proof.holds = check_outcomes(session, name, [outcome])


def check_structure(session: nox.Session) -> None:
    """Check that the stages are in sync and that every requirement has a test."""
    run_module(session, "tools.sync.drift")
    run_module(session, "course.catalog.requirements")


def run_quick(session: nox.Session) -> None:
    """Check the style, the types and the stages of every change since `main`."""
    paths = changed_paths(ROOT, *session.posargs[1:2])
    found = touched(STAGES, paths)
    names = ", ".join(stage.name for stage in (*found.changed, *found.synced))
    session.log(f"{len(paths)} files differ. Stages touched: {names or 'none'}")
    lint_only = [path for path in paths if path.endswith(".py") and (ROOT / path).exists()]
    if lint_only:
        run_module(session, "ruff", "check", *lint_only)
        run_module(session, "ruff", "format", "--check", *lint_only)
    run_program(session, "typos")
    run_module(session, "tools.words.check")
    check_structure(session)
    numbers = [str(stage.number) for stage in (*found.changed, *found.synced)]
    if wanted := [*numbers, *(["tools"] if found.tools or found.harness else [])]:
        run_module(session, "tools.run.typecheck", *wanted)
    if numbers and run_pytest(session, "-q", "-m", "not slow", STARTERS) != 0:
        session.error("a starter cannot be made or used any more: see above")
    for stage in found.changed:
        run_stage(session, stage, "quick", stage.name)
    for stage in found.synced:
        # The stage before has already tested the copied files, so a selection of tests is enough.
        origins = [
            f"tests/{origin.name}" for origin in found.changed if origin.number < stage.number
        ]
        app_python(session, stage)
        arguments = [f"--stage={stage.number}", "--inherited=quick", *origins]
        outcome = run_lanes(
            lambda words: run_pytest(session, *words),
            arguments,
            ROOT / ".nox" / "pytest" / "quick",
            alone_in=[],
        )
        check_outcomes(session, f"quick of {stage.name}", [outcome])
    if found.harness:
        session.warn("The harness or the constraints differ: python3 noxfile.py runs everything.")
