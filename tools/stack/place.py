"""The directory of a stack: its secrets, data and logs, with a lock on all of it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from filelock import FileLock, Timeout

from course.catalog.stages import CourseError

_SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET", "FIRST_ADMIN_PASSWORD")
_FIRST_LINES = """\
# The secrets of this stack, made at its first start. Any setting of the application may stand here,
# too (see the table in capstone_production/README.md); the next start reads it.
FIRST_ADMIN_USERNAME=admin
"""


class Place:
    """A directory that one stack locks as long as it runs.

    The first use creates `.env` with new secrets; only its owner may read it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.logs = self.directory / "logs"
        self.secrets_file = self.directory / ".env"
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.geteuid() == 0:
                # PostgreSQL then runs as another user, who must reach its directory in here.
                self.directory.chmod(0o711)
            self.logs.mkdir(exist_ok=True, mode=0o700)
            self._lock = FileLock(self.directory / "lock", timeout=0)
            self._lock.acquire()
        except Timeout as error:
            raise CourseError(
                f"{directory}: another stack runs in this directory: stop it, or "
                "choose another --data"
            ) from error
        except OSError as error:
            raise CourseError(f"{directory}: {error.strerror}") from error
        if not self.secrets_file.exists():
            self._make_secrets()
        lines = self.secrets_file.read_text(encoding="utf-8").splitlines()
        values = (line.partition("=") for line in lines if not line.startswith("#"))
        self._values = {name: value for name, _, value in values}

    def secret(self, name: str) -> str:
        """Return a value of `.env`; raise `CourseError` when it is missing."""
        try:
            return self._values[name]
        except KeyError:
            raise CourseError(f"{self.secrets_file} has no {name}") from None

    def path(self, name: str) -> Path:
        """Return a directory in here; create it when it is missing."""
        path = self.directory / name
        path.mkdir(exist_ok=True, mode=0o700)
        return path

    def leave(self) -> None:
        """Release the lock."""
        self._lock.release()

    def _make_secrets(self) -> None:
        # Written to another name and renamed, so an interruption leaves no half file.
        unfinished = self.secrets_file.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        lines = (f"{name}={secrets.token_hex(32)}\n" for name in _SECRETS)
        unfinished.write_text(_FIRST_LINES + "".join(lines), encoding="utf-8")
        unfinished.rename(self.secrets_file)
