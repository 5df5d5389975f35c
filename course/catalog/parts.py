"""The parts of a stage that learners write themselves: the rows of `starter` in `stages.toml`."""

from __future__ import annotations

from dataclasses import dataclass

from course.catalog.stages import Stage


@dataclass(frozen=True)
class Part:
    """A part of a file that a learner writes; without names it is the whole file."""

    rows: tuple[str, ...]
    path: str
    names: tuple[str, ...]


def read_parts(stage: Stage) -> list[Part]:
    """Return the parts of a stage that learners write."""
    parts = []
    for line in stage.starter:
        rows, _, rest = line.partition(" ")
        path, _, names = rest.partition(":")
        names_given = tuple(name.strip() for name in names.split(",") if name.strip())
        parts.append(Part(tuple(rows.split("+")), path.strip(), names_given))
    return parts
