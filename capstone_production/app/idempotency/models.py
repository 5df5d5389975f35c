"""The table of idempotency keys: each one with the answer that its request was given."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base

MAX_KEY = 255  # characters


class IdempotencyKey(Base):
    """A request that was done once, and is not to be done again."""

    __tablename__ = "idempotency_keys"

    # Of requests that race, the primary key lets one in.
    owner_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    key: Mapped[str] = mapped_column(String(MAX_KEY), primary_key=True)
    route: Mapped[str] = mapped_column(String(50), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))  # of what was asked for, in SHA-256
    created_at: Mapped[datetime] = mapped_column(index=True)  # serves the clean-up

    # The answer. It is filled in within the transaction that makes the row: nobody sees it empty.
    status: Mapped[int] = mapped_column(default=0)
    location: Mapped[str] = mapped_column(String(200), default="")
    body: Mapped[str] = mapped_column(Text, default="")
