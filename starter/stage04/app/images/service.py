"""Storing and deleting an image: a row and a file, in an order that loses neither."""

import uuid

from fastapi import HTTPException, UploadFile
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User
from app.images.models import Image
from app.images.storage import MediaStorage

MAX_FILENAME = 255  # characters


class ImageNotFound(HTTPException):
    """There is no such image, or it is somebody else's: answered with 404."""

    def __init__(self, image_id: uuid.UUID) -> None:
        super().__init__(404, f"There is no image {image_id}")


def is_own(image_id: uuid.UUID, owner: User) -> ColumnElement[bool]:
    """Return the condition that selects an image when it belongs to `owner`."""
    return (Image.id == image_id) & (Image.owner_id == owner.id)


async def save_image(
    upload: UploadFile, owner: User, session: AsyncSession, storage: MediaStorage
) -> Image:
    """Check and store an upload and return its row, which is committed.

    Raises 413, 415 and 422 for what cannot be taken, and `Unavailable` when it cannot be stored
    now. Nothing of it is left behind.
    """
    # TODO 4.3: File name, path and upload time are in the database
    raise NotImplementedError("TODO 4.3: File name, path and upload time are in the …")


async def delete_image(
    image_id: uuid.UUID, owner: User, session: AsyncSession, storage: MediaStorage
) -> None:
    """Delete the row and the file, or neither; raises `ImageNotFound` and `Unavailable`."""
    # TODO 4.4: Uploaded images are listed, fetched and displayed through the API
    raise NotImplementedError("TODO 4.4: Uploaded images are listed, fetched and …")


def displayable(filename: str | None) -> str:
    """Return the name as text that can be stored and shown. It is never used as a path."""
    # TODO 4.3: File name, path and upload time are in the database
    raise NotImplementedError("TODO 4.3: File name, path and upload time are in the …")
