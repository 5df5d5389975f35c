"""The processes that run jobs when `REDIS_URL` is set.

celery -A app.jobs.worker worker     runs jobs: start any number of them
celery -A app.jobs.worker beat       looks for due jobs every second: start one
"""

import asyncio
import logging
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.signals import worker_init, worker_process_init, worker_process_shutdown
from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import load_settings
from app.database import create_engine
from app.exceptions import StartupError
from app.jobs import execution
from app.jobs.models import Job, JobStatus
from app.jobs.queue import RUN_JOB, create_celery, send
from app.migrate import upgrade_schema
from app.workarounds.kombu_redis import survive_lost_redis

NOTIFIED_AT_ONCE = 500

logger = logging.getLogger(__name__)

try:
    settings = load_settings()
    if not settings.redis_url:
        raise StartupError("REDIS_URL is empty: set it, or let the server run the jobs itself")
except StartupError as error:
    sys.exit(str(error))

LEASE = timedelta(seconds=settings.job_lease)
# Redis can lose a message, so a job that is still queued after this time gets another one.
# Two messages for one job do no harm: only one worker can claim it.
NOTIFY_AGAIN_AFTER = LEASE

survive_lost_redis()
app = create_celery(settings.redis_url)
app.conf.beat_schedule = {
    "dispatch": {"task": "dispatch", "schedule": 1.0, "options": {"expires": 5}},
    "clean_up": {"task": "clean_up", "schedule": settings.cleanup_schedule()},
}


class WorkerProcess:
    """The state of each process: an event loop and an engine, made after the fork."""

    runner: asyncio.Runner
    engine: AsyncEngine


process = WorkerProcess()


@worker_init.connect
def prepare_worker(**_: Any) -> None:
    """Migrate the database once, before there are several processes."""
    if settings.environment == "development":
        asyncio.run(upgrade_schema())


@worker_process_init.connect
def prepare_process(**_: Any) -> None:
    """Create the event loop and the engine: processes cannot share connections."""
    process.runner = asyncio.Runner()
    process.engine = create_engine(settings)


@worker_process_shutdown.connect
def close_process(**_: Any) -> None:
    """Close the connections."""
    process.runner.run(process.engine.dispose())
    process.runner.close()


@app.task(name=RUN_JOB)
def run_job(job_id: str) -> None:
    """Run a job, unless another worker has claimed it."""
    process.runner.run(_run_job(uuid.UUID(job_id)))


async def _run_job(job_id: uuid.UUID) -> None:
    claimed = await execution.claim(process.engine, LEASE, job_id)
    if claimed:
        await execution.run(process.engine, claimed)


@app.task(name="dispatch")
def dispatch() -> None:
    """Notify the workers of every due job without a recent notification."""
    for job_id in process.runner.run(_take_unnotified()):
        send(app, job_id)


async def _take_unnotified() -> list[uuid.UUID]:
    await execution.requeue_due_and_expired(process.engine)
    now = datetime.now(UTC)
    waiting = (
        select(Job.id)
        .where(
            Job.status == JobStatus.QUEUED,
            Job.due_at <= now,
            or_(Job.announced_at.is_(None), Job.announced_at < now - NOTIFY_AGAIN_AFTER),
        )
        .order_by(Job.due_at)
        .limit(NOTIFIED_AT_ONCE)
    )
    async with process.engine.begin() as connection:
        job_ids = list(await connection.scalars(waiting))
        if job_ids:
            await connection.execute(
                update(Job).where(Job.id.in_(job_ids)).values(announced_at=now)
            )
    return job_ids


@app.task(name="clean_up")
def clean_up() -> None:
    """Remove the jobs that ended more than `JOB_RETENTION` seconds ago."""
    process.runner.run(execution.clean_up(process.engine, settings.job_retention))
