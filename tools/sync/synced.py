"""The state of propagate: `stages.lock`, and in `.git` the merge in progress."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from course.catalog.stages import CourseError, Stage
from course.catalog.trees import Entry, Files, git

HEADER = """\
# Written by `python3 noxfile.py propagate`; do not edit. For each stage: the git tree of the stage
# before it at the last sync, which is the base of the next three-way merge. Commit this file with
# the stages.

[synced_from]
"""


def read_lock(root: Path) -> dict[str, str]:
    """Return the tree id of each stage directory (empty without a lock); raise `CourseError`."""
    try:
        text = (root / "stages.lock").read_text(encoding="utf-8")
        rows = tomllib.loads(text).get("synced_from", {})
        if not isinstance(rows, dict):
            raise ValueError("synced_from is not a table")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CourseError(
            f"stages.lock: {error}: choose one side of the merge for the whole file, then run"
            " python3 noxfile.py propagate"
        ) from error
    return {directory: str(tree) for directory, tree in rows.items()}


def write_lock(root: Path, stages: list[Stage], rows: dict[str, str]) -> None:
    """Write `stages.lock`: the rows of the course's stages in order, and no others."""
    lines = [
        f"{json.dumps(stage.directory)} = {json.dumps(rows[stage.directory])}\n"
        for stage in stages[1:]
        if stage.directory in rows
    ]
    _replace(root / "stages.lock", HEADER + "".join(lines))


@dataclass
class Pending:
    """A merge that has begun and is not yet in `stages.lock`.

    The stage on disk holds `before` or `result`, or an edit of either by the user, so a killed run
    continues from here. A file that could not be written is in `result` only.
    """

    stage: str
    theirs: str  # the predecessor's tree that is merged, the next value in the lock
    ours: str  # the stage's tree before the merge, which --abort restores
    before: Files
    result: Files
    conflicts: dict[str, str] = field(default_factory=dict)  # path: kind
    told: bool = False  # the user has seen the conflicts; the next run reads the resolved files
    aborting: bool = False


@cache
def pending_path(root: Path) -> Path:
    """Return the path of the record of a merge in progress; it may not exist."""
    name = git(root, "rev-parse", "--git-path", "course-propagate.json")
    return root / os.fsdecode(name.rstrip(b"\n"))


def read_pending(root: Path) -> Pending | None:
    """Return the merge in progress or `None`; raise `CourseError`."""
    path = pending_path(root)
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name in ("before", "result"):
            record[name] = {file: Entry(*entry) for file, entry in record[name].items()}
        return Pending(**record)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CourseError(
            f"{path}: {error}: delete it and run python3 noxfile.py propagate"
        ) from error


def write_pending(root: Path, pending: Pending) -> None:
    """Record the merge in progress."""
    _replace(pending_path(root), json.dumps(asdict(pending), indent=1))


def clear_pending(root: Path) -> None:
    """Forget the merge in progress."""
    pending_path(root).unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_bytes(text.encode("utf-8"))
    unfinished.replace(path)
