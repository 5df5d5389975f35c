"""Jobs as their owner sees them: asking for one, looking at it, cancelling it."""

import uuid
from datetime import UTC, datetime

from fastapi import HTTPException
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User
from app.jobs.models import WAITING, Job, JobStatus
from app.jobs.queue import JobQueue


class JobNotFound(HTTPException):
    """There is no such job, or it is somebody else's: answered with 404."""

    def __init__(self, job_id: uuid.UUID) -> None:
        super().__init__(404, f"There is no job {job_id}")


class TooManyJobs(HTTPException):
    """As many jobs of a user wait as may: answered with 429."""

    def __init__(self, limit: int) -> None:
        super().__init__(429, f"{limit} of your jobs wait, the most per user: try again later")


def is_own(job_id: uuid.UUID, owner: User) -> ColumnElement[bool]:
    """Return the condition that selects a job when it belongs to `owner`."""
    return (Job.id == job_id) & (Job.owner_id == owner.id)


async def check_waiting(owner: User, session: AsyncSession, limit: int) -> None:
    """Raise `TooManyJobs` when `limit` jobs wait; requests at one moment may all see one less."""
    waiting = select(Job.id).where(Job.owner_id == owner.id, Job.status.in_(WAITING)).limit(limit)
    if await session.scalar(select(func.count()).select_from(waiting.subquery())) == limit:
        raise TooManyJobs(limit)


async def submit_job(
    text: str,
    run_at: datetime | None,
    owner: User,
    session: AsyncSession,
    queue: JobQueue,
    limit: int,
) -> Job:
    """Store a job and announce it. When this returns, the job will run, whatever happens.

    Raises `TooManyJobs` when `limit` jobs of the user wait already.
    """
    await check_waiting(owner, session, limit)
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
        await queue.notify(job.id)
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
