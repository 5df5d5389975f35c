"""Posts and comments: which of them a user sees, and who may change them.

`select_posts` and `select_comments` load every post and comment. They leave out deleted rows, and
load all that a response shows: one statement for a list of any length.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import HTTPException
from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, with_expression
from sqlalchemy.sql.dml import ReturningUpdate

from app.auth.models import User
from app.auth.roles import Role
from app.blog.models import Comment, Post
from app.params import MAX_INTEGER


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
    count = (
        select(func.count())
        .where(Comment.post_id == Post.id, Comment.deleted_at.is_(None))
        .scalar_subquery()
    )
    statement = select(Post).options(
        joinedload(Post.author), with_expression(Post.comments_count, count)
    )
    return statement if include_deleted else statement.where(Post.deleted_at.is_(None))


def select_comments(*, include_deleted: bool = False) -> Select[Comment]:
    """Return the statement that finds comments, each with its author."""
    statement = select(Comment).options(joinedload(Comment.author))
    if include_deleted:
        return statement
    return statement.join(Comment.post).where(
        Comment.deleted_at.is_(None), Post.deleted_at.is_(None)
    )


def delete_live(table: type[Post | Comment], row_id: int) -> ReturningUpdate[int]:
    """Return the statement that deletes a row and returns its id (no id if already deleted).

    One statement checks and changes the row: exactly one of several parallel requests deletes it.
    """
    return (
        update(table)
        .where(table.id == row_id, table.deleted_at.is_(None))
        .values(deleted_at=datetime.now(UTC))
        .returning(table.id)
    )


def restore(table: type[Post | Comment], row_id: int) -> ReturningUpdate[int]:
    """Return the statement that undoes a deletion and returns the row's id, if there is a row."""
    return update(table).where(table.id == row_id).values(deleted_at=None).returning(table.id)


