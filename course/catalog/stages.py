"""The course as `stages.toml` describes it: which stages there are and what each one changes.

Every tool, the noxfile and the test harness read the course through this module, so a new stage is
a new row in `stages.toml` and nothing else. Only the standard library is used: the noxfile imports
it before any environment exists.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class CourseError(Exception):
    """`stages.toml` or the command line says something that cannot be: the text is for the user."""


@dataclass(frozen=True)
class Stage:
    """One row of `stages.toml`; the paths are relative to the stage's directory."""

    number: int
    directory: str
    title: str
    level: str
    goal: str
    minutes: int
    adds: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()  # as `changes`, but earlier stages' edits are not carried here
    removes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()  # arguments of further test runs, in this stage and all later ones
    starter: tuple[str, ...] = ()  # what learners write themselves, see tools/learn/starter.py

    @property
    def name(self) -> str:
        """The short name, also the nox session's: `stage02`, `capstone`."""
        return self.directory.partition("_")[0]


def load_course(root: Path = ROOT) -> list[Stage]:
    """Return the stages in course order; raise `CourseError` when `stages.toml` is not usable."""
    path = root / "stages.toml"
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("stage", [])
        stages = [Stage(**{key: _frozen(value) for key, value in row.items()}) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(f"stages.toml: {error}") from error
    if not stages:
        raise CourseError("stages.toml: no [[stage]] in it")
    if [stage.number for stage in stages] != list(range(1, len(stages) + 1)):
        raise CourseError("stages.toml: the stages are not numbered 1, 2, 3, … in order")
    return stages


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def find_stage(stages: list[Stage], wanted: str) -> Stage:
    """Return the stage a person means by `2`, `stage02` or `stage02_sqlite_todo`."""
    for stage in stages:
        if wanted.rstrip("/") in {
            str(stage.number),
            f"{stage.number:02}",
            stage.name,
            stage.directory,
        }:
            return stage
    known = ", ".join(f"{stage.number} ({stage.directory})" for stage in stages)
    raise CourseError(f"there is no stage {wanted!r}: choose one of {known}")
