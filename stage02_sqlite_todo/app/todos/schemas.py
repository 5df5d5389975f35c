"""What a todo looks like in requests and responses. Pydantic refuses whatever does not fit."""

from datetime import datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import MISSING, BaseModel, ConfigDict, StrictBool, StringConstraints

MAX_INTEGER = 2**63 - 1  # what a database can hold
NO_NUL = r"^[^\x00]*$"  # not every database can hold a NUL character in text

Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=NO_NUL),
]
Description = Annotated[str, StringConstraints(max_length=2000, pattern=NO_NUL)]

TodoId = Annotated[int, Path(ge=1, le=MAX_INTEGER)]
Limit = Annotated[int, Query(ge=1, le=100, description="How many to return at most")]
Offset = Annotated[int, Query(ge=0, le=MAX_INTEGER, description="How many to skip")]


class TodoCreate(BaseModel):
    """A new todo, or all of a todo's fields when it is replaced (PUT)."""

    # A field we do not know is more likely a typing error than a wish to be ignored.
    model_config = ConfigDict(extra="forbid")

    title: Title
    description: Description | None = None
    completed: StrictBool = False


class TodoPatch(BaseModel):
    """The fields that change (PATCH): one that is not sent is `MISSING` and stays as it is."""

    model_config = ConfigDict(extra="forbid")

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
