"""The schemas of todos in requests and responses. Pydantic refuses input that does not fit."""

from datetime import datetime
from typing import Annotated

from pydantic import MISSING, BaseModel, Field, StrictBool, StringConstraints

from app.params import NO_NUL, NOT_BLANK, RequestBody

Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=NOT_BLANK),
    Field(examples=["Buy milk"]),  # the example in /docs
]
Description = Annotated[
    str,
    StringConstraints(max_length=2000, pattern=NO_NUL),
    Field(examples=["Two litres"]),
]


class TodoCreate(RequestBody):
    """A new todo (POST), or all fields of its replacement (PUT)."""

    title: Title
    description: Description | None = None
    completed: StrictBool = False


class TodoPatch(RequestBody):
    """The fields to change (PATCH). A field that is not sent is `MISSING` and keeps its value."""

    title: Title | MISSING = MISSING
    description: Description | MISSING | None = MISSING
    completed: StrictBool | MISSING = MISSING


class TodoRead(BaseModel):
    """A todo as it is returned; times are in UTC."""

    id: int
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime
