"""Every command of the course.

    python3 noxfile.py                     every check of every stage
    python3 noxfile.py help                the list of commands, as `-l` does
    python3 noxfile.py serve 2             run stage 2 and print the addresses of its pages
    python3 noxfile.py stage02             the tests of stage 2 alone
    python3 noxfile.py diff 1 2            what stage 2 changes
    python3 noxfile.py learn 3             write stage 3 yourself, one requirement at a time

Run the commands in the course's directory. Python 3.11 is enough: the first run makes `.venv`,
installs nox there, and starts this file again with that Python.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OLDEST_PYTHON = (3, 11)

if sys.version_info < OLDEST_PYTHON:
    found = ".".join(map(str, sys.version_info[:3]))
    sys.exit(f"This course needs Python 3.11 or newer; {sys.executable} is Python {found}.")

sys.path.insert(0, str(ROOT))
# An older Python has ended above, and a Python without nox can import only the bootstrap.
if __name__ == "__main__":
    from tools.run.bootstrap import bootstrap

    sys.exit(bootstrap(Path(__file__).resolve(), sys.argv[1:]))

import nox  # noqa: E402

from course.catalog.stages import Stage, pages_of  # noqa: E402
from tools.run.foreground import run_in_foreground  # noqa: E402
from tools.run.sessions import (  # noqa: E402
    EVERYTHING,
    FLAKY,
    KEEP_BYTECODE,
    STAGES,
    Proof,
    app_python,
    chosen_stage,
    place_in_run,
    python_of_tools,
    run_check,
    run_module,
    run_patiently,
    run_program,
    run_pytest,
    run_quick,
    run_stage,
    run_until_stopped,
)

GRADE_ENDS_WITHIN = 30.0  # seconds in which a grade stops pytest and the servers it started

nox.options.default_venv_backend = "none"  # `course/catalog/environment.py` makes the environments
nox.options.sessions = ["lint", "typecheck", "check", *(stage.name for stage in STAGES)]


def add_stage_session(stage: Stage) -> None:
    """Add the session of a stage: its own suite and a quick selection of all earlier suites."""

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
    """Run a stage on port 8000 and print its pages (`serve 2`; without a number: the last)."""
    options = list(session.posargs)
    wanted = options.pop(0) if options and not options[0].startswith("-") else str(len(STAGES))
    stage = chosen_stage(session, wanted)
    python = app_python(session, stage)
    port = options[options.index("--port") + 1] if "--port" in options[:-1] else "8000"
    session.log(f"Stage {stage.number}, {stage.title}. Open in a browser:")
    for page in pages_of(STAGES, stage):
        session.log(f"  http://127.0.0.1:{port}{page}")
    session.log("The server restarts after an edit. Ctrl-C stops it.")
    uvicorn = [python, "-m", "uvicorn", "app.main:app", "--reload", "--reload-dir", "app"]
    run_until_stopped(session, [*uvicorn, *options], ROOT / stage.directory)


@nox.session(name="fake-weather", default=False)
def fake_weather(session: nox.Session) -> None:
    """Run a fake weather provider (`--port 8090`), for stage 6 without internet."""
    command = [sys.executable, "-m", "course.harness.fake_weather", *session.posargs]
    run_until_stopped(session, command, ROOT)


@nox.session(name="compose-smoke", default=False)
def compose_smoke(session: nox.Session) -> None:
    """Run and test the capstone in containers; skipped where Docker is missing."""
    try:
        session.run("docker", "compose", "version", external=True, silent=True)
        session.run("docker", "info", external=True, silent=True)
    except nox.command.CommandFailed:
        session.skip("Docker with Compose is not installed, or its engine does not run.")
    if run_pytest(session, *(session.posargs or ["tests/compose"])) != 0:
        session.error("pytest: see above")


@nox.session(default=False)
def stack(session: nox.Session) -> None:
    """Run the production topology without Docker (`--port 8000`, `--data DIR`) until Ctrl-C."""
    run_patiently(session, "tools.stack")


@nox.session(default=False)
def drill(session: nox.Session) -> None:
    """Break the production topology in eight ways, under load (`drill 3 5`: only these)."""
    run_patiently(session, "tools.drill")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, spelling, plain words and CI (`lint --fix` corrects the style)."""
    session.log(f"lint{place_in_run(session)}")
    run_module(session, "ruff", "check", *session.posargs)
    run_module(session, "ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))
    run_program(session, "typos")
    run_module(session, "tools.words.check")
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


@nox.session(default=False)
def quick(session: nox.Session) -> None:
    """Check what changed since `main` (`--since REF`): a few minutes, before you commit."""
    run_quick(session)


@nox.session(default=False)
def full(session: nox.Session) -> None:
    """Run every test, with all earlier suites on each stage: nightly and before a release."""
    lint(session)
    typecheck(session)
    run_check(session, "full", "check-full")
    for stage in STAGES:
        session.log(f"{stage.name}, stage {stage.number} of {len(STAGES)} in full")
        run_stage(session, stage, "full", f"{stage.name}-full")
    if FLAKY:
        session.error(f"{len(FLAKY)} flaky tests: a full run must have none")


@nox.session(default=False)
def diff(session: nox.Session) -> None:
    """Show what changes between two stages (`diff 2 3`; `--chapter 2`; `--html FILE`: a page)."""
    if any(word.startswith("--html") for word in session.posargs):
        run_module(session, "tools.sync.diff", *session.posargs)
    else:
        command = [sys.executable, "-m", "tools.sync.diff", *session.posargs]
        session.run(*command, external=True, silent=False)


@nox.session(default=False)
def propagate(session: nox.Session) -> None:
    """Carry an edit of a stage into every later one (`propagate stage01_memory_todo`)."""
    session.run(sys.executable, "-m", "tools.sync.propagate", *session.posargs, external=True)


@nox.session(name="new-stage", default=False)
def new_stage(session: nox.Session) -> None:
    """Make a stage after the last one, green at once (`new-stage stage10_tags`)."""
    run_module(session, "tools.sync.new_stage", *session.posargs)


@nox.session(default=False, venv_backend="uv|virtualenv", reuse_venv=True)
def lock(session: nox.Session) -> None:
    """Resolve every requirement again into `constraints.txt`, for Python 3.11 to 3.14."""
    # This session has its own environment, since the pins of the tools' may be what is broken.
    session.install("-c", "constraints.txt", "filelock", "uv")
    session.run("python", "-m", "tools.run.lock", *session.posargs)


@nox.session(default=False)
def grade(session: nox.Session) -> None:
    """Grade a solution (`grade --stage 3 --base-url URL`, or `--cmd`; see `grade --help`)."""
    here = f"--directory={session.invoked_from}"  # relative paths start there
    command = [python_of_tools(session), "-m", "tools.grade", here, *session.posargs]
    # session.run would end with nox's exit code, and 2 (a fault of ours) must not become 1.
    sys.exit(run_in_foreground(command, ROOT, os.environ | KEEP_BYTECODE, within=GRADE_ENDS_WITHIN))


@nox.session(default=False)
def autograder(session: nox.Session) -> None:
    """Make the autograder for Gradescope (`autograder OUT.zip --stage 3`)."""
    here = f"--directory={session.invoked_from}"  # relative paths start there
    run_module(session, "tools.grade.autograder", here, *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the capstone and minimal programs (`bench --quick`: one minute, less exact)."""
    run_module(session, "benchmarks.run", *session.posargs)


@nox.session(default=False)
def starter(session: nox.Session) -> None:
    """Make a stage, or a chapter, that you finish yourself (`starter 3 ../my-stage3`)."""
    here = f"--directory={session.invoked_from}"  # relative paths start there
    run_module(session, "tools.learn.starter", here, *session.posargs)


@nox.session(default=False)
def learn(session: nox.Session) -> None:
    """Write a stage yourself, row by row (`learn 3`, `learn capstone/2`; `learn` continues)."""
    here = f"--directory={session.invoked_from}"  # what relative paths mean
    command = [python_of_tools(session), "-m", "tools.learn", here, *session.posargs]
    session.run(*command, external=True, interrupt_timeout=None, terminate_timeout=None)


@nox.session(name="learn-record", default=False)
def learn_record(session: nox.Session) -> None:
    """Play a learner through stage 3 and record what `learn` shows (docs/learn-stage03.txt)."""
    run_module(session, "tools.learn.record", *session.posargs)


@nox.session(name="learn-times", default=False)
def learn_times(session: nox.Session) -> None:
    """Measure the time from a save to its result in `learn` (`learn-times 3`: one stage)."""
    run_module(session, "tools.learn.measure", *session.posargs)


@nox.session(default=False)
def compare(session: nox.Session) -> None:
    """Show how your stage differs from the finished one (`compare 3 ../my-stage3`)."""
    here = f"--directory={session.invoked_from}"  # what relative paths mean
    run_module(session, "tools.learn.compare", here, *session.posargs)


@nox.session(default=False)
def notes(session: nox.Session) -> None:
    """Print what a teacher shows, asks and breaks in class (`notes 3`; `notes` lists all)."""
    run_module(session, "tools.teach.notes", *session.posargs)


@nox.session(default=False)
def wrong(session: nox.Session) -> None:
    """Grade servers that have one mistake each, and list which are caught (`wrong 3 8.4`)."""
    run_module(session, "tools.mutate.wrong", *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Break stages on purpose and see whether the tests notice (`mutants 1 2`)."""
    for stage in STAGES:
        app_python(session, stage)
    run_module(session, "tools.mutate.mutants", *session.posargs)
