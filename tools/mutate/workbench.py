"""Copies the course, changes a stage in the copy, and runs its tests row by row.

Tests also read the source of a stage, so the copy is complete and only that stage differs. The copy
shares the environments of the real course, so a changed `requirements.txt` has no effect on them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from course.catalog.requirements import Requirement
from course.catalog.stages import ROOT, Stage, load_course

_PROGRAMS = (
    "conftest.py",
    "course",
    "tests",
    "tools",
    "stages.toml",
    "pyproject.toml",
    "constraints.txt",
)
# Files that git ignores, and files that the tests of a stage never read.
_LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", ".*_cache", "*.db", "*.db-*", "media", ".env", ".venv", ".learn*", ".git"
)
_TESTS_FAILED = 1  # pytest's exit code


class SuiteBroke(Exception):
    """The tests did not run to their end; the message is the end of pytest's output."""


@dataclass(frozen=True)
class Outcomes:
    """The results of tests without parameters; a test with a failed variant has failed."""

    failed: frozenset[str]
    passed: frozenset[str]

    def rows(self, requirements: Iterable[Requirement]) -> dict[str, bool]:
        """Return for each row whether all of its tests that ran passed."""
        return {
            row.id: not self.failed.intersection(row.tests)
            for row in requirements
            if (self.failed | self.passed).intersection(row.tests)
        }

    def corrected_by(self, again: Outcomes) -> Outcomes:
        """Return these outcomes; a test that passed in the second run has passed."""
        return Outcomes(self.failed - again.passed, self.passed | again.passed)


@contextmanager
def workbench(stage: Stage, source: Path | None = None) -> Iterator[Path]:
    """Yield the root of a copy of the course; its `stage` has the files of `source`, if given."""
    with tempfile.TemporaryDirectory(prefix="course-") as name:
        root = Path(name).resolve()
        for program in _PROGRAMS:
            _copy(ROOT / program, root / program)
        for other in load_course():
            original = source if other.number == stage.number and source else ROOT / other.directory
            _copy(original, root / other.directory)
        (root / ".nox").symlink_to(ROOT / ".nox", target_is_directory=True)
        yield root


def run_tests(
    root: Path, stage: Stage, arguments: Sequence[str], *, stop_at_first: bool = False
) -> Outcomes:
    """Run tests of the course at `root` for a stage; raise `SuiteBroke` when they cannot run.

    `arguments` are pytest's: tests, and options such as `--base-url`.
    """
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", f"--stage={stage.number}"]
        options += [f"--junitxml={report}", *(["--exitfirst"] if stop_at_first else [])]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *arguments],
            cwd=root,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        # The fixtures call `pytest.exit` if the server does not start.
        ended = done.returncode in (0, _TESTS_FAILED) and "outcomes.Exit:" not in done.stdout
        outcomes = (
            _read(report) if ended and report.exists() else Outcomes(frozenset(), frozenset())
        )
    if not outcomes.failed | outcomes.passed:
        raise SuiteBroke("\n".join(done.stdout.splitlines()[-30:]))
    return outcomes


def _read(report: Path) -> Outcomes:
    failed, passed = set(), set()
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        module, function = case.attrib["classname"], case.attrib["name"].partition("[")[0]
        test = f"{module.replace('.', '/')}.py::{function}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(test)
        elif case.find("skipped") is None:
            passed.add(test)
    return Outcomes(frozenset(failed), frozenset(passed - failed))


def _copy(original: Path, copy: Path) -> None:
    if original.is_dir():
        shutil.copytree(original, copy, ignore=_LEFT_OUT)
    else:
        shutil.copy2(original, copy)
