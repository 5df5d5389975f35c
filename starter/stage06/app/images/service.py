"""Storing and deleting an image: a row and a file, in an order that loses neither."""

import unicodedata
import uuid
from datetime import UTC, datetime

import aiofiles.os
from fastapi import HTTPException, UploadFile
from sqlalchemy import ColumnElement, delete
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User
from app.images.models import Image
from app.images.pictures import EXTENSIONS, inspect_picture
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
    await session.commit()  # others can have the database connection while we look at the picture
    part = await storage.receive(upload)
    try:
        picture = await inspect_picture(part, upload.content_type)
        image = Image(
            id=uuid.uuid4(),
            owner_id=owner.id,
            filename=displayable(upload.filename),
            path=part.with_suffix(f".{EXTENSIONS[picture.content_type]}").name,
            content_type=picture.content_type,
            size=(await aiofiles.os.stat(part)).st_size,
            width=picture.width,
            height=picture.height,
            uploaded_at=datetime.now(UTC),
        )
        session.add(image)
        await session.commit()
    except BaseException:
        await storage.remove(part)
        raise
    try:
        await storage.keep(image.path)
    except BaseException:
        await session.delete(image)
        await session.commit()
        await storage.remove(part)
        raise
    return image


async def delete_image(
    image_id: uuid.UUID, owner: User, session: AsyncSession, storage: MediaStorage
) -> None:
    """Delete the row and the file, or neither; raises `ImageNotFound` and `Unavailable`."""
    statement = delete(Image).where(is_own(image_id, owner)).returning(Image.path)
    name = await session.scalar(statement)
    if name is None:
        raise ImageNotFound(image_id)
    await storage.set_aside(name)
    try:
        await session.commit()
    except BaseException:
        await storage.keep(name)
        raise
    await storage.remove(storage.part(name))


def displayable(filename: str | None) -> str:
    """Return the name as text that can be stored and shown. It is never used as a path."""
    kept = "".join(
        character
        for character in filename or ""
        if unicodedata.category(character) not in ("Cc", "Cs")  # control, half a surrogate pair
    )
    return kept[:MAX_FILENAME] or "picture"
