"""The parts that learners write themselves: the rows of `starter` in `stages.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from course.catalog.stages import Chapter, Stage


@dataclass(frozen=True)
class Part:
    """A part of a file that a learner writes; without names it is the whole file.

    A function in `stubs` has this one statement until the learner writes it: the plainest behaviour
    with which the application still runs. Every other function raises an error. In a file that is
    not Python the names are keys, such as `services.redis` in YAML.
    """

    rows: tuple[str, ...]
    path: str
    names: tuple[str, ...]
    stubs: Mapping[str, str] = field(default_factory=dict)


def read_parts(step: Stage | Chapter) -> list[Part]:
    """Return the parts of a stage, or of a chapter, that learners write."""
    parts = []
    for line in step.starter:
        rows, _, rest = line.partition(" ")
        path, _, names = rest.partition(":")
        # A line with a stub has one name, since the statement may hold commas.
        name, is_stub, code = names.partition(" = ")
        stubs = {name.strip(): code.strip()} if is_stub else {}
        given = tuple(stubs or (one.strip() for one in names.split(",") if one.strip()))
        parts.append(Part(tuple(rows.split("+")), path.strip(), given, stubs))
    return parts
