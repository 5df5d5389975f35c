"""The course as `stages.toml` describes it: the stages and what each of them changes.

Every tool, the noxfile and the test harness read the course through this module, so a new stage is
a new row in `stages.toml` and nothing else. Only the standard library is used: the noxfile imports
it before any environment exists.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class CourseError(Exception):
    """`stages.toml` or the command line is wrong. The message is shown to the user."""


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
    rewrites: tuple[str, ...] = ()  # like `changes`, but propagate does not merge earlier edits
    removes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()  # arguments of further test runs, in this stage and all later ones
    starter: tuple[str, ...] = ()  # parts that learners write themselves: tools/learn/starter.py
    pages: tuple[str, ...] = ()  # paths to open in a browser, also in all later stages

    @property
    def name(self) -> str:
        """The short name, also the nox session's: `stage02`, `capstone`."""
        return self.directory.partition("_")[0]


def load_course(root: Path = ROOT) -> list[Stage]:
    """Return the stages in course order; raise `CourseError` for a wrong `stages.toml`."""
    path = root / "stages.toml"
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("stage", [])
        for row in rows:
            _check_fields(row)
        stages = [Stage(**{key: _frozen(value) for key, value in row.items()}) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(f"stages.toml: {error}") from error
    if not stages:
        raise CourseError("stages.toml has no [[stage]]: add one")
    if [stage.number for stage in stages] != list(range(1, len(stages) + 1)):
        raise CourseError("stages.toml: number the stages 1, 2, 3, … in order")
    return stages


def _check_fields(row: Mapping[str, Any]) -> None:
    """Raise `CourseError` for a row with a missing or an unknown field."""
    name = row.get("directory", f"stage {row.get('number', '?')}")
    missing = [one.name for one in fields(Stage) if one.default is MISSING and one.name not in row]
    if missing:
        raise CourseError(f"stages.toml: {name} lacks {', '.join(missing)}")
    if unknown := row.keys() - {one.name for one in fields(Stage)}:
        raise CourseError(f"stages.toml: {name} has an unknown field: {', '.join(sorted(unknown))}")


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def pages_of(stages: list[Stage], stage: Stage) -> list[str]:
    """Return the paths of the stage that a person opens in a browser, `/` first."""
    return [page for one in stages[: stage.number] for page in one.pages]


def find_stage(stages: list[Stage], wanted: str) -> Stage:
    """Return the stage that `2`, `stage02` or `stage02_sqlite_todo` names."""
    for stage in stages:
        if wanted.rstrip("/") in {
            str(stage.number),
            f"{stage.number:02}",
            stage.name,
            stage.directory,
        }:
            return stage
    known = ", ".join(f"{stage.number} ({stage.directory})" for stage in stages)
    raise CourseError(f"stage {wanted!r} does not exist: choose one of {known}")
