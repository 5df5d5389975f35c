"""What the database says of jobs, to the tests of stage 5 and to the drills, and texts for jobs."""

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
    # Cut in ASCII: the last line is the one that may be incomplete.
    return b"".join(lines)[: size - 100].decode("utf-8", "ignore").encode().ljust(size, b"x")


# Every change of a job's status, noted by the database itself, whoever makes it.
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
    """What happened to every job, written down in the database from outside the app."""

    def __init__(self, database: Database) -> None:
        self._database = database
        is_file = isinstance(database, SQLiteFile)
        database.execute(_LEDGER)
        database.execute(_NOTE_CHANGES if is_file else _NOTE_CHANGES_ON_POSTGRESQL)

    def claims(self, job_id: str) -> list[float]:
        """Return when the job began to run, each time, in seconds since 1970."""
        statement = (
            "SELECT at FROM changes_of_jobs WHERE job_id = ? AND new = 'running' ORDER BY at"
        )
        return [at for (at,) in self._database.query(statement, _hex(job_id))]

    def ends(self, job_id: str) -> list[str]:
        """Return every end that the job came to: one, if all is well."""
        statement = (
            "SELECT new FROM changes_of_jobs WHERE job_id = ?"
            " AND new IN ('succeeded', 'failed', 'cancelled') ORDER BY at"
        )
        return [status for (status,) in self._database.query(statement, _hex(job_id))]

    def status(self, job_id: str) -> str:
        """Return the status in the job's row now."""
        statement = "SELECT status FROM jobs WHERE id = ?"
        ((status,),) = self._database.query(statement, _hex(job_id))
        return str(status)

    def use_attempts_up(self, job_id: str) -> None:
        """Leave the job one attempt only."""
        statement = "UPDATE jobs SET attempts = ? WHERE id = ?"
        self._database.execute(statement, MAX_ATTEMPTS - 1, _hex(job_id))

    def take_over(self, job_id: str) -> None:
        """Give the job's lease to a worker that is none of this server's."""
        statement = "UPDATE jobs SET lease = ? WHERE id = ?"
        self._database.execute(statement, uuid.uuid4().hex, _hex(job_id))

    def damage(self, job_id: str) -> None:
        """Make the job's text one that nobody can read: bytes that are no UTF-8, in SQLite."""
        self._database.execute(
            "UPDATE jobs SET text = CAST(x'736563726574ff' AS TEXT) WHERE id = ?", _hex(job_id)
        )


def _hex(job_id: str) -> str:
    return job_id.replace("-", "")


def lease_of(database: Database, job_id: str) -> timedelta | None:
    """Return how long a job's lease lasts from its first moment, None while nobody holds one.

    A lease that was renewed lasts longer by as much.
    """
    statement = "SELECT started_at, lease_until FROM jobs WHERE id = ? AND lease_until IS NOT NULL"
    for started_at, lease_until in database.query(statement, _hex(job_id)):
        return datetime.fromisoformat(str(lease_until)) - datetime.fromisoformat(str(started_at))
    return None
