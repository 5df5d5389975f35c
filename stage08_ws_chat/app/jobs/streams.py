"""The streams of events: one query for all open streams.

If each stream had its own query, a few hundred idle streams would slow down all other requests.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import HTTPException
from fastapi.sse import ServerSentEvent
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.jobs.models import FINISHED, Job
from app.jobs.schemas import JobRead
from app.shutdown import Shutdown

LOOK_EVERY = 0.5  # seconds

logger = logging.getLogger(__name__)


class TooManyStreams(HTTPException):
    """The user has the maximum number of open streams: answered with 429."""

    def __init__(self, limit: int) -> None:
        super().__init__(429, f"You have {limit} open streams, the most per user: close one first")


class JobStream:
    """The job that one client watches. `job` is None when the stream has to end."""

    def __init__(self, job: Job) -> None:
        self.job_id, self.owner_id = job.id, job.owner_id
        self.job: JobRead | None = as_read(job)
        self.changed = asyncio.Event()

    def show(self, job: JobRead | None) -> None:
        """Send the job to the client if it has changed."""
        if job != self.job:
            self.job = job
            self.changed.set()


class JobStreams:
    """All open streams of this process."""

    def __init__(self, engine: AsyncEngine, shutdown: Shutdown, *, limit: int) -> None:
        self._engine = engine
        self._shutdown = shutdown
        self._limit = limit  # of one user
        self._open: set[JobStream] = set()

    def open(self, job: Job) -> JobStream:
        """Return a new stream, which counts until `events` ends; raises `TooManyStreams`."""
        if sum(stream.owner_id == job.owner_id for stream in self._open) >= self._limit:
            raise TooManyStreams(self._limit)
        stream = JobStream(job)
        self._open.add(stream)
        return stream

    async def events(self, stream: JobStream, seconds: float) -> AsyncIterator[ServerSentEvent]:
        """Yield the job now and at each change, until it has ended or `seconds` are over."""
        ends_at = time.monotonic() + seconds
        try:
            while stream.job is not None and time.monotonic() < ends_at:
                job = stream.job
                yield ServerSentEvent(event=job.status, data=job)
                if job.status in FINISHED:
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(stream.changed.wait(), ends_at - time.monotonic())
                stream.changed.clear()
        finally:
            self._open.discard(stream)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the watched jobs every `LOOK_EVERY` seconds."""
        looking = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            streams = list(self._open)
            if self._shutdown.requested:
                for stream in streams:
                    stream.show(None)
            elif streams:
                try:
                    await self._look(streams)
                except Exception as error:  # the database may be back at the next look
                    logger.error("Job streams: %r", error)

    async def _look(self, streams: list[JobStream]) -> None:
        """Show each stream its job. The stream of a deleted job ends."""
        job_ids = {stream.job_id for stream in streams}
        async with AsyncSession(self._engine) as session:
            jobs = await session.scalars(select(Job).where(Job.id.in_(job_ids)))
            found: dict[uuid.UUID, JobRead] = {job.id: as_read(job) for job in jobs}
        for stream in streams:
            stream.show(found.get(stream.job_id))


def as_read(job: Job) -> JobRead:
    """Return the job as clients see it."""
    return JobRead.model_validate(job, from_attributes=True)
