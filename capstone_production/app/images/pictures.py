"""Checks uploaded pictures. Every use of libvips is in this file.

The bytes decide which type a file has, not its name and not its declared type.
"""

import asyncio
import ctypes
import io
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from weakref import WeakValueDictionary

import pyvips
from fastapi import HTTPException

from app.exceptions import Unavailable
from app.images.formats import JPEG_START, PNG_SIGNATURE, BrokenPicture, clean

SIGNATURES = {"image/jpeg": JPEG_START + b"\xff", "image/png": PNG_SIGNATURE}
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png"}
SHRINK = 8  # the decoder makes the picture this much smaller, but still reads the whole file
MAX_UNREAD = 16  # bytes: a decoder may stop a little before the end
THUMBNAIL_QUALITY = 70  # of WebP; at most 100
# libvips holds an interlaced PNG as a whole; it reads other pictures some rows at a time.
MAX_HELD = 80_000_000  # bytes
BYTES = {"uchar": 1, "ushort": 2}  # of a colour of a pixel

logger = logging.getLogger(__name__)

# By default libvips caches its results, and uses one thread for each core.
pyvips.cache_set_max(0)
pyvips.concurrency_set(1)

# Checking a picture takes a processor core and some megabytes, so only one is checked at a time.
_inspector = ThreadPoolExecutor(1, thread_name_prefix="pictures")
# Each user has at most one picture in that queue, so one user cannot fill it.
_turns = WeakValueDictionary[int, asyncio.Lock]()


@dataclass(frozen=True)
class Picture:
    """The type and size from the bytes; `width` and `height` are in pixels, as viewers show it."""

    content_type: str
    width: int
    height: int


class ThumbnailSize(IntEnum):
    """The largest width and height of a thumbnail, in pixels."""

    LARGE = 512  # for sharp screens
    SMALL = 256


async def inspect_picture(path: Path, declared_type: str | None, user_id: int) -> Picture:
    """Remove all parts of the file that are not known to be harmless; return its type and size.

    Raises 415 when the file is not a JPEG or PNG, or not of the declared type. Raises 422 when it
    is broken, too expensive to decode, or followed by other data. Raises `Unavailable` when the
    file cannot be read or written now.
    """
    turn = _turns.setdefault(user_id, asyncio.Lock())
    try:
        async with turn:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(_inspector, _inspect, path, declared_type)
    except OSError as error:
        raise Unavailable("Pictures cannot be stored right now: try again") from error


async def shrink_picture(path: Path, user_id: int) -> dict[int, bytes]:
    """Return the thumbnails of a stored picture by their size, as WebP.

    There is none for a picture that would take too much memory, or that has just been deleted.
    """
    turn = _turns.setdefault(user_id, asyncio.Lock())
    async with turn:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_inspector, _shrink, path)


def _shrink(path: Path) -> dict[int, bytes]:
    _release_memory()  # of the check, which has just decoded the picture
    thumbnails = _thumbnails_of(path)
    _release_memory()
    return thumbnails


def _thumbnails_of(path: Path) -> dict[int, bytes]:
    thumbnails: dict[int, bytes] = {}
    try:
        picture = _open(path)
        for size in ThumbnailSize:
            picture = picture.thumbnail_image(
                size, height=size, size="down", crop="centre", export_profile="srgb"
            ).copy_memory()
            thumbnails[size] = picture.webpsave_buffer(Q=THUMBNAIL_QUALITY, keep="none")
    except pyvips.Error as error:
        logger.warning("No thumbnail of %s: %s", path.name, " ".join(str(error).split()))
        return {}
    finally:
        pyvips.Error("")  # empties the buffer of warnings: `_decode` reads it for the next picture
    return thumbnails


def _release_memory() -> None:
    """Return freed memory to the system. glibc keeps it, in pieces too small for the next picture.

    Other C libraries have no such function.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _open(path: Path) -> pyvips.Image:
    """Open a stored picture; raises `pyvips.Error` for one that would take too much memory."""
    if path.suffix == ".png":
        picture = pyvips.Image.pngload(str(path), access="sequential")
        held = picture.width * picture.height * picture.bands * BYTES[picture.format]
        if picture.get_typeof("interlaced") and held > MAX_HELD:
            raise pyvips.Error("An interlaced picture of this size takes too much memory")
        return picture
    picture = pyvips.Image.jpegload(str(path), access="sequential")
    side, shrink = min(picture.width, picture.height), SHRINK
    while shrink > 1 and side // shrink < max(ThumbnailSize):
        shrink //= 2
    return pyvips.Image.jpegload(str(path), access="sequential", shrink=shrink)


def _inspect(path: Path, declared_type: str | None) -> Picture:
    _release_memory()  # of the picture before this one
    data = path.read_bytes()
    content_type = _sniff(data)
    if declared_type and declared_type.partition(";")[0].strip().lower() != content_type:
        raise HTTPException(415, f"The picture is {content_type}, not of the declared type")
    try:
        cleaned, width, height = clean(data)
        is_as_sent = cleaned == data
        del data  # frees megabytes for the decoder
        if content_type == "image/jpeg":
            # A smaller picture must have all rows: for others libvips may not read the last ones.
            _decode(cleaned, 1 if width % SHRINK or height % SHRINK else SHRINK)
    except BrokenPicture as error:
        raise HTTPException(422, str(error)) from None
    if not is_as_sent:
        with path.open("wb") as file:
            file.write(cleaned)
            file.flush()
            os.fsync(file.fileno())
    return Picture(content_type, width, height)


def _sniff(data: bytes) -> str:
    for content_type, signature in SIGNATURES.items():
        if data.startswith(signature):
            return content_type
    raise HTTPException(415, "Only JPEG and PNG pictures can be uploaded")


def _decode(data: bytes, shrink: int) -> None:
    """Decode a JPEG from beginning to end; raises `BrokenPicture`.

    libjpeg reports a picture that is cut in half as a warning. libvips checks for warnings before
    each strip of rows, so warnings of the last strip are still in its buffer at the end.
    """
    file, source = io.BytesIO(data), pyvips.SourceCustom()
    # At most half of the rest at a time, so we know how much the decoder did not read.
    source.on_read(lambda size: file.read(min(size, (len(data) - file.tell() + 1) // 2)))
    try:
        pyvips.Image.jpegload_source(
            source, access="sequential", fail_on="warning", shrink=shrink
        ).avg()  # needs every pixel, and keeps none
        warnings = pyvips.Error("").detail
    except pyvips.Error as error:
        warnings = error.detail
    if warnings:
        raise BrokenPicture("The picture is broken: a part of it cannot be decoded")
    if len(data) - file.tell() > MAX_UNREAD:
        raise BrokenPicture("The picture is broken: it has data after its pixels")
