"""The tables of posts and comments.

A delete sets `deleted_at`: the row stays and can be restored. No relation loads by itself
(`lazy="raise"`), because a hidden query would run once for each row.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, query_expression, relationship

from app.auth.models import User
from app.database import Base

LIVE = text("deleted_at IS NULL")
CACHED_IN = "posts"  # one cache namespace for all posts, since every change affects some list


class Post(Base):
    """A post of an author."""

    __tablename__ = "posts"
    __table_args__ = (
        # They serve the lists, and contain only rows that the lists show.
        Index("ix_posts_live", "created_at", "id", sqlite_where=LIVE, postgresql_where=LIVE),
        Index(
            "ix_posts_live_by_author",
            *("author_id", "created_at", "id"),
            sqlite_where=LIVE,
            postgresql_where=LIVE,
        ),
        # For administrators, who also see deleted rows, and for the foreign key.
        Index(None, "created_at", "id"),
        Index(None, "author_id", "created_at", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]

    def cached_in(self) -> str:
        """Return the cache namespace that a change of this row invalidates."""
        return CACHED_IN

    author: Mapped[User] = relationship(lazy="raise")
    comments: Mapped[list["Comment"]] = relationship(lazy="raise", back_populates="post")
    # Not a column: a statement that needs it adds the count.
    comments_count: Mapped[int] = query_expression()


class Comment(Base):
    """A comment of a user on a post."""

    __tablename__ = "comments"
    __table_args__ = (
        Index(
            "ix_comments_live",
            *("post_id", "created_at", "id"),
            sqlite_where=LIVE,
            postgresql_where=LIVE,
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    post_id: Mapped[int] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"), index=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]

    def cached_in(self) -> str:
        """Return the cache namespace that a change of this row invalidates."""
        return CACHED_IN

    author: Mapped[User] = relationship(lazy="raise")
    post: Mapped[Post] = relationship(lazy="raise", back_populates="comments")
