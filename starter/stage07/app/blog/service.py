"""Posts and comments: what there is to see, and who may change it.

Every post and comment is loaded by `select_posts` or `select_comments`. They leave out what was
deleted, and load what a response shows: one statement for a list, however long it is.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import HTTPException
from sqlalchemy import ColumnElement, Select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningUpdate

from app.auth.models import User
from app.blog.models import Comment, Post


class PostNotFound(HTTPException):
    """There is no such post, or it was deleted: answered with 404."""

    def __init__(self, post_id: int) -> None:
        super().__init__(404, f"There is no post {post_id}")


class CommentNotFound(HTTPException):
    """There is no such comment, or it or its post was deleted: answered with 404."""

    def __init__(self, comment_id: int) -> None:
        super().__init__(404, f"There is no comment {comment_id}")


def select_posts(*, include_deleted: bool = False) -> Select[Post]:
    """Return the statement that finds posts, each with its author and its number of comments."""
    # TODO 7.6: One user has many posts, one post has many comments
    raise NotImplementedError("TODO 7.6: One user has many posts, one post has many …")


def select_comments(*, include_deleted: bool = False) -> Select[Comment]:
    """Return the statement that finds comments, each with its author."""
    # TODO 7.6: One user has many posts, one post has many comments
    raise NotImplementedError("TODO 7.6: One user has many posts, one post has many …")


def delete_live(table: type[Post | Comment], row_id: int) -> ReturningUpdate[int]:
    """Return the statement that deletes a row and returns its id, or nothing if it is deleted.

    One statement looks and changes: of several requests at once, exactly one deletes.
    """
    # TODO 7.7: Deleting is soft
    raise NotImplementedError("TODO 7.7: Deleting is soft")


def restore(table: type[Post | Comment], row_id: int) -> ReturningUpdate[int]:
    """Return the statement that undoes a deletion and returns the row's id, if there is a row."""
    # TODO 7.7: Deleting is soft
    raise NotImplementedError("TODO 7.7: Deleting is soft")


class Blog:
    """The posts and comments that a request's session sees and changes."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list_posts(
        self, *, author: str | None, include_deleted: bool, limit: int, offset: int
    ) -> Sequence[Post]:
        """Return up to `limit` posts, newest first, after skipping `offset`."""
        # TODO 7.1: Users write posts
        raise NotImplementedError("TODO 7.1: Users write posts")

    async def get_post(self, post_id: int, *, include_deleted: bool = False) -> Post:
        """Return one post; raises `PostNotFound`."""
        # TODO 7.1: Users write posts
        raise NotImplementedError("TODO 7.1: Users write posts")

    async def create_post(self, author: User, fields: dict[str, Any]) -> Post:
        """Store a post and return it."""
        # TODO 7.1: Users write posts
        raise NotImplementedError("TODO 7.1: Users write posts")

    async def update_post(self, post_id: int, editor: User, fields: dict[str, Any]) -> Post:
        """Change the given fields; raises `PostNotFound`, and 403 when it is somebody else's."""
        # TODO 7.1: Users write posts
        raise NotImplementedError("TODO 7.1: Users write posts")

    async def delete_post(self, post_id: int, editor: User) -> None:
        """Hide a post with its comments; raises `PostNotFound`, and 403 as `update_post`."""
        # TODO 7.7: Deleting is soft
        raise NotImplementedError("TODO 7.7: Deleting is soft")

    async def restore_post(self, post_id: int) -> Post:
        """Undo a deletion; nothing changes when there was none. Raises `PostNotFound`."""
        # TODO 7.7: Deleting is soft
        raise NotImplementedError("TODO 7.7: Deleting is soft")

    async def list_comments(self, post_id: int, *, limit: int, offset: int) -> Sequence[Comment]:
        """Return up to `limit` comments of a post, oldest first; raises `PostNotFound`."""
        # TODO 7.2: Users comment on posts
        raise NotImplementedError("TODO 7.2: Users comment on posts")

    async def get_comment(self, comment_id: int, *, include_deleted: bool = False) -> Comment:
        """Return one comment; raises `CommentNotFound`."""
        # TODO 7.2: Users comment on posts
        raise NotImplementedError("TODO 7.2: Users comment on posts")

    async def create_comment(self, post_id: int, author: User, body: str) -> Comment:
        """Store a comment and return it; raises `PostNotFound`."""
        # TODO 7.2: Users comment on posts
        raise NotImplementedError("TODO 7.2: Users comment on posts")

    async def update_comment(self, comment_id: int, editor: User, body: str) -> Comment:
        """Change what a comment says; raises `CommentNotFound`, and 403."""
        # TODO 7.2: Users comment on posts
        raise NotImplementedError("TODO 7.2: Users comment on posts")

    async def delete_comment(self, comment_id: int, editor: User) -> None:
        """Hide a comment; raises `CommentNotFound`, and 403."""
        # TODO 7.7: Deleting is soft
        raise NotImplementedError("TODO 7.7: Deleting is soft")

    async def restore_comment(self, comment_id: int) -> Comment:
        """Undo a deletion; raises `CommentNotFound`."""
        # TODO 7.7: Deleting is soft
        raise NotImplementedError("TODO 7.7: Deleting is soft")


def is_by(author: str) -> ColumnElement[bool]:
    """Return the condition that selects what a user wrote, by the user's id or name."""
    # TODO 7.6: One user has many posts, one post has many comments
    raise NotImplementedError("TODO 7.6: One user has many posts, one post has many …")


def check_may_change(thing: Post | Comment, editor: User) -> None:
    """Answer 403 unless the editor wrote it or is an administrator."""
    # TODO 7.3: Roles admin, author and user have different rights
    raise NotImplementedError("TODO 7.3: Roles admin, author and user have different rights")
