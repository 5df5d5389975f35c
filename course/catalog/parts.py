"""The parts that learners write themselves: the rows of `starter` in `stages.toml`.

The first stages have a second starter, in Node.js: the rows of `starter_node`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from course.catalog.stages import Chapter, Stage

Runtime = Literal["python", "node"]


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

    @property
    def mark(self) -> str:
        """The start of its comment in a starter, such as `# TODO 3.1, 3.2:`."""
        return f"{comment_of(self.path)} TODO {', '.join(self.rows)}:"


def read_parts(step: Stage | Chapter, runtime: Runtime = "python") -> list[Part]:
    """Return the parts of a stage, or of a chapter, that learners write.

    A stage without a starter in Node.js has the rows and the order of the one in Python.
    """
    in_node = step.starter_node if runtime == "node" and isinstance(step, Stage) else ()
    parts = []
    for line in in_node or step.starter:
        rows, _, rest = line.partition(" ")
        path, _, names = rest.partition(":")
        # A line with a stub has one name, since the statement may hold commas.
        name, is_stub, code = names.partition(" = ")
        stubs = {name.strip(): code.strip()} if is_stub else {}
        given = tuple(stubs or (one.strip() for one in names.split(",") if one.strip()))
        parts.append(Part(tuple(rows.split("+")), path.strip(), given, stubs))
    return parts


def runtime_of(directory: Path) -> Runtime:
    """Return which starter a learner's directory was made from: `package.json` tells Node.js."""
    return "node" if (directory / "package.json").is_file() else "python"


def comment_of(path: str) -> str:
    """Return the characters that begin a comment in this file."""
    return "//" if path.endswith(".js") else "#"
