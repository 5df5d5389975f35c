"""Submitting jobs, waiting for them, and reading their rows in the database."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from course.harness.driver import Api
from course.harness.ledger import FINISHED, prose
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
STATUSES = ("scheduled", "queued", "running", *FINISHED)
MAX_FILE_SIZE = 5 * MIB
FAR_AWAY = "2099-01-01T00:00:00Z"
SLOWEST = 60.0  # seconds; the machine may be busy
FILE_FIELD = disposition("text.txt")

Job = dict[str, Any]


def ask(api: Api, **fields: Any) -> httpx.Response:
    """Submit a job and return the answer, also when it is an error."""
    return api.request("POST", "/jobs", json=fields)


def submit(api: Api, text: str = "Hello world.", **fields: Any) -> Job:
    """Submit a job and return it as it was accepted."""
    return accepted(ask(api, text=text, **fields))


def upload(api: Api, content: bytes, *, run_at: str | None = None) -> httpx.Response:
    """Submit a job with a file and return the answer, also when it is an error."""
    parts = [part(FILE_FIELD, content, "text/plain")]
    if run_at is not None:
        parts.append(part(b'form-data; name="run_at"', run_at.encode(), None))
    body, headers = form(*parts)
    return api.request("POST", "/jobs/file", content=body, headers=headers)


def submit_file(api: Api, content: bytes, *, run_at: str | None = None) -> Job:
    """Submit a job with a file and return it as it was accepted."""
    return accepted(upload(api, content, run_at=run_at))


def accepted(answer: httpx.Response) -> Job:
    """Return the job of an answer, which must be a 202."""
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
    """Return one page of your jobs."""
    answer = api.request("GET", "/jobs", params=parameters)
    assert answer.status_code == httpx.codes.OK, answer.text[:500]
    jobs: list[Job] = answer.json()
    return jobs


def ended(api: Api, job_id: str, *, within: float = SLOWEST) -> Job:
    """Wait until the job has ended, with any status, and return it."""
    return _at_its_end(api, job_id, within)


def _at_its_end(api: Api, job_id: str, within: float) -> Job:
    def look() -> Job:
        job = read(api, job_id)
        still = f"after {within} s the job is still {job['status']}"
        # An unknown status never changes to an end, so waiting for it is useless.
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
    """Wait until the job has ended, check that it succeeded, and return it."""
    job = ended(api, job_id, within=within)
    assert job["status"] == "succeeded", job
    return job


def analysed(api: Api, text: str) -> dict[str, Any]:
    """Return the result of the analysis of a text."""
    result: dict[str, Any] = succeeded(api, submit(api, text)["id"])["result"]
    return result


def awaited(api: Api, job_id: str, *, within: float) -> Job:
    """Return a job that must have succeeded within the time, for tests of the schedule.

    Unlike `succeeded`, it reports a late job as a failure of the test's own requirement.
    """
    job = _at_its_end(api, job_id, within)
    assert job["status"] == "succeeded", job
    return job


def moment(value: str) -> datetime:
    """Return a time of an answer; it must be in UTC."""
    time_read = datetime.fromisoformat(value)
    assert time_read.utcoffset() == timedelta(0), value
    return time_read


def seconds_from_now(seconds: float) -> str:
    """Return the time `seconds` from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


LARGE = prose(MAX_FILE_SIZE)
LONG = prose(2 * MIB)  # the analysis takes long enough to be interrupted


class Timer:
    """The duration of a block: `with Timer() as timer: …`, then `timer.seconds`."""

    seconds = 0.0

    def __enter__(self) -> Timer:
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._began
