"""The schemas of posts and comments in requests and responses."""

from datetime import datetime
from typing import Annotated

from pydantic import MISSING, BaseModel, Field, StringConstraints

from app.params import NOT_BLANK, RequestBody

PostTitle = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=NOT_BLANK),
    Field(examples=["Hello"]),
]
PostBody = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100_000, pattern=NOT_BLANK),
    Field(examples=["The first words of a new blog."]),
]
CommentBody = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=5_000, pattern=NOT_BLANK),
    Field(examples=["Well said."]),
]


class PostCreate(RequestBody):
    """A new post."""

    title: PostTitle
    body: PostBody


class PostPatch(RequestBody):
    """The fields of a post that change."""

    title: PostTitle | MISSING = MISSING
    body: PostBody | MISSING = MISSING


class CommentWrite(RequestBody):
    """A new comment, or its new text."""

    body: CommentBody


class AuthorRead(BaseModel):
    """The author of a post or a comment."""

    id: int
    username: str


class PostRead(BaseModel):
    """A post as it is returned. Only administrators see posts with a `deleted_at`."""

    id: int
    title: str
    body: str
    author: AuthorRead
    comments_count: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class CommentRead(BaseModel):
    """A comment as it is returned."""

    id: int
    post_id: int
    body: str
    author: AuthorRead
    created_at: datetime
    updated_at: datetime
