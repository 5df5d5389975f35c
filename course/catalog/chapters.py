"""The rules of chapters: each changed file and each row of their stage belongs to exactly one."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable

from course.catalog.parts import read_parts
from course.catalog.requirements import Requirement
from course.catalog.stages import Chapter, Stage
from course.catalog.trees import shown

REPOSITORY = "D."  # rows about the repository, which no lesson teaches


def file_problems(stage: Stage) -> list[str]:
    """Return a line for each changed file without its chapter, and for each unused pattern."""
    if not stage.chapters:
        return []
    problems = []
    changed = (*stage.adds, *stage.changes, *stage.rewrites, *stage.removes)
    for path in changed:
        owners = [chapter for chapter in stage.chapters if chapter.has(path)]
        if len(owners) != 1:
            problems.append(f"{stage.directory}/{shown(path)} {_belongs(owners)}")
    for chapter in stage.chapters:
        problems += [
            f"stages.toml: {_named(stage, chapter)}, files: no changed file matches {pattern}:"
            " remove the pattern"
            for pattern in chapter.files
            if not fnmatch.filter(changed, pattern)
        ]
    minutes = sum(chapter.minutes for chapter in stage.chapters)
    if minutes != stage.minutes:
        problems.append(
            f"stages.toml: the chapters of {stage.directory} take {minutes} minutes together, and"
            f" the stage says {stage.minutes}: make them equal"
        )
    return problems


def row_problems(stage: Stage, requirements: Iterable[Requirement]) -> list[str]:
    """Return a line for each row of the stage without its chapter, and for each unknown row."""
    if not stage.chapters:
        return []
    rows = [
        row.id
        for row in requirements
        if row.stage == stage.number and not row.id.startswith(REPOSITORY)
    ]
    problems = []
    for row in rows:
        owners = [chapter for chapter in stage.chapters if row in chapter.rows]
        if len(owners) != 1:
            problems.append(f"{row} {_belongs(owners)}")
    for chapter in stage.chapters:
        problems += [
            f"stages.toml: {_named(stage, chapter)} has {row}, which is no row of this stage"
            for row in chapter.rows
            if row not in rows
        ]
        parts = {row for part in read_parts(chapter) for row in part.rows}
        problems += [
            f"stages.toml: the starter of {_named(stage, chapter)} has no part for {row}"
            for row in chapter.rows
            if row not in parts
        ]
    return problems


def _belongs(owners: Collection[Chapter]) -> str:
    if not owners:
        return "belongs to no chapter: add it to one in stages.toml"
    numbers = " and ".join(str(chapter.number) for chapter in owners)
    return f"belongs to the chapters {numbers}: keep it in one of them in stages.toml"


def _named(stage: Stage, chapter: Chapter) -> str:
    return f"chapter {chapter.number} of {stage.directory}"
