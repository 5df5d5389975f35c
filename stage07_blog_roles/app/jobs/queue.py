"""Notifies workers of jobs, in two ways with one interface. In both, the job's row decides.

`LocalQueue`: workers in this process, with nothing to install. `CeleryQueue`: a message in Redis,
and workers in separate processes, on any number of machines (see `worker.py`).
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from anyio import CapacityLimiter, fail_after, to_thread
from celery import Celery
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import Settings
from app.jobs import execution

LOCAL_WORKERS = 2
POLL_EVERY = 0.5  # seconds
STOP_WITHIN = 5  # seconds, then a worker is cancelled
RUN_JOB = "run_job"  # the name of the Celery task
JOBS, MAINTENANCE = "celery", "maintenance"  # queues in Redis; "celery" is Celery's default
MESSAGES_AT_ONCE = 4
SEND_WITHIN = 2  # seconds that a request waits for Redis at most

logger = logging.getLogger(__name__)


class JobQueue(Protocol):
    """The interface of a queue for the rest of the application."""

    async def notify(self, job_id: uuid.UUID) -> None:
        """Notify a worker of a committed, due job. If that fails, a worker finds the job later."""


class LocalQueue:
    """Runs jobs and a scheduler in tasks of this process."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self._engine = engine
        self._lease = timedelta(seconds=settings.job_lease)
        self._retention = settings.job_retention
        self._cleanup = settings.cleanup_schedule()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    async def notify(self, job_id: uuid.UUID) -> None:  # noqa: ARG002 - any worker takes any job
        """Wake a worker, which looks for the job that waits longest."""
        self._wake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the workers. At the end, unfinished jobs go back to the queue."""
        tasks = [asyncio.create_task(self._work()) for _ in range(LOCAL_WORKERS)]
        tasks.append(asyncio.create_task(self._schedule()))
        try:
            yield
        finally:
            # Workers are asked to stop, not cancelled: a cancelled statement keeps SQLite's only
            # lock for as long as its error is referenced.
            self._stopping.set()
            self._wake.set()
            _, late = await asyncio.wait(tasks, timeout=STOP_WITHIN)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                claimed = await execution.claim(self._engine, self._lease)
                if claimed:
                    await execution.run(self._engine, claimed, stopping=self._stopping.is_set)
                    continue
            except Exception as error:  # the database may be back at the next try
                logger.error("Job worker: %r", error)
                await self._pause(self._stopping, 1)
            await self._pause(self._wake, POLL_EVERY)

    async def _schedule(self) -> None:
        cleanup_at = datetime.now(UTC)
        while not self._stopping.is_set():
            try:
                await execution.requeue_due_and_expired(self._engine)
                if (now := datetime.now(UTC)) >= cleanup_at:
                    await execution.clean_up(self._engine, self._retention)
                    cleanup_at = now + self._cleanup.remaining_estimate(now)
            except Exception as error:
                logger.error("Job scheduler: %r", error)
            await self._pause(self._stopping, POLL_EVERY)

    async def _pause(self, until: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await until.wait()


class CeleryQueue:
    """Notifies Celery workers of jobs by messages in Redis."""

    def __init__(self, redis_url: str) -> None:
        self._celery = create_celery(redis_url)
        self._celery.conf.broker_transport_options |= {
            "max_retries": 0,
            "socket_timeout": SEND_WITHIN,
        }
        self._threads = CapacityLimiter(MESSAGES_AT_ONCE)

    async def notify(self, job_id: uuid.UUID) -> None:
        """Send a message, in a thread. Without Redis the job waits until beat sends one."""
        try:
            with fail_after(SEND_WITHIN):  # also limits the wait for a free thread
                await to_thread.run_sync(send, self._celery, job_id, limiter=self._threads)
        except Exception as error:  # kombu also raises errors of the client library
            logger.warning("Job %s waits, Redis is not available: %r", job_id, error)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do nothing: the workers are separate processes."""
        yield
        self._celery.close()


def create_celery(redis_url: str) -> Celery:
    """Return a Celery application that finds its broker at `redis_url`."""
    celery = Celery("app", broker=redis_url)
    celery.conf.update(
        task_ignore_result=True,  # results are in the job's row
        # A message leaves the queue when its job has ended, and returns when its worker dies.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        # Off, since any program that reaches Redis could stop the workers by such a message.
        worker_enable_remote_control=False,
        # Messages of beat have their own queue: behind many jobs they would expire first.
        # Workers read both queues in turn.
        task_queues={JOBS: {}, MAINTENANCE: {}},
        task_routes={"dispatch": {"queue": MAINTENANCE}, "clean_up": {"queue": MAINTENANCE}},
        task_time_limit=600,  # seconds; below the time after which Redis delivers a message again
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker waits for Redis without a limit
        broker_transport_options={
            "visibility_timeout": 3600,
            "socket_connect_timeout": 1,
            "socket_timeout": 5,
        },
        beat_scheduler="celery.beat:Scheduler",  # the state is in the database, so it needs no file
        timezone="UTC",
    )
    return celery


def send(celery: Celery, job_id: uuid.UUID) -> None:
    """Send the message that notifies a worker of a job; raises the errors of kombu."""
    celery.send_task(RUN_JOB, [str(job_id)], retry=False)
