"""Every command of the course.

    python3 noxfile.py                     every check of every stage
    python3 noxfile.py -l                  what there is
    python3 noxfile.py -s serve -- 2       run stage 2, with its docs in the browser
    python3 noxfile.py -s stage02          the tests of stage 2 alone
    python3 noxfile.py -s diff -- 1 2      what stage 2 changes

A bare Python 3.11 is enough: run by one, this file makes `.venv` with nox in it and runs itself
again there. With nox installed, `nox` does the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OLDEST_PYTHON = (3, 11)

if sys.version_info < OLDEST_PYTHON:
    found = ".".join(map(str, sys.version_info[:3]))
    sys.exit(f"This course needs Python 3.11 or newer; {sys.executable} is Python {found}.")


def bootstrap() -> int:
    """Run this file's sessions with the nox of `.venv`, making that first; return its exit code."""
    python = ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # Written last. To ask nox each time whether it is there would take a third of a second.
    made = ROOT / ".venv" / "made"
    if not (python.exists() and made.exists()):
        print("First run: making .venv with nox in it (about ten seconds) …", flush=True)
        _make_venv(python)
        made.touch()
    command = [str(python), "-m", "nox", "--noxfile", str(Path(__file__).resolve()), *sys.argv[1:]]
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

sys.path.insert(0, str(ROOT))
from tools.course import CourseError, Stage, find_stage, load_course  # noqa: E402
from tools.environment import stage_python  # noqa: E402

STAGES = load_course()
CODE = ["noxfile.py", "tools", "tests", "benchmarks"]
IN_THE_CAPSTONE = r"(benchmarks/(floor_.*|unobserved)|tests/capstone/cache_schedules)\.py$"

# uv compiles nothing and some machines forbid Python to keep what it compiled: pytest would spend
# its first two seconds on that, every time.
KEEP_BYTECODE = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(ROOT / ".nox" / "bytecode"),
}

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True
nox.options.sessions = ["lint", "typecheck", "check", *(stage.name for stage in STAGES)]


def install(session: nox.Session, *packages: str) -> None:
    """Install into the session's environment, at the versions that `constraints.txt` pins."""
    session.install("-c", "constraints.txt", *packages)


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


def run_tests(session: nox.Session, *arguments: str) -> None:
    """Run pytest. What fails is run once more, alone: a fault of the code fails again.

    The suites start, kill and time real processes, and a browser: on a busy machine one of two
    thousand may miss its deadline. The first failure stays in the output, with all it says.
    """
    try:
        session.run("pytest", *arguments, env=KEEP_BYTECODE)
    except nox.command.CommandFailed:
        session.warn("Something failed (see above). Once more, only that …")
        last_failed = ["--last-failed", "--last-failed-no-failures=none"]
        session.run("pytest", *last_failed, *arguments, env=KEEP_BYTECODE)


def add_stage_session(stage: Stage) -> None:
    """Give the stage its session: its own suites and those of every stage before it."""
    so_far = STAGES[: stage.number]
    suites = [f"tests/{earlier.name}" for earlier in so_far]
    further_runs = [arguments for earlier in so_far for arguments in earlier.also]

    def run(session: nox.Session) -> None:
        install(session, "-r", "tests/requirements.txt")
        app_python(session, stage)
        run_tests(session, f"--stage={stage.number}", *(session.posargs or suites))
        for again in [] if session.posargs else further_runs:
            run_tests(session, f"--stage={stage.number}", *again.split())

    run.__doc__ = f"Test stage {stage.number}: {stage.title}."
    nox.session(name=stage.name)(run)


for _stage in STAGES:
    add_stage_session(_stage)


@nox.session(venv_backend="none")
def serve(session: nox.Session) -> None:
    """Run a stage with reload (`serve -- 2`; default: the furthest): docs on port 8000."""
    options = list(session.posargs)
    wanted = options.pop(0) if options and not options[0].startswith("-") else str(len(STAGES))
    stage = chosen_stage(session, wanted)
    python = app_python(session, stage)
    port = options[options.index("--port") + 1] if "--port" in options[:-1] else "8000"
    session.log(f"Stage {stage.number}, {stage.title}: open http://127.0.0.1:{port}/docs")
    session.log("Edits restart it. Ctrl-C stops it.")
    session.chdir(stage.directory)
    session.run(
        python, "-m", "uvicorn", "app.main:app", "--reload", "--reload-dir", "app", *options,
        external=True,
    )  # fmt: skip


@nox.session(name="fake-weather", default=False, venv_backend="none")
def fake_weather(session: nox.Session) -> None:
    """Run a weather provider on this machine (`--port 8090`), for stage 6 without internet."""
    command = [sys.executable, "-m", "tools.fake_weather", *session.posargs]
    session.run(*command, external=True)


