"""The table of users."""

from datetime import datetime

from sqlalchemy import ColumnElement, String, literal_column
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base

HASH_COST: ColumnElement[str] = literal_column("substr(password_hash, 5, 2)")  # of $2b$12$…


class User(Base):
    """A user who can sign in."""

    __tablename__ = "users"
    __table_args__ = {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(50))
    # In lower case, and unique: ada and Ada are the same user.
    username_folded: Mapped[str] = mapped_column(String(50), unique=True)
    # None: this user cannot sign in.
    password_hash: Mapped[str | None] = mapped_column(String(60))
    created_at: Mapped[datetime]
