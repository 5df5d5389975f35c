"""Running jobs: what every worker does, in the server's process or in one of Celery's.

One conditional UPDATE decides which worker runs a job, so two workers never have the same one. A
worker holds a job on a lease that it renews while it works. When it is killed, the lease runs out
and the job is queued again. Only who still holds the lease writes a result: nothing counts twice.
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
FIRST_RETRY = timedelta(seconds=1)  # the next one waits twice as long
RENEWALS = 10  # of a lease in the time that it lasts

logger = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Somebody else has the job by now: we were too slow."""


@dataclass(frozen=True)
class Claim:
    """The right to run a job until the lease runs out: `duration` after its last renewal."""

    job_id: uuid.UUID
    lease: uuid.UUID
    attempts: int
    duration: timedelta


async def claim(
    engine: AsyncEngine, duration: timedelta, job_id: uuid.UUID | None = None
) -> Claim | None:
    """Return the claim to this job, or to the one that waits longest; None if none is due."""
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
    """Run a job to its end, or to its next attempt; or release it when `stopping` says so."""
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
        logger.warning("Job %s: the lease ran out, somebody else has it", claimed.job_id)
    except Exception as error:  # whatever it is, the job must come to an end
        logger.error("Job %s, attempt %d: %r", claimed.job_id, claimed.attempts, error)
        await retry_or_fail(engine, claimed)
    except BaseException:  # cancelled, or asked to exit
        await release(engine, claimed)
        raise


async def release(engine: AsyncEngine, claimed: Claim) -> None:
    """Let another worker, or this one after its restart, begin anew; it was no attempt."""
    with suppress(LeaseLost):  # somebody has begun already
        await update_held(engine, claimed, **waiting_again(timedelta()), attempts=Job.attempts - 1)


async def analyse(
    engine: AsyncEngine, claimed: Claim, stopping: Callable[[], bool]
) -> dict[str, object] | None:
    """Count the job's text in a thread, renewing the lease and telling the progress meanwhile.

    Return None when the worker is about to stop: another one begins anew.
    """
    async with AsyncSession(engine) as session:
        text = await session.scalar(select(Job.text).where(Job.id == claimed.job_id))
    if text is None:
        raise LeaseLost
    counts = Counts(lines=not text.endswith("\n"))  # the last line may have no end
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
    """Let the job wait for its next attempt, or give up."""
    with suppress(LeaseLost):  # somebody else makes the next attempt already
        if claimed.attempts < MAX_ATTEMPTS:
            delay = FIRST_RETRY * 2 ** (claimed.attempts - 1)
            await update_held(engine, claimed, **waiting_again(delay))
        else:
            message = f"The text could not be analysed: {claimed.attempts} attempts failed"
            await finish(engine, claimed, status=JobStatus.FAILED, error=message)


async def finish(engine: AsyncEngine, claimed: Claim, **values: Any) -> None:
    """Write how the job ended; raises `LeaseLost`."""
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
    """Queue the jobs whose time has come, and the jobs whose worker has died."""
    now = datetime.now(UTC)
    is_due = (Job.status == JobStatus.SCHEDULED) & (Job.due_at <= now)
    is_abandoned = (Job.status == JobStatus.RUNNING) & (Job.lease_until < now)
    async with engine.connect() as connection:
        # Looking first: most of the time there is nothing, and looking keeps no writer waiting.
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
