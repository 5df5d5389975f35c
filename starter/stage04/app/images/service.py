"""Storing and deleting an image: a row and a file, in an order that loses neither."""

import uuid

from fastapi import HTTPException, UploadFile
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User
from app.images.models import Image
from app.images.storage import MediaStorage

MAX_FILENAME = 255  # characters
# Categories of Unicode: control, format (which way to write, joiners), half a surrogate pair, and
# separators of lines and paragraphs. Then what a joiner may join: marks, symbols, letters without
# case.
INVISIBLE, JOINED = ("Cc", "Cf", "Cs", "Zl", "Zp"), ("Lo", "Mc", "Mn", "Sk", "So")
JOINERS = "\u200c\u200d"  # zero width non-joiner, zero width joiner


class ImageNotFound(HTTPException):
    """There is no such image, or it is somebody else's: answered with 404."""

    def __init__(self, image_id: uuid.UUID) -> None:
        super().__init__(404, f"There is no image {image_id}")


def is_own(image_id: uuid.UUID, owner: User) -> ColumnElement[bool]:
    """Return the condition that selects an image when it belongs to `owner`."""
    return (Image.id == image_id) & (Image.owner_id == owner.id)


async def save_image(
    upload: UploadFile, owner: User, session: AsyncSession, storage: MediaStorage, max_images: int
) -> Image:
    """Check and store an upload and return its row, which is committed.

    Raises 409 when the owner has `max_images` already, 413, 415 and 422 for what cannot be taken,
    and `Unavailable` when it cannot be stored now. Nothing of it is left behind.
    """
    # TODO 4.3: File name, path and upload time are in the database
    raise NotImplementedError("TODO 4.3: File name, path and upload time are in the …")


async def add_image(image: Image, session: AsyncSession, max_images: int) -> None:
    """Insert a row, unless its owner has `max_images` already: raises 409 then.

    First insert, then count: SQLite lets one transaction write at a time, and an insert begins one.
    So of many at once each counts those before it. The other way round all see the old number.
    """
    # TODO 4.6: The size is limited
    raise NotImplementedError("TODO 4.6: The size is limited")


async def delete_image(
    image_id: uuid.UUID, owner: User, session: AsyncSession, storage: MediaStorage
) -> None:
    """Delete the row and the file, or neither; raises `ImageNotFound` and `Unavailable`."""
    # TODO 4.4: Uploaded images are listed, fetched and displayed through the API
    raise NotImplementedError("TODO 4.4: Uploaded images are listed, fetched and …")


def displayable(filename: str | None) -> str:
    """Return the name as text that can be stored and shown. It is never used as a path.

    Characters that nobody sees are dropped: one of them can show `gpj.exe` as `exe.jpg`. Only a
    joiner may stay, inside an emoji or between letters that it joins in Arabic or Indic scripts.
    """
    # TODO 4.3: File name, path and upload time are in the database
    raise NotImplementedError("TODO 4.3: File name, path and upload time are in the …")


def is_joined(character: str) -> bool:
    """Return whether a joiner beside this character can show."""
    # TODO 4.3: File name, path and upload time are in the database
    raise NotImplementedError("TODO 4.3: File name, path and upload time are in the …")
