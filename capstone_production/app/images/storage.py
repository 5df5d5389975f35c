"""Pictures as files in MEDIA_DIR.

One transaction cannot change a file and a row, so the row decides. The name of a file ends in
`.part` while its row is not certain: for a new file until its row is committed, for a deleted file
from the moment before its row is deleted. If the server is killed in between, `sweep` in
`service.py` reads the row at the next start and finishes the work. It removes only `.part` files,
so a wrong DATABASE_URL deletes no pictures.

Thumbnails are in a directory of their own. Each can be made again from its picture. So a picture
may have none, but no thumbnail may remain without its picture: the sweep removes such thumbnails.
"""

import logging
import os
import re
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

import aiofiles
import aiofiles.os
from anyio import to_thread
from fastapi import HTTPException, UploadFile

from app.exceptions import StartupError, Unavailable
from app.params import MAX_FILE_SIZE

CHUNK_SIZE = 64 * 1024  # bytes
PART_NAME = re.compile(r"[0-9a-f]{32}\.part")
THUMBNAILS = "thumbnails"  # a directory in MEDIA_DIR
THUMBNAIL_NAME = re.compile(r"([0-9a-f]{32})-\d+\.webp")

logger = logging.getLogger(__name__)


class MediaStorage:
    """The directory of pictures. Only one server process at a time may use it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            (directory / THUMBNAILS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartupError(f"MEDIA_DIR: {error}") from error
        if not os.access(directory, os.W_OK | os.X_OK):
            raise StartupError(f"MEDIA_DIR: no permission to write in {directory}")

    def path(self, name: str) -> Path:
        """Return the path of a stored picture."""
        return self._directory / name

    def part(self, name: str) -> Path:
        """Return the path of its `.part` file."""
        return self.path(name).with_suffix(".part")

    def thumbnail(self, name: str, size: int) -> Path:
        """Return the path of a thumbnail of a picture; there may be no such file."""
        return self._directory / THUMBNAILS / f"{self.path(name).stem}-{size}.webp"

    async def receive(self, upload: UploadFile) -> Path:
        """Write an upload to a new `.part` file, chunk by chunk, and return its path.

        Raises 413 when it is over `MAX_FILE_SIZE`, and `Unavailable` when it cannot be written.
        """
        part = self.part(uuid.uuid4().hex)
        try:
            async with aiofiles.open(part, "xb") as file:
                size = 0
                while chunk := await upload.read(CHUNK_SIZE):
                    size += len(chunk)
                    if size > MAX_FILE_SIZE:
                        raise HTTPException(
                            413, f"A picture may have {MAX_FILE_SIZE} bytes at most"
                        )
                    await file.write(chunk)
                await file.flush()
                await to_thread.run_sync(os.fsync, file.fileno())
        except OSError as error:
            await self.remove(part)
            raise _unavailable(error) from error
        except BaseException:
            await self.remove(part)
            raise
        return part

    async def keep(self, name: str) -> None:
        """Give a `.part` file its stored name; raises `Unavailable`."""
        try:
            await aiofiles.os.replace(self.part(name), self.path(name))
        except OSError as error:
            raise _unavailable(error) from error

    async def set_aside(self, name: str) -> None:
        """Rename a picture to a `.part` file, if it exists; raises `Unavailable`."""
        try:
            # A new time tells the sweep of another server that this file is in use.
            await to_thread.run_sync(os.utime, self.path(name))
            await aiofiles.os.replace(self.path(name), self.part(name))
        except FileNotFoundError:
            logger.warning("The file of a picture is missing: %s", name)
        except OSError as error:
            raise _unavailable(error) from error

    async def remove(self, part: Path) -> None:
        """Remove a file, if it exists. If that fails, the next sweep tries again."""
        try:
            await aiofiles.os.unlink(part)
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.error("Media directory: %s", error)

    async def add_thumbnails(self, name: str, thumbnails: Mapping[int, bytes]) -> None:
        """Store thumbnails of a picture by their size. They are not kept if it was deleted."""
        for size, content in thumbnails.items():
            part = self.part(uuid.uuid4().hex)
            try:
                async with aiofiles.open(part, "xb") as file:
                    await file.write(content)
                    await file.flush()
                    await to_thread.run_sync(os.fsync, file.fileno())
                await aiofiles.os.replace(part, self.thumbnail(name, size))
            except OSError as error:
                logger.error("Media directory: %s", error)
                await self.remove(part)
            except BaseException:
                await self.remove(part)
                raise
        if not await aiofiles.os.path.exists(self.path(name)):
            await self.remove_thumbnails(name, thumbnails)

    async def remove_thumbnails(self, name: str, sizes: Iterable[int]) -> None:
        """Remove the thumbnails of a picture, if they exist."""
        for size in sizes:
            await self.remove(self.thumbnail(name, size))

    async def remove_lost_thumbnails(self) -> None:
        """Remove the thumbnails that a killed server left without their picture."""
        thumbnails = await aiofiles.os.listdir(self._directory / THUMBNAILS)
        pictures = {Path(name).stem for name in await aiofiles.os.listdir(self._directory)}
        for name in thumbnails:
            match = THUMBNAIL_NAME.fullmatch(name)
            if match and match[1] not in pictures:
                await self.remove(self._directory / THUMBNAILS / name)

    async def list_parts(self, *, older_than: float) -> list[Path]:
        """Return the `.part` files that a killed server left; raises `StartupError`.

        Files that changed in the last `older_than` seconds are left out, because another server may
        still write them in the same directory.
        """
        parts = await self._list_parts()
        return [part for part in parts if await self._is_older(part, older_than)]

    async def _list_parts(self) -> list[Path]:
        try:
            names = await aiofiles.os.listdir(self._directory)
        except OSError as error:
            raise StartupError(f"MEDIA_DIR: {error}") from error
        return [self._directory / name for name in names if PART_NAME.fullmatch(name)]

    async def _is_older(self, part: Path, seconds: float) -> bool:
        try:
            stat = await aiofiles.os.stat(part)
        except FileNotFoundError:
            return False
        is_older: bool = time.time() - stat.st_mtime >= seconds
        return is_older


def _unavailable(error: OSError) -> Unavailable:
    logger.error("Media directory: %s", error)
    return Unavailable("Pictures cannot be stored right now: try again")
