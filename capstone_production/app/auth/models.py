"""The tables of users and of their refresh tokens."""

import uuid
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.roles import Role
from app.auth.schemas import UserRead
from app.database import Base

HASH_COST: ColumnElement[str] = literal_column("substr(password_hash, 5, 2)")  # of $2b$12$…


class User(Base):
    """A user who can sign in."""

    __tablename__ = "users"
    __table_args__ = (
        Index("ix_users_hash_cost", HASH_COST),  # serves the start
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(50))
    # In lower case, and unique: ada and Ada are the same user.
    username_folded: Mapped[str] = mapped_column(String(50), unique=True)
    # None: this user cannot sign in.
    password_hash: Mapped[str | None] = mapped_column(String(60))
    created_at: Mapped[datetime]
    role: Mapped[str] = mapped_column(
        String(20), default=Role.USER, server_default=Role.USER, index=True
    )

    def cached_in(self) -> str:
        """Return the cache namespace that a change of this user invalidates."""
        return namespace(self.id)


# The owner of rows: a row of the database, or a value of the cache.
Owner = User | UserRead


def namespace(user_id: int) -> str:
    """Return the cache namespace of a user."""
    return f"users:{user_id}"


class RefreshToken(Base):
    """One refresh token, used or not. One revoked token revokes its whole family."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (
        # Serves the check whether a family is revoked; it holds only the revoked tokens.
        Index(
            None,
            "family_id",
            postgresql_where=text("revoked_at IS NOT NULL"),
            sqlite_where=text("revoked_at IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)  # SHA-256
    family_id: Mapped[uuid.UUID]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)  # the same for the whole family
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