class BlogService:
    """Reads and changes posts and comments in the request's session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list_posts(
        self, *, author: str | None, include_deleted: bool, limit: int, offset: int
    ) -> Sequence[Post]:
        """Return up to `limit` posts, newest first, after skipping `offset`."""
        newest_first = Post.created_at.desc(), Post.id.desc()
        # First the ids of the page, so the skipped posts need no join and no count.
        page = select(Post.id).order_by(*newest_first).limit(limit).offset(offset)
        if author is not None:
            page = page.where(is_by(author))
        if not include_deleted:
            page = page.where(Post.deleted_at.is_(None))
        statement = select_posts(include_deleted=include_deleted).where(Post.id.in_(page))
        return (await self._session.scalars(statement.order_by(*newest_first))).all()

    async def get_post(self, post_id: int, *, include_deleted: bool = False) -> Post:
        """Return one post; raises `PostNotFound`."""
        statement = select_posts(include_deleted=include_deleted).where(Post.id == post_id)
        post = await self._session.scalar(statement.execution_options(populate_existing=True))
        if post is None:
            raise PostNotFound(post_id)
        return post

    async def create_post(self, author: User, fields: dict[str, Any]) -> Post:
        """Store a post and return it."""
        now = datetime.now(UTC)
        post = Post(**fields, author_id=author.id, created_at=now, updated_at=now)
        self._session.add(post)
        await self._session.flush()
        return await self.get_post(post.id)

    async def get_own_post(self, post_id: int, editor: User) -> Post:
        """Return a post that `editor` may change; raises `PostNotFound`, and 403."""
        post = await self.get_post(post_id)
        check_may_change(post, editor)
        return post

    async def update_post(self, post: Post, fields: dict[str, Any]) -> Post:
        """Change the given fields and return the post."""
        if not fields:
            return post
        for name, value in fields.items():
            setattr(post, name, value)
        post.updated_at = datetime.now(UTC)
        await self._session.flush()
        return await self.get_post(post.id)

    async def delete_post(self, post: Post) -> None:
        """Hide a post with its comments; raises `PostNotFound` when another request was faster."""
        if await self._session.scalar(delete_live(Post, post.id)) is None:
            raise PostNotFound(post.id)

    async def restore_post(self, post_id: int) -> Post:
        """Undo a deletion; nothing changes when there was none. Raises `PostNotFound`."""
        if await self._session.scalar(restore(Post, post_id)) is None:
            raise PostNotFound(post_id)
        return await self.get_post(post_id)

    async def list_comments(self, post_id: int, *, limit: int, offset: int) -> Sequence[Comment]:
        """Return up to `limit` comments of a post, oldest first; raises `PostNotFound`."""
        await self.get_post(post_id)
        oldest_first = Comment.created_at, Comment.id
        page = select(Comment.id).order_by(*oldest_first).limit(limit).offset(offset)
        page = page.where(Comment.post_id == post_id, Comment.deleted_at.is_(None))
        statement = select_comments().where(Comment.id.in_(page))
        return (await self._session.scalars(statement.order_by(*oldest_first))).all()

    async def get_comment(self, comment_id: int, *, include_deleted: bool = False) -> Comment:
        """Return one comment; raises `CommentNotFound`."""
        statement = select_comments(include_deleted=include_deleted)
        comment = await self._session.scalar(statement.where(Comment.id == comment_id))
        if comment is None:
            raise CommentNotFound(comment_id)
        return comment

    async def create_comment(self, post_id: int, author: User, body: str) -> Comment:
        """Store a comment and return it; raises `PostNotFound`."""
        await self.get_post(post_id)
        now = datetime.now(UTC)
        comment = Comment(
            post_id=post_id, author_id=author.id, body=body, created_at=now, updated_at=now
        )
        self._session.add(comment)
        await self._session.flush()
        return await self.get_comment(comment.id)

    async def get_own_comment(self, comment_id: int, editor: User) -> Comment:
        """Return a comment that `editor` may change; raises `CommentNotFound`, and 403."""
        comment = await self.get_comment(comment_id)
        check_may_change(comment, editor)
        return comment

    async def update_comment(self, comment: Comment, body: str) -> Comment:
        """Change the text of a comment, and return it."""
        comment.body = body
        comment.updated_at = datetime.now(UTC)
        return comment

    async def delete_comment(self, comment: Comment) -> None:
        """Hide a comment; raises `CommentNotFound` when another request was faster."""
        if await self._session.scalar(delete_live(Comment, comment.id)) is None:
            raise CommentNotFound(comment.id)

    async def restore_comment(self, comment_id: int) -> Comment:
        """Undo a deletion; raises `CommentNotFound`."""
        if await self._session.scalar(restore(Comment, comment_id)) is None:
            raise CommentNotFound(comment_id)
        return await self.get_comment(comment_id, include_deleted=True)


def is_by(author: str) -> ColumnElement[bool]:
    """Return the condition that selects the posts of a user, by the user's id or name.

    A text of digits is an id; if no user has it, the text is a name.
    """
    # The id is looked up once, and the index by author serves the list. `Post.author.has(…)` would
    # run once for each post.
    name = author.lower().replace("\0", " ")
    by_name = select(User.id).where(User.username_folded == name).scalar_subquery()
    if not (author.isascii() and author.isdecimal()):
        return Post.author_id == by_name
    number = min(int(author), MAX_INTEGER)
    by_id = select(User.id).where(User.id == number).scalar_subquery()
    return Post.author_id == func.coalesce(by_id, by_name)


def check_may_change(thing: Post | Comment, editor: User) -> None:
    """Raise 403 unless the editor wrote it or is an administrator."""
    if thing.author_id != editor.id and editor.role != Role.ADMIN:
        raise HTTPException(403, "You do not own this resource")


def check_may_see_deleted(user: User | None) -> None:
    """Raise 401 without a user, and 403 for a user who is not an administrator."""
    if user is None:
        detail = "Only administrators may see deleted posts: sign in"
        raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
    if user.role != Role.ADMIN:
        raise HTTPException(403, "Only administrators may see deleted posts")
