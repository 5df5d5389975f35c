"""Jobs as their owner sees them: asking for one, looking at it, cancelling it."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from fastapi import HTTPException
from fastapi.sse import ServerSentEvent
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.auth.models import User
from app.jobs.models import FINISHED, WAITING, Job, JobStatus
from app.jobs.queue import JobQueue
from app.jobs.schemas import JobRead
from app.shutdown import Shutdown

LOOK_EVERY = 0.5  # seconds


class JobNotFound(HTTPException):
    """There is no such job, or it is somebody else's: answered with 404."""

    def __init__(self, job_id: uuid.UUID) -> None:
        super().__init__(404, f"There is no job {job_id}")


def is_own(job_id: uuid.UUID, owner: User) -> ColumnElement[bool]:
    """Return the condition that selects a job when it belongs to `owner`."""
    return (Job.id == job_id) & (Job.owner_id == owner.id)


async def submit_job(
    text: str, run_at: datetime | None, owner: User, session: AsyncSession, queue: JobQueue
) -> Job:
    """Store a job and announce it. When this returns, the job will run, whatever happens."""
    now = datetime.now(UTC)
    is_due = run_at is None or run_at <= now
    job = Job(
        id=uuid.uuid4(),
        owner_id=owner.id,
        text=text,
        status=JobStatus.QUEUED if is_due else JobStatus.SCHEDULED,
        progress=0,
        attempts=0,
        created_at=now,
        run_at=run_at,
        due_at=now if is_due else run_at,
        announced_at=now if is_due else None,
    )
    session.add(job)
    # First the row, then the message: a worker that is faster than we are must find the row.
    await session.commit()
    if is_due:
        await queue.announce(job.id)
    return job


async def find_own_job(job_id: uuid.UUID, owner: User, session: AsyncSession) -> Job:
    """Return the job; raises `JobNotFound`."""
    job = await session.scalar(select(Job).where(is_own(job_id, owner)))
    if job is None:
        raise JobNotFound(job_id)
    return job


async def cancel_job(job_id: uuid.UUID, owner: User, session: AsyncSession) -> Job:
    """Cancel a job that waits; raises `JobNotFound`, and 409 when it runs or has ended."""
    statement = (
        update(Job)
        .where(is_own(job_id, owner), Job.status.in_(WAITING))
        .values(status=JobStatus.CANCELLED, finished_at=datetime.now(UTC))
        .returning(Job)
    )
    cancelled = await session.scalar(statement)
    if cancelled is None:
        job = await find_own_job(job_id, owner, session)
        raise HTTPException(409, f"The job can no longer be cancelled: it is {job.status}")
    return cancelled


async def read_report(job_id: uuid.UUID, owner: User, session: AsyncSession) -> str:
    """Return the report of a job that succeeded; raises `JobNotFound`, and 409 when it has none."""
    statement = select(Job.status, Job.report).where(is_own(job_id, owner))
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise JobNotFound(job_id)
    if row.report is None:
        raise HTTPException(409, f"There is no report: the job is {row.status}")
    report: str = row.report
    return report


async def watch_job(
    job_id: uuid.UUID, engine: AsyncEngine, shutdown: Shutdown, *, seconds: float
) -> AsyncIterator[ServerSentEvent]:
    """Yield the job whenever it has changed, until it has ended, time is up or the server stops."""
    seen = None
    ends_at = time.monotonic() + seconds
    while not shutdown.requested and time.monotonic() < ends_at:
        # A session for each look: none is held while we wait.
        async with AsyncSession(engine) as session:
            job = await session.get(Job, job_id)
        if job is None:
            return
        read = JobRead.model_validate(job, from_attributes=True)
        if read != seen:
            yield ServerSentEvent(event=read.status, data=read)
            seen = read
        if job.status in FINISHED:
            return
        await asyncio.sleep(LOOK_EVERY)
