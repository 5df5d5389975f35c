"""The operations on a user's own jobs: submit, read and cancel."""

import asyncio
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import HTTPException, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import Owner
from app.cache.http import IfMatch, PreconditionFailed
from app.idempotency import Idempotency
from app.jobs.models import WAITING, Job, JobStatus
from app.jobs.queue import JobQueue
from app.jobs.schemas import JobRead, check_text
from app.jobs.streams import JobStream, JobStreams
from app.params import MAX_FILE_SIZE

FILES_AT_ONCE = 2  # in memory a text can take four times the size of its file

reading = asyncio.Semaphore(FILES_AT_ONCE)


class JobNotFound(HTTPException):
    """There is no such job, or another user owns it: answered with 404."""

    def __init__(self, job_id: uuid.UUID) -> None:
        super().__init__(404, f"There is no job {job_id}")


class TooManyJobs(HTTPException):
    """The user has the maximum number of waiting jobs: answered with 429."""

    def __init__(self, limit: int) -> None:
        super().__init__(429, f"You have {limit} waiting jobs, the most per user: try again later")


class JobService:
    """One user's jobs. No method can reach the jobs of other users."""

    def __init__(
        self, session: AsyncSession, queue: JobQueue, owner: Owner, *, max_waiting: int
    ) -> None:
        self._session = session
        self._queue = queue
        self._owner_id = owner.id
        self._max_waiting = max_waiting

    async def list(self, *, status: JobStatus | None, limit: int, offset: int) -> Sequence[Job]:
        """Return up to `limit` jobs, newest first, after skipping `offset`."""
        statement = select(Job).where(Job.owner_id == self._owner_id)
        if status is not None:
            statement = statement.where(Job.status == status)
        statement = statement.order_by(Job.created_at.desc(), Job.id.desc())
        return (await self._session.scalars(statement.limit(limit).offset(offset))).all()

    async def get(self, job_id: uuid.UUID) -> Job:
        """Return one job; raises `JobNotFound`."""
        job = await self._session.scalar(select(Job).where(self._is_own(job_id)))
        if job is None:
            raise JobNotFound(job_id)
        return job

    async def submit(
        self, text: str, run_at: datetime | None, idempotency: Idempotency
    ) -> Job | Response:
        """Store a job and notify a worker, or return the first answer for a used key.

        After this returns, the job will run in any case. Raises `TooManyJobs` when the user already
        has the maximum of waiting jobs.
        """
        if replayed := await idempotency.replay(text, run_at):
            return replayed
        await self._check_waiting()
        now = datetime.now(UTC)
        is_due = run_at is None or run_at <= now
        job = Job(
            id=uuid.uuid4(),
            owner_id=self._owner_id,
            text=text,
            status=JobStatus.QUEUED if is_due else JobStatus.SCHEDULED,
            progress=0,
            attempts=0,
            created_at=now,
            run_at=run_at,
            due_at=now if is_due else run_at,
            announced_at=now if is_due else None,
        )
        self._session.add(job)
        idempotency.keep(job, JobRead, status=HTTPStatus.ACCEPTED, location=location(job))
        # Commit the row before the message: a fast worker must find the row.
        await self._session.commit()
        if is_due:
            await self._queue.notify(job.id)
        return job

    async def submit_file(
        self, file: UploadFile, run_at: datetime | None, idempotency: Idempotency
    ) -> Job | Response:
        """Submit the content of a text file, or return the first answer for a used key.

        Raises as `submit` and `read_text` do.
        """
        # Release the database connection while this request waits for its turn.
        await self._session.commit()
        async with reading:
            return await self.submit(await read_text(file), run_at, idempotency)

    async def cancel(self, job_id: uuid.UUID, if_match: IfMatch) -> Job:
        """Cancel a job that waits; raises `JobNotFound`, and 409 when it runs or has ended.

        Raises `PreconditionFailed` when the job does not have the version that the client has read.
        """
        job = await self.get(job_id)
        statement = update(Job).where(self._is_own(job_id), Job.status.in_(WAITING))
        if has_seen := if_match.check(job, as_json):
            statement = statement.where(Job.status == job.status, Job.attempts == job.attempts)
        values = {"status": JobStatus.CANCELLED, "finished_at": datetime.now(UTC)}
        returning = statement.values(**values).returning(Job)
        cancelled = await self._session.scalar(returning.execution_options(populate_existing=True))
        if cancelled is None:
            self._session.expire(job)
            job = await self.get(job_id)
            if has_seen and job.status in WAITING:
                raise PreconditionFailed
            raise HTTPException(409, f"The job can no longer be cancelled: it is {job.status}")
        return cancelled

    async def read_report(self, job_id: uuid.UUID) -> str:
        """Return the report of a job that succeeded; raises `JobNotFound`, and 409 without one."""
        statement = select(Job.status, Job.report).where(self._is_own(job_id))
        row = (await self._session.execute(statement)).one_or_none()
        if row is None:
            raise JobNotFound(job_id)
        if row.report is None:
            raise HTTPException(409, f"There is no report: the job is {row.status}")
        report: str = row.report
        return report

    async def open_stream(self, job_id: uuid.UUID, streams: JobStreams) -> JobStream:
        """Return a stream of the job; raises `JobNotFound` and `TooManyStreams`."""
        job = await self.get(job_id)
        # Commit now. Later the stream has begun, and an error could not be answered.
        await self._session.commit()
        return streams.open(job)

    async def _check_waiting(self) -> None:
        """Raise `TooManyJobs`. Parallel requests may miss each other's jobs and pass the limit."""
        waiting = select(Job.id).where(Job.owner_id == self._owner_id, Job.status.in_(WAITING))
        some = waiting.limit(self._max_waiting).subquery()
        if await self._session.scalar(select(func.count()).select_from(some)) == self._max_waiting:
            raise TooManyJobs(self._max_waiting)

    def _is_own(self, job_id: uuid.UUID) -> ColumnElement[bool]:
        return (Job.id == job_id) & (Job.owner_id == self._owner_id)


def location(job: Job) -> str:
    """Return the URL of the job."""
    return f"/jobs/{job.id}"


def as_json(job: Job) -> bytes:
    """Return the job as JSON."""
    return JobRead.model_validate(job, from_attributes=True).model_dump_json().encode()


async def read_text(file: UploadFile) -> str:
    """Return the content of a text file; raises 413, 415 and 422 for a file that is refused."""
    content = await file.read(MAX_FILE_SIZE + 1)
    if len(content) > MAX_FILE_SIZE:
        raise HTTPException(413, f"A text file has at most {MAX_FILE_SIZE} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise HTTPException(415, "The file is not text in UTF-8") from None
    try:
        return check_text(text)
    except ValueError as error:
        problem = {"type": "value_error", "loc": ("body", "file"), "msg": str(error)}
        raise RequestValidationError([problem]) from error
