"""The processes that run jobs when `REDIS_URL` is set.

celery -A app.jobs.worker worker     runs jobs: start any number of them
celery -A app.jobs.worker beat       looks for due jobs every second: start one

The jobs of a worker run in child processes. Their parent serves the metrics of all of them on
`WORKER_METRICS_PORT`, which needs `PROMETHEUS_MULTIPROC_DIR`.
"""

import asyncio
import logging
import mmap
import os
import signal
import sys
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.signals import (
    setup_logging,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutting_down,
)
from prometheus_client import CollectorRegistry, start_http_server
from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.auth.tokens import remove_expired_tokens
from app.config import load_settings
from app.database import create_engine
from app.exceptions import StartupError
from app.idempotency import remove_old_keys
from app.jobs import execution
from app.jobs.models import Job, JobStatus
from app.jobs.queue import RUN_JOB, create_celery, send
from app.logs import set_up_logs
from app.migrate import prepare_schema
from app.process_metrics import MULTIPROC_DIR, AllProcesses
from app.watchdog import CeleryWatchdog
from app.workarounds.kombu_redis import survive_lost_redis

NOTIFIED_AT_ONCE = 500
JOBS_MAY_TAKE = 12  # seconds for running jobs to return to the queue when the worker stops

logger = logging.getLogger(__name__)

try:
    settings = load_settings()
    if not settings.redis_url:
        raise StartupError("REDIS_URL is empty: set it, or let the server run the jobs itself")
    if settings.worker_metrics_port and not MULTIPROC_DIR:
        raise StartupError("WORKER_METRICS_PORT: set PROMETHEUS_MULTIPROC_DIR, too")
    CeleryWatchdog(settings).connect()
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

# One byte of memory that all processes of a worker share: not 0 after a request to stop.
stopping = mmap.mmap(-1, 1)


def set_up_json_logs(loglevel: int, **_: Any) -> None:
    """Give the log of Celery the format of ours."""
    set_up_logs("json", level=loglevel)


if settings.log_format == "json":
    set_up_logs("json")  # for the lines before Celery sets up its logging
    setup_logging.connect(set_up_json_logs)  # with a receiver, Celery does not set up its own


@worker_init.connect
def prepare_worker(**_: Any) -> None:
    """Check the database once, before the child processes start."""
    try:
        upgrade = settings.environment == "development"
        asyncio.run(prepare_schema(settings, upgrade=upgrade))
    except StartupError as error:
        sys.exit(str(error))


@worker_ready.connect
def serve_metrics(**_: Any) -> None:
    """Serve the metrics of all processes of this worker, if `WORKER_METRICS_PORT` is set."""
    if settings.worker_metrics_port:
        registry = CollectorRegistry()
        registry.register(AllProcesses())
        start_http_server(settings.worker_metrics_port, registry=registry)


@worker_process_init.connect
def prepare_process(**_: Any) -> None:
    """Create the event loop and the engine: processes cannot share connections."""
    process.runner = asyncio.Runner()
    # A process runs one job at a time, so it needs few connections.
    few = {"database_pool_size": 1, "database_max_overflow": 1}
    process.engine = create_engine(settings.model_copy(update=few), "worker")


@worker_shutting_down.connect
def stop_jobs(**_: Any) -> None:
    """Make the running jobs return to the queue, since a warm shutdown waits for them."""
    stopping[0] = 1
    # If the database does not answer either, the worker drops the jobs, and their leases expire.
    last_resort = threading.Timer(JOBS_MAY_TAKE, os.kill, [os.getpid(), signal.SIGQUIT])
    last_resort.daemon = True
    last_resort.start()


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
        await execution.run(process.engine, claimed, stopping=lambda: stopping[0] != 0)


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
        .with_for_update(skip_locked=True)
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
    """Remove old rows: finished jobs, idempotency keys, refresh tokens."""
    process.runner.run(execution.clean_up(process.engine, settings.job_retention))
    process.runner.run(remove_old_keys(process.engine))
    process.runner.run(remove_expired_tokens(process.engine))
