"""Every command of the course.

    python3 noxfile.py                     every check of every stage
    python3 noxfile.py -l                  the list of commands
    python3 noxfile.py serve 2             run stage 2, with its docs in the browser
    python3 noxfile.py stage02             the tests of stage 2 alone
    python3 noxfile.py diff 1 2            what stage 2 changes
    python3 noxfile.py starter 3 ../mine   stage 3 without the parts that its lesson is about

A bare Python 3.11 is enough: run by one, this file makes `.venv` with nox in it and runs itself
again there. `-s diff -- 1 2`, nox's own form, works too; an installed `nox` takes only that.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self  # Python 3.10 lacks it and must get as far as the message below

ROOT = Path(__file__).resolve().parent
OLDEST_PYTHON = (3, 11)

if sys.version_info < OLDEST_PYTHON:
    found = ".".join(map(str, sys.version_info[:3]))
    sys.exit(f"This course needs Python 3.11 or newer; {sys.executable} is Python {found}.")

sys.path.insert(0, str(ROOT))
from tools.run.arguments import nox_arguments  # noqa: E402 - an older Python ends with the line above


def bootstrap() -> int:
    """Run this file's sessions with the nox of `.venv`, making that first; return its exit code."""
    python = ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # Written last. To ask nox each time whether it is there would take a third of a second.
    made = ROOT / ".venv" / "made"
    if not (python.exists() and made.exists()):
        print("First run: making .venv with nox in it (about ten seconds) …", flush=True)
        _make_venv(python)
        made.touch()
    command = [str(python), "-m", "nox", "--noxfile", str(Path(__file__).resolve())]
    command += nox_arguments(sys.argv[1:])
    if os.name != "nt":
        # Replaced rather than called: Ctrl-C and signals reach nox alone, and its exit is ours.
        os.execv(command[0], command)  # noqa: S606 - our own arguments, no shell
    return subprocess.call(command)


def _answers(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def _make_venv(python: Path) -> None:
    base = [sys.executable, "-m"]
    venv = str(ROOT / ".venv")
    if _answers([*base, "venv", "--clear", venv]):
        pip = [str(python), "-m", "pip"]
    # Debian keeps ensurepip in a package of its own; its pip refuses to install anything outside
    # a virtual environment (PEP 668) but installs into one that it is pointed at.
    elif _answers([*base, "pip", "--version"]) and _answers(
        [*base, "venv", "--clear", "--without-pip", venv]
    ):
        pip = [*base, "pip", "--python", str(python)]
    else:
        sys.exit(
            f"{sys.executable} can make no virtual environment with pip in it.\n"
            "On Debian or Ubuntu: sudo apt install python3-venv. Then run this again."
        )
    install = [*pip, "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["-c", str(ROOT / "constraints.txt")]
    if subprocess.call([*install, *constraints, "nox"]) != 0:
        sys.exit("Could not install nox (see above). Is the network there? Then run this again.")
    if not _answers([*install, *constraints, "uv"]):
        print("No uv for this machine: using virtualenv and pip, which take longer.", flush=True)


if __name__ == "__main__":
    sys.exit(bootstrap())

import nox  # noqa: E402 - a bare Python has none: the lines above come first

from course.catalog.environment import stage_python, tools_python  # noqa: E402
from course.catalog.stages import CourseError, Stage, find_stage, load_course  # noqa: E402
from tools.run.foreground import run_in_foreground  # noqa: E402
from tools.run.receipts import find_receipt, keep_receipt, last_duration, receipt_key  # noqa: E402
from tools.run.suites import Outcome, StageRun, keep_flaky, run_lanes, stage_run  # noqa: E402
from tools.run.touched import changed_paths, touched  # noqa: E402

STAGES = load_course()
CHECK_SUITES = ["tools/tests", "course/tests", "tests/lessons"]
STARTERS = "tools/tests/learn/test_starter.py"
STOPPED = 128  # an exit code above it: a signal ended the command
GRADE_ENDS_WITHIN = 30.0  # seconds: it ends pytest and the servers that this started
EVERYTHING = ["."]  # what a receipt depends on, where that cannot be told more exactly

# uv compiles nothing and some machines forbid Python to keep what it compiled: pytest would spend
# its first two seconds on that, every time.
KEEP_BYTECODE = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(ROOT / ".nox" / "bytecode"),
}

nox.options.default_venv_backend = "none"  # `course/catalog/environment.py` makes the environments
nox.options.sessions = ["lint", "typecheck", "check", *(stage.name for stage in STAGES)]


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
    """Run a program that is a tool of the course and no module of Python."""
    session.run(str(Path(python_of_tools(session)).with_name(name)), *arguments, external=True)


def run_pytest(session: nox.Session, *arguments: str) -> int:
    """Run pytest; return its exit code."""
    command = [python_of_tools(session), "-m", "pytest", *arguments]
    session.log(f"pytest {' '.join(arguments)}")
    # Not by session.run, which does not tell the exit code.
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | KEEP_BYTECODE) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:  # pytest has it, too: let it end its servers
            process.wait()
            raise


