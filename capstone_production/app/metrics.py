"""`GET /metrics`, and the gauges of the pools and the disk.

A gauge shows a state. Each process reads the state of its pools every few seconds, and before each
answer. Features add more gauges: `app/jobs/gauges.py` counts the waiting jobs. Counters of events
are in the modules where the events happen.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread
from fastapi import Depends, FastAPI, Request
from prometheus_client import Gauge, disable_created_metrics
from prometheus_fastapi_instrumentator import Instrumentator
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from app.process_metrics import forget_dead_processes

LOOK_EVERY = 5  # seconds

disable_created_metrics()  # the start time of each counter would double the series, for no use

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
# The file system of MEDIA_DIR; on a single machine all other data is on it, too.
DISK_FREE = Gauge(
    "media_disk_free_bytes", "Free space for pictures.", multiprocess_mode="livemostrecent"
)
DISK_SIZE = Gauge(
    "media_disk_size_bytes",
    "Size of the disk for pictures.",
    multiprocess_mode="livemostrecent",
)


class Gauges:
    """Sets the gauges; the functions in `more` set those of features, before each answer."""

    def __init__(
        self,
        engine: AsyncEngine,
        redis: Redis | None,
        media_dir: Path,
        *more: Callable[[], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._media_dir = media_dir
        self._redis = redis
        self._more = more

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Set the gauges of the pools every `LOOK_EVERY` seconds."""

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

    async def refresh(self) -> None:
        """Set all gauges."""
        self.look_at_pools()
        await self.look_at_disk()
        for look in self._more:
            await look()

    async def look_at_disk(self) -> None:
        """Set the gauges of the disk, in a thread, since a disk may hang."""
        usage = await to_thread.run_sync(shutil.disk_usage, self._media_dir)
        DISK_FREE.set(usage.free)
        DISK_SIZE.set(usage.total)


async def refresh_gauges(request: Request) -> None:
    """Set all gauges to the present state, before the answer."""
    forget_dead_processes()
    gauges: Gauges = request.state.gauges
    await gauges.refresh()


def expose_metrics(app: FastAPI) -> None:
    """Add the route. A thread makes the answer, since it may be long."""
    Instrumentator().expose(app, include_in_schema=False, dependencies=[Depends(refresh_gauges)])
