"""The schemas of jobs in requests and responses."""

import re
import uuid
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field

from app.jobs.models import JobStatus
from app.params import NOT_BLANK, RequestBody

DATE = re.compile(r"\d{4}-\d\d-\d\d")


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


def check_is_text(value: object) -> object:
    """Return the value when it looks like a date; raises `ValueError` for a number.

    Pydantic reads a number, also in a string, as seconds since 1970, or as milliseconds when it is
    large. So 30000000000 would be a day in 1970, and the job would run at once.
    """
    if not isinstance(value, str) or not DATE.match(value):
        raise ValueError("Time should be a string such as 2030-01-01T12:00:00+03:00")
    return value


def to_utc(time: datetime) -> datetime:
    """Return the time in UTC; raises `ValueError` outside the years 1 to 9999."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("Time should be between the years 1 and 9999 in UTC") from None


JobText = Annotated[
    str,
    AfterValidator(check_text),
    Field(
        examples=["To be, or not to be. That is the question."],
        json_schema_extra={"pattern": NOT_BLANK},  # what /docs shows
    ),
]
RunAt = Annotated[
    AwareDatetime,
    BeforeValidator(check_is_text),
    AfterValidator(to_utc),
    Field(examples=["2030-01-01T12:00:00+03:00"]),
]


class JobCreate(RequestBody):
    """A text to analyse, now or at `run_at`."""

    text: JobText
    run_at: RunAt | None = None


class WordCount(BaseModel):
    """How often a word is in the text."""

    word: str
    count: int


class JobResult(BaseModel):
    """The result of the analysis."""

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
