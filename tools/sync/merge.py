"""The three-way merge of two git trees, path by path. It reads and writes no files on disk."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from course.catalog.trees import Entry, Files, content, git, store

# The kinds of conflict; BLOCKED is found when the result is written to disk.
TEXT, BINARY = "text", "binary"
DELETED_THERE, DELETED_HERE = "deleted there", "deleted here"
BLOCKED = "blocked"

# The line of equals signs is left out, since Markdown underlines headings with it.
_MARKER = re.compile(rb"^(?:[<>]{7}(?: |\r?$)|\|{7} \S)", re.MULTILINE)


class Labels(NamedTuple):
    """The names at the conflict markers."""

    ours: str
    base: str
    theirs: str


@dataclass
class Merge:
    """The merged files, the action for each path, and the conflicts by path."""

    files: dict[str, Entry] = field(default_factory=dict)
    done: dict[str, str] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)


def has_markers(data: bytes) -> bool:
    """Return whether a text still has conflict markers."""
    return _MARKER.search(data) is not None


def merge_trees(
    root: Path,
    base: Files,
    ours: Files,
    theirs: Files,
    labels: Labels,
    kept: frozenset[str] = frozenset(),
) -> Merge:
    """Return `ours` with the changes from `base` to `theirs`.

    A path of `kept` stays as in `ours`, present or not: the stage declares that it removes or
    rewrites the file. On a conflict the result holds the markers (text), our version (binary), or
    the version that still exists (edited on one side, deleted on the other).
    """
    merge = Merge()
    for path in sorted(base.keys() | ours.keys() | theirs.keys()):
        was, mine, new = base.get(path), ours.get(path), theirs.get(path)
        if new == was or mine == new or path in kept:
            chosen = mine
        elif mine == was:
            chosen = new
            merge.done[path] = _verb(mine, new)
        elif mine is None:
            chosen = new
            merge.conflicts[path] = DELETED_HERE
        elif new is None:
            chosen = mine
            merge.conflicts[path] = DELETED_THERE
        else:
            chosen, conflict = _merge_file(root, was, mine, new, labels)
            if conflict:
                merge.conflicts[path] = conflict
            else:
                merge.done[path] = "merged"
        if chosen is not None:
            merge.files[path] = chosen
    return merge


def _verb(mine: Entry | None, new: Entry | None) -> str:
    if mine is None:
        return "added"
    return "deleted" if new is None else "taken"


def _merge_file(
    root: Path, was: Entry | None, mine: Entry, new: Entry, labels: Labels
) -> tuple[Entry, str]:
    mode = new.mode if was is not None and mine.mode == was.mode else mine.mode
    if mine.blob == new.blob or (was is not None and new.blob == was.blob):
        return Entry(mode, mine.blob), ""
    if was is not None and mine.blob == was.blob:
        return Entry(mode, new.blob), ""
    texts = {
        labels.ours: content(root, mine.blob),
        labels.base: b"" if was is None else content(root, was.blob),
        labels.theirs: content(root, new.blob),
    }
    if any(b"\0" in text for text in texts.values()):
        return Entry(mode, mine.blob), BINARY
    with tempfile.TemporaryDirectory(prefix="course-") as scratch:
        options, names = [], []
        for number, (label, text) in enumerate(texts.items()):
            name = Path(scratch) / str(number)
            name.write_bytes(text)
            options += ["-L", label]
            names.append(str(name))
        # Its exit status is the number of conflicts, up to 127; a higher one is an error.
        merged = git(root, "merge-file", "-p", "--diff3", *options, *names, most=127)
    conflict = TEXT if has_markers(merged) else ""
    return Entry(mode, store(root, merged)), conflict
