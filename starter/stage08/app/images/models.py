"""The table of images. The pictures themselves are files; a row says which."""

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
    filename: Mapped[str] = mapped_column(String(255))  # what the uploader called it: text to show
    path: Mapped[str] = mapped_column(String(255), unique=True)  # below MEDIA_DIR, named by us
    content_type: Mapped[str] = mapped_column(String(50))
    size: Mapped[int]  # bytes
    width: Mapped[int]  # pixels, as it is shown
    height: Mapped[int]
    uploaded_at: Mapped[datetime]

    @property
    def url(self) -> str:
        """The address of the picture itself."""
        return f"/images/{self.id}/file"
