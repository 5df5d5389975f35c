"""Jobs as their owner sees them: asking for one, looking at it, cancelling it."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from datetime import datetime

from fastapi import HTTPException
from fastapi.sse import ServerSentEvent
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.auth.models import User
from app.jobs.models import FINISHED, Job
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
