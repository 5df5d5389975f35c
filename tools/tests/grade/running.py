"""Runs a grade like a person and reads its report."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course.catalog.command import run
from course.catalog.stages import ROOT
from tools.grade import report_terminal
from tools.grade.__main__ import main
from tools.grade.grading import grade as grade_subject
from tools.grade.options import parse
from tools.grade.results import Grade

HERE = Path(__file__).parent
PATIENCE = 580  # seconds
THOROUGH_PATIENCE = 1900


@dataclass(frozen=True)
class Report:
    """The output, the files and the exit code of a grade."""

    exit_code: int
    printed: str
    errors: str
    directory: Path

    @property
    def json(self) -> dict[str, Any]:
        """The report for programs."""
        content: dict[str, Any] = json.loads(self.file("report.json"))
        return content

    @property
    def statuses(self) -> dict[str, str]:
        """The status of each row."""
        return {row["id"]: row["status"] for row in self.json["requirements"]}

    def file(self, name: str) -> str:
        """Return the text of a written file."""
        return (self.directory / name).read_text(encoding="utf-8")


def grade_command(directory: Path, *arguments: str) -> list[str]:
    """Return the command of a grade in `directory`."""
    return [sys.executable, "-m", "tools.grade", f"--directory={directory}", *arguments]


def grade(directory: Path, *arguments: str, **environment: str) -> Report:
    """Grade in `directory`, which gets all reports; colours are allowed."""
    directory.mkdir(exist_ok=True)
    files = ["--json=report.json", "--junit=report.xml", "--html=report.html"]
    files = files if "--roster" not in arguments else []
    done = subprocess.run(
        grade_command(directory, *files, *arguments),
        cwd=ROOT,
        env=os.environ | {"NO_COLOR": "1"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=THOROUGH_PATIENCE if "--thorough" in arguments else PATIENCE,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return Report(done.returncode, done.stdout, done.stderr, directory)


def grade_here(directory: Path, *arguments: str) -> Report:
    """Do the same inside this process, for a command that ends before it starts pytest."""
    out, errors = io.StringIO(), io.StringIO()
    before = signal.getsignal(signal.SIGTERM)
    options = [f"--directory={directory}", "--json=report.json", *arguments]
    try:
        with chdir(directory), redirect_stdout(out), redirect_stderr(errors):
            exit_code = run(main, options)
    finally:
        signal.signal(signal.SIGTERM, before)
    return Report(exit_code, out.getvalue(), errors.getvalue(), directory)


def judge_here(*arguments: str) -> tuple[Grade, str]:
    """Grade one solution inside this process; return its grade and its report."""
    options = parse(arguments)
    assert options.subject is not None
    result = grade_subject(options, options.subject, lambda _: None)
    return result, report_terminal.render(result, colour=False)
