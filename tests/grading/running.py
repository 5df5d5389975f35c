"""Running the grading as a person does, and reading its report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.course import ROOT

HERE = Path(__file__).parent
PATIENCE = 300  # seconds


@dataclass(frozen=True)
class Report:
    """What the grading printed, wrote and ended with."""

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
        """Return what was written to a file."""
        return (self.directory / name).read_text(encoding="utf-8")


def grade_command(directory: Path, *arguments: str) -> list[str]:
    """Return the command that grades, from `directory`."""
    return [sys.executable, "-m", "tools.grade", f"--directory={directory}", *arguments]


def grade(directory: Path, *arguments: str, **environment: str) -> Report:
    """Grade in `directory`, where all reports go; colours would be shown if they could."""
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
        timeout=PATIENCE,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return Report(done.returncode, done.stdout, done.stderr, directory)


def odd_server(kind: str) -> str:
    """Return the command of a server that is not as it should be."""
    return f"{sys.executable} {HERE / 'odd_servers.py'} {{port}} {kind}"
