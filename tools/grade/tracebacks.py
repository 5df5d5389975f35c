"""Finds the exception of one answer in a server's log, and the line of the solution.

It understands Python's tracebacks and Node's stacks. For other logs it finds nothing, and the
report shows the lines of the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_OF_PACKAGES = ("site-packages", "dist-packages", "node_modules", ".venv", "venv", "lib/python")
_BEGINS = re.compile(r"^\s*(?:\+ )?(?:Exception Group )?Traceback \(most recent call last\):$")
_LARGEST_SOURCE = 1_000_000  # bytes
_IN_A_GROUP = re.compile(r"^[ |+-]*\| ?")
_FRAME = re.compile(r'^\s*File "(?P<file>.+?)", line (?P<line>\d+), in (?P<function>.+)$')
_RAISED = re.compile(r"^[A-Za-z_][\w.]*(?:: .*)?$")
_OF_A_REQUEST = re.compile(r'"[A-Z]+ \S+ HTTP/[\d.]+" (\d{3})')
_NODE_RAISED = re.compile(r"^\s*(?:Uncaught )?[A-Z]\w*(?:Error|Exception)\b.*")
_NODE_FRAME = re.compile(
    r"^\s+at (?:async )?(?:(?P<function>.+?) \()?(?:file://)?(?P<file>/[^():]+):(?P<line>\d+):\d+\)?$"
)


@dataclass(frozen=True)
class Raised:
    """An exception: `place` is a line of the solution, such as `app/main.py:41`, or empty."""

    exception: str
    place: str = ""
    source: str = ""


@dataclass(frozen=True)
class _Frame:
    file: str
    line: str
    source: str = ""


def exception_in(log: str, request: str, directory: str | None) -> Raised | None:
    """Return the exception of `request`, such as `GET /todos`, in the log, or None.

    `log` is the log since that request began. It may also hold the exception of the request before.
    If the log names requests, uvicorn logs an exception after the line of its request, other
    servers before it.
    """
    lines = log.splitlines()
    named = [n for n, line in enumerate(lines) if f'"{request} HTTP/' in line]
    if not named:
        found = _all(lines)[-1:]
    else:
        found = _all(lines[named[-1] :])[:1] or _all(_before(lines[: named[-1]]))[-1:]
    if not found:
        return None
    exception, frames = found[0]
    own = [(frame, name) for frame in frames if (name := _own(frame.file, directory))]
    if not own:
        return Raised(exception)
    frame, name = own[-1]
    return Raised(exception, f"{name}:{frame.line}", frame.source or _line_of(frame, directory))


def _line_of(frame: _Frame, directory: str | None) -> str:
    """Return the line of the source, since Node's stacks do not show it; empty if it is gone.

    A solution of a stranger can print any path, so only its own files are read.
    """
    try:
        file = Path(frame.file).resolve()
        if directory is None or not file.is_relative_to(Path(directory).resolve()):
            return ""
        if not file.is_file() or file.stat().st_size > _LARGEST_SOURCE:
            return ""
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # not there, or not a text
        return ""
    number = int(frame.line)
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def _all(lines: Sequence[str]) -> list[tuple[str, list[_Frame]]]:
    return [*_python(lines), *_node(lines)]


def _before(lines: Sequence[str]) -> Sequence[str]:
    """Return the part of the log after another request, if that one did not fail."""
    others = [n for n, line in enumerate(lines) if _OF_A_REQUEST.search(line)]
    if not others:
        return lines
    failed = _OF_A_REQUEST.search(lines[others[-1]])
    return [] if failed and failed[1].startswith("5") else lines[others[-1] :]


def _python(lines: Sequence[str]) -> Iterator[tuple[str, list[_Frame]]]:
    """Yield each exception with its frames, outer first; for a chain, the last one."""
    frames: list[_Frame] = []
    reading, last = False, ""
    for line in [*lines, ""]:
        bare = _IN_A_GROUP.sub("", line) if "|" in line[:8] else line
        if _BEGINS.match(line) or _BEGINS.match(bare):
            frames, reading = [], True
        elif reading and (found := _FRAME.match(bare)):
            frames.append(_Frame(found["file"], found["line"]))
        elif reading and bare.startswith((" ", "\t")) and frames:
            text = bare.strip()
            if not frames[-1].source and text.strip("~^ "):
                frames[-1] = _Frame(frames[-1].file, frames[-1].line, text)
        elif reading and _RAISED.match(bare):
            last, reading = bare, False
        elif last and not _is_link(bare):
            yield last, frames
            last = ""
    if last:
        yield last, frames


def _is_link(line: str) -> bool:
    """Return whether a line stands between two exceptions of one chain."""
    return not line.strip() or line.startswith(("During handling of", "The above exception was"))


def _node(lines: Sequence[str]) -> Iterator[tuple[str, list[_Frame]]]:
    """Yield each error of Node with its frames, outer first."""
    raised, frames = "", list[_Frame]()
    for line in [*lines, ""]:
        if found := _NODE_FRAME.match(line):
            frames.insert(0, _Frame(found["file"], found["line"]))
            continue
        if raised and frames:
            yield raised, frames
        raised = line.strip() if _NODE_RAISED.match(line) else ""
        frames = []


def _own(file: str, directory: str | None) -> str:
    """Return the path of a file of the solution from its directory; empty for any other."""
    path = file.replace("\\", "/")
    if any(part in path for part in _OF_PACKAGES) or path.startswith(("<", "node:")):
        return ""
    if directory is None:
        return path
    for place in {directory, str(Path(directory).resolve())}:
        if PurePosixPath(path).is_relative_to(place.replace("\\", "/")):
            return str(PurePosixPath(path).relative_to(place.replace("\\", "/")))
    return "" if path.startswith("/") or path[1:2] == ":" else path
