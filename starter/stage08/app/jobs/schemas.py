"""What jobs look like in requests and responses."""

import uuid
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from app.jobs.models import JobStatus


def check_text(text: str) -> str:
    """Return the text when there is something to analyse; raises `ValueError`."""
    if not text.strip():
        raise ValueError("Text should not be empty")
    if "\0" in text:
        raise ValueError("Text should not contain a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("Text should not contain half of a surrogate pair") from None
    return text


def to_utc(time: datetime) -> datetime:
    """Return the time in UTC; raises `ValueError` when the calendar ends before that."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("Time should be between the years 1 and 9999 in UTC") from None


JobText = Annotated[str, AfterValidator(check_text)]
RunAt = Annotated[AwareDatetime, AfterValidator(to_utc)]


class JobCreate(BaseModel):
    """A text to analyse, now or at `run_at`."""

    model_config = ConfigDict(extra="forbid")

    text: JobText
    run_at: RunAt | None = None


class WordCount(BaseModel):
    """How often a word is in the text."""

    word: str
    count: int


class JobResult(BaseModel):
    """What the analysis found."""

    characters: int
    words: int
    unique_words: int
    sentences: int
    lines: int
    reading_time_seconds: int
    top_words: list[WordCount]


class JobRead(BaseModel):
    """A job as it is returned; times are in UTC."""

    id: uuid.UUID
    status: JobStatus
    progress: int  # percent
    created_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    result: JobResult | None
    error: str | None
