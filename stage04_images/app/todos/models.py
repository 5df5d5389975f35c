"""The table of todos."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base


class Todo(Base):
    """One task of the list."""

    __tablename__ = "todos"
    # Without it SQLite reuses the highest id after its row is deleted.
    __table_args__ = (
        Index(None, "owner_id", "id"),  # serves the list: one owner's todos by id
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(String(2000))
    completed: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
