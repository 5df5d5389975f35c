"""Finds the source files of a solution: `--watch` grades again when one of them changes.

Files that a server writes during a grade, and the reports, must not start the next grade.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from watchfiles import Change, DefaultFilter, watch
from watchfiles.main import FileChange

LOOKS_AFTER = 200  # milliseconds
_WRITTEN = (".db", ".db-wal", ".db-shm", ".db-journal", ".sqlite", ".sqlite3", ".log", ".tmp")


class SourceFilter(DefaultFilter):
    """Ignores caches, databases, logs and the given files."""

    ignore_dirs = (*DefaultFilter.ignore_dirs, ".grade", "media", "target", "build", "dist")

    def __init__(self, reports: Iterable[Path]) -> None:
        super().__init__(ignore_paths=[file.resolve() for file in reports])

    def __call__(self, change: Change, path: str) -> bool:
        """Return whether this file counts."""
        return not path.endswith(_WRITTEN) and super().__call__(change, path)


def changed_files(changed: Iterable[FileChange], directory: Path) -> list[str]:
    """Return the names of the files, from the directory."""
    root = directory.resolve()
    paths = {Path(path) for _, path in changed}
    return sorted(str(p.relative_to(root)) if p.is_relative_to(root) else str(p) for p in paths)


def changes(
    directory: Path, reports: Iterable[Path], end: threading.Event | None = None
) -> Iterator[set[FileChange]]:
    """Yield once at the start, then after each change of the source in `directory`.

    It ends with Ctrl-C or with `end`. A change while the caller is busy is reported afterwards.
    """
    is_first = True
    for changed in watch(
        directory.resolve(),
        watch_filter=SourceFilter(reports),
        rust_timeout=LOOKS_AFTER,
        yield_on_timeout=True,
        raise_interrupt=False,
        stop_event=end,
    ):
        if changed or is_first:
            is_first = False
            yield changed
