"""Running jobs: what every worker does, in the server's process or in one of Celery's.

Who may run a job is decided by one conditional UPDATE, so two workers never have the same one. A
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

from sqlalchemy import ColumnElement, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.jobs.models import Job, JobStatus

MAX_ATTEMPTS = 3
FIRST_RETRY = timedelta(seconds=1)  # the next one waits twice as long
RENEWALS = 10  # of a lease in the time that it lasts

logger = logging.getLogger("uvicorn.error")


class WorkerStops(Exception):
    """Whoever runs the job is about to stop: somebody else begins anew."""


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
    # TODO 5.4: Work runs in the background in process and in Celery
    raise NotImplementedError("TODO 5.4: Work runs in the background in process and in …")


async def run(
    engine: AsyncEngine, claimed: Claim, *, stopping: Callable[[], bool] = lambda: False
) -> None:
    """Run a job to its end, or to its next attempt; or give it back when `stopping` says so."""
    # TODO 5.2: The text is processed in the background
    raise NotImplementedError("TODO 5.2: The text is processed in the background")


async def give_back(engine: AsyncEngine, claimed: Claim) -> None:
    """Let another worker, or this one after its restart, begin anew; it was no attempt."""
    with suppress(LeaseLost):  # somebody has begun already
        await update_held(engine, claimed, **waiting_again(timedelta()), attempts=Job.attempts - 1)


async def analyse(
    engine: AsyncEngine, claimed: Claim, stopping: Callable[[], bool]
) -> dict[str, object]:
    """Count the job's text in a thread, renewing the lease and telling the progress meanwhile.

    Raises `WorkerStops`.
    """
    # TODO 5.2: The text is processed in the background
    raise NotImplementedError("TODO 5.2: The text is processed in the background")


async def retry_or_fail(engine: AsyncEngine, claimed: Claim) -> None:
    """Let the job wait for its next attempt, or give up."""
    # TODO 5.2: The text is processed in the background
    raise NotImplementedError("TODO 5.2: The text is processed in the background")


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


async def tick(engine: AsyncEngine) -> None:
    """Queue the jobs whose time has come, and those whose worker has died."""
    # TODO 5.7: Work can be deferred, and some of it is periodic
    raise NotImplementedError("TODO 5.7: Work can be deferred, and some of it is periodic")


async def update_all(engine: AsyncEngine, which: ColumnElement[bool], **values: Any) -> None:
    """Change every row that `which` selects."""
    async with engine.begin() as connection:
        await connection.execute(update(Job).where(which).values(**values))


async def clean_up(engine: AsyncEngine, retention: int) -> None:
    """Remove the jobs that ended more than `retention` seconds ago."""
    # TODO 5.7: Work can be deferred, and some of it is periodic
    raise NotImplementedError("TODO 5.7: Work can be deferred, and some of it is periodic")
