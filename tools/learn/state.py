"""The state of a learner: one small file in their directory, which works on any machine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from course.catalog.stages import ROOT, CourseError

FILE = ".learn.json"
LAST = ROOT / ".nox" / "learn.json"  # which directory `learn` goes on with


@dataclass
class State:
    """The stage, the passed rows, and the number of hints shown for each other row."""

    stage: int
    command: str
    language: str = "en"
    passed: list[str] = field(default_factory=list)
    hints: dict[str, int] = field(default_factory=dict)
    chapter: int = 0  # of the stage; 0: the whole stage

    @property
    def step(self) -> str:
        """The word for `find_step`."""
        return f"{self.stage}/{self.chapter}" if self.chapter else str(self.stage)


def read_state(directory: Path) -> State | None:
    """Return the state in this directory, or None; raise `CourseError` for a damaged file."""
    file = directory / FILE
    if not file.exists():
        return None
    try:
        return State(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(f"{file}: {error}. Delete this file to start again.") from error


def write_state(directory: Path, state: State) -> None:
    """Store the state; raise `CourseError` if the directory is not writable."""
    file = directory / FILE
    text = json.dumps(asdict(state), indent=1, ensure_ascii=False) + "\n"
    try:
        unfinished = file.with_suffix(".tmp")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(file)
    except OSError as error:
        raise CourseError(f"{file}: {error.strerror}") from error


def last_directory(file: Path = LAST) -> Path | None:
    """Return the last directory of `learn`, or None."""
    try:
        return Path(json.loads(file.read_text(encoding="utf-8"))["directory"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_directory(directory: Path, file: Path = LAST) -> None:
    """Let `learn` without a stage continue with this directory."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"directory": str(directory)}) + "\n", encoding="utf-8")
