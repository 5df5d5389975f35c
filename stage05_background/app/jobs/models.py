"""The table of jobs. Only the row decides about the state of its job."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base


class JobStatus(StrEnum):
    """The states of a job."""

    SCHEDULED = "scheduled"  # waits for its time
    QUEUED = "queued"  # waits for a worker
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


WAITING = (JobStatus.SCHEDULED, JobStatus.QUEUED)
FINISHED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


class Job(Base):
    """One text that is, or will be, analysed."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "owner_id", "created_at", "id"),  # serves the list: newest first
        Index(None, "status", "due_at"),  # serves the workers: the next job
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    # Megabytes, so they are loaded only on request.
    text: Mapped[str] = mapped_column(Text, deferred=True, deferred_raiseload=True)
    report: Mapped[str | None] = mapped_column(Text, deferred=True, deferred_raiseload=True)

    status: Mapped[str] = mapped_column(String(20))
    progress: Mapped[int]  # percent
    attempts: Mapped[int]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime]
    run_at: Mapped[datetime | None]  # the time that the user asked for
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    due_at: Mapped[datetime]  # starts not before this: `run_at`, or the next attempt
    announced_at: Mapped[datetime | None]  # when the workers were last notified
    # The worker's lease, and when it expires unless the worker renews it.
    lease: Mapped[uuid.UUID | None]
    lease_until: Mapped[datetime | None]
