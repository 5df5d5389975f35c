"""Runs jobs, in the server's process or in a Celery worker.

One conditional UPDATE decides which worker runs a job, so two workers never have the same one. A
worker holds a lease on its job and renews it while it works. When the worker is killed, the lease
expires and the job is queued again. Only the holder of the lease can write a result.
"""

import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from anyio import to_thread
from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.jobs.analysis import Counts, pieces, summarize
from app.jobs.models import FINISHED, WAITING, Job, JobStatus
from app.jobs.report import write_report
from app.jobs.schemas import JobResult

MAX_ATTEMPTS = 3
FIRST_RETRY = timedelta(seconds=1)  # each further one waits twice as long
RENEWALS = 10  # of a lease, within its duration

logger = logging.getLogger(__name__)


class LeaseLost(Exception):
    """This worker was too slow: another worker has the job."""


@dataclass(frozen=True)
class Claim:
    """The right to run a job until the lease expires: `duration` after its last renewal."""

    job_id: uuid.UUID
    lease: uuid.UUID
    attempts: int
    duration: timedelta


async def claim(
    engine: AsyncEngine, duration: timedelta, job_id: uuid.UUID | None = None
) -> Claim | None:
    """Claim this job, or the job that waits longest; return None if no job is due."""
    now = datetime.now(UTC)
    is_free = Job.status.in_(WAITING) & (Job.due_at <= now)
    longest_waiting = select(Job.id).where(is_free).order_by(Job.due_at).limit(1)
    statement = (
        update(Job)
        .where(is_free, Job.id == (job_id or longest_waiting.scalar_subquery()))
        .values(
            status=JobStatus.RUNNING,
            attempts=Job.attempts + 1,
            progress=0,
            started_at=now,
            lease=uuid.uuid4(),
            lease_until=now + duration,
        )
        .returning(Job.id, Job.lease, Job.attempts)
    )
    async with engine.begin() as connection:
        row = (await connection.execute(statement)).one_or_none()
    return Claim(row.id, row.lease, row.attempts, duration) if row else None


async def run(
    engine: AsyncEngine, claimed: Claim, *, stopping: Callable[[], bool] = lambda: False
) -> None:
    """Run a job until it succeeds or fails, or release it when `stopping()` is true."""
    try:
        result = await analyse(engine, claimed, stopping)
        if result is None:
            await release(engine, claimed)
            return
        report = write_report(JobResult.model_validate(result))
        await finish(
            engine, claimed, status=JobStatus.SUCCEEDED, progress=100, result=result, report=report
        )
    except LeaseLost:
        logger.warning("Job %s: the lease expired, another worker has it", claimed.job_id)
    except Exception as error:  # after any error the job must still end
        logger.error("Job %s, attempt %d: %r", claimed.job_id, claimed.attempts, error)
        await retry_or_fail(engine, claimed)
    except BaseException:  # cancelled, or asked to exit
        await release(engine, claimed)
        raise


async def release(engine: AsyncEngine, claimed: Claim) -> None:
    """Return the job to the queue. This run does not count as an attempt."""
    with suppress(LeaseLost):  # another worker has it already
        await update_held(engine, claimed, **waiting_again(timedelta()), attempts=Job.attempts - 1)


async def analyse(
    engine: AsyncEngine, claimed: Claim, stopping: Callable[[], bool]
) -> dict[str, object] | None:
    """Count the job's text in a thread; meanwhile renew the lease and write the progress.

    Return None when the worker is about to stop: another worker then starts again.
    """
    async with AsyncSession(engine) as session:
        text = await session.scalar(select(Job.text).where(Job.id == claimed.job_id))
    if text is None:
        raise LeaseLost
    counts = Counts(lines=not text.endswith("\n"))  # the last line may have no newline
    renewed_at = datetime.now(UTC)
    for piece in pieces(text):
        if stopping():
            return None
        await to_thread.run_sync(counts.add, piece)
        now = datetime.now(UTC)
        if now - renewed_at > claimed.duration / RENEWALS:
            progress = 100 * counts.characters // len(text)
            lease_until = now + claimed.duration
            await update_held(engine, claimed, progress=progress, lease_until=lease_until)
            renewed_at = now
    return await to_thread.run_sync(summarize, counts)


async def retry_or_fail(engine: AsyncEngine, claimed: Claim) -> None:
    """Queue the job for its next attempt, or mark it as failed."""
    with suppress(LeaseLost):  # another worker has it already
        if claimed.attempts < MAX_ATTEMPTS:
            delay = FIRST_RETRY * 2 ** (claimed.attempts - 1)
            await update_held(engine, claimed, **waiting_again(delay))
        else:
            message = f"The text could not be analysed: {claimed.attempts} attempts failed"
            await finish(engine, claimed, status=JobStatus.FAILED, error=message)


async def finish(engine: AsyncEngine, claimed: Claim, **values: Any) -> None:
    """Write the outcome of the job; raises `LeaseLost`."""
    now = datetime.now(UTC)
    await update_held(engine, claimed, **values, finished_at=now, lease=None, lease_until=None)


async def update_held(engine: AsyncEngine, claimed: Claim, **values: Any) -> None:
    """Change the job's row if we still hold the lease; raises `LeaseLost`."""
    statement = (
        update(Job)
        .where(Job.id == claimed.job_id, Job.lease == claimed.lease)
        .values(**values)
        .returning(Job.id)
    )
    async with engine.begin() as connection:
        held = await connection.scalar(statement)
    if held is None:
        raise LeaseLost


def waiting_again(delay: timedelta) -> dict[str, Any]:
    """Return the values of a job that goes back to the queue and is due after `delay`."""
    return {
        "status": JobStatus.QUEUED,
        "progress": 0,
        "due_at": datetime.now(UTC) + delay,
        "announced_at": None,
        "lease": None,
        "lease_until": None,
    }


async def requeue_due_and_expired(engine: AsyncEngine) -> None:
    """Queue the scheduled jobs that are due, and the jobs with an expired lease."""
    now = datetime.now(UTC)
    is_due = (Job.status == JobStatus.SCHEDULED) & (Job.due_at <= now)
    is_abandoned = (Job.status == JobStatus.RUNNING) & (Job.lease_until < now)
    async with engine.connect() as connection:
        # Read first: usually there is nothing to do, and a read does not block a writer.
        if await connection.scalar(select(Job.id).where(is_due | is_abandoned).limit(1)) is None:
            return
    may_retry = Job.attempts < MAX_ATTEMPTS
    await update_all(engine, is_due, status=JobStatus.QUEUED)
    await update_all(engine, is_abandoned & may_retry, **waiting_again(timedelta()))
    await update_all(
        engine,
        is_abandoned & ~may_retry,
        status=JobStatus.FAILED,
        error=f"The worker stopped while it ran this job, {MAX_ATTEMPTS} times",
        finished_at=now,
        lease=None,
        lease_until=None,
    )


async def update_all(engine: AsyncEngine, which: ColumnElement[bool], **values: Any) -> None:
    """Change every row that `which` selects."""
    async with engine.begin() as connection:
        await connection.execute(update(Job).where(which).values(**values))


async def clean_up(engine: AsyncEngine, retention: int) -> None:
    """Remove the jobs that ended more than `retention` seconds ago."""
    oldest_kept = datetime.now(UTC) - timedelta(seconds=retention)
    async with engine.begin() as connection:
        await connection.execute(
            delete(Job).where(Job.status.in_(FINISHED), Job.finished_at < oldest_kept)
        )
