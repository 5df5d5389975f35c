"""Reads and changes jobs in the database, and makes texts for jobs, for tests and drills."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from course.harness.database import Database, SQLiteFile

FINISHED = ("succeeded", "failed", "cancelled")
MAX_ATTEMPTS = 3


def prose(size: int) -> bytes:
    """Return `size` bytes of words, many of them different, in lines and sentences."""
    lines = []
    length = number = 0
    while length < size:
        line = f"The {number % 7919}th fox jumps over dog w{number}, and says «привет».\n".encode()
        lines.append(line)
        length += len(line)
        number += 1
    # Only the last line may be incomplete, and the cut is in ASCII.
    return b"".join(lines)[: size - 100].decode("utf-8", "ignore").encode().ljust(size, b"x")


# A trigger of the database records every change of a job's status.
_LEDGER = "CREATE TABLE changes_of_jobs (job_id VARCHAR, old VARCHAR, new VARCHAR, at FLOAT)"
_NOTE_CHANGES = """
CREATE TRIGGER note_changes AFTER UPDATE OF status ON jobs WHEN OLD.status != NEW.status
BEGIN
    INSERT INTO changes_of_jobs VALUES (
        OLD.id, OLD.status, NEW.status, (julianday('now') - 2440587.5) * 86400.0
    );
END
"""
_NOTE_CHANGES_ON_POSTGRESQL = """
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes_of_jobs VALUES (
        replace(OLD.id::text, '-', ''), OLD.status, NEW.status,
        extract(epoch FROM clock_timestamp())
    );
    RETURN NEW;
END $$;
CREATE TRIGGER note_changes AFTER UPDATE OF status ON jobs
FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION note_change()
"""


class Ledger:
    """The history of every job, recorded in the database from outside the app."""

    def __init__(self, database: Database) -> None:
        self._database = database
        is_file = isinstance(database, SQLiteFile)
        database.execute(_LEDGER)
        database.execute(_NOTE_CHANGES if is_file else _NOTE_CHANGES_ON_POSTGRESQL)

    def claims(self, job_id: str) -> list[float]:
        """Return the start times of the job, in seconds since 1970."""
        statement = (
            "SELECT at FROM changes_of_jobs WHERE job_id = ? AND new = 'running' ORDER BY at"
        )
        return [at for (at,) in self._database.query(statement, _hex(job_id))]

    def ends(self, job_id: str) -> list[str]:
        """Return the final statuses of the job: exactly one, if the app is right."""
        statement = (
            "SELECT new FROM changes_of_jobs WHERE job_id = ?"
            " AND new IN ('succeeded', 'failed', 'cancelled') ORDER BY at"
        )
        return [status for (status,) in self._database.query(statement, _hex(job_id))]

    def status(self, job_id: str) -> str:
        """Return the present status in the job's row."""
        statement = "SELECT status FROM jobs WHERE id = ?"
        ((status,),) = self._database.query(statement, _hex(job_id))
        return str(status)

    def use_attempts_up(self, job_id: str) -> None:
        """Leave the job only one attempt."""
        statement = "UPDATE jobs SET attempts = ? WHERE id = ?"
        self._database.execute(statement, MAX_ATTEMPTS - 1, _hex(job_id))

    def take_over(self, job_id: str) -> None:
        """Give the job's lease to a worker of another server."""
        statement = "UPDATE jobs SET lease = ? WHERE id = ?"
        self._database.execute(statement, uuid.uuid4().hex, _hex(job_id))

    def damage(self, job_id: str) -> None:
        """Replace the job's text by bytes that are not UTF-8 (SQLite)."""
        self._database.execute(
            "UPDATE jobs SET text = CAST(x'736563726574ff' AS TEXT) WHERE id = ?", _hex(job_id)
        )


def _hex(job_id: str) -> str:
    return job_id.replace("-", "")


def lease_of(database: Database, job_id: str) -> timedelta | None:
    """Return the time from a job's start to the end of its lease, or None without a lease.

    A renewed lease lasts longer accordingly.
    """
    statement = "SELECT started_at, lease_until FROM jobs WHERE id = ? AND lease_until IS NOT NULL"
    for started_at, lease_until in database.query(statement, _hex(job_id)):
        return datetime.fromisoformat(str(lease_until)) - datetime.fromisoformat(str(started_at))
    return None
