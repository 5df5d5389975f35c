"""What is no event but a state: how full the pools are, and how many jobs wait.

The pools belong to this process: it looks at them every few seconds, and when it is asked. The jobs
belong to all processes: whoever is asked counts them, at most once in a few seconds. All replicas
show the same number, so take the maximum of them, not the sum.
"""

import asyncio
import logging
import math
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from anyio import to_thread
from fastapi import Request
from prometheus_client import Gauge
from redis.asyncio import Redis
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from app.jobs.models import Job, JobStatus
from app.observability.processes import forget_dead_processes

LOOK_EVERY = 5  # seconds
COUNT_WITHIN = 1  # seconds
NOT_FINISHED = (JobStatus.SCHEDULED, JobStatus.QUEUED, JobStatus.RUNNING)

DATABASE_CONNECTIONS = Gauge(
    "database_pool_connections",
    "Connections of this process to the database.",
    ["state"],
    multiprocess_mode="livesum",
)
DATABASE_OVERFLOW = Gauge(
    "database_pool_overflow",
    "Connections beyond the size of the pool, which are closed after use.",
    multiprocess_mode="livesum",
)
DATABASE_SIZE = Gauge(
    "database_pool_size", "Connections that the pool keeps.", multiprocess_mode="livesum"
)
REDIS_CONNECTIONS = Gauge(
    "redis_pool_connections",
    "Connections of this process to Redis.",
    ["state"],
    multiprocess_mode="livesum",
)
# Those that ended are counted when they do, by jobs_finished_total.
JOBS = Gauge(
    "jobs",
    "Jobs that have not ended, of all processes.",
    ["status"],
    multiprocess_mode="livemostrecent",
)
OLDEST_DUE_JOB = Gauge(
    "jobs_oldest_due_age_seconds",
    "For how long the job has waited that should run next.",
    multiprocess_mode="livemostrecent",
)
# Of the file system of MEDIA_DIR: on one machine everything else is there, too.
DISK_FREE = Gauge("media_disk_free_bytes", "Room for pictures.", multiprocess_mode="livemostrecent")
DISK_SIZE = Gauge(
    "media_disk_size_bytes",
    "Room for pictures on an empty disk.",
    multiprocess_mode="livemostrecent",
)

logger = logging.getLogger(__name__)


class Gauges:
    """Sets the gauges. `monitor` is an engine that has a connection even when `engine` has none."""

    def __init__(
        self, engine: AsyncEngine, monitor: AsyncEngine, redis: Redis | None, media_dir: Path
    ) -> None:
        self._engine = engine
        self._media_dir = media_dir
        self._monitor = monitor
        self._redis = redis
        self._count_at = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look at the pools again and again."""

        async def look() -> None:
            while True:
                self.look_at_pools()
                await asyncio.sleep(LOOK_EVERY)

        task = asyncio.create_task(look())
        yield
        task.cancel()

    def look_at_pools(self) -> None:
        """Set the gauges of this process's pools."""
        pool = self._engine.pool
        if isinstance(pool, QueuePool):
            DATABASE_CONNECTIONS.labels("in_use").set(pool.checkedout())
            DATABASE_CONNECTIONS.labels("idle").set(pool.checkedin())
            DATABASE_SIZE.set(pool.size())
            DATABASE_OVERFLOW.set(max(0, pool.overflow()))
        if self._redis is not None:
            for count, attributes in self._redis.connection_pool.get_connection_count():
                state = "in_use" if attributes["db.client.connection.state"] == "used" else "idle"
                REDIS_CONNECTIONS.labels(state).set(count)

    async def look_at_disk(self) -> None:
        """Set the gauges of the disk, in a thread: it may not answer."""
        usage = await to_thread.run_sync(shutil.disk_usage, self._media_dir)
        DISK_FREE.set(usage.free)
        DISK_SIZE.set(usage.total)

    async def count_jobs(self) -> None:
        """Set the gauges of the jobs, unless that was done a moment ago."""
        if time.monotonic() < self._count_at:
            return
        self._count_at = time.monotonic() + LOOK_EVERY
        # Both are answered from the index on (status, due_at): what has ended is not looked at.
        counts = (
            select(Job.status, func.count().label("jobs"))
            .where(Job.status.in_(NOT_FINISHED))
            .group_by(Job.status)
        )
        oldest = select(func.min(Job.due_at)).where(Job.status == JobStatus.QUEUED)
        try:
            async with asyncio.timeout(COUNT_WITHIN), self._monitor.connect() as connection:
                rows = (await connection.execute(counts)).all()
                due_at = await connection.scalar(oldest)
        except (SQLAlchemyError, OSError) as error:
            logger.warning("Jobs could not be counted: %r", getattr(error, "orig", None) or error)
            self._set_jobs(dict.fromkeys(NOT_FINISHED, math.nan), math.nan)  # nobody knows
            return
        age = (datetime.now(UTC) - due_at).total_seconds() if due_at else 0
        counted = {JobStatus(row.status): row.jobs for row in rows}
        self._set_jobs(counted, max(0, age))

    def _set_jobs(self, counts: dict[JobStatus, float], oldest: float) -> None:
        for status in NOT_FINISHED:
            JOBS.labels(status).set(counts.get(status, 0))
        OLDEST_DUE_JOB.set(oldest)


async def refresh_gauges(request: Request) -> None:
    """Have the gauges show what is now: for whoever asks for the metrics."""
    forget_dead_processes()
    gauges: Gauges = request.state.gauges
    gauges.look_at_pools()
    await gauges.look_at_disk()
    await gauges.count_jobs()
