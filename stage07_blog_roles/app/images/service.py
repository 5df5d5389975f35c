"""Stores, finds and deletes images: a row and a file, in an order that loses neither."""

import unicodedata
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import aiofiles.os
from fastapi import HTTPException, UploadFile
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User
from app.images.models import Image
from app.images.pictures import EXTENSIONS, inspect_picture
from app.images.storage import MediaStorage

MAX_FILENAME = 255  # characters
# Categories of Unicode: control, format (joiners, too), half a surrogate pair, separators of lines
# and paragraphs; then those that a joiner may join: marks, symbols, letters without case.
INVISIBLE, JOINED = ("Cc", "Cf", "Cs", "Zl", "Zp"), ("Lo", "Mc", "Mn", "Sk", "So")
JOINERS = "\u200c\u200d"  # zero width non-joiner, zero width joiner


class ImageNotFound(HTTPException):
    """There is no such image, or another user owns it: answered with 404."""

    def __init__(self, image_id: uuid.UUID) -> None:
        super().__init__(404, f"There is no image {image_id}")


class ImageService:
    """The images of all users. A method with an `owner` reaches only the images of that user."""

    def __init__(self, session: AsyncSession, storage: MediaStorage, max_images: int) -> None:
        self._session = session
        self._storage = storage
        self._max_images = max_images  # of one user

    async def list(self, owner: User, *, limit: int, offset: int) -> Sequence[Image]:
        """Return up to `limit` images of the owner, newest first, after skipping `offset`."""
        statement = select(Image).where(Image.owner_id == owner.id)
        statement = statement.order_by(Image.uploaded_at.desc(), Image.id.desc())
        return (await self._session.scalars(statement.limit(limit).offset(offset))).all()

    async def get(self, image_id: uuid.UUID, owner: User) -> Image:
        """Return an image of the owner; raises `ImageNotFound`."""
        image = await self._session.scalar(select(Image).where(is_own(image_id, owner)))
        if image is None:
            raise ImageNotFound(image_id)
        return image

    async def find_file(self, image_id: uuid.UUID) -> Path:
        """Return the path of a picture of any user; raises `ImageNotFound`."""
        image = await self._session.get(Image, image_id)
        if image is None:
            raise ImageNotFound(image_id)
        return self._storage.path(image.path)

    async def save(self, upload: UploadFile, owner: User, key: uuid.UUID | None) -> Image:
        """Check and store an upload, and return its committed row.

        An upload that repeats the owner's `key` gets the row of the first one. Raises 409 when the
        owner has the maximum number of images, 413, 415 and 422 for a file that is refused, and
        `Unavailable` when it cannot be stored now. After an error no file is left.
        """
        # Release the database connection while the picture is checked.
        await self._session.commit()
        part = await self._storage.receive(upload)
        try:
            picture = await inspect_picture(part, upload.content_type, owner.id)
            image = Image(
                # The same owner and key make the same id, and the primary key admits it only once.
                id=uuid.uuid5(key, str(owner.id)) if key else uuid.uuid4(),
                owner_id=owner.id,
                filename=displayable(upload.filename),
                path=part.with_suffix(f".{EXTENSIONS[picture.content_type]}").name,
                content_type=picture.content_type,
                size=(await aiofiles.os.stat(part)).st_size,
                width=picture.width,
                height=picture.height,
                uploaded_at=datetime.now(UTC),
            )
            await self._add(image)
            await self._session.commit()
        except IntegrityError:
            await self._storage.remove(part)
            return await self._find_first(image)
        except BaseException:
            await self._storage.remove(part)
            raise
        try:
            await self._storage.keep(image.path)
        except BaseException:
            await self._session.delete(image)
            await self._session.commit()
            await self._storage.remove(part)
            raise
        return image

    async def _add(self, image: Image) -> None:
        """Insert a row; raises 409 when its owner has too many images then.

        First insert, then count: SQLite lets one transaction write at a time, and an insert begins
        one. So each of many parallel uploads counts the earlier ones. If they counted first, all of
        them would see the same number.
        """
        self._session.add(image)
        await self._session.flush()
        statement = select(func.count()).where(Image.owner_id == image.owner_id)
        if (await self._session.scalar(statement) or 0) > self._max_images:
            detail = f"You have {self._max_images} pictures, the most allowed: delete some"
            raise HTTPException(409, detail)

    async def _find_first(self, repeated: Image) -> Image:
        """Return the stored image of a repeated upload; raises 422 for a different file."""
        await self._session.rollback()
        first = await self._session.get(Image, repeated.id)
        if first is None:  # it has just been deleted
            raise ImageNotFound(repeated.id)
        if (first.filename, first.size) != (repeated.filename, repeated.size):
            raise HTTPException(
                422, "This Idempotency-Key was used for another file: use a new one"
            )
        return first

    async def delete(self, image_id: uuid.UUID, owner: User) -> None:
        """Delete the row and the file, or neither; raises `ImageNotFound` and `Unavailable`."""
        statement = delete(Image).where(is_own(image_id, owner)).returning(Image.path)
        name = await self._session.scalar(statement)
        if name is None:
            raise ImageNotFound(image_id)
        await self._storage.set_aside(name)
        try:
            await self._session.commit()
        except BaseException:
            await self._storage.keep(name)
            raise
        await self._storage.remove(self._storage.part(name))


def is_own(image_id: uuid.UUID, owner: User) -> ColumnElement[bool]:
    """Return the condition that selects an image when it belongs to `owner`."""
    return (Image.id == image_id) & (Image.owner_id == owner.id)


async def sweep(storage: MediaStorage, session: AsyncSession) -> None:
    """Clean up after a killed server: keep a `.part` file with a row, remove one without a row.

    Raises `StartupError` when the directory cannot be read.
    """
    for part in await storage.list_parts():
        names = [part.with_suffix(f".{extension}").name for extension in EXTENSIONS.values()]
        name = await session.scalar(select(Image.path).where(Image.path.in_(names)))
        if name is None:
            await storage.remove(part)
        else:
            await storage.keep(name)


def displayable(filename: str | None) -> str:
    """Return the name as text that can be stored and shown. It is never used as a path.

    Invisible characters are dropped: one of them can show `gpj.exe` as `exe.jpg`. Only a joiner may
    stay, inside an emoji or between letters of Arabic or Indic scripts.
    """
    kept = [
        character
        for character in filename or ""
        if character in JOINERS or unicodedata.category(character) not in INVISIBLE
    ][:MAX_FILENAME]
    around = zip(["", *kept], kept, [*kept[1:], ""], strict=False)
    name = "".join(
        character
        for before, character, after in around
        if character not in JOINERS or (is_joined(before) and is_joined(after))
    )
    return name if name.strip() else "picture"


def is_joined(character: str) -> bool:
    """Return whether a joiner beside this character has an effect."""
    return bool(character) and unicodedata.category(character) in JOINED
