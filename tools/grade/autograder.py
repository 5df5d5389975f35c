"""Makes the zip file from which Gradescope builds an autograder.

    python -m tools.grade.autograder autograder.zip --stage 3

It holds the grader and its tests, but no finished stage. On Gradescope a submission runs as its own
user, who can read neither the tests nor the result. It needs an image with Python 3.11 or newer,
such as Ubuntu 24.04. https://gradescope-autograders.readthedocs.io/en/latest/specs/ describes the
file and the place where Gradescope unpacks it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from course.catalog import command
from course.catalog.requirements import load_requirements
from course.catalog.stages import CourseError, Stage, find_stage, load_course
from tools.grade.results import due
from tools.grade.weights import read_weights

TEMPLATES = Path(__file__).with_name("templates")
DEFAULT_COMMAND = "uvicorn app.main:app --port {port}"
SCRIPTS = ("setup.sh", "run_autograder")
FILE, PROGRAM = 0o100644 << 16, 0o100755 << 16  # as a zip file keeps it
_FILES = (
    *("stages.toml", "constraints.txt", "pyproject.toml", "docs/contract.md"),
    *("conftest.py", "course/__init__.py", "tools/__init__.py"),
    "tests/requirements.txt",
)
_FOLDERS = ("course/catalog", "course/harness", "tools/grade")
_LEFT_OUT = ("__pycache__", ".mypy_cache")


def main(arguments: Sequence[str], root: Path) -> int:
    """Write the zip file."""
    given = _parser().parse_args(arguments)
    os.chdir(given.directory or ".")
    stages = load_course()
    stage = find_stage(stages, given.stage)
    files = {name: (root / name).read_bytes() for name in course_files(root, stages, stage)}
    solution = root / stage.directory / "requirements.txt"
    files["solution-requirements.txt"] = (given.requirements or solution).read_bytes()
    if given.weights:
        rows = due(load_requirements(), stage.number)
        read_weights(given.weights, (row.id for row in rows), {row.stage for row in rows})
        files["weights.toml"] = given.weights.read_bytes()
    files |= scripts(stage, given.cmd, thorough=given.thorough, language=given.lang)
    write_zip(given.file, files)
    print(f"{given.file}: {len(files)} files. Choose an image with Python 3.11 or newer for it.")
    return 0


def course_files(root: Path, stages: Sequence[Stage], stage: Stage) -> Iterator[str]:
    """Return the paths that a grade of the stage reads, relative to the root."""
    yield from _FILES
    suites = [f"tests/{one.name}" for one in stages if one.number <= stage.number]
    yield from sorted(f"tests/{one.name}" for one in (root / "tests").glob("*.py"))
    for folder in (*_FOLDERS, *suites):
        for file in sorted((root / folder).rglob("*")):
            path = file.relative_to(root)
            if file.is_file() and not set(_LEFT_OUT) & set(path.parts):
                yield path.as_posix()


def scripts(stage: Stage, cmd: str, *, thorough: bool, language: str) -> dict[str, bytes]:
    """Return the two scripts that Gradescope runs."""
    # These are scripts, so HTML escaping is off.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )
    values = {
        "stage": stage.number,
        "command": shlex.quote(cmd),
        "options": " ".join([*(["--thorough"] if thorough else []), f"--lang={language}"]),
    }
    return {
        name: environment.get_template(f"gradescope/{name}").render(values).encode()
        for name in SCRIPTS
    }


def write_zip(file: Path, files: dict[str, bytes]) -> None:
    """Write the files at the root of a zip file; the scripts are executable."""
    try:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                entry = zipfile.ZipInfo(name)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = PROGRAM if name in SCRIPTS else FILE
                archive.writestr(entry, content)
    except OSError as error:
        raise CourseError(f"cannot write {file}: {error.strerror}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.grade.autograder", description="Make an autograder for Gradescope."
    )
    parser.add_argument("file", metavar="OUT.zip", type=Path)
    parser.add_argument("--stage", metavar="N", required=True, help="the stage to grade")
    parser.add_argument(
        "--cmd", metavar="COMMAND", default=DEFAULT_COMMAND,
        help="starts a solution on the port {port} (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--requirements", metavar="FILE", type=Path,
        help="the packages that a solution may import (default: those of the stage)",
    )  # fmt: skip
    parser.add_argument("--weights", metavar="FILE", type=Path, help="points, as TOML")
    parser.add_argument("--thorough", action="store_true", help="every test; takes minutes")
    parser.add_argument("--lang", choices=("en", "ru"), default="en")
    parser.add_argument("--directory", metavar="DIR", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(command.run(main))
