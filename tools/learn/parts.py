"""The parts of a stage in a learner's directory: list the missing ones, compare one, reset one."""

from __future__ import annotations

import ast
import difflib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from course.catalog.parts import Part, read_parts
from course.catalog.stages import ROOT, Stage, load_course
from tools.learn.starter import definitions, make_starter

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
            if mark and line.lstrip().startswith("#"):
                found.append(Todo(path, number, tuple(mark[1].split(", "))))
    return found


def rows_in_order(stage: Stage) -> list[str]:
    """Return the rows of a stage in a good working order."""
    listed = [row for part in read_parts(stage) for row in part.rows]
    return list(dict.fromkeys(listed))


def parts_of(stage: Stage, row: str) -> list[Part]:
    """Return the parts of a stage that earn a row."""
    return [part for part in read_parts(stage) if row in part.rows]


def compare(stage: Stage, directory: Path, rows: Iterable[str], root: Path = ROOT) -> Iterator[str]:
    """Yield the lines that show, part by part, how a learner's code differs from the finished one.

    An identical part has a line too. Only the parts of these rows are compared.
    """
    wanted = set(rows)
    for part in read_parts(stage):
        if not wanted.intersection(part.rows):
            continue
        names = f": {', '.join(part.names)}" if part.names else ""
        yield f"TODO {', '.join(part.rows)}  {part.path}{names}"
        theirs = _source_of(part, directory / part.path)
        ours = _source_of(part, root / stage.directory / part.path)
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
        known = dict(definitions(ast.parse(source)))
    except SyntaxError:
        return source.splitlines()
    lines = source.splitlines()
    chosen: list[str] = []
    for name in part.names:
        if name in known:
            start, end = _lines_of(known[name])
            chosen += [*lines[start:end], ""]
    return chosen


def _lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> tuple[int, int]:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return first - 1, node.end_lineno or node.lineno


def reset(stage: Stage, directory: Path, row: str) -> list[str]:
    """Reset the parts of a row to the starter's; return the changed paths.

    The old files are kept in `.learn/before-reset/`.
    """
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name) / "starter"
        make_starter(load_course(), stage, fresh)
        changed = []
        for part in parts_of(stage, row):
            theirs, starter = directory / part.path, fresh / part.path
            before = theirs.read_text(encoding="utf-8") if theirs.exists() else None
            after = put_back(before, starter.read_text(encoding="utf-8"), part.names)
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


def put_back(theirs: str | None, starter: str, names: Sequence[str]) -> str:
    """Return a file in which these functions are the starter's, or else the whole starter file."""
    if theirs is None or not names:
        return starter
    try:
        known = dict(definitions(ast.parse(theirs)))
    except SyntaxError:
        return starter
    fresh = dict(definitions(ast.parse(starter)))
    if not set(names) <= known.keys():
        return starter
    lines, starter_lines = theirs.splitlines(), starter.splitlines()
    # From the end of the file, since an edit moves only the lines after it.
    for name in sorted(names, key=lambda name: -known[name].lineno):
        start, end = _lines_of(known[name])
        first, last = _lines_of(fresh[name])
        lines[start:end] = starter_lines[first:last]
    return "\n".join(lines) + "\n"