def run_until_stopped(session: nox.Session, command: Sequence[str], directory: Path) -> None:
    """Run a server until Ctrl-C or a SIGTERM, which is its right end, with all that it started."""
    code = run_in_foreground(command, directory, os.environ)
    if 0 < code < STOPPED:
        session.error(f"exit code {code}")


class Proof:
    """A session with a receipt: `with Proof(…) as proof: if proof.needed: …`.

    Green code leaves a receipt; the same inputs are then proven and nothing runs. `-- --fresh`
    ignores receipts.
    """

    def __init__(
        self, session: nox.Session, name: str, paths: Sequence[str], *options: str
    ) -> None:
        self._session = session
        self._name = name
        self._key = receipt_key(paths, options)
        receipt = find_receipt(name, self._key)
        self.needed = receipt is None or "--fresh" in session.posargs
        self.holds = True  # false after a flaky test: the next run is to look again
        if self.needed:
            seconds = last_duration(name)
            before = "" if seconds is None else f", {seconds:.0f} s the last time"
            session.log(f"{name}{place_in_run(session)}{before}")
        else:
            session.log(f"{name}: {receipt}, nothing it depends on has changed (--fresh: run)")

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.needed and self.holds and self._key is not None:
            keep_receipt(self._name, self._key, time.monotonic() - self._began)


def place_in_run(session: nox.Session) -> str:
    """Return which of the chosen sessions this is, such as ` (3 of 12)`."""
    STARTED.setdefault(session.name, len(STARTED) + 1)
    chosen = len(session._runner.manifest)
    return f" ({STARTED[session.name]} of {chosen})" if chosen > 1 else ""


STARTED: dict[str, int] = {}  # the sessions of this run so far, numbered