@nox.session(name="compose-smoke", default=False)
def compose_smoke(session: nox.Session) -> None:
    """Run the capstone in containers and test it there; needs Docker (skipped without)."""
    try:
        session.run("docker", "compose", "version", external=True, silent=True)
        session.run("docker", "info", external=True, silent=True)
    except nox.command.CommandFailed:
        session.skip("Docker with Compose is not there, or its engine does not run.")
    install(session, "-r", "tests/requirements.txt")
    session.run("pytest", *(session.posargs or ["tests/compose"]), env=KEEP_BYTECODE)


def run_patiently(session: nox.Session, module: str) -> None:
    """Run a module that ends by itself after a Ctrl-C: nox shall not kill it after 0.3 s."""
    if os.name == "nt":
        session.skip("There is no Redis-compatible server for Windows on PyPI: use Docker.")
    install(session, "-r", "tests/requirements.txt")
    command = ["python", "-m", module, *session.posargs]
    session.run(*command, interrupt_timeout=None, terminate_timeout=None)


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
    """Check style and likely mistakes with ruff (`lint -- --fix` mends what it can)."""
    install(session, "ruff")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check the types of the tools, the tests and every stage with mypy --strict."""
    install(session, "mypy", "nox", "-r", "tests/requirements.txt")
    session.run("mypy", f"--exclude={IN_THE_CAPSTONE}", *CODE)
    for stage in STAGES:
        python = app_python(session, stage)
        with session.chdir(stage.directory):
            session.run(
                "mypy",
                "--config-file=../pyproject.toml",
                f"--cache-dir=../.mypy_cache/{stage.name}",
                f"--python-executable={python}",
                ".",
            )


@nox.session
def check(session: nox.Session) -> None:
    """Check the course: no drift between stages, every requirement tested, working tools."""
    install(session, "-r", "tests/requirements.txt")
    session.run("python", "-m", "tools.drift")
    session.run("python", "-m", "tools.requirements")
    install(session, "ruff")  # it takes out what a starter no longer imports
    session.run("python", "-m", "tools.starter", "--check")
    for stage in STAGES:
        app_python(session, stage)
    session.run("python", "-m", "tools.openapi")
    suites = ["tests/tools", "tests/harness", "tests/lessons", "tests/grading"]
    run_tests(session, *(session.posargs or suites))


@nox.session(default=False, venv_backend="none")
def diff(session: nox.Session) -> None:
    """Show the lesson between two stages (`diff -- 2 3`, `--html FILE` for a page)."""
    session.run(sys.executable, "-m", "tools.diff", *session.posargs, external=True, silent=False)


@nox.session(default=False, venv_backend="none")
def propagate(session: nox.Session) -> None:
    """Carry an edit of a stage into every later one (`propagate -- stage01_memory_todo`)."""
    session.run(sys.executable, "-m", "tools.propagate", *session.posargs, external=True)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Resolve every requirement again into `constraints.txt`, for Python 3.11 to 3.14."""
    install(session, "filelock", "uv")
    session.run("python", "-m", "tools.lock", *session.posargs)


@nox.session(default=False)
def grade(session: nox.Session) -> None:
    """Grade anybody's solution (`grade -- --stage 3 --base-url URL`, or `--cmd`; see `--help`)."""
    install(session, "-r", "tests/requirements.txt")
    here = f"--directory={session.invoked_from}"  # what relative paths mean
    command = ["python", "-m", "tools.grade", here, *session.posargs]
    # Not by session.run: its end would be nox's own, where 2 (our fault) must not look like 1.
    program = str(Path(session.bin) / "python")
    sys.exit(subprocess.call([program, *command[1:]], cwd=ROOT, env=os.environ | KEEP_BYTECODE))


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the capstone beside floor programs (`bench -- --quick`: a look, in a minute)."""
    install(session, "-r", "tests/requirements.txt")
    session.run("python", "-m", "benchmarks.run", *session.posargs)


@nox.session(default=False)
def starter(session: nox.Session) -> None:
    """Write `starter/stageNN`, what learners begin with, from the finished stages."""
    install(session, "ruff", "-r", "tests/requirements.txt")
    session.run("python", "-m", "tools.starter", *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Break stages on purpose, and see whether the tests notice (`mutants -- 1 2 --exhaustive`)."""
    install(session, "-r", "tests/requirements.txt")
    for stage in STAGES:
        app_python(session, stage)
    session.run("python", "-m", "tools.mutants", *session.posargs)
