"""The schema of an image in responses."""

import uuid
from datetime import datetime

from pydantic import BaseModel


class ImageRead(BaseModel):
    """The metadata of a picture; the picture itself is at `url`."""

    id: uuid.UUID
    filename: str
    content_type: str
    size: int
    width: int
    height: int
    uploaded_at: datetime
    url: str
