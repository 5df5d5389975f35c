"""What is inside a file that says it is a picture. Every use of Pillow is in this file.

Neither its name nor its declared type is believed: the bytes decide.
"""

import asyncio
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from fastapi import HTTPException
from PIL import ExifTags, Image

from app.errors import Unavailable
from app.images.containers import (
    JPEG_START,
    PNG_SIGNATURE,
    BrokenPicture,
    check_jpeg,
    check_png,
)

SIGNATURES = {"image/jpeg": JPEG_START + b"\xff", "image/png": PNG_SIGNATURE}
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png"}
MAX_PIXELS = 50_000_000
MAX_BYTES_PER_PIXEL = 9  # 4 channels of 16 bits, and a little for each line
# How a picture is shown, in the words of EXIF: turned by 90° in the second half.
UPRIGHT, ORIENTATIONS, SIDEWAYS = 1, range(1, 9), range(5, 9)

# Pillow warns of a picture that is small as a file and huge in memory; we refuse it.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# Looking at a picture takes a processor core and some megabytes: one at a time. And always on the
# same thread: C's memory allocator keeps freed megabytes for each thread that ever had them.
_inspector = ThreadPoolExecutor(1, thread_name_prefix="pictures")


@dataclass(frozen=True)
class Picture:
    """What the bytes of a picture say; `width` and `height` are as it is shown, in pixels."""

    content_type: str
    width: int
    height: int


async def inspect_picture(path: Path, declared_type: str | None) -> Picture:
    """Return what the file is, after removing from it the place where it was taken.

    Raises 415 when it is not a JPEG or PNG or was declared to be something else, and 422 when it is
    broken, absurdly large or followed by something that is not a picture; `Unavailable` when the
    file cannot be read or written.
    """
    try:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_inspector, _inspect, path, declared_type)
    except OSError as error:
        raise Unavailable("Pictures cannot be stored right now: try again") from error


def _inspect(path: Path, declared_type: str | None) -> Picture:
    data = path.read_bytes()
    content_type = _sniff(data)
    if declared_type and declared_type.partition(";")[0].strip().lower() != content_type:
        raise HTTPException(415, f"The picture is {content_type}, but was declared otherwise")
    try:
        width, height, orientation, may_tell_where = _look_at(data, content_type)
        kept = _without_location(data, content_type, orientation) if may_tell_where else None
    except BrokenPicture as error:
        raise HTTPException(422, str(error)) from None
    except Image.DecompressionBombError:
        raise HTTPException(422, f"The picture has more than {MAX_PIXELS} pixels") from None
    except Exception:  # decoders raise almost anything at a broken file
        raise HTTPException(422, "The picture is broken") from None
    if kept is not None:
        path.write_bytes(kept)
    if orientation in SIDEWAYS:
        width, height = height, width
    return Picture(content_type, width, height)


def _sniff(data: bytes) -> str:
    for content_type, signature in SIGNATURES.items():
        if data.startswith(signature):
            return content_type
    raise HTTPException(415, "Only JPEG and PNG pictures can be uploaded")


def _look_at(data: bytes, content_type: str) -> tuple[int, int, int, bool]:
    """Return width, height and orientation of a whole picture, and whether it may tell a place."""
    with Image.open(BytesIO(data), formats=("JPEG", "PNG")) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise BrokenPicture(f"The picture has more than {MAX_PIXELS} pixels")
        exif, may_tell_where = _check(image, data, content_type)
    turned = exif.get(ExifTags.Base.Orientation, UPRIGHT)
    orientation = int(turned) if turned in ORIENTATIONS else UPRIGHT
    return width, height, orientation, may_tell_where or bool(exif.get_ifd(ExifTags.IFD.GPSInfo))


def _check(image: Image.Image, data: bytes, content_type: str) -> tuple[Image.Exif, bool]:
    """Return a whole picture's EXIF data, and whether other data may tell where it was taken."""
    width, height = image.size
    if content_type == "image/png":
        metadata = check_png(data, width * height * MAX_BYTES_PER_PIXEL + height)
        if metadata.has_text_profile:
            return image.getexif(), True
        exif = Image.Exif()
        exif.load(metadata.exif)
        return exif, False
    check_jpeg(data)
    exif, xmp = image.getexif(), str(image.info.get("xmp"))
    # Decodes all of it, at an eighth of its size: a broken one is found now, in little memory.
    image.draft("RGB", (1, 1))
    image.load()
    return exif, "GPS" in xmp


def _without_location(data: bytes, content_type: str, orientation: int) -> bytes:
    """Return the picture made anew: photos taken at home tell where that is.

    Of its EXIF data only the orientation stays. The rest is not needed, is not always in order, and
    some makers of cameras note the place in fields of their own.
    """
    exif = Image.Exif()
    if orientation != UPRIGHT:
        exif[ExifTags.Base.Orientation] = orientation
    kept = BytesIO()
    with Image.open(BytesIO(data), formats=("JPEG", "PNG")) as image:
        image.load()  # Pillow 13 copies what it has to load while it saves
        profile = image.info.get("icc_profile")
        if content_type == "image/png":
            image.save(kept, "PNG", exif=exif, icc_profile=profile)
        else:
            quality = "keep" if image.format == "JPEG" else 95  # not of several pictures in one
            image.save(kept, "JPEG", exif=exif, icc_profile=profile, quality=quality)
    return kept.getvalue()
