"""Runs jobs, in the server's process or in a Celery worker.

One conditional UPDATE decides which worker runs a job, so two workers never have the same one. A
worker holds a lease on its job and renews it while it works. When the worker is killed, the lease
expires and the job is queued again. Only the holder of the lease can write a result.

`SKIP LOCKED` (PostgreSQL; SQLite has one writer at a time and needs none) takes the next free rows.
Without it all workers would wait for the same row, and only one of them would get it.
"""

import logging
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from anyio import to_thread
from prometheus_client import Counter, Histogram
from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.jobs.analysis import Counts, pieces, summarize
from app.jobs.models import FINISHED, WAITING, Job, JobStatus
from app.jobs.report import write_report
from app.jobs.schemas import JobResult

MAX_ATTEMPTS = 3
FIRST_RETRY = timedelta(seconds=1)  # each further one waits twice as long
RENEWALS = 10  # of a lease, within its duration
CHANGED_AT_ONCE = 1000

JOB_DURATION = Histogram(
    "job_duration_seconds",
    "Duration of jobs that succeeded, from the claim to the result.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
JOBS_FINISHED = Counter("jobs_finished", "Finished jobs.", ["status"])

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
    """Return the claim to this job, or to the one queued longest; None if none is due."""
    now = datetime.now(UTC)
    is_free = Job.status.in_(WAITING) & (Job.due_at <= now)
    longest_queued = (
        select(Job.id)
        .where(Job.status == JobStatus.QUEUED, Job.due_at <= now)
        .order_by(Job.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    statement = (
        update(Job)
        .where(is_free, Job.id == (job_id or longest_queued.scalar_subquery()))
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
    began = time.monotonic()
    try:
        result = await analyse(engine, claimed, stopping)
        if result is None:
            await release(engine, claimed)
            return
        report = write_report(JobResult.model_validate(result))
        await finish(
            engine, claimed, status=JobStatus.SUCCEEDED, progress=100, result=result, report=report
        )
        JOB_DURATION.observe(time.monotonic() - began)
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
    JOBS_FINISHED.labels(values["status"]).inc()


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
    may_retry = Job.attempts < MAX_ATTEMPTS
    await update_some(engine, is_due, status=JobStatus.QUEUED)
    await update_some(engine, is_abandoned & may_retry, **waiting_again(timedelta()))
    failed = await update_some(
        engine,
        is_abandoned & ~may_retry,
        status=JobStatus.FAILED,
        error=f"The worker stopped while it ran this job, {MAX_ATTEMPTS} times",
        finished_at=now,
        lease=None,
        lease_until=None,
    )
    JOBS_FINISHED.labels(JobStatus.FAILED).inc(failed)


async def update_some(engine: AsyncEngine, which: ColumnElement[bool], **values: Any) -> int:
    """Change the unlocked rows that `which` selects; return their number.

    It changes `CHANGED_AT_ONCE` rows at most, the longest due first. Because of this order,
    PostgreSQL uses the index.
    """
    some = select(Job.id).where(which).order_by(Job.due_at).limit(CHANGED_AT_ONCE)
    async with engine.connect() as connection:
        # Read first: usually there is nothing to do, and a read does not block a writer.
        if await connection.scalar(some) is None:
            return 0
    free = some.with_for_update(skip_locked=True)
    async with engine.begin() as connection:
        changed = await connection.execute(update(Job).where(Job.id.in_(free)).values(**values))
    return changed.rowcount


async def clean_up(engine: AsyncEngine, retention: int) -> None:
    """Remove the jobs that ended more than `retention` seconds ago.

    It removes them in batches, since after a long pause one statement could take too long.
    """
    oldest_kept = datetime.now(UTC) - timedelta(seconds=retention)
    some = (
        select(Job.id)
        .where(Job.status.in_(FINISHED), Job.finished_at < oldest_kept)
        .order_by(Job.finished_at)
        .limit(CHANGED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    deleted = CHANGED_AT_ONCE
    while deleted >= CHANGED_AT_ONCE:
        async with engine.begin() as connection:
            deleted = (await connection.execute(delete(Job).where(Job.id.in_(some)))).rowcount
