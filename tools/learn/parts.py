"""The parts of a stage in a learner's directory: list the missing ones, compare one, reset one."""

from __future__ import annotations

import difflib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from course.catalog.parts import Part, Runtime, comment_of, read_parts, runtime_of
from course.catalog.stages import ROOT, Stage, load_course
from tools.learn.finished import finished_files
from tools.learn.source import spans
from tools.learn.starter import make_starter

KEPT = Path(".learn", "before-reset")  # the place where a reset keeps the old files
CODE = ("app", "migrations")
# Files of the capstone's containers, and its pages.
OTHER_FILES = (
    *(".dockerignore", "Dockerfile", "README.md", "compose.yaml", "deploy/**/*.*"),
    "docs/*.md",
)
_TODO = re.compile(r"\bTODO (\w\.\d+(?:, \w\.\d+)*):")


@dataclass(frozen=True)
class Todo:
    """A part that a learner still has to write."""

    path: str
    line: int
    rows: tuple[str, ...]


def todos_in(directory: Path) -> list[Todo]:
    """Return every TODO of the code, then those of other files, by paths and lines."""
    if runtime_of(directory) == "node":
        files = sorted(directory.glob("*.js"))
    else:
        files = [file for top in CODE for file in sorted((directory / top).rglob("*.py"))]
        files += [file for name in OTHER_FILES for file in sorted(directory.glob(name))]
    found = []
    for file in files:
        path = file.relative_to(directory).as_posix()
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue  # half written: the next save shows it
        for number, line in enumerate(lines, 1):
            mark = _TODO.search(line)
            if mark and line.lstrip().startswith(comment_of(path)):
                found.append(Todo(path, number, tuple(mark[1].split(", "))))
    return found


def rows_in_order(stage: Stage, runtime: Runtime = "python") -> list[str]:
    """Return the rows of a stage in a good working order."""
    listed = [row for part in read_parts(stage, runtime) for row in part.rows]
    return list(dict.fromkeys(listed))


def parts_of(stage: Stage, row: str, runtime: Runtime = "python") -> list[Part]:
    """Return the parts of a stage that earn a row."""
    return [part for part in read_parts(stage, runtime) if row in part.rows]


def compare(stage: Stage, directory: Path, rows: Iterable[str], root: Path = ROOT) -> Iterator[str]:
    """Yield the lines that show, part by part, how a learner's code differs from the finished one.

    An identical part has a line too. Only the parts of these rows are compared.
    """
    wanted, runtime = set(rows), runtime_of(directory)
    finished = finished_files(stage, runtime, root)
    for part in read_parts(stage, runtime):
        if not wanted.intersection(part.rows):
            continue
        names = f": {', '.join(part.names)}" if part.names else ""
        yield f"TODO {', '.join(part.rows)}  {part.path}{names}"
        theirs = _source_of(part, directory / part.path)
        ours = _source_of(part, finished[part.path])
        lines = list(difflib.unified_diff(theirs, ours, "yours", "finished", lineterm=""))
        yield from (f"  {line}" for line in lines[2:] or ["the same as the finished stage"])
        yield ""


def _source_of(part: Part, file: Path) -> list[str]:
    """Return the lines of a part: the whole file, or its functions and classes one after another.

    A file that cannot be read or parsed is compared as a whole.
    """
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    if not part.names:
        return source.splitlines()
    try:
        known = spans(part.path, source)
    except SyntaxError:
        return source.splitlines()
    lines = source.splitlines()
    chosen: list[str] = []
    for name in part.names:
        if name in known:
            start, end = known[name]
            chosen += [*lines[start:end], ""]
    return chosen


def reset(stage: Stage, directory: Path, row: str) -> list[str]:
    """Reset the parts of a row to the starter's; return the changed paths.

    The old files are kept in `.learn/before-reset/`.
    """
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name) / "starter"
        runtime = runtime_of(directory)
        make_starter(load_course(), stage, fresh, runtime=runtime)
        changed = []
        for part in parts_of(stage, row, runtime):
            theirs, starter = directory / part.path, fresh / part.path
            before = theirs.read_text(encoding="utf-8") if theirs.exists() else None
            fresh_text = starter.read_text(encoding="utf-8")
            after = put_back(before, fresh_text, part.names, part.path)
            if after == before:
                continue
            if before is not None:
                kept = directory / KEPT / part.path
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(theirs, kept)
            theirs.parent.mkdir(parents=True, exist_ok=True)
            theirs.write_text(after, encoding="utf-8")
            changed.append(part.path)
        return list(dict.fromkeys(changed))


def put_back(theirs: str | None, starter: str, names: Sequence[str], path: str) -> str:
    """Return a file in which these functions are the starter's, or else the whole starter file."""
    if theirs is None or not names:
        return starter
    try:
        known = spans(path, theirs)
        fresh = spans(path, starter)
    except SyntaxError:
        return starter
    if not set(names) <= known.keys():
        return starter
    lines, starter_lines = theirs.splitlines(), starter.splitlines()
    # From the end of the file, since an edit moves only the lines after it.
    for name in sorted(names, key=lambda name: -known[name][0]):
        start, end = known[name]
        first, last = fresh[name]
        lines[start:end] = starter_lines[first:last]
    return "\n".join(lines) + "\n"
