"""The table of chat messages."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.auth.models import User
from app.database import Base


class Message(Base):
    """A message of a user."""

    __tablename__ = "messages"
    __table_args__ = (
        # A client without a reply sends its message again: the table keeps it once.
        UniqueConstraint("user_id", "client_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    text: Mapped[str] = mapped_column(Text)
    sent_at: Mapped[datetime]
    client_id: Mapped[str | None] = mapped_column(String(64))

    user: Mapped[User] = relationship(lazy="raise")
