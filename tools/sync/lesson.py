"""The difference between two stages: the files that differ, grouped by feature."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from course.catalog.stages import Chapter, Stage
from course.catalog.trees import Entry, Files, content, git, trees_on_disk

LESSON, REQUIREMENTS, SETTINGS, APP, PROJECT, MIGRATIONS = (
    "lesson",
    "requirements",
    "settings",
    "app",
    "project",
    "migrations",
)
# The order for reading a change: requirements, then wiring, then each feature.
_APP_FILES = ("config.py", "main.py", "database.py")
_FEATURE_FILES = ("__init__.py", "models.py", "schemas.py", "service.py", "router.py")


@dataclass(frozen=True)
class FileChange:
    """One file that differs; `plus` and `minus` count lines and are 0 in a binary file."""

    path: str
    feature: str
    before: Entry | None
    after: Entry | None
    plus: int
    minus: int
    binary: bool

    @property
    def verb(self) -> str:
        """`added`, `changed` or `removed`."""
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"

    @property
    def counts(self) -> str:
        """`+12 -3`; `binary` for a binary file; the new mode when only the mode changed."""
        if self.binary:
            return "binary"
        if self.before and self.after and self.before.blob == self.after.blob:
            return f"mode {self.after.mode}"
        return f"+{self.plus} -{self.minus}"


@dataclass(frozen=True)
class Packages:
    """The differences of two `requirements.txt`, as lines of these files."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def rows(self) -> list[tuple[str, str]]:
        """Return (`added`, names), (`removed`, names), (`changed`, names) without empty ones."""
        rows = (("added", self.added), ("removed", self.removed), ("changed", self.changed))
        return [(what, ", ".join(names)) for what, names in rows if names]


@dataclass(frozen=True)
class Lesson:
    """The changes from one stage to a later one; `steps` are the stages after the first."""

    first: Stage
    last: Stage
    steps: tuple[Stage, ...]
    trees: tuple[str, str]
    changes: tuple[FileChange, ...]  # in reading order
    packages: Packages
    chapter: Chapter | None = None  # of the last stage: `changes` has only its files

    @property
    def minutes(self) -> int:
        """The minutes of all lessons together, or of the chapter."""
        return self.chapter.minutes if self.chapter else sum(step.minutes for step in self.steps)

    @property
    def title(self) -> str:
        """The title of the last stage, with the chapter."""
        if self.chapter is None:
            return self.last.title
        return f"{self.last.title}, chapter {self.chapter.number}: {self.chapter.title}"

    def by_feature(self) -> list[tuple[str, list[FileChange]]]:
        """Return the changes in reading order, grouped."""
        return [(name, list(rows)) for name, rows in groupby(self.changes, lambda c: c.feature)]


def compare(
    root: Path,
    stages: Sequence[Stage],
    first: Stage,
    last: Stage,
    chapter: Chapter | None = None,
) -> Lesson:
    """Return the difference of two stages on disk, or what a chapter of the last one has of it."""
    found = trees_on_disk(root, [first.directory, last.directory])
    before, after = found[first.directory].files, found[last.directory].files
    trees = (found[first.directory].id, found[last.directory].id)
    # The plumbing command, since a user's diff settings must not change the output.
    numbers = git(root, "diff-tree", "-r", "--numstat", "-z", *trees)
    changes = []
    for row in filter(None, numbers.decode("utf-8", "surrogateescape").split("\0")):
        plus, minus, path = row.split("\t", 2)
        if chapter is not None and not chapter.has(path):
            continue
        changes.append(
            FileChange(
                path=path,
                feature=feature_of(path),
                before=before.get(path),
                after=after.get(path),
                plus=0 if plus == "-" else int(plus),
                minus=0 if minus == "-" else int(minus),
                binary=plus == "-",
            )
        )
    order = _feature_order(stages, changes)
    changes.sort(key=lambda change: (order.index(change.feature), *_place_in_feature(change)))
    return Lesson(
        first=first,
        last=last,
        steps=tuple(stages[first.number : last.number]),
        trees=trees,
        changes=tuple(changes),
        packages=_packages(_requirements(root, before), _requirements(root, after)),
        chapter=chapter,
    )


def feature_of(path: str) -> str:
    """Return the part of a stage to which a path belongs; a folder under `app/` is a feature."""
    folder, _, rest = path.partition("/")
    if path == "README.md" or folder in {"lessons", "docs"}:
        return LESSON
    if re.fullmatch(r"requirements[^/]*\.txt", path):
        return REQUIREMENTS
    if path.startswith(".env"):
        return SETTINGS
    if path == "alembic.ini" or folder == "migrations":
        return MIGRATIONS
    if folder == "app" and "/" in rest:
        return rest.split("/")[0]
    if folder == "app":
        return APP
    return folder if rest else PROJECT


def _feature_order(stages: Sequence[Stage], changes: Sequence[FileChange]) -> list[str]:
    # Features in the order of the course, then the files outside of the app.
    paths = [path for stage in stages for path in stage.adds]
    paths += sorted(change.path for change in changes)
    paths.sort(key=lambda path: not path.startswith("app/"))
    first, last = [LESSON, REQUIREMENTS, SETTINGS, APP], [PROJECT, MIGRATIONS]
    middle = [name for name in map(feature_of, paths) if name not in (*first, *last)]
    return list(dict.fromkeys([*first, *middle, *last]))


def _place_in_feature(change: FileChange) -> tuple[str, int, str]:
    folder, _, name = change.path.rpartition("/")
    known = _APP_FILES if change.feature == APP else _FEATURE_FILES
    return folder, known.index(name) if name in known else len(known), name


def _requirements(root: Path, files: Files) -> dict[str, str]:
    if "requirements.txt" not in files:
        return {}
    text = content(root, files["requirements.txt"].blob).decode("utf-8", "replace")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    named = ((re.match(r"[A-Za-z0-9][\w.-]*", line), line) for line in lines)
    return {re.sub(r"[-_.]+", "-", name[0]).lower(): line for name, line in named if name}


def _packages(before: dict[str, str], after: dict[str, str]) -> Packages:
    return Packages(
        added=tuple(line for name, line in after.items() if name not in before),
        removed=tuple(line for name, line in before.items() if name not in after),
        changed=tuple(
            f"{before[name]} → {line}"
            for name, line in after.items()
            if name in before and before[name] != line
        ),
    )
