"""The course as `stages.toml` describes it: the stages and what each of them changes.

Every tool, the noxfile and the test harness read the course through this module, so a new stage is
a new row in `stages.toml` and nothing else. Only the standard library is used: the noxfile imports
it before any environment exists.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class CourseError(Exception):
    """`stages.toml` or the command line is wrong. The message is shown to the user."""


@dataclass(frozen=True)
class Chapter:
    """A part of a long stage that is learned by itself: `[[stage.chapter]]` of `stages.toml`."""

    number: int
    title: str
    minutes: int
    rows: tuple[str, ...]  # the requirements that it completes
    files: tuple[str, ...]  # patterns of the files that it changes; `*` also matches `/`
    starter: tuple[str, ...] = ()

    def has(self, path: str) -> bool:
        """Return whether a file of the stage belongs to this chapter."""
        return any(fnmatchcase(path, pattern) for pattern in self.files)


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
    starter_node: tuple[str, ...] = ()  # the same for the starter in Node.js: tools/learn/node/
    pages: tuple[str, ...] = ()  # paths to open in a browser, also in all later stages
    chapters: tuple[Chapter, ...] = ()
    chapter: Chapter | None = None  # set by `find_step`: only this chapter of the stage

    @property
    def name(self) -> str:
        """The short name, also the nox session's: `stage02`, `capstone`."""
        return self.directory.partition("_")[0]

    @property
    def step(self) -> str:
        """The word that names this step of the course on a command line: `3` or `capstone/2`."""
        return f"{self.name}/{self.chapter.number}" if self.chapter else str(self.number)

    @property
    def lesson(self) -> str:
        """The path of the page that teaches this step, seen from the course's directory."""
        if self.chapter is None:
            return f"{self.directory}/README.md"
        pages = (ROOT / self.directory / "lessons").glob(f"{self.chapter.number}-*.md")
        names = [f"{self.directory}/lessons/{page.name}" for page in sorted(pages)]
        return (names or [f"{self.directory}/README.md"])[0]


def load_course(root: Path = ROOT) -> list[Stage]:
    """Return the stages in course order; raise `CourseError` for a wrong `stages.toml`."""
    path = root / "stages.toml"
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("stage", [])
        stages = [_stage(row) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(f"stages.toml: {error}") from error
    if not stages:
        raise CourseError("stages.toml has no [[stage]]: add one")
    if [stage.number for stage in stages] != list(range(1, len(stages) + 1)):
        raise CourseError("stages.toml: number the stages 1, 2, 3, … in order")
    return stages


def _stage(row: dict[str, Any]) -> Stage:
    chapters = row.pop("chapter", [])
    name = row.get("directory", f"stage {row.get('number', '?')}")
    _check_fields(row, Stage, name)
    for chapter in chapters:
        _check_fields(chapter, Chapter, f"{name}, chapter {chapter.get('number', '?')},")
    if [chapter["number"] for chapter in chapters] != list(range(1, len(chapters) + 1)):
        raise CourseError(f"stages.toml: number the chapters of {name} 1, 2, 3, … in order")
    made = tuple(Chapter(**_frozen(chapter)) for chapter in chapters)
    return Stage(**_frozen(row), chapters=made)


def _check_fields(row: Mapping[str, Any], kind: type[Stage | Chapter], name: str) -> None:
    """Raise `CourseError` for a row with a missing or an unknown field."""
    missing = [one.name for one in fields(kind) if one.default is MISSING and one.name not in row]
    if missing:
        raise CourseError(f"stages.toml: {name} lacks {', '.join(missing)}")
    known = {one.name for one in fields(kind)} - {"chapters", "chapter"}
    if unknown := row.keys() - known:
        raise CourseError(f"stages.toml: {name} has an unknown field: {', '.join(sorted(unknown))}")


def _frozen(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


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


def find_chapter(stage: Stage, wanted: str) -> Chapter:
    """Return a chapter of the stage by its number; raise `CourseError` if there is none."""
    if not stage.chapters:
        raise CourseError(f"stage {stage.number} ({stage.directory}) has no chapters")
    for chapter in stage.chapters:
        if wanted == str(chapter.number):
            return chapter
    known = ", ".join(f"{chapter.number} ({chapter.title})" for chapter in stage.chapters)
    raise CourseError(f"{stage.name} has no chapter {wanted!r}: choose one of {known}")


def find_step(stages: list[Stage], wanted: str) -> Stage:
    """Return a stage, or for `capstone/2` the stage as only this chapter of it.

    The title, the minutes and the starter are then the chapter's.
    """
    name, slash, number = wanted.rstrip("/").partition("/")
    stage = find_stage(stages, name)
    if not slash:
        return stage
    chapter = find_chapter(stage, number)
    return replace(
        stage,
        title=chapter.title,
        minutes=chapter.minutes,
        starter=chapter.starter,
        chapter=chapter,
    )
