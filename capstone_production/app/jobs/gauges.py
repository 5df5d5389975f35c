"""Two gauges: how many jobs wait, and for how long.

All processes share the jobs. Each process counts them when Prometheus asks, at most once in a few
seconds. All replicas show the same number, so take the maximum of them, not the sum.
"""

import asyncio
import logging
import math
import time
from datetime import UTC, datetime

from prometheus_client import Gauge
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.jobs.models import Job, JobStatus

FRESH_FOR = 5  # seconds
COUNT_WITHIN = 1  # seconds
NOT_FINISHED = (JobStatus.SCHEDULED, JobStatus.QUEUED, JobStatus.RUNNING)

# jobs_finished_total counts the finished jobs.
JOBS = Gauge(
    "jobs",
    "Unfinished jobs of all processes.",
    ["status"],
    multiprocess_mode="livemostrecent",
)
OLDEST_DUE_JOB = Gauge(
    "jobs_oldest_due_age_seconds",
    "How long the oldest due job has waited.",
    multiprocess_mode="livemostrecent",
)

logger = logging.getLogger(__name__)


class JobGauges:
    """Sets the gauges through `monitor`, an engine whose connection requests cannot use up."""

    def __init__(self, monitor: AsyncEngine) -> None:
        self._monitor = monitor
        self._count_at = 0.0

    async def refresh(self) -> None:
        """Set the gauges, at most once in `FRESH_FOR` seconds."""
        if time.monotonic() < self._count_at:
            return
        self._count_at = time.monotonic() + FRESH_FOR
        # The index on (status, due_at) answers both, without reading finished jobs.
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
            show(dict.fromkeys(NOT_FINISHED, math.nan), math.nan)  # unknown
            return
        age = (datetime.now(UTC) - due_at).total_seconds() if due_at else 0
        show({JobStatus(row.status): row.jobs for row in rows}, max(0, age))


def show(counts: dict[JobStatus, float], oldest: float) -> None:
    """Set the gauges."""
    for status in NOT_FINISHED:
        JOBS.labels(status).set(counts.get(status, 0))
    OLDEST_DUE_JOB.set(oldest)
