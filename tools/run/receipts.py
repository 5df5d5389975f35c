"""Receipts of green runs: the same inputs are not tested twice.

A green run leaves a receipt. Its key covers everything that the run depends on: the content of
files and directories, the Python version, the operating system and the options. A later run with
the same key is proven and does not start. Receipts live in `.nox/receipts/`, one file for each
session; deleting one only costs time. Without git there are no receipts. A database or Redis that
the environment names also prevents them, since a key cannot cover its content.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from course.catalog.stages import ROOT, CourseError
from course.catalog.trees import git

RECEIPTS = ROOT / ".nox" / "receipts"
KEPT = 20  # keys kept for one session: enough to switch between branches
# The tests use these servers instead of their own.
_SERVERS_OF_THE_ENVIRONMENT = ("DATABASE_URL", "REDIS_URL")


@dataclass(frozen=True)
class Receipt:
    """A green run: how long it took, in seconds, and when it ended (ISO 8601, UTC)."""

    key: str
    seconds: float
    ended_at: str

    def __str__(self) -> str:
        return f"proven on {self.ended_at[:16].replace('T', ' ')} UTC, in {self.seconds:.0f} s"


def receipt_key(paths: Iterable[str], options: Iterable[str], root: Path = ROOT) -> str | None:
    """Return the key of a run that depends on these paths and options.

    Uncommitted and untracked files count; files that git ignores do not. Returns None when there
    can be no receipt.
    """
    if any(os.environ.get(name) for name in _SERVERS_OF_THE_ENVIRONMENT):
        return None
    try:
        content = _content(root, sorted(set(paths)))
    except CourseError:
        return None
    parts = [sys.version, platform.system(), platform.machine(), *options, *content]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def find_receipt(session: str, key: str | None, directory: Path = RECEIPTS) -> Receipt | None:
    """Return the session's receipt for this key, or None."""
    return next((kept for kept in _read(session, directory) if kept.key == key), None)


def keep_receipt(session: str, key: str, seconds: float, directory: Path = RECEIPTS) -> None:
    """Store a receipt of the session for this key."""
    receipt = Receipt(key, round(seconds, 1), datetime.now(UTC).isoformat(timespec="seconds"))
    others = [kept for kept in _read(session, directory) if kept.key != key]
    directory.mkdir(parents=True, exist_ok=True)
    rows = [asdict(kept) for kept in [receipt, *others][:KEPT]]
    file = directory / f"{session}.json"
    unfinished = file.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(file)


def last_duration(session: str, directory: Path = RECEIPTS) -> float | None:
    """Return how many seconds the last green run of the session took, or None."""
    receipts = _read(session, directory)
    return receipts[0].seconds if receipts else None


def _read(session: str, directory: Path) -> list[Receipt]:
    try:
        rows: list[Mapping[str, Any]] = json.loads((directory / f"{session}.json").read_bytes())
        return [Receipt(**row) for row in rows]
    except (OSError, ValueError, TypeError):
        return []  # missing, or written by an older version


def _content(root: Path, paths: list[str]) -> list[str]:
    """Return the path, the mode and a hash of the content of every file below `paths`."""
    listed = git(root, "ls-files", "-co", "--exclude-standard", "-z", "--", *paths)
    names = sorted({os.fsdecode(name) for name in listed.split(b"\0") if name})
    found = []
    for name in names:
        try:
            data = (root / name).read_bytes()
            executable = os.access(root / name, os.X_OK)
        except (FileNotFoundError, IsADirectoryError):
            continue  # deleted and not committed, or a nested repository
        found.append(f"{name} {executable} {hashlib.sha256(data).hexdigest()}")
    return found
