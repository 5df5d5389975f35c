"""The Python environments: one for each stage with its requirements, and one for all tools.

A stage that imports a package which its requirements do not name fails here as it does for a
learner. An environment is made on first use, kept in `.nox/apps/`, and made again when the
requirements, the constraints or the Python change.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from course.catalog.stages import ROOT, CourseError, Stage

# Resolved, since `.nox` may be a link, and scripts in an environment need the real path.
ENVIRONMENTS = (ROOT / ".nox" / "apps").resolve()
CONSTRAINTS = ROOT / "constraints.txt"
# Requirements of the Python solutions that test the grader; the first file pins packages that
# `constraints.txt` does not have.
SOLUTIONS = tuple(
    ROOT / "tools" / "tests" / "grade" / "solutions" / name
    for name in ("pins.txt", "fastapi_docs/requirements.txt", "flask/requirements.txt")
)


def python_of(environment: Path) -> Path:
    """Return the path of the interpreter inside a virtual environment."""
    if os.name == "nt":
        return environment / "Scripts" / "python.exe"
    return environment / "bin" / "python"


def stage_python(stage: Stage) -> Path:
    """Return the interpreter of the stage's own environment; build it if it is missing or outdated.

    Raises `CourseError` with the end of the installer's output if the build fails.
    """
    return build(_environment(stage.name), ROOT / stage.directory / "requirements.txt")


def tools_python() -> Path:
    """Return the interpreter of the environment of the tests and tools."""
    names = ("tests", "tools")
    return build(_environment("tools"), *(ROOT / name / "requirements.txt" for name in names))


def solutions_python() -> Path:
    """Return the interpreter of the one environment of all Python solutions."""
    return build(_environment("solutions"), *SOLUTIONS)


def _environment(name: str) -> Path:
    return ENVIRONMENTS / f"{name}-py{sys.version_info.major}.{sys.version_info.minor}"


def build(environment: Path, *requirements: Path) -> Path:
    """Make `environment` hold exactly `requirements` (pinned by `constraints.txt`)."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    stamp = environment / "built-from.txt"
    # Two sessions that start together build it once; the lock ends with its process.
    with FileLock(f"{environment}.lock"):
        wanted = _fingerprint(*requirements)
        if _read(stamp) != wanted:
            print(f"Making the environment {environment.name} …", flush=True)
            stamp.unlink(missing_ok=True)
            shutil.rmtree(environment, ignore_errors=True)
            _create(environment, *requirements)
            # The stamp is deleted first and written last, so an interrupted build has none and is
            # made again.
            stamp.write_text(wanted, encoding="utf-8")
    return python_of(environment)


def _fingerprint(*requirements: Path) -> str:
    parts = [sys.version, sys.base_prefix]
    parts += [path.read_text(encoding="utf-8") for path in (*requirements, CONSTRAINTS)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _create(environment: Path, *requirements: Path) -> None:
    pins = [word for path in requirements for word in ("-r", str(path))]
    pins += ["-c", str(CONSTRAINTS)]
    uv = _find_uv()
    if uv is not None:
        try:
            _run([*uv, "venv", "--quiet", "--python", sys.executable, str(environment)])
            # Compiled now, as pip does; otherwise each start in the tests compiles everything.
            install = ["pip", "install", "--quiet", "--compile-bytecode"]
            _run([*uv, *install, "--python", str(python_of(environment)), *pins])
            return
        except CourseError as error:
            # uv does not read pip.conf, so behind a mirror only pip may work.
            print(f"uv could not do it ({error}); trying pip …", file=sys.stderr, flush=True)
            shutil.rmtree(environment, ignore_errors=True)
    # virtualenv comes with nox and has its own pip; Debian's venv module may lack it.
    maker = "virtualenv" if importlib.util.find_spec("virtualenv") else "venv"
    _run([sys.executable, "-m", maker, str(environment)])
    pip = [str(python_of(environment)), "-m", "pip", "install", "--disable-pip-version-check"]
    _run([*pip, "--quiet", *pins])


def _find_uv() -> list[str] | None:
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    found = shutil.which("uv")
    return [found] if found else None


def _run(command: list[str]) -> None:
    environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        last_words = "\n".join(done.stdout.strip().splitlines()[-5:])
        raise CourseError(f"{' '.join(command[:4])} … failed:\n{last_words}")
