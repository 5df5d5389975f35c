"""The table of images. Each row names the file that holds the picture."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base


class Image(Base):
    """One uploaded picture."""

    __tablename__ = "images"
    __table_args__ = (
        Index(None, "owner_id", "uploaded_at", "id"),  # serves the list: newest first
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    filename: Mapped[str] = mapped_column(String(255))  # the uploader's name for it, only to show
    path: Mapped[str] = mapped_column(String(255), unique=True)  # in MEDIA_DIR; we choose the name
    content_type: Mapped[str] = mapped_column(String(50))
    size: Mapped[int]  # bytes
    width: Mapped[int]  # pixels, as it is shown
    height: Mapped[int]
    uploaded_at: Mapped[datetime]

    @property
    def url(self) -> str:
        """The path of the picture itself in this API."""
        return f"/images/{self.id}/file"
