"""What an image looks like in responses."""

import uuid
from datetime import datetime

from pydantic import BaseModel


class ImageRead(BaseModel):
    """What is known about a picture; the picture itself is at `url`."""

    id: uuid.UUID
    filename: str
    content_type: str
    size: int
    width: int
    height: int
    uploaded_at: datetime
    url: str
