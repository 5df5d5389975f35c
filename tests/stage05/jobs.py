"""Asking for jobs as any program would, waiting for them, and what the database says of them."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from course.harness.database import Database, SQLiteFile
from course.harness.driver import Api
from course.harness.memory import MIB
from course.harness.waiting import eventually
from tests.stage04.uploads import disposition, form, part

FIELDS = {
    *("id", "status", "progress", "created_at", "run_at", "started_at"),
    *("finished_at", "attempts", "result", "error"),
}
RESULT_FIELDS = {
    *("characters", "words", "unique_words", "sentences", "lines"),
    *("reading_time_seconds", "top_words"),
}
FINISHED = ("succeeded", "failed", "cancelled")
STATUSES = ("scheduled", "queued", "running", *FINISHED)
MAX_ATTEMPTS = 3
MAX_FILE_SIZE = 5 * MIB
FAR_AWAY = "2099-01-01T00:00:00Z"
SLOWEST = 60.0  # seconds: generous, the machine may be busy with other things
FILE_FIELD = disposition("text.txt")

Job = dict[str, Any]


def ask(api: Api, **fields: Any) -> httpx.Response:
    """Ask for a job and return the answer, whatever it is."""
    return api.request("POST", "/jobs", json=fields)


def submit(api: Api, text: str = "Hello world.", **fields: Any) -> Job:
    """Ask for a job and return it as it was accepted."""
    return accepted(ask(api, text=text, **fields))


def upload(api: Api, content: bytes, *, run_at: str | None = None) -> httpx.Response:
    """Ask for a job with a file and return the answer, whatever it is."""
    parts = [part(FILE_FIELD, content, "text/plain")]
    if run_at is not None:
        parts.append(part(b'form-data; name="run_at"', run_at.encode(), None))
    body, headers = form(*parts)
    return api.request("POST", "/jobs/file", content=body, headers=headers)


def submit_file(api: Api, content: bytes, *, run_at: str | None = None) -> Job:
    """Ask for a job with a file and return it as it was accepted."""
    return accepted(upload(api, content, run_at=run_at))


def accepted(answer: httpx.Response) -> Job:
    """Return the job of an answer that must be a 202."""
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text[:500]
    job: Job = answer.json()
    return job


def read(api: Api, job_id: str) -> Job:
    """Return one job."""
    answer = api.request("GET", f"/jobs/{job_id}")
    assert answer.status_code == httpx.codes.OK, answer.text[:500]
    job: Job = answer.json()
    return job


def listed(api: Api, **parameters: Any) -> list[Job]:
    """Return one page of one's own jobs."""
    answer = api.request("GET", "/jobs", params=parameters)
    assert answer.status_code == httpx.codes.OK, answer.text[:500]
    jobs: list[Job] = answer.json()
    return jobs


def ended(api: Api, job_id: str, *, within: float = SLOWEST) -> Job:
    """Wait for the job's end, whichever, and return the job."""
    return _at_its_end(api, job_id, within)


def _at_its_end(api: Api, job_id: str, within: float) -> Job:
    def look() -> Job:
        job = read(api, job_id)
        still = f"after {within} s the job is still {job['status']}"
        # There is no use in waiting for the end of a status that does not exist.
        assert job["status"] in FINISHED or job["status"] not in STATUSES, still
        return job

    job = eventually(look, within=within)
    assert job["status"] in FINISHED, f"expected a status that exists, got {job['status']}"
    return job


def has_status(api: Api, job_id: str, *statuses: str, within: float = SLOWEST) -> Job:
    """Wait until the job has one of these statuses and return it."""

    def look() -> Job:
        job = read(api, job_id)
        assert job["status"] in statuses, job
        return job

    return eventually(look, within=within)


def succeeded(api: Api, job_id: str, *, within: float = SLOWEST) -> Job:
    """Wait for the job's end, which must be a success, and return the job."""
    job = ended(api, job_id, within=within)
    assert job["status"] == "succeeded", job
    return job


def analysed(api: Api, text: str) -> dict[str, Any]:
    """Return what the analysis of a text finds."""
    result: dict[str, Any] = succeeded(api, submit(api, text)["id"])["result"]
    return result


def awaited(api: Api, job_id: str, *, within: float) -> Job:
    """Return a job that must have succeeded by then: for a test that is about when it runs.

    Unlike in `succeeded`, a job that does not is no fault of some other requirement.
    """
    job = _at_its_end(api, job_id, within)
    assert job["status"] == "succeeded", job
    return job


def moment(value: str) -> datetime:
    """Return a time of an answer, which must say that it is in UTC."""
    time_read = datetime.fromisoformat(value)
    assert time_read.utcoffset() == timedelta(0), value
    return time_read


def seconds_from_now(seconds: float) -> str:
    """Return the time in so many seconds."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


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


LARGE = prose(MAX_FILE_SIZE)
LONG = prose(2 * MIB)  # takes long enough to be interrupted

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


class Timer:
    """How long something took: `with Timer() as timer: …`, then `timer.seconds`."""

    seconds = 0.0

    def __enter__(self) -> Timer:
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._began
