"""Jobs as their owner sees them: asking for one, looking at it, cancelling it."""

import uuid
from datetime import datetime

from fastapi import HTTPException
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User
from app.jobs.models import Job
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
    # TODO 5.1: A user submits text
    raise NotImplementedError("TODO 5.1: A user submits text")


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
    # TODO 5.1: A user submits text
    raise NotImplementedError("TODO 5.1: A user submits text")


async def find_own_job(job_id: uuid.UUID, owner: User, session: AsyncSession) -> Job:
    """Return the job; raises `JobNotFound`."""
    # TODO 5.6: An endpoint tells a job's status
    raise NotImplementedError("TODO 5.6: An endpoint tells a job's status")


async def cancel_job(job_id: uuid.UUID, owner: User, session: AsyncSession) -> Job:
    """Cancel a job that waits; raises `JobNotFound`, and 409 when it runs or has ended."""
    # TODO 5.6: An endpoint tells a job's status
    raise NotImplementedError("TODO 5.6: An endpoint tells a job's status")


async def read_report(job_id: uuid.UUID, owner: User, session: AsyncSession) -> str:
    """Return the report of a job that succeeded; raises `JobNotFound`, and 409 when it has none."""
    # TODO 5.3: A report is generated
    raise NotImplementedError("TODO 5.3: A report is generated")