def check_outcomes(
    session: nox.Session, name: str, outcomes: Sequence[Outcome], *, flaky_fails: bool = False
) -> bool:
    """End the session with an error when a test failed; list the flaky ones.

    Returns whether every test passed at once.
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
    if flaky and flaky_fails:
        session.error(f"{name}: {len(flaky)} flaky")
    return not flaky


FLAKY: list[str] = []


@atexit.register
def list_flaky() -> None:
    """Say at the very end which tests failed and then passed alone."""
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
        proof.holds = check_outcomes(session, name, outcomes, flaky_fails=inherited == "full")


def add_stage_session(stage: Stage) -> None:
    """Give the stage its session: its own suite, and a quick selection of all earlier ones."""

    def run(session: nox.Session) -> None:
        chosen = [word for word in session.posargs if word != "--fresh"]
        if not chosen:
            run_stage(session, stage, "quick", stage.name)
            return
        app_python(session, stage)
        if run_pytest(session, f"--stage={stage.number}", *chosen) != 0:
            session.error("pytest: see above")

    run.__doc__ = f"Test stage {stage.number}: {stage.title}."
    nox.session(name=stage.name)(run)


for _stage in STAGES:
    add_stage_session(_stage)


@nox.session(default=False)
def serve(session: nox.Session) -> None:
    """Run a stage with reload (`serve -- 2`; default: the furthest): docs on port 8000."""
    options = list(session.posargs)
    wanted = options.pop(0) if options and not options[0].startswith("-") else str(len(STAGES))
    stage = chosen_stage(session, wanted)
    python = app_python(session, stage)
    port = options[options.index("--port") + 1] if "--port" in options[:-1] else "8000"
    session.log(f"Stage {stage.number}, {stage.title}: open http://127.0.0.1:{port}/docs")
    session.log("Edits restart it. Ctrl-C stops it.")
    uvicorn = [python, "-m", "uvicorn", "app.main:app", "--reload", "--reload-dir", "app"]
    run_until_stopped(session, [*uvicorn, *options], ROOT / stage.directory)


@nox.session(name="fake-weather", default=False)
def fake_weather(session: nox.Session) -> None:
    """Run a weather provider on this machine (`--port 8090`), for stage 6 without internet."""
    command = [sys.executable, "-m", "course.harness.fake_weather", *session.posargs]
    run_until_stopped(session, command, ROOT)


@nox.session(name="compose-smoke", default=False)
def compose_smoke(session: nox.Session) -> None:
    """Run the capstone in containers and test it there; needs Docker (skipped without)."""
    try:
        session.run("docker", "compose", "version", external=True, silent=True)
        session.run("docker", "info", external=True, silent=True)
    except nox.command.CommandFailed:
        session.skip("Docker with Compose is not there, or its engine does not run.")
    if run_pytest(session, *(session.posargs or ["tests/compose"])) != 0:
        session.error("pytest: see above")


def run_patiently(session: nox.Session, module: str) -> None:
    """Run a module that ends by itself after a Ctrl-C: nox shall not kill it after 0.3 s."""
    if os.name == "nt":
        session.skip("There is no Redis-compatible server for Windows on PyPI: use Docker.")
    command = [python_of_tools(session), "-m", module, *session.posargs]
    session.run(*command, external=True, interrupt_timeout=None, terminate_timeout=None)


@nox.session(default=False)
def stack(session: nox.Session) -> None:
    """Run the production topology without Docker (`--port 8000`, `--data DIR`) until Ctrl-C."""
    run_patiently(session, "tools.stack")


@nox.session(default=False)
def drill(session: nox.Session) -> None:
    """Break the production topology in eight ways, under load (`drill -- 3 5`: only those)."""
    run_patiently(session, "tools.drill")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, spelling and CI with ruff, typos and zizmor (`lint --fix` mends the style)."""
    session.log(f"lint{place_in_run(session)}")
    run_module(session, "ruff", "check", *session.posargs)
    run_module(session, "ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))
    run_program(session, "typos")
    run_program(session, "zizmor", "--offline", "--quiet", ".github")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check the types of the tools, the tests and every stage with mypy --strict."""
    chosen = [word for word in session.posargs if word != "--fresh"]
    with Proof(session, "typecheck", EVERYTHING, *chosen) as proof:
        if proof.needed:
            run_module(session, "tools.run.typecheck", *chosen)


@nox.session
def check(session: nox.Session) -> None:
    """Check the course: no drift between stages, every requirement tested, working tools."""
    run_check(session, "quick", "check")


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
    """Check that the stages are in step and that every requirement has a test."""
    run_module(session, "tools.sync.drift")
    run_module(session, "course.catalog.requirements")


@nox.session(default=False)
def quick(session: nox.Session) -> None:
    """Check what changed since `main` (`--since REF`): a few minutes, before you commit."""
    paths = changed_paths(ROOT, *session.posargs[1:2])
    found = touched(STAGES, paths)
    names = ", ".join(stage.name for stage in (*found.changed, *found.synced))
    session.log(f"{len(paths)} files differ. Stages touched: {names or 'none'}")
    lint_only = [path for path in paths if path.endswith(".py") and (ROOT / path).exists()]
    if lint_only:
        run_module(session, "ruff", "check", *lint_only)
        run_module(session, "ruff", "format", "--check", *lint_only)
    run_program(session, "typos")
    check_structure(session)
    numbers = [str(stage.number) for stage in (*found.changed, *found.synced)]
    if wanted := [*numbers, *(["tools"] if found.tools or found.harness else [])]:
        run_module(session, "tools.run.typecheck", *wanted)
    if numbers and run_pytest(session, "-q", "-m", "not slow", STARTERS) != 0:
        session.error("a starter can no longer be made or used: see above")
    for stage in found.changed:
        run_stage(session, stage, "quick", stage.name)
    for stage in found.synced:
        # What was carried here was tested where it comes from: a selection of those tests will do.
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


@nox.session(default=False)
def full(session: nox.Session) -> None:
    """Run everything, every earlier suite of each stage too: nightly, and before a release."""
    lint(session)
    typecheck(session)
    run_check(session, "full", "check-full")
    for stage in STAGES:
        session.log(f"{stage.name}, stage {stage.number} of {len(STAGES)} in full")
        run_stage(session, stage, "full", f"{stage.name}-full")
    if FLAKY:
        session.error(f"{len(FLAKY)} flaky: a full run has none")


@nox.session(default=False)
def diff(session: nox.Session) -> None:
    """Show the lesson between two stages (`diff -- 2 3`, `--html FILE` for a page)."""
    if any(word.startswith("--html") for word in session.posargs):
        run_module(session, "tools.sync.diff", *session.posargs)
    else:
        command = [sys.executable, "-m", "tools.sync.diff", *session.posargs]
        session.run(*command, external=True, silent=False)


@nox.session(default=False)
def propagate(session: nox.Session) -> None:
    """Carry an edit of a stage into every later one (`propagate -- stage01_memory_todo`)."""
    session.run(sys.executable, "-m", "tools.sync.propagate", *session.posargs, external=True)


@nox.session(default=False, venv_backend="uv|virtualenv", reuse_venv=True)
def lock(session: nox.Session) -> None:
    """Resolve every requirement again into `constraints.txt`, for Python 3.11 to 3.14."""
    # An environment of its own: the tools' may be what cannot be made any more.
    session.install("-c", "constraints.txt", "filelock", "uv")
    session.run("python", "-m", "tools.run.lock", *session.posargs)


@nox.session(default=False)
def grade(session: nox.Session) -> None:
    """Grade anybody's solution (`grade -- --stage 3 --base-url URL`, or `--cmd`; see `--help`)."""
    here = f"--directory={session.invoked_from}"  # what relative paths mean
    command = [python_of_tools(session), "-m", "tools.grade", here, *session.posargs]
    # Not by session.run: its end would be nox's own, where 2 (our fault) must not look like 1.
    sys.exit(run_in_foreground(command, ROOT, os.environ | KEEP_BYTECODE, within=GRADE_ENDS_WITHIN))


@nox.session(default=False)
def autograder(session: nox.Session) -> None:
    """Make the autograder that Gradescope takes (`autograder -- OUT.zip --stage 3`)."""
    here = f"--directory={session.invoked_from}"  # what relative paths mean
    run_module(session, "tools.grade.autograder", here, *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the capstone beside floor programs (`bench -- --quick`: a look, in a minute)."""
    run_module(session, "benchmarks.run", *session.posargs)


@nox.session(default=False)
def starter(session: nox.Session) -> None:
    """Make a stage to finish yourself where you want it (`starter 3 ../my-stage3`)."""
    here = f"--directory={session.invoked_from}"  # what relative paths mean
    run_module(session, "tools.learn.starter", here, *session.posargs)


@nox.session(default=False)
def wrong(session: nox.Session) -> None:
    """Grade servers with a mistake in them: is it noticed? (`wrong -- 3 8.4 --missed`)."""
    run_module(session, "tools.mutate.wrong", *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Break stages on purpose, and see whether the tests notice (`mutants -- 1 2 --exhaustive`)."""
    for stage in STAGES:
        app_python(session, stage)
    run_module(session, "tools.mutate.mutants", *session.posargs)
